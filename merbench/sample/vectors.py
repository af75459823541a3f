"""What a voice, a face and words express of an emotion: utterance vectors, and the controls of clips.

A voice separates excited from subdued, a face pleasant from unpleasant, and either may show another emotion than the
one that is felt; words are what is said. Each speaker shows more or less of it, in a personal manner. The clips move by
the same: an emotion moves controls by a table, scaled by the speaker's openness, and every sample deviates.

Conventions:
    Vectors are `(n, d)` int64 in units of 1/1024, controls `(n,)` int64 in units of `CONTROL_UNIT` of the deviation
    between samples; rows as in the scenes. Products are of integers, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import normals, uniforms
from merbench.sample.scenes import EMOTION_WORDS, EMOTIONS, N_SPEAKERS, VALENCE_MEAN, VOCABULARY, Scenes, felt, stream

Integers = NDArray[np.int64]

VALUE_UNIT = 1 / 1024
"""The grid on which features lie."""

CONTROL_UNIT = 4096
"""How many units are one deviation."""


@dataclass(frozen=True)
class Sense:
    """How a modality shows what is felt; strengths are in 1/256 of the noise in every dimension."""

    name: str  # the modality
    n_dimensions: int  # length of its vectors
    groups: tuple[int, ...]  # for each emotion, the group of those that look or sound alike
    group: int  # strength of the group's direction
    own: int  # strength of the emotion's own direction
    valence: int  # strength of a quarter of a point of valence above the emotion's mean
    speaker: int  # strength of the speaker's own vector
    offset: int  # strength of what all vectors share
    masked: float  # how often another emotion is shown than the one that is felt


AUDIO = Sense("audio", 64, (0, 1, 1, 0, 0, 1), group=72, own=60, valence=24, speaker=64, offset=540, masked=0.10)
VIDEO = Sense("video", 48, (0, 1, 2, 1, 1, 0), group=88, own=64, valence=36, speaker=64, offset=128, masked=0.18)

TEXT_DIMENSIONS = 96

_MEANING = 256
"""Strength of an emotion's direction in the vectors of its words, in 1/256 of the word's own."""


def vectors(scenes: Scenes) -> dict[str, Integers]:
    """Return the clean vectors of every modality."""
    return {**{sense.name: _of_sense(sense, scenes) for sense in (AUDIO, VIDEO)}, "text": _of_words(scenes)}


def openness() -> Integers:
    """Return how much each speaker shows, in eighths: from 2 to 14."""
    return 2 + np.argsort(stream("openness").random_raw(N_SPEAKERS)) % 13


def shown(sense: Sense, scenes: Scenes) -> Integers:
    """Return the emotion that each sample shows: the one that is felt, or any that masks it."""
    masks = uniforms(stream(f"{sense.name} masks"), len(scenes)) < sense.masked
    return np.where(masks, felt(len(scenes), stream(f"{sense.name} shows")), scenes.emotion)


def _directions(purpose: str, n: int, n_dimensions: int) -> Integers:
    return normals(stream(purpose), n * n_dimensions).reshape(n, n_dimensions)


def _of_sense(sense: Sense, scenes: Scenes) -> Integers:
    def directions(purpose: str, n: int) -> Integers:
        return _directions(f"{sense.name} {purpose}", n, sense.n_dimensions)

    alike = directions("group", max(sense.groups) + 1)[list(sense.groups)]
    emotions = sense.group * alike + sense.own * directions("emotion", len(EMOTIONS))
    pleasant = (scenes.valence - VALENCE_MEAN[scenes.emotion])[:, None] * directions("valence", 1)
    expression = emotions[shown(sense, scenes)] + sense.valence * pleasant
    manner = sense.offset * directions("offset", 1) + sense.speaker * directions("speaker", N_SPEAKERS)
    noise = 256 * directions("noise", len(scenes))
    total = openness()[scenes.speaker, None] * expression + 8 * (manner[scenes.speaker] + noise)
    return _on_grid(total, 8 * 256 * 4096)


def _of_words(scenes: Scenes) -> Integers:
    """Return the mean vector of the words of each sample, zero if nothing is said."""
    of_words = 256 * _directions("words", len(VOCABULARY), TEXT_DIMENSIONS)
    meanings = _directions("meanings", len(EMOTIONS), TEXT_DIMENSIONS)
    for meaning, own in zip(meanings, EMOTION_WORDS.values(), strict=True):
        of_words[[VOCABULARY.index(word) for word in own]] += _MEANING * meaning
    running = np.cumsum(np.pad(of_words[scenes.words], ((1, 0), (0, 0))), axis=0)
    ends = np.cumsum(scenes.n_words)
    total = running[ends] - running[ends - scenes.n_words]
    return _on_grid(total, 256 * 4096 * np.maximum(scenes.n_words, 1)[:, None])


def _on_grid(total: Integers, unit: int | Integers) -> Integers:
    """Return `total / unit` in steps of `VALUE_UNIT`, rounded down by integer division."""
    return total * 1024 // unit


@dataclass(frozen=True)
class Expression:
    """What emotions do to the controls of clips."""

    sense: Sense  # the modality whose vectors show the same
    controls: tuple[str, ...]  # name of each control
    # emotion -> by how many quarters of a deviation it moves each control of a speaker of mean openness
    table: dict[str, tuple[int, ...]]
    # by how many 64ths of a deviation a quarter of a point of valence above the emotion's mean does
    pleasant: tuple[int, ...]
    speaker: int  # how much speakers differ, in quarters of a deviation

    def of(self, scenes: Scenes) -> dict[str, Integers]:
        """Return the controls of all samples by name."""

        def deviations(purpose: str, n: int) -> Integers:
            return _directions(f"{self.sense.name} clip {purpose}", n, len(self.controls))

        emotions = np.array([self.table[emotion] for emotion in EMOTIONS])[shown(self.sense, scenes)]
        above = (scenes.valence - VALENCE_MEAN[scenes.emotion])[:, None] * np.array(self.pleasant)
        # In eighths of openness: quarters are 4096 / 4 / 8 = 128 units, 64ths are 8.
        moved = openness()[scenes.speaker, None] * (128 * emotions + 8 * above)
        manner = (self.speaker * deviations("speaker", N_SPEAKERS) // 4)[scenes.speaker]
        total = moved + manner + deviations("strays", len(scenes))
        return dict(zip(self.controls, total.T, strict=True))


def scaled(control: Integers, mean: int, deviation: int) -> Integers:
    """Return a control in units of its own: so many per deviation, around a mean."""
    return mean + deviation * control // CONTROL_UNIT
