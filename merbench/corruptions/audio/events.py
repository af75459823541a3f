"""Short sounds added to a longer one: synthetic, after published recipes, or recorded.

Conventions:
    An event is `(n,)` float32. Its level is that of its own length, as far as it lies within the sound, against the
    rms of the whole sound (of the window, where there is one). It is added to every channel alike, completely inside if
    it is not longer than the sound; of a longer one the beginning is used. Events may overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.random import PCG64

from merbench.corruptions.audio.levels import SNR_SEVERITIES, Mono, Snr, at_rate_of, noise_scale, sound_level
from merbench.corruptions.audio.noise import Floats, shaped_noise
from merbench.corruptions.declaration import FromBank, corruption
from merbench.corruptions.drawing import uniforms
from merbench.corruptions.signals import Audio
from merbench.parameters import Within

NumberOfEvents = Annotated[int, Within(1, 20, "events")]

_UNIT = 2.0**-15
_HIGHEST_SHARE = 0.45
"""No partial lies above this share of the sampling rate."""


def _beep(rng: PCG64, rate_hz: int) -> Floats:
    time = _times(0.3, rate_hz)
    edge = np.clip(np.minimum(time, time[-1] - time) / 0.01, 0, 1)
    return np.asarray(_sines(1000.0, time, rate_hz) * np.sin(edge * np.pi / 2) ** 2)


def _glass(rng: PCG64, rate_hz: int) -> Floats:
    time = _times(1.0, rate_hz)
    highest = min(9000.0, _HIGHEST_SHARE * rate_hz)
    lowest = min(2000.0, highest / 2)
    total = np.zeros(len(time))
    for start, pitch, loudness, length in uniforms(rng, 4 * 40).reshape(-1, 4):
        frequency = lowest * (highest / lowest) ** pitch
        since = time - 0.5 * start**2
        total += _struck(frequency, since, 0.01 + 0.05 * length, rate_hz) * (0.3 + 0.7 * loudness)
    return total


def _thunder(rng: PCG64, rate_hz: int) -> Floats:
    time = _times(3.0, rate_hz)
    periods = 60.0 * len(time) / rate_hz
    rumble = shaped_noise(rng, len(time), lambda frequency: 1 / np.maximum(frequency, periods)).astype(np.float64)
    envelope = np.zeros(len(time))
    for start, loudness in [(0.0, 1.0), *uniforms(rng, 2 * 5).reshape(-1, 2)]:
        since = np.maximum(time - 1.5 * start, 0)
        envelope += loudness * np.minimum(since / 0.02, 1) * np.exp(-since / 0.5)
    return rumble * envelope


def _knock(rng: PCG64, rate_hz: int) -> Floats:
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
    """Return a mode that is struck at time 0 and fades: nothing before."""
    since = np.maximum(since, 0)
    return _sines(frequency_hz, since, rate_hz) * np.exp(-since / decay_s)


def _sines(frequency_hz: float, time: Floats, rate_hz: int) -> Floats:
    return np.asarray(np.sin(2 * np.pi * min(frequency_hz, _HIGHEST_SHARE * rate_hz) * time))


EVENTS: Mapping[str, Callable[[PCG64, int], Floats]] = {
    "beep": _beep,
    "glass": _glass,
    "thunder": _thunder,
    "knock": _knock,
}
"""Name of a synthetic event -> `(rng, sampling rate in Hz) -> sound`, of any level."""


def made_event(name: str, rng: PCG64, rate_hz: int) -> Mono:
    """Return a synthetic event, its peak at full scale.

    * `beep`: a tone of 1 kHz for 0.3 s, with raised-cosine edges of 10 ms.
    * `glass`: 40 shards within half a second, most of them at once, each one struck mode between 2 and 9 kHz that
      fades within 10 to 60 ms; the modal recipe of Cook 1997 (PhISM) and van den Doel and Pai 1998.
    * `thunder`: six claps of rumble within 1.5 s, each fading within half a second; the rumble is Gaussian noise of
      which the power falls with 1/f² above 60 Hz (thunder has its peak at such frequencies: Few 1969; Farnell 2010).
    * `knock`: three knocks on wood 0.22 s apart, each three struck modes, at 180, 420 and 780 Hz (van den Doel and
      Pai 1998).

    At low sampling rates partials are moved below 0.45 of the rate. Samples are rounded to multiples of 2⁻¹⁵, which
    hides the machine-dependent last bits of sines and exponentials, almost always: a value next to the middle of two
    multiples may still be rounded to either.
    """
    sound = EVENTS[name](rng, rate_hz)
    peak = float(np.abs(sound).max())
    return (np.rint(sound / (peak or 1.0) / _UNIT) * _UNIT).astype(np.float32)


@corruption(
    "audio",
    severities=SNR_SEVERITIES,
    source="Cook 1997, van den Doel and Pai 1998, Farnell 2010 for the sounds; OpenVNA (2024) for the idea",
)
def sudden_events(
    signal: Audio,
    rng: PCG64,
    *,
    event: Literal["beep", "glass", "thunder", "knock"],
    n_events: NumberOfEvents = 1,
    snr_db: Snr,
) -> Audio:
    """Add synthetic beeps, breaking glass, thunder or knocks at random times.

    Inapplicable if the sound is silent, or its rate so low that the event is.

    Args:
        event: which sound.
        n_events: how many of them.
        snr_db: ratio of the whole sound to each event over its own length.
    """
    times = uniforms(rng, n_events)
    events = (made_event(event, rng, signal.rate_hz) for _ in times)
    return _with_events(signal, zip(times, events, strict=True), snr_db)


@corruption("audio", severities=SNR_SEVERITIES, source="OpenVNA (2024)")
def recorded_events(
    signal: Audio,
    rng: PCG64,
    *,
    recording: Annotated[Audio, FromBank(entire=True)],
    n_events: NumberOfEvents = 1,
    snr_db: Snr,
) -> Audio:
    """Add a recorded sound of a bank at one or more random times.

    Inapplicable if sound or recording is silent, or the recording is at another rate.

    Args:
        recording: a sound of any length, of which the first channel is used.
        n_events: how often it is added.
        snr_db: ratio of the whole sound to each event over its own length.
    """
    samples = at_rate_of(signal, recording, "recording").samples[0]
    return _with_events(signal, ((time, samples) for time in uniforms(rng, n_events)), snr_db)


def _with_events(signal: Audio, events: Iterable[tuple[float, Mono]], snr_db: float) -> Audio:
    level, n = sound_level(signal.samples), signal.samples.shape[1]
    total = signal.samples.astype(np.float64)
    for time, sound in events:
        event = sound[:n]
        begin = int(time * (n - len(event) + 1))
        total[:, begin : begin + len(event)] += noise_scale(level, event, snr_db, "event") * event.astype(np.float64)
    return signal.with_samples(total)
