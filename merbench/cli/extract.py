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
from merbench.errors import EXAMPLES_SHOWN, WITH_PROBLEMS, Problem, UsageError, examples, listed, plural, problem_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from merbench.features.extraction import Extracted

OnlyOption = StrEnum("OnlyOption", "vectors frames")


def extract(
    corpus: options.Corpus,
    with_: list[str] = option(
        FEATURE, "--with [NAME=]EXTRACTOR", "Extractor, by name or folder, and the feature's name; repeatable.", ...
    ),
    option_: options.ExtractorOption = None,
    frame_rate: list[str] | None = option(
        FEATURE,
        "--frame-rate [NAME=]HZ",
        "Pictures a second to read, for all features or for one; repeatable. [default: as the extractor declares]",
    ),
    media: list[Path] | None = option(INPUT, "--media DIR", "Folder of clips; repeatable: later ones are preferred."),
    column: list[str] | None = option(
        INPUT, "--column NAME", "Column of text; repeatable: their features are concatenated. [default: transcript]"
    ),
    split: str | None = option(
        INPUT, "--split NAME", "Split of the corpus that tfidf-svd is fitted on. [default: train]"
    ),
    only: OnlyOption | None = option(
        OUTPUT, "--only", "Of sequences, write only the pooled vectors, or only the frames. [default: both]"
    ),
    problems: Path | None = option(
        OUTPUT, "--problems FILE", "Also write every problem, a row for each sample: .csv, .parquet or .jsonl."
    ),
    workers: options.Workers = 1,
    engine: options.Engine = "local",
    force: options.Force = False,
) -> None:
    """Extract features from the clips and texts of a corpus.

    A sequence becomes two features: NAME, its pooled vector, and NAME.frames (NAME.tokens of a text), with times.
    A run that was interrupted is continued. A sample that cannot be measured is listed: exit code 5.
    """
    from merbench.features.extraction import NothingExtracted, Request
    from merbench.features.extraction import extract as run
    from merbench.scoring.samples import require_samples_file

    if problems is not None:
        require_samples_file(problems)
    opened = merbench.open_corpus(corpus)
    request = Request(
        options.recipes(with_, option_, frame_rate),
        media=media or (),
        columns=column or ("transcript",),
        train_split=split or "train",
        only=None if only is None else cast(Any, only.value),
    )
    if split is not None and not request.of("corpus"):
        raise UsageError("--split: applies only to extractors that learn from a split, such as tfidf-svd")
    if column and not request.of("texts", "corpus"):
        raise UsageError("--column: applies only to extractors that read texts")
    if len(set(request.columns)) < len(request.columns):
        raise UsageError(f"--column: a column is named twice: {', '.join(request.columns)}")
    try:
        with progress_bar() as show:
            extracted = run(opened, request, workers=workers, engine=engine, replace=force, progress=show)
    except NothingExtracted as error:
        _write_problems(error.problems, problems)
        raise
    _write_problems(extracted.problems, problems)
    _report(extracted)
    if extracted.problems:
        _report_problems(extracted.problems, problems)
        raise typer.Exit(WITH_PROBLEMS)


def _report(extracted: Extracted) -> None:
    splits = ", ".join(f"{split} ({count:,})" for split, count in extracted.without.items())
    for name in extracted.features:
        n_samples, width, is_sequence = extracted.corpus.feature_shape(name)
        size = f"{plural(n_samples, 'sample')} × {width:,}{' a row' if is_sequence else ''}"
        n_zero = 0
        if extracted.corpus.modality(name) == "text" and not is_sequence:
            n_zero = int((~extracted.features[name].values.any(axis=1)).sum())
        learns = "split" in extracted.corpus.declaration.extracted[name].options
        what = "without a known word: zeros" if learns else "with zeros only, as of an empty text"
        zeros = f"; {plural(n_zero, 'sample')} {what}" if n_zero else ""
        print_line(f"{extracted.corpus.folder}: feature '{name}', {size}{zeros}")
    if splits:
        print_line(f"no clip of {splits}")
    if extracted.n_kept:
        print_line(f"{plural(extracted.n_kept, 'sample')} had been measured before")
    for folder, files in extracted.unused.items():
        print(problem_list(str(folder), [without_a_sample(files)]), file=sys.stderr)


def _report_problems(problems: Mapping[str, Mapping[str, str]], file: Path | None) -> None:
    from merbench.features.extraction import problems_by_sample

    groups: dict[tuple[str, ...], list[Problem]] = {}
    for sample_id, names, reason in problems_by_sample(problems):
        groups.setdefault(names, []).append(Problem("E653", f"{sample_id}: {reason}", id=sample_id))
    for names, group in sorted(groups.items(), key=lambda item: (-len(item[0]), item[0])):
        where = f"feature '{names[0]}'" if len(names) == 1 else f"features {listed(names)}"
        print(problem_list(where, examples(group, lambda problem: problem)), file=sys.stderr)
    if file is None and any(len(group) > EXAMPLES_SHOWN for group in groups.values()):
        print("--problems FILE writes all of them", file=sys.stderr)


def _write_problems(problems: Mapping[str, Mapping[str, str]], file: Path | None) -> None:
    if file is None:
        return
    import pyarrow as pa

    from merbench.features.extraction import problems_by_sample
    from merbench.scoring.samples import write_samples

    types = {"sample_id": pa.string(), "features": pa.list_(pa.string()), "problem": pa.string()}
    columns = list(zip(*problems_by_sample(problems), strict=True)) or [()] * len(types)
    write_samples(pa.table(dict(zip(types, columns, strict=True)), schema=pa.schema(types)), file)
