"""Student's t without SciPy: p values and quantiles, the same on every machine within rounding."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()


def student_p(t: float, degrees: float) -> float:
    """Return the two-sided p of a value of Student's t, by the continued fraction of the incomplete beta function.

    Abramowitz & Stegun, 1964, 26.5.8 and 26.7.1; infinite degrees of freedom give the normal distribution.

    Args:
        t: the value of the statistic, of either sign; an infinite one has a p of 0.
        degrees: degrees of freedom, above 0; not always a whole number.
    """
    if degrees > 1e9 or math.isinf(t):
        return math.erfc(abs(t) / math.sqrt(2))
    a, x, y = degrees / 2, degrees / (degrees + t * t), t * t / (degrees + t * t)
    if not t or not x:
        return float(not t)
    # log Γ(a + ½) − log Γ(a); a series where the difference would lose digits
    series = math.log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)
    gammas = series if a > 100 else math.lgamma(a + 0.5) - math.lgamma(a)
    front = math.exp(gammas + math.log(y / math.pi) / 2 - a * math.log1p(t * t / degrees))
    if x < (a + 1) / (a + 2.5):
        return front * _beta_fraction(a, 0.5, x) / a
    return 1 - front * _beta_fraction(0.5, a, y) / 0.5


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function (Lentz, 1976)."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + numerator / c, 1 / (1 + numerator * d)
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


@lru_cache(maxsize=1024)
def student_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t; `probability` is above ½, `degrees` above 0 and not always whole."""
    # Newton's steps between logarithms, between which the tail is nearly a line.
    u, tail = math.log(_NORMAL.inv_cdf(probability)), math.log(2 * (1 - probability))
    for _ in range(100):
        p = student_p(math.exp(u), degrees)
        slope = (math.log(student_p(math.exp(u + 1e-6), degrees)) - math.log(p)) / 1e-6
        step = (math.log(p) - tail) / slope
        u -= step
        if abs(step) < 1e-13:
            break
    return math.exp(u)
