"""Answers every sample alike: the most frequent class of the training samples, the mean of their values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merbench.track import CategoricalTarget
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet


@dataclass(frozen=True)
class Options:
    """There is nothing to choose."""


class Majority:
    """The class shares and mean values of the training samples."""

    def fit(self, train: TrainingSet) -> None:
        self.constants = {
            name: np.bincount(train.targets[name], minlength=len(target.labels)) / len(train)
            if isinstance(target, CategoricalTarget)
            else np.asarray(train.targets[name].mean())
            for name, target in train.track.targets.items()
        }

    def predict(self, test: FeatureSet) -> Predictions:
        return Predictions(
            {name: np.broadcast_to(constant, (len(test), *constant.shape)) for name, constant in self.constants.items()}
        )


def build(options: Options, setup: Setup) -> Majority:
    return Majority()
