"""Powers in decimals against powers that are known exactly, and against those of the C library."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions.drawing import amplitude_ratio, power


@pytest.mark.parametrize(("decibels", "ratio"), [(0, 1.0), (20, 10.0), (-20, 0.1), (60, 1000.0), (40, 100.0)])
def test_ratios_of_amplitudes_are_right_to_the_last_bit(decibels: float, ratio: float) -> None:
    assert amplitude_ratio(decibels) == ratio


@given(st.floats(-60, 60))
def test_ratios_of_amplitudes_are_powers_of_ten(decibels: float) -> None:
    assert amplitude_ratio(decibels) == pytest.approx(10 ** (decibels / 20), rel=1e-14)


@pytest.mark.parametrize(
    ("base", "numerator", "denominator", "expected"),
    [(8, 1, 3, "2"), (4, -3, 2, "0.125"), (10_000, -1, 1, "0.0001"), (3, 0, 5, "1")],
)
def test_powers_by_hand(base: float, numerator: float, denominator: float, expected: str) -> None:
    assert abs(power(base, numerator, denominator) - Decimal(expected)) < Decimal("1e-25")
