"""Files: whole or not at all, checked as they are read, and no pickle that runs anything."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import time
import tomllib
import warnings
import zipfile
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peak_memory import peak_bytes

from merbench.errors import IntegrityError, MalformedFile, OutputError, UnknownName, UsageError
from merbench.files.paths import data_home, find_folder, require_apart, resolve_inside
from merbench.files.pickles import read_pickled_npy, read_pickled_npz, restricted_unpickle
from merbench.files.reading import read_bounded, read_verified, sha256_bytes, sha256_file
from merbench.files.toml import toml_key, toml_text, toml_value
from merbench.files.writing import atomic_folder, atomic_path, exclusive, write_text


def npy(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(value, **options), allow_pickle=True)
    return file.getvalue()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.slow
@given(st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS) | st.booleans() | st.dictionaries(TEXTS, TEXTS)))
def test_written_toml_is_read_back(content: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(content)) == content


@given(TEXTS, TEXTS | st.lists(TEXTS))
def test_a_value_of_toml_is_one_line(key: str, value: str | list[str]) -> None:
    line = f"{toml_key(key)} = {toml_value(value)}"
    assert tomllib.loads(line) == {key: value}
    assert "\n" not in line


class TestDigests:
    def test_of_bytes_and_file(self, tmp_path: Path) -> None:
        # The digest of "abc" is the first test vector of FIPS 180-2.
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        (tmp_path / "f").write_bytes(b"abc")
        assert sha256_bytes(b"a", b"bc") == sha256_file(tmp_path / "f") == expected
        assert read_verified(tmp_path / "f", expected) == b"abc"

    def test_another_one_and_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"abc")
        with pytest.raises(IntegrityError) as error:
            read_verified(tmp_path / "f", "0" * 64)
        digests = "sha256 ba7816bf8f01…, recorded 000000000000…"
        assert str(error.value) == f"{tmp_path / 'f'}: the file changed: {digests}"
        with pytest.raises(IntegrityError, match=r"/g: the file is recorded but missing$"):
            read_verified(tmp_path / "g", "0" * 64)


class TestWriting:
    def test_a_file_appears_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "f.txt"
        write_text(path, "old")
        with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
        assert path.read_text() == "old"
        assert list(path.parent.iterdir()) == [path]

    def test_a_device_is_written_directly(self) -> None:
        write_text(Path(os.devnull), "x")
        assert not Path(os.devnull).is_file()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full: a device that is always full")
    def test_a_full_device(self) -> None:
        with pytest.raises(OutputError, match=r"^/dev/full: cannot be written: No space left on device$"):
            write_text(Path("/dev/full"), "x")

    def test_a_folder_appears_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "folder"
        with pytest.raises(KeyboardInterrupt), atomic_folder(path) as temporary:
            (temporary / "f").write_text("half")
            raise KeyboardInterrupt
        assert list(path.parent.iterdir()) == []
        path.mkdir()
        with atomic_folder(path) as temporary:
            (temporary / "f").write_text("whole")
        assert (path / "f").read_text() == "whole"
        other = tmp_path / "other"
        message = rf"^{re.escape(str(other))}/file: cannot be written: No space left on device$"
        with (
            pytest.raises(OutputError, match=message),
            atomic_folder(other) as temporary,
            atomic_path(temporary / "file"),
        ):
            raise OSError(28, "the words of a library on [errno 28]")
        with pytest.raises(OutputError, match=r"/folder: already exists$"), atomic_folder(path):
            pass

    def test_a_folder_is_replaced_as_a_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "folder"
        path.mkdir()
        (path / "old").write_text("old")
        with pytest.raises(OutputError, match="No space"), atomic_folder(path, replace=True) as temporary:
            raise OSError(28, "No space left on device")
        assert [file.name for file in path.iterdir()] == ["old"]
        with atomic_folder(path, replace=True) as temporary:
            (temporary / "new").write_text("new")
        assert [file.name for file in path.iterdir()] == ["new"]
        assert list(tmp_path.iterdir()) == [path]

    def test_a_replaced_folder_comes_back_when_the_rename_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "folder"
        path.mkdir()
        (path / "old").write_text("old")

        def fail(*_: Any) -> None:
            raise OSError(16, "Device or resource busy")

        monkeypatch.setattr(Path, "rename", fail)
        with pytest.raises(OutputError, match=r"Device or resource busy$"), atomic_folder(path, replace=True):
            pass
        assert (path / "old").read_text() == "old"
        assert list(tmp_path.iterdir()) == [path]

    def test_two_that_write_one_folder_do_not_mix(self, tmp_path: Path) -> None:
        path = tmp_path / "folder"
        with pytest.raises(OutputError, match="/folder: cannot be written: "), atomic_folder(path) as mine:
            (mine / "mine").write_text("")
            with atomic_folder(path) as other:
                (other / "other").write_text("")
        assert [file.name for file in path.iterdir()] == ["other"]

    @pytest.mark.slow
    def test_a_lock_is_held_by_one_process_at_a_time(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from merbench.files.writing import exclusive\n"
            "with exclusive(Path(sys.argv[1])): Path(sys.argv[2]).write_text('second')"
        )
        with exclusive(tmp_path / "new" / ".lock"):
            second = subprocess.Popen([sys.executable, "-c", code, tmp_path / "new" / ".lock", tmp_path / "out"])
            time.sleep(1)
            assert not (tmp_path / "out").exists()
            (tmp_path / "out").write_text("first")
        assert second.wait(timeout=60) == 0
        assert (tmp_path / "out").read_text() == "second"

    def test_a_lock_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="cannot be written"), exclusive(tmp_path / "file" / ".lock"):
            pass


def test_the_data_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path))
    assert data_home() == tmp_path
    monkeypatch.delenv("MERBENCH_HOME")
    assert data_home().name == "merbench"


def test_a_path_stays_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path)
    assert resolve_inside(tmp_path / "inside", "a/b") == (tmp_path / "inside" / "a" / "b").resolve()
    for member in ("../x", "link/x", "a/../../x", "/etc/passwd"):
        with pytest.raises(UsageError) as error:
            resolve_inside(tmp_path / "inside", member)
        assert str(error.value) == f"{member}: leads out of {tmp_path / 'inside'}"


DTYPE = b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0f8\x85R"
ARRAY = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R"


class TestPickles:
    @pytest.mark.parametrize("protocol", range(5))
    def test_plain_values_come_back(self, protocol: int) -> None:
        value = {"a": [1, 2.5, None, True], "b": ("x", b"y"), "n": np.float64(1.5), "v": np.arange(3), "s": {1, 2}}
        if protocol < 4:
            del value["s"]  # before protocol 4 a set is a call of builtins.set
        found = restricted_unpickle(io.BytesIO(pickle.dumps(value, protocol)))
        assert found.keys() == value.keys()
        assert all(np.array_equal(found[key], value[key]) for key in ("n", "v"))
        assert all(found[key] == value[key] for key in value if key not in ("n", "v"))

    @pytest.mark.parametrize(
        ("data", "name"),
        [
            (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
            (b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval"),
            (b"c__builtin__\nexec\n(S'1'\ntR.", "__builtin__.exec"),
            (b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.", "builtins.getattr"),
            (b"cnumpy\ndtype.__class__\n.", "numpy.dtype.__class__"),
            (b"cnumpy\nload\n.", "numpy.load"),
            (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
            (pickle.dumps(OrderedDict(a=1)), "collections.OrderedDict"),
            (pickle.dumps(Path), f"{Path.__module__}.Path"),
        ],
    )
    def test_any_other_global_is_refused_by_name(self, data: bytes, name: str) -> None:
        with pytest.raises(UsageError) as error:
            restricted_unpickle(io.BytesIO(data))
        assert str(error.value) == f"the pickle asks for {name}, which is not allowed"

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            # numpy.ndarray((1,), dtype("O"), b"12345678"): eight bytes read as a pointer.
            (b"\x80\x02cnumpy\nndarray\nK\x01\x85cnumpy\ndtype\nX\x02\0\0\0O8\x85RC\x0812345678\x87R.", "a call with other arguments than NumPy writes"),
            (DTYPE + b"(K\x03X\x01\0\0\0|NX\x01\0\0\0a\x85}X\x01\0\0\0aK\x01J@B\x0f\0\x86sK\x08K\x01K\x1btb.", "a state of another form than NumPy writes"),
            (ARRAY + b"(K\x01J\0\xca\x9a\x3b\x85" + DTYPE[2:] + b"\x89C\x08abcdefghtb.", "an array of shape (1000000000,) that is not in the file"),
            (ARRAY + b"(K\x01K\x01\x85cnumpy\ndtype\nX\x02\0\0\0O8\x85R\x89C\x08abcdefghtb.", "an array of another state than NumPy writes"),
            (b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0U1\x85RC\x04\xff\xff\xff\xff\x86R.", "its text contains numbers that are not characters"),
            (b"\x80\x02cnumpy\ndtype\nX\x0a\0\0\0V100000000\x85R.", "items of the type |V100000000"),
            (b"\x80\x02cnumpy\ndtype\n]X\x01\0\0\0a\x85a\x85R.", "a call with other arguments than NumPy writes"),
            (b"\x80\x05\x96\0\0\0\x40\0\0\0\0.", "expected 1073741824 bytes in a bytearray8, but only 1 remain"),
            (b"\x80\x02\x85.", "an operation without its operands"),
            (b"\x80\x05\x97.", "the operation NEXT_BUFFER is not allowed"),
            (b"\x80\x02\x8b\x20\0\0\0" + b"\x7f" * 32 + b".", "an integer of more than 64 bits"),
            (b"\x80\x02})" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60)) + b"Ns.", "a key that is a tuple"),
            (b"\x80\x02X\x03\0\0\0\xed\xa0\x80.", "'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed"),
        ],
    )  # fmt: skip
    def test_what_numpy_and_pickle_would_do_with_it_is_refused(self, data: bytes, reason: str) -> None:
        before = peak_bytes()
        with pytest.raises(UsageError) as error:
            restricted_unpickle(io.BytesIO(data))
        assert str(error.value) == f"the pickle cannot be read: {reason}"
        assert peak_bytes() - before < 50_000_000

    def test_a_memo_contains_what_was_stored_and_no_more(self) -> None:
        before = peak_bytes()
        assert restricted_unpickle(io.BytesIO(b"\x80\x04Nr\xff\xff\xff\x0b.")) is None
        assert peak_bytes() - before < 50_000_000

    def test_types_of_another_byte_order_come_back(self) -> None:
        value = {"a": np.arange(3, dtype=">i4"), "b": np.array(["ä"], dtype=">U1"), "c": np.float32(1.5)}
        found = restricted_unpickle(io.BytesIO(pickle.dumps(value, 4)))
        assert [array.tolist() for array in found.values()] == [[0, 1, 2], ["ä"], 1.5]

    def test_an_npy_of_a_dictionary_is_its_item(self) -> None:
        assert read_pickled_npy(npy({"a": 1}, dtype=object)) == {"a": 1}

    def test_an_npy_of_numbers_or_objects_is_an_array(self) -> None:
        assert read_pickled_npy(npy([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
        fortran = np.array([["a", 1], [None, "b"]], dtype=object, order="F")
        assert read_pickled_npy(npy(fortran)).tolist() == [["a", 1], [None, "b"]]

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", ""),
            (b"\x93NUMPY\x01\x00\x02\x00{}", ""),
            (npy([1, 2, 3])[:-8], ""),
            (npy(["a", "b"], dtype=object).replace(b"'shape': (2,)", b"'shape': (9,)"), "cannot reshape"),
            (npy([1, 2, 3]).replace(b"(3,), }" + b" " * 7, b"(99999999,), }"), "its header asks for an array of shape (99999999,), which is not in the file"),
        ],
    )  # fmt: skip
    def test_an_npy_that_is_none(self, data: bytes, reason: str) -> None:
        with pytest.raises(UsageError, match=re.escape(f"not an .npy file: {reason}")):
            read_pickled_npy(data)

    def test_an_npz(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "f.npz", x=np.array({"a": 1}, dtype=object), y=np.arange(2))
        members = read_pickled_npz(tmp_path / "f.npz")
        assert members["x"] == {"a": 1}
        assert members["y"].tolist() == [0, 1]

    def test_an_npz_that_unpacks_to_too_much(self, tmp_path: Path) -> None:
        np.savez_compressed(tmp_path / "f.npz", x=np.zeros(10_000, np.int8))
        with pytest.raises(UsageError, match=r"f\.npz, member 'x\.npy': unpacks to 10,128 bytes; allowed: 1,000$"):
            read_pickled_npz(tmp_path / "f.npz", max_bytes=1000)

    def test_an_npz_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "f.npz"
        path.write_bytes(b"no archive")
        with pytest.raises(
            UsageError, match=r"f\.npz: cannot be read as an NPZ archive: not a ZIP archive, or one that is cut off$"
        ):
            read_pickled_npz(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", pickle.dumps({"a": 1}))
        with pytest.raises(UsageError, match=r"f\.npz, member 'x\.npy': not an \.npy file: "):
            read_pickled_npz(path)
        with pytest.raises(UsageError, match=r"g\.npz: cannot be read as an NPZ archive: "):
            read_pickled_npz(tmp_path / "g.npz")
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
            warnings.simplefilter("ignore")
            archive.writestr("x.npy", npy([1]))
            archive.writestr("x", npy([2]))
        with pytest.raises(
            UsageError, match=r"f\.npz: cannot be read as an NPZ archive: contains two members for the array 'x'$"
        ):
            read_pickled_npz(path)


def test_a_folder_of_that_name_without_its_declaration_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("MERBENCH_BASELINES", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        find_folder("baseline", "own")
    assert str(caught.value) == f"{tmp_path / 'own'}: no baseline.toml in this folder"
    with pytest.raises(UnknownName, match="no baseline named 'owm'"):
        find_folder("baseline", "owm")
    (tmp_path / "own" / "baseline.toml").touch()
    assert find_folder("baseline", "own") == tmp_path / "own"


@pytest.mark.parametrize("noun", ["track", "baseline"])
def test_a_bare_name_never_means_a_folder_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noun: str
) -> None:
    trusted, here = tmp_path / "trusted", tmp_path / "here"
    for folder in (trusted / "own", here / "own", here / "new"):
        folder.mkdir(parents=True)
        (folder / f"{noun}.toml").touch()
    monkeypatch.setenv(f"MERBENCH_{noun.upper()}S", str(trusted))
    monkeypatch.chdir(here)
    assert find_folder(noun, "own") == trusted / "own"
    for path in ("./own", "../here/own", f"own/{noun}.toml", Path("own"), here / "own"):
        assert find_folder(noun, path).resolve() == here / "own"
    with pytest.raises(UnknownName):
        find_folder(noun, "")
    with pytest.raises(UnknownName, match=r"the working directory has one: write \./new$"):
        find_folder(noun, "new")
    with pytest.raises(UsageError, match=f"^{noun} 'x*': File name too long$"):
        find_folder(noun, "x" * 300)
    monkeypatch.chdir("own")
    assert find_folder(noun, ".").resolve() == here / "own"
    with pytest.raises(UnknownName, match=rf"write \./{noun}\.toml$"):
        find_folder(noun, f"{noun}.toml")
    with pytest.raises(UsageError, match=r"^none/such: no such folder$"):
        find_folder(noun, "none/such")


def test_an_output_is_none_of_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = tmp_path / "runs" / "a.csv"
    read.parent.mkdir()
    read.touch()
    for output in ("-", "new.csv", "runs/b.csv", os.devnull):
        require_apart(output, ["-", read, "no-such.csv"], "the submission itself")
    for output in (Path("runs/a.csv"), Path("runs/../runs/a.csv"), read):
        with pytest.raises(UsageError) as caught:
            require_apart(output, ["-", read], "the submission itself")
        assert str(caught.value) == f"{output} is the submission itself; name another output"
    with pytest.raises(UsageError, match=r"^runs contains one of the runs; name another output$"):
        require_apart("runs", [read], "one of the runs")


def test_what_utf8_cannot_hold_is_not_toml() -> None:
    with pytest.raises(UsageError, match=r"^source = \"a\\udcff\": is not text in UTF-8$"):
        toml_text({"name": "a", "source": "a\udcff"})


BUILDER = """
import sys, time
from pathlib import Path
from merbench.files.writing import atomic_folder, atomic_path
with atomic_folder(Path("corpus"), replace=True) as temporary, atomic_path(Path("feature.parquet")) as file:
    (temporary / "half").write_text("half")
    print("building", flush=True)
    time.sleep(60)
"""


def _building(folder: Path) -> subprocess.Popen[str]:
    """Return a process that is building in a folder."""
    process = subprocess.Popen([sys.executable, "-c", BUILDER], cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "building\n"
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_is_not(tmp_path: Path) -> None:
    living, dead = (_building(tmp_path) for _ in range(2))
    dead.kill()
    dead.communicate()
    with atomic_folder(tmp_path / "other"):
        pass
    left = sorted(path.name.split(".merbench-")[0] for path in tmp_path.iterdir())
    living.kill()
    living.communicate()
    assert left == [".corpus", ".feature", "other"]
    with atomic_folder(tmp_path / "another"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "other"]


KILLED_WHILE_REPLACING = """
import os, signal
from pathlib import Path
from merbench.files.writing import atomic_folder
def rename(self, target):
    os.kill(os.getpid(), signal.SIGKILL) if str(target) == "corpus" else os.rename(self, target)
Path.rename = rename
with atomic_folder(Path("corpus"), replace=True) as temporary:
    (temporary / "new").write_text("new")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
def test_what_was_moved_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "old").write_text("old")
    subprocess.run([sys.executable, "-c", KILLED_WHILE_REPLACING], cwd=tmp_path, check=False)
    assert not (tmp_path / "corpus").exists()
    with atomic_folder(tmp_path / "other"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "other"]
    assert (tmp_path / "corpus" / "old").read_text() == "old"


KILLED_BEFORE_LOCKING = """
import os, signal
from pathlib import Path
from merbench.files import writing
from merbench.files.writing import atomic_folder, atomic_path
writing._try_lock = lambda _: os.kill(os.getpid(), signal.SIGKILL)
with atomic_%s(Path("corpus.parquet")):
    pass
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked")
@pytest.mark.parametrize("kind", ["folder", "path"])
def test_what_a_process_left_that_was_killed_before_it_locked_anything(tmp_path: Path, kind: str) -> None:
    subprocess.run([sys.executable, "-c", KILLED_BEFORE_LOCKING % kind], cwd=tmp_path, check=False)
    (left,) = tmp_path.iterdir()
    with atomic_folder(tmp_path / "other"):
        pass
    assert left.exists()  # a living process may be about to lock it
    an_hour_ago = time.time() - 3600
    os.utime(left, (an_hour_ago, an_hour_ago))
    with atomic_folder(tmp_path / "another"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another", "other"]


def test_hidden_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / ".editor.settings").write_text("mine")
    with atomic_folder(tmp_path / "corpus"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".editor.settings", "corpus"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a named pipe")
def test_a_bound_takes_no_memory_and_holds_for_files_without_a_size(tmp_path: Path) -> None:
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    assert read_bounded(path, 1 << 60) == read_bounded(path, 3) == b"abc"
    with pytest.raises(MalformedFile, match="contains more than 2 bytes"):
        read_bounded(path, 2)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for most, n in ((1 << 60, 3_000_000), (3_000_000, 3_000_000), (2_999_999, None)):
        with ThreadPoolExecutor(1) as pool:
            written = pool.submit(_write, pipe, b"x" * 3_000_000)
            if n is None:
                with pytest.raises(MalformedFile, match="contains more than 2,999,999 bytes"):
                    read_bounded(pipe, most)
            else:
                assert len(read_bounded(pipe, most)) == n
            written.result()


def _write(path: Path, data: bytes) -> None:
    with suppress(BrokenPipeError):
        path.write_bytes(data)
