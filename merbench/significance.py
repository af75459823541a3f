"""Whether two systems differ: p values, their correction for several pairs, and how many samples a difference needs.

Conventions:
    draws: `(S, B)` float64 values of one metric, of S systems under the same B weightings (`merbench.resampling`); NaN
    if a weighting has no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merbench.resampling import MOST_LEFT_OUT, Values, rounded
from merbench.student import student_p, student_quantile

_NORMAL = NormalDist()

FEWEST_DEGREES = 1.0
"""With fewer degrees of freedom (less than two samples or clusters of one size), there is no interval and no p."""


def n_as_large(observed: ArrayLike, permuted: ArrayLike) -> NDArray[np.int64]:
    """Return how many of the permuted differences `(…, B)` are as large as the observed `(…)`, whatever their sign.

    One without a value counts as large.
    """
    differences = np.abs(rounded(permuted))
    smaller = differences < np.abs(rounded(observed))[..., None]
    return np.asarray(differences.shape[-1] - np.count_nonzero(smaller, axis=-1), dtype=np.int64)


def permutation_p(n_large: int, n_permutations: int) -> float:
    """Return the two-sided p value (c + 1) / (B + 1), where c of B permuted differences are as large as the observed.

    B is `n_swaps`; after all permutations, p is exact.
    Phipson & Smyth, 2010, *Permutation p-values should never be zero*.
    """
    return (n_large + 1) / (n_permutations + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number, in the order given.

    Holm, 1979: the i-th smallest of m (from 0) is multiplied by m − i, is never smaller than the one before it, and
    never above 1.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def pair_deviations(draws: Values, estimates: Values) -> Values:
    """Return the standard deviations of the differences of all systems' draws, the same bits on every machine.

    A resample that has no value of one of the two is left out.

    Args:
        draws: `(S, B)`, of S systems under the same B resamples.
        estimates: `(S,)` their plain values.

    Returns:
        `(S, S)`; NaN where more than a fifth of the resamples is left out.
    """
    known = np.isfinite(draws)
    n_draws = draws.shape[1]
    deviations = np.where(known, rounded(draws) - estimates[:, None], 0.0)
    # On a grid so coarse that sums of products are whole numbers which float64 holds: their order has no effect.
    bits = (53 - math.frexp(n_draws)[1]) // 2
    exponent = math.frexp(float(np.abs(deviations).max(initial=0)))[1]
    steps = np.rint(np.ldexp(deviations, bits - exponent))
    mask = known.astype(np.float64)
    n, sums, squares = mask @ mask.T, steps @ mask.T, np.square(steps) @ mask.T
    squared = squares + squares.T - 2 * (steps @ steps.T) - np.square(sums - sums.T) / np.maximum(n, 1)
    deviation = np.ldexp(np.sqrt(np.maximum(squared, 0) / np.maximum(n - 1, 1)), exponent - bits)
    return np.where(n >= max(2.0, (1 - MOST_LEFT_OUT) * n_draws), deviation, np.nan)


def pairwise_p(draws: Values, estimates: Values, degrees: float) -> Values:
    """Return the two-sided p of the difference of every pair of systems, by Student's t from their draws.

    The statistic is the difference by the standard deviation of its draws. For many pairs it takes milliseconds where
    the permutation test takes minutes; where few samples differ it is less exact.

    Args:
        draws: `(S, B)`, of S systems under the same B resamples.
        estimates: `(S,)` their plain values.
        degrees: degrees of freedom, such as the effective number of clusters minus 1.

    Returns:
        `(S, S)`, symmetric, 1 on the diagonal, and where too few resamples have a value or degrees are below 1.
    """
    differences = np.abs(rounded(estimates[:, None] - estimates))
    p = np.ones(differences.shape)
    if degrees < FEWEST_DEGREES:
        return p
    deviations = pair_deviations(draws, estimates)
    for a, b in zip(*np.nonzero(np.triu(differences) * np.isfinite(deviations)), strict=True):
        # Where all resamples agree on the difference, every unit does: the p of the permutation test.
        ratio = differences[a, b] / deviations[a, b] if deviations[a, b] else math.inf
        p[a, b] = p[b, a] = student_p(ratio, degrees) if math.isfinite(ratio) else 0.5**degrees
    return rounded(p)


def t_ends(estimate: float, deviation: float, level: float, degrees: float) -> tuple[float | None, float | None]:
    """Return the ends of the interval estimate ± t · deviation, with Student's t at some degrees of freedom.

    None, None of a deviation that is 0 or NaN, or of fewer than one degree of freedom.
    """
    if not 0 < deviation < math.inf or degrees < FEWEST_DEGREES:
        return None, None
    half = student_quantile((1 + level) / 2, degrees) * deviation
    low, high = rounded([estimate - half, estimate + half]).tolist()
    return low, high


def rank_correlation_p(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p of Spearman's rank correlation by Student's t; equal values share their mean rank.

    1 where one side is constant, or has a value that is not finite, or there are fewer than three items.
    """
    both = np.stack([rounded(x), rounded(y)])
    if not np.isfinite(both).all() or both.shape[1] < 3:
        return 1.0
    left, right = _centred_ranks(both[0]), _centred_ranks(both[1])
    # Whole numbers: the products are exact, whatever the order of their sum.
    scale = math.sqrt(float(left @ left) * float(right @ right))
    r = float(left @ right) / scale if scale else 0.0
    degrees = len(left) - 2
    return student_p(r * math.sqrt(degrees / (1 - r * r)) if r * r < 1 else math.inf, degrees)


def _centred_ranks(values: Values) -> NDArray[np.int64]:
    """Return twice the ranks minus their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((2 * np.cumsum(counts) - counts)[places] - len(values), dtype=np.int64)


def n_needed(difference: float, deviation: float, n: float, level: float, power: float = 0.8) -> int | None:
    """Return how many units would show a difference that `n` units measure with a standard deviation.

    The smallest number of which `detectable` is not more than the difference. None without a difference, or without
    its deviation.
    """
    if not rounded(difference) or not math.isfinite(deviation):
        return None
    z, of_unit = _NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power), deviation * math.sqrt(n)
    # Normal quantiles give a few units too few.
    units = max(2, math.ceil(round((z * of_unit / difference) ** 2, 6)))
    while detectable(of_unit, units, level, power) > abs(difference) * (1 + 1e-12):
        units += 1
    return units


def detectable(deviation: float, n_units: float, level: float, power: float) -> float:
    """Return the smallest difference that a two-sided paired test at α = 1 − level shows with the probability `power`.

    (t(1 − α/2) + t(power)) · deviation / √n, with Student's t at n − 1 degrees of freedom (Lachin, 1981). Infinite
    where no permutation test of so few units is significant: to exchange all of them changes no difference, so that p
    is at least 2 / 2ⁿ.

    Args:
        deviation: standard deviation of the difference of one unit.
        n_units: number of samples or clusters.
        level: 1 minus the error rate of the test.
        power: probability that the test shows the difference.
    """
    if n_units < 2 or 2 ** (1 - min(n_units, 1000)) >= 1 - level:
        return math.inf
    quantiles = (student_quantile(each, n_units - 1) for each in ((1 + level) / 2, power))
    return sum(quantiles) * deviation / math.sqrt(n_units)
