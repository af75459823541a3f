"""Metrics of a detector's scores: error rates and areas under curves.

Conventions:
    reference, prediction, weights: as in `metric.py`, targets of kind `scores`: references are 1 (positive: genuine,
    known, what the detector is to accept) or 0 (negative), a higher prediction is more positive. Scores are finite.
    Everything depends on one sort (`ranking`) and on integers: the weight of the positives and of the negatives
    below a position of it. So a value under a row of counts is, bit for bit, that of samples repeated so often.
    Both classes must carry weight; where one does not, a metric of both is undefined.

Memory stays bounded: the rows of a block go through tiles of some `TILE` weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.metric import Array, metric
from merbench.metrics.sums import Clustered, Floats, Weights, spread, weighted_mean, weighted_sum

Counts = NDArray[np.int64]

TILE = 1 << 19
"""Weights that are worked on at once, 4 MB as int64; a longer row is a tile by itself."""

LARGEST_TABLE = 1 << 20
"""Clusters times buckets beyond which a table of them costs more than it saves."""

ONE_CLASS = "it compares positive with negative samples, and the references that carry weight are all of one class"


@dataclass(frozen=True, eq=False, slots=True)
class Ranking:
    """Samples by rising score, cut into buckets of equal length."""

    order: NDArray[np.intp]  # `(n,)` the samples; of equal scores, the positives first
    # `(n_buckets, length)` uint8, 1 where the sample at a position is positive; 0 beyond the last one
    positive: NDArray[np.uint8]
    ends: Counts  # `(g,)` the position behind the last sample of each distinct score

    @property
    def alike(self) -> NDArray[np.int64]:
        """Codes `(n,)` of the samples; of those with the same code, it makes no difference which one is left out.

        They are of one class and share their score, or each has a score of its own and nothing is between them.
        """
        positive, sizes = self.positive.reshape(-1)[: len(self.order)], np.diff(self.ends, prepend=0)
        side = np.where(sizes == 1, positive[self.ends - 1].astype(np.int64), -1)
        starts = np.append(True, (side[1:] != side[:-1]) | (side[1:] < 0)) if len(side) else side
        codes = np.empty(len(self.order), dtype=np.int64)
        codes[self.order] = 2 * np.repeat(np.cumsum(starts), sizes) + positive
        return codes


def ranking(reference: Array, prediction: Floats) -> Ranking:
    """Return the samples by rising score; buckets are about as long as they are many."""
    order = np.lexsort((reference == 0, prediction))
    rising = prediction[order]
    n, length = len(order), int(np.ceil(np.sqrt(max(len(order), 1))))
    positive = np.zeros(-(-n // length) * length, dtype=np.uint8)
    positive[:n] = reference[order] == 1
    changes = np.flatnonzero(rising[1:] != rising[:-1]) + 1
    return Ranking(order, positive.reshape(-1, length), np.append(changes, n) if n else changes)


_ranking_metric = partial(metric, target="scores", undefined=ONE_CLASS, prepare=ranking)


# Its draws are nearly unbiased, while the jackknife of a crossing of two steps is not.
@_ranking_metric(
    formula="mean of miss rate and false alarm rate where they differ least",
    higher_is_better=False,
    interval="percentile",
)
def equal_error_rate(
    ranked: Ranking, weights: Weights, *, ties: Literal["positive_first", "together"] = "positive_first"
) -> Floats:
    """Rate at which misses and false alarms are equally frequent (EER), by the procedure of ASVspoof 2019 and 2021.

    The threshold goes up through the sorted scores and rejects one sample after the other. Where the share of
    positives rejected and that of negatives accepted differ least (the first such step), the value is the mean of the
    two: no interpolation. Perfect separation gives 0, and perfect inversion 1.

    Args:
        ties: how equal scores are rejected: `positive_first`, one by one and the positives before the negatives, as
            the released code sorts them, so that ties count against the detector and constant scores give 1; or
            `together`, as any real threshold does, so that constant scores give 0.5.
    """
    values = np.full(len(weights), np.nan)
    for rows, sums in _bucket_sums(ranked, weights):
        values[rows] = _equal_error(ranked, sums, ties)
    return values


@_ranking_metric(formula="chance that a positive scores above a negative")
def auroc(ranked: Ranking, weights: Weights) -> Floats:
    """Area under the receiver operating characteristic: the chance that a positive scores above a negative.

    A tie counts half (Mann & Whitney, 1947; Hanley & McNeil, 1982), which is the trapezoid rule; constant scores give
    0.5.
    """
    values = np.full(len(weights), np.nan)
    for rows, positives, negatives in _by_score(ranked, weights):
        # Twice the pairs that a positive wins, a tie being half a pair.
        won = (positives * (2 * np.cumsum(negatives, axis=1) - negatives)).sum(axis=1)
        values[rows] = _quotient(won, 2 * positives.sum(axis=1) * negatives.sum(axis=1))
    return values


@_ranking_metric(formula="area under precision over recall")
def aupr(
    ranked: Ranking,
    weights: Weights,
    *,
    of: Literal["positive", "negative"] = "positive",
    area: Literal["steps", "trapezoid"] = "steps",
) -> Floats:
    """Area under the curve of precision over recall.

    There is one point of the curve per distinct score; constant scores give, in steps, the share of the class.

    Args:
        of: the class to be found: `positive` (the AUIN of papers on out-of-distribution detection) or `negative`,
            by low scores (their AUOUT).
        area: `steps` sums precision times the gain in recall (average precision, as scikit-learn defines it);
            `trapezoid` joins the points by lines, and the first of them with precision 0 at recall 0, as the code
            does that goes with those papers (Liang, Li & Srikant, 2018, and its descendants).
    """
    values = np.full(len(weights), np.nan)
    for rows, positives, negatives in _by_score(ranked, weights):
        wanted, other = (positives, negatives) if of == "positive" else (negatives[:, ::-1], positives[:, ::-1])
        values[rows] = [_precision_area(*row, area) for row in zip(wanted[:, ::-1], other[:, ::-1], strict=True)]
    return values


@_ranking_metric(formula="share of negatives above the lowest 5 % of positives", higher_is_better=False)
def fpr_at_95tpr(ranked: Ranking, weights: Weights) -> Floats:
    """Share of negatives accepted where about 95 % of positives are (FPR@95TPR; Hendrycks & Gimpel, 2017).

    The threshold is the positives' score of rank round(0.05 n), counted from 0, halves to even; a negative is
    accepted above it, and not at it. So constant scores give 0.
    """
    values = np.full(len(weights), np.nan)
    for rows, positives, negatives in _by_score(ranked, weights):
        n, rejected = positives.sum(axis=1), np.cumsum(positives, axis=1)
        at = (rejected <= np.rint(0.05 * n)[:, None]).sum(axis=1).clip(max=positives.shape[1] - 1)
        below = np.cumsum(negatives, axis=1)
        accepted = below[:, -1] - below[np.arange(len(at)), at]
        values[rows] = np.where(n > 0, _quotient(accepted, below[:, -1]), np.nan)
    return values


@_ranking_metric(
    formula="lowest share of wrong decisions that a threshold allows", bounds=(0, 0.5), higher_is_better=False
)
def detection_error(ranked: Ranking, weights: Weights, *, priors: Literal["observed", "equal"] = "observed") -> Floats:
    """Share of wrong decisions at the best threshold.

    To accept all and to reject all are among the thresholds; equal scores are on one side.

    Args:
        priors: `observed` counts every sample alike, as the code on out-of-distribution detection does; `equal` is the
            mean of miss rate and false alarm rate (Liang, Li & Srikant, 2018).
    """
    values = np.full(len(weights), np.nan)
    for rows, positives, negatives in _by_score(ranked, weights):
        n, m = positives.sum(axis=1, keepdims=True), negatives.sum(axis=1, keepdims=True)
        per_miss, per_alarm = (1, 1) if priors == "observed" else (m, n)
        wrong = np.cumsum(positives, axis=1) * per_miss + (m - np.cumsum(negatives, axis=1)) * per_alarm
        fewest = np.minimum(wrong.min(axis=1, keepdims=True), m * per_alarm)
        share = _quotient(fewest, n * per_miss + m * per_alarm)
        values[rows] = np.where(n * m > 0, share, np.nan)[:, 0]
    return values


@metric(
    target="scores",
    formula="share of negatives that are accepted",
    undefined="it is a share of the negative samples, and none carries weight",
)
def deception_rate(reference: Array, prediction: Floats, weights: Weights, *, threshold: float = 0.0) -> Floats:
    """Share of fakes that a detector accepts as genuine: the aim of who makes them (DSR; Yi et al., 2023, ADD).

    A fake (a negative) is accepted where its score reaches the threshold; positives do not matter. With several
    detectors, the rate is the mean of theirs.

    Args:
        threshold: the lowest score that the detector accepts.
    """
    fake = reference == 0
    return weighted_mean(weights[:, fake], (prediction[fake] >= threshold).astype(np.float64))


@dataclass(frozen=True, eq=False, slots=True)
class _BucketSums:
    """Weights of some rows, bucket by bucket."""

    positives: Counts  # `(b, n_buckets + 1)` weight of the positives before every bucket, the total last
    negatives: Counts  # the same of the negatives
    within: Callable[[Counts], Array]  # returns `(b, length)` weights by position in one bucket a row


class _Step(NamedTuple):
    """Weight `(b,)` of the positives and of the negatives that a threshold rejects."""

    positives: Counts
    negatives: Counts


def _equal_error(ranked: Ranking, sums: _BucketSums, ties: str) -> Floats:
    n, m = sums.positives[:, -1], sums.negatives[:, -1]
    at = _crossing(ranked, sums)
    before, after = _one_by_one(ranked, sums, at) if ties == "positive_first" else _together(ranked, sums, at)
    (missed, alarms), (missed_after, alarms_after) = (
        (_quotient(below, n), _quotient(m - above, m)) for below, above in (before, after)
    )
    closer = np.abs(missed_after - alarms_after) < np.abs(missed - alarms)
    return np.where(closer, missed_after + alarms_after, missed + alarms) / 2


def _one_by_one(ranked: Ranking, sums: _BucketSums, at: Counts) -> tuple[_Step, _Step]:
    """Return what is rejected before and after the step that crosses: one of the copies of the sample at a position."""
    n, m = sums.positives[:, -1], sums.negatives[:, -1]
    positive = ranked.positive.reshape(-1)[at].astype(np.int64)
    below, negatives = _below(ranked, sums, at)
    short, gain = n * m - below * m - negatives * n, np.where(positive, m, n)
    copies = -(-short // np.maximum(gain, 1)) - 1
    before = _Step(below + copies * positive, negatives + copies * (1 - positive))
    return before, _Step(before.positives + positive, before.negatives + 1 - positive)


def _together(ranked: Ranking, sums: _BucketSums, at: Counts) -> tuple[_Step, _Step]:
    """Return what is rejected below the score that crosses, and with it."""
    group = np.searchsorted(ranked.ends, at, side="right")
    first, last = np.append(0, ranked.ends)[group], ranked.ends[group]
    return _below(ranked, sums, first), _below(ranked, sums, last)


def _crossing(ranked: Ranking, sums: _BucketSums) -> Counts:
    """Return the first position, a row, with which the miss rate reaches the false alarm rate.

    That is where below / n = (m − below_negatives) / m, multiplied by n · m. The bucket is found by its sums, the
    position in it by its weights.
    """
    n, m = sums.positives[:, -1:], sums.negatives[:, -1:]
    n_buckets, length = ranked.positive.shape
    short = sums.positives[:, 1:] * m + sums.negatives[:, 1:] * n < n * m
    bucket = short.sum(axis=1).clip(max=n_buckets - 1)
    rows = np.arange(len(bucket))
    weights, positive = sums.within(bucket).astype(np.int64), ranked.positive[bucket]
    gains = weights * np.where(positive, m, n)
    before = sums.positives[rows, bucket, None] * m + sums.negatives[rows, bucket, None] * n
    within = (before + np.cumsum(gains, axis=1) < n * m).sum(axis=1)
    return np.asarray((bucket * length + within).clip(max=len(ranked.order) - 1))


def _below(ranked: Ranking, sums: _BucketSums, position: Counts) -> _Step:
    """Return the weight of the positives and of the negatives before one position a row."""
    n_buckets, length = ranked.positive.shape
    bucket = np.minimum(position // length, n_buckets - 1)
    rows = np.arange(len(position))
    before = np.arange(length) < (position - bucket * length)[:, None]
    weights = sums.within(bucket) * before
    total = weights.sum(axis=1, dtype=np.int64)
    positives = (weights * ranked.positive[bucket]).sum(axis=1, dtype=np.int64)
    return _Step(sums.positives[rows, bucket] + positives, sums.negatives[rows, bucket] + total - positives)


def _bucket_sums(ranked: Ranking, weights: Weights) -> Iterator[tuple[slice, _BucketSums]]:
    """Yield the sums of every bucket, tile by tile of rows."""
    n_buckets, length = ranked.positive.shape
    if isinstance(weights, Clustered) and weights.counts.shape[1] * n_buckets <= LARGEST_TABLE:
        yield from _clustered_sums(ranked, weights)
        return
    for rows, sorted_weights in _sorted(ranked, weights):
        shaped = np.zeros((len(sorted_weights), n_buckets * length), dtype=sorted_weights.dtype)
        shaped[:, : len(ranked.order)] = sorted_weights
        shaped = shaped.reshape(-1, n_buckets, length)
        # Sums of bytes are several times faster as 32 bits than as 64, and a bucket's never need more.
        kind = np.uint32 if shaped.dtype == np.uint8 else np.int64
        positives, total = (part.sum(axis=2, dtype=kind) for part in (shaped * ranked.positive, shaped))
        yield rows, _running(positives.astype(np.int64), total.astype(np.int64), _rows_of(shaped))


def _clustered_sums(ranked: Ranking, weights: Clustered) -> Iterator[tuple[slice, _BucketSums]]:
    """Yield the sums from how many samples of every cluster a bucket contains; whole numbers, so that BLAS is exact."""
    n_buckets, length = ranked.positive.shape
    n, m = len(ranked.order), weights.counts.shape[1]
    clusters = np.full(n_buckets * length, m)
    clusters[:n] = weights.clusters[ranked.order]
    cells = (clusters[:n] * n_buckets + np.arange(n) // length) * 2 + ranked.positive.reshape(-1)[:n]
    table = np.bincount(cells, minlength=m * n_buckets * 2).reshape(m, n_buckets, 2)
    others, positives = (table[:, :, side].astype(np.float64) for side in (0, 1))
    for rows in _tiles(len(weights), n_buckets + length):
        counts = weights.counts[rows].astype(np.float64)
        n_positive = (counts @ positives).astype(np.int64)
        total = n_positive + (counts @ others).astype(np.int64)
        yield rows, _running(n_positive, total, _spread_of(weights.counts[rows], clusters.reshape(n_buckets, length)))


def _running(positives: Counts, total: Counts, within: Callable[[Counts], Array]) -> _BucketSums:
    before = np.zeros((2, len(total), total.shape[1] + 1), dtype=np.int64)
    np.cumsum(positives, axis=1, out=before[0, :, 1:])
    np.cumsum(total - positives, axis=1, out=before[1, :, 1:])
    return _BucketSums(before[0], before[1], within)


def _rows_of(shaped: Array) -> Callable[[Counts], Array]:
    return lambda bucket: shaped[np.arange(len(shaped)), bucket]


def _spread_of(counts: Array, clusters: NDArray[np.intp]) -> Callable[[Counts], Array]:
    """Return the function that spreads a row's counts over one bucket; the code behind the last cluster counts 0."""
    padded = np.pad(counts.astype(np.int64), ((0, 0), (0, 1)))
    return lambda bucket: padded[np.arange(len(padded))[:, None], clusters[bucket]]


def _sorted(ranked: Ranking, weights: Weights) -> Iterator[tuple[slice, Array]]:
    """Yield tiles of rows, their samples by rising score, as small integers."""
    for rows in _tiles(len(weights), len(ranked.order)):
        tile = spread(weights[rows, :])
        yield rows, (tile if tile.dtype == np.uint8 else tile.astype(np.int64)).take(ranked.order, axis=1)


def _by_score(ranked: Ranking, weights: Weights) -> Iterator[tuple[slice, Counts, Counts]]:
    """Yield tiles of rows: the `(b, g)` weight of the positives and of the negatives at each distinct score, rising."""
    n = len(ranked.order)
    starts = np.append(0, ranked.ends[:-1])
    for rows, sorted_weights in _sorted(ranked, weights):
        positive = sorted_weights * ranked.positive.reshape(-1)[:n]
        if len(starts) == n:
            positives, total = positive.astype(np.int64), sorted_weights.astype(np.int64)
        else:
            positives, total = (
                np.add.reduceat(part, starts, axis=1, dtype=np.int64) for part in (positive, sorted_weights)
            )
        yield rows, positives, total - positives


def _precision_area(wanted: Counts, other: Counts, area: str) -> float:
    """Return the area of one row whose distinct scores come best first; NaN without either class."""
    if not wanted.any() or not other.any():
        return np.nan
    right = np.cumsum(wanted)
    precision = right / np.maximum(right + np.cumsum(other), 1)
    if area == "trapezoid":
        precision = (precision + np.append(0.0, precision[:-1])) / 2
    return float(weighted_sum(wanted[None], precision)[0] / right[-1])


def _tiles(n_rows: int, row_length: int) -> Iterator[slice]:
    step = max(1, TILE // max(row_length, 1))
    return (slice(start, start + step) for start in range(0, n_rows, step))


def _quotient(numerator: Counts, denominator: Counts) -> Floats:
    """Return the quotient; NaN if the denominator is 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(denominator > 0, numerator / np.maximum(denominator, 1), np.nan))
