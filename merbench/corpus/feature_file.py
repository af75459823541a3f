"""An NPZ or Parquet file, or a folder of `.npy` files, goes in; a `Feature` comes out.

Conventions:
    One array per sample is a vector (d,), or frames (t, d). Arrays (1, d) of all samples alike are vectors too.
    Values become float32. Pickled objects are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.feature import MOST_FEATURE_BYTES, VALUES, Feature
from merbench.corpus.tables import ID
from merbench.errors import UsageError, did_you_mean, fault, listed, printable
from merbench.files import expanded, read_npy, read_npz, read_parquet

MOST_ARRAYS = 1_000_000
"""How many samples a feature of one array per sample may have."""

ID_ARRAYS = ("ids", "id", "name", ID)
UNREADABLE = (OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError, pa.ArrowException)
"""What the readers raise at files that are broken."""

FORMS = "an .npz file, a .parquet file, or a folder of one .npy per sample"


def read_feature(source: str, wanted: Iterable[str] | None = None) -> Feature:
    """Return the feature in a file or folder.

    Args:
        source: path of an NPZ file (arrays `ids` and `values`, or one array per sample id; `PATH:ARRAY` takes
            another array than `values`), of a Parquet file (columns `sample_id`, `values`), or of a folder.
        wanted: sample ids to read from a folder; all of it when None.

    Raises:
        UsageError: the source cannot be read, or does not hold what it should.
    """
    path, array = _path_and_array(source)
    try:
        if path.is_dir():
            return _from_folder(path, wanted)
        if not path.is_file():
            raise UsageError("there is no such file or folder")
        match path.suffix.lower():
            case ".npz":
                return _from_npz(path, array)
            case ".parquet":
                return _from_parquet(path)
    except UNREADABLE as error:
        raise UsageError(f"cannot be read: {fault(error)}") from error
    raise UsageError(f"is none of {FORMS}")


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
        raise UsageError(f"'{ids_name}' is {ids.dtype} of shape {ids.shape}; needed is one line of strings or integers")
    names = [item.decode() if isinstance(item, bytes) else str(item) for item in ids.tolist()]
    if len(names) != len(values):
        raise UsageError(f"there are {len(names):,} sample ids and {len(values):,} rows of '{array or VALUES}'")
    return _from_arrays(names, list(values))


def _chosen(path: Path, names: Sequence[str], array: str | None) -> Sequence[str]:
    """Return the arrays to read: that of the ids and that of the values, or all, one per sample."""
    ids_name = next((name for name in ID_ARRAYS if name in names), None)
    if ids_name is None and array is None:
        if not names:
            raise UsageError("there is no sample")
        return names
    if ids_name is None:
        raise UsageError(f"there is no array of sample ids; its name is one of {', '.join(ID_ARRAYS)}")
    name = array or VALUES
    if name not in names:
        others = [other for other in names if other != ids_name]
        remedy = f"; choose one as {path.name}:ARRAY" if array is None else did_you_mean(name, others)
        shown = listed([printable(other) for other in others], 12)
        raise UsageError(f"there is no array '{name}'; there are {shown}{remedy}")
    return [ids_name, name]


def _from_folder(path: Path, wanted: Iterable[str] | None) -> Feature:
    files = {file.stem: file for file in sorted(path.glob("*.npy"))}
    if wanted is not None:
        files = {name: files[name] for name in wanted if name in files}
    if not files:
        raise UsageError("there is no .npy file of a sample in this folder")
    n_bytes = sum(file.stat().st_size for file in files.values())
    if len(files) > MOST_ARRAYS or n_bytes > MOST_FEATURE_BYTES:
        found = f"{len(files):,} files of {n_bytes:,} bytes"
        raise UsageError(f"{found}; {MOST_ARRAYS:,} and {MOST_FEATURE_BYTES:,} are allowed")
    return _from_arrays(list(files), [_load_npy(file) for file in files.values()])


def _load_npy(file: Path) -> NDArray[Any]:
    try:
        with file.open("rb") as stream:
            return read_npy(stream, file.stat().st_size)
    except UNREADABLE as error:
        raise UsageError(f"{file.name} cannot be read: {fault(error)}") from error


def _from_arrays(names: Sequence[str], parts: Sequence[NDArray[Any]]) -> Feature:
    """Return the feature of one array per sample id; raise `UsageError` when their shapes do not go together."""
    if not parts:
        raise UsageError("there is no sample")
    pairs = list(zip(names, parts, strict=True))
    strange = [f"'{name}' {part.dtype}" for name, part in pairs if part.dtype.kind not in "fiub"]
    if strange:
        raise UsageError(f"arrays that are not numbers ({len(strange):,} of {len(parts):,}): {listed(strange)}")
    first = parts[0]
    if first.ndim not in (1, 2) or not first.shape[-1]:
        raise UsageError(f"'{names[0]}' has shape {first.shape}; needed is a vector (d,) or frames (t, d)")
    usual = (first.ndim, first.shape[-1])
    odd = [f"'{name}' {part.shape}" for name, part in pairs if not part.ndim or (part.ndim, part.shape[-1]) != usual]
    if odd:
        found = f"arrays that do not go with '{names[0]}' {first.shape} ({len(odd):,} of {len(parts):,})"
        raise UsageError(f"{found}: {listed(odd)}")
    if first.ndim == 1:
        return Feature.from_vectors(names, np.stack(parts))
    if all(len(part) == 1 for part in parts):
        return Feature.from_vectors(names, np.concatenate(parts))
    return Feature.from_frames(names, parts)


def _from_parquet(path: Path) -> Feature:
    table = read_parquet(path, most_bytes=MOST_FEATURE_BYTES)
    missing = [name for name in (ID, VALUES) if name not in table.column_names]
    if missing:
        raise UsageError(f"there is no column {listed(missing)}; there are {listed(table.column_names, 12)}")
    ids, rows = table[ID].cast(pa.string()).combine_chunks(), table[VALUES].combine_chunks()
    if not _is_list(rows.type):
        raise UsageError(f"'{VALUES}' holds {rows.type}; needed are lists of numbers, or of lists of numbers")
    if not _is_list(rows.type.value_type):
        return Feature(ids, _matrix(rows)).sorted()
    lengths = pc.fill_null(pc.list_value_length(rows), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Feature(ids, _matrix(rows.flatten()), offsets).sorted()


def _is_list(column_type: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(column_type) or types.is_large_list(column_type) or types.is_fixed_size_list(column_type))


def _matrix(rows: pa.Array) -> NDArray[np.float32]:
    """Return lists of the same number of numbers as a matrix."""
    widths = pc.unique(pc.list_value_length(rows)).to_pylist()
    if None in widths or len(widths) != 1:
        raise UsageError(f"the lists are of different lengths: {listed([str(width) for width in widths])}")
    numbers = rows.flatten()
    if not (pa.types.is_integer(numbers.type) or pa.types.is_floating(numbers.type)) or numbers.null_count:
        found = f"the lists hold {numbers.type}, {numbers.null_count:,} of them missing"
        raise UsageError(f"{found}; needed are numbers")
    return np.ascontiguousarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(rows), widths[0])
