"""Headed tables of strings go in, aligned text, Markdown and HTML come out, every name escaped.

Conventions:
    Text is made printable where it enters a table, a section or `escape_html`; the escapes of Markdown and HTML are
    added where it leaves.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import zip_longest
from textwrap import wrap
from typing import Literal

from merbench.errors import printable

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600;padding:.3rem 0}"
    "th,td{padding:.25rem .75rem;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent);"
    "text-align:right;font-variant-numeric:tabular-nums}th:first-child,td:first-child{text-align:left}"
    "ul{padding-left:1.2rem;overflow-wrap:anywhere}"
)


_PART_OF_A_WORD = 8
"""How narrow a column of text may become, its words divided, where a table must fit a terminal."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A headed table of strings, made printable; the first `n_text` columns are text, the others are right-aligned."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    n_text: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", printable(self.title, None))
        object.__setattr__(self, "head", tuple(printable(cell, None) for cell in self.head))
        object.__setattr__(self, "rows", [tuple(printable(cell, None) for cell in row) for row in self.rows])

    def to_text(self, align: Literal["left", "right"] = "right", width: int | None = None) -> str:
        """Return aligned columns, two spaces apart; `align` applies to those that are not text.

        Where lines would be longer than `width`, the widest columns are made narrower, and cells continue on the next
        line. Words are divided only where nothing else helps; names in the first column and numbers never are.
        """
        lines = [self.head, *self.rows]
        columns = list(zip(*lines, strict=True))
        widths = [max(map(len, cells)) for cells in columns]
        if width is not None:
            words = [max((len(word) for cell in cells for word in cell.split()), default=0) for cells in columns]
            divided = [
                min(n, _PART_OF_A_WORD) if 0 < i and (i < self.n_text or align == "left") else n
                for i, n in enumerate(words)
            ]
            for least in (words, divided):
                while sum(widths) + 2 * (len(widths) - 1) > width and widths != least:
                    widths[max((n, i) for i, n in enumerate(widths) if n > least[i])[1]] -= 1
        text = [printable(line, None) for cells in lines for line in self._lines(cells, widths, align)]
        return "\n".join([*([self.title] if self.title else []), *text])

    def _lines(self, cells: Sequence[str], widths: Sequence[int], align: str) -> Iterator[str]:
        """Yield the lines of a row, whose cells are as wide as their columns."""
        parts = [
            [cell] if len(cell) <= width else wrap(cell, width, break_on_hyphens=False)
            for cell, width in zip(cells, widths, strict=True)
        ]
        for line in zip_longest(*parts, fillvalue=""):
            yield "  ".join(
                part.ljust(width) if i < self.n_text or align == "left" else part.rjust(width)
                for i, (part, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()

    def to_markdown(self) -> str:
        """Return a GitHub table, cells escaped."""
        lines = [self.head, *self.rows]
        text = ["| " + " | ".join(escape_markdown(cell) for cell in line) + " |" for line in lines]
        text.insert(1, "|" + "---|" * self.n_text + "---:|" * (len(self.head) - self.n_text))
        return "\n".join([*([f"**{escape_markdown(self.title)}**", ""] if self.title else []), *text])

    def to_html(self) -> str:
        """Return an HTML table, cells escaped."""
        caption = f"<caption>{escape_html(self.title)}</caption>" if self.title else ""
        head = "".join(f"<th>{escape_html(cell)}</th>" for cell in self.head)
        body = "\n".join(
            "<tr>" + "".join(f"<td>{escape_html(cell)}</td>" for cell in row) + "</tr>" for row in self.rows
        )
        return f"<table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"


def without_empty_columns(table: ReportTable) -> ReportTable:
    """Return a table without the columns that no row fills."""
    kept = [i for i in range(len(table.head)) if any(row[i] for row in table.rows)]
    return replace(
        table,
        head=tuple(table.head[i] for i in kept),
        rows=[tuple(row[i] for i in kept) for row in table.rows],
        n_text=sum(i < table.n_text for i in kept),
    )


_EXACT = Context(prec=400, rounding=ROUND_HALF_EVEN)


def displayed(value: float, decimals: int) -> Decimal:
    """Return a finite value as it is shown, and compared in a ranking: half to even on its shortest decimal form.

    Negative zero is shown, and compared, as zero.
    """
    rounded = Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    return rounded if rounded else rounded.copy_abs()


def markdown_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a GitHub table of cells that are Markdown already, but for what would end a cell."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", r"\|", cell) for cell in line) + " |" for line in lines)


def section_text(heading: str, tables: Sequence[ReportTable], notes: Sequence[str], width: int | None = None) -> str:
    """Return a heading, tables and notes as plain aligned text, tables at most `width` characters wide."""
    shown = [table.to_text(width=width) for table in tables]
    lines = "\n".join(printable(note, None) for note in notes)
    return "\n\n".join([printable(heading, None), *shown, lines]) + "\n"


def section_markdown(heading: str, tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Return a heading, tables and notes as GitHub Markdown, names escaped."""
    items = "\n".join(f"* {escape_markdown(note)}" for note in notes)
    return "\n\n".join([f"## {escape_markdown(heading)}", *(table.to_markdown() for table in tables), items]) + "\n"


def section_html(heading: str, tables: Sequence[ReportTable], notes: Sequence[str]) -> str:
    """Return a heading, tables and notes as one HTML section."""
    items = "\n".join(f"<li>{escape_html(note)}</li>" for note in notes)
    body = "\n".join(table.to_html() for table in tables)
    return f"<section><h2>{escape_html(heading)}</h2>\n{body}\n<ul>\n{items}\n</ul></section>"


def page_html(title: str, body: str) -> str:
    """Return one self-contained HTML page around a body; no network is needed to show it."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape_html(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def escape_html(text: str) -> str:
    """Return text that a browser shows as it is, in content and in quoted attributes."""
    return html.escape(printable(text, None))


FORMULA_PREFIXES = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What a spreadsheet takes as the start of a formula; the last four are the full-width forms of the first."""


def csv_cell(text: str) -> str:
    """Return text as a cell of a CSV file, printable, and with a quote before what a spreadsheet would run."""
    text = printable(text, None)
    return f"'{text}" if text.startswith(tuple(FORMULA_PREFIXES)) else text


def markdown_code(text: str) -> str:
    """Return text as a code span, in which no escapes have an effect, unless it would end the span."""
    text = printable(text, None)
    return f"<code>{escape_markdown(text)}</code>" if "`" in text else f"`{text}`"


_MARKUP = re.compile(r"[\\`*_\[\]|~#@]|:(?=//)|(?<=www)\.|^\s*(?:[-+]|\d+[.)])(?=\s|$)", re.IGNORECASE)


def escape_markdown(text: str) -> str:
    """Return text that GitHub shows as it is: markup, HTML, table bars, links and line ends have no effect."""
    return _MARKUP.sub(_markdown_escape, html.escape(printable(text, None), quote=False))


def _markdown_escape(found: re.Match[str]) -> str:
    # A backslash keeps no address from becoming a link, and no digit can have one.
    return f"&#{ord(found[0])};" if found[0] in ":." else f"{found[0][:-1]}\\{found[0][-1]}"
