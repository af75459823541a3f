"""The bytes of a Parquet file go in, a `Sheet` comes out.

Conventions:
    What a file asks for is known before a page is unpacked; text stays dictionary-encoded until its length is known.
    Of what Arrow knows about a file, only its schema is asked: the metadata of column chunks end the whole process
    where a file states them wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.errors import CUT_OFF, MalformedFile
from merbench.submission.content import Content
from merbench.submission.pages import MAGIC, PLAIN_ENCODINGS, SMALLEST, demand, read_footer
from merbench.submission.sheet import Wanted, column_problem, is_list, table_sheet, text_bytes
from merbench.targets.sheet import SEGMENT_FIELDS, Sheet

_TEXT_CELL_BYTES, _NUMBER_CELL_BYTES = 64, 8
"""What a cell counts for at least."""

_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, MemoryError, OverflowError, KeyError, IndexError)


def read_parquet(content: Content, wanted: Wanted) -> Sheet:
    """Return the sheet of a Parquet file.

    Raises:
        InvalidSubmission: the file is corrupted, or asks for more than is read.
    """
    try:
        return _read(content, wanted)
    except _DAMAGE as error:
        raise content.damaged(error) from error


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
        raise MalformedFile("columns that cannot be told apart by their names")
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
    found = (*(problem for problem in problems.values() if problem), *sheet.problems)
    n_rows = table.num_rows if leaves else asked.rows
    return replace(sheet, names=tuple(schema.names), n_rows=n_rows, problems=found)


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
