"""`merbench extract`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

import merbench
from merbench.cli import options
from merbench.cli.options import FEATURE, INPUT, OUTPUT
from merbench.cli.parser import option
from merbench.cli.printing import print_line, progress_bar, without_a_sample
from merbench.errors import WITH_PROBLEMS, Problem, examples, plural, problem_list

if TYPE_CHECKING:
    from merbench.features.extraction import Extracted

OnlyOption = StrEnum("OnlyOption", "vectors frames")


def extract(
    corpus: options.Corpus,
    with_: list[str] = option(
        FEATURE, "--with [NAME=]EXTRACTOR", "Extractor, by name or folder, and the feature's name; repeatable.", ...
    ),
    option_: options.ExtractorOption = None,
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
        options.recipes(with_, option_, frame_rate),
        media=media or (),
        columns=column or ("transcript",),
        train_split=split,
        only=None if only is None else cast(Any, only.value),
    )
    with progress_bar() as show:
        extracted = run(opened, request, workers=workers, engine=engine, replace=force, progress=show)
    _report(extracted)


def _report(extracted: Extracted) -> None:
    splits = ", ".join(f"{split} ({count:,})" for split, count in extracted.without.items())
    for name in extracted.features:
        n_samples, width, is_sequence = extracted.corpus.feature_shape(name)
        size = f"{plural(n_samples, 'sample')} × {width:,}{' a row' if is_sequence else ''}"
        n_zero = 0
        if extracted.corpus.modality(name) == "text" and not is_sequence:
            n_zero = int((~extracted.features[name].values.any(axis=1)).sum())
        zeros = f"; {plural(n_zero, 'sample')} without a known word: zeros" if n_zero else ""
        print_line(f"{extracted.corpus.folder}: feature '{name}', {size}{zeros}")
    if splits:
        print_line(f"no clip of {splits}")
    if extracted.n_kept:
        print_line(f"{plural(extracted.n_kept, 'sample')} had been measured before")
    for folder, files in extracted.unused.items():
        print(problem_list(str(folder), [without_a_sample(files)]), file=sys.stderr)
    for name, reasons in extracted.problems.items():
        problems = examples(list(reasons), lambda id_: Problem("E653", f"{id_}: {reasons[id_]}", id=id_))  # noqa: B023
        print(problem_list(f"feature '{name}'", problems), file=sys.stderr)
    if extracted.problems:
        raise typer.Exit(WITH_PROBLEMS)
