"""Metrics of labelled stretches of time: how much of one label's time is predicted, and in which utterances.

Conventions:
    reference, prediction, weights: as in `metric.py`, targets of kind `segments`. Within a sample and a side, segments
    do not overlap and end after they begin.
    The positive label is the one to be located, such as the fake parts of an utterance; time under other labels, or
    under none, is negative. Its time is measured in seconds: that of both sides, of the prediction, of the reference.

Source: ADD 2023, manipulation region location (Yi et al., 2023).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.lists import Segments
from merbench.metrics.metric import Label, metric
from merbench.metrics.sums import Floats, Weights, weighted_mean, weighted_sums

Aggregation = Literal["micro", "per_utterance"]


class Located(NamedTuple):
    """Seconds `(n,)` of the positive label, by sample."""

    both: Floats  # where prediction and reference agree on it
    predicted: Floats  # where the prediction has it
    referenced: Floats  # where the reference has it

    @property
    def sample_columns(self) -> dict[str, Floats]:
        """Precision, recall and F1 `(n,)` of every sample's seconds; 1 where neither side has the label."""
        sides = {"precision": self.predicted, "recall": self.referenced, "f1": (self.predicted + self.referenced) / 2}
        nowhere = sides["f1"] == 0
        return {name: np.where(nowhere, 1.0, self.both / np.where(side > 0, side, 1.0)) for name, side in sides.items()}


def located(reference: Segments, prediction: Segments, *, label: Label) -> Located:
    """Return the seconds of one label in every sample.

    All ends of segments of all samples are sorted once; between two neighbours, each side has the label or has not.

    Args:
        label: the label.
    """
    sample, time, gain = (np.concatenate(columns) for columns in zip(*_ends(reference, prediction, label), strict=True))
    order = np.lexsort((time, sample))
    sample, time = sample[order], time[order]
    active = np.cumsum(gain[order], axis=0) > 0
    # The last end of a sample closes all of its segments, so that the gap to the next sample counts for nothing.
    lengths = np.diff(time, append=0.0)
    on_reference, on_prediction = active[:, 0], active[:, 1]

    def seconds(on: NDArray[np.bool_]) -> Floats:
        return np.bincount(sample[on], weights=lengths[on], minlength=len(reference)).astype(np.float64, copy=False)

    return Located(seconds(on_reference & on_prediction), seconds(on_prediction), seconds(on_reference))


_time_metric = partial(metric, target="segments", sums_only=True, prepare=located)


@_time_metric(formula="correct seconds of a label / seconds predicted")
def segment_precision(seconds: Located, weights: Weights, *, aggregation: Aggregation = "micro") -> Floats:
    """Share of the time predicted as the label that has it.

    No time predicted: 0; `per_utterance`, 1 for an utterance where the reference has none either.

    Args:
        aggregation: `micro` adds the seconds of all utterances up first; `per_utterance` is the mean of the
            utterances' values. The challenge left it open.
    """
    return _share(seconds.both, seconds.predicted, seconds, weights, aggregation)


@_time_metric(formula="correct seconds of a label / seconds it has")
def segment_recall(seconds: Located, weights: Weights, *, aggregation: Aggregation = "micro") -> Floats:
    """Share of the label's time that is predicted as such.

    No time with the label: 0; `per_utterance`, 1 for an utterance where none is predicted either.

    Args:
        aggregation: as in `segment_precision`.
    """
    return _share(seconds.both, seconds.referenced, seconds, weights, aggregation)


@_time_metric(formula="harmonic mean of precision and recall of a label's seconds")
def segment_f1(seconds: Located, weights: Weights, *, aggregation: Aggregation = "micro") -> Floats:
    """Harmonic mean of precision and recall, of the time with the label.

    No correct time: 0; `per_utterance`, 1 for an utterance where neither side has the label.

    Args:
        aggregation: as in `segment_precision`.
    """
    return _share(2 * seconds.both, seconds.predicted + seconds.referenced, seconds, weights, aggregation)


@_time_metric(formula="share of utterances rightly said to have or not to have a label")
def sentence_accuracy(seconds: Located, weights: Weights) -> Floats:
    """Share of utterances that have the label somewhere on both sides, or on neither."""
    return weighted_mean(weights, ((seconds.predicted > 0) == (seconds.referenced > 0)).astype(np.float64))


@_time_metric(formula="sentence_weight · sentence_accuracy + segment_weight · segment_f1", bounds=(0, math.inf))
def localisation_score(
    seconds: Located,
    weights: Weights,
    *,
    sentence_weight: float = 0.3,
    segment_weight: float = 0.7,
    aggregation: Aggregation = "micro",
) -> Floats:
    """Weighted sum of `sentence_accuracy` and `segment_f1`; at most the sum of the two weights.

    Args:
        sentence_weight: weight of the accuracy.
        segment_weight: weight of the F1.
        aggregation: as in `segment_precision`.
    """
    f1 = segment_f1(seconds, weights, aggregation=aggregation)
    return sentence_weight * sentence_accuracy(seconds, weights) + segment_weight * f1


def _ends(
    reference: Segments, prediction: Segments, label: Label
) -> list[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
    """Return sample, time and gain (one column a side) of the beginning and the end of every segment of the label."""
    ends = []
    for side, segments in enumerate((reference, prediction)):
        has_label = segments.codes == label
        sample = np.repeat(np.arange(len(segments)), np.diff(segments.offsets))[has_label]
        for times, change in ((segments.start_s, 1), (segments.end_s, -1)):
            gain = np.zeros((len(sample), 2), dtype=np.int64)
            gain[:, side] = change
            ends.append((sample, times[has_label], gain))
    return ends


def _share(part: Floats, total: Floats, seconds: Located, weights: Weights, aggregation: str) -> Floats:
    if aggregation == "micro":
        n, parts, totals = weighted_sums(weights, np.ones(len(part)), part, total)
        return np.where(n > 0, parts / np.where(totals > 0, totals, 1), np.nan)
    nowhere = (seconds.predicted == 0) & (seconds.referenced == 0)
    return weighted_mean(weights, np.where(nowhere, 1.0, part / np.where(total > 0, total, 1)))
