"""Captions of faces of the sample corpus, made of what its faces are drawn with: brows, eyes and mouth.

Nothing else is known here: neither what is felt, nor valence, nor what is said. A word for an emotion never occurs.
A parameter becomes one of five degrees around its middle; the first sentence summarises the face, each of the others
describes one part of it, in one of a few wordings. Parts at rest are often left out, as whoever describes a face
leaves out what is not remarkable.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from merbench.corruptions.drawing import below, generator
from merbench.sample.build import shuffled
from merbench.sample.face import Faces, faces
from merbench.sample.scenes import SEED, scenes

CAPTION = "caption"
"""The column of the samples."""

CAPTIONED = ("train", "dev")
"""Splits whose samples have captions: those that are learned from."""

_DEGREES = (-1.5, -0.5, 0.5, 1.5)
"""Where one degree ends and the next one begins, in deviations of a parameter."""

_REST = 2
"""The degree in the middle."""

# parameter -> middle, deviation, and the wordings of its degrees, from low to high
_PARTS: dict[str, tuple[int, int, tuple[tuple[str, ...], ...]]] = {
    "brows": (
        0,
        20,
        (
            ("The brows are pulled far down.", "The brows sit very low over the eyes."),
            ("The brows are lowered.", "The brows are drawn down a little."),
            ("The brows are at rest.", "The brows are neither high nor low."),
            ("The brows are raised.", "The brows are lifted a little."),
            ("The brows are raised high.", "The brows are lifted far above the eyes."),
        ),
    ),
    "slant": (
        0,
        20,
        (
            ("The inner ends of the brows are pulled far down.", "The brows slope steeply down towards the nose."),
            ("The inner ends of the brows are lowered.", "The brows slope down towards the nose."),
            ("The brows are straight.", "The brows run level."),
            ("The inner ends of the brows are raised.", "The brows slope up towards the middle."),
            ("The inner ends of the brows are raised high.", "The brows slope steeply up towards the middle."),
        ),
    ),
    "eyes": (
        56,
        9,
        (
            ("The eyes are narrowed to slits.", "The eyelids droop far down."),
            ("The eyes are narrowed.", "The eyelids are lowered a little."),
            ("The eyes are neither wide nor narrow.", "The eyelids are at rest."),
            ("The eyes are wide.", "The upper eyelids are raised."),
            ("The eyes are wide open.", "The upper eyelids are raised far, and the eyes are round."),
        ),
    ),
    "smile": (
        4,
        26,
        (
            ("The corners of the mouth are pulled far down.", "The mouth bends steeply downwards."),
            ("The corners of the mouth are pulled down.", "The mouth bends downwards a little."),
            ("The corners of the mouth are level.", "The line of the mouth is straight."),
            ("The corners of the mouth are pulled up.", "The mouth bends upwards a little."),
            ("The corners of the mouth are pulled far up.", "The mouth bends steeply upwards."),
        ),
    ),
    "opening": (
        40,
        12,
        (
            ("The lips are pressed together.", "The mouth is shut."),
            ("The lips are closed.", "The mouth hardly opens."),
            ("The lips are a little apart.", "The mouth is slightly open."),
            ("The lips are parted.", "The mouth is open."),
            ("The lips are wide apart.", "The mouth is wide open, and the jaw drops."),
        ),
    ),
}

_SUMMARIES = (
    "On the whole {brows} brows, {eyes} eyes and {smile} mouth.",
    "A face with {brows} brows, {eyes} eyes and {smile} mouth.",
    "The face shows {brows} brows over {eyes} eyes, and {smile} mouth.",
)

_SUMMED: dict[str, tuple[str, str, str]] = {
    "brows": ("low", "resting", "high"),
    "eyes": ("narrow", "medium", "large"),
    "smile": ("a drooping", "a level", "a rising"),
}
"""Words of a summary for what is below its middle degree, in it, and above it."""


def captions(sample_ids: Sequence[str]) -> list[str | None]:
    """Return the captions of samples of the sample corpus; None for those that are not in a split of `CAPTIONED`."""
    rows, drawn = _drawn()
    return [_caption(drawn, rows[name], name) if name in rows else None for name in sample_ids]


@cache
def _drawn() -> tuple[dict[str, int], Faces]:
    """Return the scene of every sample with a caption, and all faces."""
    drama = scenes()
    order, ids = shuffled(len(drama))
    rows = zip(ids, order.tolist(), strict=True)
    return {name: row for name, row in rows if drama.split[row] in CAPTIONED}, faces(drama)


def _caption(drawn: Faces, row: int, sample_id: str) -> str:
    """Return the caption of one face; wordings, and what is left out, depend on its id."""
    rng = generator(SEED, CAPTION, sample_id)
    picks = below(rng, 2 * len(_PARTS) + 1, 1024).tolist()
    degrees = {
        name: int(np.searchsorted(_DEGREES, (int(getattr(drawn, name)[row]) - middle) / deviation))
        for name, (middle, deviation, _) in _PARTS.items()
    }
    words = {name: three[int(np.sign(degrees[name] - _REST)) + 1] for name, three in _SUMMED.items()}
    sentences = [_SUMMARIES[picks.pop() % len(_SUMMARIES)].format(**words)]
    order = np.argsort(rng.random_raw(len(_PARTS)), kind="stable").tolist()
    for name in (list(_PARTS)[place] for place in order):
        wordings, wording, is_left_out = _PARTS[name][2][degrees[name]], picks.pop(), picks.pop() < 512
        if degrees[name] != _REST or not is_left_out:
            sentences.append(wordings[wording % len(wordings)])
    return " ".join(sentences)
