"""Pictures that are transmitted badly: JPEG, large pixels, low resolution, lost and frozen frames, a low frame rate.

Conventions:
    The number of frames and their times stay; a frame that is not shown repeats the frame before it. A frame of another
    size or depth than the one shown before it is always shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal, cast

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Frame, Frames, Plane
from merbench.corruptions.video.pictures import (
    IMAGENET_C,
    Picture,
    Scratch,
    changed,
    cv2,
    in_8_bits,
    saturated,
    shown_size,
    subsampling,
)
from merbench.parameters import Within


@corruption("video", source=IMAGENET_C, severities={"quality": (25, 18, 15, 10, 7)})
def jpeg(frames: Frames, _rng: PCG64, *, quality: Annotated[int, Within(1, 100)]) -> Frames:
    """Code every frame as a JPEG and decode it.

    The picture is coded in 8 bits with colour differences at half the resolution. The difference between the coded and
    the 8-bit picture is added to the planes.

    Args:
        quality: quality on the scale of the Independent JPEG Group.
    """
    scratch: Scratch = {}

    def code(picture: Picture, change: Picture) -> None:
        levels = in_8_bits(picture, scratch)
        np.subtract(_coded(levels, quality), levels, out=change, dtype=np.float32)
        change *= np.float32(1 / 255)

    return changed(frames, code)


def _coded(levels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an 8-bit picture, of red, green and blue or of grey, after JPEG coding."""
    in_colour = levels.shape[2] == 3
    stored = cv2.cvtColor(levels, cv2.COLOR_RGB2BGR) if in_colour else levels
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if in_colour else cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return cast("NDArray[np.uint8]", decoded.reshape(levels.shape))


@corruption("video", source=IMAGENET_C, severities={"scale": (0.6, 0.5, 0.4, 0.3, 0.25)}, unchanged_at={"scale": 1})
def pixelate(frames: Frames, _rng: PCG64, *, scale: Annotated[float, Within(0.001, 1, "of the size")]) -> Frames:
    """Reduce every frame by means and enlarge it by repetition: large pixels.

    A subsampled plane gets as many large pixels as luma, or stays where it has no more values than that.

    Args:
        scale: number of large pixels over that of pixels, along each side; at least one is left.
    """

    def pixelated(frame: Frame) -> Frame:
        height, width = (max(int(side * scale), 1) for side in (frame.height, frame.width))
        for plane in frame.planes:
            size = (min(height, plane.shape[0]), min(width, plane.shape[1]))
            _reduced_and_enlarged(plane, size, cv2.INTER_NEAREST_EXACT)
        return frame

    return map(pixelated, frames)


@corruption("video", unchanged_at={"factor": 1, "height": 0})
def low_resolution(
    frames: Frames,
    _rng: PCG64,
    *,
    factor: Annotated[float, Within(1, 64)] = 1.0,
    height: Annotated[int, Within(0, 4320, "rows, 0 to use factor")] = 0,
    enlarge: Literal["cubic", "linear"] = "cubic",
) -> Frames:
    """Show every frame as if it had been recorded at a lower resolution.

    Every plane is reduced by means and enlarged again; subsampled planes are subsampled at the low resolution, too.

    Args:
        factor: factor by which both sides are reduced; 1 changes nothing.
        height: rows of the picture shown, instead of a factor; a frame that has no more rows stays.
        enlarge: how frames are enlarged.
    """
    interpolation = cv2.INTER_CUBIC if enlarge == "cubic" else cv2.INTER_LINEAR

    def lowered(frame: Frame) -> Frame:
        reduction = shown_size(frame)[0] / height if height else factor
        if reduction <= 1:
            return frame
        n_rows, n_columns = (max(round(side / reduction), 1) for side in (frame.height, frame.width))
        for plane, (ratio_y, ratio_x) in zip(frame.planes, subsampling(frame), strict=True):
            size = (-(-n_rows // ratio_y), -(-n_columns // ratio_x))
            _reduced_and_enlarged(plane, size, interpolation)
            saturated(plane, frame)
        return frame

    return map(lowered, frames)


def _reduced_and_enlarged(plane: Plane, size: tuple[int, int], interpolation: int) -> None:
    """Reduce a plane to a height and width by means and enlarge it again, in place; the same size leaves it."""
    if size == plane.shape:
        return
    small = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
    cv2.resize(small, plane.shape[::-1], dst=plane, interpolation=interpolation)


@corruption("video", unchanged_at={"rate": 0})
def frame_drop(frames: Frames, rng: PCG64, *, rate: Annotated[float, Within(0, 1, "of the frames")]) -> Frames:
    """Lose each frame but the first with the same probability; the last one received is repeated.

    Args:
        rate: the probability.
    """
    return _repeated(frames, lambda frame: float(uniforms(rng, 1)[0]) >= rate)


@corruption("video")
def frame_freeze(frames: Frames, _rng: PCG64) -> Frames:
    """Show the first frame in place of all that follow, within the window."""
    return _repeated(frames, lambda frame: False)


@corruption("video")
def low_frame_rate(frames: Frames, _rng: PCG64, *, rate_hz: Annotated[float, Within(0.01, 240, "Hz")]) -> Frames:
    """Show the first frame of each period of 1 / rate_hz in place of the others of that period.

    Periods are counted from the beginning of the clip. A rate no lower than that of the clip changes nothing.

    Args:
        rate_hz: periods per second.
    """
    current = -math.inf

    def begins_period(frame: Frame) -> bool:
        nonlocal current
        before, current = current, math.floor((frame.time_s + _TOLERANCE_S) * rate_hz)
        return current != before

    return _repeated(frames, begins_period)


_TOLERANCE_S = 0.001
"""By how much a time may precede its period: containers round times, Matroska to whole milliseconds."""


def _repeated(frames: Frames, is_shown: Callable[[Frame], bool]) -> Frames:
    """Show the first frame and those that `is_shown` chooses; the others become copies of the last one shown."""
    kept: list[Plane] = []
    for frame in frames:
        shown = is_shown(frame)
        if not _same_format(kept, frame):
            kept = [plane.copy() for plane in frame.planes]
        for plane, last in zip(frame.planes, kept, strict=True):
            if shown:
                last[...] = plane
            else:
                plane[...] = last
        yield frame


def _same_format(kept: list[Plane], frame: Frame) -> bool:
    return [(plane.shape, plane.dtype) for plane in kept] == [(plane.shape, plane.dtype) for plane in frame.planes]
