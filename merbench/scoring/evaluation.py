"""Aligned values and weights become the values of a track's metrics, under any weights.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids. Draws are `(B,)` float64 arrays, one per key:
    `overall`, a metric's key, or `precision(target,label=x)`, `recall(…)` and `f1(…)` for the row of a class.
    A group of a column that a metric is taken `per` counts in proportion to the mean weight of those of its rows that
    carry any: once in a plain score and under a mask, as often as its cluster is resampled, never where it is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UndefinedMetric, UsageError, listed, plural
from merbench.metrics.categorical import PerClass, per_class
from merbench.metrics.multilabel import outcomes, per_label
from merbench.metrics.sums import Clustered, Exchanges, LeftOut, Weights, total_weight, weighted_sum
from merbench.scoring.aligned import Aligned, Within, with_confusion
from merbench.track import OVERALL, MetricSpec, Track

Values = NDArray[np.float64]
Draws = dict[str, Values]

MOST_VALUES = 1 << 21
"""Labels times weightings that are computed at once: their counts take 48 MB."""

SLACK = 1e-9
"""How far beyond its bounds rounding may carry a metric."""

CLASS_MEASURES = ("precision", "recall", "f1")
"""What a report has of every class: attributes of `PerClass`, and metrics with a parameter `label`."""


def evaluate(aligned: Aligned, weights: Weights, classes: Mapping[str, PerClass] | None = None) -> Draws:
    """Return `(b,)` values under `(b, n)` weights of every key: the metrics, and `overall` where weights declare it.

    `classes` are the counts of the categorical targets under the same weights, where they are known already.
    """
    if classes is None:
        classes = classes_of(aligned, weights)
    values = {spec.key: metric_values(aligned, spec, weights, classes) for spec in aligned.track.metrics}
    weighted = [(spec.weight, values[spec.key]) for spec in aligned.track.metrics if spec.weight is not None]
    if weighted:
        values[OVERALL] = sum((weight * value for weight, value in weighted), np.zeros(len(weights)))
    return values


def metric_values(
    aligned: Aligned, spec: MetricSpec, weights: Weights, classes: Mapping[str, PerClass] | None = None
) -> Values:
    """Return the `(b,)` values of one metric; `classes` are the counts of its target, where they are known already."""
    if spec.per is not None:
        return _aggregated(aligned, spec, weights)
    if classes is not None and spec.metric.from_classes is not None:
        own = spec.metric.from_classes(classes[spec.target], **parameters_of(aligned.track, spec))
        return checked(spec, own, len(weights))
    return _value(aligned, spec, weights, None)


def _value(aligned: Aligned, spec: MetricSpec, weights: Weights, within: Within | None) -> Values:
    """Return a metric's `(b,)` values on the rows of its target, or of one group of them."""
    metric, part = spec.metric, aligned.part_of(spec, within)
    parameters = parameters_of(aligned.track, spec) | aligned.supplied(spec, within)
    own_weights = weights if part.rows is None else weights[:, part.rows]
    places: Any = slice(None)
    if isinstance(own_weights, LeftOut) and part.rows is not None:
        # Of all that leave out a sample of other rows, one is enough.
        rows, places = np.unique(own_weights.rows, return_inverse=True)
        own_weights = LeftOut(rows, own_weights.n)
    if metric.prepare is None:
        values = metric(part.reference, part.prediction, own_weights, **parameters)
    else:
        values = metric.function(
            aligned.prepared(spec, parameters, within), own_weights, **metric.finishing(parameters)
        )
    values = checked(spec, values, len(own_weights))
    return np.asarray(values[places])


def checked(spec: MetricSpec, values: Values, b: int) -> Values:
    """Return a metric's values; raise an error for its author if they are not what a metric may return."""
    values, (low, high) = np.asarray(values), spec.metric.bounds
    if values.shape != (b,) or values.dtype.kind != "f":
        raise UsageError(
            f"metric '{spec.name}' returned {values.dtype} of shape {values.shape}; a metric returns float64 of shape "
            f"({b},), one value per weighting"
        )
    with np.errstate(invalid="ignore"):
        outside = (values < low - SLACK) | (values > high + SLACK)
    if outside.any():
        raise UsageError(
            f"metric '{spec.name}' returned {values[outside][0]:g}, outside its declared bounds [{low:g}, {high:g}]"
        )
    return values


def _aggregated(aligned: Aligned, spec: MetricSpec, weights: Weights) -> Values:
    """Return a metric's values within every group of its column, put together: `(b,)`."""
    assert spec.per is not None
    names = aligned.groupings[spec.per].names
    values, shares = np.zeros((len(names), len(weights))), np.zeros((len(names), len(weights)))
    for code in range(len(names)):
        part = aligned.part(spec.target, (spec.per, code))
        if not len(part.reference):
            continue
        shares[code] = _mean_weight(weights if part.rows is None else weights[:, part.rows])
        values[code] = np.where(shares[code] > 0, _value(aligned, spec, weights, (spec.per, code)), 0.0)
    if spec.shares is not None:
        return _shared(spec, names, np.where(shares > 0, values, np.nan))
    if spec.aggregate == "auilc":
        return area(_numbers_of(spec, names), np.where(shares > 0, values, np.nan))
    with np.errstate(invalid="ignore"):
        return np.asarray((values * shares).sum(axis=0) / shares.sum(axis=0))


def _mean_weight(weights: Weights) -> Values:
    """Return the mean weight of the rows that carry any, `(b,)`."""
    if isinstance(weights, (Exchanges, LeftOut)):
        carrying = total_weight(weights)
    elif isinstance(weights, Clustered):
        is_carrying = Clustered((weights.counts > 0).view(np.uint8), weights.clusters)
        carrying = weighted_sum(is_carrying, np.ones(weights.shape[1]))
    else:
        carrying = np.asarray(np.count_nonzero(weights, axis=1), dtype=np.float64)
    return np.asarray(weighted_sum(weights, np.ones(weights.shape[1])) / np.maximum(carrying, 1))


def _shared(spec: MetricSpec, names: Sequence[str], values: Values) -> Values:
    """Return the sum of share times value over the groups that have a share, `(groups, b)` to `(b,)`."""
    assert spec.shares is not None
    absent = [name for name in spec.shares if name not in names]
    if absent:
        raise UsageError(
            f"{spec.key}: no scored sample has {spec.per} = {listed(absent)}; there are {listed(list(names))}"
        )
    total = np.zeros(values.shape[1])
    for name, share in spec.shares.items():
        total = total + share * values[names.index(name)]
    return total


def area(at: Values, values: Values) -> Values:
    """Return the area under the line through the values, by the trapezoidal rule: `(groups, b)` to `(b,)`."""
    order = np.argsort(at, kind="stable")
    steps = np.round(np.diff(at[order]), 10)[:, None]
    return np.asarray((steps * (values[order][1:] + values[order][:-1]) / 2).sum(axis=0))


def _numbers_of(spec: MetricSpec, names: Sequence[str]) -> Values:
    try:
        return np.array([float(name) for name in names])
    except ValueError:
        raise UsageError(
            f"{spec.key}: the area under a line needs a column of numbers; '{spec.per}' contains {listed(list(names))}"
        ) from None


def plain_values(aligned: Aligned, classes: Mapping[str, PerClass] | None = None) -> dict[str, float]:
    """Return the value of every key on all rows; raise `UndefinedMetric` if one has none."""
    plain = {key: float(values[0]) for key, values in evaluate(aligned, ones(aligned), classes).items()}
    for spec in aligned.track.metrics:
        if not np.isfinite(plain[spec.key]):
            why = _why_undefined(aligned, spec) if np.isnan(plain[spec.key]) else "it is beyond the range of numbers"
            raise UndefinedMetric(f"{spec.key} has no value on these {plural(aligned.n, 'reference')}: {why}")
    return plain


def _why_undefined(aligned: Aligned, spec: MetricSpec) -> str:
    """Return why a metric has no value: what the target knows of it, else what the metric's author says."""
    target = aligned.track.targets[spec.target]
    return target.why_undefined(aligned.part(spec.target).reference) or spec.metric.undefined


def sample_values(aligned: Aligned, key: str) -> Values | None:
    """Return how right every row's answer is, `(n,)`, higher is better, as the target of a metric measures it.

    Right or wrong, the squared error with a minus, or the F1 of the sample's sets, whatever the metric; NaN for a row
    that does not count. Of `overall`, the sum over its metrics times their absolute weights. None where a target's
    answers only count together, as scores do.
    """
    if key == OVERALL:
        total = np.zeros(aligned.n)
        for weight, part_of in [(spec.weight, spec.key) for spec in aligned.track.metrics if spec.weight is not None]:
            if (added := sample_values(aligned, part_of)) is None:
                return None
            total = total + abs(weight) * added
        return total
    spec = next(spec for spec in aligned.track.metrics if spec.key == key)
    part = aligned.part(spec.target)
    own = aligned.track.targets[spec.target].sample_values(part.reference, part.prediction, prepared_of(aligned, spec))
    if own is None or part.rows is None:
        return own
    values = np.full(aligned.n, np.nan)
    values[part.rows] = own
    return values


def prepared_of(aligned: Aligned, spec: MetricSpec) -> Any:
    """Return what a metric needs of all rows of its target under any weights; None if it prepares nothing."""
    if spec.metric.prepare is None:
        return None
    return aligned.prepared(spec, parameters_of(aligned.track, spec) | aligned.supplied(spec, None), None)


def ones(aligned: Aligned) -> NDArray[np.uint8]:
    """Return the one weighting under which every row counts once."""
    return np.ones((1, aligned.n), dtype=np.uint8)


def classes_of(aligned: Aligned, weights: Weights) -> dict[str, PerClass]:
    """Return the counts of the classes of every target with a confusion matrix under the weights."""
    counts = {}
    for name, labels in with_confusion(aligned.track):
        part = aligned.codes(name)
        own_weights = weights if part.rows is None else weights[:, part.rows]
        counts[name] = per_class(part.reference, part.prediction, own_weights, n_labels=len(labels))
    return counts


def with_classes(aligned: Aligned, weights: Weights) -> Draws:
    """Return `evaluate`'s values, and precision, recall and F1 of every class."""
    classes = classes_of(aligned, weights)
    values = evaluate(aligned, weights, classes)
    for name, counts in {**classes, **label_counts(aligned, weights)}.items():
        labels = aligned.track.targets[name].scored_labels
        for measure in CLASS_MEASURES:
            of_classes = getattr(counts, measure)
            values.update({class_key(measure, name, label): of_classes[:, i] for i, label in enumerate(labels)})
    return values


def label_counts(aligned: Aligned, weights: Weights) -> dict[str, PerClass]:
    """Return the counts of the labels of every target with a column for each, under the weights."""
    counts = {}
    for name, target in aligned.track.targets.items():
        if target.label_columns:
            part = aligned.part(name)
            own_weights = weights if part.rows is None else weights[:, part.rows]
            values = aligned.once((outcomes, name, None), partial(outcomes, part.reference, part.prediction))
            counts[name] = per_label(values, own_weights)
    return counts


def class_key(measure: str, target: str, label: str) -> str:
    """Return the key of a measure of a class, that of the metric which is the same."""
    return f"{measure}({target},label={label})"


def portions(aligned: Aligned, weights: Weights) -> Iterator[Weights]:
    """Yield the weightings in blocks, smaller ones where a target has many labels, so that memory is bounded."""
    step = n_at_once(aligned.track)
    if len(weights) <= step:
        yield weights
        return
    for start in range(0, len(weights), step):
        yield weights[start : start + step, :]


def n_at_once(track: Track) -> int:
    """Return how many weightings may be computed at once, by the target with the most labels."""
    return max(1, MOST_VALUES // max(1, *(len(target.scored_labels) for target in track.targets.values())))


def joined(blocks: Sequence[Draws]) -> Draws:
    """Return the draws of several blocks as one."""
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def parameters_of(track: Track, spec: MetricSpec) -> dict[str, Any]:
    """Return a metric's parameters, with the name of a label resolved to its code."""
    parameters = dict(spec.parameters)
    labels = track.targets[spec.target].scored_labels
    if "label" in parameters and labels:
        parameters["label"] = labels.index(parameters["label"])
    return parameters
