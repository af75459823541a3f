"""Released files that are not CSV: archives of dictionaries and of arrays, folders of recordings, lines with spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from released_files import write_archive

from merbench.corpus.delimited import Delimited, Reader
from merbench.corpus.release_readers import arrays, label_archive, recordings, spaced
from merbench.errors import Problem, UsageError


def read(reader: Reader, path: Path) -> tuple[Delimited | None, list[str]]:
    problems: list[Problem] = []
    cells = reader(path, problems)
    return cells, [str(problem) for problem in problems]


def test_labels_of_an_archive_are_rows_whatever_kind_of_number_they_are(tmp_path: Path) -> None:
    items = {
        "a": {"emo": np.int64(3), "val": np.float64(-0.8)},
        "b": {"emo": "sad", "val": np.float32(1 / 3)},  # the nearest float32 to 1/3 is 0.3333333432674408
        "c": {"emo": 0, "val": -10},
    }
    path = write_archive(tmp_path / "l.npz", one=items, two={})
    cells, problems = read(label_archive({"one": "train", "two": "dev"}, valence="sentiment"), path)
    assert cells is not None and problems == []
    assert cells.header == ("name", "split", "emo", "sentiment")
    assert cells.rows == [
        ["a", "train", "3", "-0.8"],
        ["b", "train", "sad", "0.3333333432674408"],
        ["c", "train", "0", "-10.0"],
    ]


def test_an_archive_without_the_dictionaries(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "l.npz", one=[1], three={})
    assert read(label_archive({"one": "train", "two": "dev", "three": "test"}), path) == (
        None, ["E610  l.npz: no dictionary 'one', 'two'; the file has one, three"]
    )  # fmt: skip
    items = {"a": {"emo": True, "val": 1}, 3: {"emo": 1, "val": 1}, "b": {"emo": 1}, "c": 1}
    assert read(label_archive({"m": "s"}), write_archive(tmp_path / "m.npz", m=items))[1] == [
        "E614  m.npz, m: items that are not {'emo': label or code, 'val': number} (4 of 4): 'a': {'emo': True, 'val': 1}, "
        "3: {'emo': 1, 'val': 1}, 'b': {'emo': 1}, 'c': 1"
    ]


def test_a_file_that_is_not_an_archive(tmp_path: Path) -> None:
    (tmp_path / "l.npz").write_bytes(b"PK not")
    with pytest.raises(
        UsageError, match=r"l\.npz: cannot be read as an NPZ archive: not a ZIP archive, or one that is cut off$"
    ):
        label_archive({"m": "s"})(tmp_path / "l.npz", [])
    with pytest.raises(UsageError, match=r"^l\.npz: cannot be read: "):
        arrays(tmp_path / "l.npz", [])


def test_arrays_of_one_dimension_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, name=np.array(["x", "y"]), actor=np.array([1, 2], np.int8), audio=np.zeros((2, 3)), f=[0.5, 1.0])
    cells, problems = read(arrays, path)
    assert cells is not None and problems == []
    assert (cells.header, list(cells.rows)) == (("name", "actor", "f"), [("x", "1", "0.5"), ("y", "2", "1.0")])
    np.savez(path, name=np.array(["x", "y"]), audio=np.zeros((3, 3)))
    message = "arrays that do not have one row per sample: name (2,), audio (3, 3)"
    assert read(arrays, path) == (None, [f"E610  a.npz: {message}"])
    np.savez(path, name=np.array([{}, {}], dtype=object))
    with pytest.raises(UsageError, match=r"^a\.npz: cannot be read: array 'name': contains Python objects"):
        arrays(path, [])


def test_recordings_have_one_frame_per_line(tmp_path: Path) -> None:
    message = f"{tmp_path}: no .txt file of a recording in this folder"
    assert read(recordings(("valence",)), tmp_path) == (None, [f"E610  {message}"])
    (tmp_path / "v2.txt").write_text("valence,arousal\n-5,-5\n0.1, 0.2\n\n")
    (tmp_path / "v1.txt").write_text("valence,arousal\n1,0\n")
    cells, problems = read(recordings(("valence", "arousal")), tmp_path)
    assert cells is not None and problems == []
    assert cells.header == ("image", "valence", "arousal")
    assert cells.rows == [["v1/00001.jpg", "1", "0"], ["v2/00001.jpg", "-5", "-5"], ["v2/00002.jpg", "0.1", "0.2"]]
    (tmp_path / "v3.txt").write_text("Neutral,Anger\n3\n0,1\n")
    message = "lines without valence, arousal (1 of 2): line 2"
    assert read(recordings(("valence", "arousal")), tmp_path)[1] == [f"E610  v3.txt: {message}"]


def test_lines_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "label.txt"
    path.write_text("a.wav genuine\nb.wav\tfake\n")
    cells, _ = read(spaced("utterance", "label"), path)
    assert cells is not None
    assert (cells.header, cells.rows) == (("utterance", "label"), [["a.wav", "genuine"], ["b.wav", "fake"]])
    path.write_text("a.wav genuine\nb c d\n\ne.wav fake\n")
    message = "label.txt: lines without utterance, label (2 of 4): line 2, line 3"
    assert read(spaced("utterance", "label"), path) == (None, [f"E610  {message}"])
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"^label\.txt: cannot be read: byte 0xFF at position 0 is not UTF-8"):
        spaced("utterance", "label")(path, [])


def test_lists_that_hold_one_list_twice_make_a_short_message(tmp_path: Path) -> None:
    shared: list[object] = ["x" * 1000, 10**15]
    for _ in range(60):
        shared = [shared, shared]
    np.savez(tmp_path / "l.npz", m=np.array({"a": shared}, dtype=object))
    problems: list[Problem] = []
    label_archive({"m": "s"})(tmp_path / "l.npz", problems)
    (problem,) = problems
    assert problem.message.endswith(
        "(1 of 1): 'a': [[[[...], [...]], [[...], [...]]], [[[...], [...]], [[...], [...]]]]"
    )
