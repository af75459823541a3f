"""`merbench search`."""

from __future__ import annotations

from pathlib import Path

from merbench.cli import options
from merbench.cli.options import OUTPUT, SEARCH
from merbench.cli.parser import option
from merbench.cli.printing import print_line, progress_bar, terminal_width


def search(
    track: options.Track,
    baseline: options.Baseline = "bm-nas",
    random: int = option(
        SEARCH, "--random N", "Random architectures to compare with; 0, or at least 10.", 10, min=0, max=1000
    ),
    runs: int = option(SEARCH, "--runs N", "Trainings of an architecture and fold, seeds 0, 1, …", 3, min=1, max=100),
    seed: int = option(
        SEARCH, "--seed N", "Seed of the search, folds and random architectures.", 0, min=0, max=options.MOST_SEED
    ),
    settings: options.Set = None,
    preset: options.Preset = None,
    feature: options.Feature = None,
    folds: options.Folds = None,
    select: options.Select = None,
    labelled: options.Labelled = None,
    device: options.Device = "auto",
    output: Path | None = option(
        OUTPUT, "--output -o DIR", "Folder to write; a search in it goes on. [default: runs/TRACK/search-BASELINE]"
    ),
    force: options.Force = False,
) -> None:
    """Search a baseline's architecture.

    It is compared with random ones. Only training samples are seen. `run-baseline --set genotype=DIR/genotype.toml`
    trains what was found. The same command goes on after it was stopped.
    """
    from merbench.training.architecture.search import ArchitectureSettings, default_folder
    from merbench.training.architecture.search import search as run

    how = ArchitectureSettings(
        random=random,
        runs=runs,
        seed=seed,
        options=options.baseline_options(settings),
        preset=preset,
        learning=options.learning(folds, select, None, labelled),
        features=feature,
        device=device,
    )
    with progress_bar() as progress:
        report = run(track, baseline, how, output=output, replace=force, progress=progress)
    print(report.to_text(terminal_width()))
    folder = output if output is not None else default_folder(report.track.partition("@")[0], report.baseline)
    print_line(f"wrote {folder}")
