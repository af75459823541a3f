"""Codecs keep sound in step; packets are lost in the declared share and bursts."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as filters

from merbench.corruptions import CORRUPTIONS, Audio, generator
from merbench.corruptions.audio.transmission import CODECS, lossy_codec, packet_loss
from merbench.corruptions.drawing import uniforms
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


def corrupted(signal: Audio, codec: str, bit_rate: int) -> Audio:
    return lossy_codec(signal, RNG, codec=codec, bit_rate=bit_rate)


def lag(before: np.ndarray, after: np.ndarray) -> int:
    return int(filters.correlate(after, before, method="fft").argmax()) - (len(before) - 1)


@each_codec
@pytest.mark.parametrize("rate_hz", [8000, 44_100])
def test_the_delay_of_the_codec_is_taken_out(codec: str, bit_rate: int, rate_hz: int) -> None:
    signal = voice(rate_hz, 0.7)
    result = corrupted(signal, codec, bit_rate)
    assert result.samples.shape == signal.samples.shape
    # a sample of the codec's own rate, where that is lower
    allowed = rate_hz // 8000 if codec == "amr_nb" else 0
    assert abs(lag(signal.samples[0], result.samples[0])) <= allowed
    assert np.corrcoef(signal.samples[0], result.samples[0])[0, 1] > (0.8 if codec == "amr_nb" else 0.95)


@pytest.mark.parametrize(("codec", "bit_rate", "above_hz"), [("amr_nb", 12_200, 4000), ("g722", 64_000, 8000)])
def test_speech_codecs_leave_nothing_above_half_of_their_rate(codec: str, bit_rate: int, above_hz: float) -> None:
    noise = np.random.default_rng(1).standard_normal((1, 44_100)).astype(np.float32) * 0.1
    result = corrupted(Audio(noise, 44_100), codec, bit_rate).samples[0].astype(float)
    power = np.abs(np.fft.rfft(result)) ** 2
    frequency = np.fft.rfftfreq(len(result), 1 / 44_100)
    assert power[frequency > above_hz * 1.1].sum() < 1e-3 * power.sum()


@each_codec
def test_a_sound_beyond_full_scale_is_as_loud_again(codec: str, bit_rate: int) -> None:
    signal = voice(16_000, 0.3)
    full = Audio(signal.samples / np.abs(signal.samples).max(), 16_000)
    loud = Audio(full.samples * np.float32(4), 16_000)
    assert np.array_equal(corrupted(loud, codec, bit_rate).samples, corrupted(full, codec, bit_rate).samples * 4)


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
        corrupted(voice(16_000, 0.1), codec, bit_rate)


def test_a_codec_that_ffmpeg_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(CODECS, "mp3", replace(CODECS["mp3"], encoder="no_such_encoder"))  # type: ignore[arg-type]
    with pytest.raises(Inapplicable, match=r"^FFmpeg as installed has no encoder for mp3$"):
        corrupted(voice(16_000, 0.1), "mp3", 64_000)


@pytest.mark.real_data
@each_codec
def test_real_speech_stays_in_step(test_data: Path, codec: str, bit_rate: int) -> None:
    import soundfile

    file = test_data / "data" / "media" / "speech" / "emodb" / "03a01Wa.wav"
    speech, rate_hz = soundfile.read(file, dtype="float32")
    result = corrupted(Audio(speech[None], rate_hz), codec, bit_rate)
    assert lag(speech, result.samples[0]) == 0


RATE_HZ = 1000  # packets of 20 ms are 20 samples


def rng(sample_id: str = "a") -> np.random.PCG64:
    return generator(2023, "packet_loss", sample_id)


def given_parameters(**changed: Any) -> dict[str, Any]:
    return {"loss_rate": 0.3, "mean_burst": 3, "frame_ms": 20, "concealment": "zero", **changed}


def ramp(n: int, n_channels: int = 1) -> Audio:
    return Audio(np.arange(1, n_channels * n + 1, dtype=np.float32).reshape(n_channels, n), RATE_HZ)


def lost_packets(loss_rate: float, mean_burst: float, n: int, sample_id: str = "a") -> list[bool]:
    signal = Audio(np.ones((1, n), np.float32), RATE_HZ)
    parameters = given_parameters(loss_rate=loss_rate, mean_burst=mean_burst, frame_ms=1)
    corrupted = packet_loss(signal, rng(sample_id), **parameters)
    return (corrupted.samples[0] == 0).tolist()


@pytest.mark.parametrize(("loss_rate", "mean_burst"), [(0.05, 1), (0.3, 3), (0.5, 10), (0.9, 20)])
def test_share_and_bursts_are_the_declared_ones_in_the_long_run(loss_rate: float, mean_burst: float) -> None:
    lost = lost_packets(loss_rate, mean_burst, 60_000)
    bursts = [len(list(run)) for is_lost, run in groupby(lost) if is_lost]
    # bursts are geometric, deviation about their mean: the standard error of both is that of some 1,000 to 5,000 bursts
    assert np.mean(lost) == pytest.approx(loss_rate, rel=0.12)
    assert np.mean(bursts) == pytest.approx(mean_burst, rel=0.1)


def test_packets_go_by_hand() -> None:
    # π = 0.5, burst 2: begins with 0.5, ends with 0.5, so that every packet is lost where its number is below 0.5
    n_packets, signal = 10, ramp(190)  # the last packet has half the length
    lost = (uniforms(rng(), n_packets) < 0.5).tolist()
    expected = signal.samples[0].copy()
    for number, is_lost in enumerate(lost):
        expected[number * 20 : (number + 1) * 20] *= not is_lost
    corrupted = packet_loss(signal, rng(), **given_parameters(loss_rate=0.5, mean_burst=2))
    assert 0 < sum(lost) < n_packets
    assert corrupted.samples[0].tolist() == expected.tolist()


def test_a_lost_packet_is_replaced_by_the_last_that_arrived() -> None:
    parameters = given_parameters(loss_rate=0.5, mean_burst=2, concealment="repeat")
    for sample_id in "abcdef":
        signal = ramp(190)
        lost = (uniforms(rng(sample_id), 10) < 0.5).tolist()
        expected, last = signal.samples[0].copy(), np.zeros(20, np.float32)
        for number, is_lost in enumerate(lost):
            packet = expected[number * 20 : (number + 1) * 20]
            if is_lost:
                packet[:] = last[: len(packet)]
            else:
                last = packet.copy()
        corrupted = packet_loss(signal, rng(sample_id), **parameters)
        assert corrupted.samples[0].tolist() == expected.tolist()


@given(st.floats(0.01, 0.6), st.sampled_from(["zero", "repeat"]), st.integers(1, 400))
def test_the_realised_share_is_that_of_changed_packets(loss_rate: float, concealment: str, n: int) -> None:
    signal, parameters = ramp(n), given_parameters(loss_rate=loss_rate, concealment=concealment)
    corrupted = packet_loss(signal, rng(), **parameters)
    changed = [
        not np.array_equal(corrupted.samples[0, start : start + 20], signal.samples[0, start : start + 20])
        for start in range(0, n, 20)
    ]
    measured = CORRUPTIONS["packet_loss"].measure
    assert measured(signal, corrupted, parameters) == {"realised_loss": pytest.approx(np.mean(changed), abs=1e-6)}


def test_a_loss_that_bursts_as_short_cannot_reach_is_refused() -> None:
    # 0.6 / 0.4 = 1.5 lost packets to one that arrives
    with pytest.raises(Inapplicable, match=r"^a loss rate of 0.6 needs bursts of at least 1.5 packets on average$"):
        packet_loss(ramp(100), rng(), **given_parameters(loss_rate=0.6, mean_burst=1))
