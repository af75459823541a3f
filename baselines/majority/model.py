"""Gives every sample the same answer: the training samples' most frequent class, mean value and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.lists import Lists
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet


@dataclass(frozen=True)
class Options:
    """How many words a set has.

    Attributes:
        n_words: number of the most frequent words; 0 takes as many as a set has on average.
    """

    n_words: int = 0


class Majority:
    """The class shares, mean values and most frequent words of the training samples."""

    def __init__(self, options: Options) -> None:
        self.n_words = options.n_words

    def fit(self, train: TrainingSet) -> None:
        targets = train.track.targets.items()
        self.words = {
            name: most_frequent(train.targets[name], self.n_words) for name, target in targets if not target.loss
        }
        self.constants = {
            name: np.bincount(train.targets[name], minlength=len(target.classes)) / len(train)
            if target.classes and train.targets[name].ndim == 1
            else np.asarray(train.targets[name].mean(axis=0))
            for name, target in targets
            if name not in self.words
        }

    def predict(self, test: FeatureSet) -> Predictions:
        outputs = {name: np.broadcast_to(value, (len(test), *value.shape)) for name, value in self.constants.items()}
        return Predictions(outputs, {name: Lists.of([words] * len(test)) for name, words in self.words.items()})

    def weights(self) -> dict[str, NDArray[Any]]:
        return {**self.constants, **{name: np.array(words, dtype=np.str_) for name, words in self.words.items()}}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.words = {name: weights[name].tolist() for name, target in track.targets.items() if not target.loss}
        self.constants = {name: weights[name] for name, target in track.targets.items() if target.loss}


def most_frequent(sets: Lists, n_words: int) -> list[str]:
    """Return the most frequent words, at least one; ties in alphabetical order."""
    n_words = n_words or max(1, round(len(sets.codes) / len(sets)))
    counts = np.bincount(sets.codes, minlength=len(sets.words)).tolist()
    ordered = sorted(zip(counts, sets.words, strict=True), key=lambda item: (-item[0], item[1]))
    return [word for _, word in ordered[:n_words]]


def build(options: Options, setup: Setup) -> Majority:
    return Majority(options)
