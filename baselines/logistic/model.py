"""Features side by side, standardised: logistic regression for labels, ridge regression for numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from merbench.track import CategoricalTarget
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet


@dataclass(frozen=True)
class Options:
    """How strongly weights are held small.

    Attributes:
        C: inverse strength for labels.
        alpha: strength for numbers.
    """

    C: float
    alpha: float


class Logistic:
    """One linear model per target."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def fit(self, train: TrainingSet) -> None:
        x = fused(train.features)
        self.widths = {
            name: len(target.labels)
            for name, target in train.track.targets.items()
            if isinstance(target, CategoricalTarget)
        }
        self.models = {name: self.model(name).fit(x, train.targets[name]) for name in train.track.targets}

    def model(self, target: str) -> Pipeline:
        """Return the untrained model of a target."""
        if target in self.widths:
            return make_pipeline(StandardScaler(), LogisticRegression(C=self.options.C, max_iter=5000))
        return make_pipeline(StandardScaler(), Ridge(alpha=self.options.alpha))

    def predict(self, test: FeatureSet) -> Predictions:
        x = fused(test.features)
        return Predictions(
            {
                name: self.probabilities(name, x) if name in self.widths else model.predict(x)
                for name, model in self.models.items()
            }
        )

    def probabilities(self, target: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one column per declared label; a label without a training sample has probability 0."""
        model = self.models[target]
        table = np.zeros((len(x), self.widths[target]))
        table[:, model.classes_] = model.predict_proba(x)
        return table


def fused(features: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the features side by side."""
    return np.concatenate([x.astype(np.float64) for x in features.values()], axis=1)


def build(options: Options, setup: Setup) -> Logistic:
    return Logistic(options)
