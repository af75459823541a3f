"""Logistic regression for labels and ridge regression for numbers, on concatenated, scaled features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from merbench.errors import UsageError, listed
from merbench.parameters import Within
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """How features are scaled and weights are penalised.

    Attributes:
        scale: `each` dimension is divided by its own deviation, or `all` dimensions of a feature by one number, which
            keeps their proportions: in a projection such as a truncated SVD, the last ones are mostly noise.
        C: inverse strength of the penalty for labels.
        alpha: strength of the penalty for numbers.
    """

    scale: Literal["each", "all"]
    C: Annotated[float, Within(1e-12, 1e12)]
    alpha: Annotated[float, Within(0)]


class Logistic:
    """One linear model per target."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def fit(self, train: TrainingSet) -> None:
        self.scales = {name: scale_of(x.astype(np.float64), self.options.scale) for name, x in train.features.items()}
        x, track = self.fused(train.features), train.track
        self.n_labels = labels_of(track)
        self.models = {name: self.fitted(name, x, train.targets[name]) for name in track.targets}

    def fitted(self, target: str, x: Array, values: Array) -> Any:
        """Return the trained model of a target; shares of labels count as so many samples of each label."""
        model = self.model(target)
        if target not in self.n_labels:
            return model.fit(x, values)
        rows, codes = np.nonzero(values) if values.ndim == 2 else (np.arange(len(x)), values)
        if len(labels := np.unique(codes)) == 1:  # which scikit-learn refuses
            model.coef_, model.intercept_, model.classes_ = np.zeros((1, x.shape[1])), np.zeros(1), labels
            return model
        return model.fit(x[rows], codes, sample_weight=values[rows, codes] if values.ndim == 2 else None)

    def model(self, target: str) -> Any:
        """Return the untrained model of a target."""
        if target in self.n_labels:
            return LogisticRegression(C=self.options.C, max_iter=5000)
        return Ridge(alpha=self.options.alpha)

    def predict(self, test: FeatureSet) -> Predictions:
        x = self.fused(test.features)
        return Predictions(
            {
                name: self.probabilities(name, x) if name in self.n_labels else model.predict(x)
                for name, model in self.models.items()
            }
        )

    def probabilities(self, target: str, x: Array) -> Array:
        """Return one column per declared label; a label without a training sample has probability 0."""
        model = self.models[target]
        table = np.zeros((len(x), self.n_labels[target]))
        table[:, model.classes_] = model.predict_proba(x) if len(model.classes_) > 1 else 1.0
        return table

    def fused(self, features: Mapping[str, NDArray[np.float32]]) -> Array:
        """Return the concatenated scaled features."""
        return np.concatenate([(features[name] - mean) / scale for name, (mean, scale) in self.scales.items()], axis=1)

    def weights(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for name, (mean, scale) in self.scales.items():
            arrays |= {f"features.{name}.mean": mean, f"features.{name}.scale": scale}
        for name, model in self.models.items():
            arrays |= {f"targets.{name}.{part}": np.asarray(getattr(model, part)) for part in self.parts(name)}
        return arrays

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.n_labels = labels_of(track)
        self.scales = {name: (weights[f"features.{name}.mean"], weights[f"features.{name}.scale"]) for name in widths}
        others = [name for name, pair in self.scales.items() if {each.shape for each in pair} != {(widths[name],)}]
        if others:
            raise UsageError(f"the weights are those of features with another width: {listed(others)}")
        self.models = {name: self.model(name) for name in track.targets}
        for name, model in self.models.items():
            for part in self.parts(name):
                setattr(model, part, weights[f"targets.{name}.{part}"])

    def parts(self, target: str) -> tuple[str, ...]:
        """Return the attributes that a trained model of a target predicts with."""
        return ("coef_", "intercept_", "classes_") if target in self.n_labels else ("coef_", "intercept_")


def labels_of(track: Track) -> dict[str, int]:
    """Return the number of labels of every target that has such."""
    return {name: len(target.classes) for name, target in track.targets.items() if target.classes}


def scale_of(x: Array, scale: str) -> tuple[Array, Array]:
    """Return the mean of every dimension, and what to divide it by; a constant dimension is left as it is."""
    deviation = x.std(axis=0)
    if scale == "all":
        deviation = np.full_like(deviation, np.sqrt(np.mean(deviation**2)))
    return x.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def build(options: Options, setup: Setup) -> Logistic:
    return Logistic(options)
