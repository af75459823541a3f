"""Values and the keys that a track ranks by become places: who is first, who shares a rank, who has none."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Generic, Protocol, TypeVar

from merbench.errors import UndefinedMetric
from merbench.report import displayed


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
