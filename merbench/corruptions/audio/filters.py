"""Sound of which a band of frequencies is left: a telephone's, the low ones, the high ones.

Conventions:
    Butterworth filters (Butterworth 1930) in sections of the second order (SciPy's `butter` and `sosfiltfilt`), run
    forward and backward (Gustafsson 1996): no frequency is delayed, so that sound stays in step with pictures and
    words. Going twice, a filter of order N falls by 2N × 6 dB an octave and lies at −6 dB at its cut-off. Where a
    sound is too short for the usual extension at both ends, a shorter one is taken. Bits rest on SciPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra

_FREQUENCY = Parameter("number", low=1, high=192_000, unit="Hz")
_ORDER = Parameter("integer", low=1, high=12, default=4)
_SOURCE = "Butterworth 1930; Gustafsson 1996"


@corruption(
    modality="audio",
    summary="what a telephone lets through, 300 to 3,400 Hz, is left of the sound",
    parameters={
        "low_hz": Parameter("number", low=1, high=192_000, unit="Hz", default=300),
        "high_hz": Parameter("number", low=1, high=192_000, unit="Hz", default=3400),
        "order": _ORDER,
    },
    source=f"ITU-T G.712 for the band; {_SOURCE}",
)
def telephone_band(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Leave the band from `low_hz` to `high_hz`.

    Where the sound holds nothing above `high_hz`, because half of its rate lies below, only the low end is cut.

    Args:
        signal: the sound.
        rng: unused.
        parameters: `low_hz` and `high_hz`, each at −6 dB; `order` of the filter at either end.

    Raises:
        Inapplicable: `low_hz` is not below `high_hz`, or not below half of the sound's rate.
        MissingExtra: SciPy is not installed.
    """
    low_hz, high_hz, order = parameters["low_hz"], parameters["high_hz"], parameters["order"]
    if low_hz >= high_hz:
        raise Inapplicable(f"low_hz = {low_hz:g} is not below high_hz = {high_hz:g}")
    if high_hz >= signal.rate_hz / 2:
        return _high_passed(signal, low_hz, order)
    return _filtered(signal, (low_hz, high_hz), order, "bandpass")


@corruption(
    modality="audio",
    summary="the frequencies below a cut-off are left of the sound",
    parameters={"cutoff_hz": _FREQUENCY, "order": _ORDER},
    source=_SOURCE,
)
def low_pass(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Leave the frequencies below a cut-off.

    A sound that holds nothing above the cut-off, because half of its rate lies below, stays as it is.

    Args:
        signal: the sound.
        rng: unused.
        parameters: `cutoff_hz`, at −6 dB; `order` of the filter.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    if parameters["cutoff_hz"] >= signal.rate_hz / 2:
        return signal
    return _filtered(signal, parameters["cutoff_hz"], parameters["order"], "lowpass")


@corruption(
    modality="audio",
    summary="the frequencies above a cut-off are left of the sound",
    parameters={"cutoff_hz": _FREQUENCY, "order": _ORDER},
    source=_SOURCE,
)
def high_pass(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Leave the frequencies above a cut-off.

    Args:
        signal: the sound.
        rng: unused.
        parameters: `cutoff_hz`, at −6 dB; `order` of the filter.

    Raises:
        Inapplicable: the cut-off is not below half of the sound's rate: nothing would be left.
        MissingExtra: SciPy is not installed.
    """
    return _high_passed(signal, parameters["cutoff_hz"], parameters["order"])


def _high_passed(signal: Audio, cutoff_hz: float, order: int) -> Audio:
    if cutoff_hz >= signal.rate_hz / 2:
        raise Inapplicable(f"nothing above {cutoff_hz:g} Hz is in a sound at {signal.rate_hz:,} samples a second")
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
