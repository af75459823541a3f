"""The bytes of a submission: read within bounds, unpacked, of a known format.

Conventions:
    A file larger than the track's `max_bytes` is not read. What is packed (gzip, zstd, ZIP members, Parquet
    pages, arrays) may take `EXPANSION` times that in memory, and is refused from its header where it has one. Every
    reader counts what a file asks for and compares it with the `Budget` before it builds a row.
    Formats are recognised by content; a suffix that says something else brings a warning.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import sys
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa

from merbench.corpus.candidates import Candidates
from merbench.errors import (
    CUT_OFF,
    InvalidSubmission,
    MalformedFile,
    Problem,
    UsageError,
    did_you_mean,
    fault,
    printable,
)
from merbench.targets.cells import MOST_CELLS, MOST_WORDS

EXPANSION = 8
"""How many times `max_bytes` a submission may take once it is unpacked."""

MOST_UNPACKED_BYTES = 400_000_000
"""How many bytes a submission may unpack to, whatever size of a file its track allows."""

STANDARD_INPUT = "standard input"

Format = Literal["a delimited table", "JSON lines", "Parquet", "NPZ"]

SUFFIXES: dict[str, Format] = {
    ".csv": "a delimited table",
    ".tsv": "a delimited table",
    ".tab": "a delimited table",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".parquet": "Parquet",
    ".pq": "Parquet",
    ".npz": "NPZ",
}
"""The format that a file's last suffix means."""
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_READABLE = "a submission is CSV, TSV, JSON lines, Parquet or NPZ"
_FOREIGN = {
    b"\x93NUMPY": "one array (.npy); save all columns with numpy.savez",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"ARROW1\0\0": "an Arrow (Feather) file",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook; save it as 'CSV UTF-8'",
    b"SQLite format 3\0": "an SQLite database",
    b"%PDF-": "a PDF",
    b"\xfd7zXZ\0": "an xz archive; use .gz or .zst",
    b"BZh91AY&SY": "a bzip2 archive; use .gz or .zst",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; use .gz or .zst",
    b"Rar!\x1a\x07": "a RAR archive; use .gz or .zst",
}
_PICKLE = re.compile(rb"\x80[\x01-\x05]|\(?[dl]p\d+\r?\n|c[\w.]+\r?\n[\w.]+\r?\n")
_TEXT = re.compile(rb"\S")
_TAR_MAGIC, _TAR_OFFSET = b"ustar", 257
_UTF16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of one submission is read, whatever its format."""

    file_bytes: int  # the file as it is
    unpacked_bytes: int  # what it unpacks to, and what its columns ask for in memory
    rows: int  # rows; in a text table, lines
    columns: int  # column names, all of them
    cells: int = MOST_CELLS  # cells of all columns, and the items within them
    words: int = MOST_WORDS  # distinct words in the sets, ranked answers or texts of one column; ids do not count
    nesting: int = 8  # how deeply lists and objects lie in each other
    line_bytes: int = 1 << 20  # one line of a text table
    cell_bytes: int = 1 << 16  # the text of one cell

    @classmethod
    def of(cls, candidates: Candidates) -> Budget:
        """Return the budget of a submission to some candidates."""
        track = candidates.track
        rules = track.submission
        return cls(
            file_bytes=rules.max_bytes,
            unpacked_bytes=min(EXPANSION * rules.max_bytes, MOST_UNPACKED_BYTES),
            rows=max(1_000_000, 2 * len(candidates) * (rules.views or 1)),
            columns=max(10_000, 2 * len(track.submission_columns)),
        )

    def require(self, where: str, **asked: int) -> None:
        """Raise `InvalidSubmission` (E104) where a file asks for more than this.

        Args:
            where: the file's name in messages.
            asked: numbers by the name of the attribute that bounds them: `rows=2_000_000, words=12`.
        """
        for name, number in asked.items():
            limit = getattr(self, name)
            if number > limit:
                noun = _NOUNS.get(name, name)
                raise refusal(where, "E104", f"asks for {number:,} {noun}; {limit:,} are allowed")


_NOUNS = {
    "unpacked_bytes": "bytes of memory",
    "words": "distinct words",
    "nesting": "levels of nesting",
    "line_bytes": "bytes in one line",
    "cell_bytes": "bytes in one cell",
}


@dataclass(frozen=True, slots=True)
class Content:
    """The unpacked bytes of a submission."""

    where: str  # the file's name in messages
    data: bytes = field(repr=False)  # its bytes
    budget: Budget  # how much of it is read
    format: Format  # what it contains
    suffix: str  # the format that its name means, without `.gz` or `.zst`

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """A warning if the suffix does not match the content."""
        if SUFFIXES.get(self.suffix, self.format) == self.format:
            return ()
        return (Problem("W101", f"the name ends in {self.suffix} and the file contains {self.format}: read as such"),)

    def require(self, **asked: int) -> None:
        """Raise where the file asks for more than its budget; see `Budget.require`."""
        self.budget.require(self.where, **asked)

    def refusal(self, code: str, message: str, line: int | None = None) -> InvalidSubmission:
        """Return the error that refuses the file."""
        return refusal(self.where, code, message, line)

    def malformed(self, error: Exception) -> InvalidSubmission:
        """Return the error that refuses a file which its reader could not unpack."""
        return self.refusal("E109", _malformed(self.format, error))

    def require_lines(self, n_header: int) -> None:
        """Raise where a text table has too long a line, or more lines after its header than rows are allowed."""
        data, place = self.data, 0
        while len(data) - place > self.budget.line_bytes:
            end = place + self.budget.line_bytes
            last = max(data.rfind(b"\n", place, end), data.rfind(b"\r", place, end))
            if last < 0:
                ends = (data.find(mark, end) for mark in (b"\n", b"\r"))
                stop = min((end for end in ends if end >= 0), default=len(data))
                self.require(line_bytes=stop - place)
                last = stop
            place = last + 1
        self.require(rows=_n_line_ends(data) - n_header)

    def text(self) -> io.TextIOWrapper:
        """Return the text, read line by line, so that it is never all in memory."""
        return io.TextIOWrapper(io.BytesIO(self.data), "utf-8-sig", newline="")


def refusal(where: str, code: str, message: str, line: int | None = None) -> InvalidSubmission:
    """Return the error that refuses a file for one reason."""
    return InvalidSubmission(where, [Problem(code, message, line=line)])


def read_content(path: str | Path, budget: Budget) -> Content:
    """Return the content of a file, or of standard input for `-`.

    Raises:
        UsageError: no such file, or it cannot be opened.
        InvalidSubmission: it is refused; see the codes E101 to E109.
    """
    where = STANDARD_INPUT if str(path) == "-" else printable(str(path), 200)
    max_bytes = budget.file_bytes
    data = _read_standard_input(where, max_bytes) if str(path) == "-" else _read_file(Path(path), where, max_bytes)
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = _compression(data)
    if compression:
        data = _unpacked(data, compression, where, budget.unpacked_bytes)
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        del suffixes[-1]
    form = _format(data, where)
    if compression and (form in ("Parquet", "NPZ") or _compression(data)):
        inner = form if form in ("Parquet", "NPZ") else "another archive"
        raise refusal(where, "E105", f"{compression} around {inner}: only text tables may be packed as .gz or .zst")
    return Content(where, data, budget, form, suffixes[-1] if suffixes else "")


def _read_standard_input(where: str, max_bytes: int) -> bytes:
    if sys.stdin is None:
        raise UsageError(f"{where}: is closed")
    try:
        data = sys.stdin.buffer.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {fault(error)}") from error
    if len(data) > max_bytes:
        raise refusal(where, "E103", f"more than {max_bytes:,} bytes; the track allows {max_bytes:,}")
    return data


def _read_file(path: Path, where: str, max_bytes: int) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device or pipe (pass '-' to read standard input)"
            raise refusal(where, "E102", f"{kind}, not a file")
        resolved = path.resolve(strict=True)
        if not resolved.is_relative_to(path.parent.resolve()):
            is_device = path.parts[1:2] == ("dev",)
            hint = "pass '-' to read standard input" if is_device else "a submission is a file of its own"
            raise refusal(where, "E102", f"a link that leads out of its folder; {hint}")
        # The link was followed above; what is opened must still be that very file.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(resolved, flags), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1) if size <= max_bytes else b""
    except FileNotFoundError as error:
        raise UsageError(f"{where}: no such file{_nearest_sibling(path)}") from error
    except (OSError, RuntimeError, ValueError) as error:  # a link loop is a RuntimeError up to 3.12, a NUL a ValueError
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{where}: cannot be read: {printable(str(reason))}") from error
    if size > max_bytes:
        raise refusal(where, "E103", f"{size:,} bytes; the track allows {max_bytes:,}")
    if len(data) != size:
        raise UsageError(f"{where}: changed while it was read")
    return data


def _nearest_sibling(path: Path) -> str:
    try:
        siblings = list(islice(path.parent.iterdir(), 1000))
    except OSError:
        return ""
    # Two short names are not alike only because their suffixes are.
    alike = [other.name for other in siblings if SequenceMatcher(None, path.stem, other.stem).ratio() >= 0.5]
    return did_you_mean(path.name, sorted(alike))


def _compression(data: bytes) -> str | None:
    return next((name for magic, name in _COMPRESSIONS.items() if data.startswith(magic)), None)


def _unpacked(data: bytes, compression: str, where: str, limit: int) -> bytes:
    unpacked = io.BytesIO()
    try:
        # Not `read`, which keeps the memory of what it could not unpack.
        with pa.CompressedInputStream(pa.BufferReader(data), compression) as stream:
            while unpacked.tell() <= limit and (block := stream.read_buffer(_BLOCK_BYTES)):
                unpacked.write(block)
    except (OSError, pa.ArrowException) as error:
        reason = MalformedFile(CUT_OFF) if "Truncated" in str(error) else error
        raise refusal(where, "E109", _malformed(compression, reason)) from error
    if unpacked.tell() > limit:
        raise refusal(where, "E104", f"unpacks to more than {limit:,} bytes")
    return unpacked.getvalue()


def _malformed(form: str, error: Exception) -> str:
    reason = str(error) if isinstance(error, MalformedFile) else "its content cannot be unpacked"
    return f"a corrupted {form} file: {printable(reason, 120)}"


def _format(data: bytes, where: str) -> Format:
    if data.startswith(b"PAR1"):
        return "Parquet"
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "NPZ"
    if _PICKLE.match(data):
        raise refusal(where, "E107", f"a pickle, which is never read; {_READABLE}")
    foreign = next((name for magic, name in _FOREIGN.items() if data.startswith(magic)), None)
    if data.startswith(_TAR_MAGIC, _TAR_OFFSET):
        foreign = "a tar archive; use .gz or .zst"
    if foreign:
        raise refusal(where, "E108", f"{foreign} ({_READABLE})")
    if _compression(data):
        return "a delimited table"
    return _text_format(data, where)


def _text_format(data: bytes, where: str) -> Format:
    _require_utf8(data, where)
    first = _TEXT.search(data, len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0)
    start = b"" if first is None else first[0]
    if not start:
        raise refusal(where, "E101", "the file is empty")
    if start.startswith(b"<"):
        raise refusal(where, "E108", f"an HTML or XML page ({_READABLE})")
    if start.startswith(b"["):
        raise refusal(where, "E108", "a JSON array; write JSON lines, one object per line")
    return "JSON lines" if start.startswith(b"{") else "a delimited table"


def _require_utf8(data: bytes, where: str) -> None:
    nul = data.find(b"\0")
    if data.startswith(_UTF16_OR_32) or (nul >= 0 and _looks_like_utf16(data)):
        raise refusal(where, "E106", "UTF-16 or UTF-32 text; save it as UTF-8 (in Excel: 'CSV UTF-8')")
    if nul >= 0:
        raise refusal(where, "E106", f"contains a NUL byte: not a text file ({_READABLE})", line_at(data, nul))
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BLOCK_BYTES):
        n_pending = len(decoder.getstate()[0])  # the first bytes of a character that the block before ends in
        try:
            decoder.decode(data[start : start + _BLOCK_BYTES], final=start + _BLOCK_BYTES >= len(data))
        except UnicodeDecodeError as error:
            place = start - n_pending + error.start
            message = f"byte 0x{data[place]:02X} is not UTF-8; save the file as UTF-8 (in Excel: 'CSV UTF-8')"
            raise refusal(where, "E106", message, line_at(data, place)) from error


def _looks_like_utf16(data: bytes) -> bool:
    """Return whether nearly every second byte is NUL, as in ASCII text written in UTF-16 without a mark."""
    head = data[:400]
    half = len(head) // 2
    return half > 0 and any(
        head[side::2].count(0) > 0.9 * half and head[1 - side :: 2].count(0) == 0 for side in (0, 1)
    )


def line_at(data: bytes, offset: int) -> int:
    """Return the line that a byte is on."""
    return _n_line_ends(data, 0, offset) + 1


def _n_line_ends(data: bytes, start: int = 0, end: int | None = None) -> int:
    """Return how many lines end between two places: at a line feed, a carriage return, or both together."""
    return sum(sign * data.count(mark, start, end) for mark, sign in ((b"\n", 1), (b"\r", 1), (b"\r\n", -1)))
