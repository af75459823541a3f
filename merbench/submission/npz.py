"""The bytes of an NPZ archive go in, a `Sheet` comes out: one array per column, without pickles.

Conventions:
    Every array has one dimension and one item per row. What an array asks for is read from its header, before
    anything is unpacked for it; nothing is ever written to disk.
"""

from __future__ import annotations

import io
import stat
import zipfile
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import CUT_OFF, InvalidSubmission, MalformedFile, Problem, listed, printable
from merbench.files import UNREADABLE_ARCHIVE, read_npy_header, read_npy_items
from merbench.submission.content import Content
from merbench.submission.sheet import Wanted, plain_column
from merbench.targets.sheet import Sheet, text_array

MOST_MEMBERS = 1000
"""The largest number of arrays in an archive."""


def read_npz(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of an NPZ archive.

    Raises:
        InvalidSubmission: the archive is damaged, unsafe or no NPZ, or an array is not a plain column.
    """
    arrays: dict[str, NDArray[Any]] = {}
    try:
        if not zipfile.is_zipfile(io.BytesIO(content.data)):
            raise MalformedFile(CUT_OFF)
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            members = _members(content, archive)
            for name in wanted:
                if name in members:
                    free = content.max_memory - sum(_memory(array.dtype, len(array)) for array in arrays.values())
                    with archive.open(members[name]) as file:
                        arrays[name] = _array(content, file, name, free)
        lengths = {name: len(array) for name, array in arrays.items()}
        content.require(cells=sum(lengths.values()))
        columns = {name: _as_column(name, array, wanted[name]) for name, array in arrays.items()}
    except UNREADABLE_ARCHIVE as error:
        raise content.damaged(error) from error
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {n:,}" for name, n in lengths.items())
        raise content.refusal("E206", f"the arrays differ in length: {shown}")
    return Sheet(tuple(members), columns, next(iter(lengths.values()), 0), ordered=False)


def _members(content: Content, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the arrays of an archive by column name, after a look at every member's name and flags."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise content.refusal("E105", f"an archive of {len(infos):,} members; an NPZ holds at most {MOST_MEMBERS:,}")
    names = [info.filename for info in infos]
    arrays = [name.removesuffix(".npy") for name in names]
    if "[Content_Types].xml" in names:
        raise content.refusal("E108", "an Excel workbook; save it as 'CSV UTF-8'")
    faults = {
        "unsafe names; an NPZ holds plain '<column>.npy' members": [
            info.filename for info in infos if _is_unsafe(info)
        ],
        "encrypted members": [info.filename for info in infos if info.flag_bits & 1],
        "members that occur twice": sorted({name for name in arrays if arrays.count(name) > 1}),
    }
    problems = [
        Problem("E105", f"{fault}: {listed([printable(name) for name in found])}")
        for fault, found in faults.items()
        if found
    ]
    if problems:
        raise InvalidSubmission(content.where, problems)
    if not any(name.endswith(".npy") for name in names):
        raise content.refusal("E108", "a ZIP archive without arrays; pack a text table as .gz or .zst")
    return {info.filename.removesuffix(".npy"): info for info in infos}


def _is_unsafe(info: zipfile.ZipInfo) -> bool:
    """Return whether a member's name leads anywhere, or the member is a link."""
    return any(part in info.filename for part in ("/", "\\", "..", ":")) or stat.S_ISLNK(info.external_attr >> 16)


def _memory(dtype: np.dtype[Any], n: int) -> int:
    """Return what `n` items take: a number at least eight bytes, a text at least what Python needs for one."""
    return max(dtype.itemsize, 64 if dtype.kind in "US" else 8) * n


def _array(content: Content, file: IO[bytes], name: str, free: int) -> NDArray[Any]:
    """Return one array; its header decides whether the rest is read."""
    try:
        header = read_npy_header(file)
        dtype, shape = header.dtype, header.shape
        if dtype.hasobject:
            raise content.refusal("E107", f"array '{name}' holds Python objects (a pickle), which are never read")
        if dtype.kind == "V":
            raise content.refusal("E208", f"array '{name}' has fields; a plain column is needed")
        if dtype.kind not in "fiubUS":
            raise content.refusal("E208", f"array '{name}' holds {dtype}; text or numbers are needed")
        if len(shape) != 1:
            raise content.refusal("E208", f"array '{name}' has the shape {shape}; one item per row is needed")
        content.require(rows=shape[0])
        if _memory(dtype, shape[0]) > free:
            asked = f"{_memory(dtype, shape[0]):,} bytes; {free:,} of {content.max_memory:,} are left"
            raise content.refusal("E104", f"array '{name}' asks for {asked}")
        return read_npy_items(file, header)
    except MalformedFile as error:
        raise MalformedFile(f"array '{name}': {error}") from error


def _as_column(name: str, array: NDArray[Any], kind: pa.DataType) -> pa.Array:
    if array.dtype.kind == "U":
        return text_array(array.tolist())
    if array.dtype.kind == "S":
        try:
            return text_array([item.decode() for item in array.tolist()])
        except UnicodeDecodeError as error:
            raise MalformedFile(f"array '{name}': byte 0x{error.object[error.start]:02X} is not UTF-8") from error
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
    return plain_column(pa.array(array.astype(array.dtype.newbyteorder("="))), kind)
