"""The bytes of a JSON-lines file go in, a `Sheet` comes out: one object per line, numbers as they are written.

Conventions:
    Numbers stay text until they are checked, so that `1e999`, `NaN` or a thousand digits are told as written.
"""

from __future__ import annotations

import json
from typing import Any

from merbench.errors import printable
from merbench.submission.content import Content
from merbench.submission.sheet import BrokenRow, Sheet, Wanted, text_array


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=str)


def read_jsonl(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a JSON-lines file; a line that is no object becomes a broken row."""
    names: dict[str, None] = {}
    lines: list[int] = []
    broken: list[BrokenRow] = []
    cells: dict[str, list[str | None]] = {name: [] for name in wanted}
    for number, line in enumerate(content.data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = _DECODER.decode(line.decode().strip())
        except RecursionError:
            broken.append(BrokenRow(number, "JSON that is nested too deeply"))
            continue
        except ValueError as error:
            reason = _break(error) if isinstance(error, json.JSONDecodeError) else str(error)
            broken.append(BrokenRow(number, f"not a JSON object: {reason}"))
            continue
        if not isinstance(row, dict):
            broken.append(BrokenRow(number, "not a JSON object"))
            continue
        names.update(dict.fromkeys(row))
        lines.append(number)
        for name, column in cells.items():
            column.append(_text(row.get(name)))
    columns = {name: text_array(column) for name, column in cells.items() if name in names}
    return Sheet(tuple(names), columns, len(lines), ordered=False, broken=tuple(broken), lines=lambda: lines)


def _break(error: json.JSONDecodeError) -> str:
    """Return where a line stops being JSON."""
    rest = error.doc[error.pos :]
    return f"it breaks at column {error.colno}, '{printable(rest, 20)}'" if rest else "the line ends within it"


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
