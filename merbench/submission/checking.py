"""A source and the candidates go in, the checked predictions come out, aligned with the candidates.

Conventions:
    Values have one item per candidate, in the order of the candidates, and are those of `merbench.metrics.metric`.
    Checks gather every problem of a stage before the next one starts: the file, its columns, then ids and cells
    together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, candidate_column, open_candidates, values_digest
from merbench.errors import InvalidSubmission, Problem, examples
from merbench.metrics.lists import Values
from merbench.submission.alignment import aligned, averaged
from merbench.submission.content import Budget
from merbench.submission.header import header_problems, undeclared_warning, unlike_header
from merbench.submission.ids import Rows, align
from merbench.submission.items import (
    described_pairs,
    label_set_values,
    multilabel_values,
    pair_problems,
    preference_values,
    ranked_values,
    segment_values,
    text_values,
)
from merbench.submission.reading import read_sheet
from merbench.submission.sheet import ITEMS, STRETCHES, BrokenRow, Sheet, Wanted
from merbench.submission.values import Mask, TargetValues, categorical_values, number_values, probability_columns
from merbench.submission.wrong_track import columns_of, made_for
from merbench.track import (
    CategoricalTarget,
    LabelSetTarget,
    MultilabelTarget,
    PreferenceTarget,
    RankedTarget,
    ScoresTarget,
    SegmentsTarget,
    Target,
    TextTarget,
    Track,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Submission:
    """One checked table of predictions, one row per candidate.

    Attributes:
        candidates: what was to be predicted.
        source: where it was read from.
        values: predictions per target.
        probabilities: per categorical target that came with them, one column per label; not a number where missing.
        dropped: per target that has such, the candidates whose answer does not count.
        warnings: what a reader must know; never a reason to refuse it.
        n_rows: rows of the file.
        n_extra: rows that are of no candidate and were ignored.
    """

    candidates: Candidates
    source: str
    values: dict[str, Values] = field(repr=False)
    probabilities: dict[str, NDArray[np.float64]] = field(repr=False)
    dropped: dict[str, Mask] = field(repr=False)
    warnings: tuple[Problem, ...]
    n_rows: int
    n_extra: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, values and probabilities: neither row order nor file format change it."""
        chances = {f"p_{name}": table for name, table in self.probabilities.items()}
        masks = {f"dropped {name}": mask.view(np.uint8) for name, mask in self.dropped.items()}
        return values_digest(self.candidates.ids_digest, {**self.values, **chances, **masks})


def read_submission(
    source: str | Path | pa.Table | pd.DataFrame,
    candidates: Candidates | Track | str | Path,
    *,
    rename: Mapping[str, str] | None = None,
) -> Submission:
    """Return a participant's predictions after every check.

    Args:
        source: a file, `-` for standard input, an Arrow table or a pandas data frame.
        candidates: what is to be predicted; a track, or its name, stands for its test split.
        rename: new names of columns: old name -> new name.

    Raises:
        InvalidSubmission: it has problems; all of them are listed.
        UsageError: there is no such file.
    """
    if not isinstance(candidates, Candidates):
        candidates = open_candidates(candidates)
    track = candidates.track
    rules = track.submission
    pairs = described_pairs(candidates)
    wanted = {**_wanted(track), **dict.fromkeys(pairs, pa.string())}
    where, sheet, warnings = read_sheet(source, wanted, rules, Budget.of(candidates), rename)
    problems = _column_problems(where, sheet, candidates)
    alignment = align(sheet, candidates.ids, rules)
    elsewhere = made_for(sheet, candidates, int((alignment.candidate_of >= 0).sum())) if alignment.problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    relevant = alignment.candidate_of >= 0 if alignment.n_extra else np.ones(sheet.n_rows, dtype=np.bool_)
    found = _target_values(sheet, candidates, alignment.candidate_of, relevant)
    problems += pair_problems(sheet, pairs, alignment.candidate_of)
    problems += [*alignment.problems, *(problem for values in found.values() for problem in values.problems)]
    known = alignment.candidate_of[alignment.candidate_of >= 0]
    several = rules.duplicate_ids == "mean" and np.bincount(known, minlength=1).max() > 1
    if several:
        problems += _unaveraged(track, found)
    if problems:
        raise InvalidSubmission(where, problems)
    if several:
        found = {name: averaged(values, alignment.candidate_of, len(candidates)) for name, values in found.items()}
        row_of: Rows | None = np.where(alignment.row_of < 0, -1, np.arange(len(candidates)))
    else:
        row_of = None if alignment.in_order else alignment.row_of
    placed = {name: aligned(values, row_of, rules.missing_ids) for name, values in found.items()}
    of_cells = (warning for values in found.values() for warning in values.warnings)
    return Submission(
        candidates,
        where,
        {name: values.values for name, values in placed.items()},
        {name: values.probabilities for name, values in placed.items() if values.probabilities is not None},
        {name: values.dropped for name, values in placed.items() if values.dropped is not None},
        (*warnings, *undeclared_warning(sheet, track, pairs), *alignment.warnings, *of_cells),
        sheet.n_rows,
        alignment.n_extra,
    )


def _unaveraged(track: Track, found: dict[str, TargetValues]) -> list[Problem]:
    """Return the targets whose rows of one id cannot be averaged: labels without probabilities."""
    message = "several rows of an id are averaged, which needs the probabilities of its labels"
    return [
        Problem("E202", f"{message}: columns p_<label>", column=name)
        for name, values in found.items()
        if track.targets[name].kind == "categorical" and values.probabilities is None
    ]


def _column_problems(where: str, sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return what is wrong with rows and columns; raise it where the ids of the rows cannot be looked at."""
    track = candidates.track
    unread = unlike_header(sheet, track)
    if unread:
        raise InvalidSubmission(where, [unread])
    problems = [*examples(sheet.broken, _broken_row), *header_problems(sheet, candidates), *sheet.problems]
    elsewhere = columns_of(sheet, candidates) if problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    no_ids = track.submission.id not in sheet.columns or any(problem.code == "E201" for problem in problems)
    if no_ids or sheet.names.count(track.submission.id) != 1 or not sheet.n_rows:
        raise InvalidSubmission(where, problems or [Problem("E111", "there are no rows")])
    return problems


def _misdirected(where: str, candidates: Candidates, elsewhere: str) -> InvalidSubmission:
    here = f"this is track '{candidates.track.id}', split '{candidates.split}'"
    return InvalidSubmission(where, [Problem("E112", f"looks made for {elsewhere}; {here}")])


def _wanted(track: Track) -> Wanted:
    """Return the columns to read, each with the type it is best read as."""
    kinds = {column: _best_type(target) for name, target in track.targets.items() for column in target.columns(name)}
    chances = {name: pa.float64() for names in probability_columns(track).values() for name in names}
    return {track.submission.id: pa.string(), **kinds, **chances}


def _best_type(target: Target) -> pa.DataType:
    """Return the type a target's columns are best read as: labels as text, numbers as numbers, lists as they are."""
    match target:
        case CategoricalTarget() | PreferenceTarget() | TextTarget():
            return pa.string()
        case LabelSetTarget() | RankedTarget():
            return ITEMS
        case SegmentsTarget():
            return STRETCHES
    return pa.float64()


def _broken_row(row: BrokenRow) -> Problem:
    return Problem("E206", row.message, line=row.line, id=row.id)


def _target_values(sheet: Sheet, candidates: Candidates, candidate_of: Rows, relevant: Mask) -> dict[str, TargetValues]:
    """Return the values of every target whose columns are there; the others are problems of the header."""
    found = {}
    track = candidates.track
    chances_of = {
        name: names
        for name, names in probability_columns(track).items()
        if all(item in sheet.columns for item in names)
    }
    for name, target in track.targets.items():
        if name in chances_of or all(column in sheet.columns for column in target.columns(name)):
            chances = chances_of.get(name, ())
            found[name] = _values_of(sheet, name, target, relevant, chances, candidates, candidate_of)
    return found


def _values_of(
    sheet: Sheet,
    name: str,
    target: Target,
    relevant: Mask,
    chances: Sequence[str],
    candidates: Candidates,
    candidate_of: Rows,
) -> TargetValues:
    missing_ids = candidates.track.submission.missing_ids
    match target:
        case CategoricalTarget():
            return categorical_values(sheet, name, target, relevant, chances, missing_ids)
        case PreferenceTarget():
            return preference_values(sheet, name, target, relevant)
        case LabelSetTarget():
            return label_set_values(sheet, name, target, relevant)
        case TextTarget():
            return text_values(sheet, name, target, relevant)
        case RankedTarget():
            return ranked_values(sheet, name, target, relevant, missing_ids)
        case MultilabelTarget():
            return multilabel_values(sheet, target, relevant)
        case SegmentsTarget():
            durations = None
            if target.duration is not None:
                durations = candidate_column(candidates, target.duration, "with the durations of samples")
                durations = durations.take(pa.array(candidate_of, mask=candidate_of < 0))
            return segment_values(sheet, name, target, relevant, durations)
        case ScoresTarget():
            return number_values(sheet, name, relevant)
    return number_values(sheet, name, relevant, target.range)
