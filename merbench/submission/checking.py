"""A source and the candidates go in, the checked predictions come out, aligned with the candidates.

Conventions:
    Values have one item per candidate, in the order of the candidates: int32 codes of the declared labels, -1
    outside the vocabulary, or float64. Checks gather every problem of a stage before the next one starts: the file,
    its columns, then ids and cells together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, values_digest
from merbench.errors import InvalidSubmission, Problem, examples
from merbench.submission.elsewhere import columns_of, made_for
from merbench.submission.header import header_problems, undeclared_warning
from merbench.submission.ids import Rows, align
from merbench.submission.reading import read_sheet
from merbench.submission.sheet import BrokenRow, Sheet, Wanted
from merbench.submission.values import Mask, TargetValues, categorical_values, continuous_values, probability_columns
from merbench.track import CategoricalTarget, Track

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
        warnings: what a reader must know; never a reason to refuse it.
        n_rows: rows of the file.
        n_extra: rows that are of no candidate and were ignored.
    """

    candidates: Candidates
    source: str
    values: dict[str, NDArray[Any]] = field(repr=False)
    probabilities: dict[str, NDArray[np.float64]] = field(repr=False)
    warnings: tuple[Problem, ...]
    n_rows: int
    n_extra: int

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids, values and probabilities: neither row order nor file format change it."""
        chances = {f"p_{name}": table for name, table in self.probabilities.items()}
        return values_digest(self.candidates.ids_digest, {**self.values, **chances})


def read_submission(source: str | Path | pa.Table | pd.DataFrame, candidates: Candidates) -> Submission:
    """Return a participant's predictions after every check.

    Args:
        source: a file, `-` for standard input, an Arrow table or a pandas data frame.
        candidates: what is to be predicted.

    Raises:
        InvalidSubmission: it has problems; all of them are listed.
        UsageError: there is no such file.
    """
    track = candidates.track
    rules = track.submission
    where, sheet, warnings = read_sheet(source, _wanted(track), rules.id, rules.max_bytes)
    problems = _column_problems(where, sheet, candidates)
    alignment = align(sheet, candidates.ids, rules)
    elsewhere = made_for(sheet, candidates) if alignment.problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    relevant = alignment.candidate_of >= 0 if alignment.n_extra else np.ones(sheet.n_rows, dtype=np.bool_)
    found = _target_values(sheet, track, relevant)
    problems += [*alignment.problems, *(problem for values in found.values() for problem in values.problems)]
    if problems:
        raise InvalidSubmission(where, problems)
    row_of = None if alignment.in_order else alignment.row_of
    tables = {name: values.probabilities for name, values in found.items()}
    of_cells = (warning for values in found.values() for warning in values.warnings)
    return Submission(
        candidates,
        where,
        {name: _aligned(values.values, row_of) for name, values in found.items()},
        {name: _aligned(table, row_of) for name, table in tables.items() if table is not None},
        (*warnings, *undeclared_warning(sheet, track), *alignment.warnings, *of_cells),
        sheet.n_rows,
        alignment.n_extra,
    )


def _column_problems(where: str, sheet: Sheet, candidates: Candidates) -> list[Problem]:
    """Return what is wrong with rows and columns; raise it where the ids of the rows cannot be looked at."""
    track = candidates.track
    problems = [*examples(sheet.broken, _broken_row), *header_problems(sheet, candidates)]
    elsewhere = columns_of(sheet.names, track) if problems else None
    if elsewhere:
        raise _misdirected(where, candidates, elsewhere)
    no_ids = sheet.names.count(track.submission.id) != 1 or any(problem.code == "E201" for problem in problems)
    if no_ids or not sheet.n_rows:
        raise InvalidSubmission(where, problems or [Problem("E111", "there are no rows")])
    return problems


def _misdirected(where: str, candidates: Candidates, elsewhere: str) -> InvalidSubmission:
    here = f"this is track '{candidates.track.id}', split '{candidates.split}'"
    return InvalidSubmission(where, [Problem("E112", f"looks made for {elsewhere}; {here}")])


def _wanted(track: Track) -> Wanted:
    """Return the columns to read: ids and labels as text, numbers as numbers."""
    kinds = {
        name: pa.string() if isinstance(t, CategoricalTarget) else pa.float64() for name, t in track.targets.items()
    }
    chances = {name: pa.float64() for names in probability_columns(track).values() for name in names}
    return {track.submission.id: pa.string(), **kinds, **chances}


def _broken_row(row: BrokenRow) -> Problem:
    return Problem("E206", row.message, line=row.line, id=row.id)


def _target_values(sheet: Sheet, track: Track, relevant: Mask) -> dict[str, TargetValues]:
    """Return the values of every target whose columns are there; the others are problems of the header."""
    found = {}
    for name, target in track.targets.items():
        if isinstance(target, CategoricalTarget):
            chances = probability_columns(track).get(name, ())
            chances = chances if all(chance in sheet.columns for chance in chances) else ()
            if chances or name in sheet.columns:
                empty_is_wrong = track.submission.missing_ids == "wrong"
                found[name] = categorical_values(sheet, name, target, relevant, chances, empty_is_wrong=empty_is_wrong)
        elif name in sheet.columns:
            found[name] = continuous_values(sheet, name, target, relevant)
    return found


def _aligned(values: NDArray[Any], row_of: Rows | None) -> NDArray[Any]:
    """Return values in the order of the candidates, read-only; a candidate without a row is wrong, or not a number."""
    if row_of is not None:
        missing = row_of < 0
        values = values[row_of]
        if missing.any():
            values[missing] = -1 if values.dtype.kind == "i" else np.nan
    if values.dtype.kind == "f":
        values = values + 0.0  # so that -0.0 and 0.0, which are equal, have one digest
    values.setflags(write=False)
    return values
