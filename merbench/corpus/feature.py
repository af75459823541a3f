"""Features: one vector, or one sequence of frames, per sample; read from NPZ, Parquet, Arrow and `.npy` files.

Conventions:
    `ids` are sorted sample ids, n of them. Utterance vectors are `values` (n, d) float32. Frames of all samples follow
    each other in `values` (m, d) float32; those of sample i are `values[offsets[i]:offsets[i + 1]]`, with `offsets` (n
    + 1,) int64. Frames that are pictures are uint8: pixels row by row, red, green and blue. Frames may have `times`
    (m,) float64, seconds from the beginning of each sample's clip, which never decrease within a sample. In files, one
    array per sample is a vector (d,) or frames (t, d); arrays (1, d) of all samples alike are vectors too. Pickled
    objects are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from merbench.corpus.declaration import ID
from merbench.errors import UsageError, counted, did_you_mean, fault, listed, printable
from merbench.files.arrow import mapped_file, table_in
from merbench.files.npy import read_npy, read_npz
from merbench.files.paths import expanded
from merbench.files.reading import read_parquet

MOST_FEATURE_BYTES = 64_000_000_000
"""How many bytes the values of a feature may have."""

MOST_FRAMES = (1 << 31) - 1
"""How many vectors or frames a feature may have: offsets are stored in 32 bits."""

MOST_ARRAYS = 1_000_000
"""How many samples a feature of one array per sample may have."""

VALUES, TIMES = "values", "times"
ID_ARRAYS = ("ids", "id", "name", ID)

UNREADABLE = (OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError, pa.ArrowException)
"""What the readers raise for corrupt files."""


@dataclass(frozen=True, eq=False)
class Feature:
    """The output of one extractor for the samples of a corpus; samples without a value are left out."""

    ids: pa.StringArray = field(repr=False)  # sorted sample ids
    values: NDArray[Any] = field(repr=False)  # one row per sample, or per frame
    # where each sample's frames begin and end; None for utterance vectors
    offsets: NDArray[np.int64] | None = field(default=None, repr=False)
    # when each frame is, in seconds from the beginning of its sample; None for vectors, and where it is not known
    times: NDArray[np.float64] | None = field(default=None, repr=False)

    @classmethod
    def from_vectors(cls, ids: Sequence[str], values: ArrayLike) -> Feature:
        """Return utterance vectors in any order of ids and any numeric type."""
        return cls(pa.array(ids, pa.string()), _float32(np.asarray(values))).sorted()

    @classmethod
    def from_frames(
        cls,
        ids: Sequence[str],
        frames: Sequence[NDArray[Any]],
        times: Sequence[NDArray[np.float64]] | None = None,
        *,
        pictures: bool = False,
    ) -> Feature:
        """Return one (frames, d) array per id, and (frames,) seconds if they are known, in any order of ids.

        They are stored as float32, and `pictures`, which are uint8, as they are.
        """
        names = pa.array(ids, pa.string())
        order = pc.sort_indices(names)
        rows = order.to_pylist()
        offsets = _offsets([len(frames[row]) for row in rows])
        seconds = None if times is None else np.concatenate([times[row] for row in rows], dtype=np.float64)
        parts = [frames[row] for row in rows]
        return cls(names.take(order), np.concatenate(parts) if pictures else _joined(parts), offsets, seconds)

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
        return self.take(order)

    @property
    def is_pictures(self) -> bool:
        """Whether its values are pixels."""
        return self.values.dtype == np.uint8

    def of(self, row: int) -> NDArray[Any]:
        """Return the values of one sample: a vector `(d,)`, or its frames `(m, d)`."""
        return self.values[row] if self.offsets is None else self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: NDArray[np.integer[Any]]) -> Feature:
        """Return some samples, in the order of `rows`."""
        ids = self.ids.take(pa.array(rows))
        if self.offsets is None:
            return Feature(ids, self.values[rows])
        starts, ends = self.offsets[:-1][rows], self.offsets[1:][rows]
        places = np.concatenate([np.arange(0), *map(np.arange, starts, ends)])
        times = None if self.times is None else self.times[places]
        return Feature(ids, self.values[places], _offsets(ends - starts), times)

    def with_values(self, samples: Sequence[NDArray[Any]]) -> Feature:
        """Return the same ids with other values: one array per sample, of the form that `of` returns.

        Times stay, unless a sample has another number of frames than before.
        """
        if self.offsets is None:
            return replace(self, values=_float32(np.stack(samples)))
        offsets = _offsets([len(part) for part in samples])
        times = self.times if (offsets == self.offsets).all() else None
        return Feature(self.ids, _joined([self.values[:0], *samples]), offsets, times)

    def shape_problem(self) -> str | None:
        """Return what does not fit between ids, values, offsets and times; None when all does."""
        if self.values.ndim != 2 or not self.values.shape[1]:
            return f"the values have shape {self.values.shape}; expected: rows of equal length"
        if self.values.dtype != np.float32 and not (self.is_pictures and self.offsets is not None):
            return f"the values are {self.values.dtype}; expected: float32, or uint8 of frames that are pictures"
        if self.values.nbytes > MOST_FEATURE_BYTES or len(self.values) > MOST_FRAMES:
            size = f"{self.values.nbytes:,} bytes in {len(self.values):,} rows"
            return f"the values have {size}; at most {MOST_FEATURE_BYTES:,} and {MOST_FRAMES:,} are allowed"
        if not len(self.ids):
            return "no samples"
        if self.ids.null_count:
            return f"{self.ids.null_count:,} of {len(self.ids):,} sample ids are missing"
        rows, n = len(self.values), len(self.ids)
        if self.offsets is None:
            if self.times is not None:
                return "vectors with times; only frames have them"
            return None if rows == n else f"{rows:,} vectors for {n:,} sample ids"
        bounds = self.offsets
        fits = len(bounds) == n + 1 and bounds[0] == 0 and bounds[-1] == rows and bool((np.diff(bounds) >= 0).all())
        return self._time_problem() if fits else f"the offsets do not divide {rows:,} frames among {n:,} sample ids"

    def _time_problem(self) -> str | None:
        """Return what is wrong with the times of frames that offsets divide; None when nothing is."""
        times, bounds = self.times, self.offsets
        if times is None or bounds is None:
            return None
        if times.shape != (len(self.values),) or times.dtype != np.float64:
            return f"the times are {times.dtype} of shape {times.shape}; expected: float64 ({len(self.values)},)"
        with np.errstate(invalid="ignore"):
            falls = np.concatenate([[False], times[1:] < times[:-1]])[: len(times)]
        falls[bounds[:-1][bounds[:-1] < len(times)]] = False  # here another sample begins
        for what, odd in (("that are not finite", ~np.isfinite(times)), ("that decrease", falls)):
            if odd.any():
                names = [printable(name) for name in self.ids_of_rows(np.flatnonzero(odd))]
                return counted(f"samples with times {what}", names, len(self.ids))
        return None

    def ids_of_rows(self, rows: NDArray[np.intp]) -> list[str]:
        """Return the ids, each once, of the samples that some rows of `values` belong to."""
        if self.offsets is not None:
            rows = np.unique(np.searchsorted(self.offsets, rows, side="right") - 1)
        names: list[str] = self.ids.take(pa.array(rows, pa.int64())).to_pylist()
        return names

    def to_table(self) -> pa.Table:
        """Return the table that a corpus stores."""
        rows = pa.FixedSizeListArray.from_arrays(pa.array(self.values.reshape(-1)), self.width)
        if self.offsets is None:
            return pa.table({ID: self.ids, VALUES: rows})
        offsets = pa.array(self.offsets, pa.int32())
        columns = {ID: self.ids, VALUES: pa.ListArray.from_arrays(offsets, rows)}
        if self.times is not None:
            columns[TIMES] = pa.ListArray.from_arrays(offsets, pa.array(self.times))
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> Feature:
        """Return the feature that a table of `to_table`'s schema contains; raise `ValueError` for another schema."""
        shape_of_schema(table.schema)
        ids, rows = _joined_column(table[ID]), _joined_column(table[VALUES])
        offsets = times = None
        if pa.types.is_list(rows.type):
            offsets, rows = _lists(rows)
        if TIMES in table.column_names:
            own, seconds = _lists(_joined_column(table[TIMES]))
            if offsets is None or not np.array_equal(own, offsets):
                raise ValueError("its frames and their times differ in number")
            times = seconds.to_numpy(zero_copy_only=False)
        values = rows.flatten().to_numpy(zero_copy_only=False).reshape(-1, rows.type.list_size)
        return cls(ids, values, offsets, times)


def _joined_column(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, which is a copy only if it is in several parts."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _lists(rows: pa.ListArray) -> tuple[NDArray[np.int64], pa.Array]:
    """Return the offsets of lists, from 0 on, and what they contain."""
    offsets = rows.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0], rows.flatten()


def _offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # see `_float32`
        return np.concatenate(parts, dtype=np.float32, casting="unsafe")


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values and NaN are problems when a corpus is written
        return values.astype(np.float32, copy=False)


def shape_of_schema(schema: pa.Schema) -> tuple[int, bool]:
    """Return a stored feature's width, and whether it contains frames; raise `ValueError` for another schema."""
    names = schema.names
    if names in ([ID, VALUES], [ID, VALUES, TIMES]) and schema.field(ID).type == pa.string():
        rows = schema.field(VALUES).type
        frames = pa.types.is_list(rows)
        rows = rows.value_type if frames else rows
        timed = TIMES not in names or (frames and _is_list_of(schema.field(TIMES).type, pa.float64()))
        if timed and pa.types.is_fixed_size_list(rows):
            stored = rows.value_type
            if stored == pa.float32() or (frames and stored == pa.uint8()):
                return int(rows.list_size), frames
    columns = ", ".join(f"{column.name} {column.type}" for column in schema)
    raise ValueError(f"not the columns of a feature: {columns}")


def read_feature(source: str, wanted: Iterable[str] | None = None) -> Feature:
    """Return the feature in a file or folder.

    Args:
        source: path of an NPZ file (arrays `ids` and `values`, or one array per sample id; `PATH:ARRAY` takes
            another array than `values`), of a Parquet or Arrow file (columns `sample_id`, `values`), or of a folder.
        wanted: sample ids to read from a folder; all of it when None.

    Raises:
        UsageError: the source cannot be read, or does not have the expected content.
    """
    path, array = _path_and_array(source)
    try:
        if path.is_dir():
            return _from_folder(path, wanted)
        if not path.is_file():
            raise UsageError("no such file or folder")
        match path.suffix.lower():
            case ".npz":
                return _from_npz(path, array)
            case ".parquet":
                return _from_table(read_parquet(path, most_bytes=MOST_FEATURE_BYTES))
            case ".arrow":
                return _from_table(table_in(mapped_file(path)))
    except UNREADABLE as error:
        raise UsageError(f"cannot be read: {fault(error)}") from error
    raise UsageError("must be an .npz, .parquet or .arrow file, or a folder of one .npy per sample")


def _path_and_array(source: str) -> tuple[Path, str | None]:
    """Split `PATH:ARRAY`; a colon that belongs to the path stays there."""
    before, colon, after = source.rpartition(":")
    if colon and before.lower().endswith(".npz") and not Path(source).exists():
        return expanded(before), after
    return expanded(source), None


def _from_npz(path: Path, array: str | None) -> Feature:
    arrays = read_npz(path, lambda names: _chosen(path, names, array), MOST_ARRAYS, MOST_FEATURE_BYTES)
    ids_name = next(iter(arrays))
    if array is None and ids_name not in ID_ARRAYS:
        return _from_arrays(list(arrays), list(arrays.values()))
    ids, values = arrays[ids_name], np.atleast_1d(arrays[array or VALUES])
    if ids.ndim != 1 or ids.dtype.kind not in "USiu":
        raise UsageError(f"'{ids_name}' is {ids.dtype} of shape {ids.shape}; expected: strings or integers (n,)")
    names = [item.decode() if isinstance(item, bytes) else str(item) for item in ids.tolist()]
    if len(names) != len(values):
        raise UsageError(f"{len(names):,} sample ids and {len(values):,} rows of '{array or VALUES}'")
    return _from_arrays(names, list(values))


def _chosen(path: Path, names: Sequence[str], array: str | None) -> Sequence[str]:
    """Return the arrays to read: that of the ids and that of the values, or all, one per sample."""
    ids_name = next((name for name in ID_ARRAYS if name in names), None)
    if ids_name is None and array is None:
        if not names:
            raise UsageError("no samples")
        return names
    if ids_name is None:
        raise UsageError(f"no array of sample ids; its name must be one of {', '.join(ID_ARRAYS)}")
    name = array or VALUES
    if name not in names:
        others = [other for other in names if other != ids_name]
        remedy = f"; choose one as {path.name}:ARRAY" if array is None else did_you_mean(name, others)
        shown = listed([printable(other) for other in others], 12)
        raise UsageError(f"no array '{name}'; the file has {shown}{remedy}")
    return [ids_name, name]


def _from_folder(path: Path, wanted: Iterable[str] | None) -> Feature:
    # the id of a frame, <video>/<frame>, is a path itself
    files = {file.relative_to(path).with_suffix("").as_posix(): file for file in sorted(path.rglob("*.npy"))}
    if wanted is not None:
        files = {name: files[name] for name in wanted if name in files}
    if not files:
        raise UsageError("no .npy file of a sample in this folder")
    n_bytes = sum(file.stat().st_size for file in files.values())
    if len(files) > MOST_ARRAYS or n_bytes > MOST_FEATURE_BYTES:
        size = f"{len(files):,} files of {n_bytes:,} bytes"
        raise UsageError(f"{size}; at most {MOST_ARRAYS:,} and {MOST_FEATURE_BYTES:,} are allowed")
    return _from_arrays(list(files), [_load_npy(file) for file in files.values()])


def _load_npy(file: Path) -> NDArray[Any]:
    try:
        with file.open("rb") as stream:
            return read_npy(stream, file.stat().st_size)
    except UNREADABLE as error:
        raise UsageError(f"{file.name} cannot be read: {fault(error)}") from error


def _from_arrays(names: Sequence[str], parts: Sequence[NDArray[Any]]) -> Feature:
    """Return the feature of one array per sample id; raise `UsageError` when their shapes do not match."""
    if not parts:
        raise UsageError("no samples")
    pairs = list(zip(names, parts, strict=True))
    strange = [f"'{name}' {part.dtype}" for name, part in pairs if part.dtype.kind not in "fiub"]
    if strange:
        raise UsageError(counted("arrays that are not numbers", strange, len(parts)))
    first = parts[0]
    if first.ndim not in (1, 2) or not first.shape[-1]:
        raise UsageError(f"'{names[0]}' has shape {first.shape}; expected: a vector (d,) or frames (t, d)")
    usual = (first.ndim, first.shape[-1])
    odd = [f"'{name}' {part.shape}" for name, part in pairs if not part.ndim or (part.ndim, part.shape[-1]) != usual]
    if odd:
        raise UsageError(counted(f"arrays that do not match '{names[0]}' {first.shape}", odd, len(parts)))
    if first.ndim == 1:
        return Feature.from_vectors(names, np.stack(parts))
    if all(len(part) == 1 for part in parts):
        return Feature.from_vectors(names, np.concatenate(parts))
    return Feature.from_frames(names, parts)


def _from_table(table: pa.Table) -> Feature:
    """Return the feature in a table of one list, or list of lists, of numbers for each sample."""
    missing = [name for name in (ID, VALUES) if name not in table.column_names]
    if missing:
        raise UsageError(f"no column {listed(missing)}; the columns are {listed(table.column_names, 12)}")
    ids, rows = _joined_column(table[ID].cast(pa.string())), _joined_column(table[VALUES])
    if not _is_list(rows.type):
        raise UsageError(f"'{VALUES}' contains {rows.type}; expected: lists of numbers, or of lists of numbers")
    if not _is_list(rows.type.value_type):
        return Feature(ids, _matrix(rows)).sorted()
    offsets = _offsets(_lengths(rows))
    times = _times(table[TIMES].combine_chunks(), offsets) if TIMES in table.column_names else None
    return Feature(ids, _matrix(rows.flatten()), offsets, times).sorted()


def _lengths(rows: pa.Array) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = pc.fill_null(pc.list_value_length(rows), 0).to_numpy(zero_copy_only=False)
    return lengths.astype(np.int64)


def _times(lists: pa.Array, offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the times of frames that offsets divide."""
    if not _is_list(lists.type) or not _is_number(lists.type.value_type):
        raise UsageError(f"'{TIMES}' contains {lists.type}; expected: lists of seconds")
    differing = int((_lengths(lists) != np.diff(offsets)).sum())
    if differing:
        raise UsageError(f"{differing:,} of {len(lists):,} samples have another number of times than of frames")
    return np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_number(column_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(column_type) or pa.types.is_floating(column_type))


def _is_list_of(column_type: pa.DataType, value_type: pa.DataType) -> bool:
    return bool(pa.types.is_list(column_type)) and column_type.value_type == value_type


def _is_list(column_type: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(column_type) or types.is_large_list(column_type) or types.is_fixed_size_list(column_type))


def _matrix(rows: pa.Array) -> NDArray[np.float32]:
    """Return lists of the same number of numbers as a matrix."""
    widths = pc.unique(pc.list_value_length(rows)).to_pylist()
    if None in widths or len(widths) != 1:
        raise UsageError(f"the lists have different lengths: {listed([str(width) for width in widths])}")
    numbers = rows.flatten()
    if not _is_number(numbers.type) or numbers.null_count:
        raise UsageError(f"the lists contain {numbers.type}, {numbers.null_count:,} missing; expected: numbers")
    return _float32(numbers.to_numpy(zero_copy_only=False)).reshape(len(rows), widths[0])
