"""How the sheets of a release are combined: which list samples, what is joined, what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from released_files import columns, write_table

from merbench.corpus import Imported, Release
from merbench.corpus.release_cells import TEXT, number
from merbench.corpus.release_tables import ReleaseTable
from merbench.errors import InvalidCorpus

MOOD = {"mood": TEXT.of("m")}
CANDIDATES = ReleaseTable(files=("candidates.csv",), split="test")
TRAIN = ReleaseTable(files=("train.csv",), split="train", samples={"a": "a"}, targets=MOOD, without="x")
LABELS = ReleaseTable(files=("labels.csv",), targets=MOOD, without="y")
WORDS = ReleaseTable(files=("words.csv",), samples={"w": "transcript"}, without="z")
VALENCE = ReleaseTable(files=("valence.csv",), targets={"valence": number().of("v")}, without="v")


def made_up(*sheets: ReleaseTable, **changes: Any) -> Release:
    fields = {"title": "t", "source": "s", "licence": "l", "obtain": "o", "layouts": (sheets,), **changes}
    return Release(name="made-up", **fields)


def problems(read: Release, folder: Path) -> list[str]:
    with pytest.raises(InvalidCorpus) as error:
        read(folder, folder.parent / "c")
    return [str(problem) for problem in error.value.problems]


def warnings(imported: Imported) -> list[str]:
    return [str(warning) for warning in imported.warnings]


def test_sheets_are_joined_by_id_and_a_candidate_is_not_a_training_sample(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "candidates.csv", "name more", ["b", "?"], ["a", "?"])
    write_table(folder / "train.csv", "name m a", ["c", "glad", "1"], ["a", "sad", "2"], ["d", "", "3"])
    write_table(folder / "labels.csv", "name m", ["b", "calm"])
    write_table(folder / "words.csv", "name w", ["d", "D"], ["c", ""], ["b", "B"], ["a", "A"], ["other", "O"])
    write_table(folder / "valence.csv", "name v", ["b", "0.5"], ["c", "1"])
    imported = made_up(CANDIDATES, TRAIN, LABELS, WORDS, VALENCE)(folder, tmp_path / "c")
    assert columns(imported, "sample_id", "split", "a", "transcript", "mood", "valence") == [
        ("a", "test", None, "A", None, None),  # its row of train.csv is left out, with its reference
        ("b", "test", None, "B", "calm", 0.5),
        ("c", "train", 1, "", "glad", 1.0),
        ("d", "train", 3, "D", None, None),
    ]
    assert warnings(imported) == ["W605  train.csv: samples that an earlier file lists are left out (1 of 3): a"]


def test_cells_and_ids_are_reported_in_one_pass(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "candidates.csv", "name", ["b"], ["a"])
    write_table(folder / "valence.csv", "name v", ["b", "x"], ["b", "1"], ["", "2"], ["c", "3"])
    assert problems(made_up(CANDIDATES, VALENCE), folder) == [
        "E614  v: valence.csv: references that cannot be read (1 of 4): 'x' (line 2); allowed: numbers",
        "E612  sample_id: valence.csv: empty values (1 of 4): '' (line 4)",
        "E612  sample_id: valence.csv: duplicate ids (2 of 4): 'b' (line 2), 'b' (line 3)",
        "E615  sample_id: valence.csv: references of unknown samples (1 of 4): 'c' (line 5)",
    ]
    # Where a sheet is not read, its samples are not looked for.
    write_table(folder / "candidates.csv", "id", ["b"])
    assert [text[:4] for text in problems(made_up(CANDIDATES, VALENCE), folder)] == ["E611", "E614"]


def test_ids_that_do_not_match(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "candidates.csv", "name", ["a"], ["a"], ["b"])
    write_table(folder / "labels.csv", "name m", ["z", "glad"])
    write_table(folder / "words.csv", "name w", ["a", ""], ["a", ""])
    assert problems(made_up(CANDIDATES, LABELS, WORDS), folder) == [
        "E612  words.csv: duplicate samples (1 of 2): a",
        "E615  words.csv: samples without a row (1 of 3): b",
        "E612  sample_id: candidates.csv: duplicate ids (2 of 3): 'a' (line 2), 'a' (line 3)",
        "E615  sample_id: labels.csv: references of unknown samples (1 of 1): 'z' (line 2)",
    ]


def test_a_target_that_two_sheets_give(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    write_table(folder / "train.csv", "name m a", ["a", "sad", "1"], ["b", "", "1"])
    write_table(folder / "labels.csv", "name m", ["a", "sad"], ["b", "glad"])
    message = "E612  mood: duplicate references (1 of 3): a"
    assert problems(made_up(TRAIN, LABELS), folder) == [message]
    write_table(folder / "labels.csv", "name m", ["b", "glad"])
    assert columns(made_up(TRAIN, LABELS)(folder, tmp_path / "c"), "mood") == [("sad",), ("glad",)]


def test_columns_of_different_types_become_text(tmp_path: Path) -> None:
    known = ReleaseTable(files=("k.csv",), split="test", samples={"a": "a"})
    write_table(tmp_path / "r" / "k.csv", "name a", ["x", "one"])
    write_table(tmp_path / "r" / "train.csv", "name m a", ["y", "sad", "2"])
    imported = made_up(known, TRAIN)(tmp_path / "r", tmp_path / "c")
    assert imported.corpus.samples()["a"].type == pa.string()
    assert columns(imported, "a") == [("one",), ("2",)]


def test_the_most_complete_layout_is_read(tmp_path: Path) -> None:
    own = ReleaseTable(files=("samples.csv",), id="sample_id", samples={"split": "split"}, rest=True)
    either = made_up(layouts=((CANDIDATES, LABELS), (own,)))
    write_table(tmp_path / "r" / "labels.csv", "name m", ["a", "sad"])
    assert problems(either, tmp_path / "r") == [
        "E601  missing: candidates.csv: name",
        "E601  these files can be used instead: samples.csv",
    ]
    write_table(tmp_path / "r" / "samples.csv", "sample_id split fold", ["a", "test", "3"])
    imported = either(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "fold") == [("a", "test", 3)]
    assert imported.warnings == ()


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    place = tmp_path / "r" / "candidates.csv"
    place.mkdir(parents=True)
    assert problems(made_up(CANDIDATES), tmp_path / "r") == [f"E610  {place}: cannot be read: Is a directory"]
