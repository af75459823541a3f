"""Corruptions of colour: brightness, contrast, saturation, swapped channels, inversion.

Conventions:
    Brightness and swapped channels are defined on the RGB picture; the others are the same on the stored planes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from merbench.corruptions.declaration import Parameter, Parameters, corruption
from merbench.corruptions.signals import Frame
from merbench.corruptions.video.planes import IMAGENET_C, OPENVNA, look_up, luma_range, neutral, opencv, peak
from merbench.corruptions.video.rgb import Picture, Scratch, buffer, changed


@corruption(
    modality="video",
    summary="brightness: the value of hue, saturation and value is raised",
    parameters={"amount": Parameter("number", low=-1, high=1, unit="of full scale")},
    source=IMAGENET_C,
    severities={"amount": (0.1, 0.2, 0.3, 0.4, 0.5)},
    leaves=lambda parameters: parameters["amount"] == 0,
)
def brightness(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Add an amount to the value (the largest of red, green and blue) of every pixel, between 0 and 1 (ImageNet-C).

    Hue and saturation stay: red, green and blue are multiplied by the new value over the old one; black becomes grey.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: `amount`, a part of full scale, negative for darker; 0 leaves the frames as they are.
    """
    amount = np.float32(parameters["amount"])
    scratch: Scratch = {}

    def raise_value(picture: Picture, change: Picture) -> None:
        value, raised = (buffer(scratch, name, picture.shape[:2]) for name in ("value", "raised"))
        value[...] = picture[:, :, 0]
        for channel in range(1, picture.shape[2]):
            np.maximum(value, picture[:, :, channel], out=value)
        np.clip(np.add(value, amount, out=raised), 0, 1, out=raised)
        raised -= value
        is_black = value == 0
        np.copyto(value, 1, where=is_black)
        np.multiply(picture, np.divide(raised, value, out=value)[:, :, None], out=change)
        np.copyto(change, raised[:, :, None], where=is_black[:, :, None])

    return changed(frames, raise_value)


@corruption(
    modality="video",
    summary="contrast: the distance to the mean of the frame is reduced",
    parameters={"factor": Parameter("number", low=0, high=1)},
    source=IMAGENET_C,
    severities={"factor": (0.4, 0.3, 0.2, 0.1, 0.05)},
    leaves=lambda parameters: parameters["factor"] == 1,
)
def contrast(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Multiply the distance of every value to its channel's mean over the frame by a factor (ImageNet-C).

    That is linear, and so the same on the stored planes, each about its own mean.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: `factor` from 0, which leaves one colour, to 1, which leaves the frames as they are.
    """
    factor = float(parameters["factor"])

    def flattened(frame: Frame) -> Frame:
        values = np.arange(peak(frame) + 1)
        for plane in frame.planes:
            mean = opencv().mean(plane)[0]
            look_up(plane, mean + factor * (values - mean), frame)
        return frame

    return map(flattened, frames)


@corruption(
    modality="video",
    summary="saturation: the distance of every colour to grey is multiplied",
    parameters={"factor": Parameter("number", low=0, high=4)},
    source=OPENVNA,
    leaves=lambda parameters: parameters["factor"] == 1,
)
def saturation(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Multiply the colour differences of every frame; luma stays.

    Args:
        frames: the frames, changed in place; one that has luma alone stays.
        rng: not used.
        parameters: `factor`, 0 for grey, 1 for no change, more for colours that are too strong, which are clipped where
            the planes end.
    """
    factor = float(parameters["factor"])

    def coloured(frame: Frame) -> Frame:
        middle = neutral(frame)
        table = middle + factor * (np.arange(peak(frame) + 1) - middle)
        for plane in frame.planes[1:]:
            look_up(plane, table, frame)
        return frame

    return map(coloured, frames)


_ORDERS = ("bgr", "grb", "rbg", "gbr", "brg")


@corruption(
    modality="video",
    summary="red, green and blue trade places",
    parameters={"order": Parameter("string", choices=_ORDERS, default="bgr")},
    source=OPENVNA,
)
def channel_swap(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Show other channels as red, green and blue.

    Args:
        frames: the frames, changed in place; one that has luma alone stays.
        rng: not used.
        parameters: `order`, which channels become red, green and blue: `bgr` shows blue as red and red as blue.
    """
    order = ["rgb".index(channel) for channel in parameters["order"]]

    def swap(picture: Picture, change: Picture) -> None:
        if picture.shape[2] == 1:
            change[...] = 0
            return
        for channel, shown in enumerate(order):
            np.subtract(picture[:, :, shown], picture[:, :, channel], out=change[:, :, channel])

    return changed(frames, swap)


@corruption(
    modality="video",
    summary="negative: every colour becomes its complement",
    parameters={},
    source=OPENVNA,
)
def inversion(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Replace every value x of red, green and blue by 1 - x, which is the same on the stored planes.

    Args:
        frames: the frames, changed in place.
        rng: not used.
        parameters: none.
    """

    def inverted(frame: Frame) -> Frame:
        values = np.arange(peak(frame) + 1)
        middles = (sum(luma_range(frame)) / 2, neutral(frame), neutral(frame))
        for plane, middle in zip(frame.planes, middles, strict=False):
            look_up(plane, 2 * middle - values, frame)
        return frame

    return map(inverted, frames)
