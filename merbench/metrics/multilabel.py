"""Metrics of several labels per sample, label by label or together.

Conventions:
    reference, prediction, weights: as in `metric.py`, targets of kind `multilabel`: `(n, K)` int8, 1 where a sample has
    a label. A reference of −1 means not known; that cell does not count, whatever is predicted.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.categorical import PerClass
from merbench.metrics.metric import Array, Label, metric
from merbench.metrics.sums import Floats, Weights, cell_counts, weighted_mean

REJECTION, ALARM, MISS, HIT, UNKNOWN = range(5)
"""What a prediction of one label is, as a code: twice the reference plus the prediction, or unknown."""

NOT_KNOWN = "no label is known of a sample that carries weight"

Cells = NDArray[np.int8]


class PerSample(NamedTuple):
    """Values of the samples of which a label is known."""

    known: NDArray[np.bool_]  # `(n,)` which samples these are
    exact: Floats  # 1 where every known label is right, else 0
    f1: Floats  # F1 of the labels that the sample has


class Outcomes:
    """The `(K, n)` outcome of every label of every sample; metrics share its counts under the same weights."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        self._last: tuple[Weights, Floats] | None = None

    def counts(self, weights: Weights) -> Floats:
        """Return the `(b, K, 5)` weight of every outcome of every label."""
        if self._last is None or self._last[0] is not weights:
            self._last = weights, _counts(self.cells, weights)
        return self._last[1]


def outcomes(reference: Array, prediction: Array) -> Outcomes:
    """Return the outcome of every label of every sample."""
    cells = np.where(reference < 0, UNKNOWN, 2 * reference + prediction)
    return Outcomes(np.ascontiguousarray(cells.T.astype(np.int8)))


def per_sample(reference: Array, prediction: Array) -> PerSample:
    """Return the values of single samples; where neither side has a label, F1 is 1."""
    cells = outcomes(reference, prediction).cells
    hits, wrong = (cells == HIT).sum(axis=0), ((cells == ALARM) | (cells == MISS)).sum(axis=0)
    known = (cells != UNKNOWN).any(axis=0)
    f1 = np.where(hits + wrong > 0, 2 * hits / np.maximum(2 * hits + wrong, 1), 1.0)
    return PerSample(known, (wrong == 0)[known].astype(np.float64), f1[known])


_outcome_metric = partial(metric, target="multilabel", sums_only=True, undefined=NOT_KNOWN, prepare=outcomes)
_sample_metric = partial(metric, target="multilabel", sums_only=True, undefined=NOT_KNOWN, prepare=per_sample)


@_outcome_metric(formula="mean over labels of the F1 of having the label", over_classes=True)
def multilabel_f1(values: Outcomes, weights: Weights, *, labels: Literal["declared", "present"] = "declared") -> Floats:
    """Mean of the labels' F1, as for facial action units (ABAW; Kollias, 2022).

    A label without a hit has F1 0.

    Args:
        labels: what a label is that no reference has: `declared` counts its F1 as 0, `present` leaves it out; with
            none present, the value is 0.
    """
    counts = values.counts(weights)
    present = (counts[:, :, MISS] + counts[:, :, HIT] > 0).sum(axis=1)
    # A label without references has only false alarms: its F1 is 0 already, and adds nothing to the sum.
    n_labels = np.maximum(present, 1) if labels == "present" else counts.shape[1]
    return np.where(_known(counts) > 0, _f1(counts).sum(axis=1) / n_labels, np.nan)


@metric(
    target="multilabel",
    sums_only=True,
    formula="F1 of having a label",
    undefined="it is not known of any sample that carries weight whether it has the label",
    prepare=outcomes,
)
def label_f1(values: Outcomes, weights: Weights, *, label: Label) -> Floats:
    """Harmonic mean of precision and recall of one label; 0 if it has no hit.

    Args:
        label: the label.
    """
    counts = _counts(values.cells[label : label + 1], weights)
    return np.where(_known(counts) > 0, _f1(counts)[:, 0], np.nan)


@_outcome_metric(formula="F1 of all labels' hits, misses and false alarms taken together")
def multilabel_micro_f1(values: Outcomes, weights: Weights) -> Floats:
    """F1 of the hits, misses and false alarms of all labels taken together; 0 without a hit."""
    counts = values.counts(weights)
    return np.where(_known(counts) > 0, _f1(counts.sum(axis=1, keepdims=True))[:, 0], np.nan)


@_outcome_metric(formula="share of labels that are wrong", higher_is_better=False)
def hamming_loss(values: Outcomes, weights: Weights) -> Floats:
    """Share of wrong ones among all known labels of all samples (Schapire & Singer, 1999)."""
    counts = values.counts(weights)
    wrong, n_known = (counts[:, :, ALARM] + counts[:, :, MISS]).sum(axis=1), _known(counts)
    return np.where(n_known > 0, wrong / np.maximum(n_known, 1), np.nan)


@_sample_metric(formula="share of samples with every label right")
def exact_match(values: PerSample, weights: Weights) -> Floats:
    """Share of samples all of whose known labels are right (subset accuracy); one without a known label is left out."""
    return weighted_mean(weights[:, values.known], values.exact)


@_sample_metric(formula="mean over samples of the F1 of the labels that they have")
def samplewise_f1(values: PerSample, weights: Weights) -> Floats:
    """Mean over samples of 2 |both| / (|reference| + |prediction|), of their sets of labels (Godbole & Sarawagi, 2004).

    Two empty sets agree: 1. A sample without a known label is left out.
    """
    return weighted_mean(weights[:, values.known], values.f1)


def per_label(values: Outcomes, weights: Weights) -> PerClass:
    """Return the counts of every label under every weighting, among the samples in which it is known."""
    counts = values.counts(weights)
    hits = counts[:, :, HIT]
    return PerClass(hits, hits + counts[:, :, MISS], hits + counts[:, :, ALARM])


def _counts(cells: Cells, weights: Weights) -> Floats:
    return np.stack([cell_counts(weights, row, UNKNOWN + 1) for row in cells], axis=1)


def _known(counts: Floats) -> Floats:
    return np.asarray(counts[:, :, :UNKNOWN].sum(axis=(1, 2)))


def _f1(counts: Floats) -> Floats:
    """Return the `(b, K)` F1 values; 0 without a hit."""
    hits = 2 * counts[:, :, HIT]
    return np.asarray(hits / np.maximum(hits + counts[:, :, ALARM] + counts[:, :, MISS], 1))
