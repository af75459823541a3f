"""Frames of every kind, in planes that lie as a decoder lays them, and colour arithmetic in float64 to check against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions import CORRUPTIONS, Corruption, Frame, generator
from merbench.parameters import taken

WEIGHTS = {"bt601": (0.299, 0.587, 0.114), "bt709": (0.2126, 0.7152, 0.0722), "bt2020": (0.2627, 0.6780, 0.0593)}

PADDING = 5
"""Values that lie between the end of a row and the begin of the next."""

FILLER = 77
"""What they hold."""

FORMATS: dict[str, dict[str, Any]] = {
    "420": {"subsampling": (2, 2)},
    "422": {"subsampling": (1, 2)},
    "440": {"subsampling": (2, 1)},
    "444": {"subsampling": (1, 1)},
    "411": {"subsampling": (1, 4)},
    "grey": {"subsampling": None},
    "420 of 10 bits": {"subsampling": (2, 2), "depth": 10},
    "444 of 12 bits, full range, BT.709": {
        "subsampling": (1, 1),
        "depth": 12,
        "full_range": True,
        "matrix": "bt709",
    },
    "422 of 16 bits, BT.2020": {"subsampling": (1, 2), "depth": 16, "matrix": "bt2020"},
    "grey of 10 bits, full range": {"subsampling": None, "depth": 10, "full_range": True},
    "turned by 90": {"subsampling": (2, 2), "rotation": 90},
}

SIZES = [(24, 32), (17, 23), (1, 1), (1, 9), (9, 1), (2, 2), (3, 5), (4, 1)]


def laid_out(values: NDArray[Any]) -> NDArray[Any]:
    """Return a plane whose rows lie apart in memory, as a decoder's do."""
    height, width = values.shape
    memory = np.full((height, width + PADDING), FILLER, values.dtype)
    memory[:, :width] = values
    return memory[:, :width]


def padding_of(plane: NDArray[Any]) -> NDArray[Any]:
    """Return what lies between the rows of a plane that was laid out."""
    memory = plane.base
    assert memory is not None
    return memory[:, plane.shape[1] :]


def made_frame(
    height: int,
    width: int,
    *,
    subsampling: tuple[int, int] | None = (2, 2),
    depth: int = 8,
    seed: int = 0,
    low: float = 0.0,
    high: float = 1.0,
    **about: Any,
) -> Frame:
    """Return a frame of noise between two parts of the values that its depth allows."""
    draws = np.random.default_rng(seed)
    sizes = [(height, width)]
    if subsampling is not None:
        sizes += [(-(-height // subsampling[0]), -(-width // subsampling[1]))] * 2
    top = (1 << depth) - 1
    kind = np.uint8 if depth == 8 else np.uint16
    planes = [draws.integers(round(low * top), round(high * top) + 1, size).astype(kind) for size in sizes]
    return Frame(tuple(map(laid_out, planes)), depth=depth, **about)


def copied(frame: Frame) -> Frame:
    """Return a frame with planes of its own."""
    return frame.with_planes([laid_out(plane) for plane in frame.planes])


def corrupted(name: str, frames: Iterable[Frame], seed: int = 0, **declared: Any) -> list[Frame]:
    """Return copies of the frames, corrupted with what is declared and the defaults."""
    corruption = CORRUPTIONS[name]
    rng = generator(seed, name, "a")
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    parameters = {**corruption.draw(given, rng), **declared}
    return list(applied(corruption, map(copied, frames), rng, parameters))


def applied(corruption: Corruption, frames: Iterator[Frame], rng: np.random.PCG64, values: dict[str, Any]) -> Any:
    """Return what the function of a corruption returns for values of parameters."""
    return corruption.function(frames, rng, **taken(corruption.function, values))


def corrupted_one(name: str, frame: Frame, seed: int = 0, **declared: Any) -> Frame:
    """Return a corrupted copy of one frame."""
    (out,) = corrupted(name, [frame], seed, **declared)
    return out


def values_of(frames: Iterable[Frame]) -> list[list[list[list[int]]]]:
    """Return what the planes hold."""
    return [[plane.tolist() for plane in frame.planes] for frame in frames]


def encoding(matrix: str) -> NDArray[np.float64]:
    """Return luma from 0 to 1 and colour differences from -1/2 to 1/2 of red, green and blue (ITU-R BT.601 et al.)."""
    red, green, blue = WEIGHTS[matrix]
    return np.array(
        [
            [red, green, blue],
            [-red / (2 * (1 - blue)), -green / (2 * (1 - blue)), 0.5],
            [0.5, -green / (2 * (1 - red)), -blue / (2 * (1 - red))],
        ]
    )


def scales(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the offsets and spans of Y, Cb and Cr."""
    unit = 2.0 ** (frame.depth - 8)
    if frame.full_range:
        top = 2.0**frame.depth - 1
        return np.array([0, 128 * unit, 128 * unit]), np.array([top, top, top])
    return np.array([16, 128, 128]) * unit, np.array([219, 224, 224]) * unit


def rgb_of_444(frame: Frame) -> NDArray[np.float64]:
    """Return red, green and blue of a frame that is not subsampled, not clipped."""
    offsets, spans = scales(frame)
    values = (np.stack(frame.planes, axis=-1) - offsets) / spans
    return values @ np.linalg.inv(encoding(frame.matrix)).T


def planes_of_444(picture: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """Return Y, Cb and Cr, not rounded, of a picture in the range and depth of a frame."""
    offsets, spans = scales(frame)
    return (picture @ encoding(frame.matrix).T) * spans + offsets


def psnr(reference: NDArray[Any], values: NDArray[Any], top: int = 255) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    error = np.mean((np.asarray(reference, float) - np.asarray(values, float)) ** 2)
    return float(10 * np.log10(top**2 / error)) if error else float("inf")
