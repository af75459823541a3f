"""Corpora by name: found in the data home, or built on first use (what they share with other stores: test_store)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from merbench.corpus import (
    CORPORA,
    Builder,
    Contents,
    Corpus,
    Metadata,
    open_corpus,
    own_folder,
    verify_corpus,
    write_corpus,
)
from merbench.errors import DeclarationError, UnknownName, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home" / "corpora"


def write(folder: Path, name: str, version: str = "1.0", synthetic: bool = False) -> Corpus:
    samples = pa.table({"sample_id": ["a"], "split": ["test"]})
    metadata = Metadata(name=name, version=version, source="", licence="", synthetic=synthetic)
    return write_corpus(folder, metadata, Contents(samples))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Register a builder of version 1.10; return the folders it has built into."""
    built: list[Path] = []

    def build(folder: Path) -> Corpus:
        built.append(folder)
        return write(folder, "toy", "1.10", synthetic=True)

    monkeypatch.setitem(CORPORA.builders._items, "toy", lambda: Builder("1.10", build))  # type: ignore[union-attr]
    return built


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mien", "did you mean 'mine'? (known: mine, sample); add your own data with `merbench corpus create`"),
        ("mer2023", "(known: mine, sample); import the released files with `merbench corpus import mer2023 PATH`"),
    ],
)
def test_an_unknown_name_gets_the_nearest_and_a_remedy(home: Path, name: str, message: str) -> None:
    write(home / "mine", "mine")
    with pytest.raises(UnknownName) as error:
        open_corpus(name)
    assert str(error.value).endswith(message)


def test_the_folder_of_a_name_contains_a_corpus_of_that_name(home: Path) -> None:
    write(home / "mine", "other")
    with pytest.raises(
        DeclarationError, match="E207  name: 'other' differs from the folder's name, 'mine'; they must be"
    ):
        open_corpus("mine")


@pytest.mark.parametrize(
    ("stored", "synthetic", "opened"),
    [("1.9", True, "1.10"), ("0.1", False, "0.1")],
)
def test_only_an_older_build_is_replaced(
    home: Path, toy: list[Path], stored: str, synthetic: bool, opened: str
) -> None:
    write(home / "toy", "toy", stored, synthetic)
    assert open_corpus("toy").version == opened
    assert len(toy) == (stored == "1.9")


def test_the_name_of_a_built_corpus_is_taken(home: Path) -> None:
    assert own_folder("mine") == home / "mine"
    with pytest.raises(UsageError, match=r"^'sample' is a corpus that merbench builds itself; choose another name$"):
        own_folder("sample")


@pytest.mark.slow
def test_processes_that_build_at_the_same_time_get_one_complete_corpus(home: Path) -> None:
    # As the command line does, it ends at once: Arrow's threads abort an interpreter that ends slowly, now and then.
    code = (
        "import os; from merbench.corpus import open_corpus; "
        "print(open_corpus('sample').samples().num_rows, flush=True); os._exit(0)"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    arguments: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    running = [subprocess.Popen([sys.executable, "-c", code], **arguments) for _ in range(3)]
    results = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len({out for out, _ in results}) == 1
    assert "".join(err for _, err in results) == f"building the sample corpus in {home / 'sample'}\n"
    assert verify_corpus(open_corpus("sample")) == []
    assert sorted(path.name for path in home.iterdir()) == [".sample.lock", "sample"]
