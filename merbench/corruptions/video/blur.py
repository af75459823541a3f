"""Corruptions that blur pictures: binomial pyramids, Gaussian, motion and defocus blur.

Conventions:
    Linear filters commute with the colour matrix up to rounding and clipping, so planes are blurred as they are stored;
    a subsampled plane by as much less as its values are farther apart. Beyond its edge a picture is mirrored about its
    outermost pixels (reflect-101). Sizes in pixels that a severity set are multiplied by height / 224.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.signals import Frame, Frames, Plane
from merbench.corruptions.video.pictures import (
    IMAGENET_C,
    Picture,
    Scratch,
    buffer,
    cv2,
    from_rgb,
    pixels,
    rgb8,
    subsampling,
)
from merbench.errors import Inapplicable
from merbench.parameters import Within

if TYPE_CHECKING:
    from cv2.typing import MatLike

Kernel = NDArray[np.float32]
Pixels = Annotated[float, Within(0, 200, "pixels")]

_BINOMIAL: Kernel = np.array([0.0625, 0.25, 0.375, 0.25, 0.0625], dtype=np.float32)
_IDENTITY = np.ones(1, dtype=np.float32)


@corruption(
    "video", source="Burt and Adelson 1983; Lian et al. 2023 (MER 2023)", unchanged_at={"factor": 1, "variant": "exact"}
)
def pyramid_blur(
    frames: Frames, _rng: PCG64, *, factor: Literal[1, 2, 4, 8, 16], variant: Literal["exact", "mer2023"] = "exact"
) -> Frames:
    """Halve every frame log2(factor) times by a 5 × 5 binomial pyramid, and enlarge it as often.

    A step down filters with the kernel (1 4 6 4 1) and keeps every other row and column; a step up puts zeros between
    and filters with four times the kernel, back to the size of the level above. A side of one pixel stays as it is.

    `exact` works on the stored planes, which approximates the blur of the RGB picture: a plane of colour differences
    takes one step less along an axis for every halving by which it is subsampled there. With 4:2:0, factor 2 leaves
    them untouched, and factor 4 is one step; with 4:2:2 the further steps are taken only along the other axis.

    `mer2023` does what the released generator of MER 2023 and 2024 does (Lian et al. 2023), with its defects: frames go
    through 8-bit RGB and back, which costs quality even at factor 1; a side that the factor does not divide becomes
    larger (590 becomes 592 at factor 4). The planes keep depth and subsampling. Inapplicable to a picture in colour
    that is one pixel high or wide, whose enlarged size does not determine how it is subsampled.

    Args:
        factor: how much the frames are reduced.
        variant: how.
    """
    n_levels = factor.bit_length() - 1
    return map(partial(_released, n_levels, {}), frames) if variant == "mer2023" else _pyramids(frames, n_levels)


def _pyramids(frames: Frames, n_levels: int) -> Frames:
    levels: list[list[MatLike | None]] = [[None] * n_levels for _ in range(4)]
    for frame in frames:
        for plane, (rows, columns), buffers in zip(frame.planes, subsampling(frame), levels, strict=False):
            n_rows, n_columns = (max(n_levels + 1 - ratio.bit_length(), 0) for ratio in (rows, columns))
            _down_and_up(plane, n_rows, n_columns, buffers)
        yield frame


def _down_and_up(plane: Plane, n_rows: int, n_columns: int, buffers: list[MatLike | None]) -> None:
    """Blur a plane in place; `buffers` contains the levels below it and serves the next plane of its size again."""
    n_both = min(n_rows, n_columns)
    levels: list[MatLike] = [plane]
    for k in range(n_both):
        levels.append(cv2.pyrDown(levels[k], dst=buffers[k]))
        buffers[k] = levels[-1]
    _along_axis(levels[-1], n_rows - n_both, 0)
    _along_axis(levels[-1], n_columns - n_both, 1)
    for below, above in zip(levels[:0:-1], levels[-2::-1], strict=True):
        height, width = above.shape
        cv2.pyrUp(below, dst=above, dstsize=(width, height))


def _along_axis(picture: MatLike, n_levels: int, axis: int) -> None:
    """Take a picture down and up a pyramid along one axis, in place."""
    if n_levels <= 0 or picture.shape[axis] == 1:
        return
    every_other = (slice(None, None, 2), slice(None)) if axis == 0 else (slice(None), slice(None, None, 2))
    small = _filtered_along(picture, _BINOMIAL, axis)[every_other].copy()
    _along_axis(small, n_levels - 1, axis)
    spread = np.zeros_like(picture)
    spread[every_other] = small
    picture[...] = _filtered_along(spread, _BINOMIAL * np.float32(2), axis)


def _filtered_along(picture: MatLike, kernel: Kernel, axis: int) -> MatLike:
    along_x, along_y = (_IDENTITY, kernel) if axis == 0 else (kernel, _IDENTITY)
    return cv2.sepFilter2D(picture, -1, along_x, along_y, borderType=cv2.BORDER_REFLECT_101)


def _released(n_levels: int, scratch: Scratch, frame: Frame) -> Frame:
    if n_levels and len(frame.planes) > 1 and min(frame.height, frame.width) == 1:
        raise Inapplicable("pyramid_blur: variant mer2023 does not apply to pictures one pixel high or wide")
    picture: MatLike = rgb8(frame, scratch)
    n_channels = picture.shape[2]
    for _ in range(n_levels):
        picture = cv2.pyrDown(picture)
    for _ in range(n_levels):
        picture = cv2.pyrUp(picture)
    scaled: Picture = buffer(scratch, "scaled", (*picture.shape[:2], n_channels))
    np.multiply(picture.reshape(scaled.shape), np.float32(1 / 255), out=scaled)
    return from_rgb(frame, scaled, scratch)


@corruption("video", source=IMAGENET_C, severities={"sigma": (1, 2, 3, 4, 6)}, unchanged_at={"sigma": 0})
def gaussian_blur(frames: Frames, _rng: PCG64, *, sigma: Pixels, severity: int | None = None) -> Frames:
    """Blur every frame by a Gaussian, cut off at three standard deviations.

    Args:
        sigma: standard deviation.
        severity: the severity that set it.
    """
    if sigma == 0:
        return frames
    return map(lambda frame: _with_gaussian_blur(frame, pixels(sigma, frame, severity)), frames)


def _with_gaussian_blur(frame: Frame, sigma: float) -> Frame:
    for plane, (rows, columns) in zip(frame.planes, subsampling(frame), strict=True):
        across, along = sigma / columns, sigma / rows
        size = (2 * math.ceil(3 * across) + 1, 2 * math.ceil(3 * along) + 1)
        cv2.GaussianBlur(plane, size, across, dst=plane, sigmaY=along, borderType=cv2.BORDER_REFLECT_101)
    return frame


@corruption(
    "video",
    source=IMAGENET_C,
    severities={"radius": (10, 15, 15, 15, 20), "sigma": (3, 5, 8, 12, 15)},
    unchanged_at=({"radius": 0}, {"sigma": 0}),
)
def motion_blur(
    frames: Frames,
    _rng: PCG64,
    *,
    radius: Pixels,
    sigma: Pixels,
    angle: Annotated[float, Within(-180, 180, "degrees, clockwise from rightwards")] = 0,
    severity: int | None = None,
) -> Frames:
    """Blur every frame along a line, with Gaussian weights that fade from the pixel on.

    A pixel becomes the mean of those at 0, 1, …, 2·radius pixels from it along the line, with weights
    `exp(-i² / 2σ²)`: a trail on one side. Values between pixels are interpolated. All frames have the same angle;
    ImageNet-C samples it, `angle = { uniform = [-45, 45] }`.

    Args:
        radius: half the length of the line.
        sigma: σ of the weights.
        angle: direction of the line.
        severity: the severity that set radius and sigma.
    """
    if radius == 0 or sigma == 0:
        return frames

    def blurred(frame: Frame) -> Frame:
        length, deviation = pixels(2 * radius, frame, severity), pixels(sigma, frame, severity)
        for plane, (rows, columns) in zip(frame.planes, subsampling(frame), strict=True):
            _filter(plane, *_line(round(length), deviation, angle - frame.rotation, rows, columns))
        return frame

    return map(blurred, frames)


@lru_cache(maxsize=16)
def _line(length: int, sigma: float, angle: float, rows: int, columns: int) -> tuple[Kernel, tuple[int, int]]:
    """Return the kernel of a line that starts at a pixel, cut to what is not zero, and the pixel's position in it."""
    steps = np.arange(min(length, math.ceil(4 * sigma)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    x = np.round(steps * math.cos(math.radians(angle)) / columns, 9)
    y = np.round(steps * math.sin(math.radians(angle)) / rows, 9)
    left, top = math.floor(x.min()), math.floor(y.min())
    kernel = np.zeros((math.ceil(y.max()) - top + 1, math.ceil(x.max()) - left + 1))
    first_x, first_y = np.floor(x).astype(int), np.floor(y).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            share = weights * np.abs(1 - dx - (x - first_x)) * np.abs(1 - dy - (y - first_y))
            is_hit = share > 0
            np.add.at(kernel, ((first_y - top + dy)[is_hit], (first_x - left + dx)[is_hit]), share[is_hit])
    return (kernel / kernel.sum()).astype(np.float32), (-left, -top)


@corruption("video", source=IMAGENET_C, severities={"radius": (3, 4, 6, 8, 10)}, unchanged_at={"radius": 0})
def defocus_blur(frames: Frames, _rng: PCG64, *, radius: Pixels, severity: int | None = None) -> Frames:
    """Blur every frame by a disk of even weights.

    A pixel at the edge of the disk has the weight of the part that the disk covers, where ImageNet-C smooths the edge.

    Args:
        radius: radius of the disk.
        severity: the severity that set it.
    """
    if radius == 0:
        return frames

    def blurred(frame: Frame) -> Frame:
        in_frame = pixels(radius, frame, severity)
        for plane, (rows, columns) in zip(frame.planes, subsampling(frame), strict=True):
            _filter(plane, *_disk(in_frame / rows, in_frame / columns))
        return frame

    return map(blurred, frames)


_PARTS = 8
"""Into how many parts a side of a pixel is cut to find how much of it a disk covers."""


@lru_cache(maxsize=16)
def _disk(radius_y: float, radius_x: float) -> tuple[Kernel, tuple[int, int]]:
    """Return the kernel of a disk, an ellipse where rows and columns are not equally far apart, and its middle."""
    half_y, half_x = (math.ceil(radius - 0.5) if radius > 0.5 else 0 for radius in (radius_y, radius_x))
    y, x = (((np.arange((2 * half + 1) * _PARTS) + 0.5) / _PARTS - half - 0.5) for half in (half_y, half_x))
    inside = (y[:, None] / radius_y) ** 2 + (x / radius_x) ** 2 <= 1
    parts = inside.reshape(2 * half_y + 1, _PARTS, 2 * half_x + 1, _PARTS)
    covered = parts.sum(axis=(1, 3)).astype(np.float64)
    covered[half_y, half_x] = max(covered[half_y, half_x], 1)
    return (covered / covered.sum()).astype(np.float32), (half_x, half_y)


def _filter(plane: Plane, kernel: Kernel, anchor: tuple[int, int]) -> None:
    cv2.filter2D(plane, -1, kernel, dst=plane, anchor=anchor, borderType=cv2.BORDER_REFLECT_101)
