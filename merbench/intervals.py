"""Intervals of a metric's value from its draws, or from its values with one group of samples left out.

Conventions:
    draws: `(B,)` float64 values of one metric, one a weighting (`merbench.resampling`); NaN if that has no value.
    clusters: `(n,)` integer codes 0 … m − 1, or None if the samples are resampled one by one.
    Arithmetic is exactly rounded: the same bytes on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merbench.errors import UndefinedMetric
from merbench.resampling import DECIMALS, JACKKNIFE_GROUPS, Codes, Values, rounded
from merbench.student import student_quantile

_NORMAL = NormalDist()

CERTAIN = 3
"""A mean of more standard deviations than this has the sign of its estimate."""

FEWEST_OF_VALUES = 6.0
"""Degrees of freedom that the kurtosis of a jackknife's values leaves at least; a single error would leave 2."""

LARGEST_EXPONENT = 700.0
"""The exponential function of more than this may leave the range of float64."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: its lower end.
        high: its upper end.
        n_left_out: how many draws had no value and were left out.
        method: how it was made; None of one without ends.
    """

    low: float
    high: float
    n_left_out: int = 0
    method: str | None = None


NO_ENDS = Interval(math.nan, math.nan)
"""The interval of a value of which nothing shows what other samples would change."""


def with_width(interval: Interval) -> Interval:
    """Return an interval, without ends if they are equal: a value that no resample changes is not certain."""
    return interval if interval.low < interval.high else replace(NO_ENDS, n_left_out=interval.n_left_out)


def percentile_interval(draws: ArrayLike, level: float) -> Interval:
    """Return the interval between two quantiles of the draws that leaves (1 − level) / 2 out on either side.

    Efron, 1979. With B draws, the p-quantile is the order statistic of rank (B + 1) p, rounded down at the lower end
    and up at the upper end: 25 and 976 of 1,000 at 95 %. No interpolation.

    Raises:
        UndefinedMetric: not one draw has a value.
    """
    low, high = _between(values := _sorted_values(draws), (1 - level) / 2, (1 + level) / 2)
    return Interval(low, high, np.size(draws) - len(values), "percentile")


@dataclass(frozen=True, slots=True)
class Jackknife:
    """What the values of a metric show of it when one group of samples, or of clusters, is left out at a time.

    Attributes:
        n: number of these values.
        error: the standard error (Tukey, 1958), by their deviations from the plain value.
        bias: of the plain value (Quenouille, 1949).
        acceleration: the skewness, as `bca_interval` needs it (Efron, 1987).
        degrees: degrees of freedom of the error (`jackknives`).
    """

    n: int
    error: float
    bias: float
    acceleration: float
    degrees: float


def jackknives(left_out: Values, estimates: Values, degrees: float) -> list[Jackknife]:
    """Return the jackknife of each of k metrics.

    The degrees of freedom are as many as the sizes of the groups allow, or as the kurtosis of the values leaves, which
    is G where they are normal (Satterthwaite, 1946): a few groups that make most of the variance (rare classes, far
    outliers, few errors) bring them down, to 6 at least.

    Args:
        left_out: `(G, k)` values with one group left out; NaN where the rest has no value.
        estimates: `(k,)` plain values.
        degrees: degrees of freedom that the sizes of the groups allow (`size_degrees`).
    """
    known = np.isfinite(left_out)
    n = np.maximum(known.sum(axis=0), 1)
    # Rounded, so that equal values are equal; three decimals more than draws, since they differ by that much less.
    deviations = np.where(known, np.round(left_out, DECIMALS + 3) - np.round(estimates, DECIMALS + 3), 0.0)
    # Sums over the first axis are made row by row: the same bits on every machine.
    mean, squares = deviations.sum(axis=0) / n, np.square(deviations).sum(axis=0)
    centred = np.where(known, mean - deviations, 0.0)
    centred[np.abs(centred) < 0.1**DECIMALS / 1e4] = 0.0
    second = np.square(centred).sum(axis=0)
    third, fourth = (np.square(centred) * centred).sum(axis=0), np.square(np.square(centred)).sum(axis=0)
    scale = np.where(second > 0, second, 1.0)
    excess = np.where(second > 0, fourth / np.square(scale) - 1 / n, 0.0)
    of_values = np.maximum(2 / np.maximum(excess, 1e-9), FEWEST_OF_VALUES)
    error, bias = np.sqrt((n - 1) / n * squares), (n - 1) * mean
    acceleration = third / (6 * scale * np.sqrt(scale))
    columns = (known.sum(axis=0), error, bias, acceleration, np.maximum(np.minimum(degrees, of_values), 1.0))
    return [
        # Three digits of the degrees, so that few quantiles are computed.
        Jackknife(n_known, own_error, own_bias, skewness, float(f"{own_degrees:.3g}"))
        for n_known, own_error, own_bias, skewness, own_degrees in zip(
            *(each.tolist() for each in columns), strict=True
        )
    ]


def size_degrees(n: int, clusters: Codes | None) -> float:
    """Return the degrees of freedom that the sizes of the jackknife's groups allow: their effective number minus 1."""
    units = np.arange(n) if clusters is None else clusters
    return effective_number(n, units % JACKKNIFE_GROUPS) - 1


def jackknife_t_interval(
    estimate: float, jackknife: Jackknife, level: float, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return the interval of the jackknife's standard error and bias by Student's t, on the scale of the bounds.

    Tukey, 1958; Efron & Tibshirani, 1993, chapter 11. The scale is the logit of the position between two finite
    bounds, the logarithm of the distance from one, the value itself without any; an interval never leaves the bounds,
    nor does it leave out the estimate.

    Args:
        estimate: the plain value, strictly between the bounds.
        jackknife: of two groups or more.
        level: level of the interval.
        bounds: lowest and highest possible value.
    """
    half = student_quantile((1 + level) / 2, jackknife.degrees) * jackknife.error
    at, slope, back = _scale(estimate, bounds)
    ends = (back(at + slope * step) for step in (-jackknife.bias - half, half - jackknife.bias))
    low, *_, high = sorted((*ends, estimate))
    return Interval(_rounded_one(low), _rounded_one(high), 0, "jackknife_t")


def exact_interval(estimate: float, level: float, bounds: tuple[float, float], sizes: ArrayLike) -> Interval:
    """Return the interval of a value on one of its two finite bounds, such as that of n right answers without an error.

    Clopper & Pearson, 1934: a share of up to 1 − ((1 − level) / 2)^(1 / n) may be on the other side, and moves a mean
    over samples by no more than this share of the range. In a mean over classes, each class may have a share of its
    own, as long as what was observed has a probability of (1 − level) / 2 or more; the mean of the shares is the
    largest that this allows, which rare classes decide.

    Args:
        estimate: the value.
        level: level of the interval.
        bounds: lowest and highest possible value.
        sizes: the number of answers; of a mean over classes, `(K,)` those of each class, from 1 on.
    """
    n = np.sort(np.atleast_1d(np.asarray(sizes, dtype=np.float64)))
    spent = -math.log((1 - level) / 2)
    share = 0.0
    for m in range(1, len(n) + 1):
        # Lagrange's multiplier: of the rarest m classes, one of n answers has the share 1 − n · rate.
        rate = math.exp(-(spent + math.fsum(n[:m] * np.log(n[:m]))) / math.fsum(n[:m]))
        if n[m - 1] * rate < 1:
            share = (m - rate * math.fsum(n[:m])) / len(n)
    reach = max(1.0, bounds[1] - bounds[0]) * share
    at_low = estimate - bounds[0] < bounds[1] - estimate
    ends = [bounds[0], min(bounds[0] + reach, bounds[1])] if at_low else [max(bounds[1] - reach, bounds[0]), bounds[1]]
    return Interval(_rounded_one(ends[0]), _rounded_one(ends[1]), 0, "exact")


def _scale(value: float, bounds: tuple[float, float]) -> tuple[float, float, Callable[[float], float]]:
    """Return a value between bounds on a scale without bounds, the slope of the scale there, and the way back."""
    low, high = bounds
    if not low < value < high:
        return value, 1.0, float
    if math.isfinite(low) and math.isfinite(high):
        below, above, middle, half = value - low, high - value, (low + high) / 2, (high - low) / 2
        return math.log(below / above), 1 / below + 1 / above, lambda at: middle + half * math.tanh(at / 2)
    if math.isfinite(low):
        return math.log(value - low), 1 / (value - low), lambda at: low + math.exp(min(at, LARGEST_EXPONENT))
    if math.isfinite(high):
        return -math.log(high - value), 1 / (high - value), lambda at: high - math.exp(min(-at, LARGEST_EXPONENT))
    return value, 1.0, float


def bca_interval(draws: ArrayLike, level: float, estimate: float, jackknife: Jackknife, *, t: bool = False) -> Interval:
    """Return the bias-corrected and accelerated interval: a percentile interval whose two quantiles are moved.

    Efron, 1987, *Better bootstrap confidence intervals*. The bias is read from the share of draws below the
    `estimate` (ties count half; half a draw is kept on either side), the acceleration from the skewness of the
    jackknife's values. Ranks as in `percentile_interval`. With `t`, Student's quantile is in
    the place of the normal one, at the degrees of freedom of the jackknife.

    Raises:
        UndefinedMetric: not one draw has a value.
    """
    values, at = _sorted_values(draws), _rounded_one(estimate)
    ties = float(np.searchsorted(values, at, "left") + np.searchsorted(values, at, "right")) / 2
    bias = _NORMAL.inv_cdf(min(max(ties, 0.5), len(values) - 0.5) / len(values))
    half = student_quantile((1 + level) / 2, jackknife.degrees) if t else _NORMAL.inv_cdf((1 + level) / 2)

    def moved(quantile: float) -> float:
        z = bias + quantile
        return _NORMAL.cdf(bias + z / max(1 - jackknife.acceleration * z, 1e-9))

    low, high = _between(values, moved(-half), moved(half))
    return Interval(low, high, np.size(draws) - len(values), "bca_t" if t else "bca")


def distance_interval(draws: Values, estimates: Values, level: float) -> Interval:
    """Return the interval of the sum of absolute values of several means.

    A sum of distances is too large in a sample and larger again in its resamples, so that no percentile of its draws
    need be near the true one. With errors e of the means g, which draws show, the estimate Σ|g + e| is at least
    Σ|g| + Σ sign(g) e, and at most Σ|g| + Σ|e|, with sign(g) e in place of |e| where g is beyond what errors can change
    its sign. The interval takes a quantile of either sum from the estimate; it is wider than need be for middle sizes.

    Args:
        draws: `(k, B)` draws of the k means.
        estimates: `(k,)` the means.
        level: level of the interval.
    """
    errors, sign = draws - estimates[:, None], np.where(estimates < 0, -1.0, 1.0)[:, None]
    is_certain = np.abs(estimates) > CERTAIN * np.nanstd(errors, axis=1)
    above = percentile_interval(np.where(is_certain[:, None], sign * errors, np.abs(errors)).sum(axis=0), level)
    below = percentile_interval((sign * errors).sum(axis=0), level)
    distance = math.fsum(np.abs(estimates).tolist())
    low, high = max(distance - above.high, 0.0), distance - below.low
    return with_width(Interval(round(low, DECIMALS), round(high, DECIMALS), above.n_left_out, "distance"))


def effective_number(n: int, clusters: Codes | None) -> float:
    """Return the effective number of units: (Σ n^1.5)² / Σ n³ of the sizes of the clusters, n without clusters.

    Satterthwaite, 1946, of clusters whose sums have variances that grow as n^1.5: n would be that of samples which are
    independent within their cluster, n² that of equal ones.
    """
    if clusters is None:
        return float(n)
    sizes = np.sort(np.bincount(clusters)).astype(np.float64)
    return math.fsum(sizes * np.sqrt(sizes)) ** 2 / math.fsum(sizes**3)


def tail_index(values: Values) -> float:
    """Return the tail index of values from 0 on, by the largest tenth of them (Hill, 1975).

    Where it is 2 or less, their variance is infinite. Squared errors that are normal give about 2.3, of Student's t
    with 5 degrees of freedom 1.8, and with 3 of them, whose variance is infinite, 1.4. Infinite of fewer than
    100 values, and where none of the largest is above the others.
    """
    n_largest = len(values) // 10
    largest = np.sort(values)[::-1][: n_largest + 1]
    if len(values) < 100 or not largest[0] > 0:
        return math.inf
    if not largest[-1] > 0:
        return 0.0
    excess = math.fsum(np.log(largest[:-1] / largest[-1])) / n_largest
    return 1 / excess if excess > 0 else math.inf


def _rounded_one(value: float) -> float:
    return round(value, DECIMALS) + 0.0


def _sorted_values(draws: ArrayLike) -> NDArray[np.float64]:
    all_values = rounded(draws)
    values = np.sort(all_values[~np.isnan(all_values)])
    if not len(values):
        raise UndefinedMetric(f"no interval: none of the {all_values.size} resamples has a value")
    return values


def _between(values: NDArray[np.float64], lower: float, upper: float) -> tuple[float, float]:
    n = len(values)
    # The ranks are rounded first: (1 − 0.9) / 2 · 1000 is 49.99… in binary.
    low = math.floor(round((n + 1) * lower, 6))
    high = math.ceil(round((n + 1) * upper, 6))
    return float(values[max(low, 1) - 1]), float(values[min(high, n) - 1])
