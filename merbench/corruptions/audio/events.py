"""Short sounds that break into a longer one: made by merbench after published recipes, or recorded.

Conventions:
    An event is `(n,)` float32. Its level is that of its own length, as far as it lies within the sound, against the
    rms of the whole sound (of the window, where there is one). It goes into every channel alike, wholly inside where
    it is not longer than the sound; of a longer one the beginning is taken. Events may overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.audio.mixing import SNR_SEVERITIES, Mono, at_rate_of, noise_scale, sound_level
from merbench.corruptions.audio.noise import SNR, shaped_noise
from merbench.corruptions.declaration import Parameter, corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Audio

Floats = NDArray[np.float64]

_UNIT = 2.0**-15
_HIGHEST_SHARE = 0.45
"""No partial lies above this share of the sampling rate."""


def _beep(rng: np.random.PCG64, rate_hz: int) -> Floats:
    time = _times(0.3, rate_hz)
    edge = np.clip(np.minimum(time, time[-1] - time) / 0.01, 0, 1)
    loudness: Floats = np.sin(edge * np.pi / 2) ** 2
    return _sines(1000.0, time, rate_hz) * loudness


def _glass(rng: np.random.PCG64, rate_hz: int) -> Floats:
    time = _times(1.0, rate_hz)
    highest = min(9000.0, _HIGHEST_SHARE * rate_hz)
    lowest = min(2000.0, highest / 2)
    total = np.zeros(len(time))
    for start, pitch, loudness, length in uniforms(rng, 4 * 40).reshape(-1, 4):
        frequency = lowest * (highest / lowest) ** pitch
        since = time - 0.5 * start**2
        total += _struck(frequency, since, 0.01 + 0.05 * length, rate_hz) * (0.3 + 0.7 * loudness)
    return total


def _thunder(rng: np.random.PCG64, rate_hz: int) -> Floats:
    time = _times(3.0, rate_hz)
    periods = 60.0 * len(time) / rate_hz
    rumble = shaped_noise(rng, len(time), lambda frequency: 1 / np.maximum(frequency, periods)).astype(np.float64)
    envelope = np.zeros(len(time))
    for start, loudness in [(0.0, 1.0), *uniforms(rng, 2 * 5).reshape(-1, 2)]:
        since = np.maximum(time - 1.5 * start, 0)
        envelope += loudness * np.minimum(since / 0.02, 1) * np.exp(-since / 0.5)
    return rumble * envelope


def _knock(rng: np.random.PCG64, rate_hz: int) -> Floats:
    time = _times(0.7, rate_hz)
    modes = ((180.0, 0.040, 1.0), (420.0, 0.025, 0.6), (780.0, 0.012, 0.4))
    total = np.zeros(len(time))
    for start, loudness in zip((0.0, 0.22, 0.44), 0.7 + 0.3 * uniforms(rng, 3), strict=True):
        for frequency, decay_s, share in modes:
            total += _struck(frequency, time - start, decay_s, rate_hz) * share * loudness
    return total


def _times(duration_s: float, rate_hz: int) -> Floats:
    return np.arange(max(round(duration_s * rate_hz), 1)) / rate_hz


def _struck(frequency_hz: float, since: Floats, decay_s: float, rate_hz: int) -> Floats:
    """Return a mode that is struck at time 0 and dies away: nothing before."""
    since = np.maximum(since, 0)
    return _sines(frequency_hz, since, rate_hz) * np.exp(-since / decay_s)


def _sines(frequency_hz: float, time: Floats, rate_hz: int) -> Floats:
    sines: Floats = np.sin(2 * np.pi * min(frequency_hz, _HIGHEST_SHARE * rate_hz) * time)
    return sines


EVENTS: Mapping[str, Callable[[np.random.PCG64, int], Floats]] = {
    "beep": _beep,
    "glass": _glass,
    "thunder": _thunder,
    "knock": _knock,
}
"""Name of a made event -> `(rng, sampling rate in Hz) -> sound`, of any level."""


def made_event(name: str, rng: np.random.PCG64, rate_hz: int) -> Mono:
    """Return an event made by merbench, its peak at full scale.

    * `beep`: a tone of 1 kHz for 0.3 s, with raised-cosine edges of 10 ms.
    * `glass`: 40 shards within half a second, most of them at once, each one struck mode between 2 and 9 kHz that
      dies away within 10 to 60 ms; the modal recipe of Cook 1997 (PhISM) and van den Doel and Pai 1998.
    * `thunder`: six claps of rumble within 1.5 s, each dying away within half a second; the rumble is Gaussian noise of
      which the power falls with 1/f² above 60 Hz (thunder has its peak at such frequencies: Few 1969; Farnell 2010).
    * `knock`: three knocks on wood 0.22 s apart, each three struck modes, at 180, 420 and 780 Hz (van den Doel and
      Pai 1998).

    At low sampling rates partials are moved below 0.45 of the rate. Samples are rounded to multiples of 2⁻¹⁵, which
    hides what the last bits of sines and exponentials owe to the machine, all but always: a value next to the
    middle of two multiples may still go to either.

    Args:
        name: one of `EVENTS`.
        rng: draws the shards of `glass`, the claps of `thunder`, the loudness of each `knock`.
        rate_hz: samples per second.
    """
    sound = EVENTS[name](rng, rate_hz)
    peak = float(np.abs(sound).max())
    return (np.rint(sound / (peak or 1.0) / _UNIT) * _UNIT).astype(np.float32)


@corruption(
    modality="audio",
    summary="beeps, breaking glass, thunder or knocks, made by merbench, break in at a signal-to-noise ratio",
    parameters={
        "event": Parameter("string", choices=tuple(EVENTS)),
        "n_events": Parameter("integer", low=1, high=20, unit="events", default=1),
        "snr_db": SNR,
    },
    severities=SNR_SEVERITIES,
    source="Cook 1997, van den Doel and Pai 1998, Farnell 2010 for the sounds; OpenVNA (2024) for the kind of damage",
)
def sudden_events(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Add short sounds made by merbench at random times; `made_event` says what each one is.

    Args:
        signal: the sound.
        rng: draws one uniform number an event for its time, then what each event is made of.
        parameters: `event`; `n_events`; `snr_db`, of the whole sound to each event over its own length.

    Raises:
        Inapplicable: the sound is silent, or its rate so low that the event is.
    """
    times = uniforms(rng, parameters["n_events"])
    events = (made_event(parameters["event"], rng, signal.rate_hz) for _ in times)
    return _with_events(signal, zip(times, events, strict=True), parameters["snr_db"])


@corruption(
    modality="audio",
    summary="a recorded sound of a bank breaks in at random times at a signal-to-noise ratio",
    parameters={
        "recording": Parameter("bank", whole=True),
        "n_events": Parameter("integer", low=1, high=20, unit="events", default=1),
        "snr_db": SNR,
    },
    severities=SNR_SEVERITIES,
    source="OpenVNA (2024)",
)
def recorded_events(signal: Audio, rng: np.random.PCG64, parameters: Mapping[str, Any]) -> Audio:
    """Add one recording at one or more random times.

    Args:
        signal: the sound.
        rng: draws one uniform number an event for its time.
        parameters: `recording`, an `Audio` of any length, of which the first channel is taken; `n_events`; `snr_db`, of
            the whole sound to each event over its own length.

    Raises:
        Inapplicable: sound or recording is silent, or the recording is at another rate.
    """
    recording = at_rate_of(signal, parameters["recording"], "recording").samples[0]
    times = uniforms(rng, parameters["n_events"])
    return _with_events(signal, ((time, recording) for time in times), parameters["snr_db"])


def _with_events(signal: Audio, events: Iterable[tuple[float, Mono]], snr_db: float) -> Audio:
    level, n = sound_level(signal.samples), signal.samples.shape[1]
    total = signal.samples.astype(np.float64)
    for time, sound in events:
        event = sound[:n]
        begin = int(time * (n - len(event) + 1))
        total[:, begin : begin + len(event)] += noise_scale(level, event, snr_db, "event") * event.astype(np.float64)
    return signal.with_samples(total)
