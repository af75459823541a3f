"""Values and the keys that a track ranks by become places: who is first, who shares a rank, and how sure that is.

Conventions:
    Ranks are competition ranks: 1, 2, 2, 4. Draws are `(N, B)`: N rows under the same B resamples, NaN where a row
    has no value.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import combinations
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UndefinedMetric
from merbench.report import displayed
from merbench.resampling import DECIMALS, MOST_LEFT_OUT
from merbench.significance import FEWEST_DEGREES, holm, pair_deviations, pairwise_p
from merbench.student import student_quantile

Floats = NDArray[np.float64]

MOST_PAIRED = 100
"""All pairs of so many ranked rows are compared; of more, neighbours."""

AT_ONCE = 1 << 20
"""Values that are ranked at once: their ranks take about 64 MB."""


class Rankable(Protocol):
    """What the ranking has to know of a row."""

    @property
    def values(self) -> Mapping[str, float]:
        """The row's value under every ranking key."""

    @property
    def ranks(self) -> bool:
        """Whether the row takes part."""

    @property
    def order(self) -> tuple[datetime, str, str]:
        """What orders equals: the time received, the digest of the predictions, the place."""


RowT = TypeVar("RowT", bound=Rankable)


@dataclass(frozen=True, slots=True)
class RankingKey:
    """One key of a ranking and its direction."""

    name: str
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Place(Generic[RowT]):
    """A row and its rank; None when the row takes no part in the ranking."""

    rank: int | None
    row: RowT


def places(rows: Sequence[RowT], by: Sequence[RankingKey], decimals: int) -> list[Place[RowT]]:
    """Return the rows in order, with competition ranks (1, 2, 2, 4).

    Values are compared as they are displayed. Rows that are equal in every key share a rank; among them the one
    received earlier is listed first, then the one with the smaller digest. A row that takes no part is listed where its
    values put it and changes no other rank.

    Raises:
        UndefinedMetric: a row has no finite value under one of the keys: such a row cannot enter a ranking.
    """
    ordered = sorted(((_standing(row, by, decimals), row) for row in rows), key=lambda pair: (pair[0], pair[1].order))
    ranked = [standing for standing, row in ordered if row.ranks]  # ascending, so bisect counts the better ones
    return [Place(bisect_left(ranked, standing) + 1 if row.ranks else None, row) for standing, row in ordered]


def _standing(row: Rankable, by: Sequence[RankingKey], decimals: int) -> tuple[Decimal, ...]:
    """Return the row's displayed values with their signs turned so that smaller is better."""
    for key in by:
        if not math.isfinite(row.values.get(key.name, math.nan)):
            raise UndefinedMetric(f"{row.order[-1]}: has no value of {key.name}, so it cannot enter a ranking")
    shown = (displayed(row.values[key.name], decimals) for key in by)
    return tuple(value.copy_negate() if key.higher_is_better else value for key, value in zip(by, shown, strict=True))


def competition_ranks(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return the ranks within every line of `(B, N)` values without NaN, the smallest first.

    Lines are ranked by the first of the keys, equal values by the next one; what is equal in all keys shares a rank.
    """
    order = np.lexsort(keys[::-1], axis=-1)
    is_new = np.zeros(order.shape, dtype=np.bool_)
    is_new[:, :1] = True
    for key in keys:
        ordered = np.take_along_axis(key, order, axis=-1)
        is_new[:, 1:] |= ordered[:, 1:] != ordered[:, :-1]
    first = np.maximum.accumulate(np.where(is_new, np.arange(1, order.shape[1] + 1), 1), axis=-1)
    ranks = np.empty_like(first)
    np.put_along_axis(ranks, order, first, axis=-1)
    return ranks


class RankInterval(NamedTuple):
    """The interval of a row's rank, and the share of the resamples in which it is first."""

    low: int
    high: int
    first_share: float


def rank_intervals(
    draws: Mapping[str, Floats],
    values: Mapping[str, Floats],
    by: Sequence[RankingKey],
    decimals: int,
    level: float,
    degrees: float,
) -> list[RankInterval | None]:
    """Return the interval of every row's rank, and how often it is first where resamples are ranked as by `places`.

    The interval begins after the rows that are better and differ significantly, and ends before those that are worse
    and differ significantly (Mogstad et al., 2024, *Inference for ranks*). It has all ranks that equally good rows may
    have, where the ranks of resamples repeat by how much the rows differ by chance.

    Resamples in which a row has no value are left out for all rows; a row without a value in more than a fifth of them
    has no interval, and is last where it has none. Where more than a fifth would be left out, no row has an interval.

    Args:
        draws: by the name of a key, `(N, B)` draws of all ranked rows.
        values: by the name of a key, their `(N,)` plain values.
        by: the keys, in order.
        decimals: how many decimals of a value are compared.
        level: level of the intervals.
        degrees: degrees of freedom of the test.
    """
    known = np.logical_and.reduce([~np.isnan(draws[key.name]) for key in by])
    n_draws, has_interval = known.shape[1], known.mean(axis=1) >= 1 - MOST_LEFT_OUT
    kept = np.flatnonzero(known[has_interval].all(axis=0))
    if len(kept) < max(1.0, (1 - MOST_LEFT_OUT) * n_draws) or not has_interval.any():
        return [None] * len(known)
    n_first, step = np.zeros(len(known), dtype=np.int64), max(1, AT_ONCE // len(known))
    for start in range(0, len(kept), step):
        block = kept[start : start + step]
        keys = [_smaller_is_better(draws[key.name][:, block].T, key, decimals) for key in by]
        n_first += (competition_ranks(*keys) == 1).sum(axis=0)
    own = competition_ranks(*(_smaller_is_better(values[key.name][None], key, decimals) for key in by))[0]
    differs, is_equal = _differs(draws, values, by, round(1 - level, DECIMALS), degrees)
    lows = 1 + (differs & (own < own[:, None])).sum(axis=1)
    highs = 1 + (~is_equal & ~(differs & (own > own[:, None]))).sum(axis=1)
    rows = zip(lows.tolist(), highs.tolist(), (n_first / len(kept)).tolist(), has_interval, strict=True)
    return [RankInterval(low, high, share) if is_known else None for low, high, share, is_known in rows]


def _differs(
    draws: Mapping[str, Floats], values: Mapping[str, Floats], by: Sequence[RankingKey], alpha: float, degrees: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return `(N, N)` whether a row (first) differs significantly from another, and whether they are always equal.

    Holm over all pairs of the row. The statistic is that of `pairwise_p`, under the first key in which the two are not
    equal in all resamples.
    """
    n = len(values[by[0].name])
    t, is_equal = np.zeros((n, n)), np.ones((n, n), dtype=np.bool_)
    # Where all resamples agree on the difference, every unit does: the p of the permutation test.
    agreed = math.inf if 0.5**degrees < alpha / max(n - 1, 1) else 0.0
    for key in by:
        own = values[key.name]
        differences = np.abs(np.round(own[:, None] - own, DECIMALS))
        deviations = pair_deviations(draws[key.name], own)
        ratios = np.where(deviations > 0, differences / np.where(deviations > 0, deviations, 1.0), agreed)
        t[is_equal] = np.where((differences > 0) & np.isfinite(deviations), ratios, 0.0)[is_equal]
        is_equal &= (differences == 0) & (deviations == 0)
    if n < 2 or degrees < FEWEST_DEGREES:
        return np.zeros((n, n), dtype=np.bool_), is_equal
    largest = -np.sort(-t, axis=1)[:, : n - 1]
    limits = [student_quantile(1 - alpha / (2 * (n - 1 - place)), degrees) for place in range(n - 1)]
    n_significant = np.logical_and.accumulate(largest > limits, axis=1).sum(axis=1)
    least = np.take_along_axis(largest, np.maximum(n_significant - 1, 0)[:, None], axis=1)
    return np.asarray((n_significant > 0)[:, None] & (t >= least)), is_equal


def _smaller_is_better(values: Floats, key: RankingKey, decimals: int) -> Floats:
    """Return values as they are displayed, with the sign of `_standing`; the worst of all where there is none."""
    shown = np.rint(np.rint(values * 10**DECIMALS) / 10 ** (DECIMALS - decimals))
    return np.where(np.isnan(shown), np.inf, -shown if key.higher_is_better else shown)


def group_letters(draws: Floats, values: Floats, degrees: float, alpha: float) -> list[str]:
    """Return the letters of ranked rows, in order: those that share one are not significantly different.

    A difference is significant where its p (`pairwise_p`), adjusted by Holm over the pairs that are compared, is below
    alpha. Of up to `MOST_PAIRED` rows these are all pairs; of more, neighbours, and the letter changes where a row is
    significantly different from the one above.

    Args:
        draws: `(N, B)` draws of the first ranking key.
        values: `(N,)` its plain values.
        degrees: degrees of freedom of the t test.
        alpha: level of the test.
    """
    n = len(values)
    if n <= MOST_PAIRED:
        p, pairs = pairwise_p(draws, values, degrees), list(combinations(range(n), 2))
        adjusted = holm([float(p[pair]) for pair in pairs])
        return letter_display(n, [pair for pair, p_holm in zip(pairs, adjusted, strict=True) if p_holm < alpha])
    neighbours = [float(pairwise_p(draws[a : a + 2], values[a : a + 2], degrees)[0, 1]) for a in range(n - 1)]
    changes = np.cumsum([0, *(p_holm < alpha for p_holm in holm(neighbours))])
    return [_letter(number) for number in changes.tolist()]


def letter_display(n: int, different: Iterable[tuple[int, int]]) -> list[str]:
    """Return the letters of n rows: two rows share one if, and only if, they are not significantly different.

    The compact letter display (Piepho, 2004), made by covering the pairs that are not different with groups (Gramm et
    al., 2007): each group is as large as it can be, and begins with the first pair that no group has. A group whose
    pairs are all in others is left out. Letters follow the order of rows, a, b, … z, aa, and are separated by spaces.

    Args:
        n: number of rows, in order.
        different: the pairs of rows that are significantly different, by number.
    """
    alike = np.ones((n, n), dtype=np.bool_)
    for a, b in different:
        alike[a, b] = alike[b, a] = False
    groups: list[NDArray[np.intp]] = []
    n_covering = np.zeros((n, n), dtype=np.int64)
    for a in range(n):
        differs_from_all = np.count_nonzero(alike[a]) == 1
        for b in range(a if differs_from_all else a + 1, n):
            if n_covering[a, b] or not alike[a, b]:
                continue
            fitting = alike[a] & alike[b]
            for other in range(n):
                if fitting[other]:
                    fitting &= alike[other]
            groups.append(np.flatnonzero(fitting))
            n_covering[np.ix_(groups[-1], groups[-1])] += 1
    kept = []
    for group in reversed(groups):  # the first ones are the largest
        pairs = np.ix_(group, group)
        if (n_covering[pairs] > 1).all():
            n_covering[pairs] -= 1
        else:
            kept.append(group)
    letters: list[list[str]] = [[] for _ in range(n)]
    for number, group in enumerate(sorted(kept, key=lambda group: group.tolist())):
        for row in group:
            letters[row].append(_letter(number))
    return [" ".join(own) for own in letters]


def _letter(number: int) -> str:
    """Return a, b, … z, aa, ab and so on."""
    head, last = divmod(number, 26)
    return (_letter(head - 1) if head else "") + chr(ord("a") + last)
