"""The board of a family: plain means over tracks, from boards made by hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hand_made_boards import board, row

from merbench.errors import UsageError
from merbench.leaderboard.board import Board
from merbench.leaderboard.family import FamilyBoard, family_board
from merbench.track import list_tracks

UNIBENCH = [track for track in list_tracks() if track.family == "mer-unibench"]
SETS = ["mer2023", "mer2024", "meld", "iemocap", "cmu-mosi", "cmu-mosei", "ch-sims", "ch-sims-v2", "ov-merd-plus"]
PAGE = Path(__file__).parents[2] / "docs" / "mer-unibench.md"


def published() -> dict[str, list[float]]:
    """Return the numbers of every published row: nine, and their mean."""
    rows = [
        line.strip("| ").split(" | ")
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if re.search(r"\d\.\d\d \|$", line)
    ]
    return {cells[0]: [float(cell) for cell in cells[2:]] for cells in rows}


def board_of(name: str, **values: float | None) -> Board:
    """Return a board of a track with a row per team and its value."""
    rows = [row(team, overall=value, mse=0.0) for team, value in values.items() if value is not None]
    return board(rows, track=f"mer-unibench-{name}@1.0")


def test_the_published_means_are_plain_means() -> None:
    systems = published()
    assert len(systems) == 8 and all(len(numbers) == 10 for numbers in systems.values())
    boards = {
        f"mer-unibench-{name}": board_of(name, **{system: numbers[place] for system, numbers in systems.items()})
        for place, name in enumerate(SETS)
    }
    result = family_board("mer-unibench", UNIBENCH, boards)
    assert [track.id for track in result.tracks] == sorted(boards) and result.mean_head == "mean"
    for own in result.rows:
        assert own.mean == pytest.approx(systems[own.team][-1], abs=0.005 + 1e-9)
        assert sorted(own.values, key=str) == sorted(systems[own.team][:-1], key=str)
    assert [own.team for own in result.rows] == sorted(systems, key=lambda name: -systems[name][-1])
    assert [own.rank for own in result.rows] == list(range(1, 9))


def test_a_card_has_the_column_of_its_track() -> None:
    systems = published()
    for track in UNIBENCH:
        place = SETS.index(track.id.removeprefix("mer-unibench-"))
        card = (track.folder / "README.md").read_text(encoding="utf-8")
        for name, numbers in systems.items():
            assert f"| {name} | " in card and f" | {numbers[place] / 100:.4f} |" in card


def test_a_system_without_all_tracks_has_no_mean() -> None:
    boards = {
        "mer-unibench-meld": board_of("meld", a=0.5, b=0.75, c=0.9),
        "mer-unibench-iemocap": board_of("iemocap", a=0.25, b=0.0, c=None),
    }
    result = family_board("mer-unibench", UNIBENCH, boards)
    # Both means are 3/8, so a and b share the first rank; c is on one of two boards.
    assert [(own.rank, own.team, own.values, own.mean) for own in result.rows] == [
        (1, "a", (0.25, 0.5), 0.375),
        (1, "b", (0.0, 0.75), 0.375),
        (None, "c", (None, 0.9), None),
    ]
    assert result.to_text().splitlines()[:6] == [
        "mer-unibench: 9 tracks",
        "",
        "rank  team  system  mean of 2 of 9  iemocap    meld",
        "1     a     net             0.3750   0.2500  0.5000",
        "1     b     net             0.3750   0.0000  0.7500",
        "–     c     net                  –        –  0.9000",
    ]
    assert "without a board: mer-unibench-ch-sims," in result.to_text()
    assert FamilyBoard.from_json(result.to_json()) == result
    assert "**0.9000**" in result.to_markdown() and "**0.5000**" not in result.to_markdown()
    assert family_board("mer-unibench", UNIBENCH, {}).to_text().startswith("mer-unibench: 9 tracks\n")


def test_a_system_that_is_not_ranked_somewhere_has_a_mean_and_no_rank() -> None:
    unranked = board([row("a", overall=1.0, mse=0.0, ranks=False)], track="mer-unibench-meld@1.0")
    result = family_board("mer-unibench", UNIBENCH, {"mer-unibench-meld": unranked})
    assert [(own.rank, own.mean) for own in result.rows] == [(None, 1.0)]


def test_no_mean_of_errors() -> None:
    errors = board([row(overall=1.0, mse=1.0)], track="mer-unibench-meld@1.0", ranking=("mse",))
    with pytest.raises(
        UsageError, match=r"^mer-unibench-meld@1.0 ranks by mse, which is better when lower: the family"
    ):
        family_board("mer-unibench", UNIBENCH, {"mer-unibench-meld": errors})
