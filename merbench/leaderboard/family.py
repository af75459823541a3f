"""The board of a family of tracks: what every track ranks by first, side by side, and its plain mean over them.

Conventions:
    As in `merbench.report`. A system has a team and a name, the same on all boards. Every track has the same weight in
    a mean, whatever its number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from merbench.errors import UsageError, listed, plural
from merbench.leaderboard.board import Board, Row
from merbench.report import Cell, Document, ReportTable, displayed
from merbench.track import Track


@dataclass(frozen=True, slots=True)
class FamilyColumn:
    """A track of the family that has a board."""

    id: str
    key: str  # id and version
    metric: str  # the short name of what its board ranks by first
    signature: str  # what all its values have in common


@dataclass(frozen=True, slots=True)
class FamilyRow:
    """A system of a team."""

    rank: int | None  # shared by ties; None for a system without a mean, or one that is not ranked on a board
    team: str
    team_name: str
    system: str
    values: tuple[float | None, ...]  # one per track; None where the system is not on the board
    mean: float | None  # their plain mean; None where one is missing


@dataclass(frozen=True, kw_only=True)
class FamilyBoard(Document):
    """Systems × the tracks of a family.

    Attributes:
        family: the family's name.
        tracks: its tracks that have a board, by id.
        missing: the ids of its other tracks.
        rows: the systems, by mean; then those without one, the most tracks first.
    """

    SCHEMA: ClassVar[str] = "merbench.family/1"

    family: str
    tracks: tuple[FamilyColumn, ...]
    missing: tuple[str, ...]
    rows: tuple[FamilyRow, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(len(row.values) != len(self.tracks) for row in self.rows):
            raise ValueError("rows that have not one value, or gap, per track")

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{self.family}: {plural(len(self.tracks) + len(self.missing), 'track')}"

    @property
    def mean_head(self) -> str:
        """The head of the column of means, which says where some tracks have no board."""
        n = len(self.tracks)
        return f"mean of {n} of {n + len(self.missing)}" if self.missing else "mean"

    def tables(self) -> list[ReportTable]:
        """Return the values with their means; nothing without rows."""
        if not self.rows:
            return []
        columns = zip(*((row.mean, *row.values) for row in self.rows), strict=True)
        best = [self.number(max((value for value in column if value is not None), default=None)) for column in columns]
        rows = []
        for row in self.rows:
            numbers = map(self.number, (row.mean, *row.values))
            cells = [Cell(text, best=text == top != "–") for text, top in zip(numbers, best, strict=True)]
            rows.append(("–" if row.rank is None else f"{row.rank}", row.team_name, row.system, *cells))
        head = ("rank", "team", "system", self.mean_head, *(self._short(track.id) for track in self.tracks))
        return [ReportTable("", head, rows, n_text=3, legend="Bold: best of a column.")]

    def notes(self) -> list[str]:
        """Return what the columns are, and which tracks have no board."""
        lines = [
            f"{self.mean_head}: the plain mean of what each track ranks by first; none for a system that lacks a track",
            *(f"{self._short(track.id)}: {track.metric} of {track.key}" for track in self.tracks),
            "intervals and tests are on the boards of the tracks",
            *(f"signature: {track.signature}" for track in self.tracks if track.signature),
        ]
        return [*lines, f"without a board: {listed(self.missing, 12)}"] if self.missing else lines

    def _short(self, name: str) -> str:
        return name.removeprefix(f"{self.family}-")


def plain_mean(values: Sequence[float]) -> float:
    """Return the sum of some values, correctly rounded, over their number."""
    return math.fsum(values) / len(values)


def family_board(family: str, tracks: Sequence[Track], boards: Mapping[str, Board]) -> FamilyBoard:
    """Return the board of a family.

    Args:
        family: its name.
        tracks: the tracks that are of it.
        boards: the boards of its tracks, by id; those without one have no part in a mean.

    Raises:
        UsageError: a track ranks by something that is better when lower.
    """
    ids = sorted(track.id for track in tracks)
    present = [boards[name] for name in ids if name in boards]
    by_key: list[Mapping[tuple[str, str], Row]] = [{row.key: row for row in board.rows} for board in present]
    for board in present:
        if any(not row.score(board.ranking[0]).higher_is_better for row in board.rows):
            message = f"{board.track} ranks by {board.ranking[0]}, which is better when lower"
            raise UsageError(f"{message}: the family '{family}' has no mean")
    decimals = min((board.decimals for board in present), default=4)
    unranked: list[FamilyRow] = []
    ranked: list[FamilyRow] = []
    for key in sorted({key for rows in by_key for key in rows}):
        own = [rows.get(key) for rows in by_key]
        values = tuple(
            None if row is None else row.score(board.ranking[0]).value for row, board in zip(own, present, strict=True)
        )
        known = [value for value in values if value is not None]
        given = [row for row in own if row is not None]
        mean = plain_mean(known) if len(known) == len(values) else None
        made = FamilyRow(None, key[0], given[0].team_name, key[1], values, mean)
        (ranked if mean is not None and all(row.ranks for row in given) else unranked).append(made)
    means = [displayed(row.mean, decimals) for row in ranked if row.mean is not None]
    rows = [
        replace(row, rank=1 + sum(other > mean for other in means)) for row, mean in zip(ranked, means, strict=True)
    ]
    rows += unranked
    rows.sort(key=lambda row: (row.mean is None, -(row.mean or 0.0), row.values.count(None)))
    return FamilyBoard(
        decimals=decimals,
        family=family,
        tracks=tuple(FamilyColumn(b.track.partition("@")[0], b.track, b.ranking[0], b.signature) for b in present),
        missing=tuple(name for name in ids if name not in boards),
        rows=tuple(rows),
    )
