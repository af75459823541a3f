"""Ranks of systems on several tracks, and whether they differ (Demšar, 2006, *Statistical Comparisons of Classifiers*).

Conventions:
    k systems, N tracks. Ranks begin at 1, the best; equal values share the mean of their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merbench.resampling import DECIMALS

Floats = NDArray[np.float64]

MOST_INCOMPLETE = 20
"""Of how many systems, or tracks, with missing values all sets are tried."""


def average_ranks(values: Floats, decimals: int, *, higher_is_better: bool) -> Floats:
    """Return the ranks along the first axis, of values as they are displayed; NaN where one of them has no value.

    Args:
        values: `(k,)`, or `(k, B)` for B resamples.
        decimals: how many decimals of a value are compared.
        higher_is_better: the direction.
    """
    from scipy.stats import rankdata

    displayed = np.rint(np.rint(values * 10**DECIMALS) / 10 ** (DECIMALS - decimals))
    return np.asarray(rankdata(-displayed if higher_is_better else displayed, axis=0), dtype=np.float64)


def complete_block(has_value: NDArray[np.bool_]) -> tuple[list[int], list[int]]:
    """Return the systems and the tracks of the largest part of a matrix in which no value is missing.

    Of several parts with as many values, that with the most systems, then the one with the first tracks. Of the shorter
    side, at most `MOST_INCOMPLETE` systems or tracks in which values are missing are considered: those with the most
    values.

    Args:
        has_value: `(k, N)`.

    Returns:
        Numbers of rows and columns, ascending; none if there is no value.
    """
    of_systems = has_value.shape[0] <= has_value.shape[1]
    rows = has_value if of_systems else has_value.T  # the sets of these are tried
    n_values, width = rows.sum(axis=1), rows.shape[1]
    complete = int((n_values == width).sum())
    incomplete = np.flatnonzero((n_values > 0) & (n_values < width))
    incomplete = np.sort(incomplete[np.argsort(-n_values[incomplete], kind="stable")[:MOST_INCOMPLETE]])
    # A set is the bits of a number, the first member the highest one, so that the first of equal sets is the largest.
    shared = [(1 << width) - 1]  # by set of rows, the columns in which all of them have values
    for row in incomplete[::-1]:
        with_values = int("".join("01"[bool(each)] for each in rows[row]), 2)
        shared += [columns & with_values for columns in shared]

    def size(number: int) -> tuple[int, int, int]:
        n_rows, n_columns = number.bit_count() + complete, shared[number].bit_count()
        return (n_rows * n_columns, *((n_rows, shared[number]) if of_systems else (n_columns, number)))

    best = max(range(len(shared)), key=size)
    if not size(best)[0]:
        return [], []
    chosen = [n for n in range(width) if shared[best] >> (width - 1 - n) & 1]
    others = np.flatnonzero(rows[:, chosen].all(axis=1)).tolist()
    return (others, chosen) if of_systems else (chosen, others)


@dataclass(frozen=True, slots=True)
class Friedman:
    """The test of the hypothesis that all systems are equally good.

    Attributes:
        chi_square: Friedman's statistic, corrected for equal ranks, with k - 1 degrees of freedom.
        p_chi_square: its p.
        f: the statistic of Iman and Davenport (1980), with k - 1 and (k - 1) (N - 1) degrees of freedom, which is less
            conservative; None if it is infinite, where all tracks agree.
        p: its p; None if it is infinite.
        degrees: the degrees of freedom of F.
    """

    chi_square: float
    p_chi_square: float
    f: float | None
    p: float | None
    degrees: tuple[int, int]


def friedman(ranks: Floats) -> Friedman | None:
    """Return Friedman's test of `(k, N)` ranks; None with fewer than two of either, or if all are equal."""
    from scipy.stats import chi2, f

    k, n = ranks.shape
    spread = float(np.square(ranks - (k + 1) / 2).sum())
    if k < 2 or n < 2 or not spread:
        return None
    # Without equal ranks, the spread is n k (k² - 1) / 12, and this is Demšar's formula.
    chi_square = (k - 1) * float(np.square(ranks.sum(axis=1) - n * (k + 1) / 2).sum()) / spread
    degrees, largest = (k - 1, (k - 1) * (n - 1)), n * (k - 1)
    is_finite = largest - chi_square > 1e-9 * largest
    statistic = (n - 1) * chi_square / (largest - chi_square) if is_finite else math.inf
    return Friedman(
        chi_square=round(chi_square, DECIMALS),
        p_chi_square=round(float(chi2.sf(chi_square, k - 1)), DECIMALS),
        f=round(statistic, DECIMALS) if is_finite else None,
        p=round(float(f.sf(statistic, *degrees)), DECIMALS) if is_finite else None,
        degrees=degrees,
    )


def critical_difference(k: int, n: int, alpha: float) -> float:
    """Return by how much the mean ranks of two of k systems on n tracks differ significantly (Nemenyi, 1963).

    q √(k (k + 1) / 6 n), where q √2 is the quantile 1 - alpha of the studentised range of k normal values.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - alpha, k, math.inf)) / math.sqrt(2)
    return round(q * math.sqrt(k * (k + 1) / (6 * n)), DECIMALS)


def groups(mean_ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return the first and the last system of every maximal group without a significant difference.

    Args:
        mean_ranks: ascending.
        difference: the critical difference; a difference as large is significant.
    """
    maximal: list[tuple[int, int]] = []
    for begin, rank in enumerate(mean_ranks):
        end = max(i for i, other in enumerate(mean_ranks) if i == begin or round(other - rank, DECIMALS) < difference)
        if end > begin and (not maximal or end > maximal[-1][1]):
            maximal.append((begin, end))
    return maximal
