"""Own data: CSV files and features in every form become a corpus, or a list of everything that is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merbench.corpus import verify_corpus
from merbench.corpus.create import create_corpus
from merbench.corpus.feature import read_feature
from merbench.errors import DeclarationError, InvalidCorpus, UsageError

SAMPLES = (
    "sample_id,split,speaker,age,loudness,transcript\na,train,1,30,.5,hello\nb,test,2,,1e-3,\nc,test,2,41,-2.,42\n"
)
REFERENCE = "sample_id,discrete,valence\na,happy,1\nb,sad,\nc,,\n"
IDS = ("a", "b", "c")
VECTORS = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0]), "c": np.array([5.0, 6.0])}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "samples.csv").write_text(SAMPLES, encoding="utf-8")
    (tmp_path / "reference.csv").write_text(REFERENCE, encoding="utf-8")
    return tmp_path


def create(folder: Path, **changes: Any) -> Any:
    return create_corpus(folder / "corpus", **{"name": "mine", "samples": folder / "samples.csv", **changes})


def told(folder: Path, **changes: Any) -> list[str]:
    with pytest.raises(InvalidCorpus) as error:
        create(folder, **changes)
    assert error.value.where == f"corpus '{changes.get('name', 'mine')}'"
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
    assert corpus.reference().to_pydict() == {
        "sample_id": ["a", "b"],
        "discrete": ["happy", "sad"],
        "valence": [1, None],
    }
    assert verify_corpus(corpus) == []


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
    found = create(tmp_path).samples()["x"].to_pylist()
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_other_line_ends_a_byte_order_mark_tabs_and_quoted_newlines(tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_bytes('\ufeffsample_id\tsplit\ttranscript\r\na\tt\t"x\r\ny"\r\n\r\nb\tt\tz\r'.encode())
    corpus = create_corpus(tmp_path / "corpus", name="mine", samples=tmp_path / "s.tsv")
    assert corpus.samples()["transcript"].to_pylist() == ["x\r\ny", "z"]


def test_targets_are_taken_out_of_the_samples(files: Path) -> None:
    (files / "all.csv").write_text("id,part,y,z\na,t,1,0\nb,t,2,\n")
    corpus = create(files, samples=files / "all.csv", rename={"id": "sample_id", "part": "split"}, targets=["y"])
    assert corpus.samples().column_names == ["sample_id", "split", "z"]
    assert corpus.reference().to_pydict() == {"sample_id": ["a", "b"], "y": [1, 2]}


def test_targets_name_the_columns_of_the_reference_file(files: Path) -> None:
    corpus = create(files, reference=files / "reference.csv", targets=["valence"])
    assert corpus.reference().to_pydict() == {"sample_id": ["a"], "valence": [1]}


def npz_of_ids_and_values(folder: Path) -> str:
    np.savez(folder / "f.npz", ids=np.array(IDS), values=np.stack(list(VECTORS.values())))
    return str(folder / "f.npz")


def npz_of_bytes(folder: Path) -> str:
    np.savez(folder / "f.npz", sample_id=np.array(IDS, "S1"), other=np.arange(6).reshape(3, 2) + 1)
    return f"{folder / 'f.npz'}:other"


def npz_of_samples(folder: Path) -> str:
    np.savez_compressed(folder / "f.npz", **VECTORS)
    return str(folder / "f.npz")


def folder_of_vectors(folder: Path) -> str:
    (folder / "f").mkdir()
    for name, vector in VECTORS.items():
        np.save(folder / "f" / f"{name}.npy", vector)
    return str(folder / "f")


def folder_of_rows(folder: Path) -> str:
    (folder / "f").mkdir()
    for name, vector in VECTORS.items():
        np.save(folder / "f" / f"{name}.npy", vector[None].astype(np.float16))
    (folder / "f" / "readme.txt").write_text("not a sample")
    return str(folder / "f")


def parquet_of_lists(folder: Path) -> str:
    values = [vector.tolist() for vector in VECTORS.values()]
    pq.write_table(pa.table({"sample_id": IDS[::-1], "values": values[::-1], "x": [1, 2, 3]}), folder / "f.parquet")
    return str(folder / "f.parquet")


def parquet_of_fixed_lists(folder: Path) -> str:
    values = pa.array([vector.tolist() for vector in VECTORS.values()], pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"sample_id": IDS, "values": values}), folder / "f.parquet")
    return str(folder / "f.parquet")


@pytest.mark.parametrize(
    "source",
    [
        npz_of_ids_and_values,
        npz_of_bytes,
        npz_of_samples,
        folder_of_vectors,
        folder_of_rows,
        parquet_of_lists,
        parquet_of_fixed_lists,
    ],
)
def test_vectors_in_every_form(files: Path, source: Callable[[Path], str]) -> None:
    feature = create(files, features={"f": source(files)}).feature("f")
    assert feature.ids.to_pylist() == ["a", "b", "c"]
    assert feature.values.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert feature.offsets is None


def npz_of_frames(folder: Path) -> str:
    np.savez(folder / "f.npz", b=np.ones((1, 2)), a=np.array([[1, 2], [3, 4]]))
    return str(folder / "f.npz")


def npz_of_equal_frames(folder: Path) -> str:
    np.savez(folder / "f.npz", ids=np.array([7, 1]), values=np.arange(8).reshape(2, 2, 2))
    return str(folder / "f.npz")


def parquet_of_frames(folder: Path) -> str:
    pq.write_table(pa.table({"sample_id": ["b", "a"], "values": [[[1, 1]], [[1, 2], [3, 4]]]}), folder / "f.parquet")
    return str(folder / "f.parquet")


@pytest.mark.parametrize("source", [npz_of_frames, parquet_of_frames])
def test_frames_in_every_form(files: Path, source: Callable[[Path], str]) -> None:
    feature = create(files, features={"f": source(files)}).feature("f")
    assert feature.ids.to_pylist() == ["a", "b"]
    assert feature.values.tolist() == [[1, 2], [3, 4], [1, 1]]
    assert feature.offsets is not None
    assert feature.offsets.tolist() == [0, 2, 3]


def test_integer_ids_and_frames_of_one_length(tmp_path: Path) -> None:
    feature = read_feature(npz_of_equal_frames(tmp_path))
    assert feature.ids.to_pylist() == ["1", "7"]
    assert feature.values.tolist() == [[4, 5], [6, 7], [0, 1], [2, 3]]


def save_npz(**arrays: Any) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        np.savez(folder / "f.npz", **arrays)
        return str(folder / "f.npz")

    return save


def save_parquet(**columns: Any) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        pq.write_table(pa.table(columns), folder / "f.parquet")
        return str(folder / "f.parquet")

    return save


def save_text(name: str, text: str) -> Callable[[Path], str]:
    def save(folder: Path) -> str:
        (folder / name).write_text(text)
        return str(folder / name)

    return save


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda folder: str(folder / "gone"), "no such file or folder"),
        (
            save_text("f.mat", "x"),
            "must be an .npz file, a .parquet file, or a folder of one .npy per sample",
        ),
        (save_text("f.npz", "no archive"), "cannot be read: "),
        (save_text("f.parquet", "PAR1"), "cannot be read: "),
        (lambda folder: str(folder), "no .npy file of a sample in this folder"),
        (save_npz(a=np.zeros(2), b=np.zeros(3)), "arrays that do not match 'a' (2,) (1 of 2): 'b' (3,)"),
        (save_npz(a=np.zeros(2), b=np.zeros((2, 2))), "arrays that do not match 'a' (2,) (1 of 2): 'b' (2, 2)"),
        (save_npz(a=np.zeros(())), "'a' has shape (); expected is a vector (d,) or frames (t, d)"),
        (save_npz(a=np.zeros((2, 2, 2))), "'a' has shape (2, 2, 2); expected is a vector (d,) or frames (t, d)"),
        (save_npz(a=np.array(["x"])), "arrays that are not numbers (1 of 1): 'a' <U1"),
        (
            save_npz(a=np.array([None])),
            "cannot be read: array 'a': holds Python objects (a pickle), which are not read",
        ),
        (save_npz(ids=np.array(["a"]), values=np.zeros((2, 2))), "1 sample ids and 2 rows of 'values'"),
        (save_npz(ids=np.zeros((1, 1)), values=np.zeros((1, 2))), "'ids' is float64 of shape (1, 1); "),
        (
            save_npz(ids=np.array(["a"]), text=np.zeros((1, 2)), audio=np.zeros((1, 2))),
            "no array 'values'; the file has text, audio; choose one as f.npz:ARRAY",
        ),
        (save_parquet(sample_id=["a"], x=[1.0]), "no column values; the columns are sample_id, x"),
        (save_parquet(sample_id=["a"], values=[1.0]), "'values' holds double; expected are lists of numbers"),
        (save_parquet(sample_id=["a", "b"], values=[[1.0], [1.0, 2.0]]), "the lists have different lengths: 1, 2"),
        (save_parquet(sample_id=["a", "b"], values=[[1.0], None]), "the lists have different lengths: 1, None"),
        (
            save_parquet(sample_id=["a"], values=[["x"]]),
            "the lists hold string, 0 missing; expected are numbers",
        ),
        (
            save_parquet(sample_id=["a"], values=[[1.0, None]]),
            "the lists hold double, 1 missing; expected are numbers",
        ),
    ],
)
def test_a_feature_that_cannot_be_read(files: Path, source: Callable[[Path], str], message: str) -> None:
    path = source(files)
    (problem,) = told(files, features={"f": path})
    assert problem.startswith(f"E616  feature 'f', {path}: {message}")


def test_an_array_that_is_not_there(files: Path) -> None:
    path = npz_of_bytes(files).replace(":other", ":othr")
    assert told(files, features={"f": path}) == [
        f"E616  feature 'f', {path}: no array 'othr'; the file has other; did you mean 'other'?"
    ]
    path = npz_of_samples(files)
    assert told(files, features={"f": f"{path}:x"}) == [
        f"E616  feature 'f', {path}:x: no array of sample ids; its name must be one of ids, id, name, sample_id"
    ]


def test_an_npy_file_that_is_broken(files: Path) -> None:
    path = Path(folder_of_vectors(files))
    (path / "b.npy").write_bytes(b"\x93NUMPY\x01\x00")
    (problem,) = told(files, features={"f": str(path)})
    assert problem.startswith(f"E616  feature 'f', {path}: b.npy cannot be read: ")


def test_values_too_large_for_float32_are_told(files: Path) -> None:
    np.savez(files / "f.npz", a=np.array([1e300]), b=np.array([0.0]))
    assert told(files, features={"f": str(files / "f.npz")}) == [
        "E614  feature 'f': samples with values that are not finite (1 of 2): a"
    ]


def test_all_problems_of_all_files_at_once(files: Path) -> None:
    (files / "samples.csv").write_text(
        "sample_id,split,score\na,train,1\nb,test,nan\n\na,test,2\n,test,3\nc ,,1e999\n", encoding="utf-8"
    )
    (files / "reference.csv").write_text('sample_id,valence,"y"\na,"1,5",1\nb,2,x\nz,3,2\n', encoding="utf-8")
    np.savez(files / "f.npz", a=np.array([1.0]), q=np.array([1.0]))
    features = {"f": str(files / "f.npz"), "g": str(files / "gone.npz")}
    assert told(files, reference=files / "reference.csv", features=features, rename={"nme": "id"}) == [
        "E611  no column 'nme' to rename; the columns are sample_id, split, score, sample_id, valence, y",
        f"E616  feature 'g', {files / 'gone.npz'}: no such file or folder",
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
    ]


def test_a_reference_that_is_no_number_is_no_label_either(files: Path) -> None:
    (files / "reference.csv").write_text("sample_id,mood,valence\na,happy,nan\nb,NaN,inf\nc,none,\n", encoding="utf-8")
    assert told(files, reference=files / "reference.csv") == [
        "E614  mood: reference.csv: NaN or infinity among text (1 of 3): 'NaN' (line 3); leave missing values empty",
        "E614  valence: reference.csv: NaN or infinity among text (2 of 3): 'nan' (line 2), 'inf' (line 3);"
        " leave missing values empty",
    ]


def test_a_number_too_large_is_told(files: Path) -> None:
    (files / "samples.csv").write_text("sample_id,split,x\na,t,1e999\n")
    assert told(files) == [
        "E614  x: samples.csv: values that are not finite numbers (1 of 1): inf (line 2); leave missing values empty"
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
        (b"s\0ample_id,split\na,t\n", "E610  samples.csv: holds NUL characters; save it as CSV UTF-8"),
        (
            b"name,split\na,t\n",
            "E611  samples.csv: no column 'sample_id'; the columns are name, split; rename the one that holds it",
        ),
    ],
)
def test_a_csv_that_is_none(files: Path, data: bytes, message: str) -> None:
    (files / "samples.csv").write_bytes(data)
    assert told(files) == [message]


def test_a_file_that_is_not_there(files: Path) -> None:
    assert told(files, samples=files / "gone.csv", reference=files / "lost.csv") == [
        f"E610  {files / 'gone.csv'}: cannot be read: No such file or directory",
        f"E610  {files / 'lost.csv'}: cannot be read: No such file or directory",
    ]


def test_a_target_that_is_not_there(files: Path) -> None:
    assert told(files, targets=["speakr"]) == [
        "E611  samples.csv: no column of the target speakr; the columns are sample_id, split, speaker, age, loudness, "
        "transcript; did you mean 'speaker'?"
    ]


def test_a_target_among_the_samples_too(files: Path) -> None:
    (files / "reference.csv").write_text("sample_id,split,age\na,x,1\n")
    assert told(files, reference=files / "reference.csv") == [
        "E611  age: reference.csv: the column is among the samples too, where everybody reads it; keep it in one of them"
    ]


def test_columns_renamed_to_one_name(files: Path) -> None:
    assert told(files, rename={"age": "speaker"}) == ["E611  samples.csv: duplicate columns: speaker"]


def test_metadata_are_checked_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as error:
        create(tmp_path, name="../up", version="one", samples=tmp_path / "gone")
    assert [problem.column for problem in error.value.problems] == ["name", "version"]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "x").write_text("")
    with pytest.raises(UsageError, match="already exists"):
        create(tmp_path)


@pytest.mark.real_data
def test_mosi_comes_in_as_it_is(tmp_path: Path, test_data: Path) -> None:
    folder = test_data / "data" / "features"
    corpus = create_corpus(
        tmp_path / "mosi",
        name="mosi",
        samples=folder / "mosi_meta.csv",
        rename={"id": "sample_id", "split_feature": "split", "video": "speaker", "text_eng": "transcript"},
        targets=["sentiment", "label_nonneg"],
        features={name: f"{folder / 'mosi_trimodal.npz'}:{name}" for name in ("text", "audio", "video")},
        language="en",
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
