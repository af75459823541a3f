"""A kind of target that merbench does not know: one class, and a track with it is declared, validated and scored."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench import score
from merbench.cli import run
from merbench.errors import DeclarationError, InvalidSubmission, examples
from merbench.submission import read_submission
from merbench.targets import TARGETS, Answers, ReferenceColumn, Target, TargetValues, target_type
from merbench.track import Track, load_track

TRACK = """
id = "mine"
version = "1.0"
title = "When laughter starts"
corpus = "./corpus"
splits = { test = "test" }
ranking.by = ["mae"]
metrics = [{ name = "mae", target = "start", weight = -1.0 }]
targets.start = { type = "clock", latest_min = 60 }
"""


@pytest.fixture
def clock() -> Iterator[type[Target]]:
    """Return a new kind, registered: minutes and seconds, as in `2:30`."""

    class ClockTarget(Target):
        """A time of a recording.

        Attributes:
            latest_min: no time is later, in minutes.
        """

        metric_kind = "continuous"
        cell_type = pa.string()

        type: Literal["clock"]
        latest_min: int

        def described(self) -> str:
            return f"a time such as 2:30, before {self.latest_min}:00"

        def example(self, row: int) -> tuple[str | float, ...]:
            return (f"{row}:00",)

        def read(self, answers: Answers) -> TargetValues:
            values = np.array([seconds(cell) for cell in answers.column.to_pylist()])
            bad = np.flatnonzero(~(values < 60 * self.latest_min) & answers.relevant).tolist()
            allowed = f"is not a time before {self.latest_min}:00"
            problems = examples(bad, lambda row: answers.problem("E204", row, f"{answers.shown(row)} {allowed}"))
            return TargetValues(values, problems=tuple(problems))

        def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
            values = np.array([seconds(cell) for cell in columns[0].to_pylist()])
            return ReferenceColumn(values, np.isfinite(values))

    kind = target_type(ClockTarget)
    yield kind
    del TARGETS._items["clock"]


def seconds(cell: str | None) -> float:
    time = re.fullmatch(r"(\d+):(\d\d)", cell or "")
    return 60.0 * int(time[1]) + int(time[2]) if time else np.nan


def write_track(folder: Path) -> Path:
    ids = ["a", "b", "c"]
    made_corpus(
        folder / "corpus",
        name="mine",
        samples=pa.table({"sample_id": ids, "split": ["test"] * 3}),
        reference=pa.table({"sample_id": ids, "start": ["0:30", "1:00", "2:15"]}),
    )
    (folder / "track.toml").write_text(TRACK, encoding="utf-8")
    return folder


@pytest.fixture
def track(tmp_path: Path, clock: type[Target]) -> Track:
    """Return a track with a target of the new kind."""
    return load_track(write_track(tmp_path / "mine"))


def test_a_submission_is_scored(track: Track) -> None:
    table = pa.table({"sample_id": ["c", "a", "b"], "start": ["2:00", "0:30", "1:30"]})
    # Off by 15, 0 and 30 seconds.
    assert [item.value for item in score(track, table, intervals=False).scores] == [-15.0, 15.0]


def test_wrong_cells_are_reported(track: Track) -> None:
    table = pa.table({"sample_id": ["a", "b", "c"], "start": ["0:30", "soon", "60:00"]})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, track)
    assert [str(problem) for problem in caught.value.problems] == [
        "E204  start: row 2: 'soon' is not a time before 60:00",
        "E204  start: row 3: '60:00' is not a time before 60:00",
    ]


def test_its_keys_are_checked(tmp_path: Path, track: Track) -> None:
    text = TRACK.replace("latest_min = 60", 'latest_min = "x", latest = 1').replace(
        '"mae", target', '"accuracy", target'
    )
    (track.folder / "track.toml").write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        load_track(track.folder)
    messages = [str(problem) for problem in caught.value.problems]
    assert messages[0] == "E207  targets.start.latest_min: 'x' is not a whole number"
    assert messages[1].startswith("E207  targets.start.latest: is not a known key; allowed: type, required, latest_min")
    assert messages[2].startswith(
        "E207  metrics[0].name: 'accuracy' scores categorical targets and 'start' is continuous"
    )


def test_it_is_described_and_has_a_template(track: Track, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["describe", str(track.folder)]) == 0
    out = capsys.readouterr().out
    assert "start: a time such as 2:30, before 60:00" in out
    assert "b,1:00" in out


def test_without_it_the_track_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DeclarationError, match=r"targets\.start\.type: 'clock' is not a target type; allowed: categorical"
    ):
        load_track(write_track(tmp_path / "mine"))
