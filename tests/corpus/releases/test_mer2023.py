"""MER 2023: archives and features that only look like the released ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from released_files import release, write_archive

from merbench.corpus import verify_corpus
from merbench.errors import InvalidCorpus

MER2023 = release("mer2023")
LABELS: dict[str, dict[str, Any]] = {
    "train_corpus": {"a": {"emo": "happy", "val": 1.5}, "b": {"emo": "sad", "val": np.float64(-2)}},
    "test1_corpus": {"c": {"emo": "angry", "val": -1}},
    "test2_corpus": {"d": {"emo": "neutral", "val": 0.0}},
    "test3_corpus": {"e": {"emo": "worried", "val": -10}},
}
TRANSCRIPTS = 'name,chinese,english\na,你好,"Hello, you"\nb,,\nc,好,Good\nd,好,Good\ne,好,Good\n'


def write_release(folder: Path, transcripts: str = TRANSCRIPTS, **labels: Any) -> Path:
    write_archive(folder / "label-6way.npz", **{**LABELS, **labels})
    (folder / "transcription-engchi-polish.csv").write_text(transcripts, encoding="utf-8")
    return folder


def problems(release: Path, features: Path | None = None) -> list[str]:
    with pytest.raises(InvalidCorpus) as error:
        MER2023(release, release.parent / "c", features=features)
    return [str(problem) for problem in error.value.problems]


def test_dictionaries_and_transcripts_become_a_corpus(tmp_path: Path) -> None:
    imported = MER2023(write_release(tmp_path / "r"), tmp_path / "c")
    corpus = imported.corpus
    assert (corpus.name, corpus.version, corpus.language, corpus.synthetic) == ("mer2023", "1.0", "zh", False)
    assert corpus.samples().to_pydict() == {
        "sample_id": ["a", "b", "c", "d", "e"],
        "split": ["train", "train", "test1", "test2", "test3"],
        "transcript": ["你好", "", "好", "好", "好"],
        "transcript_english": ["Hello, you", "", "Good", "Good", "Good"],
    }
    reference = corpus.reference()
    assert reference is not None
    assert reference.to_pydict() == {
        "sample_id": ["a", "b", "c", "d", "e"],
        "discrete": ["happy", "sad", "angry", "neutral", "worried"],
        "valence": [1.5, -2.0, -1.0, 0.0, None],
    }
    assert [problem.message.split(" (")[0] for problem in imported.warnings] == [
        "label-6way.npz: is not the released file", "transcription-engchi-polish.csv: is not the released file"
    ]  # fmt: skip
    assert verify_corpus(corpus) == []


def test_features_come_from_one_folder_each(tmp_path: Path) -> None:
    for name in "abcde":
        for feature, array in [("hubert-UTT", np.full(4, ord(name))), ("face-FRA", np.full((ord(name) - 96, 2), 1.0))]:
            (tmp_path / "features" / feature).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "features" / feature / f"{name}.npy", array)
    np.save(tmp_path / "features" / "hubert-UTT" / "unlabelled.npy", np.zeros(7))
    (tmp_path / "features" / "hubert-UTT" / "d.npy").unlink()
    (tmp_path / "features" / "notes.txt").write_text("no feature")
    imported = MER2023(write_release(tmp_path / "r"), tmp_path / "c", features=tmp_path / "features")
    corpus = imported.corpus
    assert corpus.feature_shape("hubert-UTT") == (4, 4, False)
    assert corpus.feature_shape("face-FRA") == (5, 2, True)
    assert corpus.feature("hubert-UTT").values[:, 0].tolist() == [97, 98, 99, 101]
    assert [str(problem) for problem in imported.warnings][2:] == [
        "W603  feature 'hubert-UTT': samples without a file (1 of 5): d"
    ]


def test_features_that_are_not_folders(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    np.save(tmp_path / "f" / "a.npy", np.zeros(3))
    (tmp_path / "g" / "x").mkdir(parents=True)
    release = write_release(tmp_path / "r")
    assert problems(release, tmp_path / "f") == [
        f"E616  {tmp_path / 'f'}: no folder of a feature in it, with one .npy per sample"
    ]
    assert problems(release, tmp_path / "g") == ["E616  feature 'x': no .npy file of a sample in this folder"]
