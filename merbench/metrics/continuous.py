"""Metrics of numbers: errors and correlations.

Conventions:
    reference, prediction, weights: as in `metric.py`, float64 and finite. Everything is a function of a few weighted
    means, each correctly rounded (`sums.py`). A value beyond the range of float64 is infinite; a spread whose square
    is below that range counts as none.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.metric import Array, metric
from merbench.metrics.sums import Floats, Weights, largest_magnitude, spread, total_weight, weighted_mean, weighted_sums

CENTRED_BY = 4096
"""Of more samples than this, some at equal distances give the mean that moments are taken about."""

CANCELLED = 2.0**-10
"""A variance below this share of the mean square is computed again, about the row's own mean."""


_error_metric = partial(metric, target="continuous", sums_only=True, higher_is_better=False, bounds=(0, math.inf))


@_error_metric(formula="mean of (prediction - reference)²", squares=True)
def mse(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Mean squared error."""
    with np.errstate(over="ignore"):
        return weighted_mean(weights, np.square(prediction - reference))


@_error_metric(formula="square root of the mse", squares=True)
def rmse(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Root of the mean squared error."""
    return np.sqrt(mse(reference, prediction, weights))


@_error_metric(formula="mean of |prediction - reference|")
def mae(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Mean absolute error."""
    with np.errstate(over="ignore"):
        return weighted_mean(weights, np.abs(prediction - reference))


@metric(target="continuous", sums_only=True, formula="cov / (σ_reference · σ_prediction)", bounds=(-1, 1))
def pcc(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Correlation coefficient (Pearson, 1895).

    Either side constant: 0, even where the two are equal.
    """
    # Each side by its own scale, which does not touch a correlation.
    (reference,), (prediction,) = _tamed(reference), _tamed(prediction)
    m = _moments(reference, prediction, weights)
    scale = np.sqrt(m.reference_variance * m.prediction_variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale == 0, 0.0, np.clip(m.covariance / scale, -1, 1))


@metric(
    target="continuous",
    sums_only=True,
    formula="2 cov / (var_reference + var_prediction + (mean_reference - mean_prediction)²)",
    bounds=(-1, 1),
)
def ccc(
    reference: Floats, prediction: Floats, weights: Weights, *, form: Literal["population", "unbiased"] = "population"
) -> Floats:
    """Concordance correlation coefficient (Lin, 1989): correlation that bias and scale diminish.

    Either side constant: 0; both constant and equal: they agree perfectly, 1.

    Args:
        form: `population` divides covariance and variances by n, as Lin does; `unbiased` by n − 1, with the means'
            squared difference as it is (numpy.cov's default, the form that some emotion papers print). n is the total
            weight.
    """
    reference, prediction = _tamed(reference, prediction)
    m = _moments(reference, prediction, weights)
    # With n = 1 both sides are constant and every moment is 0, so the factor does not matter.
    factor = m.n / np.maximum(m.n - 1, 1) if form == "unbiased" else 1.0
    apart = factor * (m.reference_variance + m.prediction_variance) + np.square(m.mean_difference)
    with np.errstate(invalid="ignore"):
        return np.where(apart == 0, 1.0, np.clip(2 * factor * m.covariance / apart, -1, 1))


@metric(target="continuous", sums_only=True, formula="mean of the submitted values", bounds=(-math.inf, math.inf))
def mean_prediction(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Mean of what was submitted, whatever the references: of the scores that a judge gave each sample.

    EMER's clue and label overlap (Lian et al., 2023), integers from 1 to 10, are such scores.
    """
    return weighted_mean(weights, prediction)


@metric(
    target="continuous",
    sums_only=True,
    squares=True,
    formula="1 - mse / var_reference",
    bounds=(-math.inf, 1),
    undefined="the references are all equal, and not predicted exactly",
)
def r2(reference: Floats, prediction: Floats, weights: Weights) -> Floats:
    """Coefficient of determination, R²: the share of the references' variance that the predictions explain.

    All references equal: 0 where they are predicted exactly, else the metric is undefined (NaN, an error of a plain
    score).
    """
    reference, prediction = _tamed(reference, prediction)
    error, variance = mse(reference, prediction, weights), _moments(reference, prediction, weights).reference_variance
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance == 0, np.where(error == 0, 0.0, np.nan), 1 - error / variance)


class _Moments(NamedTuple):
    """Weighted moments `(b,)`; NaN for a row without weight."""

    n: Floats
    mean_difference: Floats
    reference_variance: Floats
    prediction_variance: Floats
    covariance: Floats


def _moments(reference: Floats, prediction: Floats, weights: Weights) -> _Moments:
    """Return the moments under every weighting; variance and covariance of a constant side are exactly 0.

    They are taken about the mean of all samples, or of some thousands of them, which serves nearly every row. A row
    whose own mean lies far out for its spread (a small or constant group), where the difference of two large numbers
    would be left, is done again about its own.
    """
    some = np.zeros((1, len(reference)), dtype=np.uint8)
    some[:, :: -(-len(reference) // CENTRED_BY) or 1] = 1
    moments, cancelled = _moments_about(reference, prediction, weights, some)
    for row in np.flatnonzero(cancelled):
        weighting = spread(weights[row : row + 1, :])
        counted = weighting[0] > 0
        weighting = weighting[:, counted]
        own, _ = _moments_about(reference[counted], prediction[counted], weighting, weighting)
        for values, value in zip(moments, own, strict=True):
            values[row] = value[0]
    return moments


def _moments_about(
    reference: Floats, prediction: Floats, weights: Weights, weighting: Array
) -> tuple[_Moments, NDArray[np.bool_]]:
    """Return the moments, taken about the means under one weighting `(1, n)`, and in which rows digits were lost."""
    reference_centre, prediction_centre = _centre(reference, weighting), _centre(prediction, weighting)
    x, y = reference - reference_centre, prediction - prediction_centre
    n, sums = total_weight(weights), weighted_sums(weights, x, y, np.square(x), np.square(y), x * y)
    with np.errstate(invalid="ignore"):
        x_mean, y_mean, xx, yy, xy = np.stack(sums) / n
    x_variance, y_variance = xx - np.square(x_mean), yy - np.square(y_mean)
    mean_difference = (reference_centre - prediction_centre) + (x_mean - y_mean)
    moments = _Moments(n, mean_difference, x_variance, y_variance, xy - x_mean * y_mean)
    return moments, (x_variance < CANCELLED * xx) | (y_variance < CANCELLED * yy)


def _centre(values: Floats, weighting: Array) -> float:
    """Return the mean; of equal values the value itself, which their rounded mean may miss."""
    low, high = values.min(initial=math.inf), values.max(initial=-math.inf)
    if low == high:
        return float(low)
    counted = weighting[0] > 0
    return float(weighted_mean(weighting[:, counted], values[counted])[0])


def _tamed(*columns: Floats) -> tuple[Floats, ...]:
    """Return the columns times one power of two where their squares would leave the range of float64."""
    exponent = math.frexp(max(map(largest_magnitude, columns)))[1]
    return columns if abs(exponent) < 200 else tuple(np.ldexp(column, -exponent) for column in columns)
