"""Corpora that are had on application: two tables of one's own, and what ADD 2023 released."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import columns, release, write_table

from merbench.corpus import CORPORA
from merbench.corpus.candidates import open_candidates
from merbench.errors import InvalidCorpus
from merbench.scoring import score
from merbench.track import load_track


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
        "E611  samples.csv: no column fold; the columns are sample_id, split",
        "E611  reference.csv: no column sample_id, discrete; the columns are id, emotion",
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


def test_segments_that_cannot_be_scored_are_told_with_their_lines(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(
        folder / "samples.csv",
        "sample_id split duration_s",
        *([name, "test", "2"] for name in "abc"),
        ["d", "test", ""],
    )
    rows = [
        ["a", "fake", "fake-2-1"],
        ["b", "fake", "genuine-0-9"],
        ["c", "Fake", "fake-0-2"],
        ["d", "fake", "fak-0-99"],
    ]
    write_table(folder / "reference.csv", "sample_id discrete segments", *rows, ["a", "joy", ""])
    with pytest.raises(InvalidCorpus) as error:
        release("add2023-rl")(folder, tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        "E614  discrete: reference.csv: references that cannot be read (1 of 5): 'joy' (line 6); "
        "allowed are genuine, fake",
        "E614  segments: reference.csv: references that cannot be read (3 of 5): "
        "line 2: 'fake-2-1' ends at 1 s, not after it begins at 2 s, "
        "line 3: 'genuine-0-9' ends at 9 s, past the end of the sample at 2 s, "
        "line 5: 'fak-0-99' has the label 'fak', which is not one of genuine, fake; did you mean 'fake'?",
        "E612  sample_id: reference.csv: duplicate ids (2 of 5): 'a' (line 2), 'a' (line 6)",
    ]
    write_table(folder / "samples.csv", "sample_id split duration_s", ["a", "test", "2 s"])
    write_table(folder / "reference.csv", "sample_id discrete segments", ["a", "fake", "fake-0-9"])
    with pytest.raises(InvalidCorpus) as error:
        release("add2023-rl")(folder, tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        "E614  duration_s: contains non-numeric values; durations of samples are seconds"
    ]


def test_an_empty_cell_holds_no_segment_and_a_missing_row_no_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    write_table(tmp_path / "r" / "samples.csv", "sample_id split duration_s", *([name, "test", "2"] for name in "abc"))
    write_table(
        tmp_path / "r" / "reference.csv", "sample_id discrete segments", ["a", "genuine", ""], ["b", "fake", "fake-1-2"]
    )
    imported = release("add2023-rl")(tmp_path / "r", CORPORA.home / "add2023-rl")
    assert columns(imported, "sample_id", "segments") == [("a", ""), ("b", "fake-1-2"), ("c", None)]
    candidates = open_candidates(load_track("add2023-rl"))
    assert candidates.references.index.tolist() == [0, 1]
    submission = write_table(
        tmp_path / "s.csv",
        "utterance discrete segments",
        ["a", "genuine", ""],
        ["b", "fake", "fake-1-1.5"],
        ["c", "fake", ""],
    )
    found = score("add2023-rl", submission, intervals=False)
    # Half a second of one is found, nothing else is said: precision 1, recall 1/2.
    assert (found["segment_precision"].value, found["segment_recall"].value) == (1.0, 0.5)
