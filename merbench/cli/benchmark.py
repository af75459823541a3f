"""`merbench benchmark`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from merbench.cli import options
from merbench.cli.options import OUTPUT, TRAINING
from merbench.cli.parser import argument, option
from merbench.cli.printing import print_line, progress_bar, terminal_width
from merbench.errors import WITH_PROBLEMS, UsageError, did_you_mean, listed, plural

if TYPE_CHECKING:
    from merbench.benchmark import System


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
    set_: list[str] | None = option(
        TRAINING,
        "--set [SYSTEM.]NAME=VALUE",
        "Option of a system, or of all that have it; repeatable.",
    ),
    preset: list[str] | None = option(
        TRAINING,
        "--preset [SYSTEM=]NAME",
        "Preset of a system, or of all others, such as paper; repeatable.",
    ),
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

    shared, systems = _systems(baseline, set_, preset)
    settings = BenchmarkSettings(
        seeds=None if seeds is None else range(seeds),
        options=shared,
        features=_features(feature),
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


def _systems(
    baselines: Sequence[str], settings: Sequence[str] | None, presets: Sequence[str] | None
) -> tuple[dict[str, Any], list[System]]:
    """Return the options of all systems, and the systems with those of their own."""
    from merbench.benchmark import System

    sources = [text.partition("=") for text in baselines]
    named = [(left, right) if equals else (Path(left).resolve().name, left) for left, equals, right in sources]
    if empty := [text for text, (name, source) in zip(baselines, named, strict=True) if not (name and source)]:
        raise UsageError(f"--baseline {empty[0]}: write BASELINE or NAME=BASELINE, such as no-context=context-gru")
    names = [name for name, _ in named]
    shared: dict[str, Any] = {}
    own: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in options.baseline_options(settings).items():
        system, dot, name = key.rpartition(".")
        if dot:
            _require_system(f"--set {key}", system, names)
        (own[system] if dot else shared)[name] = value
    by_system: dict[str, str] = {}
    for text in presets or ():
        system, _, preset = text.rpartition("=")
        if system:
            _require_system(f"--preset {text}", system, names)
        if system in by_system or not preset:
            raise UsageError(f"--preset {text}: write NAME or SYSTEM=NAME, once for each system")
        by_system[system] = preset
    return shared, [
        System(name=name, baseline=source, preset=by_system.get(name, by_system.get("")), options=own[name])
        for name, source in named
    ]


def _require_system(option_: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise UsageError(
            f"{option_}: no system '{name}'; the systems are {listed(names, 12)}{did_you_mean(name, names)}"
        )


def _features(texts: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the features by where they are learned from; under the empty text those of all other places."""
    by_place: dict[str, list[str]] = {}
    for text in texts or ():
        place, equals, name = text.rpartition("=")
        if not name or (equals and not place):
            raise UsageError(f"--feature {text}: write NAME or WHERE=NAME, such as meld=sentence")
        by_place.setdefault(place, []).append(name)
    return by_place
