"""Extractors of speech give the numbers of the packages whose weights and code they are, and problems where there are none.

Expected numbers of one clip of EMO-DB, and of twelve joined, were computed by the packages themselves: Resemblyzer 0.1.4
(its mel spectrogram by librosa 0.11), silero-vad 6.2.3 with its step-by-step network, speechmos 0.0.1.1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corruptions.signals import Audio
from merbench.errors import Inapplicable, MissingExtra
from merbench.features import speech
from merbench.features.shipped import EXTRACTORS

pytest.importorskip("scipy", reason="the extra media is not installed")

NAMES = ("egemaps", "egemaps-frames", "speaker", "voice-activity", "speech-quality")
CASES = [*NAMES[:-1], pytest.param("speech-quality", marks=pytest.mark.slow)]
PACKAGES = {"opensmile": "opensmile", "speech": "onnxruntime", "speaker": "torch"}

Made = Callable[[str], Any]


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Made:
    """Return a function of a name that makes the extractor; the test is skipped where it cannot run."""

    def extractor(name: str) -> Any:
        pytest.importorskip(PACKAGES[EXTRACTORS[name].extra], reason=f"the extra of the extractor '{name}'")
        if EXTRACTORS[name].extra == "opensmile":
            return EXTRACTORS[name].make(Path())
        return EXTRACTORS[name].make(request.getfixturevalue("installed_weights")(name))

    return extractor


@pytest.fixture
def clips(test_data: Path) -> list[Audio]:
    """Return twelve clips of EMO-DB."""
    soundfile = pytest.importorskip("soundfile", reason="the extra media is not installed")
    files = sorted((test_data / "data" / "media" / "speech" / "emodb").glob("*.wav"))[:12]
    return [_audio(soundfile.read(file, dtype="float32")[0]) for file in files]


def _audio(samples: Any) -> Audio:
    return Audio(np.asarray(samples, dtype=np.float32)[None], 16_000)


def _joined(clips: list[Audio]) -> Audio:
    return _audio(np.concatenate([clip.samples[0] for clip in clips]))


def _noise(n: int, peak: float = 0.1) -> Audio:
    return _audio(np.random.default_rng(n).uniform(-peak, peak, n))


def test_egemaps_is_what_the_package_measures_bit_for_bit(made: Made, clips: list[Audio]) -> None:
    opensmile = pytest.importorskip("opensmile")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    measured = made("egemaps")
    for clip in clips[:3]:
        expected = smile.process_signal(clip.samples[0], 16_000)
        np.testing.assert_array_equal(measured(clip).values, expected.to_numpy()[0])
    assert EXTRACTORS["egemaps"].columns == tuple(expected.columns)
    assert measured(clips[0]).times is None


def test_descriptors_have_the_times_that_opensmile_gives_them(made: Made, clips: list[Audio]) -> None:
    opensmile = pytest.importorskip("opensmile")
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.LowLevelDescriptors)
    expected = smile.process_signal(clips[0].samples[0], 16_000)
    output = made("egemaps-frames")(clips[0])
    np.testing.assert_array_equal(output.values, expected.to_numpy())
    assert EXTRACTORS["egemaps-frames"].columns == tuple(expected.columns)
    # The package gives its first row the beginning, and its last the end of the clip; the others have 20 ms.
    middle = (expected.index.get_level_values("start") + expected.index.get_level_values("end")) / 2
    np.testing.assert_allclose(output.times[1:-1], middle.total_seconds()[1:-1], atol=1e-9)
    np.testing.assert_allclose(np.diff(output.times), 0.01, atol=1e-9)
    assert output.times[0] == pytest.approx(0.01, abs=1e-9)


def test_samples_beyond_full_scale_are_clipped_before_opensmile(made: Made) -> None:
    """The package multiplies by 32,768 and keeps 16 bits: 1.0 becomes −32,768."""
    wave = np.sin(np.arange(16_000) * 2 * np.pi * 150 / 16_000)
    measured = made("egemaps")
    loud = measured(_audio(np.clip(1.5 * wave, -1, 32_767 / 32_768))).values
    np.testing.assert_array_equal(measured(_audio(1.5 * wave)).values, loud)


def test_a_speakers_vector_is_resemblyzers(made: Made, clips: list[Audio]) -> None:
    largest = [149, 248, 119, 125, 197, 243, 30, 148]
    numbers = [0.3095631, 0.2386542, 0.211401, 0.1999848, 0.1908662, 0.1839358, 0.1822487, 0.1663305]
    measured = made("speaker")
    vector = measured(clips[0]).values
    np.testing.assert_allclose(vector[largest], numbers, atol=1e-6)
    assert vector.min() >= 0
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    # Of 27 parts.
    vector = measured(_joined(clips)).values
    expected = [0.2689945, 0.212306, 0.2087105, 0.1950908, 0.186139, 0.1814302, 0.1684121, 0.1511948]
    np.testing.assert_allclose(vector[[149, 243, 62, 148, 197, 2, 251, 165]], expected, atol=1e-6)


def test_quiet_speech_is_raised_before_it_is_read(made: Made) -> None:
    """An rms of −30 dB or less is raised to −30 dB: how quiet it was does not matter."""
    measured, sound = made("speaker"), _noise(16_000, 1).samples
    at_level = sound * (10 ** (-30 / 20) / np.sqrt(np.mean(np.square(sound))))
    expected = measured(_audio(at_level[0])).values
    np.testing.assert_allclose(measured(_audio(at_level[0] / 64)).values, expected, atol=1e-6)
    assert np.abs(measured(_audio(at_level[0] * 16)).values - expected).max() > 0.01


@pytest.mark.parametrize(
    ("n_samples", "n_parts", "last"),
    [
        *((1, 1, 0), (25_599, 1, 0), (25_600, 1, 0), (32_000, 2, 77), (38_000, 2, 77)),
        *((160_000, 12, 847), (57_600_000, 4_674, 359_821)),
    ],
)
def test_the_parts_of_an_utterance_are_resemblyzers(n_samples: int, n_parts: int, last: int) -> None:
    starts = speech._partial_starts(n_samples)
    assert (len(starts), starts[-1]) == (n_parts, last)


def test_mel_bands_are_librosas(clips: list[Audio]) -> None:
    samples = clips[0].samples[0]
    bands = speech._mel_spectrogram(samples, 400, 40, 190)
    assert bands.shape == (190, 40)
    assert bands.sum(dtype=np.float64) == pytest.approx(483.0779870376604, rel=1e-6)
    cells = {(0, 0): 1.428850e-4, (50, 3): 1.610701e-5, (50, 20): 6.581500e-7, (100, 39): 1.483403e-8}
    np.testing.assert_allclose([bands[at] for at in cells], list(cells.values()), rtol=1e-4)


def test_a_long_sound_has_the_bands_of_its_blocks() -> None:
    sound = _noise(2 * speech._BLOCK * 160).samples[0]
    bands = speech._mel_spectrogram(sound, 400, 40, 2 * speech._BLOCK)
    first = speech._BLOCK * 160
    around = speech._mel_spectrogram(sound[first - 16_000 : first + 16_000], 400, 40, 200)
    np.testing.assert_allclose(bands[speech._BLOCK - 50 : speech._BLOCK + 50], around[50:150], rtol=1e-5)


def test_voice_activity_is_that_of_the_step_by_step_network(made: Made, clips: list[Audio]) -> None:
    measured = made("voice-activity")
    output = measured(clips[0])
    assert output.values.shape == (60, 1)
    expected = [0.0479388, 0.0221248, 0.0101367, 0.0228217, 0.9999431, 0.9999956, 0.0598704]
    np.testing.assert_allclose(output.values[[0, 1, 2, 3, 20, 40, 59], 0], expected, atol=1e-6)
    assert output.times[1] == pytest.approx(0.048)
    # 1.89825 s are 59 windows and 164 samples.
    assert output.times[-1] == pytest.approx((59 * 512 + 164 / 2) / 16_000)
    # Over the edge of two blocks.
    joined = measured(_joined(clips))
    expected = [0.9999905, 0.9999945, 0.9999959, 0.9999983, 0.9999917]
    np.testing.assert_allclose(joined.values[510:515, 0], expected, atol=1e-6)


@pytest.mark.slow
def test_speech_quality_is_speechmoss(made: Made, clips: list[Audio]) -> None:
    output = made("speech-quality")(clips[0])
    np.testing.assert_allclose(output.values, [[3.3352444, 3.8880994, 3.0242225, 3.4703295]], atol=1e-5)
    assert output.times.tolist() == [pytest.approx(clips[0].duration_s / 2)]


@pytest.mark.slow
def test_no_segment_of_a_long_sound_is_left_out(made: Made, clips: list[Audio]) -> None:
    """The package rates only the first 7 of these: int((7 + 9.01) * 16000) is one sample short."""
    output = made("speech-quality")(_joined(clips))
    assert output.values.shape == (12, 4)
    expected = [3.5042538, 4.0935115, 3.2696449, 3.8524301]
    np.testing.assert_allclose(output.values[:7].mean(axis=0), expected, atol=1e-5)
    np.testing.assert_allclose(output.times, np.arange(12) + 4.505)


@pytest.mark.parametrize("name", CASES)
def test_a_clip_after_others_is_as_alone(made: Made, name: str) -> None:
    first, other = _noise(16_000), _noise(20_000, 0.9)
    measured = made(name)
    single = measured(first)
    measured(other)
    again = measured(first)
    np.testing.assert_array_equal(again.values, single.values)
    if single.times is not None:
        np.testing.assert_array_equal(again.times, single.times)
        assert single.values.shape == (len(single.times), EXTRACTORS[name].dimension)
        assert ((single.times > 0) & (single.times < first.duration_s)).all()
    else:
        assert single.values.shape == (EXTRACTORS[name].dimension,)
    assert single.values.dtype == np.float32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), "too short: 0 samples at 16 kHz"),
        (np.array([0.1, np.nan, np.inf] * 1000), "2,000 of the 3,000 samples of the sound are not finite numbers"),
    ],
)
def test_sound_that_cannot_be_measured_is_a_named_problem(
    made: Made, name: str, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(Inapplicable, match=re.escape(message)):
        made(name)(_audio(samples))


@pytest.mark.parametrize("name", ["egemaps", "egemaps-frames"])
def test_opensmile_needs_60_ms(made: Made, name: str) -> None:
    measured = made(name)
    assert np.isfinite(measured(_noise(960)).values).all()
    with pytest.raises(Inapplicable, match="959 samples at 16 kHz of the 960 that are needed"):
        measured(_noise(959))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", [1, 100, 16_000])
def test_silence_and_very_short_sound_have_finite_numbers(made: Made, name: str, n: int) -> None:
    measured = made(name)
    silence, click = _audio(np.zeros(n)), _audio(np.full(n, 0.5))
    if n < 960 and name.startswith("egemaps"):
        return
    if name == "speaker":
        with pytest.raises(Inapplicable, match="the sound is silent"):
            measured(silence)
    else:
        assert np.isfinite(measured(silence).values).all()
    output = measured(click)
    assert np.isfinite(output.values).all()
    assert output.times is None or (output.times <= click.duration_s).all()


def test_sound_without_speech_has_low_probabilities(made: Made) -> None:
    assert made("voice-activity")(_noise(32_000, 0.01)).values.mean() < 0.2


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the packages of the extras unknown."""
    for package in PACKAGES.values():
        monkeypatch.setitem(sys.modules, package, None)
    yield


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("without_packages")
def test_a_missing_extra_is_named(name: str) -> None:
    extra = EXTRACTORS[name].extra
    with pytest.raises(MissingExtra, match=re.escape(f"pip install 'merbench[{extra}]'")):
        EXTRACTORS[name].make(Path())
