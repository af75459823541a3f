"""The face of a sample: a cartoon of head, hair, eyes, brows and a mouth that speaks.

Corners of the mouth, its opening, height and slant of the brows, the eyes and how much the head nods follow the
emotion; colours, proportions and manner are the speaker's.

Conventions:
    Pictures are 96 × 96 pixels at 12.5 per second, planes of luma and of colour differences at half the size, limited
    range. Lengths are integers in sixteenths of a pixel, coverages from 0 to 16. All of it is computed with integers,
    so that it is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.drawing import below, generator, normals
from merbench.sample.scenes import N_SPEAKERS, SEED, Scenes, stream
from merbench.sample.vectors import VIDEO, Expression, scaled

Integers = NDArray[np.int64]
Small = NDArray[np.int32]
Planes = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]

SIDE = 96
"""Rows and columns of a picture."""

FACE = Expression(
    VIDEO,
    ("smile", "opening", "brows", "slant", "eyes", "nod"),
    {
        "neutral": (0, -1, 0, 0, 0, -1),
        "angry": (-7, 3, -9, -9, 1, 4),
        "happy": (11, 5, 2, 1, -3, 3),
        "sad": (-8, -5, -2, 8, -7, -4),
        "worried": (-6, 0, 4, 8, 4, 0),
        "surprise": (0, 9, 10, 0, 9, 2),
    },
    pleasant=(5, 0, 0, 0, 0, 0),
    speaker=2,
)

_BORDER = 6  # pixels around the picture within which the head may move
_CANVAS = SIDE + 2 * _BORDER
_CENTRE = 16 * _CANVAS // 2
_NOD_LASTS = 7  # pictures from one nod to the next

_BROWS = (slice(20, 44), slice(18, 90))
_EYES = (slice(36, 58), slice(18, 90))
_MOUTH = (slice(64, 94), slice(26, 82))
"""Rows and columns of the canvas within which each is painted."""

_LOOKS = ("head", "apart", "thickness", "skin", "warmth", "hair")


@dataclass(frozen=True, eq=False)
class Faces:
    """The face of each sample, one value per scene; colours are luma and colour differences, `(n, 3)`."""

    smile: Integers  # how far the corners of the mouth are above its middle
    opening: Integers  # half of how far the lips are apart at rest, and when the mouth opens
    brows: Integers  # how far the brows are raised
    slant: Integers  # how far the inner ends of the brows are above the outer ones
    eyes: Integers  # half of the height of the eyes
    nod: Integers  # how far the head moves down and up, in pixels
    head: Integers  # half of the head's width
    apart: Integers  # half of the distance between the eyes
    thickness: Integers  # half of the thickness of the brows
    skin: Integers
    hair: Integers  # and brows
    wall: Integers


def faces(scenes: Scenes) -> Faces:
    """Return the faces of all samples."""
    control = FACE.of(scenes)
    looks = np.concatenate([below(stream(f"looks {name}"), N_SPEAKERS, 1024)[None] for name in _LOOKS])
    look = dict(zip(_LOOKS, looks[:, scenes.speaker], strict=True))
    walls = below(stream("clip wall"), 3 * len(scenes), 1024).reshape(3, -1)
    return Faces(
        np.clip(scaled(control["smile"], 4, 26), -96, 96),
        np.clip(scaled(control["opening"], 40, 12), 8, 96),
        np.clip(scaled(control["brows"], 0, 20), -56, 72),
        np.clip(scaled(control["slant"], 0, 20), -72, 72),
        np.clip(scaled(control["eyes"], 56, 9), 16, 96),
        np.clip(scaled(control["nod"], 1, 1), 0, 4),
        16 * 30 + look["head"] * 96 // 1024,
        16 * 13 + look["apart"] * 48 // 1024,
        16 + look["thickness"] * 14 // 1024,
        _colours((130, 107, 142), (75, 10, 12), [look["skin"], look["warmth"], look["warmth"]]),
        _colours((24, 112, 124), (56, 16, 20), [look["hair"], look["head"], look["hair"]]),
        _colours((50, 112, 108), (120, 40, 30), list(walls)),
    )


def _colours(lowest: tuple[int, ...], extent: tuple[int, ...], shares: list[Integers]) -> Integers:
    colours: Integers = np.array(lowest) + np.stack(shares, axis=1) * np.array(extent) // 1024
    return colours


def pictures(faces: Faces, row: int, sample_id: str, opening: Integers) -> Planes:
    """Return the pictures of one sample: planes `(m, 96, 96)`, `(m, 48, 48)` and `(m, 48, 48)`.

    Args:
        faces: the faces of all samples.
        row: which one.
        sample_id: its id, which seeds the deviations within a clip.
        opening: how open the mouth is while each picture is shown, from 0 to 256.
    """
    rng = generator(SEED, "clip pictures", sample_id)
    aside, above, blink, phase = (int(value) for value in below(rng, 4, 1024))
    n = len(opening)
    canvas = np.repeat(_head(faces, row, 0)[None], n, axis=0)
    canvas += (normals(rng, _CANVAS * _CANVAS).reshape(_CANVAS, _CANVAS) >> 11).astype(np.int32)
    hair = int(faces.hair[row, 0])
    eyes = np.full(n, int(faces.eyes[row]), np.int32)
    eyes[blink * n // 1024 : blink * n // 1024 + 2] = 8
    _draw_eyes(canvas[:, *_EYES], int(faces.apart[row]), eyes)
    _draw_brows(canvas[:, *_BROWS], faces, row, hair)
    _draw_mouth(canvas[:, *_MOUTH], faces, row, opening.astype(np.int32))
    nods = (np.arange(n) + phase * _NOD_LASTS // 1024) % _NOD_LASTS < _NOD_LASTS // 2
    tops = 2 * (above * 3 // 1024) + 2 * nods * ((int(faces.nod[row]) + 1) // 2)
    lefts = np.full(n, 2 * (aside * 7 // 1024))
    luma = np.clip(_cut(canvas, tops, lefts, SIDE), 16, 235)
    blue, red = (
        _cut(np.broadcast_to(plane, (n, *plane.shape)), tops // 2, lefts // 2, SIDE // 2)
        for plane in (_head(faces, row, 1), _head(faces, row, 2))
    )
    return luma.astype(np.uint8), blue.astype(np.uint8), red.astype(np.uint8)


def _cut(canvas: NDArray[np.int32], tops: Integers, lefts: Integers, side: int) -> NDArray[np.int32]:
    """Return a square of each picture of a canvas, beginning at its own place."""
    places = zip(canvas, tops.tolist(), lefts.tolist(), strict=True)
    return np.stack([picture[top : top + side, left : left + side] for picture, top, left in places])


@cache
def _positions() -> tuple[Small, Small]:
    """Return how far the middles of pixels are below and right of the centre of the canvas."""
    axis = 16 * np.arange(_CANVAS, dtype=np.int32) + 8 - _CENTRE
    return axis[:, None], axis[None, :]


def _within(place: tuple[slice, slice]) -> tuple[Small, Small]:
    down, across = _positions()
    return down[place[0]], across[:, place[1]]


def _ellipse(down: Small, across: Small, height: int | Small, width: int | Small) -> Small:
    """Return the coverage by an ellipse around the origin of half-axes `height` and `width`."""
    inside = 512 - 512 * down * down // (height * height) - 512 * across * across // (width * width)
    coverage: Small = np.clip(8 + (inside * np.minimum(height, width) >> 10), 0, 16)
    return coverage


def _paint(canvas: Small, colour: int | Small, coverage: Small) -> None:
    canvas += (colour - canvas) * coverage >> 4


def _head(faces: Faces, row: int, plane: int) -> Small:
    """Return one plane of wall, hair, head and nose, lit from one side; colour differences are of half the size."""
    step = 2 if plane else 1
    down, across = (axis[::step, ::step] for axis in _positions())
    skin, hair, wall = (int(colour[row, plane]) for colour in (faces.skin, faces.hair, faces.wall))
    width = int(faces.head[row])
    canvas = np.full((_CANVAS // step, _CANVAS // step), wall, np.int32)
    _paint(canvas, hair, _ellipse(down + 96, across, 40 * 16, width + 64))
    _paint(canvas, skin, _ellipse(down, across, 42 * 16, width))
    _paint(canvas, hair, _ellipse(down + 38 * 16, across, 14 * 16, width - 32))
    if plane == 0:
        _paint(canvas, skin - 28, _ellipse(down - 64, across, 80, 36))
        canvas += across // 80
    if plane == 2:
        _paint(canvas, skin + 20, _ellipse(down - 25 * 16, across, 64, 176))
    return canvas


def _draw_eyes(canvas: Small, apart: int, heights: Small) -> None:
    """Draw white and pupil of both eyes, as high as each picture has them."""
    down, across = _within(_EYES)
    from_middle = np.abs(across) - apart
    below = down + 16 * 7
    _paint(canvas, 225, _ellipse(below, from_middle, heights[:, None, None], 16 * 7))
    pupil = np.minimum(heights, 52)[:, None, None]
    _paint(canvas, 30, _ellipse(below, from_middle, pupil, 44))


def _draw_brows(canvas: Small, faces: Faces, row: int, hair: int) -> None:
    """Draw both brows: bars of equal thickness, from the inner end to the outer."""
    down, across = _within(_BROWS)
    from_middle = np.abs(across) - np.int32(faces.apart[row])
    half_width = 16 * 9
    line = -16 * 18 - int(faces.brows[row]) + int(faces.slant[row]) * from_middle // half_width
    sideways = 8 + half_width - np.abs(from_middle)
    thickness = 8 + int(faces.thickness[row]) - np.abs(down - line)
    _paint(canvas, hair, np.clip(np.minimum(sideways, thickness), 0, 16))


def _draw_mouth(canvas: Small, faces: Faces, row: int, opening: Small) -> None:
    """Draw the lips, bent by the smile, and what is dark between them, as open as each picture has it."""
    down, across = _within(_MOUTH)
    half_width = 16 * 14
    bend = 4096 * across * across // (half_width * half_width)
    middle = 16 * 25 + int(faces.smile[row]) * (2048 - bend) // 4096
    apart = (int(faces.opening[row]) * (64 + 3 * opening[:, None, None] // 4) >> 8) * np.maximum(4096 - bend, 0) >> 12
    away = np.abs(down - middle)
    sideways = 8 + half_width - np.abs(across)
    lips = np.minimum(sideways, 8 + apart + 20 - away)
    _paint(canvas, int(faces.skin[row, 0]) - 50, np.clip(lips, 0, 16))
    _paint(canvas, 28, np.clip(np.minimum(sideways, apart - away + 8), 0, 16))
