"""RAVDESS and CREMA-D: features, folds by actor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from released_files import columns, read_table, release, write_table

from merbench.errors import InvalidCorpus

VOTES = [f"{condition}_votes_{letter}" for condition in ("voice", "face", "av") for letter in "ADFHNS"]


def test_votes_are_features(tmp_path: Path) -> None:
    header = " ".join(["clip", "actor", "sentence", "emotion", "intensity", "fold", *VOTES])
    file = tmp_path / "r" / "cremad_votes.csv"
    write_table(
        file, header, ["b", 1001, "Hello", "sad", "XX", 1, *range(18)], ["a", 1002, "", "fear", "LO", 2, *[9] * 18]
    )
    imported = release("crema-d")(tmp_path / "r", tmp_path / "c")
    names = ("sample_id", "split", "speaker", "fold", "transcript", "intensity", "discrete")
    assert columns(imported, *names) == [
        ("a", "all", 1002, 2, "", "LO", "fear"), ("b", "all", 1001, 1, "Hello", "XX", "sad")
    ]  # fmt: skip
    assert imported.corpus.features == ("av-votes", "face-votes", "voice-votes")
    assert imported.corpus.feature("face-votes").values.tolist() == [[9.0] * 6, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]]
    write_table(file, header, ["b", 1001, "Hello", "sad", "XX", 1, "", *range(17)])
    with pytest.raises(InvalidCorpus, match=r"E616  feature 'voice-votes' of cremad_votes\.csv: could not convert"):
        release("crema-d")(tmp_path / "r", tmp_path / "d")


def test_arrays_are_columns_and_features(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    arrays = {
        "name": np.array(["03-01", "01-01"]), "audio": np.ones((2, 3)), "face": np.zeros((2, 1)),
        "label": np.array(["calm", "sad"]), "actor": np.array([1, 2], np.int8), "fold": np.array([1, 1], np.int8),
        "sentence": np.array(["Kids", "Dogs"]), "intensity": np.array([1, 2], np.int8),
    }  # fmt: skip
    np.savez(tmp_path / "r" / "ravdess_av_folds1-4.npz", **arrays)
    imported = release("ravdess")(tmp_path / "r", tmp_path / "c")
    assert columns(imported, "sample_id", "split", "speaker", "fold", "transcript", "intensity", "discrete") == [
        ("01-01", "all", 2, 1, "Dogs", 2, "sad"), ("03-01", "all", 1, 1, "Kids", 1, "calm")
    ]  # fmt: skip
    assert imported.corpus.feature_shape("audio") == (2, 3, False)
    del arrays["face"], arrays["fold"]
    np.savez(tmp_path / "r" / "ravdess_av_folds1-4.npz", **arrays)
    with pytest.raises(InvalidCorpus, match=r"E611  ravdess_av_folds1-4\.npz: no column fold; the columns are name,"):
        release("ravdess")(tmp_path / "r", tmp_path / "d")


@pytest.mark.real_data
def test_the_real_features(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "features"
    ravdess = release("ravdess")(folder, tmp_path / "ravdess")
    with np.load(folder / "ravdess_av_folds1-4.npz") as archive:
        order = np.argsort(archive["name"])
        assert np.array_equal(ravdess.corpus.feature("audio").values, archive["audio"][order])
        assert np.array_equal(ravdess.corpus.feature("face").values, archive["face"][order])
        expected = [tuple(archive[name][row].item() for name in ("name", "label", "actor", "fold")) for row in order]
    assert columns(ravdess, "sample_id", "discrete", "speaker", "fold") == expected
    crema_d = release("crema-d")(folder, tmp_path / "crema-d")
    rows = sorted(read_table(folder / "cremad_votes.csv"), key=lambda row: row["clip"])
    assert columns(crema_d, "sample_id", "discrete", "speaker", "fold", "transcript") == [
        (row["clip"], row["emotion"], int(row["actor"]), int(row["fold"]), row["sentence"]) for row in rows
    ]
    votes = [[float(row[column]) for column in VOTES[:6]] for row in rows]
    assert crema_d.corpus.feature("voice-votes").values.tolist() == votes
