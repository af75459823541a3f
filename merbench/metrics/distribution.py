"""Metrics of probabilities of labels, against one label per sample or the shares of annotators' votes.

Conventions:
    reference, prediction, weights: as in `metric.py`, targets of kind `distribution`: `(n, K)` float64 each, whose rows
    sum to 1. A reference that is one label has a single 1. The most probable label of a row may be several that share
    its largest value; each of m such then counts 1 / m, on either side, so that no order of labels matters.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.metric import Array, metric
from merbench.metrics.sums import Floats, Weights, spread, total_weight, weighted_mean, weighted_sums
from merbench.parameters import Within

Binning = Literal["equal_width", "equal_count"]

EPSILON = 1e-15
"""What a probability of 0 counts as in a logarithm, unless a track declares another number."""


class Confidence(NamedTuple):
    """The most probable labels, the least probable one of all samples first."""

    order: NDArray[np.int64]  # `(n,)` the sample in every place
    probability: Floats  # `(n,)` probability of the most probable label, ascending
    right: Floats  # `(n,)` share of the reference that this label has: 1 or 0 where the reference is one label

    @property
    def gap(self) -> Floats:
        """How much more often the labels are right than their probability says."""
        return self.right - self.probability


def squared_distance(reference: Array, prediction: Array) -> Floats:
    """Return the `(n,)` sums over labels of the squared difference of both sides."""
    return _row_sums(np.square(prediction - reference))


def surprise(reference: Array, prediction: Array, *, epsilon: Annotated[float, Within(0, 0.5)] = EPSILON) -> Floats:
    """Return the `(n,)` sums over labels of reference share times −log of the probability, in nats.

    Args:
        epsilon: what a smaller probability counts as; 0 makes the value infinite where a label with a share of the
            reference has probability 0.
    """
    parts = np.zeros(reference.shape)
    with_share = reference > 0
    parts[with_share] = reference[with_share] * -_logarithms(np.maximum(prediction[with_share], epsilon))
    return _row_sums(parts)


def divergence(reference: Array, prediction: Array) -> Floats:
    """Return the `(n,)` Jensen-Shannon divergences of both sides, in bits."""
    middle, parts = (reference + prediction) / 2, np.zeros(reference.shape)
    for side in (reference, prediction):
        present = side > 0
        parts[present] += side[present] * _logarithms(side[present] / middle[present])
    return np.clip(_row_sums(parts) / (2 * math.log(2)), 0, 1)


def majority(shares: Array) -> Floats:
    """Return `(n, K)` shares of the labels with the largest value of a row: 1, or 1 / m for each of m equal ones."""
    largest = shares == shares.max(axis=1, keepdims=True)
    return np.asarray(largest / largest.sum(axis=1, keepdims=True))


def agreement(reference: Array, prediction: Array) -> Floats:
    """Return `(n,)` whether the most probable labels of both sides are the same: 1 or 0, or a share among equals."""
    return _row_sums(majority(reference) * majority(prediction))


def confidence(reference: Array, prediction: Array) -> Confidence:
    """Return probability and rightness of the most probable labels, sorted by their probability."""
    right, largest = _row_sums(reference * majority(prediction)), prediction.max(axis=1)
    order = np.argsort(largest, kind="stable")
    return Confidence(order, largest[order], right[order])


def bin_ends(values: Confidence, bins: int, binning: Binning) -> tuple[Floats, NDArray[np.int64]]:
    """Return the `(bins + 1,)` ends of the bins of all samples, and in which place the samples of each start.

    A bin is open at its lower end: a probability of exactly 0.2 is in the bin up to 0.2.
    """
    if binning == "equal_width":
        ends = np.arange(bins + 1) / bins
    else:
        last = np.ceil(len(values.order) * np.arange(1, bins + 1) / bins).astype(np.int64) - 1
        ends = np.concatenate([[0.0], values.probability[last]])
    return ends, np.concatenate([[0], np.searchsorted(values.probability, ends[1:], side="right")])


_mean_metric = partial(metric, target="distribution", sums_only=True, higher_is_better=False)


@_mean_metric(
    bounds=(0, 2), prepare=squared_distance, formula="mean of sum over labels of (probability - reference share)^2"
)
def brier_score(distances: Floats, weights: Weights) -> Floats:
    """Mean squared distance of the probabilities from the reference, summed over all labels (Brier, 1950).

    With two labels it is twice the value that is often given for the positive one only.
    """
    return weighted_mean(weights, distances)


@_mean_metric(
    bounds=(0, math.inf), prepare=surprise, formula="mean of -sum over labels of reference share * log(probability)"
)
def cross_entropy(surprises: Floats, weights: Weights) -> Floats:
    """Mean cross-entropy of the reference and the probabilities, in nats (log loss; Good, 1952).

    A smaller probability than `epsilon` counts as `epsilon`: with the default, a right label with probability 0 costs
    34.5 nats.
    """
    return weighted_mean(weights, surprises)


@_mean_metric(prepare=divergence, formula="mean of H((r + p) / 2) - (H(r) + H(p)) / 2, in bits")
def jensen_shannon_divergence(divergences: Floats, weights: Weights) -> Floats:
    """Mean Jensen-Shannon divergence of reference shares and probabilities, logarithms to base 2 (Lin, 1991).

    It is the square of the distance that SciPy computes with `base=2`.
    """
    return weighted_mean(weights, divergences)


@metric(
    target="distribution",
    sums_only=True,
    prepare=agreement,
    formula="share of samples whose most probable label is that of most votes",
)
def majority_agreement(agreements: Floats, weights: Weights) -> Floats:
    """Share of samples whose most probable label is the one with the largest reference share.

    Of m labels that share the largest value, on either side, each counts 1 / m. Where references are single labels it
    is accuracy.
    """
    return weighted_mean(weights, agreements)


@metric(
    target="distribution",
    higher_is_better=False,
    prepare=confidence,
    interval="distance",
    formula="mean over samples of |share right - mean probability| of their bin",
)
def expected_calibration_error(
    values: Confidence,
    weights: Weights,
    *,
    bins: Annotated[int, Within(1, 1000)] = 15,
    binning: Binning = "equal_width",
) -> Floats:
    """Mean distance between the probability of the most probable label and how often it is right (Guo et al., 2017).

    Samples are binned by that probability. A system that is calibrated perfectly has a value above 0, too, as every
    bin differs by chance; the more bins, the larger it is. The interval of the score allows for that; there is none
    within groups or with `per`.

    Args:
        bins: number of bins.
        binning: `equal_width` divides [0, 1] into bins of one width; `equal_count` makes bins of as many samples each
            (Nguyen & O'Connor, 2015), samples of equal probability in one bin.
    """
    if binning == "equal_width":
        n, gaps = bin_sums(values, weights, bin_ends(values, bins, binning)[1], values.gap)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.abs(gaps).sum(axis=1) / n.sum(axis=1))
    return _equal_count_error(values, spread(weights[:, values.order]), bins)


def bin_sums(values: Confidence, weights: Weights, starts: NDArray[np.int64], *columns: Floats) -> Floats:
    """Return `(1 + columns, b, bins)` sums over the samples of every bin: of their weight, and of weight times columns.

    Args:
        values: the samples, sorted by probability; the columns are in this order.
        weights: `(b, n)` weights, in the order of samples.
        starts: those of `bin_ends`.
        columns: `(n,)` each.
    """
    own = weights[:, values.order]
    sums = np.zeros((1 + len(columns), len(weights), len(starts) - 1))
    for place, (start, stop) in enumerate(pairwise(starts.tolist())):
        if start < stop:
            part = own[:, start:stop]
            own_sums = weighted_sums(part, *(column[start:stop] for column in columns))
            sums[:, :, place] = total_weight(part), *own_sums
    return sums


def _equal_count_error(values: Confidence, weights: Array, bins: int) -> Floats:
    """Return the `(b,)` errors with bins of equal weight."""
    last_of_equals = np.searchsorted(values.probability, values.probability, side="right") - 1
    errors = np.full(len(weights), np.nan)
    for row in np.flatnonzero(weights.any(axis=1)):
        counts = np.cumsum(weights[row], dtype=np.float64)
        sums = np.concatenate([[0.0], np.cumsum(weights[row] * values.gap)])
        # The first sample with which a bin has its share of the weight.
        last = np.searchsorted(counts, np.ceil(counts[-1] * np.arange(1, bins + 1) / bins))
        stops = np.concatenate([[0], last_of_equals[last] + 1])
        errors[row] = np.abs(np.diff(sums[stops])).sum() / counts[-1]
    return errors


def normalised(table: Array) -> Floats:
    """Return rows divided by their sums."""
    return np.asarray(table / _row_sums(table)[:, None])


def _row_sums(table: Array) -> Floats:
    # Column by column: NumPy's own sum of a row depends on how many there are.
    return np.asarray(sum(table.T, np.zeros(len(table))))


def _logarithms(values: Floats) -> Floats:
    # Those of the C library: NumPy's own differ in the last bit between processors.
    if values.min(initial=1) > 0:
        return np.array(list(map(math.log, values.tolist())))
    return np.array([math.log(value) if value > 0 else -math.inf for value in values.tolist()])
