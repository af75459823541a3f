"""Tables in Arrow files that are mapped into memory: a value is read from the disk when it is used.

Conventions:
    A file is in Arrow's IPC file format, with one record batch and without compression, so that each column is one
    stretch of the file. Its footer, which repeats where the batch is, is not read. Digests are SHA-256, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.errors import IntegrityError, MalformedFile, UsageError
from merbench.files.reading import Stamp, arrow_file, stamp

_MAGIC = b"ARROW1\0\0"

_READ_AT_ONCE = 1 << 24

_verified: dict[Path, tuple[Stamp, str]] = {}
"""The files whose digest was computed: what changes when one does, and the digest."""


def write_arrow(table: pa.Table, path: Path) -> None:
    """Write a table to an Arrow file; its values are not copied."""
    table = table.combine_chunks()
    with arrow_file(path, "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def mapped_file(path: Path) -> pa.Buffer:
    """Return the bytes of a file, mapped into memory; raise `OSError` if it cannot be opened."""
    return pa.memory_map(os.fsencode(path)).read_buffer() if path.stat().st_size else pa.py_buffer(b"")


def verified_file(path: Path, expected: str) -> pa.Buffer:
    """Return the bytes of a file, mapped into memory; one that did not change since it was last checked is not read.

    Raises:
        IntegrityError: it does not exist, or does not have the SHA-256 `expected`.
        UsageError: it cannot be opened.
    """
    if not path.is_file():
        raise IntegrityError(f"{path}: the file is recorded but missing")
    try:
        content = mapped_file(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {os.strerror(error.errno or 0)}") from error
    current = stamp([path])
    if current is None or _verified.get(path) != (current, expected):
        digest = hashlib.sha256()
        for start in range(0, content.size, _READ_AT_ONCE):
            digest.update(content[start : start + _READ_AT_ONCE])
        if (actual := digest.hexdigest()) != expected:
            raise IntegrityError(f"{path}: the file changed: sha256 {actual[:12]}…, recorded {expected[:12]}…")
        if current is not None:
            _verified[path] = current, expected
    return content


def rows_and_schema(path: Path) -> tuple[int, pa.Schema]:
    """Return how many rows an Arrow or Parquet file has, and its columns; no values are read.

    Raises:
        MalformedFile: it cannot be read.
    """
    if path.suffix == ".arrow":
        try:
            table = table_in(mapped_file(path))
        except OSError as error:
            raise MalformedFile("not a readable Arrow file") from error
        return table.num_rows, table.schema
    try:
        with arrow_file(path) as source, pq.ParquetFile(source) as file:
            return file.metadata.num_rows, file.schema_arrow
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MalformedFile("not a readable Parquet file") from error


def table_in(content: pa.Buffer) -> pa.Table:
    """Return the table in the bytes of an Arrow file; its columns point into them.

    Raises:
        MalformedFile: it is not an Arrow file of one record batch without compression.
    """
    if content[: len(_MAGIC)].to_pybytes() != _MAGIC:
        raise MalformedFile("not an Arrow file")
    try:
        messages = pa.ipc.MessageReader.open_stream(content[len(_MAGIC) :])
        schema, batch = messages.read_next_message(), messages.read_next_message()
        kinds = schema.type, batch.type  # Arrow crashes where it reads one as another
        is_plain = kinds == ("schema", "record batch") and not _is_compressed(batch.metadata.to_pybytes())
        is_last = next(iter(messages), None) is None
        if is_plain and is_last:
            table = pa.Table.from_batches([pa.ipc.read_record_batch(batch, pa.ipc.read_schema(schema))])
            table.validate(full=True)
            return table
    except (pa.ArrowException, OSError, ValueError, MemoryError, StopIteration, struct.error) as error:
        raise MalformedFile("not a readable Arrow file") from error
    raise MalformedFile("an Arrow file with " + ("several batches" if is_plain else "columns that are not plain"))


def _is_compressed(metadata: bytes) -> bool:
    """Return whether the header of a record batch declares compression.

    Arrow would unpack it into memory, however large, and names no function that says so before. The header is a
    `Message` of flatbuffers, whose field 2 is a `RecordBatch`, whose field 3 is there if buffers are compressed.
    """
    (message,) = struct.unpack_from("<I", metadata)
    place = _field(metadata, message, 2)
    (batch,) = struct.unpack_from("<I", metadata, place)
    return not place or _field(metadata, place + batch, 3) != 0


def _field(metadata: bytes, table: int, number: int) -> int:
    """Return where a field of a table of flatbuffers begins; 0 if the table does not have it."""
    (back,) = struct.unpack_from("<i", metadata, table)
    (size,) = struct.unpack_from("<H", metadata, table - back)
    if 4 + 2 * number >= size:
        return 0
    (offset,) = struct.unpack_from("<H", metadata, table - back + 4 + 2 * number)
    return table + offset if offset else 0
