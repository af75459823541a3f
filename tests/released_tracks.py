"""Shipped tracks on released files: corpora imported, submissions written, scores by name, problems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from released_files import release, write_table

import merbench
from merbench.corpus import CORPORA, Imported
from merbench.errors import InvalidSubmission
from merbench.report import ScoreReport
from merbench.track import load_track

Rows = Sequence[Sequence[object]]


def imported(name: str, files: Path) -> Imported:
    return release(name)(files, CORPORA.home / name)


def submission(folder: Path, header: str, rows: Rows, name: str = "submission.csv") -> Path:
    return write_table(folder / name, header, *rows)


def by_name(report: ScoreReport) -> dict[str, float | None]:
    """Return the values of a report by the names of metrics, or by their keys where a name has parameters."""
    return {item.key if "(" in item.name else item.name: item.value for item in report.scores}


def values(track: str | Path, path: Path, split: str = "test") -> dict[str, float | None]:
    return by_name(merbench.score(track, path, split=split, intervals=False))


def reported(track: str, path: Path) -> list[str]:
    with pytest.raises(InvalidSubmission) as caught:
        merbench.read_submission(path, merbench.open_candidates(load_track(track)))
    return [str(problem) for problem in caught.value.problems]


def variant(folder: Path, track: str, *changes: tuple[str, str]) -> Path:
    """Write a shipped track with some of its declarations changed, and return its folder."""
    text = (load_track(track).folder / "track.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / track).mkdir(parents=True)
    (folder / track / "track.toml").write_text(text, encoding="utf-8")
    return folder / track
