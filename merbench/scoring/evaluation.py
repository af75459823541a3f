"""Aligned references and predictions and weights go in, the values of a track's metrics come out, under any weights.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids. Draws are `(B,)` float64 arrays, one per key:
    `overall`, a metric's key, or `f1(target,label=x)` for the row of a class. A stream name stands for the same weights
    whatever the system, so differences of draws are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UndefinedMetric, plural
from merbench.metrics.categorical import confusion, per_class
from merbench.resampling import (
    jackknife_weights,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.submission import Submission
from merbench.track import OVERALL, CategoricalTarget, MetricSpec, Track

Codes = NDArray[np.int64]


Draws = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """The scored rows of one submission: references and predictions, aligned."""

    track: Track
    reference: Mapping[str, NDArray[Any]]
    prediction: Mapping[str, NDArray[Any]]

    @property
    def n(self) -> int:
        """Number of scored rows."""
        return len(next(iter(self.reference.values())))

    def select(self, rows: Codes) -> Pair:
        """Return the pair of some of the rows."""
        return Pair(
            self.track,
            {name: values[rows] for name, values in self.reference.items()},
            {name: values[rows] for name, values in self.prediction.items()},
        )


def scored_pair(read: Submission) -> Pair:
    """Return the scored rows of a submission beside their references."""
    references = read.candidates.references
    prediction = {name: values[references.index] for name, values in read.values.items()}
    return Pair(read.candidates.track, references.values, prediction)


def evaluate(pair: Pair, weights: NDArray[Any], confusions: Mapping[str, NDArray[Any]] | None = None) -> Draws:
    """Return `(b,)` values under `(b, n)` weights of every key: the metrics, and `overall` where weights declare it.

    `confusions` are those of the categorical targets under the same weights, where they are at hand already.
    """
    if confusions is None:
        confusions = confusions_of(pair, weights)
    values: Draws = {}
    for spec in pair.track.metrics:
        metric, parameters = spec.metric, _parameters(pair.track, spec)
        if metric.from_confusion is not None:
            values[spec.key] = metric.from_confusion(confusions[spec.target], **parameters)
            continue
        target = pair.track.targets[spec.target]
        if isinstance(target, CategoricalTarget):
            parameters["n_labels"] = len(target.labels)
        values[spec.key] = metric(pair.reference[spec.target], pair.prediction[spec.target], weights, **parameters)
    weighted = [(spec.weight, values[spec.key]) for spec in pair.track.metrics if spec.weight is not None]
    if weighted:
        values[OVERALL] = sum((weight * value for weight, value in weighted), np.zeros(len(weights)))
    return values


def bootstrap(
    pair: Pair, n_resamples: int, clusters: Codes | None, stream: str, selections: Sequence[Codes] = ()
) -> list[Draws]:
    """Return the draws of all rows, then those of every selection of rows, from the same weights in one pass."""
    parts = [pair, *(pair.select(rows) for rows in selections)]
    blocks: list[list[Draws]] = [[] for _ in parts]
    for weights in poisson_weights(stream, pair.n, n_resamples, clusters=clusters):
        blocks[0].append(with_classes(pair, weights))
        for found, part, rows in zip(blocks[1:], parts[1:], selections, strict=True):
            found.append(evaluate(part, weights[:, rows]))
    return [joined(found) for found in blocks]


def permuted_differences(a: Pair, b: Pair, n_permutations: int, clusters: Codes | None, stream: str) -> Draws:
    """Return the differences a - b of every key after random exchanges of the two systems' predictions."""
    both = Pair(
        a.track,
        {name: np.concatenate([values, values]) for name, values in a.reference.items()},
        {name: np.concatenate([values, b.prediction[name]]) for name, values in a.prediction.items()},
    )
    found: list[Draws] = []
    for exchange in swaps(stream, a.n, n_permutations, clusters=clusters):
        first, second = (evaluate(both, weights) for weights in swapped_pair(exchange))
        found.append({key: first[key] - second[key] for key in first})
    return joined(found)


def jackknifed(pair: Pair, clusters: Codes | None) -> Draws:
    """Return the values of every key with one group of rows left out at a time."""
    return joined([evaluate(pair, masks) for masks in jackknife_weights(pair.n, clusters=clusters)])


def plain_values(pair: Pair, confusions: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return the value of every key on all rows; raise `UndefinedMetric` where one has none."""
    plain = {key: float(values[0]) for key, values in evaluate(pair, ones(pair), confusions).items()}
    for spec in pair.track.metrics:
        if not np.isfinite(plain[spec.key]):
            why = spec.metric.undefined if np.isnan(plain[spec.key]) else "it is beyond the range of numbers"
            raise UndefinedMetric(f"{spec.key} has no value on these {plural(pair.n, 'reference')}: {why}")
    return plain


def ones(pair: Pair) -> NDArray[np.uint8]:
    """Return the one weighting under which every row counts once."""
    return np.ones((1, pair.n), dtype=np.uint8)


def confusions_of(pair: Pair, weights: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the confusion of every categorical target under the weights."""
    return {
        name: confusion(pair.reference[name], pair.prediction[name], weights, n_labels=len(target.labels))
        for name, target in categorical_targets(pair.track)
    }


def with_classes(pair: Pair, weights: NDArray[Any]) -> Draws:
    """Return `evaluate`'s values and, beside them, the F1 of every class."""
    confusions = confusions_of(pair, weights)
    values = evaluate(pair, weights, confusions)
    for name, target in categorical_targets(pair.track):
        f1 = per_class(confusions[name]).f1
        values.update({class_key(name, label): f1[:, code] for code, label in enumerate(target.labels)})
    return values


def class_key(target: str, label: str) -> str:
    """Return the key under which the F1 of a class is drawn."""
    return f"f1({target},label={label})"


def categorical_targets(track: Track) -> Iterator[tuple[str, CategoricalTarget]]:
    """Yield the categorical targets of a track by name."""
    for name, target in track.targets.items():
        if isinstance(target, CategoricalTarget):
            yield name, target


def _parameters(track: Track, spec: MetricSpec) -> dict[str, Any]:
    """Return a metric's parameters, with the name of a label resolved to its code."""
    parameters = dict(spec.parameters)
    target = track.targets[spec.target]
    if "label" in parameters and isinstance(target, CategoricalTarget):
        parameters["label"] = target.labels.index(parameters["label"])
    return parameters


def only(track: Track, key: str) -> Track:
    """Return the track with no more metrics than a key needs."""
    needed = [spec for spec in track.metrics if (spec.weight is not None if key == OVERALL else spec.key == key)]
    return track.model_copy(update={"metrics": tuple(needed)})


def joined(blocks: Sequence[Draws]) -> Draws:
    """Return the draws of several blocks as one."""
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def mean_draws(runs: Sequence[Draws]) -> Draws:
    """Return the mean over runs of draws that share their weights."""
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}
