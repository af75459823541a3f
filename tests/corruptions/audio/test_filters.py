"""Bands against the response of Butterworth filters; reverberation against convolution and real rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as filters

from merbench.corruptions import CORRUPTIONS, Audio, generator
from merbench.corruptions.audio.filters import reverberation
from merbench.errors import Inapplicable


def corrupted(name: str, signal: Audio, **parameters: Any) -> np.ndarray:
    corruption = CORRUPTIONS[name]
    rng = generator(0, name, "a")
    return corruption(signal, rng, corruption.draw(parameters, rng)).samples


def tone(frequency: float, rate_hz: int, n: int = 16_000) -> Audio:
    return Audio(0.5 * np.sin(2 * np.pi * frequency * np.arange(n) / rate_hz)[None].astype(np.float32), rate_hz)


def share_left(name: str, frequency: float, rate_hz: int, **parameters: Any) -> float:
    signal = tone(frequency, rate_hz)
    middle = slice(4000, 12_000)
    result = corrupted(name, signal, **parameters)[0, middle].astype(float)
    return float(np.sqrt((result**2).mean() / (signal.samples[0, middle].astype(float) ** 2).mean()))


def warped(frequency: float, rate_hz: int) -> float:
    return float(np.tan(np.pi * frequency / rate_hz))


@pytest.mark.parametrize("order", [1, 8])
@pytest.mark.parametrize("rate_hz", [8000, 44_100])
@pytest.mark.parametrize("frequency", [800, 1000, 3000])
def test_tones_fall_as_butterworth_says_twice(frequency: float, rate_hz: int, order: int) -> None:
    # once forward and once backward: the square of 1 / √(1 + (f / f₀)^2N), f warped by the bilinear transform
    ratio = warped(frequency, rate_hz) / warped(1000, rate_hz)
    low = 1 / (1 + ratio ** (2 * order))
    assert share_left("low_pass", frequency, rate_hz, cutoff_hz=1000, order=order) == pytest.approx(low, abs=2e-3)
    high = 1 / (1 + ratio ** (-2 * order))
    assert share_left("high_pass", frequency, rate_hz, cutoff_hz=1000, order=order) == pytest.approx(high, abs=2e-3)


def test_nothing_is_delayed() -> None:
    signal = Audio(np.random.default_rng(1).standard_normal((1, 4000)).astype(np.float32), 16_000)
    for name, parameters in [
        ("telephone_band", {}),
        ("low_pass", {"cutoff_hz": 2000}),
        ("high_pass", {"cutoff_hz": 500}),
    ]:
        result = corrupted(name, signal, **parameters)
        correlation = filters.correlate(result[0], signal.samples[0])
        assert int(correlation.argmax()) == 3999


@pytest.mark.parametrize("cutoff_hz", [4000, 20_000])
def test_nothing_lies_above_half_of_the_rate(cutoff_hz: float) -> None:
    signal = tone(1000, 8000)
    assert corrupted("low_pass", signal, cutoff_hz=cutoff_hz) is signal.samples
    message = f"^there is nothing above {cutoff_hz} Hz in a sound at 8,000 samples a second$"
    with pytest.raises(Inapplicable, match=message):
        corrupted("high_pass", signal, cutoff_hz=cutoff_hz)


def test_a_telephone_at_a_low_rate_cuts_only_the_low_end() -> None:
    signal = tone(1000, 6000)
    assert np.array_equal(corrupted("telephone_band", signal), corrupted("high_pass", signal, cutoff_hz=300))
    with pytest.raises(Inapplicable, match=r"^there is nothing above 300 Hz in a sound at 500 samples a second$"):
        corrupted("telephone_band", tone(100, 500))


def test_a_band_has_a_low_and_a_high_end() -> None:
    with pytest.raises(Inapplicable, match=r"^low_hz = 3000 is not below high_hz = 3000$"):
        corrupted("telephone_band", tone(1000, 16_000), low_hz=3000, high_hz=3000)


RATE_HZ = 16_000


def in_room(signal: Audio, response: Audio) -> np.ndarray:
    rng = generator(0, "reverberation", "a")
    return reverberation(signal, rng, impulse_response=response).samples


def response(*samples: float) -> Audio:
    return Audio(np.array([samples], np.float32), RATE_HZ)


def test_an_echo_by_hand() -> None:
    # direct path −2 at index 1: y(t) = −2 x(t) + 1 x(t−1) + 0.5 x(t+1) = −1.5, −2.5, 1 ; then the rms of the sound
    signal = Audio(np.array([[1, 1, 0]], np.float32), RATE_HZ)
    raw = np.array([-2 + 0.5, -2 + 1, 1.0])
    expected = raw * np.sqrt((2 / 3) / np.mean(raw**2))
    np.testing.assert_allclose(in_room(signal, response(0.5, -2, 1))[0], expected, atol=1e-6)


@pytest.mark.parametrize(("scale", "before"), [(0.01, 0), (30, 57)])
def test_a_direct_path_leaves_the_sound_where_it_was(scale: float, before: int) -> None:
    rng = np.random.default_rng(1)
    signal = Audio(rng.standard_normal((2, 500)).astype(np.float32), RATE_HZ)
    alone = response(*[0.0] * before, scale, 0.0)
    np.testing.assert_allclose(in_room(signal, alone), signal.samples, atol=1e-5)


@given(st.integers(1, 400), st.integers(1, 700), st.sampled_from([1, 2, 6]))
def test_energy_and_length_stay_and_the_rest_is_convolution(n: int, m: int, n_channels: int) -> None:
    rng = np.random.default_rng(n * 1000 + m)
    signal = Audio(rng.standard_normal((n_channels, n)).astype(np.float32), RATE_HZ)
    ringing = Audio((rng.standard_normal((1, m)) * np.exp(-np.arange(m) / 50)).astype(np.float32), RATE_HZ)
    result = in_room(signal, ringing)
    direct = int(np.abs(ringing.samples[0]).argmax())
    raw = np.stack([np.convolve(x.astype(float), ringing.samples[0])[direct : direct + n] for x in signal.samples])
    assert result.shape == (n_channels, n)
    assert np.mean(result.astype(float) ** 2) == pytest.approx(np.mean(signal.samples.astype(float) ** 2), rel=1e-5)
    np.testing.assert_allclose(result / np.abs(result).max(), raw / np.abs(raw).max(), atol=1e-5)


@pytest.mark.parametrize(
    ("impulse", "message"),
    [
        (response(0, 0), "the impulse response is silent"),
        (response(), "the impulse response is silent"),
        (Audio(np.ones((1, 5), np.float32), 8000), "the impulse response is at 8,000 Hz and the sound at 16,000 Hz"),
    ],
)
def test_what_reverberation_refuses(impulse: Audio, message: str) -> None:
    with pytest.raises(Inapplicable, match=f"^{message}$"):
        in_room(Audio(np.ones((1, 10), np.float32), RATE_HZ), impulse)


@pytest.mark.real_data
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_speech_in_a_real_room_stays_in_step(test_data: Path, number: int) -> None:
    import soundfile

    media = test_data / "data" / "media"
    speech, rate_hz = soundfile.read(media / "speech" / "emodb" / "03a01Wa.wav", dtype="float32")
    impulse, impulse_rate_hz = soundfile.read(media / "rir" / f"rir{number}.wav", dtype="float32", always_2d=True)
    result = in_room(Audio(speech[None], rate_hz), Audio(impulse.T, impulse_rate_hz))[0]
    assert np.sqrt(np.mean(result**2)) == pytest.approx(np.sqrt(np.mean(speech**2)), rel=1e-4)
    correlation = filters.correlate(result, speech, mode="full")
    # first reflections pull the maximum away from the direct path, by less than a millisecond
    assert abs(int(correlation.argmax()) - (len(speech) - 1)) < 16
