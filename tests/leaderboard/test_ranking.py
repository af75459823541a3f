"""Places of rows with hand-made values."""

from __future__ import annotations

import math
from random import Random

import pytest
from hand_made_boards import row
from hypothesis import given, settings
from hypothesis import strategies as st

from merbench.errors import UndefinedMetric
from merbench.leaderboard.board import Row
from merbench.leaderboard.ranking import RankingKey, places
from merbench.report import displayed

OVERALL, MSE = RankingKey("overall", True), RankingKey("mse", False)


def ranked(rows: list[Row], by: tuple[RankingKey, ...] = (OVERALL,), decimals: int = 4) -> list[tuple[str, int | None]]:
    return [(place.row.team, place.rank) for place in places(rows, by, decimals)]


def test_ties_share_a_rank_and_the_next_rank_is_left_out() -> None:
    rows = [row("d", overall=0.1), row("b", overall=0.5), row("c", overall=0.5), row("a", overall=0.9)]
    assert ranked(rows) == [("a", 1), ("b", 2), ("c", 2), ("d", 4)]
    assert ranked([]) == []


def test_values_are_compared_as_displayed() -> None:
    # 0.70004 and 0.69996 are both shown as 0.7000.
    rows = [row("later", day=2, overall=0.70004), row("earlier", day=1, overall=0.69996)]
    assert ranked(rows) == [("earlier", 1), ("later", 1)]
    assert ranked(rows, decimals=5) == [("later", 1), ("earlier", 2)]


@pytest.mark.parametrize(
    ("value", "decimals", "shown"),
    [
        (0.12345, 4, "0.1234"),  # a tie goes to the even digit
        (0.12355, 4, "0.1236"),
        (0.00005, 4, "0.0000"),
        (0.00015, 4, "0.0002"),
        (2.5, 0, "2"),
        (-0.00001, 4, "0.0000"),  # never a negative zero
        (-1.00005, 4, "-1.0000"),
        (1e-11, 10, "0.0000000000"),
    ],
)
def test_displayed_values_are_rounded_half_to_even(value: float, decimals: int, shown: str) -> None:
    assert f"{displayed(value, decimals):f}" == shown


def test_among_ties_the_earlier_is_listed_first_then_the_smaller_digest_and_the_rank_is_shared() -> None:
    rows = [
        row("z", day=3, digest="a", overall=0.5),
        row("y", day=2, digest="b", overall=0.5),
        row("x", day=2, digest="a", overall=0.5),
    ]
    assert ranked(rows) == [("x", 1), ("y", 1), ("z", 1)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_without_a_finite_value_is_not_ranked(value: float) -> None:
    with pytest.raises(UndefinedMetric, match="a-team/run: has no value of overall, so it cannot enter a ranking"):
        places([row(overall=value), row("b", overall=0.1)], [OVERALL], 4)
    with pytest.raises(UndefinedMetric, match="has no value of mse"):
        places([row(overall=0.5)], [OVERALL, MSE], 4)


rows_of = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()).map(
        lambda cells: row(f"t{cells}", overall=cells[0] / 10, mse=cells[1] / 10, ranks=cells[2])
    ),
    max_size=12,
)


@settings(deadline=None)
@given(rows_of, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(rows: list[Row], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert ranked(rows, (OVERALL, MSE)) == ranked(shuffled, (OVERALL, MSE))


@settings(deadline=None)
@given(rows_of)
def test_a_rank_is_one_more_than_the_number_of_better_rows(rows: list[Row]) -> None:
    def key(row: Row) -> tuple[float, float]:
        return -row.values["overall"], row.values["mse"]

    for place in places(rows, (OVERALL, MSE), 4):
        better = sum(other.ranks and key(other) < key(place.row) for other in rows)
        assert place.rank == (better + 1 if place.row.ranks else None)
