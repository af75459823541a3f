"""Corruptions that hide what pictures show: a box, a half, the face, everything.

Conventions:
    Boxes are in fractions of the picture shown. They are filled with black, or with grey half-way to white.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from numpy.random import PCG64

from merbench.corruptions.declaration import FromColumn, corruption
from merbench.corruptions.signals import Frame, Frames
from merbench.corruptions.video.pictures import OPENVNA, Box, fill_box, luma_range, neutral
from merbench.errors import Inapplicable
from merbench.parameters import Within

Fill = Literal["grey", "black"]
OfWidth = Annotated[float, Within(0, 1, "of the width")]
OfHeight = Annotated[float, Within(0, 1, "of the height")]

_HALVES: dict[str, Box] = {
    "upper": (0, 0, 1, 0.5),
    "lower": (0, 0.5, 1, 0.5),
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 0.5, 1),
}
_WHOLE: Box = (0, 0, 1, 1)


@corruption("video", source=OPENVNA, unchanged_at=({"width": 0}, {"height": 0}))
def occlusion_box(
    frames: Frames, _rng: PCG64, *, x: OfWidth, y: OfHeight, width: OfWidth, height: OfHeight, fill: Fill = "grey"
) -> Frames:
    """Hide the same box in every frame.

    A pixel is hidden if its centre lies in the box; the part of the box outside the picture hides nothing.

    Args:
        x: left edge.
        y: upper edge.
        width: width of the box.
        height: height of the box.
        fill: its colour.
    """
    return _hidden(frames, (x, y, width, height), fill)


@corruption("video", source=OPENVNA)
def occlusion_half(
    frames: Frames, _rng: PCG64, *, side: Literal["upper", "lower", "left", "right"], fill: Fill = "grey"
) -> Frames:
    """Hide the upper, lower, left or right half of the picture shown.

    Where a side is odd, its middle pixel belongs to the lower or right half.

    Args:
        side: which half.
        fill: its colour.
    """
    return _hidden(frames, _HALVES[side], fill)


@corruption("video", source=OPENVNA)
def occlusion_face(
    frames: Frames, _rng: PCG64, *, box: Annotated[Box | str, FromColumn()] = "face_box", fill: Fill = "grey"
) -> Frames:
    """Hide one box, the sample's own, in every frame.

    Inapplicable if a number is not finite, or width or height is not above 0.

    Args:
        box: x, y, width and height in fractions of the picture shown.
        fill: its colour.
    """
    x, y, width, height = map(float, box)
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        numbers = " ".join(f"{number:g}" for number in (x, y, width, height))
        raise Inapplicable(f"'{numbers}' is not a box: four fractions x, y, width and height, the last two above 0")
    return _hidden(frames, (x, y, width, height), fill)


@corruption("video", source=OPENVNA)
def blank(frames: Frames, _rng: PCG64) -> Frames:
    """Make every frame black."""
    return _hidden(frames, _WHOLE, "black")


def _hidden(frames: Frames, box: Box, fill: Fill) -> Frames:
    def hidden(frame: Frame) -> Frame:
        black, white = luma_range(frame)
        luma = black if fill == "black" else (black + white + 1) // 2
        fill_box(frame, box, (luma, neutral(frame), neutral(frame)))
        return frame

    return map(hidden, frames)
