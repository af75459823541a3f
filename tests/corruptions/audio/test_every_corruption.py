"""What holds for every corruption of sound: shape, purity, windows, one channel or more, no samples, one sample."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, Audio, audio, check_parameters, generator
from merbench.corruptions.drawing import NORMAL_UNIT, normals
from merbench.errors import Inapplicable

RATE_HZ = 16_000
N = 4_000


def sound(name: str, n_channels: int, n: int, rate_hz: int = RATE_HZ) -> Audio:
    drawn = normals(generator(0, "sound", name), n_channels * n).reshape(n_channels, n)
    return Audio((drawn * NORMAL_UNIT * 0.1).astype(np.float32), rate_hz)


NOISE, SPEAKERS = sound("noise", 1, 2 * N), sound("speakers", 4, N)
RESPONSE = Audio(np.array([[0.0, 1.0, 0.5, 0.25]], np.float32), RATE_HZ)

DAMAGE: list[tuple[str, dict[str, Any]]] = [
    ("background_noise", {"noise": NOISE, "snr_db": 5, "fill": "loop", "variant": "exact"}),
    ("babble", {"noise": SPEAKERS, "n_speakers": 4, "snr_db": 5, "fill": "concatenate"}),
    *(("coloured_noise", {"colour": c, "snr_db": 0}) for c in ("white", "pink", "brown", "blue", "violet")),
    *(("sudden_events", {"event": e, "n_events": 2, "snr_db": 0}) for e in ("beep", "glass", "thunder", "knock")),
    ("recorded_events", {"recording": NOISE, "n_events": 3, "snr_db": 0}),
    ("reverberation", {"impulse_response": RESPONSE}),
    ("telephone_band", {"low_hz": 300, "high_hz": 3400, "order": 4}),
    ("low_pass", {"cutoff_hz": 1000, "order": 4}),
    ("high_pass", {"cutoff_hz": 1000, "order": 4}),
    ("clipping", {"quantile": 0.5}),
    ("gain", {"gain_db": -6}),
    ("mute", {}),
    ("packet_loss", {"loss_rate": 0.5, "mean_burst": 2, "frame_ms": 20, "concealment": "zero"}),
    ("packet_loss", {"loss_rate": 0.5, "mean_burst": 2, "frame_ms": 20, "concealment": "repeat"}),
    ("resampling_loss", {"rate_hz": 8000}),
    ("lossy_codec", {"codec": "mp3", "bit_rate": 32_000}),
    ("lossy_codec", {"codec": "aac", "bit_rate": 32_000}),
    ("lossy_codec", {"codec": "opus", "bit_rate": 12_000}),
    ("lossy_codec", {"codec": "amr_nb", "bit_rate": 12_200}),
    ("lossy_codec", {"codec": "g722", "bit_rate": 64_000}),
]
every_damage = pytest.mark.parametrize(("name", "parameters"), DAMAGE)


def damaged(name: str, signal: Audio, parameters: dict[str, Any]) -> Audio:
    return CORRUPTIONS[name](signal, generator(3, name, "a"), parameters)


def test_each_one_is_registered_and_tried_here() -> None:
    registered = {name for name in CORRUPTIONS if CORRUPTIONS[name].modality == "audio"}
    assert registered == set(audio.__all__) == {name for name, _ in DAMAGE}
    for name in registered:
        assert CORRUPTIONS[name].function is getattr(audio, name)
        assert inspect.getdoc(getattr(audio, name))


def test_a_name_of_a_bank_declares_each_one_that_takes_noise() -> None:
    for name, parameters in DAMAGE:
        declared = {key: "a-bank" if isinstance(value, Audio) else value for key, value in parameters.items()}
        assert check_parameters(name, declared) == []


@every_damage
@pytest.mark.parametrize("n_channels", [1, 2])
def test_shape_rate_and_type_stay_and_something_changes(name: str, parameters: dict[str, Any], n_channels: int) -> None:
    signal = sound("signal", n_channels, N)
    result = damaged(name, signal, parameters)
    assert result.samples.shape == (n_channels, N)
    assert result.samples.dtype == np.float32
    assert result.rate_hz == RATE_HZ
    assert np.isfinite(result.samples).all()
    assert not np.array_equal(result.samples, signal.samples)


@every_damage
def test_nothing_given_is_written_into(name: str, parameters: dict[str, Any]) -> None:
    signal = sound("signal", 2, N)
    given = [signal, *(value for value in parameters.values() if isinstance(value, Audio))]
    before = [one.samples.copy() for one in given]
    for one in given:
        one.samples.flags.writeable = False
    damaged(name, signal, parameters)
    for one, copy in zip(given, before, strict=True):
        assert np.array_equal(one.samples, copy)


@every_damage
def test_the_same_generator_gives_the_same_bytes(name: str, parameters: dict[str, Any]) -> None:
    first, second = (damaged(name, sound("signal", 1, N), parameters).samples for _ in range(2))
    assert first.tobytes() == second.tobytes()


@every_damage
@pytest.mark.parametrize(
    ("window", "begin", "end"),
    [
        ({"start": 0.25, "end": 0.75}, 1000, 3000),
        ({"start_s": 0.0625, "end_s": 0.1875}, 1000, 3000),
        ({"start": 0.5}, 2000, 4000),  # without an end it reaches to the end
        ({"end_s": 0.125}, 0, 2000),
    ],
)
def test_a_window_is_all_that_changes_and_the_function_sees_it_alone(
    name: str, parameters: dict[str, Any], window: dict[str, float], begin: int, end: int
) -> None:
    signal = sound("signal", 1, N)
    result = damaged(name, signal, {**parameters, **window}).samples
    part = damaged(name, signal.with_samples(signal.samples[:, begin:end]), parameters).samples
    assert np.array_equal(result[:, :begin], signal.samples[:, :begin])
    assert np.array_equal(result[:, begin:end], part)
    assert np.array_equal(result[:, end:], signal.samples[:, end:])


AT_A_RATIO = {"background_noise", "babble", "coloured_noise", "sudden_events", "recorded_events"}


@every_damage
@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_sound_without_samples_stays_or_has_no_ratio(name: str, parameters: dict[str, Any], n_channels: int) -> None:
    signal = Audio(np.zeros((n_channels, 0), np.float32), RATE_HZ)
    if name in AT_A_RATIO:
        with pytest.raises(Inapplicable, match=r"^the sound has no samples; a signal-to-noise ratio is not defined$"):
            damaged(name, signal, parameters)
    else:
        assert damaged(name, signal, parameters).samples.shape == (n_channels, 0)


@every_damage
def test_silence_stays_silent_or_has_no_ratio(name: str, parameters: dict[str, Any]) -> None:
    signal = Audio(np.zeros((1, N), np.float32), RATE_HZ)
    if name in AT_A_RATIO:
        with pytest.raises(Inapplicable, match=r"^the sound is silent; a signal-to-noise ratio is not defined$"):
            damaged(name, signal, parameters)
    else:
        # G.722 and AMR code silence as something of about a 16-bit step; they are allowed ten of them.
        assert np.abs(damaged(name, signal, parameters).samples).max() <= 10 / 32768


# Noise without a mean is silent where it has one sample, and so is the first sample of an event that is made.
SILENT_AT_FIRST = {"coloured_noise", "sudden_events"}


@pytest.mark.parametrize(("name", "parameters"), [item for item in DAMAGE if item[0] not in SILENT_AT_FIRST])
def test_one_sample_is_a_sound(name: str, parameters: dict[str, Any]) -> None:
    signal = Audio(np.array([[0.5]], np.float32), RATE_HZ)
    assert damaged(name, signal, parameters).samples.shape == (1, 1)


@pytest.mark.parametrize(("name", "parameters"), [item for item in DAMAGE if item[0] in SILENT_AT_FIRST])
def test_one_sample_of_what_is_silent_at_first_has_no_ratio(name: str, parameters: dict[str, Any]) -> None:
    signal = Audio(np.array([[0.5]], np.float32), RATE_HZ)
    with pytest.raises(Inapplicable, match=r"^the (noise|event) is silent; a signal-to-noise ratio is not defined$"):
        damaged(name, signal, parameters)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", sorted(AT_A_RATIO))
def test_what_is_no_number_has_no_level(name: str, value: float) -> None:
    samples = sound("signal", 1, N).samples.copy()
    samples[0, 7] = value
    parameters = next(parameters for known, parameters in DAMAGE if known == name)
    with pytest.raises(Inapplicable, match=r"^the sound holds values that are not finite numbers$"):
        damaged(name, Audio(samples, RATE_HZ), parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "is_left"),
    [
        ("gain", {"gain_db": 0}, True),
        ("gain", {"gain_db": 0.5}, False),
        ("clipping", {"quantile": 1}, True),
        ("clipping", {"quantile": 0.99}, False),
        ("packet_loss", {"loss_rate": 0}, True),
        ("packet_loss", {"loss_rate": 0.1}, False),
        ("mute", {}, False),
        ("mute", {"start": 0.5}, False),
    ],
)
def test_which_values_leave_every_sound_as_it_is(name: str, parameters: dict[str, Any], is_left: bool) -> None:
    corruption = CORRUPTIONS[name]
    drawn = corruption.draw(parameters, generator(0, name, "a"))
    assert corruption.changes_nothing(drawn) is is_left
    if is_left:
        signal = sound("signal", 2, N)
        assert np.array_equal(damaged(name, signal, drawn).samples, signal.samples)


@pytest.mark.parametrize("name", ["background_noise", "babble", "coloured_noise", "recorded_events", "sudden_events"])
def test_severities_of_noise_are_its_ratios(name: str) -> None:
    assert CORRUPTIONS[name].severities == {"snr_db": (20, 15, 10, 5, 0)}


def test_importing_the_corruptions_imports_no_heavy_library() -> None:
    code = (
        "import sys, merbench.corruptions; "
        "print(sorted({'av', 'cv2', 'scipy', 'soundfile', 'soxr'} & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
