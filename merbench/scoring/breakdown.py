"""A corpus column goes in, groups of scored rows come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, candidate_column
from merbench.errors import UsageError

Codes = NDArray[np.int64]

MOST_GROUPS = 200
"""The largest number of groups that a breakdown shows."""


UNKNOWN = "(none)"
"""The group of samples of which a column holds nothing."""

BINNED_ABOVE = 10
"""A numeric column with more distinct values than this is binned into quarters of the samples."""


@dataclass(frozen=True, eq=False, slots=True)
class Grouping:
    """A corpus column as groups of scored rows: its name, the groups' names, the rows of each."""

    column: str
    names: tuple[str, ...]
    rows: tuple[Codes, ...]

    @property
    def codes(self) -> Codes:
        """The group of every scored row."""
        codes = np.full(sum(map(len, self.rows)), -1, dtype=np.int64)
        for code, rows in enumerate(self.rows):
            codes[rows] = code
        return codes


def grouping_of(candidates: Candidates, column: str, *, binned: bool = True) -> Grouping:
    """Return the groups of a column: its values in order, or quarters of the samples where it is continuous.

    Without `binned` every value is a group of its own, however many there are, as metrics that are taken within the
    values of a column need it.
    """
    values = scored_column(candidates, column, "to break down by" if binned else "to take a metric within")
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise UsageError(f"column '{column}' holds {values.type}: a breakdown needs text or numbers")
    distinct = values.drop_null().unique()
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if binned and numeric and len(distinct) > BINNED_ABOVE:
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        ordered = np.sort(numbers[~np.isnan(numbers)])
        edges = np.unique(ordered[[len(ordered) * i // 4 for i in range(4)]])
        codes = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right") - 1)
        ends = [*edges[1:], ordered[-1]]
        names = [
            f"[{low:g}, {high:g}{']' if i == len(edges) - 1 else ')'}"
            for i, (low, high) in enumerate(zip(edges, ends, strict=True))
        ]
    else:
        distinct = distinct.take(pc.sort_indices(distinct))
        if binned and len(distinct) > MOST_GROUPS:
            raise UsageError(
                f"column '{column}' has {len(distinct):,} different values; a breakdown shows {MOST_GROUPS}"
            )
        codes = pc.fill_null(pc.index_in(values, value_set=distinct), -1).to_numpy(zero_copy_only=False)
        names = [str(value) for value in distinct.to_pylist()]
    if (codes < 0).any():
        codes, names = np.where(codes < 0, len(names), codes), [*names, UNKNOWN]
    rows = tuple(np.flatnonzero(codes == code) for code in range(len(names)))
    return Grouping(column, tuple(names), rows)


def scored_column(candidates: Candidates, column: str, use: str) -> pa.Array:
    """Return a corpus column of the scored rows; `use` says in the message what it was wanted for."""
    return candidate_column(candidates, column, use).take(pa.array(candidates.references.index))
