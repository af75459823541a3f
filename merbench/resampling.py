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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    """Return how many exchanges `swaps` yields: all but that of nothing, where 2 to the number of units is not more."""
    return 2**n_units - 1 if n_units < 63 and 2**n_units <= n_permutations else n_permutations


def swaps(key: str, n: int, n_permutations: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of fair 0/1 draws: 1 where two systems exchange their predictions for a sample (or cluster).

    Where there are no more exchanges than `n_permutations`, every one is yielded once, but for that of nothing, which
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


def jackknife_weights(n: int, *, clusters: Codes | None = None) -> Iterator[Weights]:
    """Yield blocks of masks that leave out one group of samples (or of whole clusters) each, at most 200 in all.

    Sample (or cluster) i is in group i mod 200, so that neighbours are not left out together.
    """
    source = _units(clusters, n)
    groups = np.arange(source) % JACKKNIFE_GROUPS
    for numbers in _numbered_blocks(source, min(source, JACKKNIFE_GROUPS)):
        yield _shared((groups != numbers).view(np.uint8), clusters)


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


def percentile_interval(draws: ArrayLike, level: float) -> Interval:
    """Return the interval between two quantiles of the draws that leaves (1 − level) / 2 out on either side.

    Efron, 1979. With B draws, the p-quantile is the order statistic of rank (B + 1) p, rounded down at the lower end
    and up at the upper end: 25 and 976 of 1,000 at 95 %. No interpolation.

    Raises:
        UndefinedMetric: not one draw has a value.
    """
    low, high = _between(values := _sorted_values(draws), (1 - level) / 2, (1 + level) / 2)
    return Interval(low, high, np.size(draws) - len(values), "percentile")


def bca_interval(draws: ArrayLike, level: float, estimate: float, jackknife: ArrayLike) -> Interval:
    """Return the bias-corrected and accelerated interval: a percentile interval whose two quantiles are moved.

    Efron, 1987, *Better bootstrap confidence intervals*. The bias is read from the share of draws below the
    `estimate` (ties count half; half a draw is kept on either side), the acceleration from the skewness of the
    `jackknife` values (`jackknife_weights`; 0 if they are all equal). Ranks as in `percentile_interval`.

    Raises:
        UndefinedMetric: not one draw has a value.
    """
    values = _sorted_values(draws)
    at = _rounded(estimate)
    ties = float(np.searchsorted(values, at, "left") + np.searchsorted(values, at, "right")) / 2
    bias = _NORMAL.inv_cdf(min(max(ties, 0.5), len(values) - 0.5) / len(values))
    acceleration = _acceleration(jackknife)

    def moved(probability: float) -> float:
        z = bias + _NORMAL.inv_cdf(probability)
        return _NORMAL.cdf(bias + z / max(1 - acceleration * z, 1e-9))

    low, high = _between(values, moved((1 - level) / 2), moved((1 + level) / 2))
    return Interval(low, high, np.size(draws) - len(values), "bca")


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
    return Interval(round(low, DECIMALS), round(high, DECIMALS), above.n_left_out, "distance")


def uniform_interval(share: float, n: int, level: float) -> Interval:
    """Return the exact interval of a share that is 0 or 1 in n samples (Clopper & Pearson, 1934)."""
    end = round(((1 - level) / 2) ** (1 / n), DECIMALS)
    return Interval(end, 1.0, method="exact") if share else Interval(0.0, round(1 - end, DECIMALS), method="exact")


def n_as_large(observed: ArrayLike, permuted: ArrayLike) -> NDArray[np.int64]:
    """Return how many of the permuted differences `(…, B)` are as large as the observed `(…)`, whatever their sign.

    One without a value counts as large.
    """
    differences = np.abs(_rounded(permuted))
    smaller = differences < np.abs(_rounded(observed))[..., None]
    return np.asarray(differences.shape[-1] - np.count_nonzero(smaller, axis=-1), dtype=np.int64)


def permutation_p(n_large: int, n_permutations: int) -> float:
    """Return the two-sided p value (c + 1) / (B + 1), where c of B permuted differences are as large as the observed.

    B is `n_swaps`: after all exchanges, p is exact.
    Phipson & Smyth, 2010, *Permutation p-values should never be zero*.
    """
    return (n_large + 1) / (n_permutations + 1)


def effective_number(n: int, clusters: Codes | None) -> float:
    """Return the number of equal units that tell as much as these: (Σn)² / Σn² of the clusters' sizes, else n."""
    if clusters is None:
        return float(n)
    sizes = np.bincount(clusters).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


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

    None, None of a deviation that is NaN, or of fewer than one degree of freedom.
    """
    if not math.isfinite(deviation) or degrees < FEWEST_DEGREES:
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

    n · ((z(1 − α/2) + z(power)) · deviation / |difference|)², rounded up: as many as make the two-sided test at
    α = 1 − level significant with the probability `power`. None without a difference, or without its deviation.
    """
    if not _rounded(difference) or not math.isfinite(deviation):
        return None
    z = _NORMAL.inv_cdf((1 + level) / 2) + _NORMAL.inv_cdf(power)
    return max(2, math.ceil(round(n * (z * deviation / difference) ** 2, 6)))


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


def _acceleration(jackknife: ArrayLike) -> float:
    values = _rounded(jackknife)
    values = values[~np.isnan(values)]
    if not len(values):
        return 0.0
    mean = math.fsum(values) / len(values)
    deviations = [mean - value for value in values.tolist()]
    squares = math.fsum(d * d for d in deviations)
    return math.fsum(d * d * d for d in deviations) / (6 * squares * math.sqrt(squares)) if squares else 0.0
