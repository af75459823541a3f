"""A board goes in, one HTML page comes out: sortable, light and dark, with intervals as bars; it needs no network.

Conventions:
    Every string that somebody wrote is escaped where it enters the page, and the page's own policy lets a browser run
    its one script and nothing else. A cell's `data-sort` is what its column is sorted by: a number, or text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from string import Template
from typing import Literal

from merbench.leaderboard.board import Board, BoardScore, Row, is_alike, moment, shown_p
from merbench.report import escape_html

BAR_WIDTH = 160
BAR_HEIGHT = 14
BAR_MARGIN = 4

_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A cell's HTML and what it is sorted by; None stands last in either direction."""

    html: str
    sort: float | str | None


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the table and how a first click on its head sorts it."""

    head: str
    hint: str
    cells: Sequence[_Cell]
    kind: Literal["number", "text"] = "number"
    first: Literal["ascending", "descending"] = "ascending"


def board_page(board: Board) -> str:
    """Return the page of a board."""
    style, script = _asset("board.css"), _asset("board.js")
    return Template(_asset("board.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        style=style,
        script=script,
        heading=escape_html(board.heading),
        table=_table(list(_columns(board))) if board.rows else "",
        notes=_listed(board.notes()),
        invalid=_invalid(board),
    )


def _asset(name: str) -> str:
    return files("merbench.site").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the digest by which a content policy admits an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _table(columns: Sequence[_Column]) -> str:
    heads = "".join(
        f'<th scope="col" data-kind="{column.kind}" data-first="{column.first}" title="{escape_html(column.hint)}">'
        f'<button type="button">{escape_html(column.head)}</button></th>'
        for column in columns
    )
    rows = "\n".join(
        "<tr>" + "".join(_td(column, cell) for column, cell in zip(columns, cells, strict=True)) + "</tr>"
        for cells in zip(*(column.cells for column in columns), strict=True)
    )
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _td(column: _Column, cell: _Cell) -> str:
    sort = "" if cell.sort is None else f' data-sort="{escape_html(str(cell.sort))}"'
    return f'<td class="{column.kind}"{sort}>{cell.html}</td>'


def _columns(board: Board) -> Iterator[_Column]:
    rows, first = board.rows, board.ranking[0]
    yield _Column("rank", "competition rank, shared by equals", [_rank(row) for row in rows])
    yield _Column("team", "team", [_Cell(_team(row), row.team_name) for row in rows], "text")
    yield _Column("system", "system", [_Cell(_system(row), row.system) for row in rows], "text")
    yield _score_column(board, first)
    if board.uncertainty is not None:
        head = f"{board.uncertainty.level:.0%} interval"
        scores = [row.score(first) for row in rows]
        yield _Column(head, f"interval of {first}", list(_bars(board, scores)), first="descending")
    for name in dict.fromkeys([*board.ranking, *rows[0].values]):
        if name != first:
            yield _score_column(board, name)
    yield _Column("to the best", f"{first} minus that of the best row", [_gap(board, row) for row in rows])
    if board.uncertainty is not None:
        yield _Column("p", "paired permutation test against the best row, Holm-adjusted", [_p(row) for row in rows])
    yield _Column("received", "when the submission was received, UTC", [_received(row) for row in rows], "text")


def _score_column(board: Board, name: str) -> _Column:
    scores = [row.score(name) for row in board.rows]
    better = scores[0].higher_is_better
    return _Column(
        f"{name} {'↑' if better else '↓'}",
        f"{scores[0].key}, {'higher' if better else 'lower'} is better",
        [_Cell(escape_html(board.value(score)), score.value) for score in scores],
        first="descending" if better else "ascending",
    )


def _rank(row: Row) -> _Cell:
    return _Cell("–" if row.rank is None else str(row.rank), row.rank)


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
    """Return escaped text, as a link where it is nothing but a web address."""
    shown = escape_html(text)
    return f'<a href="{shown}" rel="noopener noreferrer nofollow">{shown}</a>' if _LINK.fullmatch(text) else shown


def _bars(board: Board, scores: Sequence[BoardScore]) -> Iterator[_Cell]:
    """Yield intervals drawn on one common scale, with the value as a dot."""
    ends = [end for score in scores for end in (score.low, score.high, score.value) if end is not None]
    lowest, span = min(ends), (max(ends) - min(ends)) or 1.0

    def at(value: float) -> str:
        return f"{BAR_MARGIN + (value - lowest) / span * (BAR_WIDTH - 2 * BAR_MARGIN):.1f}"

    for score in scores:
        if score.low is None or score.high is None:
            yield _Cell("", None)
            continue
        label = escape_html(board.interval(score))
        middle = BAR_HEIGHT // 2
        yield _Cell(
            f'<svg viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" role="img" '
            f'aria-label="{label}"><title>{label}</title>'
            f'<line x1="{at(score.low)}" x2="{at(score.high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{at(score.value)}" cy="{middle}" r="3.5"/></svg>',
            score.low,
        )


def _gap(board: Board, row: Row) -> _Cell:
    return _Cell("", None) if row.gap is None else _Cell(board.number(row.gap.value), row.gap.value)


def _p(row: Row) -> _Cell:
    if row.gap is None or row.gap.p_holm is None:
        return _Cell("", None)
    alike = ' <span class="alike" title="the data do not separate this row from the best one">≈</span>'
    return _Cell(f"{shown_p(row.gap)}{alike if is_alike(row) else ''}", row.gap.p_holm)


def _received(row: Row) -> _Cell:
    return _Cell(f"<small>{moment(row.received)[:10]}</small>", moment(row.received))


def _listed(lines: Sequence[str]) -> str:
    return "<ul>\n" + "\n".join(f"<li>{escape_html(line)}</li>" for line in lines) + "\n</ul>"


def _invalid(board: Board) -> str:
    if not board.invalid:
        return ""
    lines = [f"{entry.place}: {problem}" for entry in board.invalid for problem in entry.problems]
    return f'<section class="invalid">\n<h2>Entries that could not enter</h2>\n{_listed(lines)}\n</section>'
