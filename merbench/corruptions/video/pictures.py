"""The planes of a frame, and a frame as an RGB picture whose changes are applied to the frame's planes.

Conventions:
    A box is (x, y, width, height) in fractions of the picture shown, x to the right and y downwards.
    A picture is float32 from 0 to 1, `(height, width, 3)` red, green, blue, or `(height, width, 1)` of a frame that has
    only luma. Colour differences are enlarged bilinearly, as if each were in the middle of its pixels, and reduced by
    the mean over these pixels. Primaries and transfer stay: red, green and blue are what a screen receives.
    To allocate memory costs more than arithmetic: a function keeps its arrays in `scratch`, by name, for the next
    frame. Pictures returned are part of it and are valid until the function is called with the same scratch again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from merbench.corruptions.signals import Frame, Frames, Plane
from merbench.errors import MissingExtra

if TYPE_CHECKING:
    import cv2 as cv2
else:

    class _OpenCV:
        """OpenCV, imported where it is first used; `MissingExtra` if it is not installed."""

        def __getattr__(self, name: str) -> Any:
            try:
                import cv2 as module
            except ModuleNotFoundError as error:
                raise MissingExtra("corruption of pictures (opencv)", "media") from error
            self.__dict__[name] = value = getattr(module, name)
            return value

    cv2 = _OpenCV()

IMAGENET_C = "Hendrycks and Dietterich 2019 (ImageNet-C)"
"""Source of the severities of most corruptions of pictures."""

OPENVNA = "Yuan et al. 2024 (OpenVNA)"
"""Source of the corruptions that hide pictures, and of some that change their colours."""

REFERENCE_HEIGHT = 224
"""Rows of the pictures for which the tables of severities give sizes in pixels."""

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
"""The weights of red and blue in luma (ITU-R BT.601, BT.709, BT.2020)."""

Box = tuple[float, float, float, float]
Picture = NDArray[np.float32]
Scratch = dict[str, Any]


def subsampling(frame: Frame) -> list[tuple[int, int]]:
    """Return for each plane how many rows and columns of luma one of its values covers: powers of 2."""
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
    """Return the largest value that a plane may have."""
    return (1 << frame.depth) - 1


def saturated(plane: Plane, frame: Frame) -> None:
    """Lower, in place, what lies above the largest value of the frame's depth."""
    if frame.depth < 8 * plane.itemsize:
        np.minimum(plane, peak(frame), out=plane)


def look_up(plane: Plane, table: NDArray[np.floating], frame: Frame) -> None:
    """Replace, in place, every value `v` by `table[v]`, rounded and saturated; the table has one for each value."""
    values = np.clip(np.rint(table), 0, peak(frame)).astype(plane.dtype)
    if plane.dtype == np.uint8:
        cv2.LUT(plane, values, dst=plane)
    else:
        plane[...] = np.take(values, plane, mode="clip")


def shown_size(frame: Frame) -> tuple[int, int]:
    """Return height and width of the picture as a player shows it."""
    turned = frame.rotation in (90, 270)
    return (frame.width, frame.height) if turned else (frame.height, frame.width)


def pixels(value: float, frame: Frame, severity: int | None) -> float:
    """Return a size in pixels of the frame: as it is, or times height / 224 if a severity set it."""
    return value if severity is None else value * shown_size(frame)[0] / REFERENCE_HEIGHT


def fill_box(frame: Frame, box: Box, values: tuple[int, ...]) -> None:
    """Fill, in place, the pixels whose centres lie in a box of the picture shown with one value per plane.

    A centre on the upper or left edge of the box lies in it, one on the lower or right edge does not. Values of
    subsampled planes are filled where they cover a pixel that is.
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


def buffer(scratch: Scratch, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return the array of that name, shape and type, with whatever values were left in it."""
    array: NDArray[Any] | None = scratch.get(name)
    if array is None or array.shape != shape or array.dtype != dtype:
        array = scratch[name] = np.empty(shape, dtype)
    return array


def changed(frames: Frames, change: Callable[[Picture, Picture], None]) -> Frames:
    """Yield the frames with the change of their pictures applied to their planes, in place.

    `change` takes a frame's picture and an array of its shape, to which it writes the change of each value.
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
    differences = [
        _enlarged(plane, *ratio, scratch, f"difference {i}")[: frame.height, : frame.width]
        for i, (plane, ratio) in enumerate(zip(frame.planes, subsampling(frame), strict=True))
        if i > 0
    ]
    stacked = scratch["stacked"] = cv2.merge([luma, *differences], dst=scratch.get("stacked"))
    matrix = _decoding(frame.matrix, black, white, _excursion(frame), neutral(frame))
    picture = cast("Picture", cv2.transform(stacked, matrix, dst=scratch.get("picture")))
    scratch["picture"] = picture
    return np.clip(picture, 0, 1, out=picture)


def rgb8(frame: Frame, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the frame's picture in 8 bits, from 0 to 255."""
    scratch = {} if scratch is None else scratch
    return in_8_bits(rgb(frame, scratch), scratch)


def shown(frame: Frame, scratch: Scratch | None = None) -> NDArray[np.uint8]:
    """Return the picture as a player shows it: turned upright, `(height, width, 3)`, a copy."""
    picture = np.rot90(rgb8(frame, scratch), -(frame.rotation // 90))
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture.copy()


def in_8_bits(picture: Picture, scratch: Scratch) -> NDArray[np.uint8]:
    """Return a picture's values times 255, rounded."""
    levels = scratch["levels"] = cv2.convertScaleAbs(picture, dst=scratch.get("levels"), alpha=255)
    return cast("NDArray[np.uint8]", levels.reshape(picture.shape))


def with_change(frame: Frame, change: Picture, scratch: Scratch | None = None) -> Frame:
    """Return the frame with the change of its picture, corrupted minus `rgb`, added to its planes, in place.

    Since colour matrices are linear, the planes change by the matrix of the change. What does not change keeps its
    bits, unlike after a conversion to RGB and back.
    """
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
    matrix = _encoding(frame.matrix, white - black, _excursion(frame))
    stacked = cast("Picture", cv2.transform(picture, matrix, dst=scratch.get("stacked")))
    scratch["stacked"] = stacked
    return [_reduced(stacked, i, *ratio, scratch) for i, ratio in enumerate(subsampling(frame))]


def _excursion(frame: Frame) -> int:
    """Return the range of colour differences, from the lowest to the highest value."""
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
        [[luma, 0, from_red], [luma, -from_blue * blue / green, -from_red * red / green], [luma, from_blue, 0]]
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
    height, width = plane.shape
    large: Picture = buffer(scratch, f"{name} enlarged", (height * rows, width * columns))
    cv2.resize(values, large.shape[::-1], dst=large, interpolation=cv2.INTER_LINEAR)
    return large


def _reduced(stacked: Picture, channel: int, rows: int, columns: int, scratch: Scratch) -> Picture:
    name = f"channel {channel}"
    values = cast("Picture", cv2.extractChannel(stacked, channel, dst=scratch.get(name)))
    scratch[name] = values
    if rows == columns == 1:
        return values
    height, width = -(-values.shape[0] // rows), -(-values.shape[1] // columns)
    below, right = height * rows - values.shape[0], width * columns - values.shape[1]
    if below or right:
        values = cast("Picture", cv2.copyMakeBorder(values, 0, below, 0, right, cv2.BORDER_REPLICATE))
    return cast("Picture", cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))
