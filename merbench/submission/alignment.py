"""The values of a file's rows go in, those of the candidates come out: put in their order, or averaged over views.

Conventions:
    `row_of` is the row of every candidate, −1 for none; `candidate_of` is the candidate of every row, −1 for none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.lists import Lists, Segments, concatenated, offsets_of
from merbench.submission.ids import Rows
from merbench.targets import TargetValues


def aligned(values: TargetValues, row_of: Rows | None, missing_ids: str) -> TargetValues:
    """Return values in the order of the candidates, read-only.

    A candidate without a row is outside the vocabulary, not a number, or an empty list; where missing rows are dropped
    it does not count. `row_of` is None where row i is candidate i's.
    """
    if row_of is None:
        return replace(values, values=_closed(values.values), probabilities=_numbers(values.probabilities))
    missing = row_of < 0
    dropped = values.dropped[row_of] & ~missing if values.dropped is not None else None
    if missing.any() and missing_ids == "dropped":
        dropped = missing if dropped is None else dropped | missing
    chances = values.probabilities
    return replace(
        values,
        values=_closed(_taken(values.values, row_of, missing)),
        probabilities=None if chances is None else _numbers(_taken(chances, row_of, missing)),
        dropped=dropped if dropped is not None and dropped.any() else None,
    )


def averaged(values: TargetValues, candidate_of: Rows, n: int) -> TargetValues:
    """Return one row per candidate: the mean of its rows' probabilities and numbers; the label is the most probable."""
    counts = np.bincount(candidate_of[candidate_of >= 0], minlength=n)
    if values.probabilities is not None:
        table = np.stack([_means(column, candidate_of, counts) for column in values.probabilities.T], axis=1)
        return replace(values, values=table.argmax(1).astype(np.int32), probabilities=table, dropped=None)
    assert isinstance(values.values, np.ndarray)
    return replace(values, values=_means(values.values, candidate_of, counts), dropped=None)


def _means(column: NDArray[np.float64], candidate_of: Rows, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of every candidate's rows, added in an order that does not depend on that of the file."""
    order = np.lexsort((column, candidate_of))
    order = order[candidate_of[order] >= 0]
    sums = np.bincount(candidate_of[order], weights=column[order], minlength=len(counts))
    return np.asarray(sums / np.maximum(counts, 1))


def _taken(values: Any, row_of: Rows, missing: NDArray[np.bool_]) -> Any:
    if isinstance(values, Lists) and missing.any():
        return concatenated(values, Lists(values.words, np.empty(0, np.int32), offsets_of([0])))[
            np.where(missing, len(values), row_of)
        ]
    if isinstance(values, Segments) and missing.any():
        nothing = np.empty(0)
        empty = Segments(nothing.astype(np.int32), nothing, nothing, offsets_of([0]))
        return concatenated(values, empty)[np.where(missing, len(values), row_of)]
    found = values[row_of]
    if isinstance(found, np.ndarray) and missing.any():
        found[missing] = -1 if found.dtype.kind == "i" else np.nan
    return found


def _numbers(table: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    return None if table is None else _closed(table)


def _closed(values: Any) -> Any:
    """Return values that nobody writes to; -0.0 and 0.0, which are equal, have one digest."""
    if not isinstance(values, np.ndarray):
        return values
    if values.dtype.kind == "f":
        values = values + 0.0
    values.setflags(write=False)
    return values
