"""The bytes of a CSV or TSV file go in, a `Sheet` comes out.

Conventions:
    Arrow reads the file once, numbers as numbers; only when a cell is none, or a message has to show one, the column
    is read again as text. Python's `csv`, which follows the same rules of quoting, finds the line of each row, and
    only when a message needs it. No value stands for "missing": `NA`, `null` and `nan` are what is written there.
"""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, pairwise

import pyarrow as pa
import pyarrow.csv as pacsv

from merbench.errors import EXAMPLES_SHOWN, plural, printable
from merbench.submission.content import Content
from merbench.submission.sheet import Wanted
from merbench.targets.sheet import BrokenRow, Sheet

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
        raise content.refusal("E111", f"holds a header and no rows: {printable(', '.join(names))}")
    content.require(cells=content.data.count(delimiter.encode(), start) + content.data.count(b"\n", start))
    # An even number of quotation marks is no proof, an odd one is reason enough to look.
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
    found = _NOT_LINE_END.search(content.data, len(BOM_UTF8) if content.data.startswith(BOM_UTF8) else 0)
    start = found.start() if found else 0
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
    found = _DECIMAL_COMMA.search(content.data, 0, _HEADER_BYTES)
    if found is None:
        return "';' separates the columns; separate them by ',' or tabs (pandas: to_csv(sep=','))"
    number, line = found[1].decode(), content.line_at(found.start())
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
