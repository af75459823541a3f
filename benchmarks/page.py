"""The page of a board of 300 and of 1,000 rows: written by Python, then opened, searched and sorted in Chromium.

Times in Chromium are those of its own clock: until a page is painted; from an input or a click until the next frame is
painted. Every row has an interval, six scores and a folded description; every fifth is the mean of three runs.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring import machine, race, seconds, table
from merbench.leaderboard.board import Board, BoardScore, Gap, Row, Scheme
from merbench.site.page import board_page
from tests.browser import show, start
from tests.hand_made_boards import board, row

METRICS = {"overall": True, "weighted_f1": True, "mse": False, "accuracy": True, "macro_f1": True, "ccc": True}

ROUNDS = 5

FRAME = """
const begin = performance.now();
{};
requestAnimationFrame(() => setTimeout(() => arguments[0](performance.now() - begin)));
"""

OPENED = """
const [loaded] = performance.getEntriesByType("navigation");
return Math.max(loaded.loadEventEnd, ...performance.getEntriesByType("paint").map((entry) => entry.startTime));
"""

SEARCH = "const input = document.querySelector('input'); input.value = '{}'; input.dispatchEvent(new Event('input'))"

ACTIONS = {
    "search": SEARCH.format("wavlm"),
    "search ended": SEARCH.format(""),
    "sort by a number": "document.querySelectorAll('th button')[5].click()",
    "sort by text": "document.querySelectorAll('th button')[2].click()",
    "a row opened": "document.querySelector('details').open = true",
}


def made_row(number: int, n: int, rng: random.Random) -> Row:
    """Return one row of a board of `n`."""
    runs = tuple(f"run-{seed}" for seed in range(3 if number % 5 == 0 else 1))
    value = 0.8 - 0.5 * number / n
    scores = tuple(
        BoardScore(
            f"{name}(discrete)", name, value, 0.01 if len(runs) > 1 else None, value - 0.05, value + 0.05, better
        )
        for name, better in METRICS.items()
    )
    made = row(f"team-{number}", overall=value)
    return replace(
        made,
        rank=number + 1,
        rank_low=max(1, number - 5),
        rank_high=min(n, number + 7),
        group="ab",
        first_share=1 / n,
        team_name=f"Emotion Lab {number}",
        system=rng.choice(["wavlm-large", "cross-attention", "omni-lora"]),
        title="Cross-modal attention over speech, face and text, mean of five folds",
        members=("Ada Lovelace", "Emmy Noether"),
        paper="https://example.org/paper",
        code="https://example.org/code",
        runs=runs,
        seeds=tuple(range(len(runs))),
        received=made.received + timedelta(hours=number),
        scores=scores,
        gap=Gap(value - 0.8, 0.01, 0.02, separable=True, needed=1000, needed_unit="samples") if number else None,
    )


def made_board(n: int) -> Board:
    """Return a board of so many rows, with six other ranking schemes."""
    rng = random.Random(1)
    ranks = tuple(range(1, n + 1))
    schemes = tuple(Scheme(f"scheme_{i}", ranks, tuple(map(float, ranks)), 1.0) for i in range(6))
    return board([made_row(number, n, rng) for number in range(n)], schemes=schemes)


def times_in_browser(driver: Any, page: Path) -> dict[str, float]:
    """Return the median seconds of opening a page and of each action on it."""
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        show(driver, page)
        times.setdefault("opened", []).append(driver.execute_script(OPENED) / 1e3)
        for name, action in ACTIONS.items():
            times.setdefault(name, []).append(driver.execute_async_script(FRAME.format(action)) / 1e3)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Print the table."""
    print(machine(["selenium"]), end="\n\n")
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            driver = start(Path(folder) / "profile")
        except pytest.skip.Exception as reason:
            print(f"skipped: {reason}")
            return
        for n in (300, 1000):
            shown = made_board(n)
            page = Path(folder) / "leaderboard.html"
            page.write_text(board_page(shown), encoding="utf-8")
            written = race({"written": partial(board_page, shown)}, ROUNDS)
            bytes_per_row = {"bytes per row": f"{page.stat().st_size / n:,.0f}"}
            times = {**written, **times_in_browser(driver, page)}
            columns[n] = {**bytes_per_row, **{name: seconds(value) for name, value in times.items()}}
            height = driver.execute_script("return document.documentElement.scrollHeight")
            columns[n]["height in a window of 1,280 pixels"] = f"{height:,} px"
        driver.quit()
    print(
        table(
            ["", *(f"{n:,} rows" for n in columns)],
            [(name, *(c[name] for c in columns.values())) for name in columns[300]],
        )
    )


if __name__ == "__main__":
    main()
