"""A read submission goes in, the rows that are scored come out: references beside predictions, target by target.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids; values are those of `merbench.metrics.metric`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import UsageError
from merbench.lexicon import open_lexicon
from merbench.metrics.label_set import with_representatives
from merbench.metrics.lists import Lists, Values, concatenated
from merbench.scoring.breakdown import UNKNOWN, Grouping, grouping_of
from merbench.submission import Submission
from merbench.synonyms import Groups, open_groups
from merbench.track import OVERALL, MetricSpec, Track, metric_labels

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


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
        group_digests: by such a target, SHA-256 of the answers that were used.
    """

    track: Track
    reference: Mapping[str, Values]
    prediction: Mapping[str, Values]
    held: Mapping[str, Mask] = field(default_factory=dict)
    groups: Mapping[str, Codes] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    grouped: Mapping[str, tuple[tuple[Lists, Lists], ...]] = field(default_factory=dict)
    ungrouped: Mapping[str, int] = field(default_factory=dict)
    group_digests: Mapping[str, str] = field(default_factory=dict)
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(next(iter(self.reference.values())))

    def n_scored(self, target: str) -> int:
        """Return the number of rows that count for a target."""
        return int(self.held[target].sum()) if target in self.held else self.n

    @property
    def n_counting(self) -> int:
        """Number of rows that count for some target."""
        if any(name not in self.held for name in self.reference):
            return self.n
        return int(np.logical_or.reduce(list(self.held.values())).sum())

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

    def beside(self, others: Sequence[Pair]) -> Pair:
        """Return the rows of this pair, then those of other systems on the same samples, system by system."""
        systems = [self, *others]
        names = {name for system in systems for name in system.held}
        everywhere = np.ones(self.n, dtype=np.bool_)
        return replace(
            self,
            reference={name: concatenated(*[values] * len(systems)) for name, values in self.reference.items()},
            prediction={name: concatenated(*(each.prediction[name] for each in systems)) for name in self.prediction},
            held={name: np.concatenate([each.held.get(name, everywhere) for each in systems]) for name in names},
            groups={name: np.tile(codes, len(systems)) for name, codes in self.groups.items()},
            grouped={
                name: tuple(
                    (concatenated(*(true for true, _ in run)), concatenated(*(predicted for _, predicted in run)))
                    for run in zip(*(each.grouped[name] for each in systems), strict=True)
                )
                for name in self.grouped
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

    def codes(self, target: str) -> Part:
        """Return what is scored of a target as codes of its labels; of ranked answers that is the first."""
        part = self.part(target)
        if not isinstance(part.reference, Lists):
            return part
        return Part(part.reference.first(), part.prediction.first(), part.rows)

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
            supplied["n_labels"] = len(target.scored_labels)
        if "lexicon" in spec.metric.supplied:
            name = target.lexicon_name or ""
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
    _require_known(groupings, track, len(rows))
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
        {name: groups.used_digest(ids, sets[name]) for name, groups in stores.items()},
    )


def _require_known(groupings: Mapping[str, Grouping], track: Track, n: int) -> None:
    """Raise where a column that a metric is taken within is not known of every scored sample."""
    for name, grouping in groupings.items():
        if UNKNOWN in grouping.names:
            missing = len(grouping.rows[grouping.names.index(UNKNOWN)])
            labels = zip(metric_labels(track.metrics), track.metrics, strict=True)
            needed = next(label for label, spec in labels if spec.per == name)
            message = f"column '{name}' is not known of {missing:,} of {n:,} scored samples"
            raise UsageError(f"corpus '{track.corpus}': {message}, and {needed} is taken within its values")


def groups_of(track: Track) -> dict[str, Groups]:
    """Return the stored groups of synonyms that targets of a track name."""
    return {
        name: open_groups(target.groups_name, relative_to=track.folder)
        for name, target in track.targets.items()
        if target.groups_name is not None
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


def with_confusion(track: Track) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the targets of a track that have a confusion matrix, by name, with its labels."""
    for name, target in track.targets.items():
        if target.confusion_labels:
            yield name, target.confusion_labels


def _hashable(value: Any) -> Hashable:
    """Return what tells a parameter's value from another: itself, or its identity."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, Hashable) else id(value)


def only(track: Track, key: str) -> Track:
    """Return the track with no more metrics than a key needs."""
    needed = [spec for spec in track.metrics if (spec.weight is not None if key == OVERALL else spec.key == key)]
    return track.model_copy(update={"metrics": tuple(needed)})
