"""What a baseline is: two methods, and a third where all folds train at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from merbench.training.data import FeatureSet, Predictions, TrainingSet

Progress = Callable[[int, int], None]
"""Called with (done, total) steps."""


def silent(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a baseline is built for.

    Attributes:
        seed: seed of everything random.
        n_folds: number of folds of cross-validation.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        progress: what to tell about steps.
    """

    seed: int = 0
    n_folds: int = 5
    device: str = "auto"
    progress: Progress = silent


class Baseline(Protocol):
    """A system that learns from a corpus and predicts."""

    def fit(self, train: TrainingSet) -> None:
        """Learn from samples with references."""

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict every target of the track for other samples."""


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """How training went.

    Attributes:
        loss: `(epochs, folds)` training loss.
        value: `(epochs, folds)` first ranking value on the fold left out.
        best_epoch: the epoch kept of every fold, from 1.
    """

    loss: NDArray[np.float64]
    value: NDArray[np.float64]
    best_epoch: tuple[int, ...]


@dataclass(frozen=True, eq=False, slots=True)
class CrossFit:
    """What cross-validation tells.

    Attributes:
        out_of_fold: what was predicted of every training sample by the model that did not see it.
        curve: how training went; None where there are no epochs.
        device: where it was trained.
    """

    out_of_fold: Predictions
    curve: Curve | None = None
    device: str = "cpu"


@runtime_checkable
class FoldEnsemble(Protocol):
    """A baseline that is one model a fold, all trained in one go: `predict` averages them."""

    def fit(self, train: TrainingSet) -> None:
        """Learn from samples with references."""

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Learn as `fit` does, and return what the folds left out were predicted to be."""

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict every target of the track for other samples."""


Build = Callable[[Any, Setup], Baseline]
"""What `model.py` of a baseline defines as `build`: its options and a setup go in, the baseline comes out."""
