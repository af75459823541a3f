"""The page of a board: its markup, what a real browser makes of it, and the published files."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser import THEMES, WIDTHS, show, violations
from hand_made_boards import an_invalid_entry, board, row, three_rows

from merbench.leaderboard.board import Board
from merbench.site.page import board_files, board_page, stale_files, write_files

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title = 1">'


def hostile_board() -> Board:
    """Return a board whose every text tries to be markup."""
    first, second, third = three_rows()
    hostile = replace(
        second,
        team_name=HOSTILE,
        system=HOSTILE,
        title=f'"{HOSTILE}',
        members=(HOSTILE,),
        paper='https://example.org/"onclick="x',
        code="javascript:document.title='taken'",
        external_data=(HOSTILE,),
    )
    return board([first, hostile, third], title=f"Toy {HOSTILE}", invalid=(an_invalid_entry(),))


class _Markup(HTMLParser):
    """Collects the tags of a page and the addresses they name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "action")]


def test_the_page_is_self_contained_and_names_are_escaped() -> None:
    page = board_page(board())
    markup = _Markup(page)
    assert markup.addresses == ["data:,"]
    assert markup.tags.count("script") == markup.tags.count("style") == 1
    assert markup.tags.count("svg") == 3
    assert "@import" not in page and "url(" not in page
    hostile = _Markup(board_page(hostile_board()))
    assert (hostile.tags.count("script"), hostile.addresses) == (1, ["data:,"])
    assert "img" not in hostile.tags


def test_only_a_plain_web_address_is_a_link() -> None:
    rows = [replace(three_rows()[0], paper="https://example.org/p?a=1&b=2", code="see example.org")]
    markup = _Markup(board_page(board(rows)))
    assert markup.addresses == ["data:,", "https://example.org/p?a=1&b=2"]


def test_intervals_are_on_one_scale() -> None:
    # The lowest end is 0.45 and the highest 0.80, on 152 units from 4: 0.70 lies at 4 + 0.25 / 0.35 * 152 = 112.6.
    page = board_page(board())
    assert '<line x1="112.6" x2="156.0"' in page
    assert '<line x1="4.0" x2="47.4"' in page


def test_what_a_board_does_not_have_is_left_out_and_invalid_entries_are_listed() -> None:
    empty = board_page(board([], uncertainty=None))
    assert "<table" not in empty and "no entries yet" in empty
    assert "<svg" not in board_page(board([replace(row(overall=0.5, mse=0.1), rank=1)], hidden=True, uncertainty=None))
    page = board_page(board(invalid=(an_invalid_entry(),)))
    assert "<li>toy/team/run: E404  exactly one file &#x27;submission.*&#x27; is required, not none</li>" in page


def opened(browser: Any, folder: Path, shown: Board, width: int = 1280, theme: str = "light") -> None:
    path = folder / "leaderboard.html"
    path.write_text(board_page(shown), encoding="utf-8")
    show(browser, path, width, theme)


def column(browser: Any, number: int) -> list[str]:
    return [cell.text for cell in browser.find_elements("css selector", f"tbody td:nth-child({number})")]


def click(browser: Any, head: str) -> None:
    buttons = browser.find_elements("css selector", "th button")
    next(button for button in buttons if button.text.strip() == head).click()


def sorted_by(browser: Any) -> dict[str, str]:
    heads = browser.find_elements("css selector", "th")
    states = {head.text.strip(): head.get_attribute("aria-sort") for head in heads}
    return {head: state for head, state in states.items() if state not in (None, "none")}


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
    click(browser, "p")  # the best row has no p and stays last
    assert column(browser, 1) == ["3", "2", "1"]
    click(browser, "p")
    assert column(browser, 1) == ["2", "3", "1"]
    assert browser.get_log("browser") == []


def test_hostile_names_are_text_in_a_browser(browser: Any, tmp_path: Path) -> None:
    opened(browser, tmp_path, hostile_board())
    assert browser.title == f"Toy {HOSTILE} (toy@1.0, split test) · synthetic sample"
    assert HOSTILE in column(browser, 2)[1]
    assert browser.find_element("css selector", "h1").text.startswith(f"Toy {HOSTILE}")
    click(browser, "team")
    assert browser.find_elements("css selector", "td a, img") == []
    assert browser.get_log("browser") == []


def test_the_page_allows_no_other_script(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.html"
    added = "<script>document.title = 'taken'</script>\n</body>"
    path.write_text(board_page(board()).replace("</body>", added), encoding="utf-8")
    browser.get(path.as_uri())
    assert browser.title.startswith("Toy")
    assert [entry for entry in browser.get_log("browser") if re.search("Content Security Policy", entry["message"])]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(browser: Any, tmp_path: Path, width: int, theme: str) -> None:
    opened(browser, tmp_path, hostile_board(), width, theme)
    browser.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert violations(browser) == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (theme == "light")


def test_axe_finds_what_is_wrong(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text(
        '<!doctype html><html lang="en"><title>t</title><main><h1>h</h1><img src="data:,">', encoding="utf-8"
    )
    show(browser, path)
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
    assert first == f"{page}: line 18 is 'more', should be ''"
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
