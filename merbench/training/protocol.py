"""What a baseline is, what it is given, and what it returns.

Conventions:
    Samples are in the order of sorted ids; every array has one row per sample. Features are `(n, d)` float32; frames
    have been averaged. Targets are int32 codes of the declared labels, `(n, K)` float64 shares of them, float64
    numbers, or sets of words. Outputs are float64: `(n, K)` probabilities of the labels of a categorical target or a
    distribution, `(n,)` values of a continuous one; sets of words are answered as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.metrics.lists import Lists, Values, concatenated
from merbench.track import Track
from merbench.training.folds import grouped_folds, random_folds, strata

Rows = NDArray[np.int64]
Names = NDArray[np.str_]

Progress = Callable[[int, int], None]
"""Called with (done, total) steps."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a baseline is trained."""

    seed: int = 0  # seed of everything random
    n_folds: int = 5
    device: str = "auto"  # `auto`, `cpu`, `cuda`, `cuda:1`, …
    progress: Progress = silent  # called after every step


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """What a baseline sees of some samples."""

    ids: pa.StringArray = field(repr=False)  # sorted sample ids
    # one `(n, d)` array per feature, in the order asked for
    features: Mapping[str, NDArray[np.float32]] = field(repr=False)
    # columns of the corpus that were asked for, such as the transcript
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
    """Samples with their references."""

    track: Track  # what is predicted, and how it is ranked
    samples: FeatureSet  # the features of the samples
    targets: Mapping[str, Any] = field(repr=False)  # the references of every target of the track
    # how the labels were corrupted, and realised values; empty if they were not
    label_corruption: Mapping[str, Any] = field(default_factory=dict)
    # by corpus column that a metric is taken `per`, `(n,)` values as text; a column that is not known of all samples is
    # left out
    groups: Mapping[str, Names] = field(default_factory=dict, repr=False)
    cluster: str = ""  # the corpus column whose values folds keep together; empty if there is none
    # `(n,)` codes of its values
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
        """The column whose values folds keep together; empty if samples are assigned one by one."""
        return self.cluster if self.n_clusters > 1 else ""

    @property
    def n_clusters(self) -> int:
        """Number of values that folds keep together."""
        return len(np.unique(self.clusters))

    def n_folds(self, wanted: int) -> int:
        """Return how many folds there are where so many are wanted: at most one for each value that stays together."""
        return min(wanted, self.n_clusters) if self.folds_by else wanted

    def described_folds(self, wanted: int) -> dict[str, Any]:
        """Return how cross-validation divides the samples, as a run record stores it."""
        by = {"by": self.folds_by, "n_clusters": self.n_clusters} if self.folds_by else {"by": None}
        return {"n_folds": self.n_folds(wanted), "n_folds_asked": wanted, **by}

    def folds(self, n_folds: int, seed: int) -> Rows:
        """Return the fold 0 … n_folds - 1 of every sample.

        A speaker on both sides of a fold would make cross-validated values too good: samples of one cluster share a
        fold, which is the same for every seed. Without clusters, samples are assigned one by one.

        Raises:
            UsageError: there are fewer than two folds, or more folds than samples or clusters.
        """
        if self.folds_by:
            return grouped_folds(self.clusters, strata(self.targets.values(), len(self)), n_folds)
        return random_folds(len(self), n_folds, seed)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a baseline answers for every sample."""

    # per categorical or continuous target, `(n, K)` probabilities or `(n,)` values
    outputs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    sets: Mapping[str, Lists] = field(default_factory=dict, repr=False)  # per target that is a set of words, the words

    def answers(self, track: Track) -> dict[str, Values]:
        """Return the most probable label's code (ties: the first one), the value within the range, or the set."""
        return {
            name: target.answer((self.outputs if target.loss else self.sets)[name])
            for name, target in track.targets.items()
        }

    @classmethod
    def gathered(cls, parts: Sequence[tuple[Rows, Predictions]]) -> Predictions:
        """Return predictions for all rows from those for parts of them."""
        order = np.argsort(np.concatenate([rows for rows, _ in parts]))
        every = [part for _, part in parts]
        return cls(
            {name: np.concatenate([part.outputs[name] for part in every])[order] for name in every[0].outputs},
            {name: reduce(concatenated, [part.sets[name] for part in every])[order] for name in every[0].sets},
        )


class Baseline(Protocol):
    """A system that learns from a corpus and predicts."""

    def fit(self, train: TrainingSet) -> None:
        """Learn from samples with references."""

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict every target of the track for other samples."""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """How training went."""

    loss: NDArray[np.float64]  # `(epochs, folds)` training loss
    value: NDArray[np.float64]  # `(epochs, folds)` first ranking value on the fold left out
    best_epoch: tuple[int, ...]  # the epoch kept for every fold, from 1


@dataclass(frozen=True, eq=False, slots=True)
class CrossFit:
    """The result of cross-validation."""

    out_of_fold: Predictions  # the predictions for every training sample by the model that was not trained on it
    curve: Curve | None = None  # how training went; None if there are no epochs
    device: str = "cpu"  # where it was trained


@runtime_checkable
class FoldEnsemble(Baseline, Protocol):
    """A baseline that is one model per fold, all trained together: `predict` averages them."""

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Learn as `fit` does, and return the result of cross-validation."""


Build = Callable[[Any, Setup], Baseline]
"""The function `build` of a baseline's `model.py`: its options and a setup -> the baseline."""
