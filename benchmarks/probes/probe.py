"""The linear probe: what a linear model reads out of features of samples that it has not seen.

Features are standardised by the training samples. The penalty is the one of a fixed list that answers best in folds of
the training samples; whole groups (speakers, videos) go to one fold. A number is merbench's own metric, with its own
interval, clusters resampled together.

Conventions:
    features: `(n, d)` floats. target: `(n,)` labels as strings, or floats. groups: `(n,)` names of speakers or videos.
    folds: `(n,)` integers; samples of a fold are held out together, those of −1 never.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from merbench.intervals import bca_interval, effective_number, jackknife_t_interval, jackknives, size_degrees
from merbench.metrics import METRICS
from merbench.resampling import cluster_codes, jackknife_weights, poisson_weights
from merbench.significance import pair_deviations, t_ends

Floats = NDArray[np.float64]
Target = NDArray[Any]
Model = Literal["ridge", "logistic"]

PENALTIES: Mapping[Model, tuple[float, ...]] = {
    "ridge": tuple(10 ** (k / 2) for k in range(-2, 11)),
    "logistic": tuple(10.0**k for k in range(-1, 5)),
}
"""What is tried: λ of the ridge, 1 / C of the logistic regression; of equally good ones the strongest is taken."""

N_FOLDS = 5


class Score(NamedTuple):
    """A value and its interval at 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = (re.sub(r"^(-?)0", r"\1", f"{each:.3f}") for each in self)
        return f"{value} [{low}, {high}]"


def predictions(
    features: ArrayLike,
    target: ArrayLike,
    folds: ArrayLike,
    test: ArrayLike,
    model: Model = "ridge",
    *,
    scaled: bool = True,
) -> Target:
    """Return what a probe, trained on samples with their target, predicts of the test samples, `(m,)`.

    Args:
        features: of the training samples.
        target: of the training samples: labels, or numbers, of which only `ridge` learns.
        folds: of the training samples, by which the penalty is chosen; `group_folds` makes them.
        test: `(m, d)` features of the test samples.
        model: `ridge` (least squares; of labels, those of one column of 0 and 1 for each, the largest wins) or
            `logistic`.
        scaled: whether features are standardised, not only centred; not those whose sizes are their weights.
    """
    x, y, fold = np.asarray(features, dtype=np.float64), np.asarray(target), np.asarray(folds)
    is_right = y.dtype.kind not in "fiu"
    losses = np.zeros(len(PENALTIES[model]))
    for number in np.unique(fold[fold >= 0]):
        inside, outside = fold == number, fold != number
        for k, answers in enumerate(_answers(model, x[outside], y[outside], x[inside], PENALTIES[model], scaled)):
            losses[k] += np.sum(answers != y[inside]) if is_right else np.sum(np.square(answers - y[inside]))
    best = PENALTIES[model][len(losses) - 1 - int(np.argmin(losses[::-1]))]
    return _answers(model, x, y, np.asarray(test, dtype=np.float64), (best,), scaled)[0]


def leave_one_group_out(
    features: ArrayLike,
    target: ArrayLike,
    groups: ArrayLike,
    model: Model = "logistic",
    *,
    tested: ArrayLike | None = None,
) -> Target:
    """Return what probes predict of every sample, each trained on the samples of all other groups, `(n,)`.

    Args:
        features: that are learned from.
        target: see `predictions`.
        groups: of the samples; the penalty is chosen in folds of the other groups.
        model: see `predictions`.
        tested: `(n, d)` features of the same samples that are tested on, such as noisy ones; by default `features`.
    """
    x, y, names = np.asarray(features), np.asarray(target), np.asarray(groups)
    test = x if tested is None else np.asarray(tested)
    answers = np.empty_like(y)
    for name in np.unique(names):
        inside, outside = names == name, names != name
        answers[inside] = predictions(x[outside], y[outside], group_folds(names[outside]), test[inside], model)
    return answers


def group_folds(groups: ArrayLike, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Return the fold of every sample: groups, in the order of their names, go round the folds."""
    return cluster_codes(np.asarray(groups, dtype=str)) % n_folds


def scored(
    name: str, reference: ArrayLike, prediction: ArrayLike, clusters: ArrayLike | None, **parameters: Any
) -> Score:
    """Return the value of a metric and its interval, as a report of merbench has them.

    Args:
        name: of a metric of labels or numbers.
        reference: `(n,)` labels, or numbers.
        prediction: `(n,)` predicted ones.
        clusters: `(n,)` names; samples of a cluster are resampled together. None: one by one.
        **parameters: of the metric.
    """
    values, true = _values(name, reference, prediction, parameters), np.asarray(reference)
    metric, units = METRICS[name], _units(clusters)
    masks = jackknife_weights(len(true), clusters=units, with_plain=True)
    plain, *left_out = np.concatenate([values(each) for each in masks])
    jackknife = jackknives(np.array(left_out)[:, None], np.array([plain]), size_degrees(len(true), units))[0]
    if metric.interval == "jackknife_t":
        interval = jackknife_t_interval(float(plain), jackknife, 0.95, metric.bounds)
    else:
        draws = _draws(values, name, len(true), units)
        interval = bca_interval(draws, 0.95, float(plain), jackknife, t=metric.interval == "bca_t")
    return Score(float(plain), interval.low, interval.high)


def difference(
    name: str,
    reference: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    clusters: ArrayLike | None,
    **parameters: Any,
) -> Score:
    """Return how much higher a metric of one prediction is than of another, with the interval of `merbench compare`.

    Both are resampled together. NaN as the ends where no resample changes the difference.

    Args:
        name: see `scored`.
        reference: `(n,)` labels, or numbers.
        first: `(n,)` predictions.
        second: those whose value is subtracted.
        clusters: see `scored`.
        **parameters: of the metric.
    """
    n, units = len(np.asarray(reference)), _units(clusters)
    both = [_values(name, reference, each, parameters) for each in (first, second)]
    plain = np.array([float(values(np.ones((1, n)))[0]) for values in both])
    draws = np.stack([_draws(values, name, n, units) for values in both])
    value = float(plain[0] - plain[1])
    low, high = t_ends(value, float(pair_deviations(draws, plain)[0, 1]), 0.95, effective_number(n, units) - 1)
    return Score(value, np.nan if low is None else low, np.nan if high is None else high)


def _values(
    name: str, reference: ArrayLike, prediction: ArrayLike, parameters: dict[str, Any]
) -> Callable[..., Floats]:
    """Return the function from weights to values of a metric."""
    metric = METRICS[name]
    true, answers = np.asarray(reference), np.asarray(prediction)
    if metric.target == "categorical":
        labels, codes = np.unique(np.concatenate([true, answers]), return_inverse=True)
        true, answers = codes[: len(true)].astype(np.int32), codes[len(true) :].astype(np.int32)
        parameters = {**parameters, "n_labels": len(labels)}
    return lambda weights: metric(true, answers, weights, **parameters)


def _draws(values: Callable[..., Floats], name: str, n: int, units: NDArray[Any] | None) -> Floats:
    """Return the values of a metric under the resamples that all predictions of the same samples share."""
    return np.concatenate([values(each) for each in poisson_weights(name, n, 1000, clusters=units)])


def _units(clusters: ArrayLike | None) -> NDArray[Any] | None:
    return None if clusters is None else cluster_codes(np.asarray(clusters, dtype=str))


def _answers(
    model: Model, x: Floats, y: Target, test: Floats, penalties: tuple[float, ...], scaled: bool
) -> list[Target]:
    """Return the predictions under every penalty."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scaled & (deviation > 0), deviation, 1)
    fit: Callable[..., list[Target]] = _ridge if model == "ridge" else _logistic
    return fit((x - mean) / scale, y, (test - mean) / scale, penalties)


def _ridge(x: Floats, y: Target, test: Floats, penalties: tuple[float, ...]) -> list[Target]:
    labels = None if y.dtype.kind in "fiu" else np.unique(y)
    columns = y[:, None].astype(np.float64) if labels is None else (y[:, None] == labels).astype(np.float64)
    mean = columns.mean(axis=0)
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    projected, seen = left.T @ (columns - mean), test @ right.T
    outputs = [seen @ ((singular / (singular**2 + each))[:, None] * projected) + mean for each in penalties]
    return [output[:, 0] if labels is None else labels[np.argmax(output, axis=1)] for output in outputs]


def _logistic(x: Floats, y: Target, test: Floats, penalties: tuple[float, ...]) -> list[Target]:
    from sklearn.linear_model import LogisticRegression

    models = (LogisticRegression(C=1 / each, max_iter=5000).fit(x, y) for each in penalties)
    return [np.asarray(fitted.predict(test)) for fitted in models]
