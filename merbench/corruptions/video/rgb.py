"""A frame as an RGB picture, and the change of such a picture brought back to the frame's planes.

Conventions:
    A picture is float32 from 0 to 1, `(height, width, 3)` red, green, blue, or `(height, width, 1)` of a frame that has
    luma alone. Colour differences are enlarged bilinearly, as if each lay in the middle of the pixels it stands for,
    and reduced by the mean over these pixels. Primaries and transfer are left alone: red, green and blue are what a
    screen is given.
    Fresh memory costs more than arithmetic: what a function makes on its way it keeps in `scratch`, by name, for the
    next frame. Pictures returned are part of it and hold until the function is called with the same scratch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from merbench.corruptions.signals import Frame, Plane
from merbench.corruptions.video.planes import luma_range, neutral, opencv, peak, saturated, subsampling

Picture = NDArray[np.float32]
Scratch = dict[str, Any]

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""The weights of red and blue in luma (ITU-R BT.601, BT.709, BT.2020)."""


def buffer(scratch: Scratch, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return the array of that name, shape and type; what it holds is what was left in it."""
    array: NDArray[Any] | None = scratch.get(name)
    if array is None or array.shape != shape or array.dtype != dtype:
        array = scratch[name] = np.empty(shape, dtype)
    return array


def changed(frames: Iterator[Frame], change: Callable[[Picture, Picture], None]) -> Iterator[Frame]:
    """Return the frames with what is done to their pictures done to their planes, in place.

    Args:
        frames: the frames.
        change: takes the frame's picture, and an array of its shape, in which it leaves by how much each value changes.
    """
    scratch: Scratch = {}
    for frame in frames:
        picture = rgb(frame, scratch)
        difference = buffer(scratch, "change", picture.shape)
        change(picture, difference)
        yield with_change(frame, difference, scratch)


def rgb(frame: Frame, scratch: Scratch | None = None) -> Picture:
    """Return the frame's picture, clipped to the range from 0 to 1."""
    scratch = {} if scratch is None else scratch
    black, white = luma_range(frame)
    luma = _as_float(frame.planes[0], scratch, "luma")
    if len(frame.planes) == 1:
        luma -= np.float32(black)
        luma /= np.float32(white - black)
        return np.clip(luma, 0, 1, out=luma)[:, :, None]
    cv2 = opencv()
    differences = [
        _enlarged(plane, *ratio, scratch, f"difference {i}")[: frame.height, : frame.width]
        for i, (plane, ratio) in enumerate(zip(frame.planes, subsampling(frame), strict=True))
        if i > 0
    ]
    stacked = scratch["stacked"] = cv2.merge([luma, *differences], dst=scratch.get("stacked"))
    matrix = _decoding(frame.matrix, black, white, _excursion(frame), neutral(frame))
    picture: Picture = cv2.transform(stacked, matrix, dst=scratch.get("picture"))
    scratch["picture"] = picture
    return np.clip(picture, 0, 1, out=picture)


def rgb8(frame: Frame, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the frame's picture in 8 bits, from 0 to 255."""
    scratch = {} if scratch is None else scratch
    return in_8_bits(rgb(frame, scratch), scratch)


def in_8_bits(picture: Picture, scratch: Scratch) -> NDArray[np.uint8]:
    """Return a picture's values times 255, rounded."""
    levels = scratch["levels"] = opencv().convertScaleAbs(picture, dst=scratch.get("levels"), alpha=255)
    in_channels: NDArray[np.uint8] = levels.reshape(picture.shape)
    return in_channels


def with_change(frame: Frame, change: Picture, scratch: Scratch | None = None) -> Frame:
    """Return the frame with the change of its picture added to its planes, in place.

    Since colour matrices are linear, the planes change by the matrix of the change. What does not change keeps its
    bits, which a way to RGB and back would not.

    Args:
        frame: the frame of which `rgb` gave the picture.
        change: the damaged picture minus that of `rgb`, of its shape.
        scratch: arrays kept from frame to frame.
    """
    cv2 = opencv()
    for plane, values in zip(frame.planes, _encoded(frame, change, {} if scratch is None else scratch), strict=True):
        depth = cv2.CV_8U if plane.dtype == np.uint8 else cv2.CV_16U
        cv2.add(plane, values, dst=plane, dtype=depth)
        saturated(plane, frame)
    return frame


def from_rgb(frame: Frame, picture: Picture, scratch: Scratch | None = None) -> Frame:
    """Return a frame of any picture, in the depth, range, matrix and subsampling of the frame given."""
    offsets = (luma_range(frame)[0], neutral(frame), neutral(frame))
    encoded = _encoded(frame, picture, {} if scratch is None else scratch)
    planes = [
        np.clip(np.rint(values + np.float32(offset)), 0, peak(frame)).astype(plane.dtype)
        for values, offset, plane in zip(encoded, offsets, frame.planes, strict=False)
    ]
    return frame.with_planes(planes)


def _encoded(frame: Frame, picture: Picture, scratch: Scratch) -> list[Picture]:
    """Return luma and colour differences of a picture, without their offsets, as the frame subsamples them."""
    black, white = luma_range(frame)
    if picture.shape[2] == 1:
        return [picture[:, :, 0] * np.float32(white - black)]
    cv2 = opencv()
    matrix = _encoding(frame.matrix, white - black, _excursion(frame))
    stacked = scratch["stacked"] = cv2.transform(picture, matrix, dst=scratch.get("stacked"))
    return [_reduced(stacked, i, *ratio, scratch) for i, ratio in enumerate(subsampling(frame))]


def _excursion(frame: Frame) -> int:
    """Return how far colour differences go, from the lowest to the highest value."""
    return peak(frame) if frame.full_range else 224 << (frame.depth - 8)


@cache
def _encoding(matrix: str, luma: int, excursion: int) -> NDArray[np.float32]:
    red, blue = LUMA_WEIGHTS[matrix]
    weights = np.array([red, 1 - red - blue, blue])
    to_blue = (np.array([0, 0, 1]) - weights) / (2 * (1 - blue))
    to_red = (np.array([1, 0, 0]) - weights) / (2 * (1 - red))
    return np.stack([weights * luma, to_blue * excursion, to_red * excursion]).astype(np.float32)


@cache
def _decoding(matrix: str, black: int, white: int, excursion: int, middle: int) -> NDArray[np.float32]:
    red, blue = LUMA_WEIGHTS[matrix]
    green = 1 - red - blue
    luma = 1 / (white - black)
    from_red, from_blue = 2 * (1 - red) / excursion, 2 * (1 - blue) / excursion
    linear = np.array(
        [
            [luma, 0, from_red],
            [luma, -from_blue * blue / green, -from_red * red / green],
            [luma, from_blue, 0],
        ]
    )
    offsets = -(linear * np.array([black, middle, middle])).sum(axis=1)
    return np.column_stack([linear, offsets]).astype(np.float32)


def _as_float(plane: Plane, scratch: Scratch, name: str) -> Picture:
    values = buffer(scratch, name, plane.shape)
    values[...] = plane
    return values


def _enlarged(plane: Plane, rows: int, columns: int, scratch: Scratch, name: str) -> Picture:
    values = _as_float(plane, scratch, name)
    if rows == columns == 1:
        return values
    cv2 = opencv()
    height, width = plane.shape
    large: Picture = buffer(scratch, f"{name} enlarged", (height * rows, width * columns))
    cv2.resize(values, large.shape[::-1], dst=large, interpolation=cv2.INTER_LINEAR)
    return large


def _reduced(stacked: Picture, channel: int, rows: int, columns: int, scratch: Scratch) -> Picture:
    cv2 = opencv()
    name = f"channel {channel}"
    values: Picture = cv2.extractChannel(stacked, channel, dst=scratch.get(name))
    scratch[name] = values
    if rows == columns == 1:
        return values
    height, width = -(-values.shape[0] // rows), -(-values.shape[1] // columns)
    below, right = height * rows - values.shape[0], width * columns - values.shape[1]
    if below or right:
        values = cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_REPLICATE)
    reduced: Picture = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return reduced
