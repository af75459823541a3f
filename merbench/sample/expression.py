"""Scenes go in; how each sample moves its voice or its face comes out, as a few numbers: the controls of an expression.

An emotion moves controls by a table, as far as the speaker is open; each speaker has a manner of their own, and every
sample strays. What is shown, and how open a speaker is, is what the vectors of the corpus show, too.

Conventions:
    Controls are `(n, controls)` int64 in units of `CONTROL_UNIT` of the deviation by which samples stray, rows as in
    the scenes. Products are of integers, and exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import normals
from merbench.sample.scenes import EMOTIONS, N_SPEAKERS, VALENCE_MEAN, Scenes, stream
from merbench.sample.vectors import Sense, openness, shown

Integers = NDArray[np.int64]

CONTROL_UNIT = 4096
"""How many units are one deviation."""


def scaled(control: Integers, mean: int, deviation: int) -> Integers:
    """Return a control in units of its own: so many to a deviation, around a mean."""
    return mean + deviation * control // CONTROL_UNIT


@dataclass(frozen=True)
class Expression:
    """What emotions do to controls.

    Attributes:
        sense: the modality whose vectors show the same.
        controls: name of each control.
        table: emotion -> by how many quarters of a deviation it moves each control of a speaker of mean openness.
        pleasant: by how many 64ths of a deviation a quarter of a point of valence above the emotion's mean does.
        speaker: how much speakers differ, in quarters of a deviation.
    """

    sense: Sense
    controls: tuple[str, ...]
    table: dict[str, tuple[int, ...]]
    pleasant: tuple[int, ...]
    speaker: int

    def of(self, scenes: Scenes) -> dict[str, Integers]:
        """Return the controls of all samples by name."""
        n_controls = len(self.controls)

        def drawn(purpose: str, n: int) -> Integers:
            return normals(stream(f"{self.sense.name} clip {purpose}"), n * n_controls).reshape(n, n_controls)

        open_by = openness()[scenes.speaker, None]
        emotions = np.array([self.table[emotion] for emotion in EMOTIONS])[shown(self.sense, scenes)]
        above = (scenes.valence - VALENCE_MEAN[scenes.emotion])[:, None] * np.array(self.pleasant)
        # In eighths of openness: quarters are 4096 / 4 / 8 = 128 units, 64ths are 8.
        moved = open_by * (128 * emotions + 8 * above)
        manner = (self.speaker * drawn("speaker", N_SPEAKERS) // 4)[scenes.speaker]
        total = moved + manner + drawn("strays", len(scenes))
        return dict(zip(self.controls, total.T, strict=True))
