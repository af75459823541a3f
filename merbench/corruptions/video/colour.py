"""Corruptions of colour: brightness, contrast, saturation, swapped channels, inversion.

Conventions:
    Brightness and swapped channels are defined on the RGB picture; the others are the same on the stored planes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64

from merbench.corruptions.declaration import corruption
from merbench.corruptions.signals import Frame, Frames
from merbench.corruptions.video.pictures import (
    IMAGENET_C,
    OPENVNA,
    Picture,
    Scratch,
    buffer,
    changed,
    cv2,
    look_up,
    luma_range,
    neutral,
    peak,
)
from merbench.parameters import Within


@corruption("video", source=IMAGENET_C, severities={"amount": (0.1, 0.2, 0.3, 0.4, 0.5)}, unchanged_at={"amount": 0})
def brightness(frames: Frames, _rng: PCG64, *, amount: Annotated[float, Within(-1, 1, "of full scale")]) -> Frames:
    """Raise the value (the largest of red, green and blue) of every pixel by an amount, between 0 and 1.

    Hue and saturation stay: red, green and blue are multiplied by the new value over the old one; black becomes grey.

    Args:
        amount: the amount, negative for darker.
    """
    scratch: Scratch = {}

    def raise_value(picture: Picture, change: Picture) -> None:
        value, raised = (buffer(scratch, name, picture.shape[:2]) for name in ("value", "raised"))
        value[...] = picture[:, :, 0]
        for channel in range(1, picture.shape[2]):
            np.maximum(value, picture[:, :, channel], out=value)
        np.clip(np.add(value, np.float32(amount), out=raised), 0, 1, out=raised)
        raised -= value
        is_black = value == 0
        np.copyto(value, 1, where=is_black)
        np.multiply(picture, np.divide(raised, value, out=value)[:, :, None], out=change)
        np.copyto(change, raised[:, :, None], where=is_black[:, :, None])

    return changed(frames, raise_value)


@corruption("video", source=IMAGENET_C, severities={"factor": (0.4, 0.3, 0.2, 0.1, 0.05)}, unchanged_at={"factor": 1})
def contrast(frames: Frames, _rng: PCG64, *, factor: Annotated[float, Within(0, 1)]) -> Frames:
    """Multiply the distance of every value to its channel's mean over the frame by a factor.

    This is linear, and so the same on the stored planes, each about its own mean.

    Args:
        factor: from 0, which leaves one colour, to 1, which changes nothing.
    """

    def flattened(frame: Frame) -> Frame:
        values = np.arange(peak(frame) + 1)
        for plane in frame.planes:
            mean = cv2.mean(plane)[0]
            look_up(plane, mean + factor * (values - mean), frame)
        return frame

    return map(flattened, frames)


@corruption("video", source=OPENVNA, unchanged_at={"factor": 1})
def saturation(frames: Frames, _rng: PCG64, *, factor: Annotated[float, Within(0, 4)]) -> Frames:
    """Multiply the colour differences of every frame; luma stays, and so does a frame that has only luma.

    Args:
        factor: 0 for grey, 1 for no change, more for colours that are too strong, which are clipped to the planes'
            range.
    """

    def coloured(frame: Frame) -> Frame:
        middle = neutral(frame)
        table = middle + factor * (np.arange(peak(frame) + 1) - middle)
        for plane in frame.planes[1:]:
            look_up(plane, table, frame)
        return frame

    return map(coloured, frames)


@corruption("video", source=OPENVNA)
def channel_swap(frames: Frames, _rng: PCG64, *, order: Literal["bgr", "grb", "rbg", "gbr", "brg"] = "bgr") -> Frames:
    """Show other channels as red, green and blue; a frame that has only luma stays.

    Args:
        order: which channels become red, green and blue: `bgr` shows blue as red and red as blue.
    """
    channels = ["rgb".index(channel) for channel in order]

    def swap(picture: Picture, change: Picture) -> None:
        if picture.shape[2] == 1:
            change[...] = 0
            return
        for channel, shown in enumerate(channels):
            np.subtract(picture[:, :, shown], picture[:, :, channel], out=change[:, :, channel])

    return changed(frames, swap)


@corruption("video", source=OPENVNA)
def inversion(frames: Frames, _rng: PCG64) -> Frames:
    """Replace every value x of red, green and blue by 1 - x, which is the same on the stored planes."""

    def inverted(frame: Frame) -> Frame:
        values = np.arange(peak(frame) + 1)
        middles = (sum(luma_range(frame)) / 2, neutral(frame), neutral(frame))
        for plane, middle in zip(frame.planes, middles, strict=False):
            look_up(plane, 2 * middle - values, frame)
        return frame

    return map(inverted, frames)
