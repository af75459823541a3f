"""Files other than submissions that ask for far more than they weigh."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from merbench.corpus import feature
from merbench.corpus.delimited import read_delimited
from merbench.corpus.feature import read_feature
from merbench.corrupt.manifest import JOURNAL, read_manifest, read_progress
from merbench.errors import DeclarationError, IntegrityError, InvalidLexicon, MalformedFile, Problem, UsageError
from merbench.files.reading import read_parquet
from merbench.files.toml import parse_toml, read_toml
from merbench.leaderboard.build import Cache
from merbench.lexicon.importing import read_release


def test_a_toml_file_of_more_than_a_megabyte(tmp_path: Path) -> None:
    path = tmp_path / "track.toml"
    path.write_text("#" * 1_000_001)
    with pytest.raises(UsageError) as caught:
        read_toml(path)
    assert str(caught.value) == f"{path}: cannot be read: contains more than 1,000,000 bytes"


LONG_KEY = "a." * 33 + "a"
KEYS = [part * 33 + "a" for part in ("a . ", '"=".', '"{".', r'"\",".', "'#'.", '"".')]


@pytest.mark.parametrize(
    "text",
    [
        *(f"{key} = 1" for key in (LONG_KEY, *KEYS)),
        f"[{LONG_KEY}]",
        f"b = {{ c = 1, {LONG_KEY} = 1 }}",
        f'b = """"c"""""\n{LONG_KEY} = 1',
        f"b = '''\"'''''\n{LONG_KEY} = 1",
        f'#"\n{LONG_KEY} = 1',
    ],
)
def test_a_key_of_many_parts_is_never_read(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def loads(text: str) -> None:
        raise AssertionError("with 20,000 parts this takes 2.3 GB")

    monkeypatch.setattr(tomllib, "loads", loads)
    with pytest.raises(DeclarationError, match="not a TOML file: nested too deeply"):
        parse_toml("track.toml", text.encode())


@pytest.mark.parametrize("text", ["'{}'", '"{}"', "'''\n{}\n'''", '"""\\"\n{}"""', "1 # {}"])
def test_dots_in_a_text_are_not_parts_of_a_key(text: str) -> None:
    toml = f"a = {text.format('.' * 600)}"
    assert parse_toml("track.toml", toml.encode()) == tomllib.loads(toml)


def test_a_toml_file_that_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(text: str) -> None:
        raise MemoryError

    monkeypatch.setattr(tomllib, "loads", loads)
    with pytest.raises(DeclarationError, match="not a TOML file: "):
        parse_toml("track.toml", b"a = 1")


def test_numbers_of_a_list_are_not_parts_of_a_key() -> None:
    assert parse_toml("track.toml", f"a = [{', '.join(['1.5'] * 600)}]".encode()) == {"a": [1.5] * 600}


def parquet(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path)
    return path


def test_a_table_of_ten_million_rows_in_some_bytes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", pa.table({"x": pa.nulls(10_000_001)}))
    with pytest.raises(MalformedFile, match=r"^asks for 10,000,001 rows; 10,000,000 are allowed$"):
        read_parquet(path)


def test_a_table_of_many_cells(tmp_path: Path) -> None:
    column = pa.nulls(1_000_001)
    path = parquet(tmp_path / "t.parquet", pa.table({f"c{i}": column for i in range(100)}))
    with pytest.raises(MalformedFile, match=r"^asks for 100,000,100 cells"):
        read_parquet(path)


def test_a_manifest_of_two_million_rows(tmp_path: Path) -> None:
    path = parquet(tmp_path / "m.parquet", pa.table({"sample_id": pa.nulls(2_000_001)}))
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    assert str(caught.value) == f"{path}: cannot be read: asks for 2,000,001 rows; 2,000,000 are allowed"


def test_a_journal_of_one_long_line(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text(json.dumps({"a": "x" * (1 << 20)}) + "\n")
    with pytest.raises(IntegrityError, match="has too long a line, or too many"):
        read_progress(tmp_path)


def test_a_corpus_table_of_ten_million_lines(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(b"x\n" * 10_000_001)
    problems: list[Problem] = []
    assert read_delimited(path, problems) is None
    allowed = "10,000,000 lines, and 30,000,000 of both, are allowed"
    assert problems == [Problem("E610", f"samples.csv: has 10,000,001 lines and 0 delimiters; at most {allowed}")]


def test_gaps_of_a_sheet_are_cells(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in range(1, 70):
        book.active.cell(row, 16_384, "word")  # the last column there is: 69 · 16,384 > 1,000,000
    book.save(tmp_path / "wheel1.xlsx")
    with pytest.raises(InvalidLexicon, match=r"E620  wheel1\.xlsx: cannot be read: contains more than 1,000,000 cells"):
        read_release(tmp_path)


@pytest.mark.parametrize("name", ["f.npz", "folder"])
def test_a_feature_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(feature, "MOST_FEATURE_BYTES", 1000)
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "folder" / "a.npy", np.zeros(1000))
    np.savez_compressed(tmp_path / "f.npz", a=np.zeros(1000))
    with pytest.raises(UsageError, match=r"8,128 bytes; .*1,000 are allowed"):
        read_feature(str(tmp_path / name))


def test_a_remembered_value_that_is_too_large_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    assert cache.remembered(["key"], lambda: 1) == 1
    assert cache.remembered(["key"], lambda: 2) == 1
    monkeypatch.setattr("merbench.leaderboard.build.MOST_CACHED_BYTES", 10)
    assert cache.remembered(["key"], lambda: 2) == 2
