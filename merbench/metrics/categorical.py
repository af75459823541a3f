"""Metrics of classes: weighted counts of every class, and accuracy, recall, F1 and agreement from them.

Conventions:
    reference, prediction, weights: as in `metric.py`; codes 0 … K − 1 of the declared labels, K = `n_labels`, and
    −1 for a prediction outside the vocabulary, which is never right, and is not a class of its own: it adds to all
    totals and to the misses of its reference's class, and is not a false alarm of any class.
    A metric is a function of `PerClass`, three counts of every class: memory grows with the number of labels, not with
    its square. `class_metric` gives it the signature of all metrics, and scoring shares the counts between all metrics
    of a target. Counts without weight give NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, Literal

import numpy as np

from merbench.metrics.metric import Array, Label, MetricFunction, metric
from merbench.metrics.sums import Floats, Weights, cell_counts


@dataclass(frozen=True, eq=False)
class PerClass:
    """Counts of every class under every weighting, `(b, K)` float64 each, exact; a zero division is 0."""

    right: Floats  # weight of its references that are predicted as it
    n: Floats  # weight of its references
    predicted: Floats  # weight of the predictions of it

    @property
    def total(self) -> Floats:
        """Weight `(b,)` of all samples, those with a prediction outside the vocabulary among them."""
        return np.asarray(self.n.sum(axis=1))

    @property
    def precision(self) -> Floats:
        """Share of the predictions of a class that are right."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> Floats:
        """Share of the references of a class that are predicted as it."""
        return _ratio(self.right, self.n)

    @cached_property
    def f1(self) -> Floats:
        """Harmonic mean of precision and recall."""
        return _ratio(2 * self.right, self.n + self.predicted)


def per_class(reference: Array, prediction: Array, weights: Weights, *, n_labels: int) -> PerClass:
    """Return the counts of every class under every weighting."""
    outside = 3 * n_labels
    cells = np.stack(
        [
            np.where(reference == prediction, reference, outside),
            reference + n_labels,
            np.where(prediction < 0, outside, prediction + 2 * n_labels),
        ]
    )
    counts = cell_counts(weights, cells.astype(np.intp, copy=False), outside + 1)
    return PerClass(*(counts[:, start : start + n_labels] for start in range(0, outside, n_labels)))


def class_metric(
    *, formula: str, bounds: tuple[float, float] = (0, 1), over_classes: bool = False
) -> Callable[[MetricFunction], MetricFunction]:
    """Register a function of `(classes: PerClass, *, parameters)` as a categorical metric of which higher is better.

    The name it decorates becomes the metric: `(reference, prediction, weights, *, n_labels, parameters) -> (b,)`.
    """

    def register(function: MetricFunction) -> MetricFunction:
        @wraps(function)
        def from_classes(classes: PerClass, **parameters: Any) -> Floats:
            return np.where(classes.total > 0, function(classes, **parameters), np.nan)

        def scored(
            reference: Array, prediction: Array, weights: Weights, *, n_labels: int, **parameters: Any
        ) -> Floats:
            return from_classes(per_class(reference, prediction, weights, n_labels=n_labels), **parameters)

        scored.__name__ = scored.__qualname__ = function.__name__
        scored.__doc__ = function.__doc__
        register = metric(
            target="categorical", formula=formula, bounds=bounds, from_classes=from_classes, over_classes=over_classes
        )
        return register(scored)

    return register


@class_metric(formula="right answers / all answers")
def accuracy(classes: PerClass) -> Floats:
    """Share of right answers (weighted average recall, WAR, is the same thing).

    An answer outside the vocabulary is wrong.
    """
    return _ratio(classes.right.sum(axis=1), classes.total)


@class_metric(formula="mean recall of the classes that have references", over_classes=True)
def unweighted_average_recall(classes: PerClass) -> Floats:
    """Mean recall of the classes (UAR; Schuller, Steidl & Batliner, 2009); balanced accuracy is the same thing.

    A class without references is left out of the mean.
    """
    return _ratio(classes.recall.sum(axis=1), np.count_nonzero(classes.n, axis=1))


@class_metric(formula="mean F1 of the classes, weighted by their references")
def weighted_f1(classes: PerClass) -> Floats:
    """Mean of the classes' F1, each weighted by the number of its references (WAF).

    A class without references has no weight; a class never predicted has F1 0.
    """
    return _ratio((classes.n * classes.f1).sum(axis=1), classes.total)


@class_metric(formula="mean F1 of the classes", over_classes=True)
def macro_f1(classes: PerClass, *, labels: Literal["declared", "present"] = "declared") -> Floats:
    """Mean of the classes' F1.

    A class never predicted has F1 0.

    Args:
        labels: what a class without references is: `declared` counts its F1 as 0, `present` leaves it out.
    """
    n_classes = np.count_nonzero(classes.n, axis=1) if labels == "present" else classes.n.shape[1]
    # Without references there are only false alarms: F1 is 0 already, and adds nothing to the sum.
    return _ratio(classes.f1.sum(axis=1), n_classes)


@class_metric(formula="F1 of all classes' hits, misses and false alarms taken together")
def micro_f1(classes: PerClass) -> Floats:
    """F1 of the hits, misses and false alarms of all classes taken together.

    It equals accuracy where every answer is in the vocabulary. One outside is a miss, but no false alarm, so it costs
    about half of what a wrong label costs.
    """
    return _ratio(2 * classes.right.sum(axis=1), classes.total + classes.predicted.sum(axis=1))


@class_metric(formula="hits of a label / answers of that label")
def precision(classes: PerClass, *, label: Label) -> Floats:
    """Share of right ones among the answers of one label; 0 if it was never predicted.

    Args:
        label: the label.
    """
    return classes.precision[:, label]


@class_metric(formula="hits of a label / references of that label")
def recall(classes: PerClass, *, label: Label) -> Floats:
    """Share of the references of one label that were answered right; 0 if it has none.

    Args:
        label: the label.
    """
    return classes.recall[:, label]


@class_metric(formula="harmonic mean of a label's precision and recall")
def f1(classes: PerClass, *, label: Label) -> Floats:
    """Harmonic mean of one label's precision and recall (van Rijsbergen, 1979); 0 if it has no hit.

    Args:
        label: the label.
    """
    return classes.f1[:, label]


@class_metric(bounds=(-1, 1), formula="correlation of reference and predicted class indicators")
def matthews_correlation(classes: PerClass) -> Floats:
    """Correlation between the class indicators of references and predictions (Matthews, 1975; Gorodkin, 2004).

    A zero denominator gives 0: all references, or all predictions, are of one class, or all are outside the
    vocabulary. An answer outside the vocabulary indicates no class: a vector of zeros, not one more class.
    """
    n, predicted, total, right = classes.n, classes.predicted, classes.total, classes.right.sum(axis=1)
    shared = total * right - (n * predicted).sum(axis=1)
    of_reference = total * n.sum(axis=1) - np.square(n).sum(axis=1)
    of_prediction = total * predicted.sum(axis=1) - np.square(predicted).sum(axis=1)
    return np.clip(_ratio(shared, np.sqrt(of_reference) * np.sqrt(of_prediction)), -1, 1)


@class_metric(bounds=(-1, 1), formula="(accuracy - chance) / (1 - chance)")
def cohen_kappa(classes: PerClass) -> Floats:
    """Agreement beyond what the two distributions of classes give by chance (Cohen, 1960).

    Expected agreement of 1 (references and predictions all of the same one class) gives 1, as observed agreement then
    is 1 too. An answer outside the vocabulary agrees with nothing, neither in fact nor by chance.
    """
    total, by_chance = classes.total, (classes.n * classes.predicted).sum(axis=1)
    beyond, possible = total * classes.right.sum(axis=1) - by_chance, np.square(total) - by_chance
    return np.where(possible > 0, _ratio(beyond, possible), 1.0)


def _ratio(numerator: Floats, denominator: Array | int) -> Floats:
    """Return the quotient, and 0 where the denominator is 0."""
    # An array of the numerator's own layout, since a mixed one is several times slower.
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=np.asarray(denominator) != 0)
