"""The page of a board and the page over all boards, sortable, searchable, no network needed; and the published files.

Conventions:
    Every string from outside is escaped where it enters the page, and the page's own policy lets a browser run its one
    script and nothing else. A column is sorted by what its cells show: the first number, or the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files as resources
from itertools import zip_longest
from pathlib import Path
from string import Template
from typing import Literal
from urllib.parse import quote

from merbench.errors import DeclarationError, UsageError, printable
from merbench.files.reading import read_bounded
from merbench.files.writing import write_text
from merbench.leaderboard.board import INVALID, Board, Row, moment
from merbench.leaderboard.entry import output_problems
from merbench.report import Bar, Cell, escape_html
from merbench.report.html import bar_html, inline_digest, notes_html

PLACES = ("rank", "team", "system", "score", "interval")
"""Columns that a phone shows of every row; the others are shown in a row that is opened."""

MOST_BYTES = 64_000_000
"""The largest stored board that is read."""

_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a page: its cells are HTML; where a phone shows it, and what is below its values."""

    head: str
    hint: str
    cells: Sequence[str]
    kind: Literal["number", "text"]
    first: Literal["ascending", "descending"] = "ascending"
    place: str = ""
    below: str = ""


def board_page(board: Board) -> str:
    """Return the page of a board."""
    columns = list(_columns(board)) if board.rows else []
    content = [
        _table("Leaderboard", columns, search="team, system, title or member") if columns else "",
        _schemes(board),
        f'<section class="notes">\n{notes_html(board.notes(), board.cautions())}\n</section>',
        _invalid(board),
    ]
    navigation = '<nav><a href="../index.html">All tracks</a></nav>\n'
    return _page(board.heading, "\n".join(filter(None, content)), columns, navigation)


def start_page(boards: Mapping[str, Board]) -> str:
    """Return the page over all tracks, of boards by the names of their folders."""
    rows = [_start_row(folder, board) for folder, board in sorted(boards.items())]
    heads: list[tuple[str, str, Literal["number", "text"], str]] = [
        ("track", "track, its version and split", "text", "team"),
        ("leader", "team and system of the first rank", "text", "system"),
        ("score", "what the track ranks by first", "number", "score"),
        ("interval", "interval of the score", "number", "interval"),
        ("rows", "systems on the board", "number", ""),
        ("last entry", "when the last submission was received, UTC", "text", ""),
    ]
    columns = [
        _Column(head, hint, cells, kind, place=place)
        for (head, hint, kind, place), cells in zip(heads, zip(*rows, strict=True), strict=True)
    ]
    return _page("Leaderboards", _table("Tracks", columns, "rows all", search="track, team or system"), columns)


def _start_row(folder: str, board: Board) -> tuple[str, ...]:
    address = escape_html(f"{quote(folder)}/{FORMS['html'][0]}")
    about = f"{board.track} · split {board.split}{' · synthetic sample' if board.synthetic else ''}"
    track = f'<strong><a href="{address}">{escape_html(board.title)}</a></strong>{_small(escape_html(about))}'
    leaders = [row for row in board.rows if row.rank == 1]
    if not leaders:
        name, score, interval = "no ranked rows" if board.rows else "no entries yet", "", ""
    else:
        first = leaders[0].score(board.ranking[0])
        arrow = "↑" if first.higher_is_better else "↓"
        others = f", and {len(leaders) - 1:,} more of the same rank" if len(leaders) > 1 else ""
        name = f"<span>{escape_html(leaders[0].team_name)}</span>{_small(escape_html(leaders[0].system + others))}"
        score = f"{board.number(first.value)}{_small(_head(f'{first.name} {arrow}'))}"
        interval = _small(escape_html(board.interval(first.low, first.high)))
    last = max((row.received for row in board.rows), default=None)
    return track, name, score, interval, f"{len(board.rows):,}", "" if last is None else _date(last)


def _page(heading: str, content: str, columns: Sequence[_Column], navigation: str = "") -> str:
    style, script = _asset("page.css") + _labels(columns), _asset("page.js")
    return Template(_asset("page.html")).substitute(
        policy="default-src 'none'; img-src data:; "
        f"style-src {inline_digest(style)}; script-src {inline_digest(script)}",
        style=style,
        script=script,
        heading=escape_html(heading),
        navigation=navigation,
        content=content,
    )


def _asset(name: str) -> str:
    return resources("merbench.site").joinpath(name).read_text(encoding="utf-8")


def _labels(columns: Sequence[_Column]) -> str:
    """Return the style that puts the head of a column before its values, where a phone lists them in an opened row."""
    rules = (
        f'  .rows td:nth-child({number})::before {{ content: "{_css_text(column.head)}"; }}\n'
        for number, column in enumerate(columns, 1)
        if not column.place
    )
    return f"@media screen and (max-width: 40rem) {{\n{''.join(rules)}}}\n" if columns else ""


def _css_text(text: str) -> str:
    """Return text that a string of CSS shows as it is, wherever the style is."""
    return "".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in printable(text, None))


def _table(label: str, columns: Sequence[_Column], kind: str = "rows", search: str = "") -> str:
    form = (
        f'<form role="search" hidden>\n<input type="search" aria-label="Search {search}" placeholder="{search}"'
        ' autocomplete="off">\n<output></output>\n</form>\n'
    )
    places = [column.place or ("text" if column.kind == "text" else "") for column in columns]
    heads = "".join(
        f'<th scope="col" class="{place}" data-kind="{column.kind}" data-first="{column.first}"'
        f' title="{escape_html(column.hint)}">{_head(column.head)}{_small(escape_html(column.below))}</th>'
        for place, column in zip(places, columns, strict=True)
    )
    starts = [f'<td class="{place}">' if place else "<td>" for place in places]
    cells = [[f"{start}{cell}</td>" for cell in column.cells] for start, column in zip(starts, columns, strict=True)]
    rows = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*cells, strict=True))
    return (
        f'{form if search else ""}<div class="scroll {kind}" role="region" aria-label="{label}" tabindex="0">\n'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def _head(text: str) -> str:
    """Return a head that is broken into lines after an underscore, and never before an arrow."""
    name, space, arrow = text.rpartition(" ")
    if arrow not in ("↑", "↓"):
        return escape_html(text)
    return f"{escape_html(name).replace('_', '_<wbr>')}{space and '&nbsp;'}{arrow}"


def _small(html: str) -> str:
    return f" <small>{html}</small>" if html else ""


def _columns(board: Board) -> Iterator[_Column]:
    """Yield the columns of the page; what is known of a value's uncertainty is below it."""
    rows = board.rows
    below = {
        "rank": (board.interval_head, [row.shown_ranks for row in rows]),
        "Δ vs best": ("p", [_p(row) for row in rows]),
    }
    for column in board.columns():
        head, place, cells = column.head, column.head, column.cells
        name, small = below.get(head) or ("±", ["".join(cell.partition("± ")[1:]) for cell in cells])
        match head:
            case "ranks":
                continue
            case "team":
                cells = list(map(_team, rows))
            case "system":
                cells = list(map(_system, rows))
            case board.interval_head:
                place, cells = "interval", list(_intervals(cells))
            case _:
                place = "score" if head.startswith(f"{board.ranking[0]} ") else place
                cells = [f"{_value(cell)}{_small(text)}" for cell, text in zip(cells, small, strict=True)]
        place = place if place in PLACES else ""
        yield _Column(head, column.hint, cells, column.kind, column.first, place, name if any(small) else "")
    dates = [_date(row.received) for row in rows]
    yield _Column("received", "when the submission was received, UTC", dates, "text")


def _date(time: datetime) -> str:
    return f'<time datetime="{moment(time)}">{moment(time)[:10]}</time>'


def _value(cell: str) -> str:
    value = escape_html(cell.partition(" ± ")[0])
    return f"<b>{value}</b>" if isinstance(cell, Cell) and cell.best else value


def _p(row: Row) -> str:
    alike = ' <span class="alike">≈</span>' if row.is_alike else ""
    return f"p {row.shown_p}{alike}" if row.shown_p else ""


def _schemes(board: Board) -> str:
    """Return the ranks under other schemes, folded."""
    if not board.other_schemes:
        return ""
    rows = board.rows
    names = [f"<strong>{escape_html(row.team_name)}</strong>{_small(escape_html(row.system))}" for row in rows]
    columns = [_Column("system", "team and system", names, "text", place="team")]
    own = ("this board", "", [row.rank for row in rows])
    others = [(s.name.replace("_", " "), f"τ = {board.number(s.tau)}", s.ranks) for s in board.other_schemes]
    for name, tau, ranks in (own, *others):
        cells = ["–" if rank is None else str(rank) for rank in ranks]
        columns.append(_Column(name, "rank; τ: Kendall's τ-b with this board", cells, "number", below=tau))
    summary = "<summary>Ranking schemes, and how far they agree with this board</summary>"
    return f'<details class="folded">{summary}\n{_table("Ranking schemes", columns, "schemes")}\n</details>'


def _team(row: Row) -> str:
    folder = "" if row.team == row.team_name else row.team
    return f"<strong>{escape_html(row.team_name)}</strong>{_small(escape_html(folder))}"


def _system(row: Row) -> str:
    facts = {
        "members": ", ".join(row.members),
        "runs": ", ".join(row.runs),
        "seeds": ", ".join(str(seed) for seed in row.seeds if seed is not None),
        "external data": ", ".join(row.external_data) or "none",
        "paper": row.paper or "",
        "code": row.code or "",
        "ranked first": "" if row.first_share is None else f"in {row.first_share:.1%} of the resamples",
    }
    listed = "".join(
        f"<dt>{name}</dt><dd{' class=members' if name == 'members' else ''}>{_linked(text)}</dd>"
        for name, text in facts.items()
        if text
    )
    title = "" if row.title == row.system else _small(escape_html(row.title))
    summary = f"<summary><span>{escape_html(row.system)}</span>{title}</summary>"
    return f"<details>{summary}<dl>{listed}</dl></details>"


def _linked(text: str) -> str:
    """Return escaped text, as a link where it is only a web address."""
    shown = escape_html(text)
    return f'<a href="{shown}" rel="noopener noreferrer nofollow">{shown}</a>' if _LINK.fullmatch(text) else shown


def _intervals(cells: Sequence[str]) -> Iterator[str]:
    """Yield intervals as bars on one common scale, with their numbers below."""
    bars = [cell.drawn for cell in cells if isinstance(cell, Cell) and isinstance(cell.drawn, Bar)]
    ends = [end for bar in bars for end in (bar.low, bar.high, bar.value, bar.line) if end is not None]
    for cell, bar in zip(cells, bars, strict=True):
        yield f"{bar_html(bar, (min(ends), max(ends)))}{_small(escape_html(cell))}" if cell else ""


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


START = "index.html"
"""The name of the page over all tracks, next to their folders."""


_GENERATOR = b'<meta name="generator" content="merbench">'


def is_own(path: Path) -> bool:
    """Return whether a page may be written here: there is none, or merbench made it."""
    try:
        return not path.exists() or _GENERATOR in read_bounded(path, MOST_BYTES)
    except (OSError, ValueError):
        return path.is_dir()  # which is reported when the page is written


def stored_boards(folder: Path) -> Iterator[tuple[str, Board | Exception]]:
    """Yield the boards that are published in a folder by the names of their own folders, or why one cannot be read."""
    page, content = FORMS["html"][0], FORMS["json"][0]
    for path in sorted(folder.glob(f"[!.]*/{content}")):
        if list(output_problems(path.parent, (page, content))) or not (path.parent / page).is_file():
            continue
        try:
            board = Board.from_json(read_bounded(path, MOST_BYTES).decode())
        except (OSError, ValueError, UsageError) as error:
            yield path.parent.name, error
            continue
        own = board.track.partition("@")[0] == path.parent.name
        yield path.parent.name, board if own else UsageError(f"is the board of {board.track!a:.80}, not of its folder")


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
