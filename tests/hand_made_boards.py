"""Rows, boards and folders of entries made by hand, for the tests of the leaderboard and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from merbench.errors import Problem
from merbench.leaderboard.board import Board, BoardScore, Gap, Row, Scheme
from merbench.leaderboard.entry import InvalidEntry
from merbench.report import Uncertainty

HIGHER = {"overall": True, "weighted_f1": True, "mse": False}


def row(team: str = "a-team", *, day: int = 1, ranks: bool = True, digest: str = "d", **values: float) -> Row:
    """Return a row with the given values."""
    scores = tuple(
        BoardScore(name, name, value, None, None, None, HIGHER.get(name, True)) for name, value in values.items()
    )
    return Row(
        rank=None,
        team=team,
        team_name=team,
        system="net",
        title="a title",
        members=("Ada",),
        paper=None,
        code=None,
        external_data=(),
        runs=("run",),
        seeds=(None,),
        received=datetime(2026, 1, day, tzinfo=UTC),
        ranks=ranks,
        digests=(digest,),
        scores=scores,
    )


def board(rows: Sequence[Row] | None = None, **changes: Any) -> Board:
    """Return a board of three rows, or of the given ones."""
    made = Board(
        track="toy@1.0",
        title="Toy",
        corpus="toy",
        split="test",
        synthetic=True,
        hidden=False,
        signature="toy@1.0#0|n:4",
        formula="weighted_f1 - 0.25 * mse",
        ranking=("overall", "mse"),
        decimals=4,
        uncertainty=Uncertainty("percentile", 0.95, 1000, None, None, 0),
        n_permutations=10_000,
        rows=tuple(rows) if rows is not None else three_rows(),
        invalid=(),
    )
    return replace(made, **changes)


def three_rows() -> tuple[Row, ...]:
    """Return the best row, one that is not significantly different from it, and one that is."""

    def ranked(rank: int, team: str, overall: float, mse: float, ends: tuple[float, float], **changes: Any) -> Row:
        made = row(team, overall=overall, mse=mse)
        deviation = 0.01 if "runs" in changes else None
        scores = (replace(made.scores[0], low=ends[0], high=ends[1], deviation=deviation), made.scores[1])
        return replace(made, rank=rank, scores=scores, **changes)

    near, far = Gap(-0.01, 0.4, 0.4, separable=False), Gap(-0.25, 0.0001, 0.0002, separable=True)
    return (
        ranked(1, "first", 0.75, 0.5, (0.7, 0.8)),
        ranked(2, "second", 0.74, 0.25, (0.69, 0.79), gap=near),
        ranked(3, "third", 0.5, 1.0, (0.45, 0.55), gap=far, runs=("s0", "s1"), seeds=(0, 1)),
    )


def with_ranks() -> Board:
    """Return the board of three rows with what is known of their ranks."""
    uncertain = [(1, 2, "a", 0.75), (1, 2, "a", 0.25), (3, 3, "b", 0.0)]
    rows = [
        replace(each, rank_low=low, rank_high=high, group=group, first_share=share)
        for each, (low, high, group, share) in zip(three_rows(), uncertain, strict=True)
    ]
    schemes = (
        Scheme("mean_rank", (1, 1, 3), (1.5, 1.5, 3.0), 0.8165),
        Scheme("test_then_rank", (1, 1, 1), (0.0, 0.0, 0.0), None),
    )
    return board(rows, schemes=schemes, schemes_missing=("EuroEval's score is not offered: no resamples",))


def an_invalid_entry() -> InvalidEntry:
    """Return an entry without a file of predictions."""
    return InvalidEntry("toy/team/run", (Problem("E404", "exactly one file 'submission.*' is required, not none"),))


CARD = {
    "title": '"A run"',
    "team": '"A team"',
    "system": '"net"',
    "external_data": "[]",
    "received": "2026-01-31T12:00:00+08:00",
}
"""The required keys of an `entry.toml`, as TOML."""


def write_entry(
    submissions: Path, place: str, predictions: str | bytes | None = "sample_id,discrete\n", **card: str | None
) -> Path:
    """Write an entry; keys of the card are TOML, None leaves one out. Return its folder."""
    folder = submissions / place
    folder.mkdir(parents=True)
    write_card(folder, card)
    if isinstance(predictions, str):
        predictions = predictions.encode()
    if predictions is not None:
        (folder / "submission.csv").write_bytes(predictions)
    return folder


def write_card(folder: Path, card: Mapping[str, str | None]) -> None:
    """Write an `entry.toml` with the required keys and the given ones."""
    lines = [f"{key} = {value}\n" for key, value in {**CARD, **card}.items() if value is not None]
    (folder / "entry.toml").write_text("".join(lines), encoding="utf-8")


def link(path: Path, target: Path) -> None:
    """Make a symbolic link, or skip the test where that is not allowed."""
    try:
        path.symlink_to(target, target_is_directory=target.is_dir())
    except OSError:
        pytest.skip("symbolic links: this account may not make them")
