"""Random weightings of samples, by the name of their stream; intervals and p values of a metric's draws under them.

Conventions:
    n samples are in the order of sorted sample ids. Weights come as an iterator over blocks `(b, n)` of uint8
    whose rows are counts or 0/1 masks; b depends only on the number of units, and row r is the same in whatever block
    it comes. Where clusters are resampled the units are clusters and a block is `Clustered`; else they are samples.
    clusters: `(n,)` integer codes 0 … m − 1 in the order of sorted cluster names (`cluster_codes`), or None if the
    samples are resampled one by one.
    key: the name of a random stream, such as `"mer-multi@1.0|test|0"`. All systems that share a key share the weights,
    so their differences are paired.
    draws: `(B,)` float64 values of one metric, one a weighting; NaN if a weighting has no value.

Everything comes from raw PCG64 bits and exactly rounded arithmetic: the same bytes on every machine, with every version
of NumPy, whatever the threads.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merbench.errors import UndefinedMetric
from merbench.metrics.sums import Clustered

Codes = NDArray[np.integer]
Values = NDArray[np.float64]
Counts = NDArray[np.uint8]
Weights = Counts | Clustered

DECIMALS = 10
"""Resampled values are rounded to this many decimals before they are compared, sorted or written."""

MOST_LEFT_OUT = 0.2
"""The largest share of resamples without a value that an interval may leave out; the rest would be biased."""

FEWEST_DEGREES = 1.0
"""With fewer degrees of freedom (less than two samples or clusters of one size), there is no interval and no p."""

CERTAIN = 3
"""A mean of more standard deviations than this has the sign of its estimate."""

JACKKNIFE_GROUPS = 200
"""The jackknife leaves out at most this many groups, one at a time."""

FEWEST_OF_VALUES = 6.0
"""Degrees of freedom that the kurtosis of a jackknife's values leaves at least; a single error would leave 2."""

LARGEST_EXPONENT = 700.0
"""The exponential function of more than this may leave the range of float64."""

_BLOCK = 1 << 20
"""Weights in a block (about 16 MB with a float32 copy and the bits they come from); a longer row is its own block."""

_PART = 1 << 16
"""Weights made at once: their bits and indices stay in the cache."""

# How many of 65,536 equally likely words mean 0, 1, … 8: Poisson(1) rounded so that mean and variance are exactly 1.
_POISSON = np.repeat(np.arange(9, dtype=np.uint8), (24109, 24109, 12056, 4018, 1005, 200, 33, 5, 1))

_NORMAL = NormalDist()
_ONE = np.uint8(1)


def poisson_weights(key: str, n: int, n_resamples: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of bootstrap counts: every sample, or every cluster, counts Poisson(1) times in every resample.

    Hanley & MacGibbon, 2006, *Creating non-parametric bootstrap samples using Poisson frequencies*. With `clusters`,
    all samples of a cluster share its count, which keeps what they have in common (Field & Welsh, 2007).
    """
    source, stream = _units(clusters, n), _stream("poisson", key)
    for rows in _blocks(source, n_resamples):
        counts = np.empty((rows, source), dtype=np.uint8)
        for part in _parts(rows, source):
            words = _words(stream, len(counts[part]), -(-source // 4)).view("<u2")
            # Every index is in range, so "wrap" changes nothing but to save the check.
            _POISSON.take(words[:, :source], mode="wrap", out=counts[part])
        yield _shared(counts, clusters)


def n_swaps(n_units: int, n_permutations: int) -> int:
    """Return how many permutations `swaps` yields: `n_permutations`, or if there are no more all but the identity."""
    return 2**n_units - 1 if n_units < 63 and 2**n_units <= n_permutations else n_permutations


def swaps(key: str, n: int, n_permutations: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of fair 0/1 draws: 1 where two systems exchange their predictions for a sample (or cluster).

    Where there are no more permutations than `n_permutations`, each is yielded once, except the identity, which
    `permutation_p` counts: the test is exact.
    """
    source, stream = _units(clusters, n), _stream("swaps", key)
    total, start = n_swaps(source, n_permutations), 1
    for rows in _blocks(source, total):
        if total < n_permutations:
            octets = np.arange(start, start + rows, dtype="<u8")[:, None].view(np.uint8)
            start += rows
        else:
            octets = _words(stream, rows, -(-source // 64)).view(np.uint8)
        yield _shared(np.unpackbits(octets, axis=1, count=source, bitorder="little"), clusters)


def uniforms(key: str, rows: int, n: int) -> Values:
    """Return `(rows, n)` numbers between 0 and 1, both left out."""
    return ((_words(_stream("uniforms", key), rows, n) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def swapped_pair(exchange: Weights) -> tuple[Weights, Weights]:
    """Return two weightings `(b, 2n)` of two systems' concatenated predictions, one for each system after the exchange.

    `metric(concat(reference, reference), concat(a, b), weights)` under the first is the score of a system that takes
    a's prediction where `exchange` is 0 and b's where it is 1; under the second, the score of the other one.
    """
    if not isinstance(exchange, Clustered):
        return _beside(exchange ^ _ONE, exchange), _beside(exchange, exchange ^ _ONE)
    moved, kept = exchange.counts, exchange.counts ^ _ONE
    clusters = np.concatenate([exchange.clusters, exchange.clusters + moved.shape[1]])
    return Clustered(_beside(kept, moved), clusters), Clustered(_beside(moved, kept), clusters)


def _beside(left: Counts, right: Counts) -> Counts:
    return np.concatenate([left, right], axis=1)


def group_masks(groups: Codes, n_groups: int) -> Iterator[Counts]:
    """Yield blocks of masks, one row a group: 1 for its samples, 0 for the others; a code of −1 is in no group."""
    for numbers in _numbered_blocks(len(groups), n_groups):
        yield (groups == numbers).view(np.uint8)


def jackknife_weights(n: int, *, clusters: Codes | None = None, with_plain: bool = False) -> Iterator[Weights]:
    """Yield blocks of masks that leave out one group of samples (or of whole clusters) each, at most 200 in all.

    Sample (or cluster) i is in group i mod 200, so that neighbours are not left out together. `with_plain`, the first
    row leaves nothing out.
    """
    source = _units(clusters, n)
    groups = np.arange(source) % JACKKNIFE_GROUPS
    for numbers in _numbered_blocks(source, min(source, JACKKNIFE_GROUPS) + with_plain):
        yield _shared((groups != numbers - with_plain).view(np.uint8), clusters)


def cluster_codes(names: Sequence[str] | NDArray[np.str_]) -> NDArray[np.int64]:
    """Return the `(n,)` codes of cluster names, numbered in the order of the sorted names."""
    return np.unique(np.asarray(names, dtype=str), return_inverse=True)[1].astype(np.int64)


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


def n_as_large(observed: ArrayLike, permuted: ArrayLike) -> NDArray[np.int64]:
    """Return how many of the permuted differences `(…, B)` are as large as the observed `(…)`, whatever their sign.

    One without a value counts as large.
    """
    differences = np.abs(_rounded(permuted))
    smaller = differences < np.abs(_rounded(observed))[..., None]
    return np.asarray(differences.shape[-1] - np.count_nonzero(smaller, axis=-1), dtype=np.int64)


def permutation_p(n_large: int, n_permutations: int) -> float:
    """Return the two-sided p value (c + 1) / (B + 1), where c of B permuted differences are as large as the observed.

    B is `n_swaps`; after all permutations, p is exact.
    Phipson & Smyth, 2010, *Permutation p-values should never be zero*.
    """
    return (n_large + 1) / (n_permutations + 1)


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
    deviations = np.where(known, _rounded(draws) - estimates[:, None], 0.0)
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
    differences = np.abs(_rounded(estimates[:, None] - estimates))
    p = np.ones(differences.shape)
    if degrees < FEWEST_DEGREES:
        return p
    deviations = pair_deviations(draws, estimates)
    for a, b in zip(*np.nonzero(np.triu(differences) * np.isfinite(deviations)), strict=True):
        # Where all resamples agree on the difference, every unit does: the p of the permutation test.
        ratio = differences[a, b] / deviations[a, b] if deviations[a, b] else math.inf
        p[a, b] = p[b, a] = student_p(ratio, degrees) if math.isfinite(ratio) else 0.5**degrees
    return _rounded(p)


def t_ends(estimate: float, deviation: float, level: float, degrees: float) -> tuple[float | None, float | None]:
    """Return the ends of the interval estimate ± t · deviation, with Student's t at some degrees of freedom.

    None, None of a deviation that is 0 or NaN, or of fewer than one degree of freedom.
    """
    if not 0 < deviation < math.inf or degrees < FEWEST_DEGREES:
        return None, None
    half = student_quantile((1 + level) / 2, degrees) * deviation
    low, high = _rounded([estimate - half, estimate + half]).tolist()
    return low, high


def rank_correlation_p(x: ArrayLike, y: ArrayLike) -> float:
    """Return the two-sided p of Spearman's rank correlation by Student's t; equal values share their mean rank.

    1 where one side is constant, or has a value that is not finite, or there are fewer than three items.
    """
    both = np.stack([_rounded(x), _rounded(y)])
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
    if not _rounded(difference) or not math.isfinite(deviation):
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


def student_p(t: float, degrees: float) -> float:
    """Return the two-sided p of a value of Student's t, by the continued fraction of the incomplete beta function.

    Abramowitz & Stegun, 1964, 26.5.8 and 26.7.1; infinite degrees of freedom give the normal distribution.

    Args:
        t: the value of the statistic, of either sign; an infinite one has a p of 0.
        degrees: degrees of freedom, above 0; not always a whole number.
    """
    if degrees > 1e9 or math.isinf(t):
        return math.erfc(abs(t) / math.sqrt(2))
    a, x, y = degrees / 2, degrees / (degrees + t * t), t * t / (degrees + t * t)
    if not t or not x:
        return float(not t)
    # log Γ(a + ½) − log Γ(a); a series where the difference would lose digits
    series = math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)
    gammas = series if a > 100 else math.lgamma(a + 0.5) - math.lgamma(a)
    front = math.exp(gammas + math.log(y / math.pi) / 2 - a * math.log1p(t * t / degrees))
    if x < (a + 1) / (a + 2.5):
        return front * _beta_fraction(a, 0.5, x) / a
    return 1 - front * _beta_fraction(0.5, a, y) / 0.5


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (Lentz, 1976)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + numerator / c, 1 / (1 + numerator * d)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t; `probability` is above ½, `degrees` above 0 and not always whole."""
    # Newton's steps between logarithms, between which the tail is nearly a line.
    u, tail = math.log(_NORMAL.inv_cdf(probability)), math.log(2 * (1 - probability))
    for _ in range(100):
        p = student_p(math.exp(u), degrees)
        slope = (math.log(student_p(math.exp(u + 1e-6), degrees)) - math.log(p)) / 1e-6
        step = (math.log(p) - tail) / slope
        u -= step
        if abs(step) < 1e-13:
            break
    return math.exp(u)


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


def _stream(purpose: str, key: str) -> np.random.PCG64:
    digest = hashlib.sha256(f"{purpose}|{key}".encode()).digest()
    return np.random.PCG64(int.from_bytes(digest, "little"))


def _words(stream: np.random.PCG64, rows: int, words_per_row: int) -> NDArray[np.uint64]:
    """Return raw bits `(rows, words_per_row)`, little-endian; whole words a row, so that no block splits a word."""
    return stream.random_raw(rows * words_per_row).astype("<u8", copy=False).reshape(rows, words_per_row)


def _parts(rows: int, row_length: int) -> Iterator[slice]:
    """Return slices of rows whose bits and indices fit the cache."""
    step = max(1, _PART // max(row_length, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _units(clusters: Codes | None, n: int) -> int:
    return n if clusters is None else int(clusters.max(initial=-1)) + 1


def _shared(counts: Counts, clusters: Codes | None) -> Weights:
    return counts if clusters is None else Clustered(counts, clusters)


def _blocks(source: int, total: int) -> Iterator[int]:
    """Yield the number of rows of each block."""
    rows = max(1, _BLOCK // max(source, 1))
    for start in range(0, total, rows):
        yield min(rows, total - start)


def _numbered_blocks(n: int, total: int) -> Iterator[NDArray[np.int64]]:
    """Yield the row numbers of each block as a column."""
    start = 0
    for rows in _blocks(n, total):
        yield np.arange(start, start + rows)[:, None]
        start += rows


def _rounded(values: ArrayLike) -> NDArray[np.float64]:
    # Adding 0 turns −0.0 into 0.0, so that equal values have equal bytes.
    return np.asarray(np.rint(np.asarray(values, dtype=np.float64) * 10**DECIMALS) / 10**DECIMALS + 0.0)


def _rounded_one(value: float) -> float:
    return round(value, DECIMALS) + 0.0


def _sorted_values(draws: ArrayLike) -> NDArray[np.float64]:
    rounded = _rounded(draws)
    values = np.sort(rounded[~np.isnan(rounded)])
    if not len(values):
        raise UndefinedMetric(f"no interval: none of the {rounded.size} resamples has a value")
    return values


def _between(values: NDArray[np.float64], lower: float, upper: float) -> tuple[float, float]:
    n = len(values)
    # The ranks are rounded first: (1 − 0.9) / 2 · 1000 is 49.99… in binary.
    low = math.floor(round((n + 1) * lower, 6))
    high = math.ceil(round((n + 1) * upper, 6))
    return float(values[max(low, 1) - 1]), float(values[min(high, n) - 1])
