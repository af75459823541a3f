"""Files as bytes and as tables of Parquet: bounded in size, checked against a digest, and whether they changed since.

Conventions:
    Digests are SHA-256, in hexadecimal. Arrow is imported only where a table is read.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from merbench.errors import IntegrityError, MalformedFile, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CELLS = 100_000_000
"""How many cells a Parquet table may have, rows times columns."""


_MOST_PARTS = 1_000
"""In how many parts a Parquet file of many row groups is read."""


def sha256_bytes(*parts: bytes | memoryview) -> str:
    """Return the SHA-256 of the parts, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_verified(path: Path, expected: str) -> bytes:
    """Return the bytes of `path`; raise `IntegrityError` when they do not have the SHA-256 `expected`.

    What is checked is what is returned: the file is read once.
    """
    if not path.is_file():
        raise IntegrityError(f"{path}: the file is recorded but missing")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    digest = sha256_bytes(data)
    if digest != expected:
        raise IntegrityError(f"{path}: the file changed: sha256 {digest[:12]}…, recorded {expected[:12]}…")
    return data


_AT_ONCE = 1 << 20


def read_bounded(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a file; raise `MalformedFile` if there are more than `most_bytes`, or `OSError`."""
    with path.open("rb") as file:
        # `read` first makes room for all that it is asked for, and a pipe or a file of the system has no size.
        parts = [file.read(min(most_bytes, os.fstat(file.fileno()).st_size) + 1)]
        n_bytes = len(parts[0])
        while n_bytes <= most_bytes and (part := file.read(min(_AT_ONCE, most_bytes + 1 - n_bytes))):
            parts.append(part)
            n_bytes += len(part)
    if n_bytes > most_bytes:
        raise MalformedFile(f"contains more than {most_bytes:,} bytes")
    return b"".join(parts)


class TooLarge(MalformedFile):
    """A file asks for more than is read."""


def arrow_file(path: Path, mode: Literal["rb", "wb"] = "rb") -> pa.NativeFile:
    """Open a file for Arrow, whose own functions refuse a path that is not text in UTF-8."""
    import pyarrow as pa

    return pa.OSFile(os.fsencode(path), mode)


def read_parquet(source: Path | bytes, *, most_rows: int = 10_000_000, most_bytes: int = 2_000_000_000) -> pa.Table:
    """Return the table in a Parquet file.

    Args:
        source: the file, or its bytes.
        most_rows: how many rows it may have.
        most_bytes: what its columns unpack to, by its footer.

    Raises:
        MalformedFile: it cannot be read; `TooLarge` if it is larger.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pa.BufferReader(source) if isinstance(source, bytes) else arrow_file(source)
        with opened, pq.ParquetFile(opened) as file:
            footer = file.metadata
            n_bytes = sum(footer.row_group(i).total_byte_size for i in range(footer.num_row_groups))
            for n, most, noun in (
                (footer.num_rows, most_rows, "rows"),
                (footer.num_rows * footer.num_columns, MOST_CELLS, "cells"),
                (n_bytes, most_bytes, "bytes"),
            ):
                if n > most:
                    raise TooLarge(f"asks for {n:,} {noun}; {most:,} are allowed")
            # Arrow takes up to four times the memory of what it reads at once.
            n_groups, step = footer.num_row_groups, -(-footer.num_row_groups // _MOST_PARTS) or 1
            parts = [range(i, min(i + step, n_groups)) for i in range(0, n_groups, step)]
            table = pa.concat_tables([file.read_row_groups(part) for part in parts]) if parts[1:] else file.read()
        table.validate(full=True)
    except TooLarge:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError) as error:
        raise MalformedFile("not a readable Parquet file") from error
    return table


Stamp = tuple[tuple[int, ...], ...]

_CLOCK_STEP_NS = 2_000_000_000
"""A file system may give two changes within this time the same times."""


def stamp(paths: Sequence[Path]) -> Stamp | None:
    """Return what changes when any of the files does: its identity, size and times.

    None if one is missing, or was changed so recently that another change might leave the same times.
    """
    try:
        stats = [path.stat() for path in paths]
    except OSError:
        return None
    if any(abs(time.time_ns() - max(s.st_mtime_ns, s.st_ctime_ns)) < _CLOCK_STEP_NS for s in stats):
        return None
    return tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


def size_text(n_bytes: float) -> str:
    """Return a number of bytes in the unit that fits: `"1.2 GB"`, `"340 kB"`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes / 1e3:,.0f} kB"
