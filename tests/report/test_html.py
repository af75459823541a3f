"""The page of a report: its structure, its drawings, and what a real browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import THEMES, WIDTHS, show, violations
from hand_made_boards import board
from hand_made_reports import SCORES, full_report, three_systems

from merbench.report import Bar, Cell, Confusion, Report, ReportTable, Score
from merbench.report.html import round_scale, section_html

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title = 1"> |&$x^2_#%'
PAGES: dict[str, Callable[[], Report]] = {
    "full": full_report,
    "hostile": lambda: full_report(HOSTILE),
    "vertical heads": lambda: full_report("surprise", 10, 45),
    "one class": lambda: full_report(n_labels=1, n_groups=0, uncertainty=None, calibration=(), worst=(), ceilings=()),
    "public": lambda: full_report(hidden=True).public(),
    "comparison": three_systems,
    "board": board,
}


class Markup(HTMLParser):
    """The elements of a page with their attributes, and the text of its styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style" and data.strip():
            self.styles.append(data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_headings_in_order_captions_scopes_and_no_way_out(name: str) -> None:
    page = PAGES[name]().to_html()
    markup = Markup(page)
    levels = [int(tag[1]) for tag, _ in markup.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(level <= before + 1 for before, level in pairwise(levels))
    tables = len(markup.all("table"))
    assert tables >= 1 and len(markup.all("caption")) == tables
    assert all(attributes.get("scope") in ("row", "col") for attributes in markup.all("th"))
    regions = [a for a in markup.all("div") if a.get("role") == "region"]
    assert len({a["aria-label"] for a in regions}) == len(regions) == tables
    assert not markup.all("script", "img", "iframe", "a")
    assert [a["href"] for a in markup.all("link")] == ["data:,"]
    assert not [key for _, a in markup.elements for key in a if key == "style" or key.startswith("on")]
    around: dict[str, str | None] = {}
    for tag, attributes in markup.elements:  # a drawing has a label, or is hidden with the span around it
        around = attributes if tag == "span" else around
        if tag == "svg":
            assert around.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
    assert page == PAGES[name]().to_html()


def test_a_hundred_labels_and_two_hundred_groups_are_shown() -> None:
    markup = Markup(full_report(n_labels=100, n_groups=200).to_html())
    # Of classes 100 rows, of the matrix 100 with 101 counts each, of groups 200, of each other table few.
    assert len(markup.all("tr")) > 400 and len(markup.all("td")) > 100 * 101
    assert [a["class"] for a in markup.all("table") if a.get("class")] == ["matrix dense"]


def test_the_policy_admits_the_styles_of_the_page_and_nothing_else() -> None:
    markup = Markup(full_report().to_html())
    (policy,) = (a["content"] or "" for a in markup.all("meta") if "http-equiv" in a)
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in markup.styles]
    assert policy == "default-src 'none'; img-src data:; style-src 'sha256-{}' 'sha256-{}'".format(*digests)


def test_the_style_of_a_section_applies_to_nothing_around_it() -> None:
    (style,) = Markup(full_report()._repr_html_()).styles
    inner = re.sub(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)[^{}]*\}", r"\1", style)
    selectors = [selector.strip() for selector in re.findall(r"([^{}]+)\{", inner)]
    assert len(selectors) > 40 and all(selector.startswith(".merbench") for selector in selectors)


def test_bars_of_a_column_share_a_scale_and_of_different_metrics_have_their_own() -> None:
    # 0.5 to 0.75 of a scale from 0 to 1, on 112 units from 4: 4 + 0.5 * 112 = 60 and 4 + 0.75 * 112 = 88.
    page = full_report(groups=()).to_html()
    assert '<small>0</small><svg viewBox="0 0 120 14" width="120" height="14">' in page
    assert (
        '<path class="span" d="M60.0 7H88.0"/><circle class="dot" cx="74.0" cy="7" r="3.5"/></svg><small>1</small>'
        in page
    )
    # The ceiling of 0.8: 4 + 0.8 * 112 = 93.6. The error, at most 0.43, is on a scale that ends at 0.6: steps of 0.2.
    assert '<path class="line" d="M93.6 0V14"/>' in page
    assert "</svg><small>0.6</small>" in page
    rows = [(f"row {n}", Cell(str(n), Bar(n, n - 1.0, n + 1.0))) for n in (3.0, 7.0)]
    shared = section_html("x", [ReportTable("t", ("", "n"), rows)], [])
    # The ends 2 and 8 have steps of 2: the scale is theirs.
    assert "<small>2</small><small>8</small>" in shared
    assert 'd="M4.0 7H41.3"' in shared and 'd="M78.7 7H116.0"' in shared


@pytest.mark.parametrize(
    ("value", "higher", "ends"),
    [
        (0.6, True, (0, 1)),
        (-0.1, True, (-1, 1)),
        (12.0, True, (0, 15)),
        (0.02, False, (0, 0.02)),
        (-3.0, False, (-3, 0)),
    ],
)
def test_the_scale_of_a_score_follows_from_its_values(value: float, higher: bool, ends: tuple[float, float]) -> None:
    scores = (SCORES[0], Score("x", "x", None, value, higher_is_better=higher))
    cell = full_report(scores=scores, groups=()).tables()[0].cells[1][2]
    assert isinstance(cell.drawn, Bar) and cell.drawn.scale == ends


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0, 0.43, (0, 0.6)),
        (0, 0.8, (0, 0.8)),
        (0.113, 0.137, (0.11, 0.14)),
        (-3, 12, (-5, 15)),
        (5, 5, (4, 6)),
        (0, 0, (0, 0.5)),
        (-1e308, 1e308, (-1e308, 1e308)),
        (0, 5e-324, (0, 5e-324)),
    ],
)
def test_a_scale_has_round_ends(low: float, high: float, ends: tuple[float, float]) -> None:
    start, end = round_scale(low, high)
    assert start <= low and high <= end
    assert (start, end) == pytest.approx(ends, rel=1e-12)


def test_a_confusion_is_shaded_by_the_share_of_its_row() -> None:
    # 3 of 4 are 75 %, the eighth of ten shades; 1 of 4 is 25 %, the third.
    page = full_report(confusions=(Confusion("emotion", ("a", "b"), ((0, 0, 3), (0, 1, 1))),)).to_html()
    assert '<td class="s8 right">3<small>75%</small></td><td class="s3">1<small>25%</small></td>' in page
    assert '<td class="s0">0</td><td class="s0 right">0</td>' in page


def test_without_intervals_there_are_dots_and_no_bars() -> None:
    for report in (
        full_report(hidden=True).public(),
        full_report(uncertainty=None, scores=tuple(replace(score, low=None, high=None) for score in SCORES), groups=(),
                    per_class=(), calibration=(), ceilings=()),
    ):  # fmt: skip
        page = report.to_html()
        assert page.count('class="dot"') == 2 and 'class="span"' not in page


def test_best_values_and_significant_differences_are_marked_except_in_text() -> None:
    report = three_systems()
    page = report.to_html()
    assert "<td>0.5000<sup>†</sup></td>" in page and "<td><strong>0.7500</strong></td>" in page
    assert "| a | 0.5000† |" in report.to_markdown() and "| b | **0.7500** |" in report.to_markdown()
    assert "†" not in report.to_text() and "†: significant, p (Holm) &lt; 0.05." in page
    assert "†" not in replace(report, hidden=True).public().to_html()


def test_names_are_text() -> None:
    page = full_report(HOSTILE).to_html()
    assert "<script" not in page and "<img" not in page
    assert page.count("&lt;script&gt;") > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_axe_has_no_complaint_and_nothing_leaves_the_page(name: str, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(PAGES[name]().to_html(), encoding="utf-8")
    for width in WIDTHS:
        for theme in THEMES:
            show(browser, path, width, theme)
            assert violations(browser) == []
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert browser.execute_script("return [...document.querySelectorAll('.scroll')].every(e => e.offsetWidth)")
    assert browser.title.startswith(PAGES[name]().heading)
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_a_phone_shows_long_rows_as_lists_and_the_fading_edge_of_what_is_wider(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(full_report("surprise of another kind").to_html(), encoding="utf-8")
    show(browser, path, 360)
    region = "document.querySelector('[aria-label=\"Worst samples\"]')"
    fits = "[...r.querySelectorAll('td')].every(e => e.getBoundingClientRect().right <= 360)"
    names = "getComputedStyle(r.querySelector('td:nth-child(3)'), '::before').content"
    shown = browser.execute_script(f"const r = {region}; return [r.scrollWidth <= 360, {fits}, {names}]")
    assert shown == [True, True, '"reference"']
    fade = "const s = getComputedStyle({}); return s.getPropertyValue('--fade')"
    wide = "[...document.querySelectorAll('.scroll:not(.cards)')].find(e => e.scrollWidth > e.clientWidth)"
    assert browser.execute_script(fade.format(wide)) == "40px"  # 2.5rem
    drawn = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"  # the fade follows when a frame is drawn
    browser.execute_async_script(f"{wide}.scrollLeft = 9999; {drawn}")
    assert browser.execute_script(fade.format(wide)) == "0px"
    show(browser, path, 1280)
    assert browser.execute_script(fade.format(region)) == "0px"


@pytest.mark.slow
def test_two_reports_in_a_dark_notebook_can_be_read_and_leave_the_rest_as_it_is(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    around = '<table id="other"><tr><td>1</td></tr></table>'
    body = f"{around}{full_report()._repr_html_()}{three_systems()._repr_html_()}"
    seen = []
    for content in (around, body):
        path.write_text(
            '<!doctype html><html lang="en"><title>x</title><style>body{background:#111;color:#eee}</style>'
            f"<body><main><h1>x</h1>{content}</main></body></html>",
            encoding="utf-8",
        )
        show(browser, path)
        script = "const s = getComputedStyle(document.querySelector('#other td')); return [s.padding, s.color, s.font]"
        seen.append(browser.execute_script(script))
    assert seen[0] == seen[1]
    assert [line for line in violations(browser) if line.startswith(("color-contrast", "svg-img-alt"))] == []
