"""Declared parameters: what annotations allow, and in which words the rest is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from merbench.errors import UsageError
from merbench.parameters import REQUIRED, Named, Within, declared, meanings, parameter_list, parameter_problems, taken

Decibels = Annotated[float, Within(-20, 60, "dB")]


def mixed(
    sound: object,
    *,
    snr_db: Decibels,
    n: Annotated[int, Within(1)] = 2,
    fill: Literal["loop", "concatenate"] = "loop",
    factor: Literal[1, 2, 4] = 1,
    ends: bool = True,
    bank: Annotated[object, Named("the name of a noise bank")] = "speech",
    classes: Mapping[str, str] | None = None,
) -> None:
    """Mix.

    It takes

    two paragraphs.

    Args:
        sound: the sound.
        snr_db: the ratio, which
            goes on.
        n: how many.
    """


ALLOWED = {
    "snr_db": ("a number in [-20, 60] dB", [-20, 60, 7.5], [-20.1, True, "5", math.nan, math.inf, None, [5]]),
    "n": ("an integer of at least 1", [1, 10**9], [0, 2.0, True, "2"]),
    "fill": ("one of loop, concatenate", ["loop"], ["lop", 1, None]),
    "factor": ("one of 1, 2, 4", [1, 4], [3, True, 1.0, "1"]),
    "ends": ("true or false", [True, False], [0, 1, "true"]),
    "bank": ("the name of a noise bank", ["musan"], ["", 5, object()]),
    "classes": ("a table of values, each a string", [{"a": "b"}, {}, None], [{"a": 1}, "a", ["a"]]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_value_is_of_the_annotated_type_and_range(name: str) -> None:
    parameter = declared(mixed)[name]
    words, right, wrong = ALLOWED[name]
    assert parameter.allowed == words
    assert [value for value in right if not parameter.allows(value)] == []
    assert [value for value in wrong if parameter.allows(value)] == []


def test_all_problems_are_reported_at_once_with_the_nearest_match() -> None:
    given = {"snr": 5, "fill": "lop", "factor": 3, "target": "x"}
    assert list(parameter_problems("mixed", declared(mixed), given, ["target"])) == [
        (
            "snr",
            "is not a parameter of mixed; allowed: target, snr_db, n, fill, factor, ends, bank, classes; "
            "did you mean 'snr_db'?",
        ),
        ("fill", "'lop' is not one of loop, concatenate; did you mean 'loop'?"),
        ("factor", "3 is not one of 1, 2, 4"),
        ("snr_db", "is missing: mixed needs it, a number in [-20, 60] dB"),
    ]


def test_a_signature_shows_defaults() -> None:
    assert parameter_list(declared(mixed)) == "snr_db, n=2, fill=loop, factor=1, ends=true, bank=speech, classes"


def test_a_docstring_says_what_a_parameter_means() -> None:
    assert meanings(mixed) == {"sound": "the sound.", "snr_db": "the ratio, which goes on.", "n": "how many."}


def test_a_function_takes_its_own_keywords() -> None:
    assert taken(mixed, {"sound": 1, "n": 2, "other": 3}) == {"n": 2}


def test_fields_of_a_dataclass_are_declared_alike_and_may_convert() -> None:
    @dataclass
    class Options:
        depth: Annotated[int, Within(1, 9)]
        hidden: tuple[int, ...] = field(default_factory=lambda: (4, 2))

    options = declared(Options, strict=False)
    assert options["depth"].default is REQUIRED and options["hidden"].default == (4, 2)
    assert options["hidden"].allows([3, 1]) and options["depth"].allows("3")
    assert list(parameter_problems("own", options, {"depth": 12, "hidden": ["a"]})) == [
        ("depth", "12 is not an integer in [1, 9]"),
        ("hidden", "['a'] is not a list of values, each an integer"),
    ]


def test_an_argument_that_could_not_be_declared_is_refused() -> None:
    def by_place(sound: object, n: int = 1) -> None: ...

    def untyped(sound: object, *, n=1) -> None: ...  # type: ignore[no-untyped-def]

    def unknown(sound: object, *, n: Unknown = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    refused = ((by_place, "must follow a '\\*'"), (untyped, "needs an annotation"))
    for function, message in refused:
        with pytest.raises(UsageError, match=f"^{function.__name__}: parameter 'n' {message}"):
            declared(function)
    with pytest.raises(
        UsageError, match=r"^unknown: an annotation cannot be evaluated: name 'Unknown' is not defined$"
    ):
        declared(unknown)
