"""Declarations of corruptions: what is allowed, what is refused and in which words, what is sampled."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, Audio, Corruption, check_parameters, corruption, generator, shared_draw
from merbench.errors import UsageError
from merbench.registry import Registry

SNR, OR = "a number in [-20, 60] dB", " or a distribution of such values"
FORMS = "(choice = [...], integers = [low, high], uniform = [low, high])"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("background_noise", {"noise": "musan/speech", "snr_db": {"integers": [5, 10]}}),  # MER 2023
        ("pyramid_blur", {"factor": {"choice": [1, 2, 4]}}),
        ("feature_noise", {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}),
        *(("feature_noise", {"snr_db": value, "factor": 1}) for value in (-20, 60, 7.5)),
        *(("feature_noise", {"snr_db": value, "factor": 1}) for value in ({"uniform": [5, 10]}, {"choice": [5, 7.5]})),
        ("gaussian_blur", {"severity": {"integers": [1, 5]}}),
        ("mute", {"start": {"uniform": [0, 0.5]}, "end": 0.75}),
        ("mute", {"start_s": 1.5}),
        ("coloured_noise", {"colour": "white", "snr_db": {"uniform": [20, 0], "shared": "rain"}}),
    ],
)
def test_right_declarations_have_no_problems(name: str, given: dict[str, Any]) -> None:
    assert check_parameters(name, given) == []


@pytest.mark.parametrize(
    ("name", "given", "messages"),
    [
        ("pyramid_blur", {"factr": 2}, [
            "factr is not a parameter of pyramid_blur; allowed: factor, variant, start, end, start_s, end_s; did you mean 'factor'?",
            "factor is missing: pyramid_blur needs it, one of 1, 2, 4, 8, 16",
        ]),
        ("pyramid_blur", {"factor": True}, [f"factor: True is not one of 1, 2, 4, 8, 16{OR}"]),
        ("pyramid_blur", {"factor": {"choice": [1, 3, 5]}}, ["factor: choice contains 3, 5; each must be one of 1, 2, 4, 8, 16"]),
        ("feature_noise", {"snr_db": {"integers": [5, 400]}, "factor": 2.0}, [
            f"snr_db: integers contains 400; each must be {SNR}",
            f"factor: 2.0 is not an integer in [1, 64] neighbouring dimensions{OR}",
        ]),
        ("coloured_noise", {"colour": "pnk", "snr_db": float("nan")}, [
            f"colour: 'pnk' is not one of white, pink, brown, blue, violet{OR}; did you mean 'pink'?", f"snr_db: nan is not {SNR}{OR}",
        ]),
        ("feature_noise", {"snr_db": {"integer": [5, 10]}, "factor": {"uniform": [1, 4]}}, [
            f"snr_db: integer is not a distribution; did you mean 'integers'? {FORMS}",
            "factor: uniform is not a distribution (choice = [...], integers = [low, high])",
        ]),
        ("feature_noise", {"snr_db": {}, "factor": {"choice": [1], "integers": [1, 2]}}, [
            f"snr_db: an empty table is not a distribution {FORMS}",
            "factor: choice, integers is not a distribution; did you mean 'integers'? (choice = [...], integers = [low, high])",
        ]),
        ("gain", {"gain_db": {"uniform": [10, 5]}}, ["gain_db: uniform = [10, 5] is not [low, high]; each must be a number in [-60, 60] dB"]),
        ("gain", {"gain_db": {"uniform": [5]}}, ["gain_db: uniform = [5] is not [low, high]; each must be a number in [-60, 60] dB"]),
        ("gain", {"gain_db": {"integers": [5, 7.5]}}, ["gain_db: integers = [5, 7.5] contains a number that is not whole"]),
        ("pyramid_blur", {"factor": {"integers": [1, 4]}}, ["factor: integers = [1, 4] contains numbers that are not one of 1, 2, 4, 8, 16; use choice"]),
        ("gain", {"gain_db": {"choice": []}}, ["gain_db: choice = [] is not a list of values; each must be a number in [-60, 60] dB"]),
        ("gain", {"gain_db": {"choice": 5}}, ["gain_db: choice = 5 is not a list of values; each must be a number in [-60, 60] dB"]),
        ("background_noise", {"noise": "", "snr_db": 5}, [f"noise: '' is not the name of a noise bank{OR}"]),
        ("background_noise", {"noise": {"integers": [1, 2]}, "snr_db": 5}, ["noise: integers is not a distribution (choice = [...])"]),
        ("gaussian_blur", {}, ["sigma is missing: gaussian_blur needs it, a number in [0, 200] pixels or a severity from 1 to 5"]),
        ("gaussian_blur", {"severity": 6}, [f"severity: 6 is not an integer in [1, 5]{OR}"]),
        ("gaussian_blur", {"severity": 1, "sigma": 2}, ["severity already sets sigma; give one of them"]),
        ("gaussian_blur", {"severity": {"integers": [1, 6], "shared": ""}}, [
            "severity: shared = '' is not a name; integers contains 6; each must be an integer in [1, 5]",
        ]),
        ("mute", {"start": 0.5, "end_s": 2.0}, [
            "a window is given either by start and end, fractions of the clip, or by start_s and end_s, in seconds",
        ]),
        ("mute", {"start": 0.5, "end": 0.5}, ["start = 0.5 is not before end = 0.5"]),
        ("mute", {"end": 1.5}, [f"end: 1.5 is not a number in [0, 1] of the clip{OR}"]),
        ("mute", {"start_s": -1}, [f"start_s: -1 is not a number of at least 0 s{OR}"]),
        ("word_deletion", {"rate": 0.1, "start": 0.5}, ["start is not a parameter of word_deletion; allowed: rate, severity"]),
    ],
)  # fmt: skip
def test_all_problems_are_reported(name: str, given: dict[str, Any], messages: list[str]) -> None:
    assert check_parameters(name, given) == messages


def test_a_name_that_is_near_is_offered() -> None:
    (message,) = check_parameters("pyramid_blurr", {})
    assert message.startswith("no corruption named 'pyramid_blurr'; did you mean 'pyramid_blur'? (known: babble, ")


def test_samples_do_not_depend_on_the_order_of_keys() -> None:
    declared = {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}
    turned, seen = dict(reversed(declared.items())), set()
    for number in range(100):
        rng, same = (generator(2023, "feature_noise", f"sample_{number}") for _ in range(2))
        drawn = CORRUPTIONS["feature_noise"].draw(declared, rng)
        assert drawn == CORRUPTIONS["feature_noise"].draw(turned, same)
        seen.add((drawn["snr_db"], drawn["factor"]))
    assert seen == {(snr_db, factor) for snr_db in range(5, 11) for factor in (1, 2, 4)}


def test_a_severity_sets_the_parameters_of_its_table() -> None:
    for severity, snr_db in enumerate((20, 15, 10, 5, 0), start=1):
        drawn = CORRUPTIONS["coloured_noise"].draw({"colour": "pink", "severity": severity}, generator(0, "noise", "a"))
        assert drawn == {"colour": "pink", "snr_db": snr_db, "severity": severity}


def test_one_shared_number_sets_all_that_name_it() -> None:
    """The severities of two corruptions are equal, and those that share nothing are not."""
    rain = {"severity": {"integers": [1, 5], "shared": "rain"}}
    sound, picture = CORRUPTIONS["coloured_noise"], CORRUPTIONS["gaussian_blur"]
    together, apart = set(), set()
    for number in range(200):
        name = f"s{number}"
        noise = sound.draw({"colour": "white", **rain}, generator(1, "noise", name), shared_draw(1, name))
        blur = picture.draw(rain, generator(1, "blur", name), shared_draw(1, name))
        other = picture.draw({"severity": {"integers": [1, 5]}}, generator(1, "blur", name))
        together.add((noise["severity"], blur["severity"]))
        apart.add((noise["severity"], other["severity"]))
    assert together == {(severity, severity) for severity in range(1, 6)}
    assert len(apart) == 25


def test_measured_values_are_rounded_to_six_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
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


SOUND = Audio(np.sin(np.arange(1600, dtype=np.float32))[None], 16000)


def test_a_call_uses_defaults_and_severities() -> None:
    given = {"loss_rate": 0.3, "mean_burst": 2, "frame_ms": 20, "concealment": "zero"}
    noise = {"colour": "pink"}
    for name, short, full in (
        ("packet_loss", {"loss_rate": 0.3}, given),
        ("coloured_noise", {**noise, "severity": 4}, {**noise, "snr_db": 5}),
    ):
        results = [CORRUPTIONS[name](SOUND, generator(0, "x", "a"), parameters).samples for parameters in (short, full)]
        assert np.array_equal(*results)


def test_a_call_takes_a_generator_of_numpy_with_pcg64() -> None:
    given = {"colour": "white", "snr_db": 5}
    mine = CORRUPTIONS["coloured_noise"](SOUND, np.random.default_rng(7), given)
    raw = CORRUPTIONS["coloured_noise"](SOUND, np.random.default_rng(7).bit_generator, given)
    assert np.array_equal(mine.samples, raw.samples)
    with pytest.raises(UsageError, match=r"^a corruption needs the generator PCG64, not Generator$"):
        CORRUPTIONS["coloured_noise"](SOUND, np.random.Generator(np.random.MT19937(0)), given)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("gain", {"gain_db": 300, "loud": 1}, "gain: loud is not a parameter of gain; allowed: .*; gain: gain_db: 300 is not a number in "),
        ("gain", {"gain_db": {"uniform": [0, 3]}}, "gain: gain_db: {'uniform': \\[0, 3\\]} is not a number in \\[-60, 60\\] dB$"),
        ("background_noise", {"noise": "synthetic/babble", "snr_db": 5}, "background_noise: noise: 'synthetic/babble' is a name; give what has this name$"),
        ("background_noise", {"snr_db": 5}, "background_noise: noise is missing: background_noise needs it, the name of a noise bank$"),
    ],
)  # fmt: skip
def test_a_call_reports_what_is_wrong(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.compile(f"^{message}")):
        CORRUPTIONS[name](SOUND, generator(0, name, "a"), given)
