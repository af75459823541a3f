"""Noise at a ratio: against arithmetic, an oracle of the released generator in plain NumPy, and spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal as filters

from merbench.corruptions import CORRUPTIONS, Audio, generator
from merbench.corruptions.audio.noise import COLOURS, babble, background_noise, coloured_noise, shaped_noise
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.errors import Inapplicable

RATE_HZ = 16_000


def drawn(name: str, *shape: int) -> np.ndarray:
    return normals(generator(0, "sound", name), int(np.prod(shape))).reshape(shape) * NORMAL_UNIT


def sound(name: str, *shape: int, level: float = 0.1, rate_hz: int = RATE_HZ) -> Audio:
    return Audio((drawn(name, *shape) * level).astype(np.float32), rate_hz)


def rng(sample_id: str = "a") -> np.random.PCG64:
    return generator(2023, "background_noise", sample_id)


def ratio_db(clean: np.ndarray, noise: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(clean.astype(float) ** 2)) / np.sqrt(np.mean(noise.astype(float) ** 2))))


@given(st.floats(-20, 60), st.sampled_from([1, 2, 6]), st.floats(1e-3, 1))
def test_background_noise_has_the_declared_ratio(snr_db: float, n_channels: int, level: float) -> None:
    signal, noise = sound("s", n_channels, 300, level=level), sound("n", 1, 400)
    corrupted = background_noise(signal, rng(), noise=noise, snr_db=snr_db, variant="exact")
    added = corrupted.samples.astype(float) - signal.samples
    assert ratio_db(signal.samples, added) == pytest.approx(snr_db, abs=0.01)
    assert np.allclose(added, added[0], atol=3e-7 * max(1, float(np.abs(corrupted.samples).max())))  # alike in all
    assert np.corrcoef(added[0], noise.samples[0, :300])[0, 1] > 0.99


@pytest.mark.parametrize("variant", ["exact", "mer2023"])
@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (Audio(np.zeros((1, 100), np.float32), RATE_HZ), "the noise is silent; a signal-to-noise ratio is not defined"),
        (sound("n", 2, 100), "background noise is one source, not 2"),
        (sound("n", 1, 99), "the noise is shorter than the sound: 99 of 100 samples"),
        (sound("n", 1, 100, rate_hz=8000), "the noise is at 8,000 Hz and the sound at 16,000 Hz"),
    ],
)
def test_what_background_noise_refuses(noise: Audio, message: str, variant: str) -> None:
    with pytest.raises(Inapplicable, match=f"^{message}$"):
        background_noise(sound("s", 1, 100), rng(), noise=noise, snr_db=5, variant=variant)


def released_mixture(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Mix 16-bit integers as the papers' generator is described: float64 levels, scaled to fit, cut to integers."""
    clean, noise = clean.astype(np.float64), noise.astype(np.float64)
    wanted = np.sqrt(np.mean(clean**2)) / 10 ** (snr_db / 20)
    total = clean + noise * (wanted / np.sqrt(np.mean(noise**2)))
    top, bottom = total.max(), total.min()
    if top > 32767 or bottom < -32768:
        total = total * (32767 / top if top >= abs(bottom) else -32768 / bottom)
    return total.astype(np.int16)


@pytest.mark.parametrize("snr_db", [-10, 7, 20])
@pytest.mark.parametrize("level", [0.02, 0.28])
@pytest.mark.parametrize("side", [1, -1])
def test_the_variant_of_mer_2023_is_that_of_the_released_generator(snr_db: float, level: float, side: int) -> None:
    n = 5000
    clean, noise = (
        np.clip(np.rint(side * (drawn(name, n) ** 2 - 0.5) * level * 8000), -32768, 32767).astype(np.int16)
        for name in ("c", "n")
    )
    corrupted = background_noise(
        Audio(clean[None] / np.float32(32768), RATE_HZ),
        rng(),
        noise=Audio(noise[None] / np.float32(32768), RATE_HZ),
        snr_db=snr_db,
        variant="mer2023",
    )
    assert np.array_equal(corrupted.samples[0] * 32768, released_mixture(clean, noise, snr_db))


def test_the_variant_scales_a_sum_that_does_not_fit_until_it_does() -> None:
    # rms 30,000 against noise of 30,000 at 0 dB: sums of 60,000 and 0 become 32,767 and 0; −60,000 becomes −32,768
    for sign, fitted in ((1, 32767), (-1, -32768)):
        clean = Audio(np.array([[sign, sign, -sign]], np.float32) * 30000 / 32768, RATE_HZ)
        noise = Audio(np.array([[sign, -sign, sign]], np.float32) * 30000 / 32768, RATE_HZ)
        corrupted = background_noise(clean, rng(), noise=noise, snr_db=0, variant="mer2023")
        assert (corrupted.samples * 32768).tolist() == [[fitted, 0, 0]]


@pytest.mark.parametrize("signal", [sound("s", 2, 100), sound("s", 1, 100, rate_hz=8000)])
def test_the_variant_is_for_mono_at_16_khz(signal: Audio) -> None:
    with pytest.raises(Inapplicable, match=r"^variant mer2023 is defined for mono sound at 16 kHz$"):
        background_noise(signal, rng(), noise=sound("n", 1, 100), snr_db=5, variant="mer2023")


# Welch's estimate over 100 averaged segments: a slope of power over frequency to ±0.1
SLOPES = {"white": 0.0, "pink": -1.0, "brown": -2.0, "blue": 1.0, "violet": 2.0}


@pytest.mark.parametrize(("colour", "slope"), SLOPES.items())
def test_the_power_of_noise_follows_its_colour(colour: str, slope: float) -> None:
    noise = shaped_noise(rng(colour), 1 << 17, COLOURS[colour]).astype(float)
    frequency, power = filters.welch(noise, nperseg=1024)
    inside = slice(16, 448)  # away from what a window smears at both ends
    fitted = np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize("colour", SLOPES)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_coloured_noise_has_the_declared_ratio_in_every_channel_alike(colour: str, n_channels: int) -> None:
    signal = sound("s", n_channels, 2000)
    parameters = {"colour": colour, "snr_db": 7.5}
    corrupted = coloured_noise(signal, rng(), **parameters)
    added = corrupted.samples.astype(float) - signal.samples
    assert ratio_db(signal.samples, added) == pytest.approx(7.5, abs=1e-4)
    assert np.allclose(added, added[0], atol=1e-7)
    measured = CORRUPTIONS["coloured_noise"].measure
    assert measured(signal, corrupted, parameters)["realised_snr_db"] == pytest.approx(7.5, abs=1e-4)


def test_babble_takes_every_speaker_at_the_same_rms() -> None:
    # speakers of rms 1, 2 and 4 in turn, one at a time, give a sum in which all are equally loud: ±1 × 12 / √12
    speakers = np.zeros((3, 12), np.float32)
    for speaker, level in enumerate((1, 2, 4)):
        speakers[speaker, speaker::3] = level
    signal = Audio(np.full((1, 12), 0.5, np.float32), RATE_HZ)
    corrupted = babble(signal, rng(), noise=Audio(speakers, RATE_HZ), n_speakers=3, snr_db=20)
    np.testing.assert_allclose(corrupted.samples - signal.samples, 0.05, atol=1e-7)


@given(st.integers(3, 8), st.floats(-20, 40))
def test_babble_has_the_declared_ratio(n_speakers: int, snr_db: float) -> None:
    signal, noise = sound("s", 2, 300), sound("n", n_speakers, 300)
    parameters = {"noise": noise, "n_speakers": n_speakers, "snr_db": snr_db}
    corrupted = babble(signal, rng(), **parameters)
    assert ratio_db(signal.samples, corrupted.samples - signal.samples.astype(float)) == pytest.approx(snr_db, abs=0.01)
    measured = CORRUPTIONS["babble"].measure
    assert measured(signal, corrupted, parameters)["realised_snr_db"] == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([1, 1], "babble takes at least 3 speakers, not 2"),
        ([1, 0, 1, 0], "speaker 2 of 4 is silent; babble has all at one rms"),
    ],
)
def test_what_babble_refuses(levels: list[float], message: str) -> None:
    noise = Audio(np.array(levels, np.float32)[:, None] * sound("n", 1, 100).samples, RATE_HZ)
    with pytest.raises(Inapplicable, match=f"^{message}$"):
        babble(sound("s", 1, 100), rng(), noise=noise, n_speakers=5, snr_db=5)


@pytest.mark.real_data
@pytest.mark.parametrize("snr_db", [5, 10])
def test_speech_under_a_real_noise_has_the_ratio(test_data: Path, snr_db: int) -> None:
    import soundfile

    media = test_data / "data" / "media"
    speech, rate_hz = soundfile.read(media / "speech" / "emodb" / "03a01Wa.wav", dtype="float32")
    noise, noise_rate_hz = soundfile.read(media / "noise" / "rain__1-54958-A.wav", dtype="float32")
    signal = Audio(speech[None], rate_hz)
    for variant in ("exact", "mer2023"):
        parameters = {"noise": Audio(noise[None], noise_rate_hz), "snr_db": snr_db, "variant": variant}
        corrupted = background_noise(signal, rng(), **parameters)
        measured = CORRUPTIONS["background_noise"].measure
        assert measured(signal, corrupted, parameters)["realised_snr_db"] == pytest.approx(snr_db, abs=0.01)
    whole = [np.rint(one * 32768).astype(np.int16) for one in (speech, noise[: len(speech)])]
    assert np.array_equal(corrupted.samples[0] * 32768, released_mixture(*whole, snr_db))
