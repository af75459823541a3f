"""Mutations of valid files: of any bytes, and of structures that a few changed bytes seldom get through.

Every mutation takes the bytes of a file and a generator of random numbers, and returns other bytes; the same generator
gives the same bytes.
"""

from __future__ import annotations

import base64
import gzip
import io
import pickletools
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

Mutation = Callable[[bytes, random.Random], bytes]

INTEGERS = (
    *(0, 1, -1, 2, 7, 127, 128, 255, 256, 65535, 1 << 20),
    *((1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63)),
)
TOKENS = (
    b'"', b"'", b",", b";", b"\n", b"\r", b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[31m",
    b"[", b"]", b"{", b"}", b"(", b")", b":", b"=", b"#", b"\\", b"\\ud800", b"\\u202e", "\u202e\u2028\u200b".encode(),
    b"nan", b"inf", b"-inf", b"1e999", b"-" * 9000, b"9" * 5000, b"[" * 2000, b"{" * 300, b"(" * 300, b"0x10", b"1_0",
    b"true", b"null", b"None", b"True,", b"-1", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"<U1114112",
    b"'V1000000'", b"|O", b"{a = 1}", b"::error ::x\n", b"x" * 3000, "é😀\U000e0041".encode(), b"\n[a]\n", b"'''", b'"""',
)  # fmt: skip


def scrambled(data: bytes, rng: random.Random) -> bytes:
    """Return data with bytes changed, cut, doubled or put in, and now and then bytes that are not a file at all."""
    if rng.random() < 0.01:
        return rng.randbytes(rng.randrange(200))
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        at = rng.randrange(len(mutated) + 1)
        match rng.randrange(8):
            case 0:
                mutated[at : at + 1] = bytes([rng.randrange(256)])
            case 1 if at < len(mutated):
                mutated[at] ^= 1 << rng.randrange(8)
            case 2:
                del mutated[at : at + rng.randint(1, 20)]
            case 3:
                start = rng.randrange(len(mutated) + 1)
                mutated[at:at] = mutated[start : start + rng.randint(1, 40)]
            case 4 if rng.random() < 0.3:
                del mutated[at:]
            case 5:
                size = rng.choice((1, 2, 4, 8))
                number = rng.choice(INTEGERS) & ((1 << 8 * size) - 1)
                mutated[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
            case _:
                mutated[at : at + rng.choice((0, 0, 1, 5))] = rng.choice(TOKENS)
    return bytes(mutated)


def packed(inner: Mutation, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]) -> Mutation:
    """Return a mutation of what is packed, or of the pack itself."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        return scrambled(data, rng) if rng.random() < 0.3 else pack(inner(unpack(data), rng))

    return mutate


_VALUE = re.compile(rb"""(?<=[=,:\[ ])(?:"[^"\n]*"|[+-]?\d[\d.e]*|true|false|\[[^\]\n]*\]|\{[^{}\n]*\})""")
_VALUES = (
    *(b"0", b"-1", b"1", b"2", b"0.5", b"1.5", b"0.7", b"-0.0", b"1e-9", b"1e9999", b"1e99999999", b"nan", b"inf", b"-inf", b"9" * 5000),
    *(b'""', b'"a"', b'"rate"', b'"test"', b'"gcnet_missing"', b'"step_drop"', b'"speaker"', b'"mixed"', b'"folds"', b'"\\u202e"', b"'x'"),
    *(b"true", b"[]", b"[[]]", b"[0.1, 0.1]", b"[1, true, 1.0]", b'["a", "av"]', b"[nan, nan]", b"[{}]", b"[0.0, -0.0]", b"{}"),
    *(b"{ uniform = [0, 0.7] }", b"{ uniform = [1, 0] }", b"{ choice = [0, 0.7] }", b"{ choice = [] }", b'{ name = "gcnet_missing", rate = 1 }'),
    *(b"2024-01-01", b"{ a = { b = [{}] } }", b"1..5", b"5..1:0.5", b"1e9..1e99999999:1", b"0..1:1e-9", b"0..0.7:0.1"),
)  # fmt: skip


def toml(data: bytes, rng: random.Random) -> bytes:
    """Return TOML, or other text of `name = value`, with other values or changed bytes."""
    if rng.random() < 0.3:
        return scrambled(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = [match.span() for match in _VALUE.finditer(data)]
        if not places:
            break
        (start, end), other = rng.choice(places), rng.choice(places)
        value = data[slice(*other)] if rng.random() < 0.3 else rng.choice(_VALUES)
        data = data[:start] + value + data[end:]
    return data


gzipped = packed(scrambled, lambda data: gzip.compress(data, 1), gzip.decompress)
zstd_packed = packed(
    scrambled,
    lambda data: bytes(pa.compress(data, "zstd", asbytes=True)),
    lambda data: pa.CompressedInputStream(pa.BufferReader(data), "zstd").read(),
)


def npy(data: bytes, rng: random.Random) -> bytes:
    """Return an `.npy` file with another header, whose length is right more often than not, or other items."""
    if not data.startswith(b"\x93NUMPY") or rng.random() < 0.2:
        return scrambled(data, rng)
    size = int.from_bytes(data[8:10], "little")
    header, items = data[10 : 10 + size], data[10 + size :]
    choice = rng.random() + (0.5 if b"|O" in header else 0)  # a pickle is changed more often than its header
    if choice < 0.5:
        header = scrambled(header, rng)
    elif choice < 0.8:
        kind = rng.choice(("<U3", "<U0", ">U9", "|S4", "<f4", ">f8", "<f2", "<i2", "|b1", "<c8", "<M8[s]", "<m8[D]", "|O", "|V8",
                           "<U1114112", "<U536870911", "[('a', '<f8')]", "<f16"))  # fmt: skip
        shape = rng.choice(
            ("(12,)", "(True,)", "(-1,)", "(12, 1)", "()", "(0,)", "(1.0,)", "(99999999999999999999,)", "(3,)")
        )
        order = rng.choice(("True", "False", "0", "None"))
        text = f"{{'descr': {kind if kind[0] == '[' else repr(kind)}, 'fortran_order': {order}, 'shape': {shape}, }}"
        header = (text + "\n").encode()
    elif b"|O" in header:
        items = pickled(items, rng)
    else:
        items = scrambled(items, rng)
    version = rng.choice((1, 1, 1, 1, 2, 3))
    length = struct.pack("<H" if version == 1 else "<I", len(header) & 0xFFFF)
    return b"\x93NUMPY" + bytes([version, rng.choice((0, 0, 0, 0, 0, 1))]) + length + header + items


def pickled(data: bytes, rng: random.Random) -> bytes:
    """Return a pickle with operations removed, doubled, swapped, put in, or with other arguments."""
    try:
        places = [place for _, _, place in pickletools.genops(data) if place is not None]
    except Exception:
        return scrambled(data, rng)
    pieces = [data[start:end] for start, end in zip(places, [*places[1:], len(data)], strict=True)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(pieces))
        match rng.randrange(6):
            case 0:
                del pieces[at]
            case 1:
                pieces[at:at] = pieces[at : at + rng.randint(1, 4)]
            case 2:
                pieces[at] = scrambled(pieces[at], rng)
            case 3:
                pieces[at] = rng.choice(pieces)
            case _:
                pieces[at:at] = [rng.choice(OPERATIONS)]
        if not pieces:
            return b""
    return b"".join(pieces)


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


OPERATIONS = (
    b"0", b"1", b"2", b"(", b")", b"]", b"}", b"\x8f", b"N", b"\x88", b"\x89", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e", b"s",
    b"u", b"\x90", b"R", b"b", b"\x81", b"\x92", b"o", b"\x93", b"\x94", b"\x97", b"\x98", b"h\0", b"h\1", b"h\2",
    b"r\xff\xff\xff\x0b", b"q\xff", b"p1000000000\n", b"j\xff\xff\xff\x7f", b"\x8c\x02O8", b"\x8c\x03V16", b"\x8c\x02f8",
    b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"cnumpy._core.multiarray\nscalar\n", b"cnumpy._core.multiarray\n_reconstruct\n",
    b"c_codecs\nencode\n", b"cos\nsystem\n", b"\x8d" + b"\xff" * 8, b"\x8e" + b"\xff" * 7 + b"\x7f", b"\x96" + b"\0" * 8,
    b"\x95" + b"\xff" * 8, b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\x7f", b"\x8b\xff\xff\xff\xff",
    b"C\x04abcd", b"\x8c\x03\xed\xa0\x80", b"I" + b"9" * 5000 + b"\n", b"L" + b"9" * 5000 + b"L\n", b"Fnan\n", b"K\x05",
    _number(-1), _number(1 << 30), b".",
)  # fmt: skip
"""Operations that are put into a pickle: they build, call, look up, remember, and ask for sizes that do not exist."""


def zipped(inner: Callable[[str], Mutation]) -> Mutation:
    """Return a mutation of one member of a ZIP archive, checksums set right, of its directory, or of its bytes."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.15:
            return scrambled(data, rng)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        at = rng.randrange(len(members))
        name, content = members[at]
        choice = rng.random()
        if choice < 0.75:
            members[at] = (name, inner(name)(content, rng))
        elif choice < 0.8:
            members.append((rng.choice((name, name.removesuffix(".npy"), name.upper())), content))
        elif choice < 0.85:
            del members[at]
        elif choice < 0.9:
            odd = ("../x.npy", "é\u202e.npy", "a\n.npy", "", "x" * 5000, "filenames.npy", "\0.npy", name[1:])
            members[at] = (rng.choice(odd), content)
        else:
            members = members * rng.choice((2, 3)) + [(f"{i}.npy", b"") for i in range(rng.choice((1, 5, 1001)))]
        deflate = rng.random() < 0.3
        archived = zip_archive(members, deflate=deflate)
        return _redirected(archived, rng) if rng.random() < 0.1 else archived

    return mutate


def zip_archive(members: Sequence[tuple[str, bytes]], *, deflate: bool = False) -> bytes:
    """Return a ZIP archive of members, which may have any names, and any name twice."""
    body, directory = bytearray(), bytearray()
    for name, content in members:
        stored = content
        if deflate:
            pack = zlib.compressobj(1, zlib.DEFLATED, -15)
            stored = pack.compress(content) + pack.flush()
        text = name.encode("utf-8", "surrogatepass")
        sizes = struct.pack("<III", zlib.crc32(content), len(stored), len(content))
        common = (
            struct.pack("<HHHHH", 20, 0x800, 8 if deflate else 0, 0, 0x21) + sizes + struct.pack("<HH", len(text), 0)
        )
        directory += b"PK\1\2" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, len(body)) + text
        body += b"PK\3\4" + common + text + stored
    n = min(len(members), 65535)
    return bytes(body + directory) + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, n, n, len(directory), len(body), 0)


def _redirected(archive: bytes, rng: random.Random) -> bytes:
    """Return an archive with other flags, methods, sizes or offsets in its directory."""
    mutated = bytearray(archive)
    places = [at for at in range(len(mutated) - 46) if mutated[at : at + 4] == b"PK\1\2"]
    if places:
        field, size = rng.choice(
            ((6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (38, 4), (42, 4))
        )
        start = rng.choice(places) + field
        mutated[start : start + size] = (rng.choice(INTEGERS) & ((1 << 8 * size) - 1)).to_bytes(size, "little")
    return bytes(mutated)


# --- Parquet: structs of the Thrift compact protocol as lists of [number, kind, value] ---

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
Field = list[Any]


class _Thrift:
    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def struct(self) -> list[Field]:
        fields: list[Field] = []
        number = 0
        while (head := self._byte()) & 15:
            number = number + (head >> 4) if head >> 4 else self._integer()
            fields.append([number, head & 15, self._value(head & 15, top=True)])
        return fields

    def _value(self, kind: int, *, top: bool = False) -> Any:
        if kind in (_TRUE, _FALSE):
            return None if top else self._byte()
        if kind == _BYTE:
            return self._byte()
        if kind in (_I16, _I32, _I64):
            return self._integer()
        if kind in (_BINARY, _DOUBLE):
            n = 8 if kind == _DOUBLE else self._unsigned()
            self.at += n
            return self.data[self.at - n : self.at]
        if kind in (_LIST, _SET):
            head = self._byte()
            n = head >> 4 if head >> 4 < 15 else self._unsigned()
            return [head & 15, [self._value(head & 15) for _ in range(n)]]
        if kind == _STRUCT:
            return self.struct()
        raise ValueError(f"kind {kind}")

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value |= (byte & 127) << shift
            shift += 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._unsigned()
        return -(value + 1 >> 1) if value & 1 else value >> 1


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)


def _thrift_value(kind: int, value: Any) -> bytes:
    if kind in (_TRUE, _FALSE):
        return b"" if value is None else bytes([value & 255])
    if kind == _BYTE:
        return bytes([value & 255])
    if kind in (_I16, _I32, _I64):
        return _zigzag(value)
    if kind == _DOUBLE:
        return bytes(value)
    if kind == _BINARY:
        return _varint(len(value)) + value
    if kind == _STRUCT:
        return thrift(value)
    inner, items = value
    head = bytes([len(items) << 4 | inner]) if len(items) < 15 else bytes([240 | inner]) + _varint(len(items))
    return head + b"".join(_thrift_value(inner, item) for item in items)


def thrift(fields: Sequence[Field]) -> bytes:
    """Return a struct in the Thrift compact protocol."""
    return (
        b"".join(bytes([kind]) + _zigzag(number) + _thrift_value(kind, value) for number, kind, value in fields) + b"\0"
    )


def _structs(fields: list[Field]) -> list[list[Field]]:
    """Return a struct and all structs in it."""
    result = [fields]
    for _, kind, value in fields:
        if kind == _STRUCT:
            result += _structs(value)
        elif kind in (_LIST, _SET) and value[0] == _STRUCT:
            for item in value[1]:
                result += _structs(item)
    return result


def _mutate_field(fields: list[Field], rng: random.Random) -> None:
    """Change one field of a struct, or of one of the structs in it."""
    structs = [item for item in _structs(fields) if item]
    if not structs:
        return
    chosen = rng.choice(structs)
    at = rng.randrange(len(chosen))
    number, kind, value = chosen[at]
    choice = rng.random()
    if choice < 0.07:
        del chosen[at]
    elif choice < 0.1:
        chosen[at] = [rng.randrange(1, 20), kind, value]
    elif choice < 0.16:  # any field of any type, such as those that the file does not use
        chosen.append(rng.choice((
            [rng.randrange(1, 20), _I32, rng.choice(INTEGERS)], [rng.randrange(1, 20), _I64, rng.choice(INTEGERS)],
            [rng.randrange(1, 20), _BINARY, rng.randbytes(rng.randrange(9))], [rng.randrange(1, 20), _TRUE, None],
            [rng.randrange(1, 20), _STRUCT, [[rng.randrange(1, 8), _STRUCT, []]]],
            [rng.randrange(1, 20), _LIST, [_I64, [rng.choice(INTEGERS) for _ in range(rng.randrange(4))]]],
        )))  # fmt: skip
    elif kind in (_I16, _I32, _I64, _BYTE):
        small = value + rng.choice((-2, -1, 1, 2)) if rng.random() < 0.4 else rng.randrange(12)
        chosen[at][2] = small if rng.random() < 0.6 else rng.choice(INTEGERS)
    elif kind == _BINARY:
        chosen[at][2] = _arrow_schema(value, rng) if number == 2 and len(value) > 200 else scrambled(value, rng)
    elif kind in (_LIST, _SET) and value[1]:
        items = value[1]
        place = rng.randrange(len(items))
        match rng.randrange(4):
            case 0:
                del items[place]
            case 1:
                items.extend([items[place]] * rng.choice((1, 1, 30)))
            case 2:
                items.insert(0, items[place])
            case _ if value[0] == _I64 or value[0] == _I32:
                items[place] = rng.choice(INTEGERS)
    elif kind in (_TRUE, _FALSE):
        chosen[at][1] = _TRUE + _FALSE - kind


ODD_TYPES = (
    *(getattr(pa, name)() for name in ("uuid", "bool8", "json_") if hasattr(pa, name)),
    pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.float64()), pa.run_end_encoded(pa.int32(), pa.string()),
    pa.dense_union([pa.field("a", pa.string())]), pa.sparse_union([pa.field("a", pa.string())]), pa.map_(pa.string(), pa.string()),
    pa.list_view(pa.string()), pa.large_list(pa.string()), pa.list_(pa.string(), 3), pa.string_view(), pa.large_string(),
    pa.binary(5), pa.duration("s"), pa.month_day_nano_interval(), pa.decimal128(38, 5), pa.decimal256(76, 5), pa.null(), pa.bool_(),
    pa.timestamp("ns", "Nowhere/Land"), pa.time32("s"), pa.float16(), pa.uint64(), pa.date64(),
    pa.fixed_shape_tensor(pa.float64(), [2, 2]),
    pa.dictionary(pa.int32(), pa.list_(pa.string())), pa.struct([("a", pa.dictionary(pa.int8(), pa.string()))]),
)  # fmt: skip


def _arrow_schema(value: bytes, rng: random.Random) -> bytes:
    """Return another stored Arrow schema: with columns of odd types, or with changed bytes."""
    try:
        stored = base64.b64decode(value)
        if rng.random() < 0.6:
            schema = pa.ipc.read_schema(pa.py_buffer(stored))
            for at in range(len(schema)):
                if rng.random() < 0.5:
                    schema = schema.set(at, schema.field(at).with_type(rng.choice(ODD_TYPES)))
            stored = schema.serialize().to_pybytes()
        if rng.random() < 0.5:
            stored = scrambled(stored, rng)
        return base64.b64encode(stored)
    except (ValueError, pa.ArrowException, OSError):
        return scrambled(value, rng)


def _field(fields: list[Field], number: int) -> Any:
    return next((field[2] for field in fields if field[0] == number), None)


def with_footer(data: bytes, change: Callable[[list[Field]], None]) -> bytes:
    """Return a Parquet file whose footer was changed."""
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = _Thrift(data, end).struct()
    change(footer)
    stored = thrift(footer)
    return data[:end] + stored + struct.pack("<I", len(stored)) + b"PAR1"


def field_of(fields: list[Field], *path: int) -> Any:
    """Return the value of a field in structs and lists of structs; numbers of fields and places in lists by turns."""
    value: Any = fields
    for step in path:
        if value and isinstance(value[0], int):  # a list: kind of its items, items
            value = value[1][step]
        else:
            value = next(field[2] for field in value if field[0] == step)
    return value


def parquet(data: bytes, rng: random.Random) -> bytes:
    """Return a Parquet file with fields of its footer or of a page header changed, or bytes of a page."""
    if rng.random() < 0.1:
        return scrambled(data, rng)
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    body, footer = bytearray(data[:end]), _Thrift(data, end).struct()
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        choice = rng.random()
        if choice < 0.5:
            _mutate_field(footer, rng)
        elif choice < 0.9:
            with suppress(TypeError, ValueError, IndexError):  # of a footer that was changed before
                _mutate_page(body, footer, rng)
        else:
            at = rng.randrange(4, len(body))
            body[at] = rng.randrange(256)
    try:
        stored = thrift(footer)
    except (TypeError, ValueError, IndexError):  # a field of another type was taken for an offset
        return scrambled(data, rng)
    return bytes(body) + stored + struct.pack("<I", len(stored)) + b"PAR1"


def _mutate_page(body: bytearray, footer: list[Field], rng: random.Random) -> None:
    """Write the first page of one column again, changed, at the end of the file, and point the column there."""
    groups = _field(footer, 4)
    columns = [column for group in (groups[1] if groups else ()) for column in (_field(group, 1) or [0, []])[1]]
    if not columns:
        return
    metadata = _field(rng.choice(columns), 3) or []
    places = [_field(metadata, 11), _field(metadata, 9)]
    start = min((place for place in places if place), default=None)
    size = _field(metadata, 7)
    if start is None or size is None or not 0 < start < start + size <= len(body):
        return
    reader = _Thrift(bytes(body), start)
    pages = []  # of one chunk: header, bytes
    try:
        while reader.at < start + size:
            header = reader.struct()
            n = _field(header, 3)
            pages.append((header, bytes(body[reader.at : reader.at + n])))
            reader.at += n
    except (IndexError, ValueError, TypeError):
        return
    at = rng.randrange(len(pages))
    header, content = pages[at]
    if rng.random() < 0.6:
        _mutate_field(header, rng)
    else:
        changed = bytearray(content or b"\0")
        for _ in range(rng.choice((1, 1, 3))):
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 255, rng.randrange(256)))
        content = bytes(changed)
    if rng.random() < 0.1:
        pages[at:at] = [pages[at]] * rng.choice((1, 3))
    written = [
        (thrift(header if i == at else item), content if i == at else rest) for i, (item, rest) in enumerate(pages)
    ]
    moved, new_start = [], len(body)
    for head, rest in written:
        moved.append(len(body))
        body += head + rest
    for entry in metadata:
        if entry[0] == 11:
            entry[2] = new_start
        elif entry[0] == 9:
            has_dictionary = _field(metadata, 11) is not None
            entry[2] = moved[1] if has_dictionary and len(moved) > 1 else new_start
        elif entry[0] == 7:
            entry[2] = len(body) - new_start
