"""The page of a board, sortable, light and dark, with intervals as bars, no network needed; and the published files.

Conventions:
    Every string from outside is escaped where it enters the page, and the page's own policy lets a browser run its one
    script and nothing else. A cell's `data-sort` is what its column is sorted by: a number, or text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files as resources
from itertools import zip_longest
from pathlib import Path
from string import Template

from merbench.errors import DeclarationError, printable
from merbench.files.writing import write_text
from merbench.leaderboard.board import INVALID, Board, Column, Row, moment
from merbench.leaderboard.entry import output_problems
from merbench.report import escape_html

BAR_WIDTH = 160
BAR_HEIGHT = 14
BAR_MARGIN = 4

_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE | re.ASCII)


def board_page(board: Board) -> str:
    """Return the page of a board."""
    style, script = _asset("board.css"), _asset("board.js")
    return Template(_asset("board.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        style=style,
        script=script,
        heading=escape_html(board.heading),
        table=_table(board) if board.rows else "",
        notes=_list(board.notes()),
        invalid=_invalid(board),
    )


def _asset(name: str) -> str:
    return resources("merbench.site").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the digest by which a content policy admits an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _table(board: Board) -> str:
    columns = list(_columns(board))
    heads = "".join(
        f'<th scope="col" data-kind="{_kind(column)}" data-first="{column.first}" title="{escape_html(column.hint)}">'
        f'<button type="button">{escape_html(column.head)}</button></th>'
        for column, _ in columns
    )
    rows = "\n".join(
        "<tr>" + "".join(_td(column, cells[number], column.sort[number]) for column, cells in columns) + "</tr>"
        for number in range(len(board.rows))
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _kind(column: Column) -> str:
    return "text" if any(isinstance(value, str) for value in column.sort) else "number"


def _td(column: Column, html: str, sort: float | str | None) -> str:
    attribute = "" if sort is None else f' data-sort="{escape_html(str(sort))}"'
    return f'<td class="{_kind(column)}"{attribute}>{html}</td>'


def _columns(board: Board) -> Iterator[tuple[Column, Sequence[str]]]:
    """Yield the columns of the page, and the HTML of their cells."""
    rows = board.rows
    of_its_own = {"team": map(_team, rows), "system": map(_system, rows), board.interval_head: _bars(board)}
    for column in board.columns():
        yield column, list(of_its_own.get(column.head) or map(escape_html, column.cells))
    if board.uncertainty is not None:
        hint = "paired permutation test against the best row, Holm-adjusted"
        alike = ' <span class="alike" title="not significantly different from the best row">≈</span>'
        cells = [f"{row.shown_p}{alike if row.is_alike else ''}" for row in rows]
        yield Column("p", hint, cells, [row.p for row in rows]), cells
    times = [moment(row.received) for row in rows]
    cells = [f"<small>{time[:10]}</small>" for time in times]
    yield Column("received", "when the submission was received, UTC", cells, times), cells


def _team(row: Row) -> str:
    folder = "" if row.team == row.team_name else f" <small>{escape_html(row.team)}</small>"
    return f"<strong>{escape_html(row.team_name)}</strong>{folder}"


def _system(row: Row) -> str:
    facts = {
        "members": ", ".join(row.members),
        "runs": ", ".join(row.runs),
        "seeds": ", ".join(str(seed) for seed in row.seeds if seed is not None),
        "external data": ", ".join(row.external_data) or "none",
        "paper": row.paper or "",
        "code": row.code or "",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{_linked(text)}</dd>" for name, text in facts.items() if text)
    return f"{escape_html(row.system)}<details><summary>{escape_html(row.title)}</summary><dl>{listed}</dl></details>"


def _linked(text: str) -> str:
    """Return escaped text, as a link where it is only a web address."""
    shown = escape_html(text)
    return f'<a href="{shown}" rel="noopener noreferrer nofollow">{shown}</a>' if _LINK.fullmatch(text) else shown


def _bars(board: Board) -> Iterator[str]:
    """Yield intervals as bars on one common scale, with the value as a dot."""
    scores = [row.score(board.ranking[0]) for row in board.rows]
    ends = [end for score in scores for end in (score.low, score.high, score.value) if end is not None]
    lowest, span = min(ends), (max(ends) - min(ends)) or 1.0

    def at(value: float) -> str:
        return f"{BAR_MARGIN + (value - lowest) / span * (BAR_WIDTH - 2 * BAR_MARGIN):.1f}"

    for score in scores:
        if score.low is None or score.high is None:
            yield ""
            continue
        label = escape_html(board.interval(score.low, score.high))
        middle = BAR_HEIGHT // 2
        yield (
            f'<svg viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" role="img" '
            f'aria-label="{label}"><title>{label}</title>'
            f'<line x1="{at(score.low)}" x2="{at(score.high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{at(score.value)}" cy="{middle}" r="3.5"/></svg>'
        )


def _list(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape_html(line)}</li>" for line in lines) + "\n</ul>"


def _invalid(board: Board) -> str:
    lines = board.invalid_lines()
    return f'<section class="invalid">\n<h2>{INVALID}</h2>\n{_list(lines)}\n</section>' if lines else ""


FORMS = {
    "markdown": ("leaderboard.md", Board.to_markdown),
    "csv": ("leaderboard.csv", Board.to_csv),
    "json": ("leaderboard.json", Board.to_json),
    "html": ("leaderboard.html", board_page),
    "latex": ("leaderboard.tex", Board.to_latex),
}
"""The forms of a board: the name of the file and what renders it."""

PUBLISHED = ("markdown", "csv", "json", "html")
"""Those that are written unless others are asked for."""


def board_files(board: Board, forms: Collection[str] = PUBLISHED) -> dict[str, str]:
    """Return the contents of a board's files by name."""
    return {name: render(board) for form, (name, render) in FORMS.items() if form in forms}


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a board, each completely or not at all.

    Raises:
        DeclarationError: the folder is a link, or the place of a file is taken by something that is not a plain file.
        OutputError: a file cannot be written.
    """
    _require_writable(folder, files)
    for name, text in files.items():
        write_text(folder / name, text)


def stale_files(folder: Path, files: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for every file of a folder that differs from what it should be.

    Raises:
        DeclarationError: as for `write_files`.
    """
    _require_writable(folder, files)
    for name, text in files.items():
        path = folder / name
        try:
            present = path.read_bytes()
        except FileNotFoundError:
            yield f"{path}: is missing"
            continue
        if present != text.encode():
            yield f"{path}: {_first_difference(present.decode(errors='replace'), text)}"


def _require_writable(folder: Path, files: Collection[str]) -> None:
    if problems := list(output_problems(folder, files)):
        raise DeclarationError(printable(str(folder), 300), problems)


def _first_difference(present: str, expected: str) -> str:
    lines = zip_longest(present.split("\n"), expected.split("\n"))
    number, (old, new) = next((n, pair) for n, pair in enumerate(lines, 1) if pair[0] != pair[1])
    pairs = zip_longest(old or "", new or "")
    first = next((n for n, (before, after) in enumerate(pairs) if before != after), 0)
    start = first - 20 if first >= 60 and max(len(old or ""), len(new or "")) > 80 else 0
    return f"line {number} is {_quoted(old, start)}, should be {_quoted(new, start)}"


def _quoted(line: str | None, start: int) -> str:
    """Return 80 characters of a line from a start, with … for what is left out."""
    if line is None:
        return "missing"
    part = f"…{line[start + 1 :]}" if start else line
    return repr(part if len(part) <= 80 else f"{part[:79]}…")
