"""The bytes of a Parquet file go in, what its columns ask for comes out, without unpacking a page.

Conventions:
    The footer and the page headers are structs of the Thrift compact protocol, read here as dictionaries from field
    number to value: what Arrow offers for this ends the whole process on a damaged footer, and the sizes in the
    footer alone may lie. Field numbers are those of the Parquet format's `parquet.thrift`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from merbench.errors import CUT_OFF, Damage

MAGIC = b"PAR1"
_FOOTER_TAIL = 8
SMALLEST = len(MAGIC) + _FOOTER_TAIL
"""How many bytes a Parquet file has at least."""

_DEEPEST = 16

_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (*range(11), 12)

Struct = dict[int, Any]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a file's columns ask for: cells by its footer, unpacked bytes by its page headers."""

    cells: int
    page_bytes: int


def demand(data: bytes, cell_bytes: Mapping[str, int]) -> Demand:
    """Return what some columns of a Parquet file ask for.

    Args:
        data: the file.
        cell_bytes: for every column that will be read, what one cell of it counts for.

    Raises:
        Damage: the footer or a page header is damaged.
    """
    try:
        return _demand(data, cell_bytes)
    except (AttributeError, KeyError, TypeError, IndexError) as error:
        raise Damage("its footer or a page header is damaged") from error


def _demand(data: bytes, cell_bytes: Mapping[str, int]) -> Demand:
    end = len(data) - _FOOTER_TAIL
    start = end - int.from_bytes(data[end : end + 4], "little")
    if not data.endswith(MAGIC) or start < len(MAGIC):
        raise Damage(CUT_OFF)
    footer = _Reader(data, start, end).struct()
    cells, page_bytes = footer[3] * sum(cell_bytes.values()), 0
    chunk_cells = 0
    for group in footer[4]:
        for chunk in group[1]:
            column = chunk[3]
            name = column[3][0].decode()
            if name in cell_bytes:
                chunk_cells += column[5] * cell_bytes[name]
                first = min(offset for offset in (column[9], column.get(11, 0)) if offset > 0)
                page_bytes += _unpacked_bytes(data, first, first + column[7])
    return Demand(max(cells, chunk_cells), page_bytes)


def _unpacked_bytes(data: bytes, start: int, end: int) -> int:
    """Return the sum of the sizes that the page headers of one column chunk give for their unpacked pages."""
    reader = _Reader(data, start, end)
    total = 0
    while reader.at < end:
        header = reader.struct()
        unpacked, packed = header[2], header[3]
        if unpacked < 0:
            raise Damage("a page of a negative size")
        total += unpacked
        reader.skip(packed)
    return total


class _Reader:
    """Reads values of the Thrift compact protocol between two places of a file."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        if not 0 <= start <= end <= len(data):
            raise Damage("a column lies outside the file")
        self._data, self.at, self._end = data, start, end

    def struct(self, depth: int = 0) -> Struct:
        """Return the struct that starts here, and stand behind it."""
        if depth > _DEEPEST:
            raise Damage("a struct is nested too deeply")
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
            raise Damage("a page or field reaches beyond its column")
        self.at += n
        return self._data[self.at - n : self.at]

    def _value(self, kind: int, depth: int) -> Any:
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
        raise Damage("a field of an unknown type")

    def _byte(self) -> int:
        if self.at >= self._end:
            raise Damage("a struct ends early")
        self.at += 1
        return self._data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise Damage("a number of more than 64 bits")
        return value | byte << shift

    def _integer(self) -> int:
        value = self._unsigned()
        return -(value + 1 >> 1) if value & 1 else value >> 1
