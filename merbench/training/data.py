"""The candidates of a split and names of features go in, arrays in memory come out; a model's outputs become answers.

Conventions:
    Samples are in the order of sorted ids; every array has one row per sample. Features are `(n, d)` float32; frames
    have been averaged. Targets are int32 codes of the declared labels, float64 numbers, or sets of words. Outputs are
    float64: `(n, K)` probabilities of the labels of a categorical target, `(n,)` values of a continuous one; sets of
    words are answered as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, candidate_column
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Lists, Values, concatenated
from merbench.resampling import cluster_codes
from merbench.track import Track
from merbench.training.labels import LearnedLabels, damaged_labels

Rows = NDArray[np.int64]
Names = NDArray[np.str_]

CLUSTERS = ("speaker", "dialogue")
"""Corpus columns whose values folds keep together where the track declares no cluster."""

N_STRATA = 5
"""Number of equal parts into which the values of a continuous target are divided, so that folds are alike in it."""


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What a baseline sees of some samples.

    Attributes:
        ids: sorted sample ids.
        features: one `(n, d)` array per feature, in the order asked for.
        columns: columns of the corpus that were asked for, such as the transcript.
    """

    ids: pa.StringArray = field(repr=False)
    features: Mapping[str, NDArray[np.float32]] = field(repr=False)
    columns: Mapping[str, pa.Array] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_values(self) -> int:
        """Number of values of all features of all samples."""
        return sum(x.size for x in self.features.values())

    def select(self, rows: Rows) -> FeatureSet:
        """Return some of the samples."""
        taken = pa.array(rows)
        return FeatureSet(
            self.ids.take(taken),
            {name: x[rows] for name, x in self.features.items()},
            {name: column.take(taken) for name, column in self.columns.items()},
        )


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples with their references.

    Attributes:
        track: what is predicted, and how it is ranked.
        samples: the features of the samples.
        targets: the references of every target of the track.
        damage: what was done to the labels, and what it came to; empty without damage.
        groups: by corpus column that a metric is taken `per`, `(n,)` values as text; a column that is not known of all
            samples is left out.
        cluster: the corpus column whose values folds keep together; empty where there is none.
        clusters: `(n,)` codes of its values.
    """

    track: Track
    samples: FeatureSet
    targets: Mapping[str, Any] = field(repr=False)
    damage: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Names] = field(default_factory=dict, repr=False)
    cluster: str = ""
    clusters: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64), repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def features(self) -> Mapping[str, NDArray[np.float32]]:
        """The features of the samples."""
        return self.samples.features

    def select(self, rows: Rows) -> TrainingSet:
        """Return some of the samples."""
        return replace(
            self,
            samples=self.samples.select(rows),
            targets={name: values[rows] for name, values in self.targets.items()},
            groups={name: values[rows] for name, values in self.groups.items()},
            clusters=self.clusters[rows] if self.cluster else self.clusters,
        )

    @property
    def folds_by(self) -> str:
        """The column whose values folds keep together; empty where samples are assigned one by one."""
        return self.cluster if self.n_clusters > 1 else ""

    @property
    def n_clusters(self) -> int:
        """Number of values that folds keep together."""
        return len(np.unique(self.clusters))

    def n_folds(self, wanted: int) -> int:
        """Return how many folds there are where so many are wanted: never more than values that stay together."""
        return min(wanted, self.n_clusters) if self.folds_by else wanted

    def described_folds(self, wanted: int) -> dict[str, Any]:
        """Return how cross-validation divides the samples, as a run record stores it."""
        by = {"by": self.folds_by, "n_clusters": self.n_clusters} if self.folds_by else {"by": None}
        return {"n_folds": self.n_folds(wanted), "n_folds_asked": wanted, **by}

    def folds(self, n_folds: int, seed: int) -> Rows:
        """Return the fold 0 … n_folds - 1 of every sample.

        A speaker on both sides of a fold would make cross-validated values too good: samples of one cluster share a
        fold (`grouped_folds`). Without clusters, samples are assigned one by one (`random_folds`).

        Args:
            n_folds: number of folds, at most `self.n_folds(n_folds)`.
            seed: seed of the draw; folds of clusters are the same for every seed.

        Raises:
            UsageError: there are fewer than two folds, or more folds than samples or clusters.
        """
        if self.folds_by:
            return grouped_folds(self.clusters, _strata(self.targets, len(self)), n_folds)
        return random_folds(len(self), n_folds, seed)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a baseline says of every sample.

    Attributes:
        outputs: per categorical or continuous target, `(n, K)` probabilities or `(n,)` values.
        sets: per target that is a set of words, the words.
    """

    outputs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    sets: Mapping[str, Lists] = field(default_factory=dict, repr=False)

    def answers(self, track: Track) -> dict[str, Values]:
        """Return the most probable label's code (ties: the first one), the value within the range, or the set."""
        return {
            name: target.answer((self.outputs if target.loss else self.sets)[name])
            for name, target in track.targets.items()
        }

    @classmethod
    def gathered(cls, parts: Sequence[tuple[Rows, Predictions]]) -> Predictions:
        """Return predictions for all rows from those for parts of them."""
        rows = np.concatenate([part for part, _ in parts])
        order = np.argsort(rows)
        first = parts[0][1]
        return cls(
            {name: np.concatenate([said.outputs[name] for _, said in parts])[order] for name in first.outputs},
            {name: reduce(concatenated, [said.sets[name] for _, said in parts])[order] for name in first.sets},
        )


def feature_set(candidates: Candidates, names: Sequence[str], columns: Sequence[str] = ()) -> FeatureSet:
    """Return the features of all candidates of a split, and columns of the corpus.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature says nothing of some candidates; they are listed. The corpus has no such column.
    """
    return _features(candidates, candidates.ids, names, columns)


def training_set(candidates: Candidates, names: Sequence[str], columns: Sequence[str] = ()) -> TrainingSet:
    """Return the features of those samples of a split that hold a reference of every target, with their references.

    Raises:
        UnknownName: the corpus has no feature of a name.
        UsageError: a feature says nothing of some samples; they are listed. The corpus has no such column. No sample
            holds a reference of every target.
        WithheldReference: no reference of the split is held.
    """
    learned = answered(candidates)
    ids = candidates.ids.take(pa.array(learned.rows))
    cluster, clusters = _clusters(candidates, learned.rows)
    return TrainingSet(
        track=candidates.track,
        samples=_features(candidates, ids, names, columns),
        targets=learned.values,
        damage=learned.damage,
        groups=_groups(candidates, learned.rows),
        cluster=cluster,
        clusters=clusters,
    )


def _groups(candidates: Candidates, rows: Rows) -> dict[str, Names]:
    """Return the columns that metrics are computed `per`; a column unknown for some of these samples is left out."""
    wanted = dict.fromkeys(spec.per for spec in candidates.track.metrics if spec.per is not None)
    known = {name: _column(candidates, name, rows) for name in wanted}
    return {name: np.array(values, dtype=np.str_) for name, values in known.items() if values and None not in values}


def _clusters(candidates: Candidates, rows: Rows) -> tuple[str, Rows]:
    """Return the first column that has two values or more, and their codes; a sample without one is a cluster."""
    for name in dict.fromkeys([candidates.track.intervals.cluster or CLUSTERS[0], *CLUSTERS]):
        values = _column(candidates, name, rows)
        if len(set(values)) > 1:
            return name, cluster_codes([f"#{i}" if value is None else f"={value}" for i, value in enumerate(values)])
    return "", np.empty(0, dtype=np.int64)


def _column(candidates: Candidates, name: str, rows: Rows) -> list[str | None]:
    """Return what the corpus knows of some candidates; an empty list without such a column."""
    if name not in candidates.samples.column_names:
        return []
    values = candidates.samples[name].combine_chunks().take(pa.array(rows)).to_pylist()
    return [None if value is None else str(value) for value in values]


def _strata(targets: Mapping[str, Any], n: int) -> Rows:
    """Return the strata of folds: the labels of the first target that has some, else fifths of its values."""
    arrays = [values for values in targets.values() if isinstance(values, np.ndarray) and values.ndim == 1]
    for values in sorted(arrays, key=lambda values: values.dtype.kind == "f"):
        if values.dtype.kind == "f":
            edges = np.quantile(values, np.arange(1, N_STRATA) / N_STRATA)
            return np.searchsorted(edges, values, side="right").astype(np.int64)
        return values.astype(np.int64)
    return np.zeros(n, dtype=np.int64)


def answered(candidates: Candidates) -> LearnedLabels:
    """Return which candidates hold a reference of every target, and these references.

    Labels of a training split are damaged where the track declares it; a long tail leaves samples out.

    Raises:
        UsageError: there is no such sample; the labels cannot be damaged as declared.
        WithheldReference: no reference of the split is held.
    """
    references = candidates.references
    held = np.ones(len(references), dtype=np.bool_)
    for mask in references.known.values():
        held &= mask
    rows = np.flatnonzero(held)
    if not len(rows):
        raise UsageError(f"no sample of split '{candidates.split}' holds a reference of every target")
    whole = {name: column[rows] for name, column in references.values.items()}
    learned = damaged_labels(candidates.track, candidates.split, whole)
    return replace(learned, rows=references.index[rows[learned.rows]])


def _features(candidates: Candidates, ids: pa.StringArray, names: Sequence[str], columns: Sequence[str]) -> FeatureSet:
    rows = pc.index_in(ids, value_set=candidates.ids)
    read = {name: candidate_column(candidates, name, "that a baseline reads").take(rows) for name in columns}
    return FeatureSet(ids, {name: _vectors(candidates, name, ids) for name in names}, read)


def _vectors(candidates: Candidates, name: str, ids: pa.StringArray) -> NDArray[np.float32]:
    feature = candidates.corpus.feature(name)
    vectors: NDArray[np.float32] = pooled(feature)[feature_rows(candidates, name, feature, ids)]
    return vectors


def feature_rows(candidates: Candidates, name: str, feature: Feature, ids: pa.StringArray) -> Rows:
    """Return where samples of a split stand in a feature; raise `UsageError` when it says nothing of some."""
    found = pc.index_in(ids, value_set=feature.ids)
    if found.null_count:
        missing = ids.filter(found.is_null()).to_pylist()
        raise UsageError(
            f"corpus '{candidates.corpus.name}': feature '{name}' says nothing of {len(missing):,} of {len(ids):,} "
            f"samples of split '{candidates.split}': {listed(missing)}"
        )
    return np.asarray(found, dtype=np.int64)


def pooled(feature: Feature) -> NDArray[np.float32]:
    """Return one vector per sample: its own, or the mean of its frames (zeros where it has none)."""
    if feature.offsets is None:
        return feature.values
    counts = np.diff(feature.offsets)
    sums = np.zeros((len(feature), feature.width))
    np.add.at(sums, np.repeat(np.arange(len(feature)), counts), feature.values)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def random_folds(n: int, n_folds: int, seed: int) -> Rows:
    """Return a fold 0 … n_folds - 1 for each of n samples, drawn from raw bits: sizes differ by one at most.

    Raises:
        UsageError: there are fewer than two folds, or more folds than samples.
    """
    if not 2 <= n_folds <= n:
        raise UsageError(f"{n_folds} folds of {n:,} training samples; needed are at least 2 folds and a sample in each")
    key = hashlib.sha256(f"folds|{seed}".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(key[:16], "little")).random_raw(n)
    folds = np.empty(n, dtype=np.int64)
    folds[np.argsort(bits, kind="stable")] = np.arange(n) % n_folds
    return folds


def grouped_folds(clusters: Rows, strata: Rows, n_folds: int) -> Rows:
    """Return a fold 0 … n_folds - 1 for each sample: those of a cluster in one fold, strata spread evenly.

    The greedy rule of scikit-learn's `StratifiedGroupKFold` without shuffling, which a baseline that needs no
    scikit-learn has, too: clusters, those of the most uneven strata first, go where the shares of the strata differ
    least between folds; of equals, where there are fewest samples.

    Args:
        clusters: `(n,)` codes.
        strata: `(n,)` codes.
        n_folds: number of folds.

    Raises:
        UsageError: there are fewer than two folds, or more folds than clusters.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    if not 2 <= n_folds <= len(names):
        raise UsageError(
            f"{n_folds} folds of {len(names):,} clusters; needed are at least 2 folds and a cluster in each"
        )
    kinds, stratum = np.unique(strata, return_inverse=True)
    counts = np.zeros((len(names), len(kinds)))
    np.add.at(counts, (cluster, stratum), 1)
    spread, size = counts.std(axis=1), counts.sum(axis=1)
    totals, sizes = np.zeros((n_folds, len(kinds))), np.zeros(n_folds)
    of_cluster = np.empty(len(names), dtype=np.int64)
    counts /= counts.sum(axis=0)
    for place in np.argsort(-spread, kind="stable"):
        # Variances of the shares between folds, once for each fold that the cluster may go into: their means are equal.
        squares = np.square(totals).sum(axis=0) + np.square(totals + counts[place]) - np.square(totals)
        mean = (totals.sum(axis=0) + counts[place]) / n_folds
        unevenness = np.sqrt(np.maximum(squares / n_folds - np.square(mean), 0)).mean(axis=1)
        equals = unevenness <= unevenness.min() + 1e-9  # not decided by the last bits of a sum
        fold = np.where(equals, sizes, np.inf).argmin()
        totals[fold] += counts[place]
        sizes[fold] += size[place]
        of_cluster[place] = fold
    return np.asarray(of_cluster[cluster], dtype=np.int64)
