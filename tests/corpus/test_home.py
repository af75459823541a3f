"""Corpora by name: found in the data home, or built on first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from merbench.corpus import (
    BUILDERS,
    Builder,
    Contents,
    Corpus,
    Metadata,
    build_corpus,
    corpora_home,
    list_corpora,
    open_corpus,
    own_folder,
    verify_corpus,
    write_corpus,
)
from merbench.errors import DeclarationError, OutputError, UnknownName, UsageError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def write(folder: Path, name: str, version: str = "1.0", synthetic: bool = False) -> Corpus:
    samples = pa.table({"sample_id": ["a"], "split": ["test"]})
    metadata = Metadata(name=name, version=version, source="", licence="", synthetic=synthetic)
    return write_corpus(folder, metadata, Contents(samples))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Register a builder of version 1.10 for the length of a test; return the folders it has built into."""
    built: list[Path] = []

    def build(folder: Path) -> Corpus:
        built.append(folder)
        return write(folder, "toy", "1.10", synthetic=True)

    monkeypatch.setitem(BUILDERS._items, "toy", lambda: Builder("1.10", build))
    return built


def test_a_name_is_looked_up_in_the_data_home(home: Path) -> None:
    write(home / "corpora" / "mine", "mine")
    assert open_corpus("mine").folder == home / "corpora" / "mine"
    assert list_corpora() == ("mine", "sample")


def test_a_path_starts_from_the_given_folder(tmp_path: Path) -> None:
    write(tmp_path / "track" / "corpus", "mine")
    assert open_corpus("./corpus", relative_to=tmp_path / "track").name == "mine"
    assert open_corpus("track/corpus").name == "mine"
    assert open_corpus(tmp_path / "track" / "corpus", relative_to=tmp_path / "elsewhere").name == "mine"
    assert open_corpus(Path("corpus"), relative_to=tmp_path / "track").name == "mine"


def test_an_unknown_name_is_told_with_the_nearest_and_what_to_do(home: Path, tmp_path: Path) -> None:
    write(home / "corpora" / "mine", "mine")
    with pytest.raises(UnknownName) as error:
        open_corpus("mien")
    assert str(error.value) == (
        "no corpus named 'mien'; did you mean 'mine'? (known: mine, sample); own data come in with "
        "`merbench corpus create`"
    )
    with pytest.raises(UnknownName, match=r"import the released files with `merbench corpus import mer2023 PATH`$"):
        open_corpus("mer2023")
    write(tmp_path / "here", "here")
    with pytest.raises(UnknownName, match=r"there is a corpus folder of this name here: write \./here$"):
        open_corpus("here")


def test_a_path_that_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^nowhere/corpus: there is no such folder$"):
        open_corpus("nowhere/corpus")


def test_the_folder_of_a_name_holds_a_corpus_of_that_name(home: Path) -> None:
    write(home / "corpora" / "mine", "other")
    with pytest.raises(
        DeclarationError, match="E207  name: 'other' is not the folder's name, 'mine'; they must be equal"
    ):
        open_corpus("mine")


def test_built_on_first_use_and_once(home: Path, toy: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert open_corpus("toy").version == "1.10"
    assert open_corpus("toy").version == "1.10"
    assert len(toy) == 1
    captured = capsys.readouterr()
    assert captured.err == f"building the synthetic toy corpus in {home / 'corpora' / 'toy'}\n"
    assert captured.out == ""


@pytest.mark.parametrize(("stored", "opened"), [("1.9", "1.10"), ("1.10", "1.10"), ("1.11", "1.11")])
def test_an_older_one_is_replaced_and_a_newer_one_stays(toy: list[Path], stored: str, opened: str) -> None:
    write(corpora_home() / "toy", "toy", stored, synthetic=True)
    assert open_corpus("toy").version == opened


def test_an_own_corpus_under_the_name_stays(toy: list[Path]) -> None:
    write(corpora_home() / "toy", "toy", "0.1", synthetic=False)
    assert open_corpus("toy").version == "0.1"
    assert toy == []


def test_a_build_that_fails_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> Corpus:
        write(folder, "toy")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(BUILDERS._items, "toy", lambda: Builder("1.0", fail))
    with pytest.raises(OutputError, match=r"corpora/toy: cannot be written: No space left on device$"):
        open_corpus("toy")
    assert [path.name for path in (home / "corpora").iterdir()] == [".toy.lock"]
    assert list_corpora() == ("sample", "toy")


def test_building_on_request_overwrites_on_request(tmp_path: Path, toy: list[Path]) -> None:
    assert build_corpus("toy", tmp_path / "t").version == "1.10"
    with pytest.raises(UsageError, match=r"is there already; --force replaces it$"):
        build_corpus("toy", tmp_path / "t")
    build_corpus("toy", tmp_path / "t", replace=True)
    assert len(toy) == 2
    with pytest.raises(UnknownName, match=r"^no corpus builder named 'toi'; did you mean 'toy'"):
        build_corpus("toi", tmp_path / "u")


def test_the_name_of_a_built_corpus_is_taken() -> None:
    assert own_folder("mine") == corpora_home() / "mine"
    with pytest.raises(UsageError, match=r"^'sample' is a corpus that merbench builds itself; choose another name$"):
        own_folder("sample")


def test_processes_that_build_at_once_get_one_whole_corpus(home: Path) -> None:
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
    assert (
        "".join(err for _, err in results) == f"building the synthetic sample corpus in {home / 'corpora' / 'sample'}\n"
    )
    assert verify_corpus(open_corpus("sample")) == []
    assert sorted(path.name for path in (home / "corpora").iterdir()) == [".sample.lock", "sample"]
