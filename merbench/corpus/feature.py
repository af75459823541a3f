"""Arrays go in, a `Feature` comes out: one vector, or one sequence of frames, for each sample; to Arrow and back.

Conventions:
    `ids` are sorted sample ids, n of them. Utterance vectors are `values` (n, d) float32. Frames of all samples
    stand one after the other in `values` (m, d) float32; those of sample i are `values[offsets[i]:offsets[i + 1]]`,
    with `offsets` (n + 1,) int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

MOST_FEATURE_BYTES = 64_000_000_000
"""How many bytes the values of a feature may have."""

VALUES = "values"


@dataclass(frozen=True, eq=False)
class Feature:
    """What one extractor says of the samples of a corpus; a sample it says nothing of is left out.

    Attributes:
        ids: sorted sample ids.
        values: one row per sample, or per frame.
        offsets: where each sample's frames begin and end; None for utterance vectors.
    """

    ids: pa.StringArray = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)
    offsets: NDArray[np.int64] | None = field(default=None, repr=False)

    @classmethod
    def from_vectors(cls, ids: Sequence[str], values: ArrayLike) -> Feature:
        """Return utterance vectors in any order of ids and any numeric type."""
        return cls(pa.array(ids, pa.string()), _float32(np.asarray(values))).sorted()

    @classmethod
    def from_frames(cls, ids: Sequence[str], frames: Sequence[NDArray[Any]]) -> Feature:
        """Return one (frames, d) array per id, in any order of ids."""
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in frames])]).astype(np.int64)
        return cls(pa.array(ids, pa.string()), _float32(np.concatenate(frames)), offsets).sorted()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def width(self) -> int:
        """Numbers per vector or frame."""
        return int(self.values.shape[1])

    def sorted(self) -> Feature:
        """Return the same feature in the order of its ids."""
        order = pc.sort_indices(self.ids).to_numpy()
        if (order[1:] > order[:-1]).all():
            return self
        ids = self.ids.take(pa.array(order))
        if self.offsets is None:
            return Feature(ids, self.values[order])
        parts = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in order]
        lengths = np.diff(self.offsets)[order]
        return Feature(ids, np.concatenate(parts), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def shape_problem(self) -> str | None:
        """Return what does not fit between ids, values and offsets; None when all does."""
        if self.values.ndim != 2 or not self.values.shape[1]:
            return f"the values have shape {self.values.shape}; needed are rows of the same number of numbers"
        if self.values.dtype != np.float32:
            return f"the values are {self.values.dtype}; needed is float32"
        if not len(self.ids):
            return "there is no sample"
        if self.ids.null_count:
            return f"{self.ids.null_count:,} of {len(self.ids):,} sample ids are missing"
        rows, n = len(self.values), len(self.ids)
        if self.offsets is None:
            return None if rows == n else f"there are {rows:,} vectors for {n:,} sample ids"
        bounds = self.offsets
        fits = len(bounds) == n + 1 and bounds[0] == 0 and bounds[-1] == rows and bool((np.diff(bounds) >= 0).all())
        return None if fits else f"the offsets do not divide {rows:,} frames among {n:,} sample ids"

    def ids_of_rows(self, rows: NDArray[np.intp]) -> list[str]:
        """Return the ids, each once, of the samples that some rows of `values` belong to."""
        if self.offsets is not None:
            rows = np.unique(np.searchsorted(self.offsets, rows, side="right") - 1)
        names: list[str] = self.ids.take(pa.array(rows, pa.int64())).to_pylist()
        return names

    def to_table(self) -> pa.Table:
        """Return the table that a corpus stores."""
        rows = pa.FixedSizeListArray.from_arrays(pa.array(self.values.reshape(-1)), self.width)
        if self.offsets is not None:
            rows = pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), rows)
        return pa.table({"sample_id": self.ids, VALUES: rows})

    @classmethod
    def from_table(cls, table: pa.Table) -> Feature:
        """Return the feature that a table of `to_table`'s schema holds; raise `ValueError` for another schema."""
        shape_of_schema(table.schema)
        ids, rows = table["sample_id"].combine_chunks(), table[VALUES].combine_chunks()
        offsets = None
        if pa.types.is_list(rows.type):
            offsets = rows.offsets.to_numpy().astype(np.int64)
            offsets, rows = offsets - offsets[0], rows.flatten()
        values = rows.flatten().to_numpy().reshape(-1, rows.type.list_size)
        return cls(ids, values, offsets)


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and a problem when a corpus is written
        return values.astype(np.float32, copy=False)


def shape_of_schema(schema: pa.Schema) -> tuple[int, bool]:
    """Return a stored feature's width, and whether it holds frames; raise `ValueError` for another schema."""
    if schema.names == ["sample_id", VALUES] and schema.field("sample_id").type == pa.string():
        rows = schema.field(VALUES).type
        frames = pa.types.is_list(rows)
        rows = rows.value_type if frames else rows
        if pa.types.is_fixed_size_list(rows) and rows.value_type == pa.float32():
            return int(rows.list_size), frames
    columns = ", ".join(f"{column.name} {column.type}" for column in schema)
    raise ValueError(f"not the columns of a feature: {columns}")
