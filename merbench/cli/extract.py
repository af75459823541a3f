"""`merbench extract`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import FEATURE, INPUT, OUTPUT
from merbench.cli.parser import option
from merbench.cli.printing import print_line, progress_bar
from merbench.errors import WITH_PROBLEMS, Problem, UsageError, examples, plural, problem_list

if TYPE_CHECKING:
    from merbench.corpus import Feature
    from merbench.features.extraction import Extracted
    from merbench.features.outputs import Recipe

OnlyOption = StrEnum("OnlyOption", "vectors frames")


def extract(
    corpus: options.Corpus,
    with_: list[str] = option(
        FEATURE, "--with [NAME=]EXTRACTOR", "Extractor, by name or folder, and the feature's name; repeatable.", ...
    ),
    option_: list[str] | None = option(
        FEATURE, "--option NAME.KEY=VALUE", "Option of the extractor of feature NAME; repeatable."
    ),
    frame_rate: float | None = option(
        FEATURE, "--frame-rate HZ", "Pictures a second to read. [default: as the extractor declares]", min=0.001
    ),
    media: list[Path] | None = option(INPUT, "--media DIR", "Folder of clips; repeatable: later ones are preferred."),
    column: list[str] | None = option(
        INPUT, "--column NAME", "Column of text; repeatable: their features are concatenated. [default: transcript]"
    ),
    split: str = option(INPUT, "--split NAME", "Split of the corpus that tfidf-svd is fitted on.", "train"),
    only: OnlyOption | None = option(
        OUTPUT, "--only", "Of sequences, write only the pooled vectors, or only the frames. [default: both]"
    ),
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    force: options.Force = False,
) -> None:
    """Extract features from the clips and texts of a corpus.

    A sequence becomes two features: NAME, its pooled vector, and NAME.frames (NAME.tokens of a text), with times.
    A run that was interrupted is continued. A sample that cannot be measured is listed: exit code 5.
    """
    from merbench.features.extraction import Request
    from merbench.features.extraction import extract as run

    opened = merbench.open_corpus(corpus)
    request = Request(
        _recipes(with_, option_, frame_rate),
        media=media or (),
        columns=column or ("transcript",),
        train_split=split,
        only=None if only is None else cast(Any, only.value),
    )
    with progress_bar() as show:
        extracted = run(opened, request, workers=workers, engine=engine, replace=force, progress=show)
    _report(extracted)


def _recipes(with_: Sequence[str], option_: Sequence[str] | None, frame_rate: float | None) -> list[Recipe]:
    """Return the recipes that --with and --option ask for."""
    from merbench.features.outputs import Recipe

    sources: dict[str, str] = {}
    for text in with_:
        name, equals, source = text.partition("=")
        name, source = (name, source) if equals else (Path(text).name, text)
        if not (name and source):
            raise UsageError(f"--with {text}: write EXTRACTOR or NAME=EXTRACTOR, such as voice")
        if name in sources:
            raise UsageError(f"--with {text}: a second feature '{name}'; name it otherwise: NAME={source}")
        sources[name] = source
    by_name: dict[str, dict[str, object]] = {name: {} for name in sources}
    for key, value in options.named_values("--option", option_, "wavlm.layer=6").items():
        name, dot, own = key.rpartition(".")
        if not dot and len(sources) == 1:
            name = next(iter(sources))
        if name not in sources:
            known = ", ".join(sources)
            raise UsageError(f"--option {key}: write NAME.KEY=VALUE; NAME is one of the features: {known}")
        by_name[name][own] = value
    recipes = [Recipe(name, source, by_name[name], frame_rate) for name, source in sources.items()]
    if frame_rate is not None and all(recipe.extractor.input not in ("pictures", "faces") for recipe in recipes):
        raise UsageError("--frame-rate: applies only to extractors that read pictures or faces")
    return recipes


def _report(extracted: Extracted) -> None:
    splits = ", ".join(f"{split} ({count:,})" for split, count in extracted.without.items())
    for name, feature in extracted.features.items():
        print_line(f"{extracted.corpus.folder}: feature '{name}', {_shape(feature)}")
    if splits:
        print_line(f"no clip of {splits}")
    if extracted.n_kept:
        print_line(f"{plural(extracted.n_kept, 'sample')} had been measured before")
    for name, reasons in extracted.problems.items():
        problems = examples(list(reasons), lambda id_: Problem("E653", f"{id_}: {reasons[id_]}", id=id_))  # noqa: B023
        print(problem_list(f"feature '{name}'", problems), file=sys.stderr)
    if extracted.problems:
        raise typer.Exit(WITH_PROBLEMS)


def _shape(feature: Feature) -> str:
    size = f"{plural(len(feature), 'sample')} × {feature.width:,}"
    return (
        size
        if feature.offsets is None
        else f"{plural(len(feature), 'sample')}, {len(feature.values):,} × {feature.width:,}"
    )
