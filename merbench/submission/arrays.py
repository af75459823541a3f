"""Submissions as arrays: Arrow tables, pandas data frames, NPZ archives.

Conventions:
    An array of an archive has one dimension and one item per row. What it asks for is read from its header, before
    anything is unpacked for it; nothing is ever written to disk, and pickles are never read.
"""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Collection, Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import CUT_OFF, InvalidSubmission, MalformedFile, Problem, listed, printable
from merbench.files.npy import UNREADABLE_ARCHIVE, read_npy_header, read_npy_items
from merbench.submission.content import Content
from merbench.targets.sheet import SEGMENT_FIELDS, Sheet, is_list, is_text, text_array, written_text

if TYPE_CHECKING:
    import pandas as pd

Wanted = Mapping[str, pa.DataType]
"""Names of the columns to read, each with the type it is best read as: `string`, `float64`, `ITEMS`, `STRETCHES`."""


def plain_column(column: pa.Array, wanted: pa.DataType) -> pa.Array | None:
    """Return a column of any flat type as `string`, or as `float64` where numbers are wanted; None for other types.

    Lists stay as they are where lists of such items are wanted.
    """
    if not _is_read(column.type, wanted):
        return None
    if is_list(column.type):
        return _plain_lists(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(wanted) and pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)  # pandas' null, not the word "nan"
    target = wanted if _is_number(column.type) and not pa.types.is_list(wanted) else pa.string()
    try:
        return column.cast(target, safe=target == pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None


def _plain_lists(column: pa.Array) -> pa.Array:
    """Return lists of text of any type as lists of `string`, and structs likewise."""
    item = column.type.value_type
    if pa.types.is_struct(item):
        item = pa.struct([field.with_type(pa.string()) if field.name == "label" else field for field in item])
    elif is_text(item):
        item = pa.string()
    return column.cast(pa.list_(item))


def _is_read(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a column of a type is read: text, numbers, times, or lists of such items as are wanted."""
    if is_list(kind):
        return pa.types.is_list(wanted) and _are_items(kind.value_type, wanted.value_type)
    known = (is_text, _is_bytes, _is_number, _is_time, pa.types.is_boolean, pa.types.is_null)
    return any(holds(kind) for holds in known)


def _are_items(item: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether items of lists are text, or have the fields that are wanted, each with such values."""
    if not pa.types.is_struct(wanted):
        return is_text(item) or pa.types.is_null(item)
    if not pa.types.is_struct(item) or any(item.get_field_index(field.name) < 0 for field in wanted):
        return False
    return is_text(item.field("label").type) and all(_is_number(item.field(name).type) for name in SEGMENT_FIELDS[1:])


def _is_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    """Return whether a type is of dates and times, which are read as text; a duration would be a bare number."""
    return bool(pa.types.is_date(kind) or pa.types.is_time(kind) or pa.types.is_timestamp(kind))


def column_problem(name: str, kind: pa.DataType, wanted: pa.DataType) -> Problem | None:
    """Return that a column has a type that is not read; None for one that is."""
    return None if _is_read(kind, wanted) else _not_read(name, kind, wanted)


def _not_read(name: str, kind: pa.DataType, wanted: pa.DataType) -> Problem:
    if not pa.types.is_list(wanted):
        needed = "text or numbers"
    elif pa.types.is_struct(wanted.value_type):
        needed = f"text, or lists of structs of {', '.join(field.name for field in wanted.value_type)},"
    else:
        needed = "text or lists of text"
    return Problem("E208", f"contains {printable(str(kind))}; {needed} are needed", column=name)


def table_sheet(table: pa.Table, wanted: Wanted) -> Sheet:
    """Return the wanted columns of an Arrow table; one of a type that is not read is a problem."""
    columns, problems = {}, []
    for name, kind in wanted.items():
        if name not in table.column_names:
            continue
        chunks = table.column(table.column_names.index(name)).combine_chunks()
        array = chunks if isinstance(chunks, pa.Array) else pa.concat_arrays(chunks.chunks)
        column = plain_column(array, kind)
        if column is None:
            of_values = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
            problems.append(_not_read(name, of_values, kind))
        else:
            columns[name] = column
    return Sheet(tuple(table.column_names), columns, table.num_rows, problems=tuple(problems))


def decoded_bytes(table: pa.Table, names: Collection[str]) -> int:
    """Return how many bytes the dictionary-encoded columns of a table take once they are decoded."""
    columns = [table.column(table.column_names.index(name)) for name in names if name in table.column_names]
    return sum(
        8 * len(chunk) * pa.types.is_dictionary(chunk.type) + text_bytes(chunk)
        for column in columns
        for chunk in column.chunks
    )


def text_bytes(array: pa.Array) -> int:
    """Return how many bytes the dictionary-encoded text, or bytes, of an array take once they are written out."""
    if is_list(array.type):
        return text_bytes(array.flatten())
    if pa.types.is_struct(array.type):
        return sum(text_bytes(array.field(place)) for place in range(array.type.num_fields))
    if not pa.types.is_dictionary(array.type) or not (is_text(array.type) or _is_bytes(array.type)):
        return 0
    values = array.dictionary
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    return pc.sum(pc.binary_length(values).take(array.indices)).as_py() or 0


def frame_table(frame: pd.DataFrame, id_columns: Collection[str]) -> pa.Table:
    """Return a data frame as an Arrow table; an index with a name of the id column becomes the first column."""
    if any(name in frame.index.names and name not in frame.columns for name in id_columns):
        frame = frame.reset_index()
    return pa.table(
        [_series_array(frame.iloc[:, i]) for i in range(frame.shape[1])], [str(name) for name in frame.columns]
    )


def _series_array(series: pd.Series[Any]) -> pa.Array:
    """Return a column with a `nan` kept as one; objects of several types become text."""
    if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
        numbers = series.to_numpy()
        return pa.array(numbers.astype(np.float64) if numbers.itemsize > 8 else numbers, from_pandas=False)
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        absent = series.isna().to_numpy()
        return text_array([None if gone else written_text(value) for value, gone in zip(series, absent, strict=True)])
    return array if isinstance(array, pa.Array) else array.combine_chunks()


MOST_MEMBERS = 1000
"""The largest number of arrays in an archive."""


def read_npz(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of an NPZ archive.

    Raises:
        InvalidSubmission: the archive is corrupted, unsafe or not an NPZ, or an array is not a plain column.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        if not zipfile.is_zipfile(io.BytesIO(content.data)):
            raise MalformedFile(CUT_OFF)
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            members = _members(content, archive)
            for name in wanted:
                if name in members:
                    free = content.budget.unpacked_bytes - sum(
                        _memory(array.dtype, len(array)) for array in arrays.values()
                    )
                    with archive.open(members[name]) as file:
                        arrays[name] = _array(content, file, name, free)
        lengths = {name: len(array) for name, array in arrays.items()}
        content.require(cells=sum(lengths.values()))
        columns = {name: _as_column(name, array, wanted[name]) for name, array in arrays.items()}
    except UNREADABLE_ARCHIVE as error:
        raise content.malformed(error) from error
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise content.refusal("E206", f"the arrays differ in length: {shown}")
    return Sheet(tuple(members), columns, next(iter(lengths.values()), 0), ordered=False)


def _members(content: Content, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an archive by column name, after a look at every member's name and flags."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise content.refusal("E105", f"an archive of {len(infos):,} members; an NPZ has at most {MOST_MEMBERS:,}")
    names = [info.filename for info in infos]
    arrays = [name.removesuffix(".npy") for name in names]
    if "[Content_Types].xml" in names:
        raise content.refusal("E108", "an Excel workbook; save it as 'CSV UTF-8'")
    faults = {
        "unsafe names; an NPZ has only plain '<column>.npy' members": [
            info.filename for info in infos if _is_unsafe(info)
        ],
        "encrypted members": [info.filename for info in infos if info.flag_bits & 1],
        "members that occur twice": sorted({name for name in arrays if arrays.count(name) > 1}),
    }
    problems = [
        Problem("E105", f"{fault}: {listed([printable(name) for name in found])}")
        for fault, found in faults.items()
        if found
    ]
    if problems:
        raise InvalidSubmission(content.where, problems)
    if not any(name.endswith(".npy") for name in names):
        raise content.refusal("E108", "a ZIP archive without arrays; pack a text table as .gz or .zst")
    return {info.filename.removesuffix(".npy"): info for info in infos}


def _is_unsafe(info: zipfile.ZipInfo) -> bool:
    """Return whether a member's name leads anywhere, or the member is a link."""
    return any(part in info.filename for part in ("/", "\\", "..", ":")) or stat.S_ISLNK(info.external_attr >> 16)


def _memory(dtype: np.dtype[Any], n: int) -> int:
    """Return what `n` items take: a number at least eight bytes, a text at least what Python needs for one."""
    return max(dtype.itemsize, 64 if dtype.kind in "US" else 8) * n


def _array(content: Content, file: IO[bytes], name: str, free: int) -> NDArray[Any]:
    """Return one array; its header decides whether the rest is read."""
    try:
        header = read_npy_header(file)
        dtype, shape = header.dtype, header.shape
        if dtype.hasobject:
            raise content.refusal("E107", f"array '{name}' contains Python objects (a pickle), which are never read")
        if dtype.kind == "V":
            raise content.refusal("E208", f"array '{name}' has fields; a plain column is needed")
        if dtype.kind not in "fiubUS":
            raise content.refusal("E208", f"array '{name}' contains {dtype}; text or numbers are needed")
        if len(shape) != 1:
            raise content.refusal("E208", f"array '{name}' has the shape {shape}; one item per row is needed")
        content.require(rows=shape[0])
        if _memory(dtype, shape[0]) > free:
            asked = f"{_memory(dtype, shape[0]):,} bytes; {free:,} of {content.budget.unpacked_bytes:,} are left"
            raise content.refusal("E104", f"array '{name}' asks for {asked}")
        return read_npy_items(file, header)
    except MalformedFile as error:
        raise MalformedFile(f"array '{name}': {error}") from error


def _as_column(name: str, array: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if array.dtype.kind == "U":
        return text_array(array.tolist())
    if array.dtype.kind == "S":
        try:
            return text_array([item.decode() for item in array.tolist()])
        except UnicodeDecodeError as error:
            raise MalformedFile(f"array '{name}': byte 0x{error.object[error.start]:02X} is not UTF-8") from error
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
    return plain_column(pa.array(array.astype(array.dtype.newbyteorder("="))), kind)
