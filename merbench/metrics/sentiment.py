"""The classification metrics of sentiment on CMU-MOSI, CMU-MOSEI and CH-SIMS.

Conventions:
    reference, prediction, weights: as in `metric.py`, float64: sentiment from −3 to 3 on CMU-MOSI and CMU-MOSEI, from
    −1 to 1 on CH-SIMS. Both sides are turned into classes by the same rule.
    Besides these metrics, CMU-MOSI and CMU-MOSEI report `mae` and `pcc`.

Sources: Zadeh et al., 2016 (CMU-MOSI); Zadeh et al., 2018 (CMU-MOSEI); Yu et al., 2020 (CH-SIMS); Mao et al., 2022
(MMSA), whose rules for rounding, zeros and bin edges these are.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.categorical import weighted_f1
from merbench.metrics.continuous import mae, pcc
from merbench.metrics.metric import Array, metric
from merbench.metrics.sums import Floats, Weights, weighted_mean

Codes = NDArray[np.intp]

SIMS_EDGES = {2: (0.0,), 3: (-0.1, 0.1), 5: (-0.7, -0.1, 0.1, 0.7)}
"""Inner edges of the CH-SIMS bins, by number of classes; a value on an edge is in the bin below it."""

NO_SIGN = "every reference that carries weight is 0"


_sentiment_metric = partial(metric, target="continuous", sums_only=True)


@_sentiment_metric(formula="accuracy of 7 classes, rounded in [-3, 3]")
def mosi_accuracy_7(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-7: share of samples that agree after clipping to [−3, 3] and rounding, halves to even."""
    return _rounded_accuracy(reference, prediction, weights, 3)


@_sentiment_metric(formula="accuracy of 5 classes, rounded in [-2, 2]")
def mosi_accuracy_5(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-5: share of samples that agree after clipping to [−2, 2] and rounding, halves to even."""
    return _rounded_accuracy(reference, prediction, weights, 2)


@_sentiment_metric(formula="accuracy of 3 classes, rounded in [-1, 1]")
def mosi_accuracy_3(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-3: share of samples that agree after clipping to [−1, 1] and rounding, halves to even."""
    return _rounded_accuracy(reference, prediction, weights, 1)


@_sentiment_metric(formula="accuracy of negative / non-negative")
def mosi_has0_accuracy(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-2, Has0: share of samples on the same side, negative or non-negative; 0 is non-negative."""
    return _agreement(reference >= 0, prediction >= 0, weights)


@_sentiment_metric(formula="weighted F1 of negative / non-negative")
def mosi_has0_weighted_f1(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """F1, Has0: weighted F1 of the classes negative and non-negative; 0 is non-negative."""
    return weighted_f1(reference >= 0, prediction >= 0, weights, n_labels=2)


@_sentiment_metric(formula="accuracy of negative / positive where the reference is not 0", undefined=NO_SIGN)
def mosi_non0_accuracy(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-2, Non0: share of samples on the same side of 0, samples whose reference is 0 left out.

    A prediction of 0 counts as negative. Undefined if every reference is 0.
    """
    reference, prediction, weights = _with_sign(reference, prediction, weights)
    return _agreement(reference > 0, prediction > 0, weights)


@_sentiment_metric(formula="weighted F1 of negative / positive where the reference is not 0", undefined=NO_SIGN)
def mosi_non0_weighted_f1(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """F1, Non0: weighted F1 of the classes negative and positive, samples whose reference is 0 left out.

    A prediction of 0 counts as negative. Undefined if every reference is 0.
    """
    reference, prediction, weights = _with_sign(reference, prediction, weights)
    return weighted_f1(reference > 0, prediction > 0, weights, n_labels=2)


@_sentiment_metric(formula="accuracy of the bins [-1, 0], (0, 1]")
def sims_accuracy_2(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-2: share of samples in the same of the bins [−1, 0] and (0, 1], after clipping to [−1, 1]."""
    return _agreement(_bins(reference, 2), _bins(prediction, 2), weights)


@_sentiment_metric(formula="accuracy of the bins [-1, -0.1], (-0.1, 0.1], (0.1, 1]")
def sims_accuracy_3(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-3: share of samples in the same of the bins [−1, −0.1], (−0.1, 0.1], (0.1, 1], after clipping to [−1, 1]."""
    return _agreement(_bins(reference, 3), _bins(prediction, 3), weights)


@_sentiment_metric(formula="accuracy of the bins [-1, -0.7], (-0.7, -0.1], (-0.1, 0.1], (0.1, 0.7], (0.7, 1]")
def sims_accuracy_5(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Acc-5: share of samples in the same of five bins, after clipping to [−1, 1].

    The bins are [−1, −0.7], (−0.7, −0.1], (−0.1, 0.1], (0.1, 0.7], (0.7, 1].
    """
    return _agreement(_bins(reference, 5), _bins(prediction, 5), weights)


@_sentiment_metric(formula="weighted F1 of the bins [-1, 0], (0, 1]")
def sims_weighted_f1(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """F1: weighted F1 of the bins [−1, 0] and (0, 1], after clipping to [−1, 1]; zeros are in the lower one."""
    return weighted_f1(_bins(reference, 2), _bins(prediction, 2), weights, n_labels=2)


@_sentiment_metric(formula="mae after clipping to [-1, 1]", bounds=(0, 2), higher_is_better=False)
def sims_mae(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Mean absolute error after both sides are clipped to [−1, 1]."""
    return mae(reference.clip(-1, 1), prediction.clip(-1, 1), weights)


@_sentiment_metric(formula="pcc after clipping to [-1, 1]", bounds=(-1, 1))
def sims_pcc(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Pearson's correlation after both sides are clipped to [−1, 1]; either side constant: 0."""
    return pcc(reference.clip(-1, 1), prediction.clip(-1, 1), weights)


def _rounded_accuracy(reference: Floats, prediction: Floats, weights: Weights, largest: int) -> Floats:
    # numpy.rint rounds halves to even, as the released scorers do: 0.5 is 0, 1.5 is 2, 2.5 is 2.
    return _agreement(np.rint(reference.clip(-largest, largest)), np.rint(prediction.clip(-largest, largest)), weights)


def _bins(values: Floats, n_classes: int) -> Codes:
    # Clipping to [-1, 1] first would change no bin: the outermost edges are the limits.
    return np.searchsorted(SIMS_EDGES[n_classes], values, side="left")


def _agreement(reference: Array, prediction: Array, weights: Weights) -> Floats:
    return weighted_mean(weights, (reference == prediction).astype(np.float64))


def _with_sign(reference: Floats, prediction: Floats, weights: Weights) -> tuple[Floats, Floats, Weights]:
    has_sign = reference != 0
    return reference[has_sign], prediction[has_sign], weights[:, has_sign]
