"""Columns of any file or table go in, a `Sheet` comes out: text or numbers in one shape, with the lines they stand on.

Conventions:
    A column is an Arrow array without chunks: `string`, or `float64` where the reader met nothing but numbers.
    A cell that is not there is null. Rows count from 0, lines and shown rows from 1. Only the columns a caller
    wants are read; all names are known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.errors import Problem, printable
from merbench.targets.sheet import SEGMENT_FIELDS, Sheet, text_array, written_text

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
    elif _is_text(item):
        item = pa.string()
    return column.cast(pa.list_(item))


def _is_read(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether a column of a type is read: text, numbers, times, or lists of such items as are wanted."""
    if is_list(kind):
        return pa.types.is_list(wanted) and _are_items(kind.value_type, wanted.value_type)
    known = (_is_text, _is_bytes, _is_number, _is_time, pa.types.is_boolean, pa.types.is_null)
    return any(holds(kind) for holds in known)


def _are_items(item: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether items of lists are text, or have the fields that are wanted, each with such values."""
    if not pa.types.is_struct(wanted):
        return _is_text(item) or pa.types.is_null(item)
    if not pa.types.is_struct(item) or any(item.get_field_index(field.name) < 0 for field in wanted):
        return False
    return _is_text(item.field("label").type) and all(_is_number(item.field(name).type) for name in SEGMENT_FIELDS[1:])


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is of lists of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


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
    if _is_read(kind, wanted):
        return None
    return Problem("E208", f"holds {printable(str(kind))}; {_needed(wanted)} are needed", column=name)


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
            found = printable(str(array.type.value_type if pa.types.is_dictionary(array.type) else array.type))
            problems.append(Problem("E208", f"holds {found}; {_needed(kind)} are needed", column=name))
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
    if not pa.types.is_dictionary(array.type) or not (_is_text(array.type) or _is_bytes(array.type)):
        return 0
    values = array.dictionary
    if pa.types.is_string_view(values.type):
        values = values.cast(pa.large_string())
    return pc.sum(pc.binary_length(values).take(array.indices)).as_py() or 0


def _needed(wanted: pa.DataType) -> str:
    """Return what a column of a wanted type may hold."""
    if not pa.types.is_list(wanted):
        return "text or numbers"
    if pa.types.is_struct(wanted.value_type):
        return f"text, or lists of structs of {', '.join(field.name for field in wanted.value_type)},"
    return "text or lists of text"


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
