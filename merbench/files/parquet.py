"""Parquet: read with limits on rows, cells and bytes, and checked to the last value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from merbench.errors import MalformedFile

if TYPE_CHECKING:
    import pyarrow as pa


class TooLarge(MalformedFile):
    """A file asks for more than is read."""


def arrow_file(path: Path, mode: Literal["rb", "wb"] = "rb") -> pa.NativeFile:
    """Open a file for Arrow, whose own functions refuse a path that is not text in UTF-8."""
    import pyarrow as pa

    return pa.OSFile(os.fsencode(path), mode)


def read_parquet(
    source: Path | bytes,
    *,
    most_rows: int = 10_000_000,
    most_cells: int = 100_000_000,
    most_bytes: int = 2_000_000_000,
) -> pa.Table:
    """Return the table in a Parquet file.

    Args:
        source: the file, or its bytes.
        most_rows: how many rows it may have.
        most_cells: rows times columns.
        most_bytes: what its columns unpack to, by its footer.

    Raises:
        MalformedFile: it cannot be read; `TooLarge` where it is larger.
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
                (footer.num_rows * footer.num_columns, most_cells, "cells"),
                (n_bytes, most_bytes, "bytes"),
            ):
                if n > most:
                    raise TooLarge(f"asks for {n:,} {noun}; {most:,} are allowed")
            table = file.read()
        table.validate(full=True)
    except TooLarge:
        raise
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError) as error:
        raise MalformedFile("not a readable Parquet file") from error
    return table
