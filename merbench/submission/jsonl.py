"""The bytes of a JSON-lines file go in, a `Sheet` comes out: one object per line, numbers as they are written.

Conventions:
    Numbers stay text until they are checked, so that `1e999`, `NaN` or a thousand digits are told as written.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from merbench.errors import InvalidSubmission, Problem, printable
from merbench.submission.content import Content
from merbench.submission.sheet import Wanted
from merbench.targets.sheet import BrokenRow, Sheet, text_array


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


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
    found = {name: column.array() for name, column in columns.items() if name in names}
    return Sheet(tuple(names), found, len(lines), ordered=False, broken=tuple(broken), lines=lambda: lines)


def _long_cell(content: Content, cell: str, line: int, name: str) -> InvalidSubmission:
    """Return the error that refuses a file at its first such cell: to read a million of its values takes a second."""
    n_bytes = len(cell.encode(errors="backslashreplace"))
    message = f"a cell of {n_bytes:,} bytes; {content.budget.cell_bytes:,} are allowed"
    return InvalidSubmission(content.where, [Problem("E104", message, line=line, column=name)])


def _row(line: str, nesting: int) -> dict[str, Any] | str:
    """Return the object of a line, or what is wrong with it."""
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
    """Return whether lists and objects are nested more deeply than allowed."""
    level = [value]
    for _ in range(nesting + 1):
        held = [item for item in level if isinstance(item, (dict, list))]
        level = [item for holder in held for item in (holder.values() if isinstance(holder, dict) else holder)]
    return bool(held)


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
