"""A user's own data: CSV files and features in every form become a corpus, or a list of everything that is wrong."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merbench.corpus import Metadata, OwnFiles, create_corpus, verify_corpus
from merbench.corpus.clips import find_clips
from merbench.corpus.declaration import parse_metadata
from merbench.errors import DeclarationError, InvalidCorpus, UsageError
from merbench.files.arrow import write_arrow

SAMPLES = (
    "sample_id,split,speaker,age,loudness,transcript\na,train,1,30,.5,hello\nb,test,2,,1e-3,\nc,test,2,41,-2.,42\n"
)
REFERENCE = "sample_id,discrete,valence\na,happy,1\nb,sad,\nc,,\n"
IDS = ("a", "b", "c")
VECTORS = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0]), "c": np.array([5.0, 6.0])}
COLUMNS = "the columns are sample_id, split, speaker, age, loudness, transcript"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "samples.csv").write_text(SAMPLES, encoding="utf-8")
    (tmp_path / "reference.csv").write_text(REFERENCE, encoding="utf-8")
    return tmp_path


METADATA = Metadata(name="mine", version="1.0", source="", licence="")


def create(folder: Path, replace: bool = False, **own: Any) -> Any:
    files = OwnFiles(**{"samples": folder / "samples.csv", **own})
    return create_corpus(folder / "corpus", METADATA, files, replace=replace)


def problems(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(InvalidCorpus) as error:
        create(folder, **changes)
    assert not (folder / "corpus").exists()
    return [str(problem) for problem in error.value.problems]


def test_columns_get_the_types_of_the_rule(files: Path) -> None:
    corpus = create(files, reference=files / "reference.csv")
    assert corpus.samples().to_pydict() == {
        "sample_id": ["a", "b", "c"],
        "split": ["train", "test", "test"],
        "speaker": [1, 2, 2],
        "age": [30, None, 41],
        "loudness": [0.5, 0.001, -2.0],
        "transcript": ["hello", "", "42"],
    }
    assert corpus.reference().to_pydict() == {"sample_id": ["a", "b"], "discrete": ["happy", "sad"], "valence": [1, None]}  # fmt: skip
    assert verify_corpus(corpus) == []
    corpus = create(files, reference=files / "reference.csv", targets=["valence"], replace=True)
    assert corpus.reference().to_pydict() == {"sample_id": ["a"], "valence": [1]}


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2", "+3"], [1, -2, 3]),
        (["1", "2.0", ""], [1.0, 2.0, None]),
        (["007", "1", "2"], ["007", "1", "2"]),
        (["1234567890123456789", "1", "2"], ["1234567890123456789", "1", "2"]),
        (["1", "x", ""], ["1", "x", None]),
        ([" 1", "2 ", "3"], [1, 2, 3]),
        (["", "", ""], [None, None, None]),
        (["nan", "na", "inf"], ["nan", "na", "inf"]),
        (["٣", "1", "2"], ["٣", "1", "2"]),
    ],
)
def test_cells_become_numbers_or_stay_text(tmp_path: Path, cells: list[str], values: list[Any]) -> None:
    lines = "".join(f"{name},t,{cell}\n" for name, cell in zip(IDS, cells, strict=True))
    (tmp_path / "samples.csv").write_text(f"sample_id,split,x\n{lines}", encoding="utf-8")
    read = create(tmp_path).samples()["x"].to_pylist()
    assert (read, [type(value) for value in read]) == (values, [type(value) for value in values])


def test_names_of_clips_are_text(tmp_path: Path) -> None:
    (tmp_path / "samples.csv").write_text("sample_id,split,media\na,t,1\nb,t,\n", encoding="utf-8")
    assert create(tmp_path).samples()["media"].to_pylist() == ["1", None]


def test_other_line_ends_a_byte_order_mark_tabs_and_quoted_newlines(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_bytes('\ufeffsample_id\tsplit\ttranscript\r\na\tt\t"x\r\ny"\r\n\r\nb\tt\tz\r'.encode())
    corpus = create(tmp_path, samples=tmp_path / "s.tsv")
    assert corpus.samples()["transcript"].to_pylist() == ["x\r\ny", "z"]


def test_targets_are_taken_out_of_the_samples(files: Path) -> None:
    (files / "all.csv").write_text("id,part,y,z\na,t,1,0\nb,t,2,\n")
    corpus = create(files, samples=files / "all.csv", rename={"id": "sample_id", "part": "split"}, targets=["y"])
    assert corpus.samples().column_names == ["sample_id", "split", "z"]
    assert corpus.reference().to_pydict() == {"sample_id": ["a", "b"], "y": [1, 2]}


def saved(folder: Path, name: str, content: Any) -> str:
    """Write arrays as an NPZ, columns as Parquet or Arrow, arrays by id as a folder of `.npy`, or text."""
    path = folder / name
    if isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".parquet":
        pq.write_table(pa.table(content), path)
    elif path.suffix == ".arrow":
        write_arrow(pa.table(content), path)
    else:
        path.mkdir()
        for key, value in content.items():
            np.save(path / f"{key}.npy", value)
    return str(path)


ROWS = [vector.tolist() for vector in VECTORS.values()]


@pytest.mark.parametrize(
    ("name", "content", "array"),
    [
        ("f.npz", {"ids": np.array(IDS), "values": np.array(ROWS)}, ""),
        ("f.npz", {"sample_id": np.array(IDS, "S1"), "other": np.array(ROWS, int)}, ":other"),
        ("f.npz", VECTORS, ""),
        ("f", VECTORS, ""),
        ("f", {name: vector[None].astype(np.float16) for name, vector in VECTORS.items()}, ""),
        ("f.parquet", {"sample_id": IDS[::-1], "values": ROWS[::-1], "x": [1, 2, 3]}, ""),
        ("f.parquet", {"sample_id": IDS, "values": pa.array(ROWS, pa.list_(pa.float32(), 2))}, ""),
        ("f.arrow", {"sample_id": IDS[::-1], "values": pa.array(ROWS[::-1], pa.list_(pa.float32(), 2))}, ""),
    ],
)
def test_vectors_in_every_form(files: Path, name: str, content: Any, array: str) -> None:
    feature = create(files, features={"f": saved(files, name, content) + array}).feature("f")
    assert (feature.ids.to_pylist(), feature.values.tolist(), feature.offsets) == (["a", "b", "c"], ROWS, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("f.npz", {"b": np.ones((1, 2)), "a": np.array([[1, 2], [3, 4]])}),
        ("f.parquet", {"sample_id": ["b", "a"], "values": [[[1, 1]], [[1, 2], [3, 4]]]}),
    ],
)
def test_frames_in_every_form(files: Path, name: str, content: Any) -> None:
    feature = create(files, features={"f": saved(files, name, content)}).feature("f")
    assert (feature.ids.to_pylist(), feature.values.tolist()) == (["a", "b"], [[1, 2], [3, 4], [1, 1]])
    assert feature.offsets is not None
    assert feature.offsets.tolist() == [0, 2, 3]


def test_times_are_read_with_their_frames(files: Path) -> None:
    content = {"sample_id": ["b", "a"], "values": [[[1, 1]], [[1, 2], [3, 4]]]}
    for times, message in (
        ([[7], [0]], "1 of 2 samples have another number of times than of frames"),
        (["x", "y"], "'times' contains string; expected: lists of seconds"),
        ([[7], [1, 0]], "samples with times that decrease (1 of 2): a"),
        ([[None], [0, 1]], "samples with times that are not finite (1 of 2): b"),
    ):
        (problem,) = problems(files, features={"f": saved(files, "f.parquet", {**content, "times": times})})
        assert problem.endswith(message)
    path = saved(files, "f.parquet", {**content, "times": [[7], [0, 1]]})
    feature = create(files, features={"f": path}).feature("f")
    assert feature.times is not None
    assert (feature.times.tolist(), feature.values[:, 1].tolist()) == ([0.0, 1.0, 7.0], [2, 4, 1])


ONE = np.zeros((1, 2))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("f.mat", "x", "must be an .npz, .parquet or .arrow file, or a folder of one .npy per sample"),
        ("f.npz", "no archive", "cannot be read: "),
        ("f.parquet", "PAR1", "cannot be read: "),
        ("f", {}, "no .npy file of a sample in this folder"),
        ("f.npz", {}, "no samples"),
        ("f.npz", {"a": np.zeros(2), "b": np.zeros(3)}, "arrays that do not match 'a' (2,) (1 of 2): 'b' (3,)"),
        ("f.npz", {"a": np.zeros(2), "b": ONE}, "arrays that do not match 'a' (2,) (1 of 2): 'b' (1, 2)"),
        ("f.npz", {"a": np.zeros(())}, "'a' has shape (); expected: a vector (d,) or frames (t, d)"),
        ("f.npz", {"a": np.array(["x"])}, "arrays that are not numbers (1 of 1): 'a' <U1"),
        (
            "f.npz",
            {"a": np.array([None])},
            "cannot be read: array 'a': contains Python objects (a pickle), which are not",
        ),
        ("f.npz", {"ids": np.array(["a"]), "values": np.zeros((2, 2))}, "1 sample ids and 2 rows of 'values'"),
        ("f.npz", {"ids": np.array([]), "values": np.zeros((0, 2))}, "'ids' is float64 of shape (0,); "),
        ("f.npz", {"ids": np.array([], int), "values": np.zeros((0, 2))}, "no samples"),
        (
            "f.npz",
            {"ids": np.array(["a"]), "text": ONE, "audio": ONE},
            "no array 'values'; the file has text, audio; choose one as f.npz:ARRAY",
        ),
        ("f.parquet", {"sample_id": ["a"], "x": [1.0]}, "no column values; the columns are sample_id, x"),
        ("f.parquet", {"sample_id": ["a"], "values": [1.0]}, "'values' contains double; expected: lists of numbers"),
        ("f.parquet", {"sample_id": ["a", "b"], "values": [[1.0], None]}, "the lists have different lengths: 1, None"),
        ("f.parquet", {"sample_id": ["a"], "values": [[1.0, None]]}, "the lists contain double, 1 missing; expected: "),
    ],
)
def test_a_feature_that_cannot_be_read(files: Path, name: str, content: Any, message: str) -> None:
    path = saved(files, name, content)
    (problem,) = problems(files, features={"f": path})
    assert problem.startswith(f"E616  feature 'f', {path}: {message}")


def test_a_number_beyond_float32_is_not_finite(files: Path) -> None:
    path = saved(files, "f.parquet", {"sample_id": ["a"], "values": [[1e300]]})
    assert problems(files, features={"f": path}) == [
        "E614  feature 'f': samples with values that are not finite (1 of 1): a"
    ]


def test_an_array_and_a_file_of_a_feature_that_are_missing_or_broken(files: Path) -> None:
    path = saved(files, "f.npz", {"ids": np.array(["a"]), "other": ONE})
    assert problems(files, features={"f": f"{path}:othr", "g": "gone"}) == [
        f"E616  feature 'f', {path}:othr: no array 'othr'; the file has other; did you mean 'other'?",
        "E616  feature 'g', gone: no such file or folder",
    ]
    path = saved(files, "g.npz", VECTORS)
    assert problems(files, features={"f": f"{path}:x"}) == [
        f"E616  feature 'f', {path}:x: no array of sample ids; its name must be one of ids, id, name, sample_id"
    ]
    path = saved(files, "f", VECTORS)
    (Path(path) / "b.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert problems(files, features={"f": path})[0].startswith(f"E616  feature 'f', {path}: b.npy cannot be read: ")


def test_all_problems_of_all_files_at_once(files: Path) -> None:
    (files / "samples.csv").write_text(
        "sample_id,split,score\na,train,1\nb,test,nan\n\na,test,2\n,test,3\nc ,,1e999\n", encoding="utf-8"
    )
    (files / "reference.csv").write_text('sample_id,valence,"y"\na,"1,5",1\nb,2,x\nz,3,2\n', encoding="utf-8")
    features = {"f": saved(files, "f.npz", {"a": np.array([1e300]), "q": np.array([1.0])}), "g": "gone.npz"}
    assert problems(files, reference=files / "reference.csv", features=features, rename={"nme": "id"}) == [
        "E611  no column 'nme' to rename; the columns are sample_id, split, score, sample_id, valence, y",
        "E616  feature 'g', gone.npz: no such file or folder",
        "E614  score: samples.csv: text among numbers (1 of 5): 'nan' (line 3); leave missing values empty",
        "E614  valence: reference.csv: text among numbers (1 of 3): '1,5' (line 2); write decimals with a point",
        "E614  y: reference.csv: text among numbers (1 of 3): 'x' (line 3); leave missing values empty",
        "E612  sample_id: samples.csv: empty values (1 of 5): '' (line 6)",
        "E612  sample_id: samples.csv: values that cannot be a name (1 of 5): 'c ' (line 7); no spaces around it, no "
        "line breaks or control characters in it",
        "E612  sample_id: samples.csv: duplicate ids (2 of 5): 'a' (line 2), 'a' (line 5)",
        "E612  split: samples.csv: empty values (1 of 5): '' (line 7)",
        "E615  sample_id: reference.csv: references of unknown samples (1 of 3): 'z' (line 4)",
        "E615  feature 'f': values of unknown samples (1 of 2): q",
        "E614  feature 'f': samples with values that are not finite (1 of 2): a",  # too large for float32
    ]


def test_a_reference_that_is_not_a_number_is_not_a_label_either(files: Path) -> None:
    (files / "reference.csv").write_text("sample_id,mood,valence\na,happy,nan\nb,NaN,inf\nc,none,\n", encoding="utf-8")
    assert problems(files, reference=files / "reference.csv") == [
        "E614  mood: reference.csv: NaN or infinity among text (1 of 3): 'NaN' (line 3); leave missing values empty",
        "E614  valence: reference.csv: NaN or infinity among text (2 of 3): 'nan' (line 2), 'inf' (line 3);"
        " leave missing values empty",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "E610  samples.csv: the file is empty"),
        (b"sample_id,split\n", "E611  samples.csv: no samples"),
        (
            "sample_id,split\na,t\n".encode("utf-16"),
            "E610  samples.csv: not UTF-8 text (byte 0xff at 0); save it as CSV UTF-8",
        ),
        (
            b"sample_id;split\na;t\n",
            "E610  samples.csv: the columns are separated by ';'; save it with ',' between them",
        ),
        (b"sample_id,split,split\na,t,t\n", "E611  samples.csv: duplicate columns: split"),
        (b"sample_id,split,\na,t,t\n", "E611  samples.csv: columns without a name: column 3"),
        (
            b"sample_id,split\na,t\nb\n\nc,t,u\n",
            "E610  samples.csv: rows with another number of cells (2 of 3): 1 (line 3), 3 (line 5); the header has 2",
        ),
        (b'sample_id,split\na,t\n"b,t\n', "E610  samples.csv, line 3: not a CSV row: unexpected end of data"),
        (b"s\0ample_id,split\na,t\n", "E610  samples.csv: contains NUL characters; save it as CSV UTF-8"),
        (
            b"name,split\na,t\n",
            "E611  samples.csv: no column 'sample_id'; the columns are name, split; rename the one that contains it",
        ),
        (
            b"sample_id,split,x\na,t,1e999\n",
            "E614  x: samples.csv: values that are not finite numbers (1 of 1): inf (line 2); leave missing values empty",
        ),
    ],
)
def test_a_csv_that_is_not_a_table_of_samples(files: Path, data: bytes, message: str) -> None:
    (files / "samples.csv").write_bytes(data)
    assert problems(files) == [message]


def test_files_and_columns_that_are_missing_or_given_twice(files: Path) -> None:
    assert problems(files, samples=files / "gone.csv", reference=files / "lost.csv") == [
        f"E610  {files / 'gone.csv'}: cannot be read: No such file or directory",
        f"E610  {files / 'lost.csv'}: cannot be read: No such file or directory",
    ]
    assert problems(files, targets=["speakr"]) == [
        f"E611  samples.csv: no column of the target speakr; {COLUMNS}; did you mean 'speaker'?"
    ]
    assert problems(files, rename={"age": "speaker"}) == ["E611  samples.csv: duplicate columns: speaker"]
    (files / "reference.csv").write_text("sample_id,split,age\na,x,1\n")
    assert problems(files, reference=files / "reference.csv") == [
        "E611  age: reference.csv: the column is among the samples too, where everybody reads it; keep it in one of them"
    ]


def test_all_problems_of_metadata_at_once() -> None:
    with pytest.raises(DeclarationError) as error:
        parse_metadata("corpus '../up'", name="../up", version="one", source="", licence="")
    assert [problem.column for problem in error.value.problems] == ["name", "version"]


@pytest.mark.real_data
def test_mosi_comes_in_unchanged(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "features"
    corpus = create(
        tmp_path,
        samples=folder / "mosi_meta.csv",
        rename={"id": "sample_id", "split_feature": "split", "video": "speaker", "text_eng": "transcript"},
        targets=["sentiment", "label_nonneg"],
        features={name: f"{folder / 'mosi_trimodal.npz'}:{name}" for name in ("text", "audio", "video")},
    )
    with (folder / "mosi_meta.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    with np.load(folder / "mosi_trimodal.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    position = {name: index for index, name in enumerate(arrays["id"].tolist())}
    samples, reference = corpus.samples(), corpus.reference()
    assert reference is not None
    assert samples.num_rows == reference.num_rows == 2199
    ids = samples["sample_id"].to_pylist()
    assert ids == sorted(rows)
    for column, name in [("split", "split_feature"), ("speaker", "video"), ("transcript", "text_eng")]:
        assert samples[column].to_pylist() == [rows[sample][name] for sample in ids]
    assert reference["sentiment"].to_pylist() == [float(rows[sample]["sentiment"]) for sample in ids]
    for name, width in [("text", 100), ("audio", 73), ("video", 100)]:
        feature = corpus.feature(name)
        assert feature.width == width
        assert np.array_equal(feature.values, arrays[name][[position[sample] for sample in ids]])


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Return a folder of empty files with the names of clips."""
    for name in ("anger/x.mp4", "joy/y.wav", "joy/007.wav", "z.mp4", "z.wav"):
        (tmp_path / "clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clips" / name).touch()
    return tmp_path / "clips"


def create_of_clips(folder: Path, table: str, column: str | None = "file", **own: Any) -> Any:
    (folder / "samples.csv").write_text(table, encoding="utf-8")
    return create(folder, media=folder / "clips", media_column=column, **own)


def test_raw_clips_become_a_corpus(tmp_path: Path, clips: Path) -> None:
    """By path, by path without suffix, by bare name; the target is taken out of the same table."""
    table = "split,emotion,file\ntrain,angry,anger/x.mp4\ntrain,happy,joy/y\ntest,happy, 007 \ntest,sad,z.wav\n"
    corpus = create_of_clips(tmp_path, table, targets=["emotion"])
    assert corpus.samples().to_pydict() == {
        "sample_id": ["007", "x", "y", "z"],
        "split": ["test", "train", "train", "test"],
        "media": ["joy/007.wav", "anger/x.mp4", "joy/y.wav", "z.wav"],
    }
    assert corpus.reference().to_pydict() == {
        "sample_id": ["007", "x", "y", "z"],
        "emotion": ["happy", "angry", "happy", "sad"],
    }
    files = find_clips(corpus.samples(), [clips])
    assert {name: path.relative_to(clips).as_posix() for name, path in files.paths.items()} == {
        "007": "joy/007.wav",
        "x": "anger/x.mp4",
        "y": "joy/y.wav",
        "z": "z.wav",
    }


def test_ids_of_the_table_stay_and_a_sample_may_have_no_clip(tmp_path: Path, clips: Path) -> None:
    corpus = create_of_clips(tmp_path, "split,sample_id,media\ntrain,one,x\ntrain,two,\n", None)
    assert corpus.samples().to_pydict() == {
        "sample_id": ["one", "two"],
        "split": ["train", "train"],
        "media": ["anger/x.mp4", None],
    }


def test_without_a_column_of_files_the_ids_find_them(tmp_path: Path, clips: Path) -> None:
    corpus = create_of_clips(tmp_path, "sample_id,split\njoy/y,train\n007,train\n", None)
    assert corpus.samples()["media"].to_pylist() == ["joy/007.wav", "joy/y.wav"]


def test_all_that_is_wrong_with_files_is_reported(tmp_path: Path, clips: Path) -> None:
    (clips / "t.mp4").touch()
    undecodable = clips / "n\udcff.wav"
    undecodable.touch()
    (clips / "n\udcff").mkdir()
    (clips / "n\udcff" / "w.wav").touch()
    (tmp_path / "secret.wav").touch()
    cells = ["t.mp4", "./t", "z", "gone.wav", "Joy/y.wav", "../secret.wav", "/etc/hosts", "w", ""]
    reported = problems_of_clips(tmp_path, "split,file\n" + "".join(f"train,{cell}\n" for cell in cells))
    assert reported[:6] == [
        "E613  file: samples.csv: files that several rows name (2 of 9): 't.mp4' (line 2), './t' (line 3); a "
        "clip belongs to one sample",
        "E613  file: samples.csv: names that several files have (1 of 9): 'z' (line 4); write path and suffix",
        "E613  file: samples.csv: files that do not exist (2 of 9): 'gone.wav' (line 5), 'Joy/y.wav' (line 6); "
        f"write the path of each below {clips}",
        "E613  file: samples.csv: paths that lead out of the folder (2 of 9): '../secret.wav' (line 7), "
        f"'/etc/hosts' (line 8); write the path of each below {clips}",
        "E613  file: samples.csv: files whose names are not text in UTF-8 (1 of 9): 'w' (line 9); rename them",
        "E613  file: samples.csv: rows without a file (1 of 9): '' (line 10)",
    ]
    assert [problem[:15] for problem in reported[6:]] == ["E612  sample_id"] * 2  # of the ids that follow from these


def problems_of_clips(folder: Path, table: str, column: str | None = "file") -> list[str]:
    with pytest.raises(InvalidCorpus) as error:
        create_of_clips(folder, table, column)
    assert not (folder / "corpus").exists()
    return [str(problem) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("table", "column", "expected"),
    [
        (
            "split,flie\ntrain,x\n",
            "file",
            "E611  samples.csv: no column 'file' of file names; the columns are split, flie; name it with "
            "--media-column; did you mean 'flie'?",
        ),
        (
            "split,file\ntrain,x\n",
            None,
            "E611  samples.csv: no column 'media' of file names; the columns are split, file; name it with "
            "--media-column",
        ),
        (
            "split,file,media\ntrain,x,y\n",
            "file",
            "E611  samples.csv: has a column 'media', too, which is for the paths of the files in 'file'; leave it out",
        ),
        (
            "split,file\ntrain,z.mp4\ntrain,z.wav\n",
            "file",
            "E612  sample_id: samples.csv: duplicate ids (2 of 2): 'z' (line 2), 'z' (line 3)",
        ),
    ],
)
def test_a_table_that_does_not_name_clips(
    tmp_path: Path, clips: Path, table: str, column: str | None, expected: str
) -> None:
    assert problems_of_clips(tmp_path, table, column) == [expected]


def test_a_problem_of_ids_is_counted_once_where_one_table_has_samples_and_targets(files: Path) -> None:
    (files / "samples.csv").write_text("sample_id,split,mood\na,train,x\na,test,y\n", encoding="utf-8")
    duplicate = "E612  sample_id: samples.csv: duplicate ids (2 of 2): 'a' (line 2), 'a' (line 3)"
    assert problems(files, targets=["mood"]) == [duplicate]


def test_the_folder_of_clips_must_exist(files: Path) -> None:
    with pytest.raises(UsageError, match=r"gone: no such folder of media$"):
        create(files, media=files / "gone")
