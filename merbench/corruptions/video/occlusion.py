"""Corruptions that hide what pictures show: a box, a half, the face, everything.

Conventions:
    Boxes are in fractions of the picture shown. What hides it is black, or grey half-way to white.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from merbench.corruptions.declaration import Parameter, Parameters, corruption
from merbench.corruptions.signals import Frame
from merbench.corruptions.video.planes import OPENVNA, Box, fill_box, luma_range, neutral
from merbench.errors import Inapplicable

_FILL = Parameter("string", choices=("grey", "black"), default="grey")
_HALVES: dict[str, Box] = {
    "upper": (0, 0, 1, 0.5),
    "lower": (0, 0.5, 1, 0.5),
    "left": (0, 0, 0.5, 1),
    "right": (0.5, 0, 0.5, 1),
}
_WHOLE: Box = (0, 0, 1, 1)


@corruption(
    modality="video",
    summary="a box hides a part of every frame",
    parameters={
        "x": Parameter("number", low=0, high=1, unit="of the width"),
        "y": Parameter("number", low=0, high=1, unit="of the height"),
        "width": Parameter("number", low=0, high=1, unit="of the width"),
        "height": Parameter("number", low=0, high=1, unit="of the height"),
        "fill": _FILL,
    },
    source=OPENVNA,
    leaves=lambda parameters: parameters["width"] == 0 or parameters["height"] == 0,
)
def occlusion_box(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Hide the same box in every frame.

    A pixel is hidden if its centre lies in the box; what of the box lies outside the picture hides nothing.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: `x`, `y`, the upper left corner, and `width`, `height` of the box in fractions of the picture shown;
            `fill`, `grey` or `black`.
    """
    x, y, width, height = (float(parameters[name]) for name in ("x", "y", "width", "height"))
    return _hidden(frames, (x, y, width, height), parameters["fill"])


@corruption(
    modality="video",
    summary="one half of every frame is hidden",
    parameters={"side": Parameter("string", choices=tuple(_HALVES)), "fill": _FILL},
    source=OPENVNA,
)
def occlusion_half(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Hide the upper, lower, left or right half of the picture shown.

    Where a side is odd, its middle pixel belongs to the lower or right half.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: `side` that is hidden; `fill`, `grey` or `black`.
    """
    return _hidden(frames, _HALVES[parameters["side"]], parameters["fill"])


@corruption(
    modality="video",
    summary="the face is hidden by the box that the corpus stores for each sample",
    parameters={"box": Parameter("column", default="face_box"), "fill": _FILL},
    source=OPENVNA,
)
def occlusion_face(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Hide one box, the sample's own, in every frame.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: `box`, declared as the name of a column of the corpus; here the sample's four numbers in it, x, y,
            width and height in fractions of the picture shown; `fill`, `grey` or `black`.

    Raises:
        Inapplicable: the box is none: a number is not finite, or its width or height is not above 0.
    """
    x, y, width, height = map(float, parameters["box"])
    if not all(map(math.isfinite, (x, y, width, height))) or width <= 0 or height <= 0:
        found = " ".join(f"{number:g}" for number in (x, y, width, height))
        raise Inapplicable(f"'{found}' is no box, four fractions x, y, width and height, the last two above 0")
    return _hidden(frames, (x, y, width, height), parameters["fill"])


@corruption(
    modality="video",
    summary="every frame is black",
    parameters={},
    source=OPENVNA,
)
def blank(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Make every frame black.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: none.
    """
    return _hidden(frames, _WHOLE, "black")


def _hidden(frames: Iterator[Frame], box: Box, fill: str) -> Iterator[Frame]:
    def hidden(frame: Frame) -> Frame:
        black, white = luma_range(frame)
        luma = black if fill == "black" else (black + white + 1) // 2
        fill_box(frame, box, (luma, neutral(frame), neutral(frame)))
        return frame

    return map(hidden, frames)
