"""Sound at another sampling rate, and what is lost by a conversion and back. Bits depend on soxr (SoX)."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.signals import Audio
from merbench.errors import MissingExtra
from merbench.parameters import Within

QUALITY = "HQ"
"""The quality of soxr at which sound is converted everywhere: its high one, of 20 bits."""


@corruption("audio", source="soxr, the resampler of SoX, at its high quality")
def resampling_loss(signal: Audio, _rng: PCG64, *, rate_hz: Annotated[int, Within(1000, 96_000, "Hz")]) -> Audio:
    """Convert to a lower sampling rate and back; nothing above half of it is left, and nothing is delayed.

    Args:
        rate_hz: the rate in between; a sound at that rate or a lower one stays as it is.
    """
    if rate_hz >= signal.rate_hz:
        return signal
    between = converted(signal.samples, signal.rate_hz, rate_hz)
    return signal.with_samples(of_length(converted(between, rate_hz, signal.rate_hz), signal.samples.shape[1]))


def converted(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Return `(channels, n)` samples at another rate, at least one of them; no sample is shifted.

    Raises:
        MissingExtra: soxr is not installed.
    """
    if from_hz == to_hz:
        return samples
    try:
        import soxr
    except ModuleNotFoundError as error:
        raise MissingExtra("sound at another rate (soxr)", "media") from error
    # A copy, since NumPy calls an array of one row contiguous whatever its strides, and soxr reads the strides.
    frames = np.array(samples.T, order="C")
    converted: NDArray[np.float32] = soxr.resample(frames, from_hz, to_hz, quality=QUALITY).T
    return of_length(converted, max(converted.shape[1], 1))


def of_length(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the first `n` samples, with zeros for those that are missing."""
    missing = n - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :n]
