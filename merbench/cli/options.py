"""Options that several commands share, and those of two parts with = between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merbench.cli.parser import shared

if TYPE_CHECKING:
    from merbench.features.outputs import Recipe

MOST_SEED = (1 << 63) - 1
"""The largest seed, which TOML and every library can hold."""

# Groups of options in the help of a command.
INPUT = "Input"
INTERVALS = "Confidence intervals"
TRAINING = "Training"
SEARCH = "Search"
CORRUPTION = "Corruption"
MODEL = "Language model"
PROMPT = "Prompt"
METADATA = "Metadata"
OUTPUT = "Output"
FEATURE = "Feature"
EXECUTION = "Execution"


ListFormat = StrEnum("ListFormat", "table json")
ReportFormat = StrEnum("ReportFormat", "table json markdown html latex")
ProblemFormat = StrEnum("ProblemFormat", "text json github")


def _completed(noun: str) -> Callable[[str], list[str]]:
    """Return what completes the names of tracks or baselines; folders are left to the shell."""

    def complete(incomplete: str) -> list[str]:
        from merbench.files.paths import list_folders

        return [folder.name for folder in list_folders(noun) if folder.name.startswith(incomplete)]

    return complete


Track = Annotated[
    str, typer.Argument(metavar="TRACK", help="Name or folder of a track.", autocompletion=_completed("track"))
]
File = Annotated[str, typer.Argument(metavar="FILE", help="Submission: CSV, TSV, Parquet, JSONL or NPZ; - for stdin.")]
Corpus = Annotated[str, typer.Argument(metavar="CORPUS", help="Name or folder of a corpus.")]

Split = Annotated[str, shared(INPUT, "--split NAME", "Split of the track.")]
Rename = Annotated[
    list[str] | None, shared(INPUT, "--rename OLD=NEW", "Read column OLD of the file as column NEW; repeatable.")
]
Submissions = Annotated[Path, shared(INPUT, "--submissions DIR", "Folder of <track>/<team>/<run>/.")]

Intervals = Annotated[bool, shared(INTERVALS, "--intervals/--no-intervals", "Compute confidence intervals.")]
Level = Annotated[float | None, shared(INTERVALS, "--level LEVEL", "Confidence level. [default: from the track]")]
Resamples = Annotated[
    int | None, shared(INTERVALS, "--resamples N", "Number of bootstrap resamples. [default: from the track]")
]
Cluster = Annotated[
    str | None,
    shared(
        INTERVALS,
        "--cluster COLUMN",
        "Resample by this column (e.g. speaker); none: by sample. [default: from the track]",
    ),
]
Seed = Annotated[int, shared(INTERVALS, "--seed N", "Seed of the resampling.", min=0, max=MOST_SEED)]

Baseline = Annotated[
    str, shared(TRAINING, "--baseline NAME", "Name or folder of a baseline.", autocompletion=_completed("baseline"))
]
Systems = Annotated[
    list[str] | None,
    shared(
        TRAINING,
        "--baseline [NAME=]BASELINE",
        "Name or folder of a baseline, and the name of the system; several are compared. [default: attention]",
        autocompletion=_completed("baseline"),
    ),
]
SystemSet = Annotated[
    list[str] | None,
    shared(TRAINING, "--set [SYSTEM.]NAME=VALUE", "Option of a system, or of all that have it; repeatable."),
]
SystemPreset = Annotated[
    list[str] | None,
    shared(TRAINING, "--preset [SYSTEM=]NAME", "Preset of a system, or of all others, such as paper; repeatable."),
]
Set = Annotated[
    list[str] | None, shared(TRAINING, "--set NAME=VALUE", "Option of the baseline, see its baseline.toml; repeatable.")
]
Feature = Annotated[
    list[str] | None,
    shared(TRAINING, "--feature NAME", "Feature to learn from; repeatable. [default: from baseline.toml, else all]"),
]
Folds = Annotated[
    int | None,
    shared(
        TRAINING,
        "--folds N",
        "Folds of cross-validation, at least 2. [default: from the track, else the baseline]",
        min=2,
    ),
]
Preset = Annotated[
    str | None,
    shared(TRAINING, "--preset NAME", "Seeds, folds and options of baseline.toml, such as paper."),
]
Select = Annotated[
    str | None,
    shared(
        TRAINING,
        "--select ON",
        "Select options and epochs on folds, dev, or leave-one-group-out. [default: from the track]",
    ),
]
LeaveOut = Annotated[
    str | None,
    shared(
        TRAINING,
        "--leave-out COLUMN",
        "Samples of each value of this column are predicted by a model of the others. [default: from the track]",
    ),
]
Labelled = Annotated[
    float | None,
    shared(
        TRAINING,
        "--labelled SHARE",
        "Share of the samples to learn from that keep their labels; the others are unlabelled. [default: from the "
        "track, else 1]",
    ),
]
Device = Annotated[str, shared(EXECUTION, "--device NAME", "auto (CUDA if available), cpu, cuda, cuda:1, …")]
FeatureOf = Annotated[
    list[str] | None,
    shared(
        CORRUPTION,
        "--feature-of MODALITY=NAME",
        "Modality of a feature: audio, video, text or other; repeatable. [default: recorded, or by its name]",
    ),
]
ExtractorOption = Annotated[
    list[str] | None,
    shared(FEATURE, "--option NAME.KEY=VALUE", "Option of the extractor of feature NAME; repeatable."),
]
Workers = Annotated[int, shared(EXECUTION, "--workers N", "Processes on this machine.", min=1)]
Engine = Annotated[str, shared(EXECUTION, "--engine ENGINE", "local, or dask://host:port of a running cluster.")]

Public = Annotated[
    bool, shared(OUTPUT, "--public", "Of a split with a hidden subset, show only what participants may see.")
]
Force = Annotated[bool, shared(OUTPUT, "--force", "Overwrite the output if it already exists.")]
ReportOutput = Annotated[str, shared(OUTPUT, "--output -o FILE", "File to write; - for stdout.")]
HomeOutput = Annotated[Path | None, shared(OUTPUT, "--output -o DIR", "Folder to write. [default: in the data home]")]
ReportFormatOption = Annotated[
    ReportFormat | None,
    shared(OUTPUT, "--format", "Format of the report. [default: by the suffix of --output, else table]"),
]
ProblemFormatOption = Annotated[ProblemFormat, shared(OUTPUT, "--format", "Format of the list of problems.")]
ListFormatOption = Annotated[ListFormat, shared(None, "--format", "Format of the list.")]

MODALITY_NAME = "write MODALITY=NAME, such as audio=hubert"


def pairs(
    option: str,
    items: Sequence[str] | None,
    remedy: str = "two parts with = between them are needed",
    *,
    by_right: bool = False,
    at_last: bool = False,
) -> dict[str, str]:
    """Return what is left of each = -> what is right of it.

    Args:
        option: the option, as it is typed.
        items: the values of the option.
        remedy: the message where an item has no two parts.
        by_right: whether what is right is the key, which leads to what is left.
        at_last: whether the last = parts them, so that what is left may have others.

    Raises:
        UsageError: an item does not have two parts, or a key is given twice.
    """
    from merbench.errors import UsageError

    by_key: dict[str, str] = {}
    for item in items or ():
        left, equals, right = item.rpartition("=") if at_last else item.partition("=")
        if not (left and equals and right):
            raise UsageError(f"{option} {item}: {remedy}")
        key, value = (right, left) if by_right else (left, right)
        if key in by_key:
            raise UsageError(f"{option} {item}: duplicate '{key}'")
        by_key[key] = value
    return by_key


def renamed(items: list[str] | None) -> dict[str, str]:
    """Return what --rename gives: column of the file -> new name."""
    return pairs("--rename", items, "write OLD=NEW, such as gpt4v=discrete", at_last=True)


def learning(
    folds: int | None, select: str | None, leave_out: str | None, labelled: float | None = None
) -> dict[str, Any]:
    """Return the keys of a track's `[training]` that --folds, --select, --leave-out and --labelled replace."""
    given = {"folds": folds, "selection": select, "leave_out": leave_out, "labelled": labelled}
    return {key: value for key, value in given.items() if value is not None}


def named_values(option: str, texts: Sequence[str] | None, example: str) -> dict[str, Any]:
    """Return the values of NAME=VALUE by name; each is read as TOML, and as text where it is not TOML."""
    from merbench.errors import DeclarationError, UsageError
    from merbench.files.toml import parse_toml

    values: dict[str, Any] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not (separator and name.strip()):
            raise UsageError(f"{option} {text}: write NAME=VALUE, such as {example}")
        if name.strip() in values:
            raise UsageError(f"{option} {text}: duplicate '{name.strip()}'")
        try:
            values[name.strip()] = parse_toml(text, f"value = {value}".encode(errors="surrogateescape"))["value"]
        except DeclarationError:
            values[name.strip()] = value.strip()
    return values


def baseline_options(texts: Sequence[str] | None) -> dict[str, Any]:
    """Return the options of a baseline that --set gives."""
    return named_values("--set", texts, "learning_rate=0.0001")


_LEAST_RATE_HZ = 0.001


def _frame_rates(items: Sequence[str], names: Collection[str]) -> dict[str, float]:
    """Return what --frame-rate gives: name of a feature -> Hz; under the empty name, that of all others."""
    from merbench.errors import UsageError, did_you_mean, listed

    rates: dict[str, float] = {}
    for item in items:
        name, equals, text = item.rpartition("=")
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not _LEAST_RATE_HZ <= rate < math.inf or (equals and not name):
            remedy = f"write HZ or NAME=HZ, such as 5 or mesh=10; at least {_LEAST_RATE_HZ:g}"
            raise UsageError(f"--frame-rate {item}: {remedy}")
        if equals and name not in names:
            known = f"NAME is one of the features: {listed(list(names))}{did_you_mean(name, names)}"
            raise UsageError(f"--frame-rate {item}: {known}")
        if name in rates:
            raise UsageError(f"--frame-rate {item}: duplicate {repr(name) if name else 'rate of all features'}")
        rates[name] = rate
    return rates


def recipes(
    with_: Sequence[str], option_: Sequence[str] | None, frame_rate: Sequence[str] | None = None
) -> list[Recipe]:
    """Return the recipes that --with, --option and --frame-rate ask for."""
    from merbench.errors import UsageError, listed
    from merbench.features.outputs import Recipe

    sources: dict[str, str] = {}
    for text in with_:
        name, equals, source = text.partition("=")
        name, source = (name, source) if equals else (Path(text.partition("@")[0]).resolve().name, text)
        if not (name and source):
            raise UsageError(f"--with {text}: write EXTRACTOR or NAME=EXTRACTOR, such as voice")
        if name in sources:
            raise UsageError(f"--with {text}: a second feature '{name}'; name it otherwise: NAME={source}")
        sources[name] = source
    by_name: dict[str, dict[str, object]] = {name: {} for name in sources}
    for key, value in named_values("--option", option_, "wavlm.layer=6").items():
        name, dot, own = key.rpartition(".")
        if not dot and len(sources) == 1:
            name = next(iter(sources))
        if not sources:
            remedy = "an option of a baseline is --set NAME=VALUE"
            raise UsageError(f"--option {key}: an option of an extractor, but no --with names one; {remedy}")
        if name not in sources:
            names = listed(list(sources))
            raise UsageError(f"--option {key}: write NAME.KEY=VALUE; NAME is one of the features: {names}")
        if own in by_name[name]:
            raise UsageError(f"--option {key}: duplicate '{name}.{own}'")
        by_name[name][own] = value
    rates = _frame_rates(frame_rate or (), sources)
    made = [Recipe(name, source, by_name[name], rates.get(name, rates.get(""))) for name, source in sources.items()]
    of_pictures = {recipe.name for recipe in made if recipe.extractor.input in ("pictures", "faces")}
    for name in rates:
        if not of_pictures or name not in {"", *of_pictures}:
            option = f"--frame-rate {name}={rates[name]:g}" if name else "--frame-rate"
            raise UsageError(f"{option}: applies only to extractors that read pictures or faces")
    return made
