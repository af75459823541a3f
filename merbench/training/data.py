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
from merbench.track import CategoricalTarget, ContinuousTarget, Track
from merbench.training.labels import LearnedLabels, damaged_labels

Rows = NDArray[np.int64]


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
    """

    track: Track
    samples: FeatureSet
    targets: Mapping[str, Any] = field(repr=False)
    damage: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def features(self) -> Mapping[str, NDArray[np.float32]]:
        """The features of the samples."""
        return self.samples.features

    def select(self, rows: Rows) -> TrainingSet:
        """Return some of the samples."""
        targets = {name: values[rows] for name, values in self.targets.items()}
        return TrainingSet(self.track, self.samples.select(rows), targets, self.damage)


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
        found: dict[str, Values] = {}
        for name, target in track.targets.items():
            match target:
                case CategoricalTarget():
                    found[name] = self.outputs[name].argmax(1).astype(np.int32)
                case ContinuousTarget():
                    low, high = target.range or (-np.inf, np.inf)
                    found[name] = self.outputs[name].clip(low, high)
                case _:
                    found[name] = self.sets[name]
        return found

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
    return TrainingSet(candidates.track, _features(candidates, ids, names, columns), learned.values, learned.damage)


def answered(candidates: Candidates) -> LearnedLabels:
    """Return which candidates hold a reference of every target, and these references.

    Labels of a training split are damaged where the track declares it; a long tail leaves samples out.

    Raises:
        UsageError: there is no such sample; the labels cannot be damaged as declared.
        WithheldReference: no reference of the split is held.
    """
    references = candidates.references
    held = np.ones(len(references), dtype=np.bool_)
    for mask in references.held.values():
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
