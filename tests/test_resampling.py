"""Resampling against SciPy, NumPy's quantiles, full enumeration and arithmetic by hand."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.metrics import f1_score

from merbench import resampling
from merbench.errors import UndefinedMetric
from merbench.intervals import (
    Interval,
    Jackknife,
    bca_interval,
    distance_interval,
    effective_number,
    exact_interval,
    jackknife_t_interval,
    jackknives,
    percentile_interval,
    size_degrees,
    tail_index,
)
from merbench.metrics import METRICS
from merbench.metrics.sums import Clustered, spread
from merbench.resampling import (
    Weights,
    cluster_codes,
    group_masks,
    jackknife_weights,
    n_swaps,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.significance import (
    detectable,
    holm,
    n_as_large,
    n_needed,
    pair_deviations,
    pairwise_p,
    permutation_p,
    rank_correlation_p,
    t_ends,
)
from merbench.student import student_p, student_quantile

KEY = "mer-multi@1.0|test|0"


def rows(blocks: Iterator[Weights]) -> NDArray[np.uint8]:
    return np.concatenate([spread(block) for block in blocks])


def test_table_has_mean_and_variance_of_exactly_one_and_follows_the_poisson_law() -> None:
    table = resampling._POISSON.astype(np.int64)
    assert len(table) == 65_536
    assert table.sum() == len(table)
    assert (table**2).sum() == 2 * len(table)
    expected = len(table) * stats.poisson(1).pmf(np.arange(9))
    # Rounded to whole words, and moved by at most one more so that the moments are exact.
    assert np.abs(np.bincount(table) - expected).max() < 1.5


def test_weights_follow_the_poisson_law() -> None:
    weights = rows(poisson_weights(KEY, 2_000, 1_000))
    counts = np.bincount(weights.ravel(), minlength=7)
    observed = [*counts[:6], counts[6:].sum()]
    law = stats.poisson(1)
    expected = weights.size * np.array([*law.pmf(np.arange(6)), law.sf(5)])
    assert stats.chisquare(observed, expected).pvalue > 0.001
    # Neither samples nor resamples go together: 2,000 row totals and 1,000 column totals vary as Poisson sums do.
    assert weights.sum(axis=1).var() == pytest.approx(2_000, rel=0.15)
    assert weights.sum(axis=0).var() == pytest.approx(1_000, rel=0.15)


def test_weights_are_the_documented_words_of_the_documented_stream() -> None:
    seed = int.from_bytes(hashlib.sha256(f"poisson|{KEY}".encode()).digest(), "little")
    words = np.random.PCG64(seed).random_raw(4).tolist()
    sixteen = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    ends = list(itertools.accumulate([24109, 24109, 12056, 4018, 1005, 200, 33, 5, 1]))
    counts = [next(value for value, end in enumerate(ends) if word < end) for word in sixteen]
    # Seven samples take two words of four, the second row starts on the third.
    assert rows(poisson_weights(KEY, 7, 2)).tolist() == [counts[:7], counts[8:15]]


@pytest.mark.parametrize(
    ("draw", "digest"),
    [
        (poisson_weights, "4e4d0662cfd9c66699c4dbb99192f7e13959a0648fa00936db181586fabb920f"),
        (swaps, "39e0d9cb52e5a882ed313b701923d017d9cc74254252399f53c5679a61a3a836"),
    ],
)
def test_same_key_same_bytes_everywhere(draw: Any, digest: str) -> None:
    assert hashlib.sha256(rows(draw(KEY, 834, 100)).tobytes()).hexdigest() == digest


@pytest.mark.parametrize("draw", [poisson_weights, swaps])
def test_another_key_is_another_stream(draw: Any) -> None:
    zero, again, one = (rows(draw(f"track|test|{seed}", 500, 20)) for seed in (0, 0, 1))
    assert (zero == again).all()
    assert (zero != one).mean() > 0.4


@settings(max_examples=30)
@given(n=st.integers(1, 300), total=st.integers(1, 60), block=st.integers(1, 4_000), clustered=st.booleans())
def test_rows_do_not_depend_on_how_they_are_cut(n: int, total: int, block: int, clustered: bool) -> None:
    clusters = np.arange(n) // 7 if clustered else None
    makers: list[Callable[[], Iterator[Weights]]] = [
        lambda: poisson_weights(KEY, n, total, clusters=clusters),
        lambda: swaps(KEY, n, total, clusters=clusters),
        lambda: group_masks(np.arange(n) % total, total),
        lambda: jackknife_weights(n, clusters=clusters),
    ]
    for make in makers:
        at_once = rows(make())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resampling, "_BLOCK", block)
            blocks = list(make())
        counts = [part.counts if isinstance(part, Clustered) else part for part in blocks]
        assert all(len(part) == 1 or part.size <= block for part in counts)
        assert (rows(iter(blocks)) == at_once).all()


def test_blocks_are_bytes_of_bounded_size() -> None:
    for n, shapes in [(100, [(1_000, 100)]), (20_000, [(52, 20_000)] * 2), (3_000_000, [(1, 3_000_000)] * 2)]:
        blocks = list(itertools.islice(poisson_weights(KEY, n, 1_000), 2))
        assert [block.shape for block in blocks] == shapes
        assert all(block.dtype == np.uint8 for block in blocks)


def test_samples_of_a_cluster_share_the_count_of_their_cluster() -> None:
    clusters = cluster_codes(["zoe", "adam", "zoe", "eve", "adam", "zoe"])
    assert clusters.tolist() == [2, 0, 2, 1, 0, 2]
    of_clusters = rows(poisson_weights(KEY, 3, 500))
    assert (rows(poisson_weights(KEY, 6, 500, clusters=clusters)) == of_clusters[:, clusters]).all()
    assert (rows(swaps(KEY, 6, 500, clusters=clusters)) == rows(swaps(KEY, 3, 500))[:, clusters]).all()


def test_masks_hold_the_samples_of_one_group_each() -> None:
    groups = np.array([1, 0, -1, 1])
    assert rows(group_masks(groups, 3)).tolist() == [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]


def test_jackknife_leaves_out_every_sample_once_in_at_most_200_groups() -> None:
    assert rows(jackknife_weights(3)).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert rows(jackknife_weights(2, with_plain=True)).tolist() == [[1, 1], [0, 1], [1, 0]]
    many = rows(jackknife_weights(450))
    assert many.shape == (200, 450)
    assert (many.sum(axis=0) == 199).all()
    assert np.flatnonzero(many[7] == 0).tolist() == [7, 207, 407]
    clusters = np.array([1, 0, 1, 2])
    assert rows(jackknife_weights(4, clusters=clusters)).tolist() == [[1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_percentile_is_an_order_statistic(level: float) -> None:
    # With 999 draws the rank (B + 1) p is whole, and NumPy's `weibull` quantile takes the same one.
    draws = np.random.default_rng(5).normal(size=999).round(6)
    expected = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="weibull")
    interval = percentile_interval(draws, level)
    assert [interval.low, interval.high] == pytest.approx(expected, abs=1e-12)
    assert [interval.low, interval.high] == np.sort(draws)[
        [round(500 * (1 - level)) - 1, round(500 * (1 + level)) - 1]
    ].tolist()


def jackknife(values: ArrayLike, estimate: float = 0.0, degrees: float = math.inf) -> Jackknife:
    return jackknives(np.array(values, dtype=np.float64)[:, None], np.array([estimate]), degrees)[0]


def test_percentile_ranks_of_a_thousand_draws() -> None:
    assert percentile_interval(np.arange(1_000, 0, -1), 0.95) == Interval(25.0, 976.0, 0, "percentile")


def test_draws_without_a_value_are_left_out_and_counted() -> None:
    assert percentile_interval([math.nan, *range(1, 1_000), math.nan], 0.95) == Interval(25.0, 975.0, 2, "percentile")
    assert bca_interval([math.nan, *range(1, 1_000)], 0.95, 500, jackknife([1, 1, math.nan])) == Interval(
        25.0, 975.0, 1, "bca"
    )
    with pytest.raises(UndefinedMetric, match=r"^no interval: none of the 3 resamples has a value$"):
        percentile_interval([math.nan] * 3, 0.95)


def test_draws_are_rounded_before_they_are_ordered() -> None:
    interval = percentile_interval(0.7 + 1e-13 * np.arange(100), 0.95)
    assert (interval.low, interval.high) == (0.7, 0.7)
    assert math.copysign(1, percentile_interval([-1e-13] * 10, 0.95).low) == 1


def test_bca_by_hand() -> None:
    draws = np.arange(1.0, 1_000.0)
    # No bias (499 draws below 500, one tie: share 0.5), no acceleration: the percentile interval.
    assert bca_interval(draws, 0.95, 500, jackknife([2, 2, 2])) == Interval(25.0, 975.0, 0, "bca")
    # Only bias: 841 of 999 lie below, z0 = 1.0021. Lower: Φ(2 · 1.0021 − 1.96) = Φ(0.0442) = 0.5176, rank 517.
    # Upper: Φ(3.964) = 0.99996, rank 1,000, of which there are 999.
    assert bca_interval(draws, 0.95, 841.5, jackknife([2, 2, 2])) == Interval(517.0, 999.0, 0, "bca")
    # Only acceleration: deviations ¼, ¼, ¼, −¾; cubes −0.375, squares 0.75, a = −0.375 / (6 · 0.75^1.5) = −0.096225.
    # Lower: Φ(−1.96 / (1 − 0.1886)) = Φ(−2.4155) = 0.00786, rank 7; upper: Φ(1.96 / 1.1886) = Φ(1.6490) = 0.95042, 951.
    assert bca_interval(draws, 0.95, 500, jackknife([0, 0, 0, 1])) == Interval(7.0, 951.0, 0, "bca")


def test_bca_where_all_draws_lie_on_one_side_or_are_equal() -> None:
    draws = np.arange(1.0, 1_000.0)
    assert bca_interval(draws, 0.95, 0.0, jackknife([1, 1])).low == 1
    assert bca_interval(draws, 0.95, 2_000.0, jackknife([1, 1])).high == 999
    assert bca_interval([1.0] * 100, 0.95, 1.0, jackknife([1, 1, 1])) == Interval(1.0, 1.0, 0, "bca")


def test_bca_t_has_the_quantile_of_students_t() -> None:
    # t at 4 degrees is 2.77645, Φ(−2.77645) = 0.002748: ranks 2 and 998 of 999.
    interval = bca_interval(np.arange(1.0, 1_000.0), 0.95, 500, jackknife([2, 2, 2], 2, 4), t=True)
    assert interval == Interval(2.0, 998.0, 0, "bca_t")


def test_degrees_are_those_of_sizes_or_what_the_kurtosis_of_the_values_leaves() -> None:
    # Deviations 1, −1, 1, −1 and twelve of 0: squares and fourth powers add up to 4; 2 / (4 / 16 − 1/16) = 10.67.
    values = [1, -1, 1, -1] + [0] * 12
    assert (jackknife(values, 0, 199).degrees, jackknife(values, 0, 5).degrees) == (10.7, 5)
    assert jackknife([1, -1, 1, -1], 0, 199).degrees == 199
    # One of 200 differs: 2 / (1 − 1/200), which is less than the least.
    assert jackknife([1] + [0] * 199, 0, 199).degrees == 6
    assert (jackknife([0.1 + 0.2] * 3, 0.3, 0.6).degrees, jackknife([0.1] * 3, 0.1).acceleration) == (1, 0)
    assert size_degrees(1_000, None) == 199 and size_degrees(60, None) == 59
    # Cluster 200 is in the group of cluster 0: 199 groups of one sample, one of two.
    assert size_degrees(201, np.arange(201)) == pytest.approx((199 + 2**1.5) ** 2 / (199 + 8) - 1, abs=1e-9)


def test_the_error_of_a_jackknife_is_about_the_plain_value_and_equal_values_have_none() -> None:
    # Deviations 0, 1 and 2 from the plain value: 2/3 of the squares' sum of 5, and 2 times their mean.
    made = jackknife([1, 2, 3], 1)
    assert (made.error, made.bias) == (pytest.approx(math.sqrt(10 / 3), abs=1e-12), 2)
    # Values that sums in another order would give: no error, no bias, no skewness.
    assert jackknife([0.5, 0.5 + 2e-15, 0.5 - 1e-15], 0.5, 9) == Jackknife(3, 0, 0, 0, 9)
    # The mean of seven times 0.1 is not 0.1.
    assert jackknife([0.1] * 7, 0, 9).acceleration == 0 and jackknife([0.1] * 7, 0, 9).degrees == 9


def test_ends_are_finite_and_have_no_negative_zero() -> None:
    far = jackknife_t_interval(1e-3, jackknife([0, 1, 2]), 0.95, (0, math.inf))
    assert far.low == 0 and 1e300 < far.high < math.inf
    near = jackknife_t_interval(0.0, jackknife([1e-12, -1e-12]), 0.95)
    assert math.copysign(1, near.low) == 1


def test_the_interval_of_a_sum_of_distances_by_its_definition() -> None:
    errors = np.random.default_rng(6).normal(0, 0.1, (2, 999))
    # The first mean has the sign of its estimate, ten deviations from 0; the second one, a fifth of one, may not.
    interval = distance_interval(errors + np.array([[1.0], [-0.02]]), np.array([1.0, -0.02]), 0.95)
    above, below = np.sort(errors[0] + np.abs(errors[1]))[974], np.sort(errors[0] - errors[1])[24]
    assert [interval.low, interval.high] == pytest.approx([1.02 - above, 1.02 - below], abs=1e-9)
    near = distance_interval(errors + np.array([[0.01], [-0.01]]), np.array([0.01, -0.01]), 0.95)
    assert near.low == 0 and near.high > 0.1


def test_the_deviation_of_a_small_difference_of_large_values() -> None:
    draws = 1e6 + np.random.default_rng(7).normal(0, 1e-3, (2, 1000))
    deviation = pair_deviations(draws, np.array([1e6, 1e6]))[0, 1]
    assert deviation == pytest.approx(np.std(draws[0] - draws[1], ddof=1), rel=1e-5)


def without_each(values: NDArray[np.float64], function: Callable[[NDArray[np.float64]], float]) -> Jackknife:
    n = len(values)
    return jackknife([function(np.delete(values, i)) for i in range(n)], function(values), n - 1)


def test_the_jackknife_t_interval_of_a_mean_is_students() -> None:
    # Values at equal distances from their mean have no kurtosis that would cost degrees of freedom.
    values = np.array([3.0, 5.0] * 10)
    of_mean = without_each(values, np.mean)
    half = stats.t.ppf(0.95, 19) * stats.sem(values)
    interval = jackknife_t_interval(4.0, of_mean, 0.9)
    assert [interval.low, interval.high] == pytest.approx([4 - half, 4 + half], abs=1e-10)
    assert interval.method == "jackknife_t" and of_mean.n == 20
    # On the scale of the logarithm above 1, the derivative at 4 is 1/3; below 9 it is 1/5; between both 1/3 + 1/5.
    above = jackknife_t_interval(4.0, of_mean, 0.9, (1, math.inf))
    assert [above.low, above.high] == pytest.approx([1 + 3 * math.exp(s * half / 3) for s in (-1, 1)], abs=1e-10)
    below = jackknife_t_interval(4.0, of_mean, 0.9, (-math.inf, 9))
    assert [below.low, below.high] == pytest.approx([9 - 5 * math.exp(-s * half / 5) for s in (-1, 1)], abs=1e-10)
    between = jackknife_t_interval(4.0, of_mean, 0.9, (1, 9))
    odds = [3 / 5 * math.exp(s * half * 8 / 15) for s in (-1, 1)]
    assert [between.low, between.high] == pytest.approx([1 + 8 * o / (1 + o) for o in odds], abs=1e-10)


def test_the_jackknife_removes_the_bias_but_never_leaves_the_value_out() -> None:
    # The plain variance is n / (n − 1) too small, of which the jackknife's bias is exactly the correction.
    values = np.random.default_rng(4).normal(size=40)
    interval = jackknife_t_interval(values.var(), without_each(values, np.var), 0.95)
    assert (interval.low + interval.high) / 2 == pytest.approx(values.var(ddof=1), abs=1e-10)
    # Values of 0.5 where any sample is left out: a bias of 2 · 0.1 takes the interval below 0.4.
    assert jackknife_t_interval(0.4, jackknife([0.5, 0.5, 0.5], 0.4, 199), 0.5).high == 0.4
    assert jackknife([0.5, math.nan], 0.4).n == 1


@pytest.mark.parametrize("n", [2, 50])
def test_the_exact_interval_of_answers_without_an_error_is_that_of_clopper_and_pearson(n: int) -> None:
    expected = stats.binomtest(n, n).proportion_ci(0.95, "exact")
    interval = exact_interval(1.0, 0.95, (0, 1), n)
    assert [interval.low, interval.high] == pytest.approx([expected.low, 1], abs=1e-10) and interval.method == "exact"
    assert exact_interval(0.0, 0.95, (0, 1), n).high == pytest.approx(1 - expected.low, abs=1e-10)
    # The same number of answers, in classes of one size.
    assert exact_interval(1.0, 0.95, (0, 1), [n / 5] * 5).low == pytest.approx(expected.low, abs=1e-10)
    # Twice the range: twice the way, but not beyond the other bound.
    assert exact_interval(1.0, 0.95, (-1, 1), n).low == pytest.approx(max(2 * expected.low - 1, -1), abs=1e-10)


def test_the_tail_index_of_a_power_law() -> None:
    # Quantiles (i / 100)^(−1/α): the mean of log(11 / i)^(1/α) over i = 1 … 10 is (log 11 − log(10!) / 10) / α.
    quantiles = (np.arange(1, 101) / 100) ** (-1 / 1.5)
    assert tail_index(quantiles) == pytest.approx(1.5 / (math.log(11) - math.lgamma(11) / 10), abs=1e-12)
    assert tail_index(np.append(np.zeros(95), np.ones(5))) == 0
    assert tail_index(np.ones(100)) == tail_index(np.zeros(100)) == tail_index(quantiles[:99]) == math.inf


def test_intervals_agree_with_scipy() -> None:
    # SciPy draws n of n and other numbers: two bootstraps of 20,000 draws differ by a few hundredths of their spread.
    errors = np.random.default_rng(3).exponential(size=120)
    n = len(errors)
    draws = np.concatenate([METRICS["mse"](np.zeros(n), np.sqrt(errors), w) for w in poisson_weights(KEY, n, 20_000)])
    without = np.concatenate([METRICS["mse"](np.zeros(n), np.sqrt(errors), w) for w in jackknife_weights(n)])
    spread = errors.std() / math.sqrt(n)
    for method, interval in {
        "percentile": percentile_interval(draws, 0.95),
        "BCa": bca_interval(draws, 0.95, errors.mean(), jackknife(without)),
    }.items():
        theirs = stats.bootstrap([errors], np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(1))
        expected = [theirs.confidence_interval.low, theirs.confidence_interval.high]
        assert [interval.low, interval.high] == pytest.approx(expected, abs=0.08 * spread), method


def test_swapped_pair_scores_two_systems_after_the_exchange() -> None:
    rng = np.random.default_rng(11)
    reference, a, b = rng.integers(0, 3, (3, 50)).astype(np.int32)
    exchange = rows(swaps(KEY, 50, 20))
    assert 0.4 < exchange.mean() < 0.6
    twice, both = np.concatenate([reference, reference]), np.concatenate([a, b])
    first, second = (METRICS["weighted_f1"](twice, both, weights, n_labels=3) for weights in swapped_pair(exchange))
    for row, one, other in zip(exchange, first, second, strict=True):
        assert one == pytest.approx(f1_score(reference, np.where(row, b, a), average="weighted"), abs=1e-12)
        assert other == pytest.approx(f1_score(reference, np.where(row, a, b), average="weighted"), abs=1e-12)


@pytest.mark.parametrize("scale", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("n", [7, 12, 14])
def test_p_agrees_with_full_enumeration(n: int, scale: float) -> None:
    reference = np.zeros(n)
    a, b = np.random.default_rng(2).normal(size=(2, n)) * [[1.0], [scale]]
    gaps = a**2 - b**2
    flipped = np.array(list(itertools.product((-1, 1), repeat=n))) @ gaps
    exact = np.mean(np.abs(flipped) >= abs(gaps.sum()) - 1e-9)
    twice, both = np.concatenate([reference, reference]), np.concatenate([a, b])
    differences = [
        np.subtract(*(METRICS["mse"](twice, both, weights) for weights in swapped_pair(exchange)))
        for exchange in swaps(KEY, n, 10_000)
    ]
    n_exchanges = n_swaps(n, 10_000)
    p = permutation_p(int(n_as_large(gaps.mean(), np.concatenate(differences))), n_exchanges)
    # Of 12 units there are 4,096 exchanges, of 14 more than 10,000: four standard errors of a share counted in those.
    error = 4 * math.sqrt(exact * (1 - exact) / 10_000) if n == 14 else 1e-12
    assert p == pytest.approx(exact, abs=error)


def test_every_exchange_once_where_no_more_are_allowed() -> None:
    clusters = np.array([0, 0, 1, 2, 2, 3])
    every = rows(swaps(KEY, 6, 16, clusters=clusters))
    expected = [pattern for pattern in itertools.product((0, 1), repeat=4) if any(pattern)]
    assert sorted(map(tuple, every[:, [0, 2, 3, 5]].tolist())) == expected
    assert (n_swaps(4, 16), n_swaps(4, 15), n_swaps(64, 1_000)) == (15, 15, 1_000)
    assert len(rows(swaps(KEY, 6, 15, clusters=clusters))) == 15 != len({*map(tuple, rows(swaps(KEY, 4, 15)).tolist())})


def test_p_counts_what_is_as_large_in_either_direction() -> None:
    # Three of five are as large as 0.2: itself up to 1e-12, its mirror image, and 0.3.
    assert n_as_large(0.2, [0.2 - 1e-12, -0.2, 0.3, 0.1, 0.0]) == 3
    assert n_as_large(0.0, [0.0] * 9) == 9
    assert n_as_large([0.2, 0.05], [[math.nan, 0.1, 0.1], [math.nan, 0.1, 0.01]]).tolist() == [1, 2]
    assert permutation_p(3, 5) == 4 / 6 and permutation_p(0, 9_999) == 1 / 10_000


def test_p_of_all_pairs_from_draws() -> None:
    rng = np.random.default_rng(4)
    estimates = np.array([0.7, 0.68, 0.6, 0.7])
    draws = estimates[:, None] + 0.02 * rng.normal(size=500) + 0.015 * rng.normal(size=(4, 500))
    draws[3] = draws[0]
    draws[2, :50] = math.nan
    p, deviations = pairwise_p(draws, estimates, 29.5), pair_deviations(draws, estimates)
    for a, b in itertools.combinations(range(3), 2):
        deviation = np.nanstd(draws[a] - draws[b], ddof=1)
        # Draws are taken to 22 binary digits of the largest deviation.
        assert deviations[a, b] == pytest.approx(deviation, rel=1e-6)
        t = abs(estimates[a] - estimates[b]) / deviation
        assert p[a, b] == p[b, a] == pytest.approx(2 * stats.t.sf(t, 29.5), rel=1e-4)
    assert p[0, 3] == 1 and deviations[0, 3] == 0
    assert np.diag(p).tolist() == [1] * 4


def test_p_of_pairs_at_the_edges() -> None:
    estimates = np.array([1.0, 0.0, 0.4])
    draws = np.repeat(estimates[:, None], 100, axis=1)
    draws[2] += np.linspace(-0.1, 0.1, 100)
    # The first two differ by 1 in every resample of 7 units, 6 degrees of freedom: as if all agreed, 2 / 2^7.
    assert pairwise_p(draws, estimates, 6)[0, 1] == 2 / 2**7
    draws[2, :21] = math.nan  # more than a fifth
    assert pairwise_p(draws, estimates, 6)[2, 0] == 1 and math.isnan(pair_deviations(draws, estimates)[2, 0])


def test_rank_correlation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    for n in (4, 30, 200):
        x = rng.integers(1, 9, n)
        y = x + rng.integers(-5, 6, n)
        assert rank_correlation_p(x, y) == pytest.approx(stats.spearmanr(x, y).pvalue, rel=1e-8)
    assert rank_correlation_p([1, 1, 1], [1, 2, 3]) == 1 and rank_correlation_p([1, 2], [1, 2]) == 1
    assert rank_correlation_p([1, 2, 3], [1, 2, math.nan]) == 1 and rank_correlation_p([1, 2, 3], [5, 4, 1]) == 0


def test_effective_number_by_hand() -> None:
    # Sizes 3, 2 and 1: 6² / (9 + 4 + 1).
    # (3 · √3 + 2 · √2 + 1)² / (27 + 8 + 1)
    expected = (3 * math.sqrt(3) + 2 * math.sqrt(2) + 1) ** 2 / 36
    assert effective_number(6, np.array([0, 0, 0, 1, 1, 2])) == pytest.approx(expected, abs=1e-12)
    assert effective_number(6, np.array([0, 0, 1, 1, 2, 2])) == pytest.approx(3, abs=1e-12)
    assert effective_number(6, None) == 6


def test_how_many_units_show_a_difference() -> None:
    # (1.959964 + 0.841621)² = 7.848879; 200 · 7.848879 · (0.02 / 0.03)² = 697.68, and some more by Student's t.
    for difference, deviation, n in ((-0.03, 0.02, 200), (0.5, 1 / 10, 100)):
        sizes = np.arange(2, 1000)
        shown = stats.t.ppf([[0.975], [0.8]], sizes - 1).sum(axis=0) * deviation * np.sqrt(n / sizes)
        assert n_needed(difference, deviation, n, 0.95) == sizes[shown <= abs(difference)][0]
    assert n_needed(-0.03, 0.02, 200, 0.95) == 700
    # However large the difference, p cannot be below 2 / 2⁵ = 0.0625 with five samples.
    assert n_needed(1.0, 1e-3, 600, 0.95) == 6
    assert n_needed(0.0, 0.02, 200, 0.95) is None and n_needed(0.1, math.nan, 200, 0.95) is None
    # What n units show takes n units, however it is rounded.
    for n in range(6, 40):
        assert n_needed(detectable(0.37, n, 0.95, 0.8), 0.37 / math.sqrt(n), n, 0.95) == n


def test_an_interval_by_students_t_needs_a_deviation_and_a_degree_of_freedom() -> None:
    # 12.7062 standard deviations at one degree of freedom.
    assert t_ends(1.0, 0.5, 0.95, 1) == pytest.approx((1 - 12.7062 / 2, 1 + 12.7062 / 2), abs=1e-4)
    for deviation, degrees in ((0.5, 0.99), (0.0, 9), (math.nan, 9), (math.inf, 9)):
        assert t_ends(1.0, deviation, 0.95, degrees) == (None, None)


@pytest.mark.parametrize("sizes", [(5, 7, 40), (3, 3, 4, 100), (10, 1000), (160, 147, 94, 83, 79, 37)])
def test_the_exact_interval_of_a_mean_over_classes_has_all_recalls_that_the_answers_allow(
    sizes: tuple[int, ...],
) -> None:
    # All answers are right with the probability Π r^n. Of recalls for which that is 0.025, the mean may be as low as:
    n = np.array(sizes)
    shares = np.random.default_rng(0).dirichlet([0.5] * len(n), size=200_000)
    least = np.exp(np.log(0.025) * shares / n).mean(axis=1).min()
    low = exact_interval(1.0, 0.95, (0, 1), sizes).low
    assert least - 0.002 < low <= least


@pytest.mark.parametrize("degrees", [0.3, 1, 2.7, 29, 201, 20_000, 1e6, math.inf])
def test_students_t_agrees_with_scipy(degrees: float) -> None:
    for t in (-0.3, 1e-3, 0.7, 1.96, 4.0, 30.0):
        # SciPy's own values have nine to ten digits.
        assert student_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-8, abs=1e-14)
    for probability in (0.8, 0.975, 0.9995):
        expected = stats.t.ppf(probability, degrees)
        assert student_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)
    assert student_p(0, degrees) == 1 and student_p(math.inf, degrees) == 0


def test_holm_by_hand() -> None:
    # Sorted: 0.005 · 4 = 0.02; 0.01 · 3 = 0.03; 0.03 · 2 = 0.06; 0.04 · 1 = 0.04, raised to the 0.06 before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], abs=1e-15)
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
