"""Files that are refused before they are read, and how every format is recognised by its content."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest
from blind_candidates import csv_rows, csv_text
from peak_memory import peak_bytes

from merbench.corpus.candidates import Candidates
from merbench.errors import InvalidSubmission, UsageError
from merbench.submission import Submission, read_submission

Read = Callable[..., Submission]
Refused = Callable[..., str]
Make = Callable[..., Candidates]

GOOD = csv_text(csv_rows(12))
READABLE = "a submission is CSV, TSV, JSON lines, Parquet or NPZ"


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def test_no_such_file(candidates: Candidates, tmp_path: Path) -> None:
    (tmp_path / "submission.csv").write_text(GOOD)
    for name, hint in (("submision.csv", "; did you mean 'submission.csv'?"), ("nowhere/submission.csv", "")):
        with pytest.raises(UsageError) as caught:
            read_submission(tmp_path / name, candidates)
        assert str(caught.value) == f"{tmp_path}/{name}: no such file{hint}"


def test_a_name_that_no_file_can_have_and_a_loop_of_links(candidates: Candidates, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("a\0b", "x" * 5000, str(tmp_path / "a")):
        with pytest.raises(UsageError, match="cannot be read: "):
            read_submission(name, candidates)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (".", "a folder, not a file"),
        ("/dev/zero", "a device or pipe (pass '-' to read standard input), not a file"),
        ("/dev/fd/{}", "a device or pipe (pass '-' to read standard input), not a file"),
        ("pipe", "a device or pipe (pass '-' to read standard input), not a file"),
        ("out.csv", "a link that leads out of its folder; a submission is a file of its own"),
        ("inner/up.csv", "a link that leads out of its folder; a submission is a file of its own"),
    ],
)  # fmt: skip
def test_what_is_not_a_file_of_its_own(
    candidates: Candidates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    (tmp_path / "here" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    os.mkfifo("pipe")
    reading, writing = os.pipe()
    path = path.format(reading)
    (tmp_path / "secret.csv").write_text(GOOD)
    (tmp_path / "here" / "own.csv").write_text(GOOD)
    Path("out.csv").symlink_to(tmp_path / "secret.csv")
    Path("inner/up.csv").symlink_to("../own.csv")
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(path, candidates)
    os.close(reading)
    os.close(writing)
    assert str(caught.value) == f"{path}: 1 problem\n  E102  {message}"


def test_a_link_beside_its_file_is_followed(candidates: Candidates, tmp_path: Path) -> None:
    (tmp_path / "run-1.csv").write_text(GOOD)
    (tmp_path / "latest.csv").symlink_to("run-1.csv")
    assert read_submission(tmp_path / "latest.csv", candidates).n_rows == 12


def test_a_link_of_the_system_to_standard_input_is_refused_with_the_remedy(
    candidates: Candidates, tmp_path: Path
) -> None:
    (tmp_path / "submission.csv").write_text(GOOD)
    with (tmp_path / "submission.csv").open() as file, pytest.raises(InvalidSubmission) as caught:
        read_submission(f"/dev/fd/{file.fileno()}", candidates)
    assert caught.value.problems[0].message == "a link that leads out of its folder; pass '-' to read standard input"


@pytest.mark.parametrize("n_lines", [5_000, 550_000])
def test_blank_lines_before_the_header_are_not_empty_file(read: Read, n_lines: int) -> None:
    assert read("\ufeff" + "\r\n" * n_lines + GOOD).n_rows == 12


def test_a_file_of_three_gigabytes_is_refused_from_its_size(candidates: Candidates, tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    before = peak_bytes()
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(path, candidates)
    assert str(caught.value) == f"{path}: 1 problem\n  E103  3,221,225,472 bytes; the track allows 20,000,000"
    assert peak_bytes() - before < 100_000_000


class Stdin:
    """Standard input that contains some bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


@pytest.mark.parametrize("data", [GOOD.encode(), gzip.compress(GOOD.encode()), zstd(GOOD.encode())])
def test_standard_input(candidates: Candidates, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(data))
    submission = read_submission("-", candidates)
    assert (submission.source, submission.n_rows, submission.warnings) == ("standard input", 12, ())


def test_more_standard_input_than_the_track_allows(make_candidates: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"x" * 1001))
    with pytest.raises(InvalidSubmission) as caught:
        read_submission("-", make_candidates(max_bytes=1000))
    assert str(caught.value) == ("standard input: 1 problem\n  E103  more than 1,000 bytes; the track allows 1,000")


@pytest.mark.parametrize(("compress", "name"), [(gzip.compress, "gzip"), (zstd, "zstd")])
class TestPacked:
    def test_a_text_table_is_unpacked(self, read: Read, compress: Callable[[bytes], bytes], name: str) -> None:
        suffix = {"gzip": ".gz", "zstd": ".zst"}[name]
        submission = read(compress(GOOD.encode()), f"submission.csv{suffix}")
        assert submission.digest == read(GOOD).digest
        assert submission.warnings == ()

    def test_two_streams_are_one_text(self, read: Read, compress: Callable[[bytes], bytes], name: str) -> None:
        half = len(GOOD) // 2
        data = compress(GOOD[:half].encode()) + compress(GOOD[half:].encode())
        assert read(data, f"{name}.csv").digest == read(GOOD).digest

    @pytest.mark.slow
    def test_a_bomb(self, refused: Refused, compress: Callable[[bytes], bytes], name: str) -> None:
        # 320 MB of zeros in some kB; the track allows 20 MB packed and eight times that unpacked.
        bomb = compress(b"\0" * 320_000_000)
        before = peak_bytes()
        assert refused(bomb) == ("submission.csv: 1 problem\n  E104  unpacks to more than 160,000,000 bytes")
        assert peak_bytes() - before < 400_000_000

    def test_one_that_ends_early(self, refused: Refused, compress: Callable[[bytes], bytes], name: str) -> None:
        assert refused(compress(GOOD.encode())[:-3]) == (
            f"submission.csv: 1 problem\n  E109  a corrupted {name} file: cut off: the end of the file is missing"
        )

    def test_an_archive_in_an_archive(self, refused: Refused, compress: Callable[[bytes], bytes], name: str) -> None:
        assert refused(gzip.compress(compress(GOOD.encode()))) == (
            "submission.csv: 1 problem\n"
            "  E105  gzip around another archive: only text tables may be packed as .gz or .zst"
        )

    def test_a_packed_npz(self, refused: Refused, compress: Callable[[bytes], bytes], name: str) -> None:
        file = io.BytesIO()
        np.savez(file, sample_id=np.array(["a"]))
        assert refused(compress(file.getvalue())) == (
            f"submission.csv: 1 problem\n  E105  {name} around NPZ: only text tables may be packed as .gz or .zst"
        )


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("submission.csv"), io.BytesIO(b""))
    return file.getvalue()


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def feather() -> bytes:
    file = io.BytesIO()
    pyarrow.feather.write_feather(pa.table({"a": [1]}), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "E101  the file is empty"),
        (b"\xef\xbb\xbf\r\n \n", "E101  the file is empty"),
        (b"sample_id,discrete,valence\n", "E111  contains a header and no rows: sample_id, discrete, valence"),
        (b"sample_id,discrete,valence", "E111  contains a header and no rows: sample_id, discrete, valence"),
        (
            "\ufeffsample_id;discrete;valence\r\nsample_00000000;happy;-0,5\r\n".encode(),
            "E110  ';' separates the columns and ',' the decimals ('-0,5' on line 2), as some spreadsheets export; "
            "separate columns by ',' and write '-0.5' (pandas: to_csv(sep=',', decimal='.'))",
        ),
        (b"sample_id;discrete;valence\nsample_00000000;happy;1\n", "E110  ';' separates the columns; separate them by ',' or tabs (pandas: to_csv(sep=','))"),
        (GOOD.encode("utf-16"), "E106  UTF-16 or UTF-32 text; save it as UTF-8 (in Excel: 'CSV UTF-8')"),
        (GOOD.encode("utf-16-le"), "E106  UTF-16 or UTF-32 text; save it as UTF-8 (in Excel: 'CSV UTF-8')"),
        (GOOD.encode("utf-32"), "E106  UTF-16 or UTF-32 text; save it as UTF-8 (in Excel: 'CSV UTF-8')"),
        ("sample_id,discrete,valence\nx,y,z\nä,b,c\n".encode("latin-1"), "E106  line 3: byte 0xE4 is not UTF-8; save the file as UTF-8 (in Excel: 'CSV UTF-8')"),
        (GOOD.encode() + b"a\0b", f"E106  line 14: contains a NUL byte: not a text file ({READABLE})"),
        (pickle.dumps({"a": 1}, protocol=0), f"E107  a pickle, which is never read; {READABLE}"),
        (pickle.dumps(Path, protocol=0), f"E107  a pickle, which is never read; {READABLE}"),
        (npy(np.zeros(3)), f"E108  one array (.npy); save all columns with numpy.savez ({READABLE})"),
        (tar(), f"E108  a tar archive; use .gz or .zst ({READABLE})"),
        (feather(), f"E108  an Arrow (Feather) file ({READABLE})"),
        (workbook(), "E108  an Excel workbook; save it as 'CSV UTF-8'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"E108  an Excel workbook; save it as 'CSV UTF-8' ({READABLE})"),
        (b"<!DOCTYPE html><html></html>", f"E108  an HTML or XML page ({READABLE})"),
        (b'[{"sample_id": "a"}]', "E108  a JSON array; write JSON lines, one object per line"),
        (b'sample_id,discrete,valence\na,happy,1\nb,"sad,1\nc,sad,1\n', "E109  line 3: a quotation mark opens a cell and is never closed"),
        (b'sample_id,discrete,valence\na,"happy,1\n' + b"x" * 200_000 + b"\n", "E109  line 2: a quotation mark opens a cell and is never closed"),
    ],
)  # fmt: skip
def test_content_that_is_refused(refused: Refused, data: bytes, problem: str) -> None:
    assert refused(data) == f"submission.csv: 1 problem\n  {problem}"


def test_a_quotation_mark_inside_a_cell_is_a_character(read: Read) -> None:
    rows = [f'{row},5" high' for row in csv_rows(11)] + [f"{csv_rows(12)[-1]},"]
    assert read(csv_text(rows, "sample_id,discrete,valence,note")).n_rows == 12


def test_a_suffix_that_lies_brings_a_warning(read: Read) -> None:
    submission = read(GOOD, "submission.parquet")
    assert [str(w) for w in submission.warnings] == [
        "W101  the name ends in .parquet and the file contains a delimited table: read as such"
    ]
    assert submission.n_rows == 12


def test_what_cannot_be_a_submission(candidates: Candidates) -> None:
    with pytest.raises(UsageError, match="a submission is a path, an Arrow table or a pandas data frame, not dict"):
        read_submission({"a": 1}, candidates)  # type: ignore[arg-type]


def test_packed_files_that_cannot_be_unpacked_keep_no_memory(candidates: Candidates, tmp_path: Path) -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("asks the system how much memory is reserved")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-3])
    reserved = []
    for _ in range(10):
        with pytest.raises(InvalidSubmission, match="E109"):
            read_submission(tmp_path / "a.csv.gz", candidates)
        reserved.append(int(statm.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    # Of each, 160 MB would be kept.
    assert reserved[-1] - reserved[1] < 160_000_000
