"""Corruptions of when pictures are shown: lost frames, a frozen picture, a low frame rate.

Conventions:
    The number of frames and their times stay; a frame that is not shown shows what was shown before it. A frame of
    another size or depth than what was shown before it is always shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from merbench.corruptions.declaration import Parameter, Parameters, corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Frame, Plane


@corruption(
    modality="video",
    summary="frames are lost, and the last one seen stays in their place",
    parameters={"rate": Parameter("number", low=0, high=1, unit="of the frames")},
    leaves=lambda parameters: parameters["rate"] == 0,
)
def frame_drop(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Lose each frame but the first with the same probability, by itself; it shows the last one that was not lost.

    Args:
        frames: the frames; those that are lost are overwritten.
        rng: the generator of this sample and step; one draw for each frame.
        parameters: `rate`, the probability; 0 leaves the frames as they are.
    """
    rate = float(parameters["rate"])
    return _held(frames, lambda frame: float(uniforms(rng, 1)[0]) >= rate)


@corruption(
    modality="video",
    summary="the first frame stays; with a window, from its begin to its end",
    parameters={},
)
def frame_freeze(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Show the first frame in place of all that follow; a window says from when to when.

    Args:
        frames: the frames; all but the first are overwritten.
        rng: not used.
        parameters: none.
    """
    return _held(frames, lambda frame: False)


@corruption(
    modality="video",
    summary="pictures change only so many times a second",
    parameters={"rate_hz": Parameter("number", low=0.01, high=240, unit="Hz")},
)
def low_frame_rate(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Show the first frame of each period of 1 / rate_hz in place of the others of that period.

    Periods are counted from the beginning of the clip. A rate no lower than that of the clip changes nothing.

    Args:
        frames: the frames; those that are not shown are overwritten.
        rng: not used.
        parameters: `rate_hz`, periods a second.
    """
    rate_hz = float(parameters["rate_hz"])
    current = -math.inf

    def begins_period(frame: Frame) -> bool:
        nonlocal current
        before, current = current, math.floor((frame.time_s + _TOLERANCE_S) * rate_hz)
        return current != before

    return _held(frames, begins_period)


_TOLERANCE_S = 0.001
"""By how much a time may fall short of a period's begin: containers round times, Matroska to whole milliseconds."""


def _held(frames: Iterator[Frame], is_shown: Callable[[Frame], bool]) -> Iterator[Frame]:
    """Show the first frame and those that are to be shown; the others become copies of the last one shown."""
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
