"""A participant's table as it was written: columns of text or numbers, with the lines that rows start on.

Conventions:
    A column is an Arrow array without chunks: `string`, or `float64` where the reader met nothing but numbers.
    A missing cell is null. Rows count from 0, lines and shown rows from 1. Only the columns a caller wants are read;
    all names are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import Problem
from merbench.metrics.lists import offsets_of

ITEMS = pa.list_(pa.string())
"""Wanted of a column whose cells hold several words: lists of text as they are, anything else as text."""

SEGMENT_FIELDS = ("label", "start_s", "end_s")

STRETCHES = pa.list_(pa.struct([("label", pa.string()), ("start_s", pa.float64()), ("end_s", pa.float64())]))
"""Wanted of a column whose cells hold segments: lists of structs with these fields as they are, else text."""

_BLOCK_BYTES, _OBJECT_BYTES = 4_000_000, 64


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that could not be read: its line, what is wrong, its id and number of cells where they are known."""

    line: int
    message: str
    id: str | None = None
    n_cells: int | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A participant's table as it was written."""

    names: tuple[str, ...]  # every column name in the order of the file, with repetitions
    columns: Mapping[str, pa.Array] = field(repr=False)  # the wanted columns that exist
    n_rows: int
    ordered: bool = True  # whether the order of columns matters in this format
    # whether a blank cell may be an answer: in CSV, TSV and data frames, which may be read from them
    has_blanks: bool = False
    broken: tuple[BrokenRow, ...] = ()  # rows that could not be read; they are not among the rows
    problems: tuple[Problem, ...] = ()  # wanted columns of a type that is not read; they are not among the columns
    # returns the line on which each row starts; None if there are no lines
    lines: Callable[[], Sequence[int]] | None = None
    # returns a column as text, cell by cell as in the file; None if it has no other form
    rewritten: Callable[[str], pa.Array] | None = None
    id_column: str = ""  # name of the column whose cell names a row
    written: tuple[str, ...] = ()  # the names of columns in the file, where the track has others

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
    has_sizes = pa.types.is_string(items.type) or pa.types.is_large_string(items.type)
    sizes = np.asarray(pc.fill_null(pc.binary_length(items), 0)) if has_sizes else np.zeros(len(items), dtype=np.int64)
    ends = offsets_of(sizes + _OBJECT_BYTES)
    if nested:
        n_items = offsets_of(np.asarray(pc.fill_null(pc.list_value_length(column), 0)))
        ends = ends[n_items] + _OBJECT_BYTES * np.arange(len(n_items))
    cuts = np.searchsorted(ends, np.arange(_BLOCK_BYTES, ends[-1], _BLOCK_BYTES))
    edges = np.unique(np.concatenate([[0], cuts, [len(column)]])).tolist()
    return (slice(start, stop) for start, stop in pairwise(edges))


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is of text, as it is or dictionary-encoded."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is of lists of any length."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def is_blank(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Return which texts hold nothing but spaces; a null is one."""
    blank = np.ones(len(texts), dtype=np.bool_)
    for block in blocks(texts):
        blank[block] = np.asarray(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(texts[block]), ""), True))
    return blank


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Return text as an Arrow array; a lone surrogate, which is not a character, is written as its escape."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        mended = [None if value is None else value.encode("utf-8", "backslashreplace").decode() for value in values]
        return pa.array(mended, pa.string())


def written_text(value: object) -> str:
    """Return a value as Python writes it."""
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more digits than `sys.get_int_max_str_digits`
        return f"{type(value).__name__} that cannot be written"


def _shown(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else written_text(value)
