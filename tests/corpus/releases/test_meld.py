"""MELD: codes become labels, ids tell of dialogues."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import columns, labelled, read_table, release, write_archive

from merbench.errors import InvalidCorpus

MEMBERS = {
    "train_corpus": labelled({"train_dia0_utt0": 3, "train_dia0_utt11": 0}),
    "val_corpus": labelled({"val_dia0_utt0": 6}),
    "test_corpus": labelled({"test_dia7_utt0": 1}),
}


def test_codes_and_ids(tmp_path: Path) -> None:
    write_archive(tmp_path / "r" / "label.npz", **MEMBERS)
    imported = release("meld")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "dialogue", "position", "discrete") == [
        ("test_dia7_utt0", "test", "test_dia7", 0, "joy"),
        ("train_dia0_utt0", "train", "train_dia0", 0, "neutral"),
        ("train_dia0_utt11", "train", "train_dia0", 11, "anger"),
        ("val_dia0_utt0", "dev", "val_dia0", 0, "surprise"),
    ]


def test_a_code_that_is_none_and_an_id_of_another_form(tmp_path: Path) -> None:
    write_archive(tmp_path / "r" / "label.npz", **{**MEMBERS, "val_corpus": labelled({"val_dia0_utt0": 7})})
    message = (
        r"E614  discrete: label\.npz: references that cannot be read \(1 of 4\): '7'; "
        r"allowed are 0 anger, 1 joy, 2 sadness, 3 neutral, 4 disgust, 5 fear, 6 surprise$"
    )
    with pytest.raises(InvalidCorpus, match=message):
        release("meld")(tmp_path / "r", tmp_path / "c")
    write_archive(tmp_path / "r" / "label.npz", **{**MEMBERS, "val_corpus": labelled({"dia0_utt0": 1})})
    with pytest.raises(InvalidCorpus, match=r"E612  sample ids that are not .* \(1 of 4\): 'dia0_utt0'$"):
        release("meld")(tmp_path / "r", tmp_path / "c")


@pytest.mark.real_data
def test_labels_of_the_real_corpus(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "meld"
    emotions = ["anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise"]
    rows = {row["name"]: emotions[int(row["discrete"])] for row in read_table(folder / "labels.csv")}
    assert dict(columns(release("meld")(folder, tmp_path / "c"), "sample_id", "discrete")) == rows
