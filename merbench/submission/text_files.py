"""Submissions as text: CSV and TSV tables, and JSON lines.

Conventions:
    Arrow reads a table once, numbers as numbers; only when a cell is not one, or a message has to show one, the column
    is read again as text. Python's `csv`, which follows the same rules of quoting, finds the line of each row, and
    only when a message needs it. No value means "missing": `NA`, `null` and `nan` are what is written there. Numbers
    of JSON lines stay text until they are checked, so that `1e999`, `NaN` or a thousand digits are reported as written.
"""

from __future__ import annotations

import csv
import io
import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv

from merbench.errors import EXAMPLES_SHOWN, InvalidSubmission, Problem, plural, printable
from merbench.submission.arrays import Wanted
from merbench.submission.content import Content, line_at
from merbench.targets.sheet import BrokenRow, Sheet, text_array

_HEADER_BYTES = 1 << 20
_LARGEST_BLOCK = (1 << 31) - 1
_LINE_END = re.compile(rb"\r\n|\r|\n")
_NOT_LINE_END = re.compile(rb"[^\r\n]")
_DECIMAL_COMMA = re.compile(rb';[ "]*([+-]?\d+,\d+)[ "]*(?:[;\r\n]|$)')
_WHOLE_NUMBER = re.compile(r"\s*[+-]?\d+\s*")
_END = "\0"


def read_delimited(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a delimited file.

    Raises:
        InvalidSubmission: `;` separates the columns, there is no row, or a quotation mark is never closed.
    """
    content.require_lines(n_header=1)
    names, delimiter, start = _header(content)
    content.require(columns=len(names))
    if delimiter == ";":
        raise content.refusal("E110", _semicolon_message(content))
    if _NOT_LINE_END.search(content.data, start) is None:
        raise content.refusal("E111", f"contains a header and no rows: {printable(', '.join(names))}")
    content.require(cells=content.data.count(delimiter.encode(), start) + content.data.count(b"\n", start))
    # An even number of quotation marks proves nothing, an odd one is reason enough to look.
    if b'"' in content.data and content.data.count(b'"') % 2:
        _require_closed_quotes(content, delimiter)
    kinds = {name: pa.string() if pa.types.is_list(kind) else kind for name, kind in wanted.items()}
    positions = {str(names.index(name)): kind for name, kind in kinds.items() if name in names}
    text = dict.fromkeys(positions, pa.string())
    try:
        table, n_broken = _arrow_table(content, start, len(names), delimiter, positions)
    except pa.ArrowInvalid:
        table, n_broken = _arrow_table(content, start, len(names), delimiter, text)

    @cache
    def rows() -> tuple[Sequence[int], Sequence[BrokenRow]]:
        return _locate(content, delimiter, names, table.num_rows)

    @cache
    def texts() -> pa.Table:
        numbers = {position: kind for position, kind in text.items() if table[position].type != kind}
        return _arrow_table(content, start, len(names), delimiter, numbers)[0]

    return Sheet(
        names,
        {names[int(position)]: _whole(table[position]) for position in positions},
        table.num_rows,
        has_blanks=True,
        broken=tuple(rows()[1]) if n_broken else (),
        lines=lambda: rows()[0],
        rewritten=lambda name: _whole(texts()[str(names.index(name))]),
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _header(content: Content) -> tuple[tuple[str, ...], str, int]:
    """Return the column names, the delimiter that gives the most of them, and the offset of the line behind them."""
    first = _NOT_LINE_END.search(content.data, len(BOM_UTF8) if content.data.startswith(BOM_UTF8) else 0)
    start = first.start() if first else 0
    head = content.data[start : start + _HEADER_BYTES].decode(errors="ignore")
    names, delimiter, n_lines = max(
        (_first_record(head, delimiter) for delimiter in (",", "\t", ";")), key=lambda record: len(record[0])
    )
    for _ in range(n_lines):
        end = _LINE_END.search(content.data, start)
        start = end.end() if end else len(content.data)
    return names, delimiter, start


def _first_record(head: str, delimiter: str) -> tuple[tuple[str, ...], str, int]:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    names = next((cells for cells in reader if cells), [])
    return tuple(names), delimiter, reader.line_num


def _semicolon_message(content: Content) -> str:
    comma = _DECIMAL_COMMA.search(content.data, 0, _HEADER_BYTES)
    if comma is None:
        return "';' separates the columns; separate them by ',' or tabs (pandas: to_csv(sep=','))"
    number, line = comma[1].decode(), line_at(content.data, comma.start())
    return (
        f"';' separates the columns and ',' the decimals ('{number}' on line {line}), as some spreadsheets export; "
        f"separate columns by ',' and write '{number.replace(',', '.')}' (pandas: to_csv(sep=',', decimal='.'))"
    )


def _arrow_table(content: Content, start: int, n_names: int, delimiter: str, kinds: Wanted) -> tuple[pa.Table, int]:
    """Return the columns at the positions that `kinds` names, and the number of rows of another length."""
    n_broken = 0

    def skip(_: pacsv.InvalidRow) -> str:
        nonlocal n_broken
        n_broken += 1
        return "skip"

    positions = [str(i) for i in range(n_names)]
    table = pacsv.read_csv(
        pa.BufferReader(pa.py_buffer(content.data).slice(start)),
        # One block, so that no row can lie across two, and one thread, so that rows are met in order.
        pacsv.ReadOptions(
            use_threads=False,
            column_names=positions,
            block_size=min(len(content.data) + 1, _LARGEST_BLOCK),
        ),
        pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip),
        pacsv.ConvertOptions(
            # UTF-8 was checked when the content was read.
            check_utf8=False,
            column_types=dict(kinds),
            include_columns=list(kinds) or positions[:1],
            null_values=[],
            strings_can_be_null=False,
        ),
    )
    return table, n_broken


def _records(content: Content, delimiter: str, end: Sequence[str] = ()) -> Iterator[tuple[int, list[str] | None]]:
    """Yield the line every record starts on and its cells, the header included, empty lines left out.

    None instead of cells, and no more records, where a cell is longer than `csv` takes.
    """
    reader = csv.reader(chain(content.text(), end), delimiter=delimiter)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            start = reader.line_num + 1
    except csv.Error:
        yield start, None


def _require_closed_quotes(content: Content, delimiter: str) -> None:
    """Raise where a mark after the last row is taken for a part of it."""
    last: tuple[int, list[str] | None] = (1, None)
    for record in _records(content, delimiter, ("\n", _END)):
        last = record
    if last[1] != [_END]:
        raise content.refusal("E109", "a quotation mark opens a cell and is never closed", last[0])


def _locate(
    content: Content, delimiter: str, names: Sequence[str], n_rows: int
) -> tuple[Sequence[int], Sequence[BrokenRow]]:
    """Return the line of every row, and the rows of another length."""
    lines: list[int] = []
    broken: list[BrokenRow] = []
    records = _records(content, delimiter)
    next(records)
    for line, cells in records:
        if cells is None:
            return lines[:n_rows], broken  # the lines behind a cell that csv does not take stay unknown
        if len(cells) == len(names):
            lines.append(line)
        else:
            # A million messages would be slow, and only the first ones are shown.
            message = _length_message(cells, len(names)) if len(broken) < EXAMPLES_SHOWN else ""
            broken.append(BrokenRow(line, message, cells[0], len(cells)))
    return (lines if len(lines) == n_rows else ()), broken


def _length_message(cells: Sequence[str], n_names: int) -> str:
    pairs = pairwise(cells)
    comma = len(cells) > n_names and any(_WHOLE_NUMBER.fullmatch(a) and _WHOLE_NUMBER.fullmatch(b) for a, b in pairs)
    hint = "; a decimal comma? write '0.5'" if comma else ""
    return f"{plural(len(cells), 'cell')}, the header has {n_names}{hint}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise ValueError("duplicate key")
    return keys


_PACKED_CELLS, _PACKED_CHARACTERS = 10_000, 1_000_000

_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=str)


def read_jsonl(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a JSON-lines file; a line that is not an object becomes a broken row.

    Raises:
        InvalidSubmission: it asks for more than its budget.
    """
    content.require_lines(n_header=0)
    # Every value but the first of a list or an object has a comma before it.
    content.require(cells=sum(content.data.count(mark) for mark in (b",", b"[", b"{")))
    names: dict[str, None] = {}
    lines: list[int] = []
    broken: list[BrokenRow] = []
    columns = {name: _Column() for name in wanted}
    for number, line in enumerate(content.text(), 1):
        if not line.strip():
            continue
        row = _row(line, content.budget.nesting)
        if isinstance(row, str):
            broken.append(BrokenRow(number, row))
            continue
        names.update(dict.fromkeys(row))
        content.require(columns=len(names))
        lines.append(number)
        for name, column in columns.items():
            cell = _text(row.get(name))
            if cell is not None and len(cell) > content.budget.cell_bytes:
                raise _long_cell(content, cell, number, name)
            column.add(cell)
    arrays = {name: column.array() for name, column in columns.items() if name in names}
    return Sheet(tuple(names), arrays, len(lines), ordered=False, broken=tuple(broken), lines=lambda: lines)


def _long_cell(content: Content, cell: str, line: int, name: str) -> InvalidSubmission:
    """Return the error that refuses a file at its first such cell: to read a million of its values takes a second."""
    n_bytes = len(cell.encode(errors="backslashreplace"))
    message = f"a cell of {n_bytes:,} bytes; {content.budget.cell_bytes:,} are allowed"
    return InvalidSubmission(content.where, [Problem("E104", message, line=line, column=name)])


def _row(line: str, nesting: int) -> dict[str, Any] | str:
    too_deep = f"JSON that is nested too deeply; {nesting} levels are allowed"
    try:
        row = _DECODER.decode(line.strip())
    except RecursionError:
        return too_deep
    except ValueError as error:
        return f"not a JSON object: {_break(error) if isinstance(error, json.JSONDecodeError) else error}"
    if line.count("[") + line.count("{") > nesting and _is_deeper(row, nesting):
        return too_deep
    return row if isinstance(row, dict) else "not a JSON object"


def _is_deeper(value: Any, nesting: int) -> bool:
    level = [value]
    for _ in range(nesting + 1):
        nested = [item for item in level if isinstance(item, (dict, list))]
        level = [item for outer in nested for item in (outer.values() if isinstance(outer, dict) else outer)]
    return bool(nested)


class _Column:
    """The cells of a column, packed as they are read: as Python objects, they would take several times the memory."""

    def __init__(self) -> None:
        self._packed: list[pa.Array] = []
        self._cells: list[str | None] = []
        self._n_characters = 0

    def add(self, cell: str | None) -> None:
        self._cells.append(cell)
        self._n_characters += len(cell or "")
        if len(self._cells) == _PACKED_CELLS or self._n_characters > _PACKED_CHARACTERS:
            self._pack()

    def _pack(self) -> None:
        self._packed.append(text_array(self._cells))
        self._cells, self._n_characters = [], 0

    def array(self) -> pa.Array:
        self._pack()
        return pa.concat_arrays(self._packed)


def _break(error: json.JSONDecodeError) -> str:
    """Return where a line stops being JSON."""
    rest = error.doc[error.pos :]
    return f"it breaks at column {error.colno}, '{printable(rest, 20)}'" if rest else "the line ends within it"


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
