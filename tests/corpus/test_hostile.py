"""Random and mutated files: a clear message or a valid corpus, never anything else."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merbench.corpus import Corpus, read_corpus
from merbench.corpus.delimited import read_delimited, to_table
from merbench.corpus.feature import Feature
from merbench.corpus.feature_file import read_feature
from merbench.corpus.tables import Contents
from merbench.errors import DeclarationError, Problem, UsageError
from merbench.files import read_pickled_npz

N_INPUTS = 2000

CSV = b'sample_id,split,x,transcript\r\na,train,1,"he said ""no"""\nb,test,-2.5e3,\nc,test,,"two\nlines"\n'


def npz(*, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, ids=np.array(["a", "b"]), values=np.arange(6, dtype=np.float32).reshape(2, 3))
    return file.getvalue()


def pickled_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, train_corpus=np.array({"a": {"emo": "sad", "val": 1.0}}, dtype=object))
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"sample_id": ["a", "b"], "values": [[1.0, 2.0], [3.0, 4.0]]}), file)
    return file.getvalue()


def mutations(data: bytes, seed: int) -> Iterator[bytes]:
    """Yield data with bytes changed, cut, doubled or put in, and now and then bytes of no kind at all."""
    rng = random.Random(seed)
    for _ in range(N_INPUTS):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(mutated) + 1)
            match rng.randrange(5):
                case 0:
                    mutated[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del mutated[at : at + rng.randint(1, 20)]
                case 2:
                    mutated[at:at] = mutated[at : at + 10]
                case 3:
                    mutated[at:at] = rng.choice([b'"', b",", b"\n", b"\0", b"\r", b"\xff\xfe", b"nan", b"1e999", b"-"])
                case _:
                    del mutated[at:]
        yield bytes(mutated) if rng.random() > 0.02 else rng.randbytes(rng.randrange(200))


def test_csv_files(tmp_path: Path) -> None:
    good = 0
    for data in mutations(CSV, seed=1):
        (tmp_path / "s.csv").write_bytes(data)
        problems: list[Problem] = []
        cells = read_delimited(tmp_path / "s.csv", problems)
        if cells is None:
            assert problems
            continue
        contents = Contents(to_table(cells, cells.header, problems), None, {}, samples_origin=cells.origin)
        problems += contents.problems()
        assert all(problem.code.startswith("E6") for problem in problems)
        if not problems:
            good += 1
            assert contents.normalised().samples.num_rows == len(cells.rows)
    assert good > 50


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("f.npz", npz()),
        ("g.npz", npz(compressed=True)),
        ("h.npz", pickled_npz()),
        ("f.parquet", parquet()),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_feature_files(tmp_path: Path, name: str, data: bytes) -> None:
    for mutated in mutations(data, seed=2):
        (tmp_path / name).write_bytes(mutated)
        try:
            feature = read_feature(str(tmp_path / name))
        except UsageError as error:
            assert str(error)
        else:
            assert isinstance(feature, Feature)


def test_pickled_archives(tmp_path: Path) -> None:
    for mutated in mutations(pickled_npz(), seed=3):
        (tmp_path / "f.npz").write_bytes(mutated)
        try:
            assert isinstance(read_pickled_npz(tmp_path / "f.npz"), dict)
        except UsageError as error:
            assert str(error).startswith(str(tmp_path / "f.npz"))


def test_declarations(corpus: Corpus) -> None:
    path = corpus.folder / "corpus.toml"
    for mutated in mutations(path.read_bytes(), seed=4):
        path.write_bytes(mutated)
        try:
            assert read_corpus(corpus.folder).name
        except DeclarationError as error:
            assert error.problems
