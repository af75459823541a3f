"""Levels of sounds: clipping, gain and mute, and how sounds are added at a signal-to-noise ratio.

Conventions:
    The ratio is `20 log10(rms(sound) / rms(noise))` in decibels, the sound's rms over all of its channels together and
    over all that the function receives: the time window, where there is one. Noise is `(n,)` float32 and is added to
    every channel alike. Sums of products are exact before they are rounded, and powers of 10 are taken in decimals, so
    that a mixture has the same bytes on every machine.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.declaration import corruption
from merbench.corruptions.drawing import amplitude_ratio
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable
from merbench.parameters import Within

Mono = NDArray[np.float32]
Samples = NDArray[np.floating]
Snr = Annotated[float, Within(-20, 60, "dB")]
"""The parameter of every corruption that adds something at a signal-to-noise ratio."""

SNR_SEVERITIES = {"snr_db": (20, 15, 10, 5, 0)}
"""Severities 1 to 5 of additive noise."""

_EXACT_BITS = 53
_BLOCK = 1 << 15
_UNDEFINED = "a signal-to-noise ratio is not defined"


@corruption("audio", unchanged_at={"quantile": 1})
def clipping(signal: Audio, _rng: PCG64, *, quantile: Annotated[float, Within(0.001, 1, "of the magnitudes")]) -> Audio:
    """Cut samples off at plus and minus a quantile of the magnitudes, those of all channels together.

    The quantile is the smallest magnitude that at least this share of samples do not exceed. A silence, and a sound
    without samples, stay as they are. Inapplicable if so many samples are zero that the sound would be muted.

    Args:
        quantile: share of samples that stay as they are.
    """
    magnitudes = np.abs(signal.samples)
    if not magnitudes.any():
        return signal
    threshold = np.quantile(magnitudes, quantile, method="inverted_cdf")
    if threshold == 0:
        raise Inapplicable(f"the quantile {quantile:g} of the magnitudes is 0: clipping there would mute")
    return signal.with_samples(np.clip(signal.samples, -threshold, threshold))


@corruption("audio", unchanged_at={"gain_db": 0})
def gain(signal: Audio, _rng: PCG64, *, gain_db: Annotated[float, Within(-60, 60, "dB")]) -> Audio:
    """Multiply all samples by `10^(gain_db / 20)`; they may go beyond full scale.

    Args:
        gain_db: the gain.
    """
    return signal.with_samples(signal.samples.astype(np.float64) * amplitude_ratio(gain_db))


@corruption("audio")
def mute(signal: Audio, _rng: PCG64) -> Audio:
    """Replace all samples by zeros."""
    return signal.with_samples(np.zeros_like(signal.samples))


def dot(first: Samples, second: Samples) -> float:
    """Return the sum of the products of two arrays of floats of at most 26 significant bits.

    It is rounded once per block of samples, and once over the blocks. Raises `Inapplicable` for infinities and NaN.
    """
    starts = range(0, first.shape[-1], _BLOCK)
    return math.fsum(_dot(first[..., i : i + _BLOCK], second[..., i : i + _BLOCK]) for i in starts)


def _dot(first: Samples, second: Samples) -> float:
    """Return the sum of products, split into whole numbers on two power-of-two grids, which add up without rounding.

    What is below the finer grid, 2⁻⁷² of the largest of 65,536 products, is left out.
    """
    products = np.multiply(first, second, dtype=np.float64)
    largest = max(float(products.max(initial=0.0)), -float(products.min(initial=0.0)))
    if largest == 0.0:
        return 0.0
    if not math.isfinite(largest):
        raise Inapplicable("the sound contains values that are not finite numbers")
    bits = _EXACT_BITS - products.size.bit_length()
    shift = bits - math.frexp(largest)[1]
    products *= math.ldexp(1.0, shift)
    coarse = np.rint(products)
    products -= coarse
    products *= 2.0**bits
    fine = np.rint(products, out=products)
    return math.ldexp((int(coarse.sum()) << bits) + int(fine.sum()), -shift - bits)


def rms(samples: Samples) -> float:
    """Return the root of the mean square over all values; 0.0 where there are none."""
    return math.sqrt(dot(samples, samples) / samples.size) if samples.size else 0.0


def sound_level(samples: Samples, what: str = "sound") -> float:
    """Return the rms of a sound; raise `Inapplicable` if it is silent or has no samples: a ratio is not defined."""
    if not samples.size:
        raise Inapplicable(f"the {what} has no samples; {_UNDEFINED}")
    level = rms(samples)
    if level == 0.0:
        raise Inapplicable(f"the {what} is silent; {_UNDEFINED}")
    return level


def noise_scale(level: float, noise: Samples, snr_db: float, what: str = "noise") -> float:
    """Return the factor that brings noise `snr_db` below a level; raise `Inapplicable` if it is silent."""
    return level / amplitude_ratio(snr_db) / sound_level(noise, what)


def mixed(audio: Audio, noise: Mono, snr_db: float) -> Audio:
    """Return the sum of a sound and of noise at a ratio; not scaled, so that it may go beyond full scale."""
    scale = noise_scale(sound_level(audio.samples), noise, snr_db)
    return audio.with_samples(audio.samples + scale * noise.astype(np.float64))


def at_rate_of(audio: Audio, other: Audio, what: str) -> Audio:
    """Return `other`; raise `Inapplicable` if its sampling rate is not that of `audio`: the caller converts it."""
    if other.rate_hz != audio.rate_hz:
        raise Inapplicable(f"the {what} is at {other.rate_hz:,} Hz and the sound at {audio.rate_hz:,} Hz")
    return other


def noise_sources(audio: Audio, noise: Audio) -> NDArray[np.float32]:
    """Return the first samples of every source of a noise, `(k, n)`, as many as the sound has.

    Raises:
        Inapplicable: the sound has no samples, or the noise is shorter than it or at another rate.
    """
    n, n_noise = audio.samples.shape[1], at_rate_of(audio, noise, "noise").samples.shape[1]
    if n == 0:
        raise Inapplicable(f"the sound has no samples; {_UNDEFINED}")
    if n_noise < n:
        raise Inapplicable(f"the noise is shorter than the sound: {n_noise:,} of {n:,} samples")
    return noise.samples[:, :n]


def realised_snr(before: Audio, after: Audio, noise: Mono) -> dict[str, float | None]:
    """Return the ratio in a mixture, as `realised_snr_db`, also where the mixture was scaled afterwards.

    Least squares solve `after = s before + g noise`; the ratio is that of `s before` to `g noise`. None if the noise
    is a multiple of the sound, or where one of the two is absent from the mixture.
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
    """Return the ratio of a sound to what was added to it, as `realised_snr_db`; None if one of the two is zero."""
    added = after.samples.astype(np.float64) - before.samples
    return _ratio(_sum(before.samples, before.samples), _sum(added, added))


def _sum(first: Samples, second: Samples) -> float:
    """Return the sum of the products in plain float64: results are rounded far above its last bits."""
    return float(np.multiply(first, second, dtype=np.float64).sum())


def _ratio(sound_power: float, noise_power: float) -> dict[str, float | None]:
    audible = sound_power > 0 and noise_power > 0
    return {"realised_snr_db": 10 * math.log10(sound_power / noise_power) if audible else None}
