"""Noise added to a whole sound: recorded, synthetic, or the babble of several speakers.

Conventions:
    Ratios, and measured ones, are as in `merbench.corruptions.audio.levels`. Noise from a bank is an `Audio` of
    `(k, m)`: k sources at the rate of the sound, of which the first samples are used, as many as the sound has. The
    caller that takes it from its bank chooses the crop; `fill` says how a noise shorter than the sound is continued
    there: with other sounds of the bank, or with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from merbench.corruptions.audio.levels import (
    SNR_SEVERITIES,
    Mono,
    Snr,
    mixed,
    noise_scale,
    noise_sources,
    realised_snr,
    rms,
    snr_of_difference,
    sound_level,
)
from merbench.corruptions.declaration import FromBank, corruption
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable
from merbench.parameters import Within

Noise = Annotated[Audio, FromBank()]
Fill = Literal["concatenate", "loop"]
Floats = NDArray[np.float64]

MER_2023_RATE_HZ = 16_000

_LOWEST, _HIGHEST = -32_768, 32_767


def _measured_noise(before: Audio, after: Audio, *, noise: Audio) -> dict[str, float | None]:
    return realised_snr(before, after, _one_source(before, noise))


@corruption(
    "audio", source="Lian et al. 2023 (MER 2023, arXiv:2304.08981)", severities=SNR_SEVERITIES, measured=_measured_noise
)
def background_noise(
    signal: Audio,
    _rng: PCG64,
    *,
    noise: Noise,
    snr_db: Snr,
    fill: Fill = "concatenate",
    variant: Literal["exact", "mer2023"] = "exact",
) -> Audio:
    """Add recorded noise at a signal-to-noise ratio, the same to every channel.

    Inapplicable if sound or noise is silent, the noise is too short or at another rate, or the variant is not
    defined for this sound.

    Args:
        noise: the noise, of one source.
        snr_db: the ratio.
        fill: how a noise shorter than the sound is continued.
        variant: `exact` adds in float64 and rounds the sum to float32; the sum may go beyond full scale. `mer2023` does
            what the generator of the MER 2023 and 2024 test sets did (Lian et al. 2023), for one channel at 16 kHz:
            sound and noise become 16-bit integers, a sum that leaves their range is scaled down until it just fits, and
            is truncated toward zero.
    """
    if variant == "mer2023":
        return _mixed_as_mer_2023(signal, noise, snr_db)
    return mixed(signal, _one_source(signal, noise), snr_db)


def _one_source(signal: Audio, noise: Audio) -> Mono:
    sources = noise_sources(signal, noise)
    if len(sources) != 1:
        raise Inapplicable(f"background noise is one source, not {len(sources)}")
    return np.asarray(sources[0])


def _mixed_as_mer_2023(signal: Audio, noise: Audio, snr_db: float) -> Audio:
    if signal.samples.shape[0] != 1 or signal.rate_hz != MER_2023_RATE_HZ:
        raise Inapplicable("variant mer2023 is defined for mono sound at 16 kHz")
    clean, added = _whole_numbers(signal.samples[0]), _whole_numbers(_one_source(signal, noise))
    total = clean + added * noise_scale(sound_level(clean), added, snr_db)
    highest, lowest = float(total.max()), float(total.min())
    if highest > _HIGHEST or lowest < _LOWEST:
        total *= _HIGHEST / highest if highest >= -lowest else _LOWEST / lowest
    return signal.with_samples(np.trunc(total)[None] / -_LOWEST)


def _whole_numbers(samples: Mono) -> Floats:
    """Return samples as the integers of a 16-bit file."""
    return np.clip(np.rint(samples.astype(np.float64) * -_LOWEST), _LOWEST, _HIGHEST)


AmplitudeOfBin = Callable[[Floats], Floats]

COLOURS: Mapping[str, AmplitudeOfBin] = {
    "white": np.ones_like,
    "pink": lambda frequency: 1 / np.sqrt(frequency),
    "brown": lambda frequency: 1 / frequency,
    "blue": np.sqrt,
    "violet": np.positive,
}
"""Amplitude over frequency; power goes with its square: 1, 1/f, 1/f², f and f²."""

_NOISE_UNIT = 2.0**-16


@corruption(
    "audio",
    source="power spectra 1, 1/f, 1/f², f, f² (Timmer and König 1995 for making them)",
    severities=SNR_SEVERITIES,
    measured=snr_of_difference,
)
def coloured_noise(
    signal: Audio, rng: PCG64, *, colour: Literal["white", "pink", "brown", "blue", "violet"], snr_db: Snr
) -> Audio:
    """Add noise whose power is 1 (white), 1/f (pink), 1/f² (brown), f (blue) or f² (violet) over frequency.

    Gaussian noise is shaped in the frequency domain over the whole length, without a mean (Timmer and König 1995), so
    that pink and brown noise reach down to one period in the length of the sound. All channels get the same noise.
    Inapplicable if the sound is silent, or so short (one sample) that noise without a mean is silent.

    Args:
        colour: the colour.
        snr_db: the ratio.
    """
    return mixed(signal, shaped_noise(rng, signal.samples.shape[1], COLOURS[colour]), snr_db)


def shaped_noise(rng: PCG64, n: int, amplitude: AmplitudeOfBin) -> Mono:
    """Return `n` samples of Gaussian noise of an amplitude over frequency, without a mean, of unit rms.

    Frequencies are periods over the entire length, from 1 on. Samples are rounded to multiples of 2⁻¹⁶, which hides the
    machine-dependent last bits of a Fourier transform, almost always: a value next to the middle of two multiples may
    still be rounded to either.
    """
    if n < 2:
        return np.zeros(n, np.float32)
    spectrum = np.fft.rfft(normals(rng, n) * NORMAL_UNIT)
    spectrum[0] = 0
    spectrum[1:] *= amplitude(np.arange(1, len(spectrum), dtype=np.float64))
    noise = np.fft.irfft(spectrum, n)
    level = float(np.sqrt(np.mean(np.square(noise))))
    unit = noise / level if level > 0 else noise
    return (np.rint(unit / _NOISE_UNIT) * _NOISE_UNIT).astype(np.float32)


FEWEST_SPEAKERS = 3


def _measured_babble(before: Audio, after: Audio, *, noise: Audio) -> dict[str, float | None]:
    return realised_snr(before, after, _babble(noise_sources(before, noise)))


@corruption(
    "audio",
    source="three to seven speakers of MUSAN (Snyder et al. 2015) as in the augmentation of Snyder et al. 2018",
    severities=SNR_SEVERITIES,
    measured=_measured_babble,
)
def babble(
    signal: Audio,
    _rng: PCG64,
    *,
    noise: Noise,
    n_speakers: Annotated[int, Within(FEWEST_SPEAKERS, 16, "speakers")] = 5,
    snr_db: Snr,
    fill: Fill = "concatenate",
) -> Audio:
    """Add the babble of at least three speakers, each at the same rms, at a signal-to-noise ratio.

    Inapplicable if the sound or a speaker is silent, or the speakers are fewer than three, too short or at
    another rate.

    Args:
        noise: the speakers, one in each channel.
        n_speakers: how many speakers are taken from the bank.
        snr_db: the ratio.
        fill: how a speaker's sound shorter than the signal is continued.
    """
    return mixed(signal, _babble(noise_sources(signal, noise)), snr_db)


def _babble(sources: NDArray[np.float32]) -> Mono:
    if len(sources) < FEWEST_SPEAKERS:
        raise Inapplicable(f"babble takes at least {FEWEST_SPEAKERS} speakers, not {len(sources)}")
    levels = [rms(source) for source in sources]
    if 0.0 in levels:
        raise Inapplicable(f"speaker {levels.index(0.0) + 1} of {len(levels)} is silent; babble has all at one rms")
    total = np.zeros(sources.shape[1])
    for source, level in zip(sources, levels, strict=True):
        total += source / level
    return total.astype(np.float32)
