"""`merbench robustness`."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from merbench.cli import options
from merbench.cli.options import CORRUPTION, OUTPUT, TRAINING
from merbench.cli.parser import option
from merbench.cli.printing import print_line, progress_bar, terminal_width
from merbench.cli.systems import features_by_place, named_systems
from merbench.errors import WITH_PROBLEMS, UsageError, listed, plural
from merbench.files.paths import find_folder

if TYPE_CHECKING:
    from merbench.robustness import RobustnessComparison, RobustnessReport


class WeightsOption(StrEnum):
    """What is trained for the conditions."""

    shared = "shared"
    per_condition = "per-condition"
    mixed = "mixed"


class FeatureScaleOption(StrEnum):
    """The scale on which features are corrupted."""

    standardised = "standardised"
    stored = "stored"


def robustness(
    track: options.Track,
    grid: list[str] = option(
        CORRUPTION, "--grid NAME=VALUES", "snr_db=20,10,0 or severity=1..5 or rate=0..0.7:0.1; repeatable.", ...
    ),
    corruption: list[str] | None = option(
        CORRUPTION, "--corruption NAME", "Corruption or step; repeatable. [default: that of the parameter]"
    ),
    param: list[str] | None = option(
        CORRUPTION, "--param NAME=VALUE", "Parameter of all, or CORRUPTION.NAME=VALUE of one; repeatable."
    ),
    feature_scale: FeatureScaleOption = option(
        CORRUPTION, "--feature-scale", "Scale on which features are corrupted.", FeatureScaleOption.standardised
    ),
    media: list[Path] | None = option(
        CORRUPTION, "--media DIR", "Folder of clips; repeatable: later ones are preferred."
    ),
    with_: list[str] | None = option(
        CORRUPTION,
        "--with MODALITY=EXTRACTOR",
        "Extractor of corrupted audio, video or text; repeatable. [default: voice, face, tfidf-svd]",
    ),
    option_: options.ExtractorOption = None,
    feature_of: options.FeatureOf = None,
    split: options.Split = "test",
    baseline: options.Systems = None,
    set_: options.SystemSet = None,
    preset: options.SystemPreset = None,
    feature: list[str] | None = option(
        TRAINING,
        "--feature [SYSTEM=]NAME",
        "Feature to learn from; repeatable. [default: from baseline.toml, else all]",
    ),
    weights: WeightsOption = option(
        TRAINING,
        "--weights",
        "Train one model on clean samples, one per condition, or one on samples of all conditions.",
        WeightsOption.shared,
    ),
    leave_out: str | None = option(TRAINING, "--leave-out COLUMN", "Predict each value of a column from the others."),
    labelled: options.Labelled = None,
    relative_to: str | None = option(
        TRAINING, "--relative-to NAME", "Second baseline, for relative corruption errors."
    ),
    seed: int = option(TRAINING, "--seed N", "Seed of the training.", 0, min=0, max=options.MOST_SEED),
    folds: options.Folds = None,
    device: options.Device = "auto",
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    intervals: options.Intervals = True,
    output: Path | None = option(
        OUTPUT,
        "--output -o DIR",
        "Folder to write. [default: runs/TRACK/robustness-BASELINE, of several runs/TRACK/robustness]",
    ),
    force: options.Force = False,
) -> None:
    """Measure how performance drops as corruption increases.

    Several systems are compared. What fails, a condition or a system, is listed; the others are finished: exit code 5.
    """
    from merbench.robustness import Settings, compare_robustness, default_folder
    from merbench.robustness import robustness as run

    baselines = baseline or ["attention"]
    parameters = options.named_values("--param", param, "factor=1")
    _require_baseline_options(baselines, options.baseline_options(set_), parameters, corruption)
    shared, systems = named_systems(baselines, set_, preset)
    settings = Settings(
        corruption=corruption or (),
        parameters=parameters,
        weights=weights.value,
        feature_scale=feature_scale.value,
        media=media or (),
        extractors={recipe.name: recipe for recipe in options.recipes(with_ or (), option_)},
        features=features_by_place(feature) or None,
        modalities=options.pairs("--feature-of", feature_of, options.MODALITY_NAME, by_right=True),
        leave_out=leave_out,
        labelled=labelled,
        split=split,
        relative_to=relative_to,
        options=shared,
        seed=seed,
        folds=folds,
        device=device,
        workers=workers,
        engine=engine,
        intervals=intervals,
    )
    report: RobustnessReport | RobustnessComparison
    with progress_bar() as progress:
        if len(systems) == 1:
            report = run(track, systems[0], read_grids(grid), settings, output=output, replace=force, progress=progress)
        else:
            report = compare_robustness(
                track, systems, read_grids(grid), settings, output=output, replace=force, progress=progress
            )
    print(report.to_text(terminal_width()))
    name = systems[0].name if len(systems) == 1 else ""
    folder = output if output is not None else default_folder(report.track.partition("@")[0], name)
    print_line(f"wrote {folder}")
    if report.problems:
        n = len(report.problems)
        several = "system or condition" if n == 1 else "systems or conditions"
        print(f"failed: {plural(n, 'condition') if len(systems) == 1 else f'{n:,} {several}'}", file=sys.stderr)
        raise typer.Exit(WITH_PROBLEMS)


def _require_baseline_options(
    baselines: Sequence[str], settings: Collection[str], parameters: Collection[str], corruptions: Sequence[str] | None
) -> None:
    """Raise `UsageError` where --set, an option of the baseline, looks like a parameter of a corruption."""
    from merbench.corruptions import CORRUPTIONS
    from merbench.training.declaration import read_baseline

    chosen = [CORRUPTIONS[name] for name in corruptions or () if name in CORRUPTIONS]
    known = [CORRUPTIONS[name] for name in CORRUPTIONS]
    sources = [text.rpartition("=")[2] for text in baselines]
    of_systems = {text.partition("=")[0] for text in baselines}
    for name in settings:
        system, _, parameter = name.rpartition(".")
        if system in of_systems:
            continue
        own = [each for each in sources if name in read_baseline(find_folder("baseline", each)).defaults]
        if not own and any(parameter in item.parameters for item in known):
            which = listed(sources)
            raise UsageError(f"--set {name}: not an option of {which}; --param {name}=VALUE is for corruptions")
        both = [item.name for item in chosen if name in item.parameters and name not in parameters]
        if own and both:
            raise UsageError(f"--set {name}: an option of {own[0]}; give --param {name}=VALUE for {both[0]} as well")


def read_grids(texts: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the values of every `--grid NAME=VALUES` by the name; raise `UsageError` for another form, or twice."""
    from merbench.robustness import parse_grid

    grids: dict[str, Sequence[Any]] = {}
    for text in texts:
        name, values = parse_grid(text)
        if name in grids:
            raise UsageError(f"--grid {text}: a second grid of {name}; write all values in one")
        grids[name] = values
    return grids
