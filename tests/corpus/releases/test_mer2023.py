"""The importer of the MER 2023 release: real files, files that only look like them, and files that attack."""

from __future__ import annotations

import builtins
import csv
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merbench.corpus import IMPORTERS, verify_corpus
from merbench.corpus.releases.mer import MER2023
from merbench.errors import InvalidCorpus, UsageError

LABELS_FILE = "label-6way.npz"
TRANSCRIPTS_FILE = "transcription-engchi-polish.csv"
LABELS: dict[str, dict[str, Any]] = {
    "train_corpus": {"a": {"emo": "happy", "val": 1.5}, "b": {"emo": "sad", "val": np.float64(-2)}},
    "test1_corpus": {"c": {"emo": "angry", "val": -1}},
    "test2_corpus": {"d": {"emo": "neutral", "val": 0.0}},
    "test3_corpus": {"e": {"emo": "worried", "val": -10}},
}
TRANSCRIPTS = 'name,chinese,english\na,你好,"Hello, you"\nb,,\nc,好,Good\nd,好,Good\ne,好,Good\n'


def write_release(folder: Path, transcripts: str = TRANSCRIPTS, **labels: Any) -> Path:
    folder.mkdir()
    np.savez(
        folder / LABELS_FILE, **{key: np.array(value, dtype=object) for key, value in {**LABELS, **labels}.items()}
    )
    (folder / TRANSCRIPTS_FILE).write_text(transcripts, encoding="utf-8")
    return folder


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
    release = write_release(tmp_path / "r")
    with pytest.raises(InvalidCorpus) as error:
        MER2023(release, tmp_path / "c", features=tmp_path / "f")
    assert [str(problem) for problem in error.value.problems] == [
        f"E616  {tmp_path / 'f'}: no folder of a feature in it, with one .npy per sample"
    ]
    (tmp_path / "g" / "x").mkdir(parents=True)
    with pytest.raises(InvalidCorpus, match=r"E616  feature 'x': no \.npy file of a sample in this folder$"):
        MER2023(release, tmp_path / "c", features=tmp_path / "g")


def test_a_release_with_files_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidCorpus) as error:
        MER2023(tmp_path, tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        "E601  missing: label-6way.npz or release/label-6way.npz: dictionaries train_corpus, test1_corpus, "
        "test2_corpus, test3_corpus, each of sample id -> {'emo': label, 'val': number}; "
        "or labels.csv: name, split, discrete, valence",
        "E601  missing: transcription-engchi-polish.csv or release/transcription-engchi-polish.csv: "
        "name, chinese, english",
    ]
    with pytest.raises(
        UsageError, match=r"gone: no such folder; `merbench corpus import mer2023` describes the files$"
    ):
        MER2023(tmp_path / "gone", tmp_path / "c")


def test_all_problems_at_once(tmp_path: Path) -> None:
    release = write_release(
        tmp_path / "r",
        transcripts="id,text\na,x\n",
        test1_corpus={"a": {"emo": "sad", "val": 1}, "x": {"emo": 3.5, "val": 1}, "y": {"emo": "sad", "val": True}},
        test2_corpus=[1, 2],
    )
    with pytest.raises(InvalidCorpus) as error:
        MER2023(release, tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        "E610  label-6way.npz: no dictionary 'test2_corpus'; the file has train_corpus, test1_corpus, "
        "test2_corpus, test3_corpus",
        "E614  label-6way.npz, test1_corpus: items that are not {'emo': label or code, 'val': number} (2 of 3): "
        "'x': {'emo': 3.5, 'val': 1}, 'y': {'emo': 'sad', 'val': True}",
        "E611  transcription-engchi-polish.csv: no column name, chinese, english; the columns are id, text",
    ]


def test_samples_of_two_splits_and_samples_without_a_transcript(tmp_path: Path) -> None:
    release = write_release(
        tmp_path / "r", transcripts="name,chinese,english\na,x,y\nb,x,y\n", test1_corpus={"a": {"emo": "sad", "val": 1}}
    )
    with pytest.raises(InvalidCorpus) as error:
        MER2023(release, tmp_path / "c")
    assert [str(problem) for problem in error.value.problems] == [
        "E615  transcription-engchi-polish.csv: samples without a row (2 of 5): d, e",
        "E612  sample_id: label-6way.npz: duplicate ids (2 of 5): 'a', 'a'",
    ]


class _Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch owned", rf"{os.name}\.system"),
        (builtins.eval, "open('owned', 'w')", r"builtins\.eval"),
        (builtins.getattr, "x", r"builtins\.getattr"),
        (np.load, "owned", r"numpy(\.lib\._npyio_impl)?\.load"),
    ],
)
def test_a_pickle_that_calls_anything_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Callable[..., Any], argument: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    release = write_release(tmp_path / "r", test1_corpus={"c": {"emo": _Call(function, argument), "val": 1}})
    message = rf"E610  .*label-6way\.npz, member 'test1_corpus\.npy': the pickle asks for {name}, which is not allowed$"
    with pytest.raises(InvalidCorpus, match=message):
        MER2023(release, tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r"]


@pytest.mark.real_data
def test_the_release_itself(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "mer2023"
    imported = IMPORTERS["mer2023"](folder / "release", tmp_path / "c")
    assert imported.warnings == ()
    samples, reference = imported.corpus.samples(), imported.corpus.reference()
    assert reference is not None
    assert Counter(samples["split"].to_pylist()) == {"train": 3373, "test1": 411, "test2": 412, "test3": 834}
    for column in ("transcript", "transcript_english"):
        assert samples[column].to_pylist().count("") == 217
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["name"])
    assert samples["sample_id"].to_pylist() == reference["sample_id"].to_pylist() == [row["name"] for row in rows]
    assert samples["split"].to_pylist() == [row["split"] for row in rows]
    assert reference["discrete"].to_pylist() == [row["discrete"] for row in rows]
    valence = [float(row["valence"]) if row["valence"] else None for row in rows]
    assert reference["valence"].to_pylist() == valence
    assert {row["split"] for row in rows if not row["valence"]} == {"test3"}
    (tmp_path / "tables" / "release").mkdir(parents=True)
    for table in ("labels.csv", f"release/{TRANSCRIPTS_FILE}"):
        (tmp_path / "tables" / table).symlink_to(folder / table)
    assert MER2023(tmp_path / "tables", tmp_path / "d").corpus.digest == imported.corpus.digest
    assert verify_corpus(imported.corpus) == []
