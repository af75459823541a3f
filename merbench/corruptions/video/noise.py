"""Corruptions that add noise to pictures: Gaussian, shot, impulse and speckle noise.

Conventions:
    Noise is defined on a picture of red, green and blue from 0 to 1, every value of every pixel by itself, and the
    corrupted picture is clipped to that range. A frame with fewer colour differences than pixels keeps the mean of
    their noise. A frame that has only luma is a picture of one channel. Frame by frame and row by row, each value uses
    one 16-bit slice of a raw word, the lowest first.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import N_SLICES, NORMAL_UNIT, normal_quantiles, slices
from merbench.corruptions.signals import Frames
from merbench.corruptions.video.pictures import IMAGENET_C, Picture, Scratch, buffer, changed, in_8_bits
from merbench.parameters import Within


@corruption("video", source=IMAGENET_C, severities={"sigma": (0.08, 0.12, 0.18, 0.26, 0.38)}, unchanged_at={"sigma": 0})
def gaussian_noise(frames: Frames, rng: PCG64, *, sigma: Annotated[float, Within(0, 2, "of full scale")]) -> Frames:
    """Add Gaussian noise, N(0, sigma²), to every value.

    Args:
        sigma: the standard deviation.
    """
    table = _normal_table(sigma)

    def add(picture: Picture, change: Picture) -> None:
        np.take(table, slices(rng, picture.size).reshape(picture.shape), out=change, mode="clip")
        _keep_in_range(picture, change)

    return changed(frames, add)


@corruption("video", source=IMAGENET_C, severities={"sigma": (0.15, 0.2, 0.35, 0.45, 0.6)}, unchanged_at={"sigma": 0})
def speckle_noise(frames: Frames, rng: PCG64, *, sigma: Annotated[float, Within(0, 2, "of the value")]) -> Frames:
    """Multiply every value by 1 + N(0, sigma²); black stays black.

    Args:
        sigma: the standard deviation.
    """
    table = _normal_table(sigma)

    def multiply(picture: Picture, change: Picture) -> None:
        np.take(table, slices(rng, picture.size).reshape(picture.shape), out=change, mode="clip")
        change *= picture
        _keep_in_range(picture, change)

    return changed(frames, multiply)


@corruption("video", source=IMAGENET_C, severities={"photons": (60, 25, 12, 5, 3)})
def shot_noise(frames: Frames, rng: PCG64, *, photons: Annotated[float, Within(0.1, 500, "at full scale")]) -> Frames:
    """Count photons: replace every value x by Poisson(photons · x) / photons.

    The mean of the count is that of x in 8 bits, as in ImageNet-C; what x has beyond these 8 bits stays. Counts invert
    the distribution function at the middle of one of 65,536 equal slices.

    Args:
        photons: number of photons; the fewer, the more noise.
    """
    table = poisson_quantiles(float(photons))
    scratch: Scratch = {}

    def count(picture: Picture, change: Picture) -> None:
        levels = in_8_bits(picture, scratch)
        places = buffer(scratch, "places", picture.shape, np.intp)
        np.multiply(levels, np.intp(N_SLICES), out=places)
        places += slices(rng, picture.size).reshape(picture.shape)
        counts = buffer(scratch, "counts", picture.shape, table.dtype)
        np.take(table, places, out=counts, mode="clip")
        np.multiply(counts, np.float32(1 / photons), out=change)
        change -= np.multiply(levels, np.float32(1 / 255), out=buffer(scratch, "means", picture.shape))
        _keep_in_range(picture, change)

    return changed(frames, count)


@corruption(
    "video", source=IMAGENET_C, severities={"fraction": (0.03, 0.06, 0.09, 0.17, 0.27)}, unchanged_at={"fraction": 0}
)
def impulse_noise(frames: Frames, rng: PCG64, *, fraction: Annotated[float, Within(0, 1, "of all values")]) -> Frames:
    """Make a fraction of all values 0 or 1, one as likely as the other.

    Args:
        fraction: share of the values that are hit, to the nearest 2⁻¹⁵.
    """
    each = round(fraction * N_SLICES / 2)

    def hit(picture: Picture, change: Picture) -> None:
        numbers = slices(rng, picture.size).reshape(picture.shape)
        np.subtract(numbers < each, picture, out=change)
        change *= numbers < 2 * each

    return changed(frames, hit)


def _keep_in_range(picture: Picture, change: Picture) -> None:
    change += picture
    np.clip(change, 0, 1, out=change)
    change -= picture


def _normal_table(sigma: float) -> Picture:
    return (normal_quantiles() * (NORMAL_UNIT * sigma)).astype(np.float32)


@lru_cache(maxsize=1)
def poisson_quantiles(photons: float) -> NDArray[np.unsignedinteger]:
    """Return the quantiles of Poisson(photons · level / 255) at the middles of 65,536 equal slices of [0, 1].

    Returns:
        `(256 * 65536,)` unsigned integers, one row of slices for each of the 256 levels, the same on every machine.
    """
    rows = [_poisson_row(photons * level / 255) for level in range(256)]
    largest = max(len(row) for row in rows) - 1
    counts = np.arange(largest + 1, dtype=np.uint8 if largest < 256 else np.uint16)
    return np.concatenate([np.repeat(counts[: len(row)], row) for row in rows])


def _poisson_row(mean: float) -> list[int]:
    """Return the number of slices in which the count is 0, 1, 2, …; `exp` is taken in decimals, see `drawing`."""
    probability = float((-Decimal(mean)).exp())
    cumulative, n_before, row = probability, 0, []
    while n_before < N_SLICES:
        n_upto = min(max(math.ceil(cumulative * N_SLICES - 0.5), n_before), N_SLICES)
        row.append(n_upto - n_before)
        n_before = n_upto
        probability *= mean / len(row)
        cumulative += probability
    return row
