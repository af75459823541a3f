"""`merbench benchmark`."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from merbench.cli import options
from merbench.cli.options import OUTPUT, TRAINING
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_line, progress_bar, terminal_width
from merbench.cli.systems import features_by_place, named_systems
from merbench.errors import WITH_PROBLEMS, plural


def benchmark(
    tracks: list[str] = argument("TRACK", "Names or folders of tracks."),
    baseline: list[str] = option(
        TRAINING,
        "--baseline [NAME=]BASELINE",
        "Name or folder of a baseline, and the name of the system; repeatable.",
        ...,
    ),
    seeds: int | None = option(
        TRAINING,
        "--seeds N",
        "Train every system with seeds 0 to N - 1. [default: those of the preset, else 5]",
        min=1,
        max=1000,
    ),
    set_: options.SystemSet = None,
    preset: options.SystemPreset = None,
    feature: list[str] | None = option(
        TRAINING,
        "--feature [WHERE=]NAME",
        "Feature to learn from; WHERE is a track, a system or SYSTEM.TRACK; repeatable. [default: from baseline.toml, "
        "else all]",
    ),
    folds: options.Folds = None,
    device: options.Device = "auto",
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    output: Path = option(
        OUTPUT, "--output -o DIR", "Folder of the report and of the runs, DIR/TRACK/SYSTEM.", Path("runs/benchmark")
    ),
    force: bool = option(OUTPUT, "--force", "Train runs of the folder again that have other inputs.", False),
) -> None:
    """Train and compare several systems on several tracks.

    The same command goes on after it was stopped. A system that cannot be run on a track is listed, and the others are
    finished: exit code 5.
    """
    from merbench.benchmark import BenchmarkSettings
    from merbench.benchmark import benchmark as run

    shared, systems = named_systems(baseline, set_, preset)
    settings = BenchmarkSettings(
        seeds=None if seeds is None else range(seeds),
        options=shared,
        features=features_by_place(feature),
        folds=folds,
        device=device,
        workers=workers,
        engine=engine,
    )
    with progress_bar() as progress:
        report = run(tracks, systems, settings, output=output, replace=force, progress=progress)
    print(report.to_text(terminal_width()))
    print_line(f"wrote {output}")
    if report.problems:
        print(f"no value: {len(report.problems):,} of {plural(len(report.cells), 'cell')}", file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)
