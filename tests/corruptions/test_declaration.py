"""Declarations of corruptions: what is allowed, what is refused and in which words, what is drawn."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from merbench.corruptions import CORRUPTIONS, check_parameters, generator
from merbench.errors import UsageError

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


SNR = "allowed is a number in [-20, 60] dB, or a distribution of such values"
FACTOR = "allowed is one of 1, 2, 4, 8, 16, or a distribution of such values"
BLOCK = "allowed is an integer in [1, 64] neighbouring dimensions, or a distribution of such values"


@pytest.mark.parametrize(
    ("name", "parameters", "messages"),
    [
        (
            "pyramid_blurr",
            {},
            [
                "no corruption named 'pyramid_blurr'; did you mean 'pyramid_blur'? "
                "(known: background_noise, feature_noise, pyramid_blur)"
            ],
        ),
        ("pyramid_blur", {}, ["pyramid_blur needs factor, one of 1, 2, 4, 8, 16"]),
        (
            "pyramid_blur",
            {"factr": 2},
            [
                "pyramid_blur has no parameter 'factr'; did you mean 'factor'? "
                "(known: factor, start, end, start_s, end_s)",
                "pyramid_blur needs factor, one of 1, 2, 4, 8, 16",
            ],
        ),
        ("pyramid_blur", {"factor": 3}, [f"factor: 3 is not allowed; {FACTOR}"]),
        ("pyramid_blur", {"factor": True}, [f"factor: True is not allowed; {FACTOR}"]),
        (
            "pyramid_blur",
            {"factor": {"choice": [1, 3, 5]}},
            [f"factor: choice holds 3, 5, which is not allowed; {FACTOR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"integers": [5, 400]}, "factor": 2.0},
            [f"snr_db: integers holds 400, which is not allowed; {SNR}", f"factor: 2.0 is not allowed; {BLOCK}"],
        ),
        ("feature_noise", {"snr_db": "5", "factor": 1}, [f"snr_db: '5' is not allowed; {SNR}"]),
        ("feature_noise", {"snr_db": float("nan"), "factor": 1}, [f"snr_db: nan is not allowed; {SNR}"]),
        (
            "feature_noise",
            {"snr_db": {"integer": [5, 10]}, "factor": 1},
            [
                "snr_db: integer is no distribution; did you mean 'integers'? "
                f"(choice = [...], integers = [low, high], uniform = [low, high]); {SNR}"
            ],
        ),
        (
            "feature_noise",
            {"snr_db": 5, "factor": {"uniform": [1, 4]}},
            [f"factor: uniform is no distribution (choice = [...], integers = [low, high]); {BLOCK}"],
        ),
        (
            "feature_noise",
            {"snr_db": {}, "factor": {"choice": [1], "integers": [1, 2]}},
            [
                "snr_db: an empty table is no distribution "
                f"(choice = [...], integers = [low, high], uniform = [low, high]); {SNR}",
                "factor: choice, integers is no distribution; did you mean 'integers'? "
                f"(choice = [...], integers = [low, high]); {BLOCK}",
            ],
        ),
        (
            "feature_noise",
            {"snr_db": {"uniform": [10, 5]}, "factor": 1},
            [f"snr_db: uniform = [10, 5] is not [low, high]; {SNR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"uniform": [5]}, "factor": 1},
            [f"snr_db: uniform = [5] is not [low, high]; {SNR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"integers": [5, 7.5]}, "factor": 1},
            [f"snr_db: integers = [5, 7.5] holds a number that is not whole; {SNR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"choice": []}, "factor": 1},
            [f"snr_db: choice = [] is not a list of values; {SNR}"],
        ),
        (
            "feature_noise",
            {"snr_db": {"choice": 5}, "factor": 1},
            [f"snr_db: choice = 5 is not a list of values; {SNR}"],
        ),
        (
            "background_noise",
            {"noise": "", "snr_db": 5},
            ["noise: '' is not allowed; allowed is a string, or a distribution of such values"],
        ),
        (
            "background_noise",
            {"noise": {"integers": [1, 2]}, "snr_db": 5},
            [
                "noise: integers is no distribution (choice = [...]); "
                "allowed is a string, or a distribution of such values"
            ],
        ),
    ],
)
def test_problems_are_told_in_full(name: str, parameters: dict[str, Any], messages: list[str]) -> None:
    assert check_parameters(name, parameters) == messages


def test_draws_do_not_depend_on_the_order_of_keys() -> None:
    declared = {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}
    turned = dict(reversed(declared.items()))
    corruption = CORRUPTIONS["feature_noise"]
    for number in range(50):
        rng, same = (generator(2023, "feature_noise", f"sample_{number}") for _ in range(2))
        assert corruption.draw(declared, rng) == corruption.draw(turned, same)


def test_draws_cover_what_is_declared_evenly() -> None:
    declared = {"snr_db": {"integers": [5, 10]}, "factor": {"choice": [1, 2, 4]}}
    drawn = [CORRUPTIONS["feature_noise"].draw(declared, generator(0, "step", str(i))) for i in range(6000)]
    snr, factor = (Counter(d[name] for d in drawn) for name in ("snr_db", "factor"))
    assert set(snr) == {5, 6, 7, 8, 9, 10}
    assert set(factor) == {1, 2, 4}
    # 6,000 draws: 1,000 of each ratio (deviation 29), 2,000 of each factor (deviation 37); five deviations allowed
    assert all(abs(count - 1000) < 145 for count in snr.values())
    assert all(abs(count - 2000) < 185 for count in factor.values())


def test_a_plain_value_takes_no_draw() -> None:
    rng, untouched = generator(1, "step", "a"), generator(1, "step", "a")
    assert CORRUPTIONS["feature_noise"].draw({"snr_db": 5, "factor": 2}, rng) == {"snr_db": 5, "factor": 2}
    assert rng.random_raw() == untouched.random_raw()


def test_a_corruption_that_is_declared_only_says_so() -> None:
    message = "corruption 'pyramid_blur' is declared, but this version of merbench cannot apply it"
    with pytest.raises(UsageError, match=message):
        CORRUPTIONS["pyramid_blur"](None, generator(0, "pyramid_blur", "a"), {"factor": 2})
