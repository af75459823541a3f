"""Scenes go in, utterance vectors of three modalities come out: what a voice, a face and words show of an emotion.

A voice tells excited from subdued, a face pleasant from unpleasant, and either may show another emotion than the one
felt; words tell what is said. Each speaker shows more or less of it, in a way of their own.

Conventions:
    Vectors are `(n, d)` int64 in units of 1/1024, rows as in the scenes. Products are of integers, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import normals, uniforms
from merbench.sample.scenes import EMOTIONS, N_SPEAKERS, VALENCE_MEAN, VOCABULARY, Scenes, felt, stream
from merbench.sample.words import EMOTION_WORDS

Integers = NDArray[np.int64]

VALUE_UNIT = 1 / 1024
"""The grid on which features lie."""


@dataclass(frozen=True)
class Sense:
    """How a modality shows what is felt; strengths are in 1/256 of the noise in every dimension.

    Attributes:
        name: the modality.
        n_dimensions: length of its vectors.
        groups: for each emotion, the group of those that look or sound alike.
        group: strength of the group's direction.
        own: strength of the emotion's own direction.
        valence: strength of a quarter of a point of valence above the emotion's mean.
        speaker: strength of the speaker's own vector.
        offset: strength of what all vectors share.
        masked: how often another emotion is shown than the one that is felt.
    """

    name: str
    n_dimensions: int
    groups: tuple[int, ...]
    group: int
    own: int
    valence: int
    speaker: int
    offset: int
    masked: float


AUDIO = Sense("audio", 64, (0, 1, 1, 0, 0, 1), group=72, own=60, valence=24, speaker=64, offset=540, masked=0.10)
VIDEO = Sense("video", 48, (0, 1, 2, 1, 1, 0), group=88, own=64, valence=36, speaker=64, offset=128, masked=0.18)

TEXT_DIMENSIONS = 96
"""Length of the vectors of text."""

_MEANING = 256
"""Strength of an emotion's direction in the vectors of its words, in 1/256 of the word's own."""


def vectors(scenes: Scenes) -> dict[str, Integers]:
    """Return the undamaged vectors of every modality."""
    seen = {sense.name: _seen(sense, scenes) for sense in (AUDIO, VIDEO)}
    return {**seen, "text": _said(scenes)}


def openness() -> Integers:
    """Return how much each speaker shows, in eighths: from 2 to 14."""
    return 2 + np.argsort(stream("openness").random_raw(N_SPEAKERS)) % 13


def shown(sense: Sense, scenes: Scenes) -> Integers:
    """Return the emotion that each sample shows: the one that is felt, or any that masks it."""
    masks = uniforms(stream(f"{sense.name} masks"), len(scenes)) < sense.masked
    return np.where(masks, felt(len(scenes), stream(f"{sense.name} shows")), scenes.emotion)


def _directions(purpose: str, n: int, n_dimensions: int) -> Integers:
    return normals(stream(purpose), n * n_dimensions).reshape(n, n_dimensions)


def _seen(sense: Sense, scenes: Scenes) -> Integers:
    """Return the vectors of a sense."""

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


def _said(scenes: Scenes) -> Integers:
    """Return the mean vector of the words of each sample, zero where nothing is said."""
    of_words = 256 * _directions("words", len(VOCABULARY), TEXT_DIMENSIONS)
    meanings = _directions("meanings", len(EMOTIONS), TEXT_DIMENSIONS)
    for meaning, own in zip(meanings, EMOTION_WORDS.values(), strict=True):
        of_words[[VOCABULARY.index(word) for word in own]] += _MEANING * meaning
    running = np.cumsum(np.pad(of_words[scenes.words], ((1, 0), (0, 0))), axis=0)
    ends = np.cumsum(scenes.n_words)
    total = running[ends] - running[ends - scenes.n_words]
    return _on_grid(total, 256 * 4096 * np.maximum(scenes.n_words, 1)[:, None])


def _on_grid(total: Integers, unit: int | Integers) -> Integers:
    """Return `total / unit` in steps of `VALUE_UNIT`, rounded down by whole-number division."""
    return total * 1024 // unit
