"""Aligned references and predictions and weights go in, the values of a track's metrics come out, under any weights.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids. Draws are `(B,)` float64 arrays, one per key:
    `overall`, a metric's key, or `f1(target,label=x)` for the row of a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UndefinedMetric, UsageError, plural
from merbench.metrics.categorical import PerClass, per_class
from merbench.metrics.sums import Weights
from merbench.scoring.aggregation import Group, aggregated
from merbench.scoring.aligned import Pair, with_confusion
from merbench.track import OVERALL, MetricSpec, Track

Draws = dict[str, NDArray[np.float64]]

MOST_VALUES = 1 << 21
"""Labels times weightings that are computed at once: their counts take 48 MB."""

SLACK = 1e-9
"""How far beyond its bounds rounding may carry a metric."""


def evaluate(pair: Pair, weights: Weights, classes: Mapping[str, PerClass] | None = None) -> Draws:
    """Return `(b,)` values under `(b, n)` weights of every key: the metrics, and `overall` where weights declare it.

    `classes` are the counts of the categorical targets under the same weights, where they are known already.
    """
    if classes is None:
        classes = classes_of(pair, weights)
    values: Draws = {}
    for spec in pair.track.metrics:
        if spec.per is not None:
            values[spec.key] = aggregated(pair, spec, weights, partial(_value, pair, spec, weights))
        elif spec.metric.from_classes is not None:
            found = spec.metric.from_classes(classes[spec.target], **parameters_of(pair.track, spec))
            values[spec.key] = checked(spec, found, len(weights))
        else:
            values[spec.key] = _value(pair, spec, weights, None)
    weighted = [(spec.weight, values[spec.key]) for spec in pair.track.metrics if spec.weight is not None]
    if weighted:
        values[OVERALL] = sum((weight * value for weight, value in weighted), np.zeros(len(weights)))
    return values


def _value(pair: Pair, spec: MetricSpec, weights: Weights, within: Group | None) -> NDArray[np.float64]:
    """Return a metric's `(b,)` values on the rows of its target, or of one group of them."""
    metric, part = spec.metric, pair.part(spec.target, within)
    parameters = parameters_of(pair.track, spec) | pair.supplied(spec, within)
    weighting = weights if part.rows is None else weights[:, part.rows]
    if metric.prepare is None:
        values = metric(part.reference, part.prediction, weighting, **parameters)
    else:
        values = metric.function(pair.prepared(spec, parameters, within), weighting, **metric.finishing(parameters))
    return checked(spec, values, len(weights))


def checked(spec: MetricSpec, values: NDArray[np.float64], b: int) -> NDArray[np.float64]:
    """Return a metric's values where they are what a metric returns; else its author is told."""
    found, (low, high) = np.asarray(values), spec.metric.bounds
    if found.shape != (b,) or found.dtype.kind != "f":
        raise UsageError(
            f"metric '{spec.name}' returned {found.dtype} of shape {found.shape}; a metric returns float64 of shape "
            f"({b},), one value per weighting"
        )
    with np.errstate(invalid="ignore"):
        outside = (found < low - SLACK) | (found > high + SLACK)
    if outside.any():
        raise UsageError(
            f"metric '{spec.name}' returned {found[outside][0]:g}, outside its declared bounds [{low:g}, {high:g}]"
        )
    return found


def plain_values(pair: Pair, classes: Mapping[str, PerClass] | None = None) -> dict[str, float]:
    """Return the value of every key on all rows; raise `UndefinedMetric` where one has none."""
    plain = {key: float(values[0]) for key, values in evaluate(pair, ones(pair), classes).items()}
    for spec in pair.track.metrics:
        if not np.isfinite(plain[spec.key]):
            why = _why_undefined(pair, spec) if np.isnan(plain[spec.key]) else "it is beyond the range of numbers"
            raise UndefinedMetric(f"{spec.key} has no value on these {plural(pair.n, 'reference')}: {why}")
    return plain


def _why_undefined(pair: Pair, spec: MetricSpec) -> str:
    """Return why a metric has no value: what the kind of target knows of it; else what its author says."""
    target = pair.track.targets[spec.target]
    return target.why_undefined(pair.part(spec.target).reference) or spec.metric.undefined


def ones(pair: Pair) -> NDArray[np.uint8]:
    """Return the one weighting under which every row counts once."""
    return np.ones((1, pair.n), dtype=np.uint8)


def classes_of(pair: Pair, weights: Weights) -> dict[str, PerClass]:
    """Return the counts of the classes of every categorical target under the weights."""
    found = {}
    for name, labels in with_confusion(pair.track):
        part = pair.codes(name)
        weighting = weights if part.rows is None else weights[:, part.rows]
        found[name] = per_class(part.reference, part.prediction, weighting, n_labels=len(labels))
    return found


def with_classes(pair: Pair, weights: Weights) -> Draws:
    """Return `evaluate`'s values and, beside them, the F1 of every class."""
    classes = classes_of(pair, weights)
    values = evaluate(pair, weights, classes)
    for name, labels in with_confusion(pair.track):
        f1 = classes[name].f1
        values.update({class_key(name, label): f1[:, code] for code, label in enumerate(labels)})
    return values


def portions(pair: Pair, weights: Weights) -> Iterator[Weights]:
    """Yield the weightings in blocks, smaller ones where a target has many labels, so that memory is bounded."""
    step = n_at_once(pair.track)
    if len(weights) <= step:
        yield weights
        return
    for start in range(0, len(weights), step):
        yield weights[start : start + step, :]


def n_at_once(track: Track) -> int:
    """Return how many weightings may be computed at once, by the target with the most labels."""
    return max(1, MOST_VALUES // max(1, *(len(getattr(target, "labels", ())) for target in track.targets.values())))


def class_key(target: str, label: str) -> str:
    """Return the key under which the F1 of a class is drawn."""
    return f"f1({target},label={label})"


def parameters_of(track: Track, spec: MetricSpec) -> dict[str, Any]:
    """Return a metric's parameters, with the name of a label resolved to its code."""
    parameters = dict(spec.parameters)
    labels = getattr(track.targets[spec.target], "labels", ())
    if "label" in parameters and labels:
        parameters["label"] = labels.index(parameters["label"])
    return parameters
