"""Ranks and tests against Demšar's worked example (JMLR 2006, section 3.2), SciPy, and ranks by hand."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare

from merbench.benchmark.ranking import average_ranks, complete_block, critical_difference, friedman, groups

# AUC of C4.5 with neither, one, and both of two options on 14 data sets, and their ranks (Table 6 there). The two
# values .975 of `voting` differ in digits that are not printed: one of them is made smaller.
AUC = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.9749],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T


def ranks() -> np.ndarray:
    return average_ranks(AUC, 4, higher_is_better=True)


def test_the_ranks_of_the_worked_example() -> None:
    # Sums of the printed ranks: 44, 28, 40.5 and 27.5, over 14.
    assert ranks().sum(axis=1).tolist() == [44, 28, 40.5, 27.5]
    assert ranks()[:, 5].tolist() == [1, 2.5, 4, 2.5]
    assert ranks()[:, 9].tolist() == [2.5] * 4


def test_friedman_of_the_worked_example() -> None:
    test = friedman(ranks())
    assert test is not None
    # Demšar has 9.28 and, from it, F(3, 39) = 3.69, without a correction for equal ranks. Groups of 2, 2, 2 and 4 equal
    # ranks leave 1 - (3 · (2³ - 2) + (4³ - 4)) / (14 · 4 · (4² - 1)) = 1 - 78 / 840 of the variance.
    uncorrected = test.chi_square * (1 - 78 / 840)
    assert uncorrected == pytest.approx(12 * 14 / 20 * ((44**2 + 28**2 + 40.5**2 + 27.5**2) / 14**2 - 25), abs=1e-8)
    assert round(uncorrected, 2) == 9.28
    assert round(13 * uncorrected / (14 * 3 - uncorrected), 2) == 3.69
    assert test.degrees == (3, 39)
    peer = friedmanchisquare(*AUC)
    assert test.chi_square == pytest.approx(peer.statistic, abs=1e-9)
    assert test.p_chi_square == pytest.approx(peer.pvalue, abs=1e-9)
    assert test.f == pytest.approx(13 * peer.statistic / (14 * 3 - peer.statistic), abs=1e-9)


def test_the_critical_difference_of_the_worked_example() -> None:
    # q of Table 5 there: 2.569 for α = .05, 2.291 for α = .10; 1.25 and 1.12 in the text
    assert critical_difference(4, 14, 0.05) == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), abs=3e-4)
    assert critical_difference(4, 14, 0.10) == pytest.approx(2.291 * math.sqrt(4 * 5 / (6 * 14)), abs=3e-4)
    assert round(critical_difference(4, 14, 0.05), 2) == 1.25
    assert round(critical_difference(4, 14, 0.10), 2) == 1.12


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_of_nemenyis_test_are_those_of_the_table(k: int, q: float) -> None:
    assert critical_difference(k, 1, 0.05) == pytest.approx(q * math.sqrt(k * (k + 1) / 6), abs=2e-3)


def test_systems_whose_ranks_differ_by_less_are_grouped() -> None:
    # 3.143 - 1.964 = 1.179 is above 1.12, 3.143 - 2.000 = 1.143 too, 2.893 - 1.964 = 0.929 is not.
    assert groups([1.964, 2.0, 2.893, 3.143], 1.12) == [(0, 2), (2, 3)]
    assert groups([1.964, 2.0, 2.893, 3.143], 1.25) == [(0, 3)]
    assert groups([1.0, 2.0, 3.0], 1.0) == []  # a difference as large is significant
    assert groups([1.0], 2.0) == []


def test_values_are_ranked_as_they_are_displayed_and_in_their_direction() -> None:
    values = np.array([0.50004, 0.50001, 0.4])
    assert average_ranks(values, 4, higher_is_better=True).tolist() == [1.5, 1.5, 3]
    assert average_ranks(values, 5, higher_is_better=True).tolist() == [1, 2, 3]
    assert average_ranks(values, 4, higher_is_better=False).tolist() == [2.5, 2.5, 1]
    draws = np.array([[0.1, 0.2], [0.3, math.nan]])
    assert average_ranks(draws, 4, higher_is_better=True)[:, 0].tolist() == [2, 1]
    assert np.isnan(average_ranks(draws, 4, higher_is_better=True)[:, 1]).all()


def test_where_all_tracks_agree_f_is_infinite_and_equal_systems_have_no_test() -> None:
    agreed = np.tile([[1.0], [2.0], [3.0]], (1, 4))
    test = friedman(agreed)
    assert test is not None
    assert (test.chi_square, test.f, test.p) == (8.0, None, None)  # n (k - 1)
    assert friedman(np.full((3, 4), 2.0)) is None
    assert friedman(agreed[:, :1]) is None
    assert friedman(agreed[:1]) is None


@given(st.integers(2, 6).flatmap(lambda k: st.lists(st.permutations(range(1, k + 1)), min_size=2, max_size=8)))
def test_friedman_agrees_with_scipy(columns: list[list[int]]) -> None:
    given_ranks = np.array(columns, dtype=float).T
    test = friedman(given_ranks)
    assert test is not None
    if len(given_ranks) > 2:  # SciPy asks for three
        assert test.chi_square == pytest.approx(friedmanchisquare(*given_ranks).statistic, abs=1e-9)


@pytest.mark.parametrize(
    ("matrix", "systems", "tracks"),
    [
        (["111", "111"], [0, 1], [0, 1, 2]),
        (["111", "110", "111"], [0, 1, 2], [0, 1]),  # six values both ways: more systems
        (["1111", "1000", "1111"], [0, 2], [0, 1, 2, 3]),
        (["11", "11", "11", "10"], [0, 1, 2], [0, 1]),
        (["10", "01"], [0], [0]),
        (["000", "111"], [1], [0, 1, 2]),
        (["00", "00"], [], []),
    ],
)
def test_the_largest_part_without_a_missing_value_is_ranked(
    matrix: list[str], systems: list[int], tracks: list[int]
) -> None:
    has_value = np.array([[cell == "1" for cell in row] for row in matrix])
    assert complete_block(has_value) == (systems, tracks)


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=6)
    )
)
def test_the_largest_part_is_that_of_all_sets_of_tracks(matrix: list[list[bool]]) -> None:
    has_value = np.array(matrix)
    parts = list[tuple[tuple[int, int, list[int]], list[int], list[int]]]()
    for n in range(1, has_value.shape[1] + 1):
        for tracks in map(list, combinations(range(has_value.shape[1]), n)):
            systems = np.flatnonzero(has_value[:, tracks].all(axis=1)).tolist()
            parts.append(((-len(systems) * n, -len(systems), tracks), systems, tracks))
    size, systems, tracks = min(parts)
    assert complete_block(has_value) == ((systems, tracks) if size[0] else ([], []))


def test_every_system_may_fail_on_a_track_of_its_own() -> None:
    systems, tracks = complete_block(~np.eye(20, dtype=bool))
    assert (systems, tracks) == (list(range(10, 20)), list(range(10)))
    # of 24, the last four are not among those of which all sets are tried, but fit the tracks that are taken
    systems, tracks = complete_block(~np.eye(24, dtype=bool))
    assert (len(systems) + len(tracks), len(systems)) == (24, 12)
    assert complete_block(np.ones((40, 30), dtype=bool)) == (list(range(40)), list(range(30)))
