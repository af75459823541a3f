"""`merbench tune`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import cast

import typer

from merbench.cli import options
from merbench.cli.options import OUTPUT, SEARCH
from merbench.cli.parser import option
from merbench.cli.printing import print_line, progress_bar, terminal_width
from merbench.errors import WITH_PROBLEMS

SamplerOption = StrEnum("SamplerOption", "random tpe")


def tune(
    track: options.Track,
    baseline: options.Baseline = "attention",
    trials: int = option(
        SEARCH, "--trials N", "Number of trials; of each part with --leave-out.", 50, min=1, max=10_000
    ),
    sampler: SamplerOption = option(
        SEARCH, "--sampler", "Draw options at random, or learn from earlier trials (TPE).", SamplerOption.random
    ),
    search: list[str] | None = option(
        SEARCH,
        "--search NAME=VALUES",
        "Where an option is searched: [0.2, 0.5] or {low=0.0001, high=0.01, log=true}; repeatable. "
        "[default: from baseline.toml]",
    ),
    pruning: bool = option(
        SEARCH, "--prune/--no-prune", "Stop trials whose validation value is below the median of the others.", False
    ),
    seed: int = option(SEARCH, "--seed N", "Seed of the draws and of the trials.", 0, min=0, max=options.MOST_SEED),
    runs: int = option(
        SEARCH, "--runs N", "Trainings of the best and of the default options, with seeds 0, 1, …", 6, min=1, max=1000
    ),
    settings: options.Set = None,
    preset: options.Preset = None,
    feature: options.Feature = None,
    folds: options.Folds = None,
    select: options.Select = None,
    leave_out: options.LeaveOut = None,
    labelled: options.Labelled = None,
    device: options.Device = "auto",
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder to write; a search in it goes on. [default: runs/TRACK/tuning-BASELINE]"
    ),
    force: options.Force = False,
) -> None:
    """Search a baseline's options, and score the best ones.

    The same command goes on after it was stopped, and shares the trials with others that run at the same time. A trial
    that fails is listed, and the others are finished: exit code 5.
    """
    from merbench.training.tuning.search import SamplerName
    from merbench.training.tuning.trials import SearchSettings, default_folder
    from merbench.training.tuning.trials import tune as run

    how = SearchSettings(
        trials=trials,
        sampler=cast("SamplerName", sampler.value),
        seed=seed,
        pruning=pruning,
        search=options.named_values("--search", search, "dropout=[0.2, 0.5]"),
        options=options.baseline_options(settings),
        preset=preset,
        learning=options.learning(folds, select, leave_out, labelled),
        features=feature,
        runs=runs,
        device=device,
        workers=workers,
        engine=engine,
    )
    with progress_bar() as progress:
        report = run(track, baseline, how, output=output, replace=force, progress=progress)
    if report is None:
        print("another process still trains or scores trials of this search; it writes the report")
        return
    print(report.to_text(terminal_width()))
    folder = output if output is not None else default_folder(report.track.partition("@")[0], report.baseline)
    print_line(f"wrote {folder}")
    if report.n_failed:
        print(f"failed: {report.n_failed:,} of the trials", file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)
