"""Submissions as Parquet files, read only after what their columns ask for is known, without unpacking a page.

Conventions:
    The footer and the page headers are structs of the Thrift compact protocol, read here as dictionaries from field
    number to value: what Arrow offers for this ends the whole process on a corrupted footer, and the sizes that only
    the footer states may be false. Field numbers are those of the Parquet format's `parquet.thrift`. Of what Arrow
    knows about a file, only its schema is used: the metadata of column chunks end the whole process where a file states
    them wrongly. Text stays dictionary-encoded until its length is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.errors import CUT_OFF, MalformedFile
from merbench.submission.arrays import Wanted, column_problem, table_sheet, text_bytes
from merbench.submission.content import Content
from merbench.targets.sheet import SEGMENT_FIELDS, Sheet, is_list

_TEXT_CELL_BYTES, _NUMBER_CELL_BYTES = 64, 8
"""What a cell counts for at least."""

_UNREADABLE = (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, OverflowError, KeyError, IndexError)


def read_parquet(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a Parquet file.

    Raises:
        InvalidSubmission: the file is corrupted, or asks for more than is read.
    """
    try:
        return _read(content, wanted)
    except _UNREADABLE as error:
        raise content.malformed(error) from error


def _read(content: Content, wanted: Wanted) -> Sheet:
    if not content.data.endswith(MAGIC) or len(content.data) < SMALLEST:
        raise MalformedFile(CUT_OFF)
    footer = read_footer(content.data)
    source = pa.BufferReader(content.data)
    with pq.ParquetFile(source) as file:
        schema, metadata = file.schema_arrow, file.metadata
        columns = [file.schema.column(index) for index in range(len(file.schema))]
    content.require(columns=len(columns))
    once = [name for name in wanted if schema.names.count(name) == 1]  # a column that occurs twice is refused later
    kinds = {name: schema.field(name).type for name in once}
    problems = {name: column_problem(name, kind, wanted[name]) for name, kind in kinds.items()}
    read = [name for name, problem in problems.items() if problem is None]
    leaves = {column.path: column for column in columns if any(_is_of(column.path, kinds[name], name) for name in read)}
    paths = [column.path for column in columns]
    if any(paths.count(path) > 1 or any(other.startswith(f"{path}.") for other in paths) for path in leaves):
        raise MalformedFile("columns whose names are ambiguous")
    asked = demand(content.data, footer, {path: _cell_bytes(column) for path, column in leaves.items()})
    content.require(rows=asked.rows, cells=asked.cells, unpacked_bytes=max(asked.memory, asked.page_bytes))
    if not asked.encodings <= PLAIN_ENCODINGS:
        raise content.refusal("E105", "text packed as DELTA_BYTE_ARRAY, which may unpack to any size; write it plainly")
    text = [path for path, column in leaves.items() if column.physical_type == "BYTE_ARRAY"]
    with pq.ParquetFile(source, metadata=metadata, read_dictionary=text) as file:
        table = _table(file, list(leaves))
    table.validate(full=True)  # text that is not UTF-8, codes outside their dictionary
    content.require(unpacked_bytes=sum(text_bytes(chunk) for column in table.columns for chunk in column.chunks))
    sheet = table_sheet(table, wanted)
    wrong = (*(problem for problem in problems.values() if problem), *sheet.problems)
    n_rows = table.num_rows if leaves else asked.rows
    return replace(sheet, names=tuple(schema.names), n_rows=n_rows, problems=wrong)


def _table(file: pq.ParquetFile, leaves: Sequence[str]) -> pa.Table:
    """Return some columns; row group by row group, since Arrow joins no lists of several dictionaries."""
    try:
        groups = [file.read_row_group(n, leaves, use_threads=False) for n in range(file.num_row_groups)]
    except pa.ArrowNotImplementedError as error:
        raise MalformedFile(
            "lists of text in several dictionaries are not read; write them without dictionaries"
        ) from error
    return pa.concat_tables(groups) if groups else file.read(leaves, use_threads=False)


def _is_of(path: str, kind: pa.DataType, name: str) -> bool:
    """Return whether a file's column belongs to a column of the table; of structs, only fields of segments do."""
    if not is_list(kind):
        return path == name
    inside = path.startswith(f"{name}.")
    return inside and (not pa.types.is_struct(kind.value_type) or path.rpartition(".")[2] in SEGMENT_FIELDS)


def _cell_bytes(column: pq.ColumnSchema) -> int:
    """Return what a value counts for: text, a number, or one of a fixed length, such as a long decimal."""
    return _TEXT_CELL_BYTES if column.physical_type == "BYTE_ARRAY" else max(_NUMBER_CELL_BYTES, 2 * column.length)


MAGIC = b"PAR1"
_FOOTER_TAIL = 8
SMALLEST = len(MAGIC) + _FOOTER_TAIL
"""How many bytes a Parquet file has at least."""

LARGEST_FOOTER = 1 << 21
"""How many bytes a footer may have: a small one states as many structs as Arrow and this module can hold."""

_DEEPEST = 16

PLAIN_ENCODINGS = frozenset({0, 2, 3, 4, 5, 6, 8, 9})
"""The encodings of values that are read: all but one. Text in DELTA_BYTE_ARRAY may repeat any text before it, so that
what it unpacks to is not known before it is unpacked."""

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (*range(11), 12)

Struct = dict[int, Any]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a file's columns ask for, by its footer and its page headers, whichever is larger."""

    rows: int
    cells: int  # values of all columns
    memory: int  # bytes that the cells and the words of dictionaries count for
    page_bytes: int  # bytes of the unpacked pages
    encodings: frozenset[int]  # how the values are packed


def read_footer(data: bytes) -> Struct:
    """Return the footer of a Parquet file, before Arrow looks at it.

    Raises:
        MalformedFile: it is corrupted, too large, or its columns are nested too deeply.
    """
    end = len(data) - _FOOTER_TAIL
    start = end - int.from_bytes(data[end : end + 4], "little")
    if not data.endswith(MAGIC) or start < len(MAGIC):
        raise MalformedFile(CUT_OFF)
    if end - start > LARGEST_FOOTER:
        raise MalformedFile(f"a footer of {end - start:,} bytes; {LARGEST_FOOTER:,} are read")
    try:
        footer = _Reader(data, start, end).struct()
        _require_shallow([element.get(5, 0) for element in footer[2]])
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise MalformedFile("its footer is corrupted") from error
    return footer


def _require_shallow(n_children: Sequence[int]) -> None:
    """Raise `MalformedFile` if the elements of a schema, each followed by its children, are nested too deeply."""
    open_groups: list[int] = []
    for n in n_children:
        while open_groups and open_groups[-1] == 0:
            open_groups.pop()
        if open_groups:
            open_groups[-1] -= 1
        open_groups.append(n)
        if len(open_groups) > _DEEPEST or n < 0:
            raise MalformedFile("its columns are nested too deeply")


def demand(data: bytes, footer: Struct, cell_bytes: Mapping[str, int]) -> Demand:
    """Return what some columns of a Parquet file ask for.

    Args:
        data: the file.
        footer: its footer.
        cell_bytes: what a value counts for, by the path of every column that will be read, its parts joined by dots.

    Raises:
        MalformedFile: the footer or a page header is corrupted.
    """
    try:
        return _demand(data, footer, cell_bytes)
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise MalformedFile("its footer or a page header is corrupted") from error


def _demand(data: bytes, footer: Struct, cell_bytes: Mapping[str, int]) -> Demand:
    n_rows = [footer[3], *(group[3] for group in footer[4])]
    rows = max(n_rows[0], sum(n_rows[1:]))
    if min(n_rows) < 0:
        raise MalformedFile("a negative number of rows")
    cells = memory = page_bytes = 0
    encodings: set[int] = set()
    for group in footer[4]:
        for chunk in group[1]:
            column = chunk[3]
            path = b".".join(column[3]).decode()
            if path in cell_bytes:
                first = min(offset for offset in (column[9], column.get(11, 0)) if offset > 0)
                pages = list(_pages(data, first, first + column[7]))
                n_words = sum(page.n_values for page in pages if page.is_dictionary)
                n_values = max(column[5], group[3], sum(page.n_values for page in pages) - n_words)
                cells += n_values
                memory += n_values * cell_bytes[path] + n_words * _WORD_BYTES
                page_bytes += sum(max(page.n_bytes, _LEAST_PAGE_BYTES) for page in pages)
                encodings.update(page.encoding for page in pages)
    return Demand(rows, cells, max(memory, rows * sum(cell_bytes.values())), page_bytes, frozenset(encodings))


class _Page(NamedTuple):
    is_dictionary: bool
    n_bytes: int
    n_values: int
    encoding: int


_LEAST_PAGE_BYTES, _WORD_BYTES = 256, 16
"""What a page counts for at least, so that their number is bounded, too; and what a word of a dictionary counts for."""

_VALUES_AND_ENCODING = {0: (5, 1, 2), 2: (7, 1, 2), 3: (8, 1, 4)}
"""For data pages, dictionaries and data pages of version 2: where the header states number and encoding of values."""


def _pages(data: bytes, start: int, end: int) -> Iterator[_Page]:
    """Yield what the page headers of one column chunk state."""
    reader = _Reader(data, start, end)
    while reader.at < end:
        header = reader.struct()
        if header[2] < 0:
            raise MalformedFile("a page of a negative size")
        if header[1] in _VALUES_AND_ENCODING:
            part, number, encoding = _VALUES_AND_ENCODING[header[1]]
            page = _Page(part == 7, header[2], header[part][number], header[part][encoding])
            if page.n_values < 0:
                raise MalformedFile("a page of a negative number of values")
            yield page
        reader.skip(header[3])


class _Reader:
    """Reads values of the Thrift compact protocol between two places of a file."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(data):
            raise MalformedFile("a column is outside the file")
        self._data, self.at, self._end = data, start, end

    def struct(self, depth: int = 0) -> Struct:
        """Return the struct that starts here, and move behind it."""
        fields: Struct = {}
        number = 0
        while (head := self._byte()) & 15 != _STOP:
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def skip(self, n: int) -> bytes:
        """Step over `n` bytes and return them."""
        if not 0 <= n <= self._end - self.at:
            raise MalformedFile("a page or field reaches beyond its column")
        self.at += n
        return self._data[self.at - n : self.at]

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _DEEPEST:
            raise MalformedFile("structs that are nested too deeply")
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind == _BINARY:
            return self.skip(self._unsigned())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_LIST, _SET):
            head = self._byte()
            n = head >> 4 if head >> 4 < 15 else self._unsigned()
            return [self._value(head & 15, depth + 1) for _ in range(n)]
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self.skip(8)
        raise MalformedFile("a field of an unknown type")

    def _byte(self) -> int:
        if self.at >= self._end:
            raise MalformedFile("a struct ends early")
        self.at += 1
        return self._data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise MalformedFile("a number of more than 64 bits")
        return value | byte << shift

    def _integer(self) -> int:
        value = self._unsigned()
        return -(value + 1 >> 1) if value & 1 else value >> 1
