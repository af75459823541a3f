"""The bytes of a Parquet file go in, a `Sheet` comes out.

Conventions:
    What a file asks for is read from its metadata and its page headers before a page is unpacked; metadata alone
    may lie. Text stays dictionary-encoded until its length is known.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from merbench.errors import printable
from merbench.submission.content import Content
from merbench.submission.sheet import Sheet, Wanted, table_sheet

TEXT_CELL_BYTES = 64
"""What a cell of text counts for at least; a number counts for eight bytes."""

_DAMAGE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError, KeyError, IndexError)

# Types of the Thrift compact protocol, in which page headers are written.
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (*range(11), 12)
_UNPACKED_SIZE, _PACKED_SIZE = 2, 3
_DEEPEST = 8


def read_parquet(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a Parquet file.

    Raises:
        InvalidSubmission: the file is damaged, asks for too much memory, or a wanted column is nested.
    """
    try:
        table, names = _read(content, wanted)
        sheet = table_sheet(table, wanted, content.where)
    except _DAMAGE as error:
        reason = str(error).strip() or type(error).__name__
        raise content.refusal("E109", f"a damaged Parquet file: {printable(reason.splitlines()[0], 120)}") from error
    return Sheet(names, sheet.columns, sheet.n_rows)


def _read(content: Content, wanted: Wanted) -> tuple[pa.Table, tuple[str, ...]]:
    source = pa.BufferReader(content.data)
    metadata = pq.read_metadata(source)
    schema = metadata.schema.to_arrow_schema()
    there = [name for name in wanted if name in schema.names]
    kinds = {name: schema.field(schema.names.index(name)).type for name in there}
    text = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    asked = metadata.num_rows * sum(TEXT_CELL_BYTES if name in text else 8 for name in there)
    asked = max(asked, _unpacked_size(content.data, metadata, there))
    _require_room(content, asked)
    with pq.ParquetFile(source, metadata=metadata, read_dictionary=text) as file:
        table = file.read(there, use_threads=False)
    table.validate(full=True)  # text that is not UTF-8, codes outside their dictionary
    _require_room(content, sum(_text_size(table.column(table.column_names.index(name))) for name in text))
    return table, tuple(schema.names)


def _require_room(content: Content, asked: int) -> None:
    if asked > content.max_memory:
        message = f"the columns ask for {asked:,} bytes; the track admits {content.max_memory:,}"
        raise content.refusal("E104", message)


def _text_size(column: pa.ChunkedArray) -> int:
    """Return how many bytes a dictionary-encoded column takes as text."""
    lengths = (pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks)
    return sum(pc.sum(length).as_py() or 0 for length in lengths)


def _unpacked_size(data: bytes, metadata: pq.FileMetaData, names: list[str]) -> int:
    """Return the sum of the sizes that the page headers of some columns give for their unpacked pages."""
    total = 0
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema not in names:
                continue
            start = column.data_page_offset
            if column.dictionary_page_offset is not None:
                start = min(start, column.dictionary_page_offset)
            total += _PageHeaders(data, start, start + column.total_compressed_size).unpacked_size()
    return total


class _PageHeaders:
    """Walks over the page headers of one column chunk."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(data):
            raise ValueError("a column lies outside the file")
        self._data, self._at, self._end = data, start, end

    def unpacked_size(self) -> int:
        """Return the sum of the unpacked sizes of all pages."""
        total = 0
        while self._at < self._end:
            sizes = self._struct()
            packed, unpacked = sizes.get(_PACKED_SIZE, -1), sizes.get(_UNPACKED_SIZE, -1)
            if packed < 0 or unpacked < 0:
                raise ValueError("a page header without sizes")
            total += unpacked
            self._at += packed
        return total

    def _struct(self, depth: int = 0) -> dict[int, int]:
        """Step over a struct; return its integer fields by number."""
        found: dict[int, int] = {}
        number = 0
        while (head := self._byte()) & 15 != _STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            value = self._value(head & 15, depth)
            if value is not None:
                found[number] = value
        return found

    def _value(self, kind: int, depth: int) -> int | None:
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _BYTE:
            self._at += 1
        elif kind == _DOUBLE:
            self._at += 8
        elif kind == _BINARY:
            length = self._unsigned()
            self._at += length
        elif kind in (_LIST, _SET) and depth < _DEEPEST:
            head = self._byte()
            for _ in range(head >> 4 if head < 0xF0 else self._unsigned()):
                self._value(_BYTE if head & 15 in (_TRUE, _FALSE) else head & 15, depth + 1)
        elif kind == _STRUCT and depth < _DEEPEST:
            self._struct(depth + 1)
        elif kind not in (_TRUE, _FALSE):  # a page header holds no maps
            raise ValueError("a damaged page header")
        return None

    def _byte(self) -> int:
        if not self._at < self._end:
            raise ValueError("a page header ends early")
        self._at += 1
        return self._data[self._at - 1]

    def _unsigned(self) -> int:
        value, shift = 0, 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._unsigned()
        return value >> 1 if value & 1 == 0 else -(value + 1 >> 1)
