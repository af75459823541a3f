"""Headed tables of cells go in; aligned text and Markdown come out, every name escaped.

Conventions:
    Text is made printable where it enters a table or a section, or is escaped; the escapes of Markdown, HTML and LaTeX
    are added where it leaves.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from itertools import zip_longest
from textwrap import wrap
from typing import Literal, Self, cast

from merbench.errors import printable

_PART_OF_A_WORD = 8
"""How narrow a column of text may become, its words divided, where a table must fit a terminal."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A value with its interval, drawn next to the number."""

    value: float | None
    low: float | None = None
    high: float | None = None
    scale: tuple[float, float] | None = None  # its ends; None takes a common one of all bars of the column
    line: float | None = None  # what to compare it with


@dataclass(frozen=True, slots=True)
class Curve:
    """Points with intervals on the unit square, and how many samples each is of."""

    x_name: str
    y_name: str
    points: tuple[tuple[float, Bar, int], ...]


class Cell(str):
    """Printable text of a table, with what a page draws next to it and how a paper marks it."""

    __slots__ = ("best", "differs", "drawn")

    drawn: Bar | float | None  # a bar; or a share from 0 to 1, shown as a shade
    best: bool  # whether it is the best value of its column
    differs: bool  # whether it is significantly different from the best

    def __new__(cls, text: str, drawn: Bar | float | None = None, *, best: bool = False, differs: bool = False) -> Self:
        """Return the text made printable, with its marks."""
        cell = super().__new__(cls, printable(text, None))
        cell.drawn, cell.best, cell.differs = drawn, best, differs
        return cell


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A headed table of cells; the first `n_text` columns are text, the others are right-aligned."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    n_text: int = 1
    legend: str = ""  # how to read it, in Markdown, HTML and LaTeX: what is bold, what a dagger marks
    hint: str = ""  # how to read its drawings, in HTML
    curve: Curve | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", printable(self.title, None))
        object.__setattr__(self, "head", tuple(printable(cell, None) for cell in self.head))
        object.__setattr__(self, "rows", [tuple(map(_cell, row)) for row in self.rows])

    @property
    def cells(self) -> Sequence[tuple[Cell, ...]]:
        """The rows, as the cells that they are made of."""
        return cast(Sequence[tuple[Cell, ...]], self.rows)

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
        lines = [map(escape_markdown, self.head), *(map(_marked, row) for row in self.cells)]
        text = ["| " + " | ".join(line) + " |" for line in lines]
        text.insert(1, "|" + "---|" * self.n_text + "---:|" * (len(self.head) - self.n_text))
        legend = ["", escape_markdown(self.legend)] if self.legend else []
        return "\n".join([*([f"**{escape_markdown(self.title)}**", ""] if self.title else []), *text, *legend])

    def to_html(self) -> str:
        """Return an HTML table under its heading, cells escaped."""
        from merbench.report.html import table_html

        return table_html(self)


def _cell(text: str) -> Cell:
    return text if isinstance(text, Cell) else Cell(text)


def _marked(cell: Cell) -> str:
    text = escape_markdown(cell)
    return (f"**{text}**" if cell.best else text) + (DAGGER if cell.differs else "")


def without_empty_columns(table: ReportTable) -> ReportTable:
    """Return a table without the columns that no row fills."""
    kept = [i for i in range(len(table.head)) if any(row[i] for row in table.rows)]
    return replace(
        table,
        head=tuple(table.head[i] for i in kept),
        rows=[tuple(row[i] for i in kept) for row in table.rows],
        n_text=sum(i < table.n_text for i in kept),
    )


DAGGER = "†"
"""Marks what is significantly different, in Markdown, HTML and LaTeX."""

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
