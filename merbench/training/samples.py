"""What a baseline is given: the features of some samples, their dialogues, and, to learn from, their references.

Conventions:
    Samples are in the order of sorted ids; every array about them has one row per sample. Feature values are float32
    and stay where they are stored, in a file that is mapped into memory or in an array: `Sequences` point to rows of
    them. A sample that lacks a feature has no rows. Targets are int32 codes of the declared labels, `(n, K)` float64
    shares of them, float64 numbers, or sets of words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.files.reading import sha256_bytes
from merbench.track import Selection, Track
from merbench.training.folds import grouped_folds, kept_together, random_folds, strata

Rows = NDArray[np.int64]
Names = NDArray[np.str_]
Vectors = NDArray[np.float32]

_ROWS_AT_ONCE = 1 << 12
"""How many rows are read at once; bounds memory."""


@dataclass(frozen=True, eq=False, slots=True)
class Sequences:
    """The rows of a feature that belong to each of some samples: frames, tokens, or the one row of a vector.

    Attributes:
        values: `(m, d)` float32; rows of other samples may be among them.
        starts: `(n,)` the first row of every sample.
        lengths: `(n,)` how many rows every sample has; 0 where it lacks the feature.
        times: `(m,)` float64 seconds from the beginning of each sample's clip, where they are known.
    """

    values: Vectors
    starts: Rows
    lengths: Rows
    times: NDArray[np.float64] | None = None

    @classmethod
    def of_vectors(cls, vectors: Vectors) -> Sequences:
        """Return the `(n, d)` vectors of n samples, in their order."""
        n = len(vectors)
        return cls(vectors, np.arange(n, dtype=np.int64), np.ones(n, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def width(self) -> int:
        """Numbers per row."""
        return int(self.values.shape[1])

    @property
    def present(self) -> NDArray[np.bool_]:
        """`(n,)` which samples have the feature."""
        return np.asarray(self.lengths > 0)

    @property
    def n_values(self) -> int:
        """Number of values of these samples."""
        return int(self.lengths.sum()) * self.width

    def select(self, rows: Rows) -> Sequences:
        """Return some of the samples, -1 for one that lacks the feature; no values are copied."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        if (absent := rows < 0).any():
            starts, lengths = np.where(absent, 0, starts), np.where(absent, 0, lengths)
        return replace(self, starts=starts, lengths=lengths)

    def joined(self, other: Sequences) -> Sequences:
        """Return the samples of both, of the same width; values are copied only where they are stored apart.

        Times are kept where the values are the same.
        """
        lengths = np.concatenate([self.lengths, other.lengths])
        if self.values is other.values:
            return replace(self, starts=np.concatenate([self.starts, other.starts]), lengths=lengths)
        parts = [each.of(row) for each in (self, other) for row in range(len(each))]
        starts = np.cumsum(lengths) - lengths
        return Sequences(np.concatenate(parts) if parts else self.values, starts, lengths)

    def of(self, row: int) -> Vectors:
        """Return the `(length, d)` rows of one sample; no values are copied."""
        start = self.starts[row]
        return self.values[start : start + self.lengths[row]]

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return mean and population deviation, `(d,)` each, over the rows of all samples; 1 where rows are equal."""
        zeros, count = np.zeros(self.width), max(1, int(self.lengths.sum()))
        mean = sum((block.sum(0, dtype=np.float64) for block in self._blocks()), zeros) / count
        squares = sum((np.square(block - mean).sum(0) for block in self._blocks()), zeros) / count
        deviation = np.sqrt(squares)
        # Rounding leaves a deviation of equal rows: below a millionth of the mean it counts as none.
        return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)

    def _blocks(self) -> Iterator[Vectors]:
        """Yield the rows of all samples, some at a time."""
        if (self.lengths <= 1).all():
            starts = self.starts[self.present]
            for at in range(0, len(starts), _ROWS_AT_ONCE):
                yield self.values[starts[at : at + _ROWS_AT_ONCE]]
            return
        for row in range(len(self)):
            for at in range(0, int(self.lengths[row]), _ROWS_AT_ONCE):
                yield self.of(row)[at : at + _ROWS_AT_ONCE]

    def vectors(self) -> Vectors:
        """Return one `(n, d)` vector per sample: its only row, the mean of its rows, or zeros where it has none."""
        if (self.lengths == 1).all():
            if len(self.values) == len(self) and (np.diff(self.starts) == 1).all():
                return self.values
            return self.values[self.starts]
        vectors = np.zeros((len(self), self.width), dtype=np.float32)
        single = self.lengths == 1
        vectors[single] = self.values[self.starts[single]]
        for row in np.flatnonzero(self.lengths > 1).tolist():
            parts = [
                self.of(row)[at : at + _ROWS_AT_ONCE].sum(axis=0, dtype=np.float64)
                for at in range(0, int(self.lengths[row]), _ROWS_AT_ONCE)
            ]
            vectors[row] = np.sum(parts, axis=0) / self.lengths[row]
        return vectors


@dataclass(frozen=True, eq=False, slots=True)
class Dialogues:
    """Which dialogue each of n samples belongs to, in which order, and who speaks.

    Attributes:
        dialogue: `(n,)` codes 0 … k - 1.
        position: `(n,)` place in the dialogue, 0, 1, 2, … without gaps.
        speaker: `(n,)` code of the speaker within the dialogue, by first appearance; all 0 where it is not known.
    """

    dialogue: Rows
    position: Rows
    speaker: Rows

    def __len__(self) -> int:
        return int(self.dialogue.max(initial=-1)) + 1

    @classmethod
    def of(cls, dialogue: Rows, position: NDArray[np.float64 | np.int64], speaker: Rows) -> Dialogues:
        """Return dialogues of any codes, and positions in any steps, numbered from 0; speakers within each dialogue."""
        dialogue = np.unique(dialogue, return_inverse=True)[1].reshape(-1).astype(np.int64)
        order = np.lexsort((position, dialogue))
        places, speakers = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
        for rows in _runs(order, dialogue):
            places[rows] = np.arange(len(rows))
            _, first, own = np.unique(speaker[rows], return_index=True, return_inverse=True)
            speakers[rows] = np.argsort(np.argsort(first))[own]
        return cls(dialogue, places, speakers)

    def select(self, rows: Rows) -> Dialogues:
        """Return some of the samples; dialogues, positions and speakers are numbered again."""
        return Dialogues.of(self.dialogue[rows], self.position[rows], self.speaker[rows])

    def units(self) -> list[Rows]:
        """Return, for every dialogue, its samples in their order."""
        order = np.lexsort((self.position, self.dialogue))
        return _runs(order, self.dialogue)


def _runs(order: Rows, dialogue: Rows) -> list[Rows]:
    """Return samples that are in the order of their dialogues, split where the next dialogue begins."""
    return np.split(order, np.flatnonzero(np.diff(dialogue[order])) + 1) if len(order) else []


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What a baseline sees of some samples.

    Attributes:
        ids: sorted sample ids.
        sequences: by feature, in the order asked for, the rows of every sample.
        columns: columns of the corpus that were asked for, such as the transcript.
        dialogues: the dialogues of the samples, where the baseline asked for them.
        modalities: `audio`, `video` or `text`, by feature, where it is known.
    """

    ids: pa.StringArray = field(repr=False)
    sequences: Mapping[str, Sequences] = field(repr=False)
    columns: Mapping[str, pa.Array] = field(default_factory=dict, repr=False)
    dialogues: Dialogues | None = field(default=None, repr=False)
    modalities: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_vectors(cls, ids: pa.StringArray, vectors: Mapping[str, Vectors]) -> FeatureSet:
        """Return samples that have one `(n, d)` vector per feature."""
        return cls(ids, {name: Sequences.of_vectors(values) for name, values in vectors.items()})

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def features(self) -> Mapping[str, Vectors]:
        """One `(n, d)` array per feature: vectors, or the means of sequences; in memory from the first use on."""
        return {name: sequences.vectors() for name, sequences in self.sequences.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per row of every feature."""
        return {name: sequences.width for name, sequences in self.sequences.items()}

    @property
    def n_values(self) -> int:
        """Number of values of all features of all samples, one row for each sample."""
        return sum(len(sequences) * sequences.width for sequences in self.sequences.values())

    def select(self, rows: Rows) -> FeatureSet:
        """Return some of the samples; no feature is copied."""
        taken = pa.array(rows)
        return FeatureSet(
            self.ids.take(taken),
            {name: sequences.select(rows) for name, sequences in self.sequences.items()},
            {name: column.take(taken) for name, column in self.columns.items()},
            None if self.dialogues is None else self.dialogues.select(rows),
            self.modalities,
        )


@dataclass(frozen=True, eq=False, slots=True)
class FeatureCorruption:
    """What is done to the standardised features that are learned from; `missing.Draws` applies it.

    Attributes:
        steps: the steps, in their order.
        seed: seed of the track.
        modalities: the modality of every feature that has one.
        per_epoch: whether the baseline draws itself, for every epoch; else it is given features that are `frozen`.
    """

    steps: tuple[Step, ...]
    seed: int
    modalities: Mapping[str, str]
    per_epoch: bool = False

    def seed_of(self, epoch: int, seed: int) -> int:
        """Return the seed of an epoch from 1 of a training with a seed; that of epoch 0 is the track's."""
        digest = sha256_bytes(f"features|{self.seed}|{seed}|{epoch}".encode())
        return int(digest[:15], 16) if epoch else self.seed


def known_of(references: Any) -> NDArray[np.bool_]:
    """Return which references of a target are known: codes from 0 on, numbers and shares that are not NaN."""
    if not isinstance(references, np.ndarray):
        return np.ones(len(references), dtype=np.bool_)
    marks = references >= 0 if references.dtype.kind == "i" else ~np.isnan(references)
    return np.asarray(marks.reshape(len(references), -1).all(axis=1))


@dataclass(frozen=True, eq=False, slots=True)
class Division:
    """One division of training samples: rows to learn from, and rows that options and epochs are selected on."""

    learn: Rows
    validate: Rows


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Samples with their references, and how they are divided for selection.

    Attributes:
        track: what is predicted, and how it is ranked.
        samples: the features of the samples.
        targets: the references of every target of the track; -1 for a label, NaN for a number that is not known.
        label_corruption: how the labels were corrupted, and realised values; empty if they were not.
        groups: by corpus column that a metric is taken `per`, `(n,)` values as text; a column that is not known of all
            samples is left out.
        clusters: by corpus column whose values folds keep together, in order of precedence, `(n,)` codes.
        joins: whether folds keep the values of several of these columns together; see `kept_together`.
        selection: `folds`, `leave-one-group-out`, or `dev`.
        development: `(n,)` which samples are the development set; None unless selection is by `dev`.
        corruption: what is done to the features that are learned from, drawn again for every epoch; None: nothing.
        unlabelled: samples without references that may be learned from; None if the track declares none, or the
            baseline does not use them.
    """

    track: Track
    samples: FeatureSet
    targets: Mapping[str, Any] = field(repr=False)
    label_corruption: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Names] = field(default_factory=dict, repr=False)
    clusters: Mapping[str, Rows] = field(default_factory=dict, repr=False)
    joins: bool = True
    selection: Selection = "folds"
    development: NDArray[np.bool_] | None = field(default=None, repr=False)
    corruption: FeatureCorruption | None = field(default=None, repr=False)
    unlabelled: FeatureSet | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def features(self) -> Mapping[str, Vectors]:
        """The features of the samples, one vector each."""
        return self.samples.features

    def select(self, rows: Rows) -> TrainingSet:
        """Return some of the samples."""
        return replace(
            self,
            samples=self.samples.select(rows),
            targets={name: values[rows] for name, values in self.targets.items()},
            groups={name: values[rows] for name, values in self.groups.items()},
            clusters={name: codes[rows] for name, codes in self.clusters.items()},
            development=None if self.development is None else self.development[rows],
        )

    def of_division(self, division: Division) -> TrainingSet:
        """Return the samples of one division, with the rows to validate as the development set."""
        rows = np.union1d(division.learn, division.validate)
        development = np.isin(rows, division.validate)
        return replace(self.select(rows), selection="dev", development=development)

    def joined(self, samples: FeatureSet, targets: Mapping[str, Any]) -> TrainingSet:
        """Return a training set that has a development set, with further samples that are learned from.

        Args:
            samples: samples with the same features; their columns and dialogues are left out.
            targets: the values of every target that they are learned from with.
        """
        assert self.development is not None
        ids = pa.concat_arrays([self.samples.ids, samples.ids])
        order = np.asarray(pc.sort_indices(ids), dtype=np.int64)
        sequences = {
            name: each.joined(samples.sequences[name]).select(order) for name, each in self.samples.sequences.items()
        }
        return replace(
            self,
            samples=FeatureSet(ids.take(pa.array(order)), sequences),
            targets={name: np.concatenate([values, targets[name]])[order] for name, values in self.targets.items()},
            groups={name: np.append(values, np.full(len(samples), ""))[order] for name, values in self.groups.items()},
            clusters={},
            development=np.append(self.development, np.zeros(len(samples), dtype=np.bool_))[order],
        )

    @property
    def learned(self) -> Rows:
        """The rows that a model which is not one of several folds learns from: all but the development set."""
        every = np.arange(len(self), dtype=np.int64)
        return every if self.development is None else every[~self.development]

    @property
    def n_learned(self) -> int:
        """Number of samples that are learned from: of dialogues, those with a reference."""
        known = np.any([known_of(values) for values in self.targets.values()], axis=0)
        return int(known[self.learned].sum())

    @property
    def validated(self) -> Rows:
        """The rows that are predicted for selection: the development set, or all."""
        every = np.arange(len(self), dtype=np.int64)
        return every if self.development is None else every[self.development]

    @property
    def ids_by_use(self) -> dict[str, pa.StringArray]:
        """The ids of the samples that are `learned`, `validated` (only a development set), and `unlabelled`."""
        of_rows = {"learned": self.learned} | ({} if self.development is None else {"validated": self.validated})
        ids = {use: self.samples.ids.take(pa.array(rows)) for use, rows in of_rows.items()}
        return ids if self.unlabelled is None else {**ids, "unlabelled": self.unlabelled.ids}

    @property
    def folds_by(self) -> str:
        """The columns whose values folds keep together; empty if samples are assigned one by one."""
        return self._kept[0]

    @cached_property
    def _kept(self) -> tuple[str, Rows]:
        return kept_together(self.clusters, joined=self.joins)

    @property
    def n_clusters(self) -> int:
        """Number of groups that folds keep together."""
        return int(self._kept[1].max(initial=-1)) + 1

    def n_folds(self, wanted: int) -> int:
        """Return how many divisions there are where so many folds are wanted.

        There is at most one fold for each value that stays together, exactly one each where groups are left out one by
        one, and one division where there is a development set.
        """
        if self.selection == "dev":
            return 1
        if self.selection == "leave-one-group-out":
            return self.n_clusters
        return min(wanted, self.n_clusters) if self.folds_by else wanted

    def described_folds(self, wanted: int) -> dict[str, Any]:
        """Return how the samples are divided, as a run record stores it; `divided` counts values in several folds."""
        if self.selection == "dev":
            return {"selection": "dev", "n_folds": 1, "n_folds_asked": wanted, "by": None, "n_dev": len(self.validated)}
        by = {"by": self.folds_by, "n_clusters": self.n_clusters} if self.folds_by else {"by": None}
        described = {"selection": self.selection, "n_folds": self.n_folds(wanted), "n_folds_asked": wanted, **by}
        divided = self._divided(self.n_folds(wanted)) if self.folds_by else {}
        return described | ({"divided": divided} if divided else {})

    def _divided(self, n_folds: int) -> dict[str, list[int]]:
        """Return by column how many of its values, of how many, are in several folds; those of folds of clusters."""
        folds, divided = self.folds(n_folds, seed=0), {}
        for name, codes in self.clusters.items():
            pairs = np.unique(np.stack([codes, folds]), axis=1)
            n_folds_of = np.unique(pairs[0], return_counts=True)[1]
            if len(n_folds_of) > 1 and (n := int((n_folds_of > 1).sum())):
                divided[name] = [n, len(n_folds_of)]
        return divided

    def folds(self, n_folds: int, seed: int) -> Rows:
        """Return the fold 0 … n_folds - 1 of every sample.

        A speaker on both sides of a fold would make cross-validated values too good: samples of one cluster share a
        fold, which is the same for every seed. Without clusters, samples are assigned one by one.

        Raises:
            UsageError: there are fewer than two folds, or more folds than samples or clusters.
        """
        if self.selection == "leave-one-group-out":
            if self.n_clusters < 2:
                raise UsageError(f"{self.n_clusters} groups of training samples; leaving one out needs at least 2")
            return self._kept[1]
        if self.folds_by:
            return grouped_folds(self._kept[1], strata(self.targets.values(), len(self)), n_folds)
        return random_folds(len(self), n_folds, seed)

    def divisions(self, n_folds: int, seed: int) -> tuple[Division, ...]:
        """Return what is learned from and what is predicted for selection, once per model.

        Together, the divisions predict every row of `validated` once. Raises `UsageError` as `folds` does.
        """
        if self.development is not None:
            return (Division(self.learned, self.validated),)
        folds = self.folds(n_folds, seed)
        return tuple(
            Division(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(folds.max() + 1)
        )
