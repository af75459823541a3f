"""Ranking schemes against SciPy, pandas, and what the tests of challengeR expect."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from merbench.leaderboard import schemes
from merbench.leaderboard.schemes import schemes_of

# Four metrics (lines) of five rows; higher is better.
VALUES = np.array(
    [
        [0.9, 0.8, 0.8, 0.7, 0.1],
        [0.5, 0.5, 0.5, 0.6, 0.2],
        [0.1, 0.4, 0.3, 0.2, 0.0],
        [-1.0, -2.0, -0.5, -0.5, -9.0],
    ]
)


def ranks(name: str, scores: np.ndarray) -> list[int | None]:
    (scheme,) = schemes_of({name: scores.tolist()}, range(1, len(scores) + 1))
    return list(scheme.ranks)


def test_mean_and_median_rank_of_metrics_by_hand() -> None:
    # Ranks, the smallest for ties: 1 2 2 4 5 · 2 2 2 1 5 · 4 1 2 3 5 · 3 4 1 1 5.
    assert schemes.mean_rank(VALUES).tolist() == [10 / 4, 9 / 4, 7 / 4, 9 / 4, 5.0]
    assert ranks("mean_rank", schemes.mean_rank(VALUES)) == [4, 2, 1, 2, 5]
    assert schemes.median_rank(VALUES).tolist() == [2.5, 2.0, 2.0, 2.0, 5.0]
    assert ranks("median_rank", schemes.median_rank(VALUES)) == [4, 1, 1, 1, 5]


def test_of_one_metric_the_mean_rank_is_its_rank() -> None:
    assert schemes.mean_rank(VALUES[:1]).tolist() == schemes.median_rank(VALUES[:1]).tolist() == [1, 2, 2, 4, 5]


def test_borda_counts_are_those_of_mteb() -> None:
    some = VALUES.copy()
    some[0, 4] = some[2, 1] = some[2, 2] = math.nan
    for values in (VALUES, some):
        # N minus the average rank, and nothing for what is missing, as its leaderboard computes them with pandas.
        table = pd.DataFrame(values.T)
        counts = table.apply(lambda column: len(column) - column.rank(method="average", ascending=False)).sum(axis=1)
        assert schemes.borda(values) == pytest.approx(counts.to_numpy(), abs=1e-12)
        expected = counts.rank(method="min", ascending=False).astype(int).tolist()
        assert ranks("borda", schemes.borda(values)) == expected


# What challengeR's tests expect of two algorithms, given as values of the cases of each; higher is better.
BOTH_BETTER = np.array([[1.0, 1.0, 1.0, 1.0], [0.2, 0.2, 0.2, 0.2]])


@pytest.mark.parametrize(
    ("cases", "of_mean", "of_ranks", "of_tests"),
    [
        (BOTH_BETTER, [1, 2], [1, 2], [1, 2]),
        (BOTH_BETTER[::-1], [2, 1], [2, 1], [2, 1]),
        # Two cases are too few for a test, and of one, or of no difference, there is none.
        (-np.array([[0.6, 0.6], [0.8, 0.8]]), [1, 2], [1, 2], [1, 1]),
        (-np.array([[0.6], [0.8]]), [1, 2], [1, 2], [1, 1]),
        (-np.array([[0.6], [0.6]]), [1, 1], [1, 1], [1, 1]),
    ],
)
def test_rankings_by_case_are_those_that_challenger_expects(
    cases: np.ndarray, of_mean: list[int], of_ranks: list[int], of_tests: list[int]
) -> None:
    assert ranks("aggregate_then_rank", schemes.aggregate_then_rank(cases)) == of_mean
    assert ranks("rank_then_aggregate", schemes.rank_then_aggregate(cases)) == of_ranks
    assert ranks("test_then_rank", schemes.significant_wins(cases)) == of_tests


def test_ranks_of_cases_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # By case, the smallest rank for ties: 1 1 3 · 2 1 2 · 3 2 1 · 1 1 1; the mean value says otherwise.
    cases = np.array([[0.9, 0.2, 0.1, 0.5], [0.9, 0.3, 0.2, 0.5], [0.0, 0.2, 0.9, 0.5]])
    monkeypatch.setattr(schemes, "AT_ONCE", 6)  # two cases at a time
    assert schemes.rank_then_aggregate(cases).tolist() == [7 / 4, 5 / 4, 7 / 4]
    assert ranks("rank_then_aggregate", schemes.rank_then_aggregate(cases)) == [2, 1, 2]
    assert schemes.aggregate_then_rank(cases) == pytest.approx([1.7 / 4, 1.9 / 4, 1.6 / 4], abs=1e-15)


@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_tests_of_pairs_are_those_of_scipy(levels: int) -> None:
    rng = np.random.default_rng(levels)
    better = np.linspace(0.1, 0.4, 6)[:, None] < rng.random((6, 80))
    cases = np.where(better, levels - 1, rng.integers(0, levels, (6, 80))) / (levels - 1)
    cases[5] = cases[4]
    p = schemes.better_p(cases)
    wins, of_pairs = np.zeros(6), {}
    for a in range(6):
        for b in range(6):
            difference = np.round(cases[a] - cases[b], 10)
            if not difference.any():
                assert math.isnan(p[a, b])
                continue
            test = stats.wilcoxon(
                difference, zero_method="wilcox", correction=True, alternative="greater", method="asymptotic"
            )
            assert p[a, b] == pytest.approx(test.pvalue, abs=1e-12)
            wins[a] += test.pvalue <= 0.05
            of_pairs[a, b] = test.pvalue
    assert schemes.significant_wins(cases).tolist() == wins.tolist()
    assert wins.any()
    # Holm over the 28 ordered pairs that differ: the i-th smallest p is significant if it and all before are ≤ α / (m − i).
    holm, ordered = np.zeros(6), sorted(of_pairs.items(), key=lambda item: item[1])
    for i, ((a, _), value) in enumerate(ordered):
        if value > 0.05 / (28 - i):
            break
        holm[a] += 1
    assert len(ordered) == 28
    assert schemes.significant_wins(cases, "holm").tolist() == holm.tolist()
    assert holm.sum() < wins.sum()


def test_the_mean_rank_score_is_that_of_euroeval() -> None:
    rng = np.random.default_rng(3)
    means = np.array([[0.8, 0.79, 0.7, 0.69, 0.3], [0.2, 0.5, 0.5, 0.1, 0.1]])
    draws = means[:, :, None] + rng.normal(0, 0.02, (2, 5, 10))
    draws[1, 2] = draws[1, 1]
    draws[0, 3], draws[0, 4], draws[1, 3], draws[1, 4] = 0.5, 0.25, 0.1, 0.1  # constant, and two of them equal
    expected = np.zeros(5)
    for metric in draws:
        order = sorted(range(5), key=lambda row: -metric[row].mean())
        spread = np.std([own.mean() for own in metric])
        rank, previous = 1.0, metric[order[0]]
        for row in order:
            own = metric[row]
            if not np.array_equal(previous, own):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # constant values
                    test = stats.ttest_ind(previous, own, alternative="greater", equal_var=False)
                if test.pvalue < 0.05:
                    rank += (previous.mean() - own.mean()) / spread
                    previous = own
            expected[row] += rank / 2
    assert schemes.mean_rank_score(draws) == pytest.approx(expected, abs=1e-12)
    assert len(set(np.round(expected, 6))) > 2


@pytest.mark.parametrize("unit", [1.0, 1e200])
def test_the_test_of_euroeval_is_welchs_up_to_its_level(unit: float) -> None:
    noise = np.random.default_rng(5).normal(0, [[1], [3]], (2, 10))

    def p(difference: float) -> float:
        return float(stats.ttest_ind(noise[0] + difference, noise[1], alternative="greater", equal_var=False).pvalue)

    for level, is_worse in ((0.0499, True), (0.0501, False)):
        shift = optimize.brentq(lambda x, at=level: p(x) - at, 0, 9)
        draws = noise + np.array([[shift], [0.0]])
        # Two means are each half of their difference from their mean: one deviation. So a worse one has the rank 1 + 2.
        expected = [1, 3 if is_worse else 1]
        assert schemes.mean_rank_score(unit * draws[None]) == pytest.approx(expected, abs=1e-12)


def test_kendalls_tau_is_that_of_scipy() -> None:
    rng = np.random.default_rng(4)
    for _ in range(9):
        a, b = rng.integers(1, 6, (2, 8))
        assert schemes.kendall_tau(a, b) == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
    assert schemes.kendall_tau(np.array([1, 2, 3]), np.array([1, 1, 1])) is None


def test_a_row_that_is_not_ranked_has_no_rank_in_a_scheme() -> None:
    (scheme,) = schemes_of({"borda": [1.0, 2.0, 1.0 + 1e-12]}, [1, None, 2, 3])
    assert (scheme.ranks, scheme.scores) == ((2, None, 1, 2), (1.0, None, 2.0, 1.0))
    # The board has 1 2 3, the scheme 2 1 2: of three pairs one is tied, one agrees and one does not.
    assert scheme.tau == 0.0
