"""Corruptions of what transmission does to pictures: JPEG, large pixels, low resolution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.declaration import Parameter, Parameters, corruption
from merbench.corruptions.signals import Frame, Plane
from merbench.corruptions.video.planes import IMAGENET_C, opencv, saturated, shown_size, subsampling
from merbench.corruptions.video.rgb import Picture, Scratch, changed, in_8_bits


@corruption(
    modality="video",
    summary="JPEG compression of every frame",
    parameters={"quality": Parameter("integer", low=1, high=100)},
    source=IMAGENET_C,
    severities={"quality": (25, 18, 15, 10, 7)},
)
def jpeg(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Code every frame as a JPEG and decode it (severities: ImageNet-C).

    The picture is coded in 8 bits with colour differences at half the resolution. The difference that coding makes to
    the 8-bit picture is what is added to the planes.

    Args:
        frames: the frames, damaged in place.
        rng: not used.
        parameters: `quality` of the Independent JPEG Group's scale, 1 to 100.
    """
    quality = int(parameters["quality"])
    scratch: Scratch = {}

    def code(picture: Picture, change: Picture) -> None:
        levels = in_8_bits(picture, scratch)
        np.subtract(_coded(levels, quality), levels, out=change, dtype=np.float32)
        change *= np.float32(1 / 255)

    return changed(frames, code)


def _coded(levels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an 8-bit picture, of red, green and blue or of grey, after it was a JPEG."""
    cv2 = opencv()
    in_colour = levels.shape[2] == 3
    stored = cv2.cvtColor(levels, cv2.COLOR_RGB2BGR) if in_colour else levels
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB if in_colour else cv2.IMREAD_GRAYSCALE)
    coded: NDArray[np.uint8] = decoded.reshape(levels.shape)
    return coded


@corruption(
    modality="video",
    summary="large pixels: every frame is reduced by means and enlarged by repetition",
    parameters={"scale": Parameter("number", low=0.001, high=1, unit="of the size")},
    source=IMAGENET_C,
    severities={"scale": (0.6, 0.5, 0.4, 0.3, 0.25)},
    leaves=lambda parameters: parameters["scale"] == 1,
)
def pixelate(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Reduce every frame to a part of its size, by the mean over each large pixel, and repeat that (ImageNet-C).

    A subsampled plane gets as many large pixels as luma, or stays where it has no more values than that.

    Args:
        frames: the frames, damaged in place.
        rng: not used.
        parameters: `scale`, the number of large pixels over that of pixels, along each side; at least one is left; 1
            leaves the frames as they are.
    """
    scale = float(parameters["scale"])

    def pixelated(frame: Frame) -> Frame:
        cv2 = opencv()
        height, width = (max(int(side * scale), 1) for side in (frame.height, frame.width))
        for plane in frame.planes:
            size = (min(height, plane.shape[0]), min(width, plane.shape[1]))
            _reduced_and_enlarged(plane, size, cv2.INTER_NEAREST_EXACT)
        return frame

    return map(pixelated, frames)


@corruption(
    modality="video",
    summary="low resolution: every frame is reduced by means and enlarged smoothly",
    parameters={
        "factor": Parameter("number", low=1, high=64, default=1.0),
        "height": Parameter("integer", low=0, high=4320, unit="rows, 0 for what factor says", default=0),
        "enlarge": Parameter("string", choices=("cubic", "linear"), default="cubic"),
    },
    leaves=lambda parameters: parameters["factor"] == 1 and parameters["height"] == 0,
)
def low_resolution(frames: Iterator[Frame], rng: np.random.PCG64, parameters: Parameters) -> Iterator[Frame]:
    """Show every frame as if it had been recorded at a lower resolution.

    Every plane is reduced by means and enlarged again; subsampled planes are subsampled at the low resolution, too.

    Args:
        frames: the frames, damaged in place.
        rng: not used.
        parameters: `factor` by which both sides are reduced, 1 for no change; or `height` in rows of the picture shown,
            which is then what holds; a frame that has no more rows stays; `enlarge`, `cubic` or `linear`.
    """
    factor, rows, cubic = float(parameters["factor"]), parameters["height"], parameters["enlarge"] == "cubic"

    def lowered(frame: Frame) -> Frame:
        reduction = shown_size(frame)[0] / rows if rows else factor
        if reduction <= 1:
            return frame
        cv2 = opencv()
        height, width = (max(round(side / reduction), 1) for side in (frame.height, frame.width))
        for plane, (ratio_y, ratio_x) in zip(frame.planes, subsampling(frame), strict=True):
            size = (-(-height // ratio_y), -(-width // ratio_x))
            _reduced_and_enlarged(plane, size, cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR)
            saturated(plane, frame)
        return frame

    return map(lowered, frames)


def _reduced_and_enlarged(plane: Plane, size: tuple[int, int], interpolation: int) -> None:
    """Reduce a plane to a height and width by means and enlarge it again, in place; the same size leaves it."""
    if size == plane.shape:
        return
    cv2 = opencv()
    small = cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA)
    cv2.resize(small, plane.shape[::-1], dst=plane, interpolation=interpolation)
