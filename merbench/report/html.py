"""Reports as HTML: tables with intervals as bars and shares as shades, light, dark, printed and on a phone.

Conventions:
    Every string is escaped where it enters the page. There is no script, no link and no attribute `style`, so the
    page's own policy lets a browser load nothing. Colours follow those of the text around the report, so that it fits
    a dark notebook. What a drawing shows is also in the text of its table; so drawings are hidden from screen readers.
"""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files as resources

from merbench.errors import printable
from merbench.report.tables import DAGGER, Bar, Cell, Curve, ReportTable

Scale = tuple[float, float]
"""The ends of an axis."""

_INTERVAL = re.compile(r" (\[[^][]*\])$")
_BREAK = re.compile(r"(?<=[_/])|(?<=\S{24})")  # where a long name may continue on the next line

WIDTH, HEIGHT, MARGIN = 120, 14, 4
"""Of a bar, in pixels."""

SHADES = 10
"""How many shades there are between a share of 0 and one of 1; text stays readable on the darkest."""

MOST_AT_ONCE = 40
"""A table with more rows than this scrolls inside its own region, except in print."""

MOST_UNBROKEN = 12
"""Names that are longer than this may continue on the next line."""

MOST_LEVEL = 8
"""With more columns of shares than this, their heads are vertical."""

SIDE, LEFT, FLOOR = 220, 34, 40
"""Of a curve: its square, the space left of it, that of the counts below, in pixels."""

_PAGE_STYLE = (
    ":root{color-scheme:light dark}"
    "body{margin:0;background:Canvas;color:CanvasText;background:light-dark(#fff,#15181b);"
    "color:light-dark(#1c2024,#e8eaed)}main{padding:2rem 1.25rem 3rem;max-width:72rem;margin:0 auto}"
    ".scroll :is(thead,tbody th,thead tr>:first-child){background:Canvas;background:light-dark(#fff,#15181b)}"
    ".scroll :is(tbody th,thead tr>:first-child){position:sticky;left:0}.long thead{position:sticky;top:0;z-index:1}"
    # Where more columns are to the right, the edge fades.
    '@property --fade{syntax:"<length>";inherits:false;initial-value:0px}'
    "@keyframes cue{from,90%{--fade:2.5rem}to{--fade:0px}}@media screen{.scroll{"
    "mask-image:linear-gradient(to right,#000 calc(100% - var(--fade)),transparent);"
    "animation:cue linear;animation-timeline:scroll(self inline)}}"
    "@page{margin:1.5cm}@media print{main{padding:0}.long thead{position:static}}"
)


def escape_html(text: str) -> str:
    """Return text that a browser shows as it is, in content and in quoted attributes."""
    return html.escape(printable(text, None))


def inline_digest(text: str) -> str:
    """Return the digest by which a content policy admits an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page_html(title: str, body: str) -> str:
    """Return one self-contained HTML page around a section; no network is needed to show it."""
    policy = f"default-src 'none'; img-src data:; style-src {inline_digest(_PAGE_STYLE)} {inline_digest(_style())}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape_html(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,"><style>{_PAGE_STYLE}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def section_html(
    heading: str,
    tables: Sequence[ReportTable],
    notes: Sequence[str],
    *,
    lead: Sequence[str] = (),
    cautions: Sequence[str] = (),
    level: int = 2,
) -> str:
    """Return one HTML section with a style of its own, which applies to nothing around it.

    Args:
        heading: its heading.
        tables: headed tables.
        notes: the lines under the tables.
        lead: the most important number, and what it is; none without.
        cautions: those of the notes that are shown first.
        level: the level of its heading; those of the tables are one below.
    """
    parts = [f'<h{level} class="title">{escape_html(heading)}</h{level}>']
    if lead:
        number, *words = map(escape_html, lead)
        parts.append(f'<p class="lead"><b>{number}</b><span>{" ".join(words)}</span></p>')
    parts += [
        _listed("cautions", cautions),
        *(table_html(table, level + 1) for table in tables),
        notes_html([note for note in notes if note not in cautions]),
    ]
    body = "\n".join(filter(None, parts))
    return f'<section class="merbench"><style>{_style()}</style>\n{body}\n</section>'


def _style() -> str:
    shades = "".join(
        f".merbench .s{i}{{background:color-mix(in srgb,var(--hue) {i * 50 // SHADES}%,transparent)}}\n"
        for i in range(1, SHADES + 1)
    )
    return resources("merbench.report").joinpath("report.css").read_text(encoding="utf-8") + shades


def _listed(kind: str, lines: Sequence[str]) -> str:
    items = "\n".join(f"<li>{escape_html(line)}</li>" for line in lines)
    return f"<ul{_class(kind)}>\n{items}\n</ul>" if lines else ""


def notes_html(notes: Sequence[str], cautions: Sequence[str] = ()) -> str:
    """Return cautions, the first note, and the others folded, of which the last is the signature."""
    first, rest = notes[:1], [note for note in notes[1:] if note not in cautions]
    summary = "<summary>How these numbers were made, and the signature</summary>"
    folded = f'<details class="notes">{summary}\n{_listed("", rest)}\n</details>' if rest else ""
    return "\n".join(filter(None, [_listed("cautions", cautions), _listed("notes", first), folded]))


def table_html(table: ReportTable, level: int = 2) -> str:
    """Return the heading of a table, how to read it, its curve, and the table in a region that scrolls."""
    title = escape_html(table.title or "Scores")
    columns = [[row[i] for row in table.cells] for i in range(len(table.head))]
    bars = [[cell.drawn for cell in column if isinstance(cell.drawn, Bar)] for column in columns]
    scales = [_common_scale(column) for column in bars]
    kinds = [_kind(column, i < table.n_text, bars) for i, column in enumerate(columns)]
    shaded = any(isinstance(cell.drawn, float) for column in columns for cell in column)
    kind = ' class="matrix dense"' if len(columns) - 1 > MOST_LEVEL else ' class="matrix"'
    head = "".join(map(_head, table.head, kinds, scales))
    # On a phone, a row of long texts, or of a bar beside its number, is a list of its cells.
    cards = any(kind in ("text", "beside") for kind in kinds[1:])
    heads = table.head if cards else ("",) * len(kinds)
    rows = "\n".join(
        "<tr>" + "".join(_row(number, row, kinds, scales, heads)) + "</tr>" for number, row in enumerate(table.cells)
    )
    about = escape_html(" ".join(filter(None, [table.legend, table.hint])))
    hint = f'<p class="hint">{about}</p>\n' if about else ""
    long = (" long" if len(table.rows) > MOST_AT_ONCE else "") + (" cards" if cards else "")
    opened, closed = (f'<div class="curve">{_curve(table.curve, title)}', "</div>") if table.curve else ("", "")
    return (
        f"<h{level}>{title}</h{level}>\n{hint}{opened}"
        f'<div class="scroll{long}" role="region" aria-label="{title}" tabindex="0">'
        f"<table{kind if shaded else ''}><caption>{title}</caption>"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>{closed}"
    )


def _kind(column: Sequence[Cell], is_text: bool, bars: Sequence[Sequence[Bar]]) -> str:
    """Return the class of a column: a single one of bars has them beside its numbers, several have them below."""
    if is_text:
        return "text" if any(len(cell) > MOST_UNBROKEN for cell in column) else "text short"
    has_bars = any(isinstance(cell.drawn, Bar) for cell in column)
    return "beside" if has_bars and sum(map(bool, bars)) == 1 else ""


def _head(name: str, kind: str, scale: Scale | None) -> str:
    ends = "".join(f"<small>{end:g}</small>" for end in scale or ())
    axis = f'<span class="bar" aria-hidden="true">{ends}</span>' if ends else ""
    if not name:  # nothing to be read
        return f"<td{_class(kind)}>{axis}</td>"
    return f'<th{_class(kind)} scope="col"><span>{escape_html(name)}</span>{axis}</th>'


def _row(
    number: int, row: Sequence[Cell], columns: Sequence[str], scales: Sequence[Scale | None], heads: Sequence[str]
) -> Iterator[str]:
    for i, (cell, kind, scale, head) in enumerate(zip(row, columns, scales, heads, strict=True)):
        text = "<wbr>".join(map(escape_html, _BREAK.split(cell))) if kind == "text" else escape_html(cell)
        text = f"<strong>{text}</strong>" if cell.best else text
        text += f"<sup>{DAGGER}</sup>" if cell.differs else ""
        if isinstance(cell.drawn, Bar):
            text = _INTERVAL.sub(r" <small>\1</small>", text) + bar_html(cell.drawn, scale)
        elif cell.drawn is not None:
            text += f"<small>{cell.drawn:.0%}</small>" if cell.drawn else ""
            kind = f"s{math.ceil(cell.drawn * SHADES)}" + (" right" if i == number + 1 else "")
        name = f' data-head="{escape_html(head)}"' if head else ""
        yield f'<th{_class(kind)} scope="row">{text}</th>' if i == 0 else f"<td{_class(kind)}{name}>{text}</td>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def round_scale(low: float, high: float) -> Scale:
    """Return round numbers around two ends: multiples of a step of 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    if not 1e-300 < span < 1e300:
        return low, high
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= span / 4 * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return round(first * step, 12), round(max(last, first + 1) * step, 12)


def _common_scale(bars: Sequence[Bar]) -> Scale | None:
    """Return the scale that all bars of a column share; None where there are none, or each has its own."""
    declared = {bar.scale for bar in bars if bar.scale is not None}
    if declared:
        return declared.pop() if len(declared) == 1 else None
    ends = [end for bar in bars for end in (bar.value, bar.low, bar.high, bar.line) if end is not None]
    return round_scale(min(ends), max(ends)) if ends else None


def bar_html(bar: Bar, common: Scale | None) -> str:
    """Return an interval as a bar, the value as a dot, and what to compare it with as a dashed line."""
    if (scale := common or bar.scale) is None:
        return ""
    (start, end), middle = scale, HEIGHT // 2

    def at(value: float) -> str:
        share = min(max((value - start) / (end - start), 0.0), 1.0) if end > start else 0.5
        return f"{MARGIN + share * (WIDTH - 2 * MARGIN):.1f}"

    drawn = f'<path class="axis" d="M{MARGIN} {middle}H{WIDTH - MARGIN}"/>'
    if bar.line is not None:
        drawn += f'<path class="line" d="M{at(bar.line)} 0V{HEIGHT}"/>'
    if bar.low is not None and bar.high is not None:
        drawn += f'<path class="span" d="M{at(bar.low)} {middle}H{at(bar.high)}"/>'
    if bar.value is not None:
        drawn += f'<circle class="dot" cx="{at(bar.value)}" cy="{middle}" r="3.5"/>'
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">{drawn}</svg>'
    if not common:
        return f'<span class="bar" aria-hidden="true"><small>{start:g}</small>{svg}<small>{end:g}</small></span>'
    return f'<span class="bar" aria-hidden="true">{svg}</span>'


def _curve(curve: Curve, title: str) -> str:
    """Return points with intervals on the unit square, its diagonal, and below them how many samples each is of."""
    most = max((n for _, _, n in curve.points), default=1)
    base = 8 + SIDE
    drawn = [
        f'<path class="axis" d="M{LEFT} 8V{base}H{LEFT + SIDE}"/>',
        f'<path class="line" d="M{LEFT} {base}L{LEFT + SIDE} 8"/>',
        f'<text x="{LEFT + SIDE / 2:g}" y="{base + 30}" text-anchor="middle">{escape_html(curve.x_name)}</text>',
        f'<text x="10" y="{8 + SIDE / 2:g}" text-anchor="middle" transform="rotate(-90 10 {8 + SIDE / 2:g})">'
        f"{escape_html(curve.y_name)}</text>",
    ]
    for tick in (0, 0.5, 1):
        drawn += [
            f'<text x="{LEFT + tick * SIDE:g}" y="{base + 14}" text-anchor="middle">{tick:g}</text>',
            f'<text x="{LEFT - 4}" y="{base - tick * SIDE + 4:g}" text-anchor="end">{tick:g}</text>',
        ]
    for x, bar, n in curve.points:
        at, tall = f"{LEFT + x * SIDE:.1f}", FLOOR * n / most
        if bar.low is not None and bar.high is not None:
            drawn.append(f'<path class="span" d="M{at} {base - bar.low * SIDE:.1f}V{base - bar.high * SIDE:.1f}"/>')
        drawn.append(f'<circle class="dot" cx="{at}" cy="{base - (bar.value or 0) * SIDE:.1f}" r="3.5"/>')
        drawn.append(
            f'<rect class="count" x="{LEFT + x * SIDE - 4:.1f}" y="{base - tall:.1f}" width="8" height="{tall:.1f}"/>'
        )
    return (
        f'<svg viewBox="0 0 {LEFT + SIDE + 12} {base + 36}" role="img" '
        f'aria-label="{title}: {escape_html(curve.y_name)} by {escape_html(curve.x_name)}; the table has its numbers">'
        f"{''.join(drawn)}</svg>\n"
    )
