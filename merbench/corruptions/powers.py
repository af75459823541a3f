"""Powers that are the same on every machine: taken in decimals, since those of the C library need not be."""

from __future__ import annotations

from decimal import Context, Decimal
from functools import lru_cache

_DECIMALS = Context(prec=28)


def power(base: float, numerator: float, denominator: float) -> Decimal:
    """Return `base^(numerator / denominator)` to 28 digits.

    Args:
        base: above 0.
        numerator: of the exponent.
        denominator: of the exponent, not 0.
    """
    return _DECIMALS.power(Decimal(base), _DECIMALS.divide(Decimal(numerator), Decimal(denominator)))


@lru_cache(maxsize=4096)
def amplitude_ratio(decibels: float) -> float:
    """Return `10^(decibels / 20)`, the ratio of two amplitudes."""
    return float(power(10, decibels, 20))
