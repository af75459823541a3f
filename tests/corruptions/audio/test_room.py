"""Reverberation against a sum by hand and against SciPy's direct convolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as filters

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio import reverberation
from merbench.errors import Inapplicable

RATE_HZ = 16_000


def damaged(signal: Audio, response: Audio) -> np.ndarray:
    rng = generator(0, "reverberation", "a")
    return reverberation(signal, rng, impulse_response=response).samples


def response(*samples: float) -> Audio:
    return Audio(np.array([samples], np.float32), RATE_HZ)


def test_an_echo_by_hand() -> None:
    # direct path −2 at index 1: y(t) = −2 x(t) + 1 x(t−1) + 0.5 x(t+1) = −1.5, −2.5, 1 ; then the rms of the sound
    signal = Audio(np.array([[1, 1, 0]], np.float32), RATE_HZ)
    raw = np.array([-2 + 0.5, -2 + 1, 1.0])
    expected = raw * np.sqrt((2 / 3) / np.mean(raw**2))
    np.testing.assert_allclose(damaged(signal, response(0.5, -2, 1))[0], expected, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1, 30])
@pytest.mark.parametrize("before", [0, 1, 57])
def test_a_direct_path_alone_leaves_the_sound_where_it_was(scale: float, before: int) -> None:
    rng = np.random.default_rng(1)
    signal = Audio(rng.standard_normal((2, 500)).astype(np.float32), RATE_HZ)
    alone = response(*[0.0] * before, scale, 0.0)
    np.testing.assert_allclose(damaged(signal, alone), signal.samples, atol=1e-5)


@given(st.integers(1, 400), st.integers(1, 700), st.sampled_from([1, 2, 6]))
def test_energy_and_length_stay_and_the_rest_is_convolution(n: int, m: int, n_channels: int) -> None:
    rng = np.random.default_rng(n * 1000 + m)
    signal = Audio(rng.standard_normal((n_channels, n)).astype(np.float32), RATE_HZ)
    ringing = Audio((rng.standard_normal((1, m)) * np.exp(-np.arange(m) / 50)).astype(np.float32), RATE_HZ)
    result = damaged(signal, ringing)
    direct = int(np.abs(ringing.samples[0]).argmax())
    raw = np.stack([np.convolve(x.astype(float), ringing.samples[0])[direct : direct + n] for x in signal.samples])
    assert result.shape == (n_channels, n)
    assert np.mean(result.astype(float) ** 2) == pytest.approx(np.mean(signal.samples.astype(float) ** 2), rel=1e-5)
    np.testing.assert_allclose(result / np.abs(result).max(), raw / np.abs(raw).max(), atol=1e-5)


def test_the_first_channel_of_a_response_is_taken() -> None:
    signal = Audio(np.random.default_rng(2).standard_normal((1, 100)).astype(np.float32), RATE_HZ)
    stereo = Audio(np.array([[1, 0.5], [0, 9]], np.float32), RATE_HZ)
    assert np.array_equal(damaged(signal, stereo), damaged(signal, response(1, 0.5)))


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
        damaged(Audio(np.ones((1, 10), np.float32), RATE_HZ), impulse)


@pytest.mark.real_data
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_speech_in_a_real_room_stays_in_step(test_data: Path, number: int) -> None:
    import soundfile

    media = test_data / "data" / "media"
    speech, rate_hz = soundfile.read(media / "speech" / "emodb" / "03a01Wa.wav", dtype="float32")
    impulse, impulse_rate_hz = soundfile.read(media / "rir" / f"rir{number}.wav", dtype="float32", always_2d=True)
    result = damaged(Audio(speech[None], rate_hz), Audio(impulse.T, impulse_rate_hz))[0]
    assert np.sqrt(np.mean(result**2)) == pytest.approx(np.sqrt(np.mean(speech**2)), rel=1e-4)
    correlation = filters.correlate(result, speech, mode="full")
    # first reflections pull the maximum away from the direct path, by less than a millisecond
    assert abs(int(correlation.argmax()) - (len(speech) - 1)) < 16
