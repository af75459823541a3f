"""Levels of sounds, and sounds added to one another at a signal-to-noise ratio.

Conventions:
    The ratio is `20 log10(rms(sound) / rms(noise))` in decibels, the sound's rms over all of its channels together and
    over all that the function is given: the window of time, where there is one. Noise is `(n,)` float32 and goes into
    every channel alike. Sums of products are exact before they are rounded, and powers of 10 are taken in
    decimals, so that a mixture has the same bytes on every machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.powers import amplitude_ratio
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable

Mono = NDArray[np.float32]

SNR_SEVERITIES = {"snr_db": (20, 15, 10, 5, 0)}
"""Severities 1 to 5 of additive noise."""

_EXACT_BITS = 53
_BLOCK = 1 << 15
_NO_SAMPLES = "the sound has no samples; a signal-to-noise ratio has no meaning"


def dot(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the sum of the products of two arrays of floats of at most 26 significant bits.

    It is rounded once a block of samples, and once over the blocks.

    Raises:
        Inapplicable: there are infinities or NaN among the values.
    """
    starts = range(0, first.shape[-1], _BLOCK)
    return math.fsum(_dot(first[..., i : i + _BLOCK], second[..., i : i + _BLOCK]) for i in starts)


def _dot(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the sum of products, split into whole numbers on two power-of-two grids, which add up without rounding.

    What is below the finer grid, 2⁻⁷² of the largest product where there are 65,536, is left out.
    """
    products = np.multiply(first, second, dtype=np.float64)
    largest = max(float(products.max(initial=0.0)), -float(products.min(initial=0.0)))
    if largest == 0.0:
        return 0.0
    if not math.isfinite(largest):
        raise Inapplicable("the sound holds values that are no finite numbers")
    bits = _EXACT_BITS - products.size.bit_length()
    shift = bits - math.frexp(largest)[1]
    products *= math.ldexp(1.0, shift)
    coarse = np.rint(products)
    products -= coarse
    products *= 2.0**bits
    fine = np.rint(products, out=products)
    return math.ldexp((int(coarse.sum()) << bits) + int(fine.sum()), -shift - bits)


def rms(samples: NDArray[Any]) -> float:
    """Return the root of the mean square over all values; 0.0 where there are none."""
    return math.sqrt(dot(samples, samples) / samples.size) if samples.size else 0.0


def sound_level(samples: NDArray[Any]) -> float:
    """Return the rms of a sound that something is to be added to at a ratio.

    Raises:
        Inapplicable: it is silent, or has no samples.
    """
    if not samples.size:
        raise Inapplicable(_NO_SAMPLES)
    level = rms(samples)
    if level == 0.0:
        raise Inapplicable("the sound is silent; a signal-to-noise ratio has no meaning")
    return level


def noise_scale(level: float, noise: NDArray[Any], snr_db: float, what: str = "noise") -> float:
    """Return what noise is multiplied by to lie `snr_db` below a level.

    Raises:
        Inapplicable: the noise is silent.
    """
    noise_level = rms(noise)
    if noise_level == 0.0:
        raise Inapplicable(f"the {what} is silent; a signal-to-noise ratio has no meaning")
    return level / amplitude_ratio(snr_db) / noise_level


def mixed(audio: Audio, noise: Mono, snr_db: float) -> Audio:
    """Return the sum of a sound and of noise at a ratio; not scaled, so that it may go beyond full scale.

    Raises:
        Inapplicable: sound or noise is silent.
    """
    scale = noise_scale(sound_level(audio.samples), noise, snr_db)
    return audio.with_samples(audio.samples + scale * noise.astype(np.float64))


def at_rate_of(audio: Audio, other: Audio, what: str) -> Audio:
    """Return `other` where it has the sampling rate of `audio`.

    Raises:
        Inapplicable: it has another one; whoever hands it over converts it.
    """
    if other.rate_hz != audio.rate_hz:
        raise Inapplicable(f"the {what} is at {other.rate_hz:,} Hz and the sound at {audio.rate_hz:,} Hz")
    return other


def noise_sources(audio: Audio, noise: Audio) -> NDArray[np.float32]:
    """Return the first samples of every source of a noise, `(k, n)`, as many as the sound has.

    Raises:
        Inapplicable: the sound has no samples, or the noise is shorter than it or at another rate.
    """
    n, held = audio.samples.shape[1], at_rate_of(audio, noise, "noise").samples.shape[1]
    if n == 0:
        raise Inapplicable(_NO_SAMPLES)
    if held < n:
        raise Inapplicable(f"the noise is shorter than the sound: {held:,} of {n:,} samples")
    return noise.samples[:, :n]


def realised_snr(before: Audio, after: Audio, noise: Mono) -> dict[str, float | None]:
    """Return the ratio that a mixture came to, as `realised_snr_db`, whatever it was scaled by afterwards.

    Least squares solve `after = s before + g noise`; the ratio is that of `s before` to `g noise`. None where
    the noise is a multiple of the sound, or where one of both is absent from the mixture.
    """
    n_channels = before.samples.shape[0]
    sound_power, noise_power = _sum(before.samples, before.samples), n_channels * _sum(noise, noise)
    both = _sum(before.samples, noise)
    with_sound, with_noise = _sum(after.samples, before.samples), _sum(after.samples, noise)
    determinant = sound_power * noise_power - both**2
    if determinant <= 1e-12 * sound_power * noise_power:
        return {"realised_snr_db": None}
    sound_scale = (with_sound * noise_power - with_noise * both) / determinant
    added_scale = (with_noise * sound_power - with_sound * both) / determinant
    return _ratio(sound_scale**2 * sound_power, added_scale**2 * noise_power)


def snr_of_difference(before: Audio, after: Audio) -> dict[str, float | None]:
    """Return the ratio of a sound to what was added to it, as `realised_snr_db`; None where one of both is nothing."""
    added = after.samples.astype(np.float64) - before.samples
    return _ratio(_sum(before.samples, before.samples), _sum(added, added))


def _sum(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Return the sum of the products in plain float64: what comes of it is rounded far above its last bits."""
    return float(np.multiply(first, second, dtype=np.float64).sum())


def _ratio(sound_power: float, noise_power: float) -> dict[str, float | None]:
    audible = sound_power > 0 and noise_power > 0
    return {"realised_snr_db": 10 * math.log10(sound_power / noise_power) if audible else None}
