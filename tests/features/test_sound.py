"""The vector of a sound against arithmetic, SciPy and signals whose pitch and pauses are known."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dct
from scipy.signal import chirp, spectrogram

from merbench.corruptions.signals import Audio
from merbench.errors import MissingExtra
from merbench.features import sound
from merbench.features.sound import N_BANDS, N_CEPSTRA, log_mel, pitch_track, sound_vector

RATE = 16_000


def mono(samples: np.ndarray, rate_hz: int = RATE) -> Audio:
    return Audio(np.asarray(samples, np.float32)[None], rate_hz)


def noise(n: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).normal(size=n)


def sine(hz: float, seconds: float, rate_hz: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def voice(hz: float, seconds: float) -> np.ndarray:
    """Return a tone with ten harmonics that fall by 6 dB an octave."""
    return 0.2 * sum(sine(hz * number, seconds) / number for number in range(1, 11))


_SPREAD = ("mean", "deviation", "p10", "p50", "p90")
_PITCH_STATISTICS = (*_SPREAD, "slope", "change")
_VOICE = ("voiced_share", "voicing", "voiced_runs_per_s", "voiced_run_s", "pause_share", "pauses_per_s", "pause_s")


def sound_dimensions() -> tuple[str, ...]:
    """Return the name of each dimension of a `sound_vector`, such as `mfcc_2.deviation`."""
    bands = [f"mel_{band}.{statistic}" for statistic in ("mean", "deviation") for band in range(N_BANDS)]
    cepstra = [f"mfcc_{number}.{statistic}" for statistic in _SPREAD for number in range(N_CEPSTRA)]
    changes = [f"delta_mfcc_{number}.deviation" for number in range(N_CEPSTRA)]
    shapes = [
        f"{name}.{statistic}"
        for statistic in (*_SPREAD, "slope", "change")
        for name in ("level_db", "centroid", "rolloff", "flux")
    ]
    pitch = [f"pitch.{statistic}" for statistic in _PITCH_STATISTICS]
    return (*bands, *cepstra, *changes, *shapes, *pitch, *_VOICE)


def named(audio: Audio) -> dict[str, float]:
    return dict(zip(sound_dimensions(), sound_vector(audio).tolist(), strict=True))


def test_every_number_has_a_name_of_its_own() -> None:
    names = sound_dimensions()
    vector = sound_vector(mono(noise(RATE)))
    assert vector.shape == (len(names),) == (184,)
    assert vector.dtype == np.float32
    assert len(set(names)) == len(names)
    assert (names[0], names[63], names[64], names[-1]) == ("mel_0.mean", "mel_31.deviation", "mfcc_0.mean", "pause_s")


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 0)), np.ones((1, 1)), np.ones((1, RATE)), noise(399)[None], noise(6 * 2000).reshape(6, 2000)],
    ids=lambda samples: f"{samples.shape}",
)
@pytest.mark.parametrize("rate_hz", [RATE, 44_100])
def test_whatever_the_sound_the_numbers_are_finite(samples: np.ndarray, rate_hz: int) -> None:
    assert np.isfinite(sound_vector(Audio(samples.astype(np.float32), rate_hz))).all()


def test_silence_has_no_voice_and_the_lowest_level() -> None:
    values = named(mono(np.zeros(RATE)))
    assert values["level_db.mean"] == pytest.approx(-100)  # 10 log10(1e-10)
    assert values["mel_5.mean"] == pytest.approx(np.log(1e-10))
    assert values["pause_share"] == 1
    silent = ("voiced_share", "voicing", "pitch.mean", "pitch.slope", "centroid.mean", "flux.mean", "voiced_runs_per_s")
    assert [values[name] for name in silent] == [0] * len(silent)


def test_the_level_is_that_of_the_rms() -> None:
    # a sine of amplitude 0.5 whose period, 16 samples, divides the frame: rms 0.5 / sqrt(2), 20 log10 of it
    values = named(mono(0.5 * sine(1000, 1)))
    assert values["level_db.mean"] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=1e-4)
    assert values["level_db.deviation"] == pytest.approx(0, abs=1e-4)
    assert values["centroid.mean"] == pytest.approx(1.0, abs=0.002)
    assert values["rolloff.mean"] == pytest.approx(1.0, abs=0.04)  # a bin is 31.25 Hz wide
    assert values["flux.mean"] == pytest.approx(0, abs=1e-3)


def test_bands_and_cepstra_are_those_of_scipy_and_of_the_mel_formula() -> None:
    samples = noise(RATE).astype(np.float32)
    window = np.sin(np.pi * (np.arange(400) + 0.5) / 400) ** 2
    # a two-sided spectrum "of magnitude 1 for a sine of amplitude 2": 4 times that of a sine of amplitude 1
    _, _, power = spectrogram(
        samples.astype(float), RATE, window, 400, 240, 512, detrend=False, return_onesided=False, scaling="spectrum"
    )
    power = 4 * power[:257].T
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 34) / 2595) - 1)
    bands = np.array([[np.interp(f, corners[i : i + 3], [0, 1, 0]) for f in np.arange(257) * 31.25] for i in range(32)])
    wanted = np.log(np.maximum(power @ bands.T, 1e-10))
    values = sound_vector(mono(samples))
    np.testing.assert_allclose(values[:32], wanted.mean(axis=0), atol=2e-4)
    np.testing.assert_allclose(values[32:64], wanted.std(axis=0), atol=2e-4)
    cepstra = dct(wanted, type=2, norm="ortho", axis=1)[:, :13]
    np.testing.assert_allclose(values[64:77], cepstra.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(values[103:116], np.percentile(cepstra, 50, axis=0), atol=1e-3)
    slopes = [np.polyfit(range(-2, 3), cepstra[i - 2 : i + 3], 1)[0] for i in range(2, len(cepstra) - 2)]
    # the ends, where frames are repeated, are 4 of 98
    np.testing.assert_allclose(values[129:142], np.std(slopes, axis=0), rtol=0.1)


@given(st.floats(70, 450))
def test_the_pitch_of_a_tone_is_found_within_a_fifth_of_a_semitone(hz: float) -> None:
    pitch, strength = pitch_track(voice(hz, 0.3).astype(np.float32))
    np.testing.assert_allclose(pitch, 12 * np.log2(hz / 60), atol=0.2)
    assert strength.min() > 0.9


def test_a_rising_tone_has_its_slope() -> None:
    # from 100 to 200 Hz in 2 s: an octave, 6 semitones a second; 0.06 from frame to frame
    times = np.arange(2 * RATE) / RATE
    rising = sum(chirp(times, 100 * k, 2, 200 * k, method="logarithmic") / k for k in range(1, 6))
    values = named(mono(0.2 * rising))
    assert values["pitch.slope"] == pytest.approx(6, abs=0.1)
    assert values["pitch.change"] == pytest.approx(0.06, abs=0.01)
    assert values["pitch.mean"] == pytest.approx(12 * np.log2(100 * 2**0.5 / 60), abs=0.1)
    assert values["pitch.p90"] - values["pitch.p10"] == pytest.approx(0.8 * 12, abs=0.3)
    assert values["voiced_share"] > 0.95


def test_pauses_are_counted_and_measured() -> None:
    spoken = voice(150, 1)
    values = named(mono(np.concatenate([spoken, np.zeros(RATE // 2), spoken])))
    # one pause of 0.5 s in 2.5 s; a frame is 25 ms long, so that the edges are uncertain by that
    assert values["pauses_per_s"] == pytest.approx(1 / 2.5, abs=0.01)
    assert values["pause_s"] == pytest.approx(0.5, abs=0.03)
    assert values["pause_share"] == pytest.approx(0.2, abs=0.012)
    assert values["voiced_runs_per_s"] == pytest.approx(2 / 2.5, abs=0.02)
    assert values["voiced_run_s"] == pytest.approx(1, abs=0.04)
    assert values["pitch.p50"] == pytest.approx(12 * np.log2(150 / 60), abs=0.1)


def test_channels_are_averaged() -> None:
    left, right = noise(RATE), noise(RATE, 1)
    np.testing.assert_allclose(
        sound_vector(Audio(np.stack([left, right]).astype(np.float32), RATE)),
        sound_vector(mono((left.astype(np.float32) + right.astype(np.float32)) / 2)),
        atol=1e-4,
    )


def test_another_rate_gives_about_the_same_numbers() -> None:
    at_48, at_16 = (named(Audio(sum(0.2 * sine(f, 1, r) for f in (150, 300, 2500))[None].astype(np.float32), r))
                    for r in (48_000, RATE))  # fmt: skip
    for name in ("level_db.mean", "centroid.mean", "pitch.p50", "mel_3.mean", "mfcc_0.p50"):
        assert at_48[name] == pytest.approx(at_16[name], abs=0.05), name


def test_a_louder_clip_differs_in_level_alone() -> None:
    quiet, loud = (named(mono(gain * (voice(180, 1) + noise(RATE) / 10))) for gain in (0.1, 1))
    assert loud["level_db.p50"] - quiet["level_db.p50"] == pytest.approx(20, abs=1e-3)
    for name in ("pitch.p50", "centroid.p50", "rolloff.p50", "mfcc_3.p50", "voiced_share"):
        assert loud[name] == pytest.approx(quiet[name], abs=0.02), name


def test_a_long_recording_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = mono(np.concatenate([voice(120, 1), noise(RATE)]))
    expected = sound_vector(audio)
    monkeypatch.setattr(sound, "_BLOCK", 7)
    np.testing.assert_allclose(sound_vector(audio), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "message"), [("soxr", "sound at another rate (soxr)"), ("scipy.fft", "a feature of sound (SciPy)")]
)
def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, module: str, message: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message += " needs the extra 'media': pip install 'merbench[media]'"
    with pytest.raises(MissingExtra, match=f"^{re.escape(message)}$"):
        sound_vector(mono(noise(1000), 8_000))


@pytest.mark.real_data
@pytest.mark.slow
def test_emotions_of_unseen_speakers_are_reported_apart(test_data: Path) -> None:
    """EMO-DB, one speaker left out at a time; 0.796 is known of MFCC and F0 statistics, for ten speakers."""
    import soundfile
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with (test_data / "data/media/speech_index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == "EMO-DB"]
    vectors = [
        sound_vector(mono(*soundfile.read(test_data / "data/media" / row["file"], dtype="float32"))) for row in rows
    ]
    emotions, speakers = ([row[column] for row in rows] for column in ("emotion", "speaker"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    predicted = cross_val_predict(model, np.array(vectors), emotions, groups=speakers, cv=LeaveOneGroupOut())
    assert f1_score(emotions, predicted, average="weighted") > 0.70


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
@pytest.mark.parametrize("seconds", [0.025, 0.5, 1.003])
def test_log_mel_bands_are_those_of_transformers(seconds: float) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra language-models is not installed")
    samples = (voice(180, seconds) + noise(round(seconds * RATE))).astype(np.float32)
    output = log_mel(mono(samples))
    extractor = transformers.ASTFeatureExtractor(do_normalize=False, max_length=len(output.values))
    expected = extractor(samples, sampling_rate=RATE)["input_values"][0]
    assert output.values.shape == (1 + (len(samples) - 400) // 160, 128)
    # The peer computes in float64; near the floor of 2⁻²³, a band has the rounding of float32.
    np.testing.assert_allclose(output.values, expected, atol=2e-3)
    loud = expected > -5
    np.testing.assert_allclose(output.values[loud], expected[loud], atol=5e-5)


@pytest.mark.parametrize("n", [0, 1, 399])
def test_log_mel_of_silence_is_the_least_power(n: int) -> None:
    output = log_mel(mono(np.zeros(n)))
    np.testing.assert_array_equal(output.values, np.full((1, 128), np.float32(-23 * np.log(2))))
    assert output.times is not None and output.times.tolist() == [0.0125]  # the middle of 25 ms
