"""The planes of a frame: how they are subsampled, what their values mean, where they lie in the picture shown.

Conventions:
    A box is (x, y, width, height) in fractions of the picture shown, x to the right and y downwards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import SEVERITY, Parameters
from merbench.corruptions.signals import Frame, Plane
from merbench.errors import MissingExtra

IMAGENET_C = "Hendrycks and Dietterich 2019 (ImageNet-C)"
"""Who tabled the severities of most corruptions of pictures."""

OPENVNA = "Yuan et al. 2024 (OpenVNA)"
"""Who named the corruptions that hide pictures, and some that change their colours."""

REFERENCE_HEIGHT = 224
"""Rows of the pictures for which the tables of severities give sizes in pixels."""

Box = tuple[float, float, float, float]


def opencv() -> Any:
    """Return OpenCV.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtra("damage to pictures (opencv)", "media") from error
    return cv2


def subsampling(frame: Frame) -> list[tuple[int, int]]:
    """Return for each plane how many rows and columns of luma one of its values stands for: powers of 2."""
    return [(_ratio(frame.height, plane.shape[0]), _ratio(frame.width, plane.shape[1])) for plane in frame.planes]


def _ratio(full: int, part: int) -> int:
    ratio = 1
    while -(-full // ratio) > part and ratio < full:
        ratio *= 2
    return ratio


def luma_range(frame: Frame) -> tuple[int, int]:
    """Return the values of black and white."""
    if frame.full_range:
        return 0, peak(frame)
    return 16 << (frame.depth - 8), 235 << (frame.depth - 8)


def neutral(frame: Frame) -> int:
    """Return the value of the colour differences of grey."""
    return 1 << (frame.depth - 1)


def peak(frame: Frame) -> int:
    """Return the largest value that a plane may hold."""
    return (1 << frame.depth) - 1


def saturated(plane: Plane, frame: Frame) -> None:
    """Lower, in place, what lies above the largest value of the frame's depth."""
    if frame.depth < 8 * plane.itemsize:
        np.minimum(plane, peak(frame), out=plane)


def look_up(plane: Plane, table: NDArray[np.floating], frame: Frame) -> None:
    """Replace, in place, every value `v` by `table[v]`, rounded and saturated; the table has one for each value."""
    values = np.clip(np.rint(table), 0, peak(frame)).astype(plane.dtype)
    if plane.dtype == np.uint8:
        opencv().LUT(plane, values, dst=plane)
    else:
        plane[...] = np.take(values, plane, mode="clip")


def shown_size(frame: Frame) -> tuple[int, int]:
    """Return height and width of the picture as a player shows it."""
    turned = frame.rotation in (90, 270)
    return (frame.width, frame.height) if turned else (frame.height, frame.width)


def pixels(value: float, frame: Frame, parameters: Parameters) -> float:
    """Return a size in pixels of the frame: as it is, or times height / 224 where `severity` gave it."""
    return value * shown_size(frame)[0] / REFERENCE_HEIGHT if SEVERITY in parameters else value


def fill_box(frame: Frame, box: Box, values: tuple[int, ...]) -> None:
    """Fill, in place, the pixels whose centres lie in a box of the picture shown with one value a plane.

    A centre on the upper or left edge of the box lies in it, one on the lower or right edge does not. Values of
    subsampled planes are filled where they stand for a pixel that is.
    """
    x, y, width, height = box
    n_rows, n_columns = shown_size(frame)
    shown_rows, shown_columns = _covered(y, y + height, n_rows), _covered(x, x + width, n_columns)
    match frame.rotation:
        case 90:
            (top, bottom), (left, right) = _mirrored(shown_columns, n_columns), shown_rows
        case 180:
            (top, bottom), (left, right) = _mirrored(shown_rows, n_rows), _mirrored(shown_columns, n_columns)
        case 270:
            (top, bottom), (left, right) = shown_columns, _mirrored(shown_rows, n_rows)
        case _:
            (top, bottom), (left, right) = shown_rows, shown_columns
    if top >= bottom or left >= right:
        return
    for plane, (rows, columns), value in zip(frame.planes, subsampling(frame), values, strict=False):
        plane[top // rows : -(-bottom // rows), left // columns : -(-right // columns)] = value


def _mirrored(span: tuple[int, int], n: int) -> tuple[int, int]:
    return n - span[1], n - span[0]


def _covered(begin: float, end: float, n: int) -> tuple[int, int]:
    """Return which of `n` pixels have their centres in [begin, end) of the whole."""
    first, last = (math.ceil(round(place * n - 0.5, 6)) for place in (begin, end))
    return max(first, 0), min(last, n)
