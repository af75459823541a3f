"""Corpora that are had on application: two tables of one's own, and what ADD 2023 released."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import columns, release, write_table

from merbench.errors import InvalidCorpus


def test_two_tables_of_ones_own(tmp_path: Path) -> None:
    write_table(
        tmp_path / "r" / "samples.csv", "sample_id split fold actor", ["2", "all", "1", "x"], ["1", "all", "2", ""]
    )
    write_table(tmp_path / "r" / "reference.csv", "sample_id discrete note", ["2", "Happy", "?"])
    imported = release("dfew")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "fold", "actor", "discrete") == [
        ("1", "all", 2, None, None), ("2", "all", 1, "x", "happy")
    ]  # fmt: skip
    write_table(tmp_path / "r" / "samples.csv", "sample_id split", ["2", "all"])
    write_table(tmp_path / "r" / "reference.csv", "id emotion", ["2", "Happy"])
    with pytest.raises(InvalidCorpus) as error:
        release("dfew")(tmp_path / "r", tmp_path / "d")
    assert [str(problem) for problem in error.value.problems] == [
        "E611  samples.csv: there is no column fold; there are sample_id, split",
        "E611  reference.csv: there is no column sample_id, discrete; there are id, emotion",
    ]


def test_rounds_of_released_labels(tmp_path: Path) -> None:
    for number, label in ((1, "genuine"), (2, "fake")):
        (tmp_path / "r" / f"round{number}").mkdir(parents=True)
        (tmp_path / "r" / f"round{number}" / "label.txt").write_text(f"{number}.wav {label}\n")
    imported = release("add2023-fgd")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "round", "score") == [
        ("1.wav", "test", "R1", "genuine"), ("2.wav", "test", "R2", "fake")
    ]  # fmt: skip


def test_segments_are_text_that_a_track_reads(tmp_path: Path) -> None:
    write_table(tmp_path / "r" / "samples.csv", "sample_id split duration_s", ["a", "test", "2.5"])
    write_table(
        tmp_path / "r" / "reference.csv", "sample_id discrete segments", ["a", "fake", "genuine-0-1 fake-1-2.5"]
    )
    imported = release("add2023-rl")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "duration_s", "discrete", "segments") == [(2.5, "fake", "genuine-0-1 fake-1-2.5")]
