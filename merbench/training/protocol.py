"""What a baseline is and what it returns; `samples.py` has what it is given.

Conventions:
    Outputs are float64: `(n, K)` probabilities of the labels of a categorical target or a distribution, `(n,)` values
    of a continuous one; sets of words are answered as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from merbench.devices import chosen_device
from merbench.metrics.lists import Lists, Values, concatenated
from merbench.track import Track
from merbench.training.pseudo_labels import PseudoLabels
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.sequences import Rows

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int], None]
"""Called with (done, total) steps."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


class Log(Protocol):
    """Follows training; what happens to the values of an epoch (a table, TensorBoard, pruning) is its own affair."""

    def epoch(self, epoch: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Take the values of an epoch, from 1: by name, `(folds,)`; `loss`, `value`, and a model's own losses.

        `value` is that of the first ranking metric, on its own scale: the lower the better of an error.
        """


class _NoLog:
    """A log that forgets."""

    def epoch(self, epoch: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Forget the values."""


NO_LOG = _NoLog()


@dataclass(frozen=True, slots=True)
class Setup:
    """How a baseline is trained."""

    seed: int = 0  # seed of everything random
    n_folds: int = 5  # number of divisions that selection is made on: see `TrainingSet.divisions`
    device_name: str = "auto"  # `auto`, `cpu`, `cuda`, `cuda:1`, …
    progress: Progress = silent  # called after every step
    log: Log = NO_LOG  # given the values of every epoch
    # where training stores its state, so that it goes on after it was interrupted; None: nowhere
    state: Path | None = None

    @property
    def device(self) -> torch.device:
        """Where torch computes; `auto` is CUDA where there is one."""
        return chosen_device(self.device_name)

    def part(self, name: str) -> Setup:
        """Return the setup of one training of several, whose state has a place of its own."""
        return self if self.state is None else replace(self, state=self.state / name)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a baseline answers for every sample."""

    # per categorical or continuous target, `(n, K)` probabilities or `(n,)` values
    outputs: Mapping[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    sets: Mapping[str, Lists] = field(default_factory=dict, repr=False)  # per target that is a set of words, the words

    def answers(self, track: Track) -> dict[str, Values]:
        """Return the most probable label's code (ties: the first one), the value within the range, or the set."""
        return {
            name: target.answer(self.outputs[name] if name in self.outputs else self.sets[name])
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

    # the predictions for every row of `TrainingSet.validated` by the model that was not trained on it
    out_of_fold: Predictions
    curve: Curve | None = None  # how training went; None if there are no epochs
    device: str = "cpu"  # where it was trained
    notes: tuple[str, ...] = ()  # what should be known besides, such as batches that were halved to fit into memory
    details: Mapping[str, Any] = field(default_factory=dict)  # values of JSON for the run record
    # samples that were learned from, times epochs, over all stages and divisions; None: as the log of epochs has it
    sample_epochs: int | None = None
    # by target, of a baseline that learns from some of its predictions for unlabelled samples
    pseudo_labels: Mapping[str, PseudoLabels] = field(default_factory=dict, repr=False)


@runtime_checkable
class Storable(Baseline, Protocol):
    """A baseline whose trained state is arrays, so that `merbench predict` can use it again."""

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """Return everything that `predict` needs, by name."""

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        """Take the place of a fitted baseline: what `weights` returned, the track, and the width of every feature."""


@runtime_checkable
class FoldEnsemble(Baseline, Protocol):
    """A baseline that is one model per division of the training set: `predict` averages them."""

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Learn as `fit` does, and return the result of cross-validation."""
