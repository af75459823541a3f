"""The bytes of a Parquet file go in, a `Sheet` comes out.

Conventions:
    What a file asks for is known before a page is unpacked; text stays dictionary-encoded until its length is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merbench.errors import CUT_OFF, Damage
from merbench.submission.content import Content
from merbench.submission.pages import MAGIC, SMALLEST, demand
from merbench.submission.sheet import ITEMS, Sheet, Wanted, table_sheet

TEXT_CELL_BYTES = 64
"""What a cell of text counts for at least; a number counts for eight bytes."""

_DAMAGE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError)


def read_parquet(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a Parquet file.

    Raises:
        InvalidSubmission: the file is damaged, or asks for too much memory.
    """
    try:
        table, names = _read(content, wanted)
        sheet = table_sheet(table, wanted)
    except _DAMAGE as error:
        raise content.damaged(error) from error
    return replace(sheet, names=names)


def _read(content: Content, wanted: Wanted) -> tuple[pa.Table, tuple[str, ...]]:
    if not content.data.endswith(MAGIC) or len(content.data) < SMALLEST:
        raise Damage(CUT_OFF)
    source = pa.BufferReader(content.data)
    with pq.ParquetFile(source) as file:
        schema, metadata = file.schema_arrow, file.metadata
    there = [name for name in wanted if name in schema.names]
    kinds = {name: schema.field(schema.names.index(name)).type for name in there}
    lists = [name for name, kind in kinds.items() if wanted[name] == ITEMS and _is_list(kind)]
    text = [name for name, kind in kinds.items() if _is_text(kind.value_type if name in lists else kind)]
    asked = demand(content.data, {name: TEXT_CELL_BYTES if name in text else 8 for name in there})
    _require_room(content, max(asked.cells, asked.page_bytes))
    with pq.ParquetFile(source, metadata=metadata, read_dictionary=_leaves(metadata, text)) as file:
        table = file.read(there, use_threads=False)
    table.validate(full=True)  # text that is not UTF-8, codes outside their dictionary
    _require_room(content, sum(_text_size(table.column(table.column_names.index(name))) for name in text))
    for name in lists:
        if name in text:
            position = table.column_names.index(name)
            table = table.set_column(position, name, _plain_lists(table.column(position)))
    return table, tuple(schema.names)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _leaves(metadata: pq.FileMetaData, names: Sequence[str]) -> list[str]:
    """Return the paths under which a file stores some columns: that of a list names its items, too."""
    if not metadata.num_row_groups:
        return []
    group = metadata.row_group(0)
    paths = [group.column(index).path_in_schema for index in range(metadata.num_columns)]
    return [path for path in paths if path in names or path.split(".")[0] in names]


def _plain_lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists of dictionary-encoded text as lists of text."""
    chunks = []
    for chunk in column.chunks:
        ends = np.cumsum(np.asarray(pc.fill_null(pc.list_value_length(chunk), 0)), dtype=np.int32)
        offsets = pa.array(np.concatenate([np.zeros(1, np.int32), ends]))
        words = chunk.flatten().dictionary_decode().cast(pa.string())
        chunks.append(pa.ListArray.from_arrays(offsets, words, mask=chunk.is_null()))
    return pa.chunked_array(chunks, pa.list_(pa.string()))


def _require_room(content: Content, asked: int) -> None:
    if asked > content.max_memory:
        message = f"the columns ask for {asked:,} bytes; the track admits {content.max_memory:,}"
        raise content.refusal("E104", message)


def _text_size(column: pa.ChunkedArray) -> int:
    """Return how many bytes a dictionary-encoded column takes as text."""
    chunks = [chunk.flatten() if _is_list(chunk.type) else chunk for chunk in column.chunks]
    lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in chunks)
    return sum(pc.sum(length).as_py() or 0 for length in lengths)
