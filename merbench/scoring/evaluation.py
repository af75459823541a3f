"""Aligned references and predictions and weights go in, the values of a track's metrics come out, under any weights.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids. Draws are `(B,)` float64 arrays, one per key:
    `overall`, a metric's key, or `f1(target,label=x)` for the row of a class. A stream name stands for the same weights
    whatever the system, so differences of draws are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import UndefinedMetric, UsageError, listed, plural
from merbench.grouping import Groups, open_groups
from merbench.lexicon import open_lexicon
from merbench.metrics.categorical import confusion, per_class
from merbench.metrics.label_set import with_representatives
from merbench.metrics.lists import Lists, Values, concatenated
from merbench.metrics.sums import Clustered, Weights, weighted_sum
from merbench.resampling import (
    jackknife_weights,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.scoring.breakdown import grouping_of
from merbench.submission import Submission
from merbench.track import OVERALL, LabelSetTarget, MetricSpec, ScoresTarget, Track, Vocabulary

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
Draws = dict[str, NDArray[np.float64]]

SLACK = 1e-9
"""How far beyond its bounds rounding may carry a metric."""


class Part(NamedTuple):
    """What is scored of one target: references and predictions of its rows; `rows` is None where those are all."""

    reference: Any
    prediction: Any
    rows: Codes | None


@dataclass(frozen=True, eq=False)
class Pair:
    """The scored rows of one submission: references and predictions, aligned.

    Attributes:
        track: the track.
        reference: values of every target.
        prediction: values of every target.
        held: by target, the rows that count for it; a target that is not named counts in all of them.
        groups: by corpus column, the group of every row in the order of the groups' names; for metrics taken `per` it.
        levels: by such a column, what the groups are called.
        grouped: by target with stored groups of synonyms, both sides with representatives in place of words, once for
            every run of the model that grouped them.
        ungrouped: by such a target, how many words of samples are in none of the groups.
    """

    track: Track
    reference: Mapping[str, Values]
    prediction: Mapping[str, Values]
    held: Mapping[str, Mask] = field(default_factory=dict)
    groups: Mapping[str, Codes] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    grouped: Mapping[str, tuple[tuple[Lists, Lists], ...]] = field(default_factory=dict)
    ungrouped: Mapping[str, int] = field(default_factory=dict)
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def n(self) -> int:
        """Number of scored rows."""
        return len(next(iter(self.reference.values())))

    def select(self, rows: Codes) -> Pair:
        """Return the pair of some of the rows."""
        return replace(
            self,
            reference={name: values[rows] for name, values in self.reference.items()},
            prediction={name: values[rows] for name, values in self.prediction.items()},
            held={name: mask[rows] for name, mask in self.held.items()},
            groups={name: codes[rows] for name, codes in self.groups.items()},
            grouped={name: _selected(runs, rows) for name, runs in self.grouped.items()},
        )

    def beside(self, other: Pair) -> Pair:
        """Return the rows of this pair, then those of another system on the same samples."""
        names = {*self.held, *other.held}
        everywhere = np.ones(self.n, dtype=np.bool_)
        return replace(
            self,
            reference={name: concatenated(values, values) for name, values in self.reference.items()},
            prediction={name: concatenated(values, other.prediction[name]) for name, values in self.prediction.items()},
            held={
                name: np.concatenate([self.held.get(name, everywhere), other.held.get(name, everywhere)])
                for name in names
            },
            groups={name: np.concatenate([codes, codes]) for name, codes in self.groups.items()},
            grouped={
                name: tuple(
                    (concatenated(mine[0], theirs[0]), concatenated(mine[1], theirs[1]))
                    for mine, theirs in zip(runs, other.grouped[name], strict=True)
                )
                for name, runs in self.grouped.items()
            },
        )

    def part(self, target: str, within: tuple[str, int] | None = None) -> Part:
        """Return what is scored of a target; `within` asks for one group of a column alone."""
        found: Part = self._remembered(("part", target, within), lambda: self._part(target, within))
        return found

    def _part(self, target: str, within: tuple[str, int] | None) -> Part:
        mask = self.held.get(target)
        if within is not None:
            inside = self.groups[within[0]] == within[1]
            mask = inside if mask is None else mask & inside
        if mask is None or mask.all():
            return Part(self.reference[target], self.prediction[target], None)
        rows = np.flatnonzero(mask)
        return Part(self.reference[target][rows], self.prediction[target][rows], rows)

    def prepared(self, spec: MetricSpec, parameters: Mapping[str, Any], within: tuple[str, int] | None) -> Any:
        """Return what a metric needs of a target under any weights; metrics that need the same share it."""
        metric, part = spec.metric, self.part(spec.target, within)
        assert metric.prepare is not None
        given = metric.preparing(parameters)
        key = (metric.prepare, spec.target, within, *((name, _hashable(given[name])) for name in sorted(given)))
        prepare = metric.prepare
        return self._remembered(key, lambda: prepare(part.reference, part.prediction, **given))

    def supplied(self, spec: MetricSpec, within: tuple[str, int] | None) -> dict[str, Any]:
        """Return what a metric takes from its target: the number of labels, the lexicon, grouped synonyms."""
        target, supplied = self.track.targets[spec.target], dict[str, Any]()
        if "grouped" in spec.metric.supplied and spec.target in self.grouped:
            runs, rows = self.grouped[spec.target], self.part(spec.target, within).rows
            key = ("grouped", spec.target, within)
            supplied["grouped"] = self._remembered(key, lambda: runs if rows is None else _selected(runs, rows))
        if "n_labels" in spec.metric.supplied:
            supplied["n_labels"] = len(getattr(target, "labels", ()))
        if "lexicon" in spec.metric.supplied:
            name: str = getattr(target, "lexicon", None) or ""
            supplied["lexicon"] = self._remembered(("lexicon", name), lambda: open_lexicon(name))
        return supplied

    def _remembered(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


def _selected(runs: tuple[tuple[Lists, Lists], ...], rows: Codes) -> tuple[tuple[Lists, Lists], ...]:
    return tuple((true[rows], predicted[rows]) for true, predicted in runs)


def scored_pair(read: Submission) -> Pair:
    """Return the scored rows of a submission beside their references."""
    candidates, track = read.candidates, read.candidates.track
    references = candidates.references
    rows = references.index
    held = dict(references.held)
    for name, dropped in read.dropped.items():
        held[name] = held.get(name, np.ones(len(rows), dtype=np.bool_)) & ~dropped[rows]
    columns = {spec.per for spec in track.metrics if spec.per is not None}
    groupings = {name: grouping_of(candidates, name, binned=False) for name in sorted(columns)}
    prediction = {name: values[rows] for name, values in read.values.items()}
    stores = groups_of(track)
    ids = candidates.ids.take(pa.array(rows)).to_pylist() if stores else []
    sets = {name: _both(references.values[name], prediction[name]) for name in stores}
    return Pair(
        track,
        references.values,
        prediction,
        held,
        {name: grouping.codes for name, grouping in groupings.items()},
        {name: grouping.names for name, grouping in groupings.items()},
        {name: _with_synonyms(groups, ids, sets[name], candidates.hidden) for name, groups in stores.items()},
        {name: groups.ungrouped(ids, sets[name]) for name, groups in stores.items()},
    )


def groups_of(track: Track) -> dict[str, Groups]:
    """Return the stored groups of synonyms that targets of a track name."""
    return {
        name: open_groups(target.groups, relative_to=track.folder)
        for name, target in track.targets.items()
        if isinstance(target, LabelSetTarget) and target.groups is not None
    }


Sets = list[tuple[tuple[str, ...], tuple[str, ...]]]


def _both(reference: Values, prediction: Values) -> Sets:
    """Return the words of both sides, sample by sample."""
    assert isinstance(reference, Lists) and isinstance(prediction, Lists)
    return list(zip(reference, prediction, strict=True))


def _with_synonyms(groups: Groups, ids: Sequence[str], sets: Sets, hidden: bool) -> tuple[tuple[Lists, Lists], ...]:
    """Return both sides with representatives in place of words, once for every run.

    Of a hidden split, no message names a sample that is scored.
    """
    sides = Lists.of([own for own, _ in sets]), Lists.of([theirs for _, theirs in sets])
    found = []
    for run in range(len(groups.runs)):
        try:
            first = groups.representatives(ids, sets, run)
        except UsageError:
            if not hidden:
                raise
            message = "no answer is stored for some samples; `merbench groups fill` asks for what is missing"
            raise UsageError(f"groups '{groups.name}', run {run}: {message}") from None
        found.append((with_representatives(sides[0], first), with_representatives(sides[1], first)))
    return tuple(found)


def evaluate(pair: Pair, weights: Weights, confusions: Mapping[str, NDArray[Any]] | None = None) -> Draws:
    """Return `(b,)` values under `(b, n)` weights of every key: the metrics, and `overall` where weights declare it.

    `confusions` are those of the categorical targets under the same weights, where they are at hand already.
    """
    if confusions is None:
        confusions = confusions_of(pair, weights)
    values: Draws = {}
    for spec in pair.track.metrics:
        if spec.per is not None:
            values[spec.key] = _aggregated(pair, spec, weights)
        elif spec.metric.from_confusion is not None:
            found = spec.metric.from_confusion(confusions[spec.target], **parameters_of(pair.track, spec))
            values[spec.key] = checked(spec, found, len(weights))
        else:
            values[spec.key] = _value(pair, spec, weights, None)
    weighted = [(spec.weight, values[spec.key]) for spec in pair.track.metrics if spec.weight is not None]
    if weighted:
        values[OVERALL] = sum((weight * value for weight, value in weighted), np.zeros(len(weights)))
    return values


def _value(pair: Pair, spec: MetricSpec, weights: Weights, within: tuple[str, int] | None) -> NDArray[np.float64]:
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


def _aggregated(pair: Pair, spec: MetricSpec, weights: Weights) -> NDArray[np.float64]:
    """Return a metric's values within every group of a column, put together.

    A group counts in proportion to the mean weight of those of its rows that carry any: once in a plain score and
    under a mask, as often as its cluster is drawn, and not at all where it is left out.
    """
    assert spec.per is not None
    names = pair.levels[spec.per]
    values, shares = np.zeros((len(names), len(weights))), np.zeros((len(names), len(weights)))
    for code in range(len(names)):
        part = pair.part(spec.target, (spec.per, code))
        weighting = weights if part.rows is None else weights[:, part.rows]
        shares[code] = _mean_weight(weighting)
        values[code] = np.where(shares[code] > 0, _value(pair, spec, weights, (spec.per, code)), 0.0)
    if spec.shares is not None:
        return _shared(spec, names, np.where(shares > 0, values, np.nan))
    if spec.aggregate == "auilc":
        return _area(_numbers_of(spec, names), np.where(shares > 0, values, np.nan))
    with np.errstate(invalid="ignore"):
        return np.asarray((values * shares).sum(axis=0) / shares.sum(axis=0))


def _shared(spec: MetricSpec, names: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of share times value over the groups that have a share, `(groups, b)` to `(b,)`."""
    assert spec.shares is not None
    absent = [name for name in spec.shares if name not in names]
    if absent:
        raise UsageError(
            f"{spec.key}: no scored sample has {spec.per} = {listed(absent)}; there are {listed(list(names))}"
        )
    found = np.zeros(values.shape[1])
    for name, share in spec.shares.items():
        found = found + share * values[names.index(name)]
    return found


def _mean_weight(weights: Weights) -> NDArray[np.float64]:
    total, carrying = weighted_sum(weights, np.ones(weights.shape[1])), _carrying(weights)
    return np.asarray(total / np.maximum(carrying, 1))


def _carrying(weights: Weights) -> NDArray[np.float64]:
    """Return the number of rows that carry weight, `(b,)`."""
    if isinstance(weights, Clustered):
        return weighted_sum(Clustered((weights.counts > 0).view(np.uint8), weights.clusters), np.ones(weights.shape[1]))
    return np.asarray(np.count_nonzero(weights, axis=1), dtype=np.float64)


def _area(at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under the line through the values, by the trapezoidal rule: `(groups, b)` to `(b,)`."""
    order = np.argsort(at, kind="stable")
    steps = np.round(np.diff(at[order]), 10)[:, None]
    return np.asarray((steps * (values[order][1:] + values[order][:-1]) / 2).sum(axis=0))


def _numbers_of(spec: MetricSpec, names: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(name) for name in names])
    except ValueError:
        raise UsageError(
            f"{spec.key}: the area under a line needs a column of numbers; '{spec.per}' holds {listed(list(names))}"
        ) from None


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
    both = a.beside(b)
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
            why = _why_undefined(pair, spec) if np.isnan(plain[spec.key]) else "it is beyond the range of numbers"
            raise UndefinedMetric(f"{spec.key} has no value on these {plural(pair.n, 'reference')}: {why}")
    return plain


def _why_undefined(pair: Pair, spec: MetricSpec) -> str:
    """Return why a metric has no value: of scores, the class without a reference; else what its author says."""
    target = pair.track.targets[spec.target]
    if isinstance(target, ScoresTarget):
        held = pair.part(spec.target).reference
        for code, label in enumerate((target.negative, target.positive)):
            if not (held == code).any():
                return f"no reference is '{label}'"
    return spec.metric.undefined


def ones(pair: Pair) -> NDArray[np.uint8]:
    """Return the one weighting under which every row counts once."""
    return np.ones((1, pair.n), dtype=np.uint8)


def confusions_of(pair: Pair, weights: Weights) -> dict[str, NDArray[Any]]:
    """Return the confusion of every categorical target under the weights."""
    found = {}
    for name, target in categorical_targets(pair.track):
        part = pair.part(name)
        weighting = weights if part.rows is None else weights[:, part.rows]
        found[name] = confusion(part.reference, part.prediction, weighting, n_labels=len(target.labels))
    return found


def with_classes(pair: Pair, weights: Weights) -> Draws:
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


def categorical_targets(track: Track) -> Iterator[tuple[str, Vocabulary]]:
    """Yield the targets of a track that have a confusion, by name."""
    for name, target in track.targets.items():
        if isinstance(target, Vocabulary):
            yield name, target


def parameters_of(track: Track, spec: MetricSpec) -> dict[str, Any]:
    """Return a metric's parameters, with the name of a label resolved to its code."""
    parameters = dict(spec.parameters)
    labels = getattr(track.targets[spec.target], "labels", ())
    if "label" in parameters and labels:
        parameters["label"] = labels.index(parameters["label"])
    return parameters


def _hashable(value: Any) -> Hashable:
    """Return what tells a parameter's value from another: itself, or its identity."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, Hashable) else id(value)


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
