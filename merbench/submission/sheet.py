"""Columns of any file or table go in, a `Sheet` comes out: text or numbers in one shape, with the lines they stand on.

Conventions:
    A column is an Arrow array without chunks: `string`, or `float64` where the reader met nothing but numbers.
    A cell that is not there is null. Rows count from 0, lines and shown rows from 1. Only the columns a caller
    wants are read; all names are known.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import Problem, printable
from merbench.metrics.lists import offsets_of

if TYPE_CHECKING:
    import pandas as pd

ITEMS = pa.list_(pa.string())
"""Wanted of a column whose cells hold several words: lists of text as they are, anything else as text."""

SEGMENT_FIELDS = ("label", "start_s", "end_s")

STRETCHES = pa.list_(pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))
"""Wanted of a column whose cells hold segments: lists of structs with these fields as they are, else text."""

_BLOCK_BYTES, _OBJECT_BYTES = 4_000_000, 64

Wanted = Mapping[str, pa.DataType]
"""Names of the columns to read, each with the type it is best read as: `string`, `float64`, `ITEMS`, `STRETCHES`."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that could not be read: its line, what is wrong, its id and number of cells where they are known."""

    line: int
    message: str
    id: str | None = None
    n_cells: int | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A participant's table as it was written.

    Attributes:
        names: every column name in the order of the file; a name may be there twice.
        columns: the wanted columns that are there.
        n_rows: number of rows.
        ordered: whether the order of columns has a meaning in this format.
        has_blanks: whether a blank cell may be an answer: in CSV, TSV and data frames, which may be read from them.
        broken: rows that could not be read; they are not among the rows.
        problems: wanted columns of a type that is not read; they are not among the columns.
        lines: returns the line on which each row starts; None where there are no lines.
        rewritten: returns a column as text, cell by cell as in the file; None where it has no other form.
        id_column: name of the column whose cell names a row.
        written: the names of columns in the file, where the track has others.
    """

    names: tuple[str, ...]
    columns: Mapping[str, pa.Array] = field(repr=False)
    n_rows: int
    ordered: bool = True
    has_blanks: bool = False
    broken: tuple[BrokenRow, ...] = ()
    problems: tuple[Problem, ...] = ()
    lines: Callable[[], Sequence[int]] | None = None
    rewritten: Callable[[str], pa.Array] | None = None
    id_column: str = ""
    written: tuple[str, ...] = ()

    def with_column(self, name: str, column: pa.Array) -> Sheet:
        """Return the sheet with other values in a column; messages still show what was written there."""
        return replace(self, columns={**self.columns, name: column})

    def renamed(self, names: Mapping[str, str]) -> Sheet:
        """Return the sheet with other names of columns: name in the file -> name."""
        written = {new: old for old, new in names.items()}
        read_again = self.rewritten
        return replace(
            self,
            names=tuple(names.get(name, name) for name in self.names),
            written=self.written or self.names,
            columns={names.get(name, name): column for name, column in self.columns.items()},
            problems=tuple(replace(p, column=names.get(p.column or "", p.column)) for p in self.problems),
            rewritten=read_again and (lambda name: read_again(written.get(name, name))),
        )

    def line(self, row: int) -> int | None:
        """Return the line on which a row starts."""
        lines = self.lines() if self.lines else ()
        return lines[row] if row < len(lines) else None

    def row_name(self, row: int) -> str:
        """Return `line 5`, or `row 4` where there are no lines."""
        line = self.line(row)
        return f"row {row + 1}" if line is None else f"line {line}"

    def row_problem(self, code: str, row: int, message: str, column: str | None = None) -> Problem:
        """Return a problem of one row, with its line, or with the row's number where there are no lines."""
        line = self.line(row)
        sample = self.columns[self.id_column][row].as_py() if self.id_column in self.columns else None
        return Problem(code, message if line else f"row {row + 1}: {message}", line, column, sample)

    def texts(self, name: str) -> pa.StringArray:
        """Return the cells of a column as they were written; a missing one is null."""
        column = self._as_written(name)
        if pa.types.is_string(column.type):
            return column
        return text_array([None if value is None else _shown(value) for value in column.to_pylist()])

    def cell(self, name: str, row: int) -> str:
        """Return one cell as it was written; a missing one is empty."""
        value = self._as_written(name)[row].as_py()
        return "" if value is None else _shown(value)

    def _as_written(self, name: str) -> pa.Array:
        column = self.columns[name]
        return column if pa.types.is_string(column.type) or self.rewritten is None else self.rewritten(name)


def blocks(column: pa.Array) -> Iterator[slice]:
    """Yield ranges of rows that together are the column, each small enough to become Python objects."""
    nested = pa.types.is_nested(column.type)
    items = column.flatten() if nested else column
    is_text = pa.types.is_string(items.type) or pa.types.is_large_string(items.type)
    sizes = np.asarray(pc.fill_null(pc.binary_length(items), 0)) if is_text else np.zeros(len(items), dtype=np.int64)
    ends = offsets_of(sizes + _OBJECT_BYTES)
    if nested:
        n_items = offsets_of(np.asarray(pc.fill_null(pc.list_value_length(column), 0)))
        ends = ends[n_items] + _OBJECT_BYTES * np.arange(len(n_items))
    cuts = np.searchsorted(ends, np.arange(_BLOCK_BYTES, ends[-1], _BLOCK_BYTES))
    edges = np.unique(np.concatenate([[0], cuts, [len(column)]])).tolist()
    return (slice(start, stop) for start, stop in pairwise(edges))


def is_blank(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Return which texts hold nothing but spaces; a null is one."""
    blank = np.ones(len(texts), dtype=np.bool_)
    for block in blocks(texts):
        blank[block] = np.asarray(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts[block]), ""), True))
    return blank


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return text as an Arrow array; a lone surrogate, which is no character, is written as its escape."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        mended = [None if value is None else value.encode("utf-8", "backslashreplace").decode() for value in values]
        return pa.array(mended, pa.string())


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
        return text_array([None if gone else _written(value) for value, gone in zip(series, absent, strict=True)])
    return array if isinstance(array, pa.Array) else array.combine_chunks()


def _written(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more digits than `sys.get_int_max_str_digits`
        return f"{type(value).__name__} that cannot be written"


def _shown(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else _written(value)
