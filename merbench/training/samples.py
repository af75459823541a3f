"""What a baseline is given: the features of some samples, their dialogues, and, to learn from, their references.

Conventions:
    Samples are in the order of sorted ids; every array about them has one row per sample. Feature values are float32
    and stay where they are stored, in a file that is mapped into memory or in an array: `Sequences` point to rows of
    them. A sample that lacks a feature has no rows. Targets are int32 codes of the declared labels, `(n, K)` float64
    shares of them, float64 numbers, or sets of words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corruptions import Step
from merbench.errors import UsageError, listed
from merbench.files.reading import sha256_bytes
from merbench.track import Selection, Track
from merbench.training.folds import grouped_folds, kept_together, labelled_rows, random_folds, strata
from merbench.training.sequences import Dialogues, Rows, Sequences, Vectors

Names = NDArray[np.str_]
Sets = NDArray[np.bool_]

MeasureLabels = Callable[[NDArray[Any], Rows], dict[str, float]]
"""Compares `(m, K)` sets of labels, or `(m,)` codes, for m rows with the right labels: see `label_measure`."""


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

    def of_features(self, names: Sequence[str]) -> FeatureSet:
        """Return the samples with some of their features."""
        return replace(self, sequences={name: self.sequences[name] for name in names})

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

    def joined(self, others: FeatureSet) -> FeatureSet:
        """Return the samples of both, with the same features; their columns and dialogues are left out."""
        ids = pa.concat_arrays([self.ids, others.ids])
        order = np.asarray(pc.sort_indices(ids), dtype=np.int64)
        sequences = {name: each.joined(others.sequences[name]).select(order) for name, each in self.sequences.items()}
        return FeatureSet(ids.take(pa.array(order)), sequences, modalities=self.modalities)


class Filling(Protocol):
    """Fills features that corruption left nothing of."""

    def fill(
        self, values: Mapping[str, Vectors], lacking: Mapping[str, NDArray[np.bool_]], ids: pa.StringArray
    ) -> None:
        """Fill standardised vectors `(k, d)`, or the first of padded rows `(k, T, d)`, in place.

        Args:
            values: all features, by name.
            lacking: by feature, which samples lack it, `(k,)`.
            ids: of the samples.
        """


@dataclass(frozen=True, eq=False, slots=True)
class FeatureCorruption:
    """What is done to the standardised features that are learned from; `missing.Draws` applies it.

    Attributes:
        steps: the steps, in their order.
        seed: seed of the track.
        modalities: the modality of every feature that has one.
        per_epoch: whether the baseline draws itself, for every epoch; else it is given features that are `frozen`.
        absent: whether a sample then lacks a feature of which nothing is left; else it has the mean.
        learned: further steps, only for samples that are learned from, and not for those that an epoch is selected on.
        filling: fills what nothing is left of; None: nothing does.
    """

    steps: tuple[Step, ...]
    seed: int
    modalities: Mapping[str, str]
    per_epoch: bool = False
    absent: bool = False
    # Not in its text, which is part of the signature of a training that goes on.
    learned: tuple[Step, ...] = field(default=(), repr=False)
    filling: Filling | None = field(default=None, repr=False)

    def epoch_seed(self, epoch: int, seed: int) -> int:
        """Return the seed of an epoch from 1 of a training with a seed; that of epoch 0 is the track's."""
        digest = sha256_bytes(f"features|{self.seed}|{seed}|{epoch}".encode())
        return int(digest[:15], 16) if epoch else self.seed


def known_of(references: Any) -> NDArray[np.bool_]:
    """Return which references are known: codes from 0 on, numbers and shares that are not NaN; of labels, one."""
    if not isinstance(references, np.ndarray):
        return np.ones(len(references), dtype=np.bool_)
    if references.dtype.kind == "i":
        return np.asarray((references >= 0).reshape(len(references), -1).any(axis=1))
    return np.asarray(~np.isnan(references).reshape(len(references), -1).any(axis=1))


def label_measure(right: Rows, learned: Rows, n_labels: int) -> MeasureLabels:
    """Return a function that compares sets of labels, or labels, with the right ones, and returns only means.

    It is called with `(m, K)` sets, or `(m,)` codes, a set of one label each, and with the m rows that they are of.
    Samples whose right label is not known are not counted. The means are, by name:

    * `size`: labels of a set.
    * `right`: the share of the sets that have the right label.
    * `many`, `medium`, `few`: this share for the classes of which many, fewer and few samples are learned from, as the
      mean over the classes. These are the thirds of the classes with samples, in the order of decreasing size, those of
      one size in the order of the labels; the first ones are larger where the number is no multiple of three.

    A mean over nothing is left out.

    Args:
        right: the right label of every sample: `(n,)` codes, -1 where it is not known.
        learned: those of the samples that are learned from.
        n_labels: K.
    """
    counts = np.bincount(learned[learned >= 0], minlength=n_labels)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    thirds = dict(zip(("many", "medium", "few"), np.array_split(order, 3), strict=True))

    def measured(labels: NDArray[Any], rows: Rows) -> dict[str, float]:
        own, is_known = right[rows], right[rows] >= 0
        if not is_known.any():
            return {}
        sets = labels if labels.ndim == 2 else labels[:, None] == np.arange(n_labels)
        sets, own = sets[is_known], own[is_known]
        has = sets[np.arange(len(own)), own]
        means = {"size": float(sets.sum(1).mean()), "right": float(has.mean())}
        for name, classes in thirds.items():
            if shares := [has[own == code].mean() for code in classes.tolist() if (own == code).any()]:
                means[name] = float(np.mean(shares))
        return means

    return measured


def _of_selected(measure: MeasureLabels, selected: Rows, labels: NDArray[Any], rows: Rows) -> dict[str, float]:
    return measure(labels, selected[rows])


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
            Where labels are sets, one label of each, drawn at random, which folds, options and epochs go by.
        sets: by target whose labels are sets, `(n, K)` which of the labels may be the right one; samples of the
            development set have only their label. Empty where labels are single, and unless the baseline `learns_sets`.
        measure_labels: compares labels or sets with the right labels, which the baseline is not given; for diagnostics.
            None unless the baseline `learns_sets`, and there is exactly one target with labels that can be corrupted.
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
    sets: Mapping[str, Sets] = field(default_factory=dict, repr=False)
    measure_labels: MeasureLabels | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Raise `UsageError` where a set of labels is empty, or does not have the label that was drawn of it."""
        problems = [text for name, sets in self.sets.items() for text in self._wrong_sets(name, sets)]
        if problems:
            raise UsageError(*problems)

    def _wrong_sets(self, name: str, sets: Sets) -> list[str]:
        wanted = len(self), len(self.track.targets[name].classes)
        if sets.shape != wanted or sets.dtype != np.bool_:
            return [f"target '{name}': the sets of labels are {sets.dtype} {sets.shape}; needed: bool {wanted}"]
        codes = np.asarray(self.targets[name])
        is_known, has_any = codes >= 0, sets.any(axis=1)
        has_own = sets[np.arange(len(codes)), codes.clip(0)]
        mistakes = {
            "an empty set of labels; a set has at least one": is_known & ~has_any,
            "a set without the label that was drawn of it": is_known & has_any & ~has_own,
            "a set of labels, and no label": ~is_known & has_any,
        }
        return [
            f"target '{name}': {int(wrong.sum()):,} of {len(codes):,} samples have {what}: "
            f"{listed(self.samples.ids.filter(pa.array(wrong)).to_pylist())}"
            for what, wrong in mistakes.items()
            if wrong.any()
        ]

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
            sets={name: sets[rows] for name, sets in self.sets.items()},
            measure_labels=None if self.measure_labels is None else partial(_of_selected, self.measure_labels, rows),
        )

    def partly_labelled(self, share: float, *, unlabelled: bool) -> TrainingSet:
        """Return the samples of which a share keeps its labels, drawn with the seed of the track; see `labelled_rows`.

        A development set is kept as it is.

        Args:
            share: the share of the samples to learn from, in (0, 1].
            unlabelled: whether the others are added to the samples without references; else they are left out.
        """
        if share == 1:
            return self
        learned, (by, codes) = self.learned, self._kept
        own = strata([values[learned] for values in self.targets.values()], len(learned))
        kept = labelled_rows(codes[learned] if by else codes, own, share, self.track.seed)
        others = self.samples.select(np.delete(learned, kept))
        rows = learned[kept] if self.development is None else np.union1d(learned[kept], self.validated)
        if not unlabelled:
            return self.select(rows)
        every = others if self.unlabelled is None else self.unlabelled.joined(others)
        return replace(self.select(rows), unlabelled=every if len(every) else None)

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
        assert self.development is not None and not self.sets
        order = np.asarray(pc.sort_indices(pa.concat_arrays([self.samples.ids, samples.ids])), dtype=np.int64)
        return replace(
            self,
            samples=self.samples.joined(samples),
            targets={name: np.concatenate([values, targets[name]])[order] for name, values in self.targets.items()},
            groups={name: np.append(values, np.full(len(samples), ""))[order] for name, values in self.groups.items()},
            clusters={},
            measure_labels=None,
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
                share = self.track.training.labelled
                few = "" if share == 1 else f"; only a share of {share:g} keeps its labels, see `labelled`"
                raise UsageError(f"training samples of a single group; leaving one out needs at least 2{few}")
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
