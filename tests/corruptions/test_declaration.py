"""Declarations of corruptions: what is allowed, what is refused and in which words, what is drawn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import (
    CORRUPTIONS,
    Audio,
    Corruption,
    check_parameters,
    corruption,
    generator,
    shared_draw,
)
from merbench.errors import UsageError
from merbench.registry import Registry

MER_2023 = [
    ("background_noise", {"noise": "musan/speech", "snr_db": {"integers": [5, 10]}}),
    ("pyramid_blur", {"factor": {"choice": [1, 2, 4]}}),
    ("feature_noise", {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}),
]


@pytest.mark.parametrize(("name", "parameters"), MER_2023)
def test_the_declarations_of_mer_2023_are_right(name: str, parameters: dict[str, Any]) -> None:
    assert check_parameters(name, parameters) == []


@pytest.mark.parametrize("value", [-20, 60, 7.5, {"uniform": [5, 10]}, {"choice": [5, 7.5]}, {"integers": [5, 5]}])
def test_what_a_number_may_be(value: object) -> None:
    assert check_parameters("feature_noise", {"snr_db": value, "factor": 1}) == []


SNR = "a number in [-20, 60] dB"
FACTOR = "one of 1, 2, 4, 8, 16"
BLOCK = "an integer in [1, 64] neighbouring dimensions"
OR = " or a distribution of such values"


@pytest.mark.parametrize(
    ("name", "parameters", "messages"),
    [
        ("pyramid_blur", {}, ["factor is missing: pyramid_blur needs it, one of 1, 2, 4, 8, 16"]),
        (
            "pyramid_blur",
            {"factr": 2},
            [
                "factr is not a parameter of pyramid_blur; allowed: factor, variant, start, end, start_s, end_s; did you mean 'factor'?",
                "factor is missing: pyramid_blur needs it, one of 1, 2, 4, 8, 16",
            ],
        ),
        ("pyramid_blur", {"factor": 3}, [f"factor: 3 is not {FACTOR}{OR}"]),
        ("pyramid_blur", {"factor": True}, [f"factor: True is not {FACTOR}{OR}"]),
        (
            "pyramid_blur",
            {"factor": {"choice": [1, 3, 5]}},
            [f"factor: choice holds 3, 5; each must be {FACTOR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"integers": [5, 400]}, "factor": 2.0},
            [f"snr_db: integers holds 400; each must be {SNR}", f"factor: 2.0 is not {BLOCK}{OR}"],
        ),
        ("feature_noise", {"snr_db": "5", "factor": 1}, [f"snr_db: '5' is not {SNR}{OR}"]),
        ("feature_noise", {"snr_db": float("nan"), "factor": 1}, [f"snr_db: nan is not {SNR}{OR}"]),
        (
            "feature_noise",
            {"snr_db": {"integer": [5, 10]}, "factor": 1},
            [
                "snr_db: integer is not a distribution; did you mean 'integers'? "
                "(choice = [...], integers = [low, high], uniform = [low, high])"
            ],
        ),
        (
            "feature_noise",
            {"snr_db": 5, "factor": {"uniform": [1, 4]}},
            ["factor: uniform is not a distribution (choice = [...], integers = [low, high])"],
        ),
        (
            "feature_noise",
            {"snr_db": {}, "factor": {"choice": [1], "integers": [1, 2]}},
            [
                "snr_db: an empty table is not a distribution "
                "(choice = [...], integers = [low, high], uniform = [low, high])",
                "factor: choice, integers is not a distribution; did you mean 'integers'? "
                "(choice = [...], integers = [low, high])",
            ],
        ),
        (
            "feature_noise",
            {"snr_db": {"uniform": [10, 5]}, "factor": 1},
            ["snr_db: uniform = [10, 5] is not [low, high]"],
        ),
        (
            "feature_noise",
            {"snr_db": {"uniform": [5]}, "factor": 1},
            ["snr_db: uniform = [5] is not [low, high]"],
        ),
        (
            "feature_noise",
            {"snr_db": {"integers": [5, 7.5]}, "factor": 1},
            ["snr_db: integers = [5, 7.5] holds a number that is not whole"],
        ),
        (
            "feature_noise",
            {"snr_db": {"choice": []}, "factor": 1},
            ["snr_db: choice = [] is not a list of values"],
        ),
        (
            "feature_noise",
            {"snr_db": {"choice": 5}, "factor": 1},
            ["snr_db: choice = 5 is not a list of values"],
        ),
        (
            "background_noise",
            {"noise": "", "snr_db": 5},
            ["noise: '' is not the name of a noise bank or a distribution of such values"],
        ),
        (
            "background_noise",
            {"noise": {"integers": [1, 2]}, "snr_db": 5},
            ["noise: integers is not a distribution (choice = [...])"],
        ),
    ],
)
def test_all_problems_are_reported(name: str, parameters: dict[str, Any], messages: list[str]) -> None:
    assert check_parameters(name, parameters) == messages


def test_draws_do_not_depend_on_the_order_of_keys() -> None:
    declared = {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}
    turned = dict(reversed(declared.items()))
    corruption = CORRUPTIONS["feature_noise"]
    for number in range(50):
        rng, same = (generator(2023, "feature_noise", f"sample_{number}") for _ in range(2))
        assert corruption.draw(declared, rng) == corruption.draw(turned, same)


def test_what_is_measured_is_rounded_to_six_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    own: Registry[Corruption] = Registry("corruption", "merbench.none", "@corruption")
    monkeypatch.setattr("merbench.corruptions.declaration.CORRUPTIONS", own)

    realised = {"share": 2 / 3, "small": -1e-9, "count": 7, "name": "at", "nothing": None}

    @corruption("text", measured=lambda before, after: realised)
    def untouched(signal: str, rng: np.random.PCG64) -> str:
        """Return the text."""
        return signal

    measured = own["untouched"].measure("", "", {})
    assert measured == {"share": 0.666667, "small": 0.0, "count": 7, "name": "at"}
    assert str(measured["small"]) == "0.0"


def test_a_name_that_is_near_is_offered() -> None:
    (message,) = check_parameters("pyramid_blurr", {})
    assert message.startswith("no corruption named 'pyramid_blurr'; did you mean 'pyramid_blur'? (known: babble, ")


@pytest.mark.parametrize(
    ("parameters", "messages"),
    [
        ({"severity": 3}, []),
        ({"severity": {"integers": [1, 5]}}, []),
        ({}, ["sigma is missing: gaussian_blur needs it, a number in [0, 100] px or a severity from 1 to 5"]),
        (
            {"severity": 6},
            ["severity: 6 is not an integer in [1, 5] or a distribution of such values"],
        ),
        (
            {"severity": 1, "sigma": 2},
            ["severity already sets sigma; give one of them"],
        ),
    ],
)
def test_a_severity_sets_the_parameters_of_its_table(parameters: dict[str, Any], messages: list[str]) -> None:
    result = check_parameters("gaussian_blur", parameters)
    limits = re.compile(r"a number .*? (?=or a severity)")
    assert [limits.sub("", text) for text in result] == [limits.sub("", text) for text in messages]


@pytest.mark.parametrize(
    ("window", "messages"),
    [
        ({"start": 0.25, "end": 0.5}, []),
        ({"start_s": 1.5}, []),
        ({"start": {"uniform": [0, 0.5]}, "end": 0.75}, []),
        (
            {"start": 0.5, "end_s": 2.0},
            ["a window is given either by start and end, fractions of the clip, or by start_s and end_s, in seconds"],
        ),
        ({"start": 0.5, "end": 0.5}, ["start = 0.5 is not before end = 0.5"]),
        (
            {"end": 1.5},
            ["end: 1.5 is not a number in [0, 1] of the clip or a distribution of such values"],
        ),
        (
            {"start_s": -1},
            ["start_s: -1 is not a number of at least 0 s or a distribution of such values"],
        ),
    ],
)
def test_a_window_is_given_in_fractions_or_in_seconds(window: dict[str, Any], messages: list[str]) -> None:
    assert check_parameters("mute", window) == messages


def test_text_and_features_have_no_window() -> None:
    (message,) = check_parameters("word_deletion", {"rate": 0.1, "start": 0.5})
    assert message == "start is not a parameter of word_deletion; allowed: rate, severity"


def test_one_shared_number_draws_all_that_name_it() -> None:
    """The draws of two corruptions follow one another, and those that share nothing do not."""
    rain = {"severity": {"integers": [1, 5], "shared": "rain"}}
    sound, picture = CORRUPTIONS["coloured_noise"], CORRUPTIONS["gaussian_blur"]
    pairs, apart = [], []
    for number in range(200):
        name = f"s{number}"
        noise = sound.draw({"colour": "white", **rain}, generator(1, "noise", name), shared_draw(1, name))
        blur = picture.draw(rain, generator(1, "blur", name), shared_draw(1, name))
        pairs.append((noise["severity"], blur["severity"]))
        alone = picture.draw({"severity": {"integers": [1, 5]}}, generator(1, "blur", name))
        apart.append((noise["severity"], alone["severity"]))
    assert all(one == other for one, other in pairs)
    assert {one for one, _ in pairs} == {1, 2, 3, 4, 5}
    assert len(set(apart)) == 25


def test_only_ranges_that_share_a_number_may_descend() -> None:
    falling = {"uniform": [20, 0]}
    (message,) = check_parameters("coloured_noise", {"colour": "white", "snr_db": falling})
    assert message.startswith("snr_db: uniform = [20, 0] is not [low, high]")
    assert check_parameters("coloured_noise", {"colour": "white", "snr_db": {**falling, "shared": "rain"}}) == []


def test_a_shared_number_needs_a_name() -> None:
    (message,) = check_parameters("gaussian_blur", {"severity": {"integers": [1, 5], "shared": ""}})
    assert message.startswith("severity: shared = '' is not a name")


def test_a_call_uses_the_defaults() -> None:
    sound = Audio(np.sin(np.arange(1600, dtype=np.float32))[None], 16000)
    rng = generator(0, "loss", "a")
    given = {"loss_rate": 0.3, "mean_burst": 2, "frame_ms": 20, "concealment": "zero"}
    expected = CORRUPTIONS["packet_loss"](sound, rng, given)
    assert np.array_equal(
        CORRUPTIONS["packet_loss"](sound, generator(0, "loss", "a"), {"loss_rate": 0.3}).samples, expected.samples
    )
    assert not CORRUPTIONS["mute"](sound, rng).samples.any()


def test_a_call_takes_a_generator_of_numpy_with_pcg64() -> None:
    sound = Audio(np.sin(np.arange(1600, dtype=np.float32))[None], 16000)
    given = {"colour": "white", "snr_db": 5}
    mine = CORRUPTIONS["coloured_noise"](sound, np.random.default_rng(7), given)
    raw = CORRUPTIONS["coloured_noise"](sound, np.random.default_rng(7).bit_generator, given)
    assert np.array_equal(mine.samples, raw.samples)
    with pytest.raises(UsageError, match=r"^a corruption needs the generator PCG64, not Generator$"):
        CORRUPTIONS["coloured_noise"](sound, np.random.Generator(np.random.MT19937(0)), given)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("coloured_noise", {"colour": "pnk", "snr_db": 5}, "coloured_noise: colour: 'pnk' is not one of white, pink, "),
        ("coloured_noise", {"colour": "pink", "snr_db": 500}, "coloured_noise: snr_db: 500 is not a number in [-20, 60] dB"),
        ("gain", {"gain_db": 3, "loud": 1}, "gain: loud is not a parameter of gain"),
        ("gain", {}, "gain: gain_db is missing: gain needs it, a number in [-60, 60] dB"),
        ("gain", {"gain_db": {"uniform": [0, 3]}}, "gain: gain_db: {'uniform': [0, 3]} is not a number in [-60, 60] dB"),
        ("background_noise", {"noise": "synthetic/babble", "snr_db": 5}, "background_noise: noise: 'synthetic/babble' is a name; give what has this name"),
        ("background_noise", {"snr_db": 5}, "background_noise: noise is missing"),
        ("recorded_events", {"recording": "esc", "n_events": 1, "snr_db": 5}, "recorded_events: recording: 'esc' is a name; give what has this name"),
    ],
)  # fmt: skip
def test_a_call_reports_what_is_wrong(name: str, parameters: dict[str, Any], message: str) -> None:
    sound = Audio(np.ones((1, 100), np.float32), 16000)
    with pytest.raises(UsageError) as raised:
        CORRUPTIONS[name](sound, generator(0, name, "a"), parameters)
    assert str(raised.value).startswith(message)
