"""The page of a board: its markup, what a real browser makes of it, and the published files."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import THEMES, WIDTHS, show, violations
from hand_made_boards import an_invalid_entry, board, row, three_rows, with_ranks

from merbench.errors import Problem
from merbench.leaderboard.board import Board
from merbench.report import Ceiling
from merbench.site.page import board_files, board_page, stale_files, start_page, write_files

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title = 1">'
METRIC = 'm"} </style>\\ f1'


def hostile_board() -> Board:
    """Return a board whose every text tries to be markup, and is long."""
    first, second, third = with_ranks().rows
    hostile = replace(
        second,
        team_name=HOSTILE,
        system=HOSTILE * 3,
        title=f'"{HOSTILE}' * 9,
        members=(HOSTILE,),
        paper='https://example.org/"onclick="x',
        code="javascript:document.title='taken'",
        external_data=(HOSTILE,),
    )
    rows = [replace(r, scores=(r.scores[0], replace(r.scores[1], name=METRIC))) for r in (first, hostile, third)]
    schemes = tuple(replace(scheme, name=HOSTILE) for scheme in with_ranks().schemes)
    texts = {"title": f"Toy {HOSTILE}", "formula": HOSTILE, "ranking": ("overall",)}
    return replace(with_ranks(), rows=tuple(rows), schemes=schemes, invalid=(an_invalid_entry(),), **texts)


def many(n: int) -> Board:
    """Return a board of so many rows, every name of two lines or more."""
    first = replace(with_ranks().rows[0], title="A title that says what was done " * 5, members=("Émilie du Châtelet",))
    names = [f"The Laboratory of a Long Name, Number {number}" for number in range(n)]
    return board(
        [replace(first, rank=i + 1, team=f"t{i}", team_name=names[i], system=f"net {i % 10}") for i in range(n)]
    )


class _Markup(HTMLParser):
    """Collects the tags of a page, the addresses they name, and the text of the cells of every row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action")]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("th", "td")

    def handle_data(self, text: str) -> None:
        if self.in_cell:
            self.rows[-1][-1] += text


def test_the_page_is_self_contained_and_names_are_escaped() -> None:
    page = board_page(board())
    markup = _Markup(page)
    assert markup.addresses == ["data:,", "../index.html"]
    assert markup.tags.count("script") == markup.tags.count("style") == 1
    assert markup.tags.count("svg") == 3
    assert "@import" not in page and "url(" not in page
    hostile = _Markup(board_page(hostile_board()))
    assert (hostile.tags.count("script"), hostile.addresses) == (1, ["data:,", "../index.html"])
    assert "img" not in hostile.tags and hostile.tags.count("style") == 1


def test_without_a_script_it_reads_as_ranked() -> None:
    page = board_page(with_ranks())
    markup = _Markup(page)
    assert "button" not in markup.tags and '<form role="search" hidden>' in page
    head, first, second, third = markup.rows[:4]
    assert head[:5] == ["rank 95% interval", "team", "system", "overall\xa0↑ ±", "95% interval"]
    assert head[5:] == ["mse\xa0↓", "Δ vs best p", "group", "received"]
    assert first[:2] == ["1 1–2", "first"]
    assert first[2].startswith("net a titlemembersAda") and first[2].endswith("ranked firstin 75.0% of the resamples")
    assert second[4:] == [" [0.6900, 0.7900]", "0.2500", "-0.0100 p 0.4000 ≈", "a", "2026-01-01"]
    assert third[3:] == ["0.5000 ± 0.0100", " [0.4500, 0.5500]", "1.0000", "-0.2500 p 0.0002", "b", "2026-01-01"]
    assert page.count("<b>") == 2  # the best of either column


def test_other_ranking_schemes_are_folded() -> None:
    page = board_page(with_ranks())
    head, *rows = _Markup(page).rows[4:]
    assert head == ["system", "this board", "mean rank τ = 0.8165", "test then rank τ = –"]
    assert rows == [["first net", "1", "1", "1"], ["second net", "2", "1", "1"], ["third net", "3", "3", "1"]]
    assert '<details class="folded"><summary>' in page
    assert "Ranking schemes" not in board_page(board())


def test_a_page_shows_cautions_and_the_first_note_and_folds_the_others() -> None:
    warned = replace(board(), warnings=(Problem("W702", "few <references>", column="discrete"),))
    page = board_page(warned)
    shown, _, folded = page.partition('<details class="notes">')
    assert '<ul class="cautions">\n<li>W702  discrete: few &lt;references&gt;</li>' in shown
    assert "<li>ranked by overall, then mse" in shown and "signature: toy@1.0" not in shown
    assert "<li>signature: toy@1.0#0|n:4</li>" in folded and page.count("W702") == 1


def test_a_title_that_is_the_system_is_shown_once() -> None:
    page = board_page(board([replace(three_rows()[0], title="net")]))
    assert "<summary><span>net</span></summary>" in page


def test_only_a_plain_web_address_is_a_link() -> None:
    rows = [replace(three_rows()[0], paper="https://example.org/p?a=1&b=2", code="see example.org")]
    markup = _Markup(board_page(board(rows)))
    assert markup.addresses == ["data:,", "../index.html", "https://example.org/p?a=1&b=2"]


def test_intervals_are_on_one_scale() -> None:
    # The lowest end is 0.45 and the highest 0.80, on 112 units from 4: 0.70 lies at 4 + 0.25 / 0.35 * 112 = 84.
    page = board_page(board())
    assert 'd="M84.0 7H116.0"' in page
    assert 'd="M4.0 7H36.0"' in page
    # What people reach is a dashed line across: 0.60 lies at 4 + 0.15 / 0.35 * 112 = 52.
    page = board_page(board(ceilings=(Ceiling("overall", "one annotator", 0.6),)))
    assert page.count('<path class="line" d="M52.0 0V14"/>') == 3


def test_what_a_board_does_not_have_is_left_out_and_invalid_entries_are_listed() -> None:
    empty = board_page(board([], uncertainty=None))
    assert "<table" not in empty and "<form" not in empty and "no entries yet" in empty
    hidden = board_page(board([replace(row(overall=0.5, mse=0.1), rank=1)], hidden=True, uncertainty=None))
    assert "<svg" not in hidden and "interval<" not in hidden
    page = board_page(board(invalid=(an_invalid_entry(),)))
    assert "<li>toy/team/run: E404  exactly one file &#x27;submission.*&#x27; is required, not none</li>" in page


def test_the_start_page_has_every_board_its_leader_and_its_last_entry() -> None:
    hostile = replace(three_rows()[0], team_name=HOSTILE)
    later = replace(hostile, team="t2", received=datetime(2026, 2, 3, tzinfo=UTC))
    hidden = board([replace(row(overall=0.5, mse=0.1), rank=1)], hidden=True, uncertainty=None, synthetic=False)
    boards = {
        "b": board([replace(three_rows()[0], rank=None)]),
        "a": board(),
        "d": board([], uncertainty=None, title=HOSTILE),
        "c": board([hostile, later, *three_rows()[1:]]),
        "e": hidden,
    }
    page = start_page(boards)
    markup = _Markup(page)
    assert markup.addresses == ["data:,", *(f"{name}/leaderboard.html" for name in "abcde")]
    assert markup.rows[0] == ["track", "leader", "score", "interval", "rows", "last entry"]
    about, score = "toy@1.0 · split test · synthetic sample", "0.7500 overall\xa0↑"
    assert markup.rows[1:] == [
        [f"Toy {about}", "first net", score, " [0.7000, 0.8000]", "3", "2026-01-01"],
        [f"Toy {about}", "no ranked rows", "", "", "1", "2026-01-01"],
        [f"Toy {about}", f"{HOSTILE} net, and 1 more of the same rank", score, " [0.7000, 0.8000]", "4", "2026-02-03"],
        [f"{HOSTILE} {about}", "no entries yet", "", "", "0", ""],
        ["Toy toy@1.0 · split test", "a-team net", "0.5000 overall\xa0↑", "", "1", "2026-01-01"],
    ]
    assert start_page(dict(reversed(boards.items()))) == page


def opened(browser: Any, folder: Path, shown: str | Board, width: int = 1280, theme: str = "light") -> None:
    path = folder / "leaderboard.html"
    path.write_text(shown if isinstance(shown, str) else board_page(shown), encoding="utf-8")
    show(browser, path, width, theme)


def column(browser: Any, number: int) -> list[str]:
    """Return the first lines of the cells of a column, of the rows that are shown."""
    cells = browser.find_elements("css selector", f".rows tbody td:nth-child({number})")
    return [cell.text.partition("\n")[0] for cell in cells if cell.is_displayed()]


def click(browser: Any, head: str) -> None:
    buttons = browser.find_elements("css selector", "th button")
    next(button for button in buttons if button.text.split("\n")[0] == head).click()


def sorted_by(browser: Any) -> dict[str, str]:
    heads = browser.find_elements("css selector", "th[aria-sort]:not([aria-sort=none])")
    return {head.text.split("\n")[0]: head.get_attribute("aria-sort") for head in heads}


def box(browser: Any, selector: str) -> dict[str, float]:
    return browser.execute_script(f"return document.querySelector({selector!r}).getBoundingClientRect().toJSON()")


@pytest.mark.slow
def test_a_click_on_a_head_sorts_in_a_browser(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, board())
    assert column(browser, 1) == ["1", "2", "3"]
    click(browser, "mse ↓")  # lower is better: the lowest first
    assert column(browser, 1) == ["2", "1", "3"]
    assert sorted_by(browser) == {"mse ↓": "ascending"}
    click(browser, "mse ↓")
    assert column(browser, 1) == ["3", "1", "2"]
    assert sorted_by(browser) == {"mse ↓": "descending"}
    click(browser, "overall ↑")  # higher is better: the highest first
    assert column(browser, 1) == ["1", "2", "3"]
    click(browser, "team")
    click(browser, "team")
    assert column(browser, 1) == ["3", "2", "1"]
    click(browser, "Δ vs best")  # the best row has no difference and stays last
    assert column(browser, 1) == ["3", "2", "1"]
    click(browser, "Δ vs best")
    assert column(browser, 1) == ["2", "3", "1"]
    assert browser.get_log("browser") == []


@pytest.mark.slow
def test_a_search_leaves_the_rows_that_have_all_its_words(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, many(12))
    search, count = browser.find_element("css selector", "input"), browser.find_element("css selector", "output")
    assert count.text == "12 rows"
    search.send_keys("NUMBER 1")  # of the teams of number 1, 10 and 11
    assert column(browser, 1) == ["2", "11", "12"]
    assert count.text == "3 of 12 rows"
    click(browser, "rank")
    click(browser, "rank")
    assert column(browser, 1) == ["12", "11", "2"]
    for words, n in (("emilie chatelet", 12), (" said DONE ", 0), ("says done", 12), ("t11", 1), ("ranked", 0)):
        search.clear()
        search.send_keys(words)
        assert count.text == f"{n} of 12 rows"
    search.send_keys("\ue00c")  # Escape
    assert (search.get_attribute("value"), len(column(browser, 1))) == ("", 12)
    assert browser.get_log("browser") == []


def test_few_rows_need_no_search(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, board())
    assert not browser.find_element("css selector", "form").is_displayed()


def test_the_head_stays_in_sight(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, many(40))
    browser.execute_script("document.querySelector('.scroll').scrollTo(0, 900)")
    assert box(browser, "th.score")["top"] == box(browser, ".scroll")["top"]
    assert box(browser, "tbody tr")["bottom"] < 0
    opened(browser, tmp_path, many(40), 360)
    browser.execute_script("window.scrollTo(0, 900)")
    assert box(browser, "thead")["top"] == 0
    assert box(browser, "tbody tr")["bottom"] < 0


def test_a_row_is_two_lines_at_every_width(browser: Any, tmp_path: Path) -> None:
    for width in WIDTHS:
        opened(browser, tmp_path, many(2), width)
        line = 1.35 * 14  # pixels
        assert box(browser, "tbody tr")["height"] < 3 * line
        assert browser.execute_script("return document.documentElement.scrollWidth") == width


def test_a_phone_shows_rank_team_score_and_interval_and_the_rest_in_an_opened_row(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, hostile_board(), 360)
    for place in ("rank", "team", "system", "score", "interval"):
        boxes = [cell.rect for cell in browser.find_elements("css selector", f".rows td.{place}")]
        assert len(boxes) == 3 and all(0 <= each["x"] < each["x"] + each["width"] <= 360 for each in boxes)
    assert not browser.find_element("css selector", "td:not([class])").is_displayed()
    browser.find_element("css selector", "summary").click()
    label, value = browser.execute_script(
        "const cell = document.querySelector('td:not([class])');"
        "return [getComputedStyle(cell, '::before').content, cell.checkVisibility() && cell.textContent]"
    )
    assert (json.loads(label), value) == (f"{METRIC} ↓", "0.5000")
    roles = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    names = [node["role"]["value"] for node in roles if not node["ignored"]]
    assert (names.count("row"), names.count("columnheader"), names.count("cell")) == (
        4,
        9,
        3 * 5 + 3,
    )  # the best row has no difference


def test_hostile_names_are_text_in_a_browser(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, hostile_board())
    assert browser.title == f"Toy {HOSTILE} (toy@1.0, split test) · synthetic sample"
    names = browser.find_elements("css selector", "td strong")
    assert names[1].get_attribute("textContent") == HOSTILE
    assert browser.find_element("css selector", "h1").text.startswith(f"Toy {HOSTILE}")
    click(browser, "team")
    assert browser.find_elements("css selector", "td a, img") == []
    assert browser.get_log("browser") == []


def test_the_page_allows_no_other_script(browser: Any, tmp_path: Path) -> None:
    added = "<script>document.title = 'taken'</script>\n</body>"
    opened(browser, tmp_path, board_page(board()).replace("</body>", added))
    assert browser.title.startswith("Toy")
    assert [entry for entry in browser.get_log("browser") if re.search("Content Security Policy", entry["message"])]


def test_all_of_the_table_is_printed(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, many(40))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert box(browser, ".scroll")["height"] >= box(browser, "table")["height"]
    assert not browser.find_element("css selector", "form").is_displayed()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["board", "start"])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, page: str, width: int, theme: str) -> None:
    rows = [*hostile_board().rows, *hostile_board().rows]
    shown = (
        replace(hostile_board(), rows=tuple(rows), schemes=())
        if page == "board"
        else start_page({"toy": hostile_board()})
    )
    opened(browser, tmp_path, shown, width, theme)
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert violations(browser) == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "light")


def test_axe_finds_what_is_wrong(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, '<!doctype html><html lang="en"><title>t</title><main><h1>h</h1><img src="data:,">')
    assert [line.partition(":")[0] for line in violations(browser)] == ["image-alt"]


def test_a_board_is_four_files_and_a_stale_one_is_named_with_its_first_difference(tmp_path: Path) -> None:
    files = board_files(board())
    assert list(files) == ["leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.html"]
    assert files["leaderboard.json"] == board().to_json()
    write_files(tmp_path / "toy", files)
    assert list(stale_files(tmp_path / "toy", files)) == []
    page, table, json = (tmp_path / "toy" / f"leaderboard.{suffix}" for suffix in ("md", "csv", "json"))
    page.write_bytes(page.read_bytes() + b"more\n")
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    json.unlink()
    first, second, third = stale_files(tmp_path / "toy", files)
    assert first == f"{page}: line 17 is 'more', should be ''"
    end = files["leaderboard.csv"].partition("\n")[0][-19:]
    assert second == rf"{table}: line 1 is '…{end}\r', should be '…{end}'"
    assert third == f"{json}: is missing"
    assert list(stale_files(tmp_path / "toy", board_files(board(), ["html"]))) == []


@pytest.mark.parametrize(
    ("n_shared", "old", "new"),
    [
        (0, "1" + "b" * 78 + "…", "2" + "b" * 78 + "…"),
        (59, "a" * 59 + "1" + "b" * 19 + "…", "a" * 59 + "2" + "b" * 19 + "…"),
        (60, "…" + "a" * 19 + "1" + "b" * 58 + "…", "…" + "a" * 19 + "2" + "b" * 58 + "…"),
        (500, "…" + "a" * 19 + "1" + "b" * 58 + "…", "…" + "a" * 19 + "2" + "b" * 58 + "…"),
    ],
)
def test_the_first_difference_of_a_long_line_is_shown(n_shared: int, old: str, new: str, tmp_path: Path) -> None:
    before, after = ("a" * n_shared + digit + "b" * 200 for digit in "12")
    (tmp_path / "board.csv").write_text(before, encoding="utf-8")
    stale = list(stale_files(tmp_path, {"board.csv": after}))
    assert stale == [f"{tmp_path / 'board.csv'}: line 1 is '{old}', should be '{new}'"]
