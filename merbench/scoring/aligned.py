"""What a caller names becomes aligned values: references and predictions of the scored samples, target by target.

Conventions:
    Rows are the scored samples, in the order of sorted sample ids; values are those of `merbench.metrics.metric`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, candidate_column, open_candidates
from merbench.corpus.declaration import FILE_NAME
from merbench.errors import UsageError
from merbench.files.paths import data_home
from merbench.files.reading import Stamp, stamp
from merbench.lexicon import open_lexicon
from merbench.metrics.distribution import normalised
from merbench.metrics.label_set import with_representatives
from merbench.metrics.lists import Lists, Values, concatenated
from merbench.submission import Submission, read_submission
from merbench.synonyms import Groups, open_groups
from merbench.track import MetricSpec, Track, find_track, load_track, metric_labels

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pa.Table | pd.DataFrame | Submission

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
T = TypeVar("T")

Within = tuple[str, int]
"""A column and the code of one of its values."""

MOST_GROUPS = 200
"""The largest number of groups that a breakdown shows."""

UNKNOWN = "(none)"
"""The group of samples for which a column has no value."""

BINNED_ABOVE = 10
"""A numeric column with more distinct values than this is binned into quarters of the samples."""


class _Opened(NamedTuple):
    """Candidates opened from files, and what shows whether those are still the same files."""

    key: tuple[Path, str, Path]
    stamp: Stamp
    candidates: Candidates


_last: _Opened | None = None


def candidates_of(track: str | Path | Track | Candidates, split: str) -> Candidates:
    """Return the candidates of a track that is named, loaded or opened.

    The last track that was named stays open while none of its files changes, so that scoring one file after the other
    reads and verifies the references only once.
    """
    global _last
    if isinstance(track, Candidates):
        return track
    if isinstance(track, Track):
        return open_candidates(track, split)
    folder = find_track(track)
    key = (folder.resolve(), split, data_home())
    if _last is not None and _last.key == key and _last.stamp == _stamp(folder, _last.candidates):
        return _last.candidates
    candidates = open_candidates(load_track(folder), split)
    now = _stamp(folder, candidates)
    _last = _Opened(key, now, candidates) if now is not None else None
    return candidates


def _stamp(folder: Path, candidates: Candidates) -> Stamp | None:
    """Return what changes when a file of the track or its tables does; None while one of them is too new to say."""
    corpus = candidates.corpus
    tables = [name for name in corpus.declaration.files if "/" not in name]
    return stamp([folder / "track.toml", corpus.folder / FILE_NAME, *(corpus.folder / name for name in tables)])


def read_for(candidates: Candidates, submission: Source, rename: Mapping[str, str] | None = None) -> Submission:
    """Return a submission, read for these candidates; one that was read for others is a `UsageError`."""
    if not isinstance(submission, Submission):
        return read_submission(submission, candidates, rename=rename)
    theirs = submission.candidates
    if (theirs.track.key, theirs.split) != (candidates.track.key, candidates.split):
        raise UsageError(
            f"the submission was read for {theirs.track.key}, split {theirs.split}; "
            f"this is {candidates.track.key}, split {candidates.split}"
        )
    return submission


@dataclass(frozen=True, eq=False, slots=True)
class Grouping:
    """A corpus column as groups of scored rows: its name, the groups' names, the group of every row."""

    column: str
    names: tuple[str, ...]
    codes: Codes

    def rows(self) -> list[Codes]:
        """Return the rows of every group."""
        return [np.flatnonzero(self.codes == code) for code in range(len(self.names))]


def grouping_of(candidates: Candidates, column: str, *, binned: bool = True) -> Grouping:
    """Return the groups of a column: its values in order, or quarters of the samples where it is continuous.

    Without `binned` every value is a group, however many there are, as metrics within the values of a column need it.
    """
    values = scored_column(candidates, column, "to break down by" if binned else "to take a metric within")
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise UsageError(f"column '{column}' contains {values.type}: a breakdown needs text or numbers")
    distinct = values.drop_null().unique()
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if binned and numeric and len(distinct) > BINNED_ABOVE:
        codes, names = _quarters(values.cast(pa.float64()).to_numpy(zero_copy_only=False))
    else:
        distinct = distinct.take(pc.sort_indices(distinct))
        if binned and len(distinct) > MOST_GROUPS:
            raise UsageError(
                f"column '{column}' has {len(distinct):,} different values; a breakdown shows {MOST_GROUPS}"
            )
        codes = pc.fill_null(pc.index_in(values, value_set=distinct), -1).to_numpy(zero_copy_only=False)
        names = [str(value) for value in distinct.to_pylist()]
    if (codes < 0).any():
        codes, names = np.where(codes < 0, len(names), codes), [*names, UNKNOWN]
    return Grouping(column, tuple(names), codes.astype(np.int64))


def _quarters(numbers: NDArray[np.float64]) -> tuple[Codes, list[str]]:
    """Return the quarter of every number, -1 without one, and the quarters' names."""
    ordered = np.sort(numbers[~np.isnan(numbers)])
    edges = np.unique(ordered[[len(ordered) * i // 4 for i in range(4)]])
    codes = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right") - 1)
    ends = zip(edges, [*edges[1:], ordered[-1]], strict=True)
    return codes, [f"[{low:g}, {high:g}{']' if i == len(edges) - 1 else ')'}" for i, (low, high) in enumerate(ends)]


def scored_column(candidates: Candidates, column: str, use: str) -> pa.Array:
    """Return a corpus column of the scored rows; `use` says in messages what it is needed for."""
    return candidate_column(candidates, column, use).take(pa.array(candidates.references.index))


class Part(NamedTuple):
    """What is scored of one target: references and predictions of its rows; `rows` is None if those are all."""

    reference: Any
    prediction: Any
    rows: Codes | None


@dataclass(frozen=True, eq=False, slots=True)
class Synonyms:
    """Stored groups of synonyms applied to a target."""

    # for every run of the model that grouped the words, both sides with representatives in place of words
    runs: tuple[tuple[Lists, Lists], ...]
    n_ungrouped: int  # how many words of samples are in none of the groups
    digest: str  # SHA-256 of the answers that were used

    def taken(self, rows: Codes) -> Synonyms:
        """Return the synonyms of some of the rows."""
        return replace(self, runs=tuple((true[rows], predicted[rows]) for true, predicted in self.runs))


@dataclass(frozen=True, eq=False)
class Aligned:
    """References and predictions of the scored rows of one submission, aligned."""

    track: Track
    reference: Mapping[str, Values]  # values of every target
    prediction: Mapping[str, Values]  # values of every target
    # by target, the rows that count for it; a target that is not named counts in all of them
    counting: Mapping[str, Mask] = field(default_factory=dict)
    groupings: Mapping[str, Grouping] = field(default_factory=dict)  # the corpus columns that metrics are taken `per`
    # by target, the stored groups of synonyms applied to it
    synonyms: Mapping[str, Synonyms] = field(default_factory=dict)
    # by target, `(n, K)` probabilities of its labels; not a number in a row without
    probabilities: Mapping[str, Floats] = field(default_factory=dict)
    votes: Mapping[str, Codes] = field(default_factory=dict)  # by target, `(n, K)` votes for its labels
    detailed: bool = False  # whether probabilities and votes are wanted that no metric of the track needs
    _computed: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(next(iter(self.reference.values())))

    def n_scored(self, target: str) -> int:
        """Return the number of rows that count for a target."""
        return int(self.counting[target].sum()) if target in self.counting else self.n

    @property
    def n_counting(self) -> int:
        """Number of rows that count for some target."""
        if any(name not in self.counting for name in self.reference):
            return self.n
        return int(np.logical_or.reduce(list(self.counting.values())).sum())

    def select(self, rows: Codes) -> Aligned:
        """Return some of the rows."""
        return _combined([self], lambda parts: parts[0][rows])

    def beside(self, others: Sequence[Aligned]) -> Aligned:
        """Return these rows, then those of other systems on the same samples, system by system."""
        return _combined([self, *others], lambda parts: concatenated(*parts))

    def part(self, target: str, within: Within | None = None) -> Part:
        """Return what is scored of a target; `within` asks for only one group of a column."""
        return self.once(("part", target, within), lambda: self._part(target, within))

    def _part(self, target: str, within: Within | None) -> Part:
        mask = self.counting.get(target)
        if within is not None:
            inside = self.groupings[within[0]].codes == within[1]
            mask = inside if mask is None else mask & inside
        if mask is None or mask.all():
            return Part(self.reference[target], self.prediction[target], None)
        rows = np.flatnonzero(mask)
        return Part(self.reference[target][rows], self.prediction[target][rows], rows)

    def part_of(self, spec: MetricSpec, within: Within | None = None) -> Part:
        """Return what a metric scores: values of its target, or labels as distributions next to their probabilities."""
        part = self.part(spec.target, within)
        if spec.metric.target != "distribution" or np.asarray(part.reference).ndim == 2:
            return part
        return self.once(("distribution", spec.target, within), lambda: self._distributions(spec.target, part))

    def _distributions(self, target: str, part: Part) -> Part:
        table = self.probabilities[target]
        rows = np.arange(self.n) if part.rows is None else part.rows
        given = np.isfinite(table[rows]).all(axis=1)
        reference = np.zeros((int(given.sum()), table.shape[1]))
        reference[np.arange(len(reference)), part.reference[given]] = 1
        return Part(reference, normalised(table[rows[given]]), None if len(table) == len(reference) else rows[given])

    def codes(self, target: str) -> Part:
        """Return what is scored of a target as codes of its labels; of ranked answers that is the first."""
        part = self.part(target)
        if not isinstance(part.reference, Lists):
            return part
        return Part(part.reference.first(), part.prediction.first(), part.rows)

    def prepared(self, spec: MetricSpec, parameters: Mapping[str, Any], within: Within | None) -> Any:
        """Return what a metric needs of a target under any weights; metrics that need the same share it."""
        metric, part = spec.metric, self.part_of(spec, within)
        prepare, given = metric.prepare, metric.preparing(parameters)
        assert prepare is not None
        key = (prepare, spec.target, within, *((name, _hashable(given[name])) for name in sorted(given)))
        return self.once(key, lambda: prepare(part.reference, part.prediction, **given))

    def supplied(self, spec: MetricSpec, within: Within | None) -> dict[str, Any]:
        """Return what a metric takes from its target: the number of labels, the lexicon, grouped synonyms."""
        target, supplied = self.track.targets[spec.target], dict[str, Any]()
        if "grouped" in spec.metric.supplied and spec.target in self.synonyms:
            synonyms, rows = self.synonyms[spec.target], self.part(spec.target, within).rows
            key = ("grouped", spec.target, within)
            supplied["grouped"] = self.once(key, lambda: (synonyms if rows is None else synonyms.taken(rows)).runs)
        if "n_labels" in spec.metric.supplied:
            supplied["n_labels"] = len(target.scored_labels)
        if "lexicon" in spec.metric.supplied:
            name = target.lexicon_name or ""
            supplied["lexicon"] = self.once(("lexicon", name), lambda: open_lexicon(name))
        return supplied

    def once(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what `compute` returns, which is computed once for a key."""
        if key not in self._computed:
            self._computed[key] = compute()
        value: T = self._computed[key]
        return value


def _combined(systems: Sequence[Aligned], combine: Callable[[Sequence[Any]], Any]) -> Aligned:
    """Return what `combine` makes of the rows of all systems, value by value."""
    everywhere = np.ones(systems[0].n, dtype=np.bool_)
    counting = dict.fromkeys(name for system in systems for name in system.counting)

    def codes(name: str) -> Codes:
        return combine([system.groupings[name].codes for system in systems])  # type: ignore[no-any-return]

    def runs(name: str) -> tuple[tuple[Lists, Lists], ...]:
        pairs = zip(*(system.synonyms[name].runs for system in systems), strict=True)
        return tuple((combine([true for true, _ in pair]), combine([answer for _, answer in pair])) for pair in pairs)

    return replace(
        systems[0],
        reference={name: combine([each.reference[name] for each in systems]) for name in systems[0].reference},
        prediction={name: combine([each.prediction[name] for each in systems]) for name in systems[0].prediction},
        counting={name: combine([each.counting.get(name, everywhere) for each in systems]) for name in counting},
        groupings={name: replace(each, codes=codes(name)) for name, each in systems[0].groupings.items()},
        synonyms={name: replace(each, runs=runs(name)) for name, each in systems[0].synonyms.items()},
        probabilities={
            name: combine([each.probabilities[name] for each in systems])
            for name in systems[0].track.scored_by_probabilities
        },
        votes={},
        detailed=False,
    )


def align(read: Submission, *, detailed: bool = False) -> Aligned:
    """Return the scored rows of a submission next to their references.

    With `detailed` also what no metric of the track needs: all probabilities and, where nothing is hidden, votes.
    """
    candidates, track = read.candidates, read.candidates.track
    references = candidates.references
    rows = references.index
    counting = dict(references.known)
    for name, dropped in read.dropped.items():
        counting[name] = counting.get(name, np.ones(len(rows), dtype=np.bool_)) & ~dropped[rows]
    columns = sorted({spec.per for spec in track.metrics if spec.per is not None})
    groupings = {name: grouping_of(candidates, name, binned=False) for name in columns}
    _require_known(groupings, track)
    prediction = {name: values[rows] for name, values in read.values.items()}
    stores = groups_of(track)
    ids = candidates.ids.take(pa.array(rows)).to_pylist() if stores else []
    synonyms = {
        name: _synonyms(groups, ids, (references.values[name], prediction[name]), candidates.hidden)
        for name, groups in stores.items()
    }
    chances = read.probabilities if detailed else track.scored_by_probabilities
    probabilities = {name: read.probabilities[name][rows] for name in chances}
    votes = references.votes if detailed and not candidates.hidden else {}
    return Aligned(track, references.values, prediction, counting, groupings, synonyms, probabilities, votes, detailed)


def _require_known(groupings: Mapping[str, Grouping], track: Track) -> None:
    """Raise where a column that a metric is taken within has no value for a scored sample."""
    for name, grouping in groupings.items():
        if UNKNOWN in grouping.names:
            n_missing = int((grouping.codes == grouping.names.index(UNKNOWN)).sum())
            labels = zip(metric_labels(track.metrics), track.metrics, strict=True)
            metric = next(label for label, spec in labels if spec.per == name)
            raise UsageError(
                f"corpus '{track.corpus}': column '{name}' has no value for {n_missing:,} of {len(grouping.codes):,} "
                f"scored samples, and {metric} is taken within its values"
            )


def groups_of(track: Track) -> dict[str, Groups]:
    """Return the stored groups of synonyms that targets of a track name."""
    return {
        name: open_groups(target.groups_name, relative_to=track.folder)
        for name, target in track.targets.items()
        if target.groups_name is not None
    }


def _synonyms(groups: Groups, ids: Sequence[str], sides: tuple[Values, Values], hidden: bool) -> Synonyms:
    """Return both sides with representatives in place of words; for a hidden split, no message names a sample."""
    assert isinstance(sides[0], Lists) and isinstance(sides[1], Lists)
    words = list(zip(sides[0], sides[1], strict=True))
    reference, prediction = Lists.of([own for own, _ in words]), Lists.of([theirs for _, theirs in words])
    runs = []
    for run in range(len(groups.runs)):
        try:
            first = groups.representatives(ids, words, run)
        except UsageError:
            if not hidden:
                raise
            message = "no answer is stored for some samples; `merbench groups fill` asks for what is missing"
            raise UsageError(f"groups '{groups.name}', run {run}: {message}") from None
        runs.append((with_representatives(reference, first), with_representatives(prediction, first)))
    return Synonyms(tuple(runs), groups.ungrouped(ids, words), groups.used_digest(ids, words))


def with_confusion(track: Track) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the targets of a track that have a confusion matrix, by name, with its labels."""
    for name, target in track.targets.items():
        if target.confusion_labels:
            yield name, target.confusion_labels


def _hashable(value: Any) -> Hashable:
    """Return what identifies the value of a parameter: itself, or its identity."""
    return tuple(value) if isinstance(value, list) else value if isinstance(value, Hashable) else id(value)
