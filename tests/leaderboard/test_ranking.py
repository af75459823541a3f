"""Places of rows with hand-made values."""

from __future__ import annotations

import math
from itertools import combinations
from random import Random
from typing import Any

import numpy as np
import pytest
from hand_made_boards import row
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import rankdata

from merbench.errors import UndefinedMetric
from merbench.leaderboard.board import Row
from merbench.leaderboard.ranking import (
    RankingKey,
    competition_ranks,
    group_letters,
    letter_display,
    places,
    rank_intervals,
)
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


# How sure a rank is.


def test_competition_ranks_are_those_of_scipy() -> None:
    values = np.random.default_rng(0).integers(0, 9, (20, 12)).astype(float)
    assert (competition_ranks(values) == rankdata(values, method="min", axis=1)).all()
    # Equal values by a second key, never the other way round.
    first, second = np.array([[1.0, 0.0, 1.0, 1.0]]), np.array([[5.0, 9.0, 4.0, 5.0]])
    assert competition_ranks(first, second).tolist() == [[3, 1, 2, 3]]


def test_how_often_a_row_is_first_is_counted_over_the_places_in_every_resample() -> None:
    rng = np.random.default_rng(1)
    # Five decimals of which four are shown, so that rows tie, and the last row is the one before it.
    overall = np.round(0.5 + rng.integers(-9, 10, (6, 99)) * 5e-5 + np.array([[4e-4], [2e-4], [0], [0], [0], [0]]), 5)
    mse = rng.integers(1, 3, (6, 99)) / 10
    overall[5], mse[5] = overall[4], mse[4]
    n_first = np.zeros(6)
    for draw in range(99):
        rows = [row(str(i), overall=overall[i, draw], mse=mse[i, draw]) for i in range(6)]
        n_first += [rank == 1 for _, rank in sorted(ranked(rows, (OVERALL, MSE)))]
    draws, by = {"overall": overall, "mse": mse}, (OVERALL, MSE)
    intervals = rank_intervals(draws, {"overall": overall.mean(axis=1), "mse": mse.mean(axis=1)}, by, 4, 0.95, 98)
    shares = [interval.first_share for interval in intervals if interval is not None]
    assert shares == pytest.approx(n_first / 99, abs=1e-15)
    assert intervals[4] == intervals[5]


def intervals_of(
    draws: Any, degrees: float = 999, decimals: int = 4, level: float = 0.95, mse: Any = None
) -> list[Any]:
    """Return the intervals of ranks by `overall`, then `mse`, whose plain values are the means of the draws."""
    both = {"overall": np.array(draws), "mse": np.ones_like(draws) if mse is None else mse}
    values = {name: np.nanmean(own, axis=1).round(10) for name, own in both.items()}
    found = rank_intervals(both, values, (OVERALL, MSE), decimals, level, degrees)
    return [interval and interval[:2] for interval in found]


def apart(*t: float) -> NDArray[np.float64]:
    """Return 1,000 draws a row, whose differences are `t` standard deviations (n − 1) apart, exactly."""
    noise = np.linalg.qr(np.c_[np.ones(1000), np.random.default_rng(3).normal(size=(1000, len(t)))])[0][:, 1:].T
    return np.round(np.array(t)[:, None] + noise * math.sqrt(999 / 2), 10)


def test_an_interval_of_a_rank_has_the_rows_that_do_not_differ_from_it() -> None:
    # Tables of Student's t at 999 degrees: 1.962 for 0.05 / 2 on either side, 2.245 for 0.05 / 4, 1.646 for 0.1 / 2.
    assert intervals_of(apart(0, 1.95)) == [(1, 2), (1, 2)]
    assert intervals_of(apart(0, 1.97)) == [(2, 2), (1, 1)]
    # The larger t of a row's two is compared with 2.245 and, if it is above, the other one with 1.962.
    assert intervals_of(apart(0, 1.97, 4.21)) == [(3, 3), (1, 3), (1, 1)]
    assert intervals_of(apart(0, 1.97, 4.22)) == [(3, 3), (2, 2), (1, 1)]
    assert intervals_of(apart(0, 1.95, 4.20)) == [(2, 3), (2, 3), (1, 1)]
    assert intervals_of(apart(0, 1.12, 2.24)) == [(1, 3)] * 3
    assert intervals_of(apart(0, 1.65), level=0.9) == [(2, 2), (1, 1)]
    # At two degrees, 4.303; with less than one there is no test.
    assert intervals_of(apart(0, 4.30), degrees=2) == [(1, 2), (1, 2)]
    assert intervals_of(apart(0, 4.31), degrees=2) == [(2, 2), (1, 1)]
    assert intervals_of(apart(0, 999), degrees=0.9) == [(1, 2), (1, 2)]


def test_rows_that_tie_as_displayed_share_their_rank_whatever_differs() -> None:
    shared = np.random.default_rng(4).normal(0, 0.01, 1000)
    near = np.stack([0.70412 + shared, 0.70414 + shared, 0.60 + shared]).round(10)
    assert intervals_of(near, decimals=4) == [(1, 2), (1, 2), (3, 3)]
    assert intervals_of(near, decimals=5) == [(2, 2), (1, 1), (3, 3)]
    # The next key decides of rows that are equal in all resamples, and of no others.
    equal = np.stack([shared, shared])
    assert intervals_of(equal, mse=apart(0, 2)) == [(1, 1), (2, 2)]
    assert intervals_of(equal, mse=apart(0, 1)) == [(1, 2), (1, 2)]
    assert intervals_of(apart(0, 0), mse=apart(0, 2)) == [(1, 2), (1, 2)]
    # Where all resamples agree, so do all units: of equal systems, 5 do with p = 2 / 2⁵, 6 with 2 / 2⁶.
    constant = np.repeat([[0.5], [0.7]], 1000, axis=1)
    assert intervals_of(constant, degrees=4) == [(1, 2), (1, 2)]
    assert intervals_of(constant, degrees=5) == [(2, 2), (1, 1)]


def test_resamples_without_a_value_are_left_out_and_a_row_with_many_has_no_interval() -> None:
    draws = np.repeat([[0.9], [0.5], [0.7]], 100, axis=1)
    draws[1, :20] = math.nan  # a fifth: left out for all; in those, the first and the third are in another order
    draws[0, :20] = 0.6
    values, by = {"overall": np.array([0.9, 0.5, 0.7])}, (OVERALL,)

    def made() -> list[Any]:
        return rank_intervals({"overall": draws}, values, by, 4, 0.95, 99)

    # The first and the third differ by 0.2, in a fifth by -0.1: a standard deviation of 0.12.
    assert made() == [(1, 2, 1.0), (3, 3, 0.0), (1, 2, 0.0)]
    draws[1, :21] = math.nan
    # Now the second has none, and may have any rank; the others are compared in all.
    assert made() == [(1, 3, 0.8), None, (1, 3, 0.2)]
    draws[:] = math.nan
    assert made() == [None, None, None]
    # Each row has a value in most, but together they have one in too few.
    draws[:], draws[0, :20], draws[1:, 20:40] = 1, math.nan, math.nan
    assert made() == [None, None, None]


@pytest.mark.parametrize(
    ("n", "different", "letters"),
    [
        (1, [], ["a"]),
        (3, [], ["a", "a", "a"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (4, [(0, 2), (0, 3), (1, 3)], ["a", "a b", "b c", "c"]),
        (3, [(0, 1)], ["a", "b", "a b"]),  # the third is like both of two that differ
        # 0–1, 1–2 and 0–2 are pairs of larger groups: a group of their own would say nothing new.
        (6, [(0, 5), (1, 4), (2, 3), (3, 4), (3, 5), (4, 5)], ["a b", "a c", "b c", "a", "b", "c"]),
    ],
)
def test_letters_by_hand(n: int, different: list[tuple[int, int]], letters: list[str]) -> None:
    assert letter_display(n, different) == letters


@given(st.integers(1, 9), st.randoms())
def test_two_rows_share_a_letter_unless_they_differ(n: int, random: Random) -> None:
    pairs = list(combinations(range(n), 2))
    different = [pair for pair in pairs if random.random() < 0.5]
    letters = [set(own.split()) for own in letter_display(n, different)]
    assert [(a, b) for a, b in pairs if not letters[a] & letters[b]] == different
    used = set[str]().union(*letters)
    assert used == set("abcdefghijklmnopqrstuvwxyz"[: len(used)])


def test_more_rows_than_letters() -> None:
    pairs = list(combinations(range(30), 2))
    assert letter_display(30, pairs)[24:] == ["y", "z", "aa", "ab", "ac", "ad"]
    assert letter_display(30, [pair for pair in pairs if pair != (26, 29)])[26::3] == ["aa", "aa"]
    apart = [(a, b) for a, b in pairs if b - a > 1]
    assert letter_display(30, apart)[25:28] == ["y z", "z aa", "aa ab"]


def test_groups_compare_all_pairs_of_few_rows_and_neighbours_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).normal(0, 0.01, (5, 1000))
    values = np.array([0.9, 0.89, 0.88, 0.87, 0.5])
    draws = values[:, None] + noise
    draws[1] = draws[0] - 0.01 + 1e-4 * noise[1]  # nearly the same answers: a small difference is significant
    # In standard deviations of the difference, about 0.014: 0 – 1: 100, 0 – 2: 1.4, 0 – 3: 2.1, 1 – 2: 0.7, 1 – 3: 1.4,
    # and at least 26 to the last. Of ten p, that of 2.1 (0.034) is not significant.
    assert group_letters(draws, values, 999, 0.05) == ["a", "b", "a b", "a b", "c"]
    monkeypatch.setattr("merbench.leaderboard.ranking.MOST_PAIRED", 4)
    assert group_letters(draws, values, 999, 0.05) == ["a", "b", "b", "b", "c"]
