"""The ABAW annotations: frames as samples, marks that are no references."""

from __future__ import annotations

from pathlib import Path

import pytest
from released_files import columns, release, write_table

from merbench.corpus.releases.on_application import ACTION_UNITS, frame
from merbench.errors import InvalidCorpus


def test_valence_and_arousal_of_folders(tmp_path: Path) -> None:
    folder = tmp_path / "r" / "Validation_Set"
    folder.mkdir(parents=True)
    (folder / "12-24.txt").write_text("valence,arousal\n0.5,-0.25\n-5,-5\n")
    write_table(tmp_path / "r" / "test_frames.csv", "image", ["99_left/00007.jpg"])
    imported = release("abaw6-va")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "recording", "position", "valence", "arousal") == [
        ("12-24/00001.jpg", "dev", "12-24", 1, 0.5, -0.25),
        ("12-24/00002.jpg", "dev", "12-24", 2, None, None),
        ("99_left/00007.jpg", "test", "99_left", 7, None, None),
    ]


def test_expressions_of_folders(tmp_path: Path) -> None:
    for part, lines in (("Train_Set", "0\n-1\n"), ("Validation_Set", "7\n")):
        (tmp_path / "r" / part).mkdir(parents=True)
        header = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n"
        (tmp_path / "r" / part / f"{part[0]}.txt").write_text(header + lines)
    imported = release("abaw6-expr")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "expression") == [
        ("T/00001.jpg", "train", "neutral"), ("T/00002.jpg", "train", None), ("V/00001.jpg", "dev", "other")
    ]  # fmt: skip
    (tmp_path / "r" / "Train_Set" / "T.txt").write_text("header\n8\n")
    message = (
        r"E614  expression: Train_Set: references that cannot be read \(1 of 1\): '8'; allowed are -1, 0, 1, 2, 3,"
    )
    with pytest.raises(InvalidCorpus, match=message):
        release("abaw6-expr")(tmp_path / "r", tmp_path / "d")


def test_three_tasks_of_a_frame_that_are_not_all_annotated(tmp_path: Path) -> None:
    header = " ".join(["image", "valence", "arousal", "expression", *ACTION_UNITS])
    units = [1, 0, -1, *[0] * 9]
    file = tmp_path / "r" / "validation_set_annotations.txt"
    write_table(file, header, ["v/00001.jpg", 0.1, -5, -1, *units], ["v/00002.jpg", -5, -5, 4, *[-1] * 12])
    imported = release("abaw4-mtl")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "valence", "arousal", "expression", "AU1", "AU2", "AU4", "AU26") == [
        (0.1, None, None, 1, 0, None, 0), (None, None, "happiness", None, None, None, None)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["00001.jpg", "v/x.jpg", "/1.jpg", "v/"])
def test_ids_that_are_no_frame(name: str) -> None:
    assert frame(name) is None
