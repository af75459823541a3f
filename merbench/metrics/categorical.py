"""Codes of references and predictions go in, a weighted confusion and the metrics of one come out.

Conventions:
    reference, prediction, weights: as in `metric.py`; codes 0 … K − 1 of the declared labels, K = `n_labels`, and
    −1 for a prediction outside the vocabulary.
    matrix: a confusion `(b, K, K + 1)` float64, rows are references, columns predictions; the last column counts the
    predictions outside the vocabulary. They are never right, and no class of their own: they add to all totals and to
    the misses of their reference's class, and are no false alarm of any class.
    A metric is written as a function of the matrix; `confusion_metric` gives it the one signature of all metrics, and
    scoring shares one matrix between all metrics of a target. A matrix without weight gives NaN, in every metric.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, NamedTuple

import numpy as np

from merbench.metrics.metric import Array, MetricFunction, metric
from merbench.metrics.sums import Floats, Weights, cell_counts


class PerClass(NamedTuple):
    """Values of every class, `(b, K)` each: precision, recall, F1, and n, the weight of its references."""

    precision: Floats
    recall: Floats
    f1: Floats
    n: Floats


def confusion(reference: Array, prediction: Array, weights: Weights, *, n_labels: int) -> Floats:
    """Return the `(b, K, K + 1)` total weights of every pair of reference and prediction; exact."""
    columns = n_labels + 1
    cells = reference.astype(np.intp) * columns + np.where(prediction < 0, n_labels, prediction)
    return cell_counts(weights, cells, n_labels * columns).reshape(-1, n_labels, columns)


def per_class(matrix: Floats) -> PerClass:
    """Return precision, recall, F1 and reference weight of every class; a zero division is 0.

    So the precision of a class never predicted is 0, the recall of a class without reference is 0, and the F1 of
    either is 0.
    """
    right, n, predicted = _right(matrix), matrix.sum(axis=2), matrix[:, :, :-1].sum(axis=1)
    return PerClass(_ratio(right, predicted), _ratio(right, n), _ratio(2 * right, n + predicted), n)


def confusion_metric(*, bounds: tuple[float, float], formula: str) -> Callable[[MetricFunction], MetricFunction]:
    """Register a function of `(matrix, *, parameters)` as a categorical metric of which higher is better.

    The name it decorates becomes the metric: `(reference, prediction, weights, *, n_labels, parameters) -> (b,)`.
    """

    def register(function: MetricFunction) -> MetricFunction:
        @wraps(function)
        def from_confusion(matrix: Floats, **parameters: Any) -> Floats:
            return np.where(_total(matrix) > 0, function(matrix, **parameters), np.nan)

        def scored(
            reference: Array, prediction: Array, weights: Weights, *, n_labels: int, **parameters: Any
        ) -> Floats:
            return from_confusion(confusion(reference, prediction, weights, n_labels=n_labels), **parameters)

        scored.__name__ = scored.__qualname__ = function.__name__
        scored.__doc__ = function.__doc__
        return metric(
            target="categorical", higher_is_better=True, bounds=bounds, formula=formula, from_confusion=from_confusion
        )(scored)

    return register


@confusion_metric(bounds=(0, 1), formula="right answers / all answers")
def accuracy(matrix: Floats) -> Floats:
    """Share of right answers (weighted average recall, WAR, is the same thing).

    An answer outside the vocabulary is wrong.
    """
    return _ratio(_right(matrix).sum(axis=1), _total(matrix))


@confusion_metric(bounds=(0, 1), formula="mean recall of the classes that have references")
def unweighted_average_recall(matrix: Floats) -> Floats:
    """Mean recall of the classes (UAR; Schuller, Steidl & Batliner, 2009); balanced accuracy is the same thing.

    A class without references is left out of the mean.
    """
    rows = per_class(matrix)
    return _ratio(rows.recall.sum(axis=1), np.count_nonzero(rows.n, axis=1))


@confusion_metric(bounds=(0, 1), formula="mean F1 of the classes, weighted by their references")
def weighted_f1(matrix: Floats) -> Floats:
    """Mean of the classes' F1, each weighted by the number of its references (WAF).

    A class without references has no weight; a class never predicted has F1 0.
    """
    rows = per_class(matrix)
    return _ratio((rows.n * rows.f1).sum(axis=1), _total(matrix))


@confusion_metric(bounds=(0, 1), formula="mean F1 of the classes")
def macro_f1(matrix: Floats, *, labels: Literal["declared", "present"] = "declared") -> Floats:
    """Mean of the classes' F1.

    A class never predicted has F1 0.

    Args:
        matrix: the confusion.
        labels: what a class without references is: `declared` counts its F1 as 0, `present` leaves it out.
    """
    rows = per_class(matrix)
    n_classes = np.count_nonzero(rows.n, axis=1) if labels == "present" else matrix.shape[1]
    # Without references there are only false alarms: F1 is 0 already, and adds nothing to the sum.
    return _ratio(rows.f1.sum(axis=1), n_classes)


@confusion_metric(bounds=(0, 1), formula="F1 of all classes' hits, misses and false alarms taken together")
def micro_f1(matrix: Floats) -> Floats:
    """F1 of the hits, misses and false alarms of all classes taken together.

    It equals accuracy where every answer is in the vocabulary. One outside is a miss, but no false alarm, so it costs
    about half of what a wrong label costs.
    """
    total, outside = _total(matrix), matrix[:, :, -1].sum(axis=1)
    return _ratio(2 * _right(matrix).sum(axis=1), 2 * total - outside)


@confusion_metric(bounds=(0, 1), formula="hits of a label / answers of that label")
def precision(matrix: Floats, *, label: int) -> Floats:
    """Share of right ones among the answers of one label; 0 where it was never predicted.

    Args:
        matrix: the confusion.
        label: the label, declared by its name; scoring passes its code.
    """
    return per_class(matrix).precision[:, label]


@confusion_metric(bounds=(0, 1), formula="hits of a label / references of that label")
def recall(matrix: Floats, *, label: int) -> Floats:
    """Share of the references of one label that were answered right; 0 where it has none.

    Args:
        matrix: the confusion.
        label: the label, declared by its name; scoring passes its code.
    """
    return per_class(matrix).recall[:, label]


@confusion_metric(bounds=(0, 1), formula="harmonic mean of a label's precision and recall")
def f1(matrix: Floats, *, label: int) -> Floats:
    """Harmonic mean of one label's precision and recall (van Rijsbergen, 1979); 0 where it has no hit.

    Args:
        matrix: the confusion.
        label: the label, declared by its name; scoring passes its code.
    """
    return per_class(matrix).f1[:, label]


@confusion_metric(bounds=(-1, 1), formula="correlation of reference and predicted class indicators")
def matthews_correlation(matrix: Floats) -> Floats:
    """Correlation between the class indicators of references and predictions (Matthews, 1975; Gorodkin, 2004).

    A zero denominator gives 0: all references, or all predictions, are of one class, or all are outside the
    vocabulary. An answer outside the vocabulary indicates no class: a vector of zeros, not one more class.
    """
    n, predicted, total = matrix.sum(axis=2), matrix[:, :, :-1].sum(axis=1), _total(matrix)
    right = _right(matrix).sum(axis=1)
    shared = total * right - (n * predicted).sum(axis=1)
    of_reference = total * n.sum(axis=1) - np.square(n).sum(axis=1)
    of_prediction = total * predicted.sum(axis=1) - np.square(predicted).sum(axis=1)
    return np.clip(_ratio(shared, np.sqrt(of_reference) * np.sqrt(of_prediction)), -1, 1)


@confusion_metric(bounds=(-1, 1), formula="(accuracy - chance) / (1 - chance)")
def cohen_kappa(matrix: Floats) -> Floats:
    """Agreement beyond what the two distributions of classes give by chance (Cohen, 1960).

    Expected agreement of 1 (references and predictions all of the same one class) gives 1, as observed agreement then
    is 1 too. An answer outside the vocabulary agrees with nothing, neither in fact nor by chance.
    """
    n, predicted, total = matrix.sum(axis=2), matrix[:, :, :-1].sum(axis=1), _total(matrix)
    by_chance = (n * predicted).sum(axis=1)
    beyond, possible = total * _right(matrix).sum(axis=1) - by_chance, np.square(total) - by_chance
    return np.where(possible > 0, _ratio(beyond, possible), 1.0)


def _right(matrix: Floats) -> Floats:
    return np.diagonal(matrix, axis1=1, axis2=2)


def _total(matrix: Floats) -> Floats:
    return np.asarray(matrix.sum(axis=(1, 2)))


def _ratio(numerator: Floats, denominator: Array | int) -> Floats:
    """Return the quotient, and 0 where the denominator is 0."""
    zeros = np.zeros(np.broadcast_shapes(numerator.shape, np.shape(denominator)))
    return np.divide(numerator, denominator, out=zeros, where=np.asarray(denominator) != 0)
