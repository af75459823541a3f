"""Predicts sets of words from features and transcripts: words of the lexicon that were said, and words by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from merbench.errors import UsageError
from merbench.lexicon import Lexicon, open_lexicon
from merbench.metrics.lists import Lists
from merbench.targets.text import words_in_text
from merbench.track import Track
from merbench.training import FeatureSet, Predictions, Setup, TrainingSet

Array = NDArray[np.float64]
Codes = NDArray[np.int64]

PRIOR = 10
"""How often a word must be said for its own share to have as much weight as the share of all said words."""


PARTS = ("mean", "scale", "coef", "intercept", "classes", "words", "by_class", "if_said")
"""The arrays of a target's `Words`."""


@dataclass(frozen=True)
class Options:
    """How the classifier is regularised, and which words are answered.

    Attributes:
        C: inverse strength of the penalty of the logistic regression.
        threshold: the least probability of a word that is answered; the most probable one always is.
    """

    C: float
    threshold: float


class LexiconOv:
    """One set of words per sample and target."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def fit(self, train: TrainingSet) -> None:
        self.parts = {name: Words(self.options, lexicon) for name, lexicon in lexicons(train.track)}
        x, transcripts = fused(train.features), train.samples.columns["transcript"]
        for name, part in self.parts.items():
            part.fit(train.targets[name], x, words_in_text(transcripts, part.lexicon))

    def predict(self, test: FeatureSet) -> Predictions:
        x, transcripts = fused(test.features), test.columns["transcript"]
        return Predictions(
            sets={name: part.answers(x, words_in_text(transcripts, part.lexicon)) for name, part in self.parts.items()}
        )

    def weights(self) -> dict[str, NDArray[Any]]:
        every = ((name, part.weights()) for name, part in self.parts.items())
        return {f"{name}.{key}": values for name, arrays in every for key, values in arrays.items()}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.parts = {name: Words(self.options, lexicon) for name, lexicon in lexicons(track)}
        for name, part in self.parts.items():
            part.restore({key: weights[f"{name}.{key}"] for key in PARTS})


class Words:
    """The probabilities of the words of one target, from the training samples.

    A class is a sector of the lexicon's first wheel, the one that most words of a set belong to; sets without a known
    word are a class, too.
    """

    def __init__(self, options: Options, lexicon: Lexicon) -> None:
        self.options, self.lexicon = options, lexicon
        self.scaler, self.classifier = StandardScaler(), LogisticRegression(C=options.C, max_iter=5000)

    def fit(self, sets: Lists, x: Array, said: Lists) -> None:
        """Learn from the sets of samples, their features, and the words of the lexicon that were said."""
        self.words = tuple(dict.fromkeys((*sets.words, *said.words)))
        classes = classes_of(sets, self.lexicon)
        self.classifier.fit(self.scaler.fit_transform(x), classes)
        present = indicators(sets, self.words)
        self.by_class = np.stack([present[classes == code].mean(axis=0) for code in self.classifier.classes_])
        self.if_said = chances_if_said(present, indicators(said, self.words))

    def answers(self, x: Array, said: Lists) -> Lists:
        """Return the words whose probability reaches the threshold: by class, because they were said, or both."""
        by_class = self.classifier.predict_proba(self.scaler.transform(x)) @ self.by_class
        chances = 1 - (1 - by_class) * (1 - indicators(said, self.words) * self.if_said)
        given = (chances >= self.options.threshold) | (np.arange(len(self.words)) == chances.argmax(axis=1)[:, None])
        return Lists.of([[self.words[code] for code in np.flatnonzero(row).tolist()] for row in given])

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return what `answers` needs, by name."""
        scaler, classifier = self.scaler, self.classifier
        values = (
            *(scaler.mean_, scaler.scale_, classifier.coef_, classifier.intercept_, classifier.classes_),
            *(np.array(self.words, dtype=np.str_), self.by_class, self.if_said),
        )
        return dict(zip(PARTS, values, strict=True))

    def restore(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take what `weights` returned."""
        scaler, classifier = self.scaler, self.classifier
        scaler.mean_, scaler.scale_, classifier.coef_, classifier.intercept_, classifier.classes_ = (
            weights[name] for name in PARTS[:5]
        )
        self.words = tuple(weights["words"].tolist())
        self.by_class, self.if_said = weights["by_class"], weights["if_said"]


def lexicons(track: Track) -> Iterator[tuple[str, Lexicon]]:
    """Yield the lexicon of every target."""
    for name, target in track.targets.items():
        named = target.lexicon_name
        if named is None:
            raise UsageError(f"{track.id}: target '{name}' names no lexicon, which this baseline needs")
        yield name, open_lexicon(named)


def fused(features: Mapping[str, NDArray[np.float32]]) -> Array:
    """Return the concatenated features."""
    return np.concatenate([values.astype(np.float64) for values in features.values()], axis=1)


def classes_of(sets: Lists, lexicon: Lexicon) -> Codes:
    """Return the sector that most words of each set belong to, the first of equals; −1 without a known word."""
    sectors = lexicon.sectors(sets.words)[0].astype(np.int64)[sets.codes]
    samples = np.repeat(np.arange(len(sets)), np.diff(sets.offsets))
    counts = np.zeros((len(sets), int(sectors.max(initial=0)) + 1), dtype=np.int64)
    known = sectors >= 0
    np.add.at(counts, (samples[known], sectors[known]), 1)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)


def indicators(lists: Lists, words: tuple[str, ...]) -> Array:
    """Return 1 where a sample has a word, `(n, n_words)`; other words are left out."""
    codes = lists.recoded(words)
    samples = np.repeat(np.arange(len(lists)), np.diff(lists.offsets))
    table = np.zeros((len(lists), len(words)))
    table[samples[codes >= 0], codes[codes >= 0]] = 1
    return table


def chances_if_said(present: Array, said: Array) -> Array:
    """Return the share of samples saying a word whose set has it, shrunk towards the share of all said words."""
    n_said, n_right = said.sum(axis=0), (said * present).sum(axis=0)
    overall = n_right.sum() / max(n_said.sum(), 1)
    return np.asarray((n_right + PRIOR * overall) / (n_said + PRIOR))


def build(options: Options, setup: Setup) -> LexiconOv:
    return LexiconOv(options)
