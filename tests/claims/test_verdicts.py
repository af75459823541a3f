"""What an interval says of a claim, worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from merbench.claims import Measured, verdict
from merbench.training.claim import Claim

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


def claim(check: str, **more: Any) -> Claim:
    content = {"name": "one", "says": "x", "source": "y", "check": check, **more}
    content |= {} if check == "exact" else {"on": [{"track": "small"}]}
    return TypeAdapter(Claim).validate_python(content)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.2, HOLDS),
        (0.0, 0.2, UNDECIDED),
        (-0.1, 0.2, UNDECIDED),
        (-0.1, 0.0, FAILS),
        (-0.2, -0.1, FAILS),
        (None, None, UNDECIDED),
    ],
)
def test_an_inequality_is_decided_by_zero(low: float | None, high: float | None, expected: str) -> None:
    assert verdict(claim("inequality", control={"baseline": "x"}), Measured((0.0,), low, high)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.019, 0.1, HOLDS),
        (-0.02, 0.1, UNDECIDED),
        (-0.1, -0.02, UNDECIDED),
        (-0.1, -0.021, FAILS),
        (0.1, 0.2, HOLDS),
    ],
)
def test_non_inferiority_is_decided_by_the_margin(low: float, high: float, expected: str) -> None:
    made = claim("non-inferiority", control={"baseline": "x"}, margin=0.02)
    assert verdict(made, Measured((0.0,), low, high)) == expected


@pytest.mark.parametrize(
    ("mean", "low", "high", "expected"),
    [
        (0.76, 0.745, 0.775, HOLDS),
        (0.76, 0.7, 0.779, UNDECIDED),  # the interval is wider than the tolerance
        (0.76, 0.741, 0.8, UNDECIDED),
        (0.76, None, None, UNDECIDED),
        (0.72, 0.65, 0.79, UNDECIDED),
        (0.70, 0.67, 0.729, FAILS),
        (0.70, 0.67, 0.731, UNDECIDED),
        (0.80, 0.771, 0.85, FAILS),
        (0.80, None, None, UNDECIDED),
    ],
)
def test_a_published_number_is_decided_by_its_tolerance(
    mean: float, low: float | None, high: float | None, expected: str
) -> None:
    assert verdict(claim("number", value=0.75, tolerance=0.02), Measured((mean,), low, high)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [((1.0, 2.0), HOLDS), ((1.0, 2.0625), HOLDS), ((1.0, 2.125), FAILS), ((1.0,), FAILS), ((1.0, 2.0, 3.0), FAILS)],
)
def test_an_exact_claim_needs_every_number(values: tuple[float, ...], expected: str) -> None:
    made = claim("exact", computes="parameters", value=[1, 2], tolerance=0.0625)
    assert verdict(made, Measured(values)) == expected


def test_a_whole_number_is_exact() -> None:
    made = claim("exact", computes="parameters", value=17_622_978)
    assert [verdict(made, Measured((float(n),))) for n in (17_622_978, 17_622_979)] == [HOLDS, FAILS]
