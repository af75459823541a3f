"""Filters of sound: a telephone's band, the low or the high frequencies, the reverberation of a room.

Conventions:
    Bands are Butterworth filters (Butterworth 1930) in sections of the second order (SciPy's `butter` and
    `sosfiltfilt`), run forward and backward (Gustafsson 1996): no frequency is delayed, so that sound stays in step
    with pictures and words. Applied twice, a filter of order N falls by 2N × 6 dB an octave and is at −6 dB at its
    cut-off. Where a sound is too short for the usual extension at both ends, a shorter one is used. Bits depend on
    SciPy, without which every function raises `MissingExtra`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64

from merbench.corruptions.audio.levels import at_rate_of, rms
from merbench.corruptions.declaration import FromBank, corruption
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra
from merbench.parameters import Within

Frequency = Annotated[float, Within(1, 192_000, "Hz")]
Order = Annotated[int, Within(1, 12)]
_SOURCE = "Butterworth 1930; Gustafsson 1996"


@corruption("audio", source=f"ITU-T G.712 for the band; {_SOURCE}")
def telephone_band(
    signal: Audio, _rng: PCG64, *, low_hz: Frequency = 300, high_hz: Frequency = 3400, order: Order = 4
) -> Audio:
    """Keep only the band that a telephone transmits, from `low_hz` to `high_hz`.

    Where the sound contains nothing above `high_hz`, because half of its rate is below, only the low end is cut.
    Inapplicable if `low_hz` is not below `high_hz` and half of the sound's rate.

    Args:
        low_hz: lower end, at −6 dB.
        high_hz: upper end, at −6 dB.
        order: order of the filter at either end.
    """
    if low_hz >= high_hz:
        raise Inapplicable(f"low_hz = {low_hz:g} is not below high_hz = {high_hz:g}")
    if high_hz >= signal.rate_hz / 2:
        return _high_passed(signal, low_hz, order)
    return _filtered(signal, (low_hz, high_hz), order, "bandpass")


@corruption("audio", source=_SOURCE)
def low_pass(signal: Audio, _rng: PCG64, *, cutoff_hz: Frequency, order: Order = 4) -> Audio:
    """Keep only the frequencies below a cut-off.

    A sound that contains nothing above the cut-off, because half of its rate is below, stays as it is.

    Args:
        cutoff_hz: the cut-off, at −6 dB.
        order: order of the filter.
    """
    return signal if cutoff_hz >= signal.rate_hz / 2 else _filtered(signal, cutoff_hz, order, "lowpass")


@corruption("audio", source=_SOURCE)
def high_pass(signal: Audio, _rng: PCG64, *, cutoff_hz: Frequency, order: Order = 4) -> Audio:
    """Keep only the frequencies above a cut-off.

    Inapplicable if the cut-off is not below half of the sound's rate: nothing would be left.

    Args:
        cutoff_hz: the cut-off, at −6 dB.
        order: order of the filter.
    """
    return _high_passed(signal, cutoff_hz, order)


def _high_passed(signal: Audio, cutoff_hz: float, order: int) -> Audio:
    if cutoff_hz >= signal.rate_hz / 2:
        raise Inapplicable(f"there is nothing above {cutoff_hz:g} Hz in a sound at {signal.rate_hz:,} samples a second")
    return _filtered(signal, cutoff_hz, order, "highpass")


def _filtered(
    signal: Audio, cutoff_hz: float | tuple[float, float], order: int, kind: Literal["lowpass", "highpass", "bandpass"]
) -> Audio:
    n = signal.samples.shape[1]
    if n == 0:
        return signal
    try:
        from scipy.signal import butter, sosfiltfilt
    except ModuleNotFoundError as error:
        raise MissingExtra("a band limit (SciPy)", "media") from error
    sections = butter(order, cutoff_hz, kind, fs=signal.rate_hz, output="sos")
    settling = 3 * (2 * len(sections) + 1)
    filtered = sosfiltfilt(sections, signal.samples.astype(np.float64), axis=1, padlen=min(settling, n - 1))
    return signal.with_samples(filtered)


@corruption("audio", source="Allen and Berkley 1979; Ko et al. 2017 for recordings corrupted so")
def reverberation(signal: Audio, _rng: PCG64, *, impulse_response: Annotated[Audio, FromBank(entire=True)]) -> Audio:
    """Put the sound into a room: convolve every channel with an impulse response.

    The direct path, the largest magnitude of the response, is at time 0, so that the sound stays where it was; what
    rings on after the end is cut off; the result has the rms of the sound, over all channels together. Silence stays
    silent. Inapplicable if the impulse response is silent or at another rate.

    Args:
        impulse_response: a sound of any length, of which the first channel is used.
    """
    response = at_rate_of(signal, impulse_response, "impulse response").samples[0].astype(np.float64)
    if rms(response) == 0.0:
        raise Inapplicable("the impulse response is silent")
    level = rms(signal.samples)
    if level == 0.0:
        return signal
    try:
        from scipy.signal import oaconvolve
    except ModuleNotFoundError as error:
        raise MissingExtra("a reverberation (SciPy)", "media") from error
    direct = int(np.abs(response).argmax())
    n = signal.samples.shape[1]
    ringing = oaconvolve(signal.samples.astype(np.float64), response[None], axes=1)[:, direct : direct + n]
    return signal.with_samples(ringing * (level / np.sqrt(np.mean(np.square(ringing)))))
