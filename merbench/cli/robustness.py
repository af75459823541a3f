"""`merbench robustness`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from merbench.cli.baselines import ForceOption, IntervalsOption, named_value
from merbench.cli.options import (
    MODALITY_NAME,
    MOST_SEED,
    BaselineOption,
    Engine,
    TrackArgument,
    Workers,
    pairs,
    print_line,
    terminal_width,
)


class WeightsOption(StrEnum):
    """What is trained for the conditions."""

    shared = "shared"
    per_condition = "per-condition"


class FeatureScaleOption(StrEnum):
    """The scale on which features are corrupted."""

    standardised = "standardised"
    stored = "stored"


def add_commands(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("robustness")(robustness)


def robustness(
    track: TrackArgument,
    grid: Annotated[
        list[str],
        typer.Option(metavar="NAME=VALUES", help="snr_db=20,10,5,0 or severity=1..5 or rate=0..0.7:0.1; repeatable."),
    ],
    baseline: BaselineOption = "attention",
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Corruption, or step of the track; repeatable. Else the one declared with the parameter.",
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Another parameter, of all corruptions that have it, or CORRUPTION.NAME=VALUE of one; repeatable.",
        ),
    ] = None,
    weights: Annotated[
        WeightsOption, typer.Option(help="One model trained on undamaged samples, or one for each condition.")
    ] = WeightsOption.shared,
    feature_scale: Annotated[
        FeatureScaleOption, typer.Option(help="Corrupt features standardised by the training data, or as stored.")
    ] = FeatureScaleOption.standardised,
    media: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder of clips; repeatable, the last one wins.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Feature to learn from; repeatable. The baseline declares the default, else all."
        ),
    ] = None,
    feature_of: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY=NAME", help="A feature is of audio, video, text or other; repeatable."),
    ] = None,
    leave_out: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Predict each value of a corpus column from the others.")
    ] = None,
    split: Annotated[str, typer.Option(metavar="NAME", help="Split that is damaged and scored.")] = "test",
    relative_to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Second baseline, to take corruption errors relative to.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option in the baseline's baseline.toml; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Seed of the training.")] = 0,
    folds: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Folds of cross-validation. The baseline declares the default."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto (CUDA where there is one), cpu, cuda, cuda:1, …")
    ] = "auto",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Folder to write; runs/TRACK/robustness-BASELINE."),
    ] = None,
    workers: Workers = 1,
    engine: Engine = "local",
    intervals: IntervalsOption = True,
    force: ForceOption = False,
) -> None:
    """Score a baseline under growing corruption.

    A condition that fails is named, and the others are finished: exit code 5.
    """
    from merbench.cli.progress import progress_bar
    from merbench.errors import WITH_PROBLEMS, plural
    from merbench.robustness import Settings, default_folder
    from merbench.robustness import robustness as run

    settings = Settings(
        corruption=corruption or (),
        parameters=dict(named_value(text, example="factor=1") for text in parameter or ()),
        weights=weights.value,
        feature_scale=feature_scale.value,
        media=media or (),
        features=feature,
        modalities=pairs("--feature-of", feature_of, MODALITY_NAME, by_right=True),
        leave_out=leave_out,
        split=split,
        relative_to=relative_to,
        options=dict(named_value(text, "--option") for text in option or ()),
        seed=seed,
        folds=folds,
        device=device,
        workers=workers,
        engine=engine,
        intervals=intervals,
    )
    with progress_bar() as progress:
        report = run(track, baseline, _grids(grid), settings, output=output, replace=force, progress=progress)
    print(report.to_text(terminal_width()))
    folder = output if output is not None else default_folder(report.track.partition("@")[0], report.baseline)
    print_line(f"wrote {folder}")
    if report.problems:
        print(f"failed: {plural(len(report.problems), 'condition')}", file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)


def _grids(texts: Sequence[str]) -> dict[str, Sequence[Any]]:
    from merbench.errors import UsageError
    from merbench.robustness import parse_grid

    grids: dict[str, Sequence[Any]] = {}
    for text in texts:
        name, values = parse_grid(text)
        if name in grids:
            raise UsageError(f"grid '{text}': a second grid of {name}; write all values in one")
        grids[name] = values
    return grids
