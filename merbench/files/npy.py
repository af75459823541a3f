"""NumPy's files without pickles: headers, arrays and archives, read with limits.

Conventions:
    `.npy` is one array, `.npz` a ZIP archive of them. NumPy's own reader is not used: it evaluates a header as Python,
    and reserves whatever size a header states.
"""

from __future__ import annotations

import lzma
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from merbench.errors import MalformedFile, fault, printable
from merbench.files.reading import TooLarge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNREADABLE_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    KeyError,
    IndexError,
)
"""What `zipfile` raises for archives that are corrupted, encrypted, or packed in ways that Python does not know."""

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 1 << 14
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?:'(?P<type>[^']{1,40})'|\[.*\]),\s*'fortran_order':\s*(?P<fortran>True|False),"
    r"\s*'shape':\s*\((?P<shape>(?:\d{1,19}L?,\s*)*(?:\d{1,19}L?)?)\)\s*,?\s*\}\s*",
    re.ASCII,
)
_DTYPE = re.compile(r"[<>|=]?(?:[?biufcSUOmMV]\d{0,9}(?:\[\d{0,9}\w+\])?)", re.ASCII)
_SURROGATES, _AFTER_SURROGATES, _LAST_CHARACTER = 0xD800, 0xE000, 0x10FFFF


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What the header of an `.npy` file states."""

    shape: tuple[int, ...]  # length of every dimension
    dtype: np.dtype[Any]  # type of an item; a void type of size 0 where items have fields
    is_fortran: bool  # whether the first index changes fastest

    @property
    def n_bytes(self) -> int:
        """How many bytes the items take."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def asks_for(self) -> int:
        """How many bytes there must be at least: items and dimensions without a size count for one."""
        return math.prod(max(n, 1) for n in self.shape) * max(self.dtype.itemsize, 1)


def read_npy_header(file: IO[bytes]) -> NpyHeader:
    """Return the header of an `.npy` file; the items follow. Raise `MalformedFile` if it does not begin as one.

    Only the form that NumPy and other writers give a header is read.
    """
    import numpy as np

    head = file.read(8)
    n_length = 2 if head[6:7] == b"\1" else 4
    length = int.from_bytes(file.read(n_length), "little")
    if head[:6] != _MAGIC or head[6:] not in (b"\1\0", b"\2\0", b"\3\0") or length > _LONGEST_HEADER:
        raise MalformedFile("does not begin as an .npy file does")
    text = file.read(length).decode("latin-1")
    stated = _HEADER.fullmatch(text)
    if len(text) != length or stated is None:
        raise MalformedFile("its header is not that of an .npy file")
    shape = tuple(int(n.strip(" L")) for n in stated["shape"].split(",") if n.strip())
    dtype = np.dtype("V0") if stated["type"] is None else plain_dtype(stated["type"])
    return NpyHeader(shape, dtype, stated["fortran"] == "True")


def plain_dtype(text: str) -> np.dtype[Any]:
    """Return the type without fields that a text such as `<f4` names; raise `MalformedFile` for any other text."""
    import numpy as np

    try:
        if _DTYPE.fullmatch(text):
            return np.dtype(text, copy=True)
    except (TypeError, ValueError, OverflowError):
        pass
    raise MalformedFile(f"'{printable(text, 20)}' is not a type of items")


def read_npy_items(file: IO[bytes], header: NpyHeader) -> NDArray[Any]:
    """Return the array whose header was read; raise `MalformedFile` if items are missing or not characters."""
    import numpy as np

    data = file.read(header.n_bytes)
    if len(data) < header.n_bytes:
        raise MalformedFile(f"ends after {len(data):,} of {header.n_bytes:,} bytes")
    if not data:
        return np.zeros(header.shape, header.dtype)
    array = np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")
    require_characters(array)
    return array


def require_characters(array: NDArray[Any]) -> None:
    """Raise `MalformedFile` if the text of an array has numbers that are not characters, which NumPy does not check."""
    import numpy as np

    if array.dtype.kind == "U" and array.size and array.dtype.itemsize:
        codes = np.ravel(array, order="K").view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if ((codes >= _SURROGATES) & (codes < _AFTER_SURROGATES) | (codes > _LAST_CHARACTER)).any():
            raise MalformedFile("its text contains numbers that are not characters")


def read_npy(file: IO[bytes], n_bytes: int) -> NDArray[Any]:
    """Return the array in an `.npy` file of `n_bytes` bytes; raise `MalformedFile` for a broken one, or a pickle."""
    header = read_npy_header(file)
    if header.dtype.hasobject:
        raise MalformedFile("contains Python objects (a pickle), which are not read")
    if header.dtype.kind == "V":
        raise MalformedFile("contains an array with fields; plain numbers or text are needed")
    if header.asks_for > n_bytes:
        raise MalformedFile(f"its header asks for an array of shape {header.shape}, which is not in the file")
    return read_npy_items(file, header)


@contextmanager
def npz_members(path: Path) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Yield an archive and its members by the names of their arrays; raise `MalformedFile` if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            if len(set(names)) < len(names):
                twice = printable(next(name for name in names if names.count(name) > 1))
                raise MalformedFile(f"contains two members for the array '{twice}'")
            yield archive, dict(zip(names, archive.infolist(), strict=True))
    except UNREADABLE_ARCHIVE as error:
        raise MalformedFile(fault(error)) from error


def read_npz(
    path: Path,
    choose: Callable[[Sequence[str]], Iterable[str]] = list,
    most_arrays: int = 1000,
    most_bytes: int = 2_000_000_000,
) -> dict[str, NDArray[Any]]:
    """Return arrays of an `.npz` file by name; a pickled one is never read.

    Args:
        path: the file.
        choose: returns the names of the arrays to read, from all names.
        most_arrays: how many arrays the file may contain.
        most_bytes: what those that are read may unpack to.

    Raises:
        MalformedFile: not a readable archive, or an array is broken or a pickle; `TooLarge` if it is larger.
    """
    arrays: dict[str, NDArray[Any]] = {}
    with npz_members(path) as (archive, members):
        if len(members) > most_arrays:
            raise TooLarge(f"contains {len(members):,} arrays; {most_arrays:,} are allowed")
        names = list(choose(list(members)))
        n_bytes = sum(members[name].file_size for name in names)
        if n_bytes > most_bytes:
            raise TooLarge(f"asks for {n_bytes:,} bytes; {most_bytes:,} are allowed")
        for name in names:
            try:
                with archive.open(members[name]) as file:
                    arrays[name] = read_npy(file, members[name].file_size)
            except MalformedFile as error:
                raise MalformedFile(f"array '{printable(name)}': {error}") from error
    return arrays
