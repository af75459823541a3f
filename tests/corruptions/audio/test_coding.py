"""Lossy codecs, run for real: nothing moves, more bits lose less, and bit rates that a codec lacks are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal as filters

from merbench.corruptions import Audio, generator
from merbench.corruptions.audio import lossy_codec
from merbench.corruptions.audio.transmission import CODECS
from merbench.errors import Inapplicable

RNG = generator(0, "lossy_codec", "a")

EACH = [("mp3", 64_000), ("aac", 48_000), ("opus", 32_000), ("amr_nb", 12_200), ("g722", 64_000)]
each_codec = pytest.mark.parametrize(("codec", "bit_rate"), EACH)


def voice(rate_hz: int, seconds: float = 1.0) -> Audio:
    """Return vowels of a falling pitch with pauses: pulses through resonances, which speech codecs are made for."""
    n = round(rate_hz * seconds)
    time = np.arange(n) / rate_hz
    pulses = np.diff(np.floor(np.cumsum(140 - 40 * time) / rate_hz), prepend=0.0)
    speech = pulses
    for formant, width in [(600, 80), (1100, 90), (2400, 120)]:
        radius, angle = np.exp(-np.pi * width / rate_hz), 2 * np.pi * formant / rate_hz
        speech = filters.lfilter([1.0], [1, -2 * radius * np.cos(angle), radius**2], speech)
    speech *= np.clip(np.sin(2 * np.pi * 3 * time), 0, 1)
    return Audio((0.3 * speech / np.abs(speech).max())[None].astype(np.float32), rate_hz)


def damaged(signal: Audio, codec: str, bit_rate: int) -> Audio:
    return lossy_codec(signal, RNG, codec=codec, bit_rate=bit_rate)


def lag(before: np.ndarray, after: np.ndarray) -> int:
    return int(filters.correlate(after, before, method="fft").argmax()) - (len(before) - 1)


@each_codec
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 96_000])
def test_the_delay_of_the_codec_is_taken_out(codec: str, bit_rate: int, rate_hz: int) -> None:
    signal = voice(rate_hz, 0.7)
    result = damaged(signal, codec, bit_rate)
    assert result.samples.shape == signal.samples.shape
    # a sample of the codec's own rate, where that is lower
    allowed = rate_hz // 8000 if codec == "amr_nb" else 0
    assert abs(lag(signal.samples[0], result.samples[0])) <= allowed
    assert np.corrcoef(signal.samples[0], result.samples[0])[0, 1] > (0.8 if codec == "amr_nb" else 0.95)


@pytest.mark.parametrize(
    ("codec", "rates"),
    [("mp3", (8000, 16_000, 32_000)), ("aac", (8000, 32_000, 128_000)), ("opus", (6000, 24_000, 96_000))],
)
def test_more_bits_lose_less(codec: str, rates: tuple[int, ...]) -> None:
    signal = voice(16_000)
    errors = [float(((damaged(signal, codec, rate).samples - signal.samples) ** 2).sum()) for rate in rates]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2] > 0


@pytest.mark.parametrize(("codec", "bit_rate", "above_hz"), [("amr_nb", 12_200, 4000), ("g722", 64_000, 8000)])
def test_speech_codecs_leave_nothing_above_half_of_their_rate(codec: str, bit_rate: int, above_hz: float) -> None:
    noise = np.random.default_rng(1).standard_normal((1, 44_100)).astype(np.float32) * 0.1
    result = damaged(Audio(noise, 44_100), codec, bit_rate).samples[0].astype(float)
    power = np.abs(np.fft.rfft(result)) ** 2
    frequency = np.fft.rfftfreq(len(result), 1 / 44_100)
    assert power[frequency > above_hz * 1.1].sum() < 1e-3 * power.sum()


@each_codec
def test_every_channel_is_coded_on_its_own(codec: str, bit_rate: int) -> None:
    signal = voice(16_000, 0.3)
    stereo = Audio(np.concatenate([signal.samples, -0.5 * signal.samples]), 16_000)
    both = damaged(stereo, codec, bit_rate).samples
    assert np.array_equal(both[:1], damaged(signal, codec, bit_rate).samples)
    assert np.corrcoef(both[0], both[1])[0, 1] < -0.7


@each_codec
def test_a_sound_beyond_full_scale_is_as_loud_again(codec: str, bit_rate: int) -> None:
    signal = voice(16_000, 0.3)
    full = Audio(signal.samples / np.abs(signal.samples).max(), 16_000)
    loud = Audio(full.samples * np.float32(4), 16_000)
    assert np.array_equal(damaged(loud, codec, bit_rate).samples, damaged(full, codec, bit_rate).samples * 4)


@each_codec
@pytest.mark.parametrize("n", [1, 2, 100, 1153])
def test_short_sounds_keep_their_length(codec: str, bit_rate: int, n: int) -> None:
    result = damaged(Audio(np.full((1, n), 0.3, np.float32), 44_100), codec, bit_rate)
    assert result.samples.shape == (1, n)
    assert np.isfinite(result.samples).all()


@pytest.mark.parametrize(
    ("codec", "bit_rate", "message"),
    [
        ("mp3", 5000, "mp3 takes 8,000 to 320,000 bit/s and channel, not 5,000"),
        ("aac", 300_000, "aac takes 8,000 to 256,000 bit/s and channel, not 300,000"),
        ("opus", 5000, "opus takes 6,000 to 256,000 bit/s and channel, not 5,000"),
        ("amr_nb", 64_000, "amr_nb takes 4,750 to 12,200 bit/s and channel, not 64,000"),
        ("g722", 32_000, "g722 takes 64,000 bit/s and channel, not 32,000"),
    ],
)
def test_bit_rates_that_a_codec_lacks_are_refused(codec: str, bit_rate: int, message: str) -> None:
    with pytest.raises(Inapplicable, match=f"^{message}$"):
        damaged(voice(16_000, 0.1), codec, bit_rate)


def test_a_codec_that_ffmpeg_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(CODECS, "mp3", replace(CODECS["mp3"], encoder="no_such_encoder"))  # type: ignore[arg-type]
    with pytest.raises(Inapplicable, match=r"^FFmpeg as installed has no encoder for mp3$"):
        damaged(voice(16_000, 0.1), "mp3", 64_000)


@pytest.mark.real_data
@each_codec
def test_real_speech_stays_in_step(test_data: Path, codec: str, bit_rate: int) -> None:
    import soundfile

    file = test_data / "data" / "media" / "speech" / "emodb" / "03a01Wa.wav"
    speech, rate_hz = soundfile.read(file, dtype="float32")
    result = damaged(Audio(speech[None], rate_hz), codec, bit_rate)
    assert lag(speech, result.samples[0]) == 0
