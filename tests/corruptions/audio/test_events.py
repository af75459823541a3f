"""Sudden events: their level, their place, and what each of them sounds like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio.events import EVENTS, made_event, recorded_events, sudden_events
from merbench.corruptions.drawing import uniforms
from merbench.errors import Inapplicable

RATE_HZ = 16_000


def rng(sample_id: str = "a") -> np.random.PCG64:
    return generator(2023, "sudden_events", sample_id)


def tone(n: int, n_channels: int = 1) -> Audio:
    return Audio(np.tile(0.1 * np.sin(np.arange(n) * 0.3), (n_channels, 1)).astype(np.float32), RATE_HZ)


def recording(*samples: float) -> Audio:
    return Audio(np.array([samples], np.float32), RATE_HZ)


def test_a_recording_is_added_at_its_time_and_ratio() -> None:
    # a sound of rms 1 in 10 samples; a recording of rms 5 in 2 samples; at 20 dB it is scaled by 1 / 10 / 5
    signal = Audio(np.array([[1, -1] * 5, [1, 1] * 5], np.float32), RATE_HZ)
    corrupted = recorded_events(signal, rng(), recording=recording(1, 7), n_events=1, snr_db=20)
    begin = int(uniforms(rng(), 1)[0] * 9)  # 9 places at which it fits
    expected = np.zeros((2, 10))
    expected[:, begin : begin + 2] = [0.02, 0.14]
    np.testing.assert_allclose(corrupted.samples - signal.samples, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (recording(0, 0), "the event is silent; a signal-to-noise ratio is not defined"),
        (recording(), "the event has no samples; a signal-to-noise ratio is not defined"),
        (Audio(np.ones((1, 5), np.float32), 8000), "the recording is at 8,000 Hz and the sound at 16,000 Hz"),
    ],
)
def test_what_recorded_events_refuse(sound: Audio, message: str) -> None:
    with pytest.raises(Inapplicable, match=f"^{message}$"):
        recorded_events(tone(50), rng(), recording=sound, n_events=1, snr_db=0)


@pytest.mark.slow
@given(st.sampled_from(sorted(EVENTS)), st.floats(-20, 40), st.integers(1, 2))
def test_a_made_event_has_the_declared_ratio_over_its_own_length(name: str, snr_db: float, n_channels: int) -> None:
    signal = tone(60_000, n_channels)
    corrupted = sudden_events(signal, rng(), event=name, n_events=1, snr_db=snr_db)
    added = corrupted.samples.astype(float) - signal.samples
    length = len(made_event(name, rng(), RATE_HZ))
    power = (added[0] ** 2).sum() / length
    realised = 10 * np.log10((signal.samples[0].astype(float) ** 2).mean() / power)
    assert realised == pytest.approx(snr_db, abs=0.2 if name in ("glass", "thunder", "knock") else 0.01)
    touched = np.flatnonzero(np.abs(added[0]) > 1e-7)
    assert touched[-1] - touched[0] < length


def power_within(event: np.ndarray, rate_hz: int, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(event.astype(float))) ** 2
    frequency = np.fft.rfftfreq(len(event), 1 / rate_hz)
    return float(power[(frequency >= low) & (frequency <= high)].sum() / power.sum())


@pytest.mark.parametrize(
    ("name", "seconds", "low", "high", "share"),
    [
        ("beep", 0.3, 970, 1030, 0.99),
        ("glass", 1.0, 1900, 9100, 0.97),
        ("thunder", 3.0, 0, 250, 0.8),
        ("knock", 0.7, 0, 1000, 0.95),
    ],
)
def test_made_events_lie_where_they_should(name: str, seconds: float, low: float, high: float, share: float) -> None:
    event = made_event(name, rng(), 44_100)
    assert len(event) == round(seconds * 44_100)
    assert power_within(event, 44_100, low, high) > share


def test_an_event_at_a_rate_too_low_for_it_is_silent() -> None:
    signal = Audio(np.ones((1, 20), np.float32), 1)
    with pytest.raises(Inapplicable, match=r"^the event is silent; a signal-to-noise ratio is not defined$"):
        sudden_events(signal, rng(), event="beep", n_events=1, snr_db=0)
