"""Sound in an MP4 that begins later than the pictures, exact to the sample, which FFmpeg's writer cannot do.

Conventions:
    ISO/IEC 14496-12: a box is four bytes of length, four of type, and a content, which may be boxes again. An edit list
    says which part of a stream is played when; an edit of media time -1 plays nothing for its duration.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import BinaryIO

Box = tuple[bytes, bytes]
Change = Callable[[bytes], bytes]

_EMPTY = -1
_PLAYED = b"\x00\x01\x00\x00"  # at the normal rate


def begin_later(file: BinaryIO, delay_s: Fraction) -> None:
    """Let the sound of a finished MP4, which begins with the clip, begin later.

    FFmpeg's own way is to shift the packets, which turns what the decoder would take off the beginning of AAC into
    audible samples. Here an empty edit goes before the one that takes them off.

    Args:
        file: the MP4, open for reading and writing, whose last box is `moov`, as FFmpeg writes it.
        delay_s: by how many seconds.
    """
    offset, movie = _last_box(file)
    boxes = _boxes(movie)
    ticks = round(delay_s * _timescale(dict(boxes)[b"mvhd"]))
    ends = [_duration(kind, content) for kind, content in boxes if kind == b"mvhd"]

    def delayed(kind: bytes, content: bytes) -> bytes:
        if kind != b"trak" or not _is_sound(content):
            return content
        changed = _changed(content, {b"tkhd": lambda head: _lengthened(b"tkhd", head, ticks), b"edts": edits})
        ends.append(_duration(b"tkhd", dict(_boxes(changed))[b"tkhd"]))
        return changed

    def edits(content: bytes) -> bytes:
        return _changed(content, {b"elst": lambda entries: _with_empty_edit(entries, ticks)})

    tracks = [(kind, delayed(kind, content)) for kind, content in boxes]
    end = max(ends)
    movie = _joined([(kind, _with_duration(kind, c, end) if kind == b"mvhd" else c) for kind, c in tracks])
    file.seek(offset)
    file.write(_joined([(b"moov", movie)]))
    file.truncate()


def _last_box(file: BinaryIO) -> tuple[int, bytes]:
    size = file.seek(0, 2)
    offset = 0
    while True:
        file.seek(offset)
        length, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = struct.unpack(">Q", file.read(8))[0], 16
        if offset + length >= size:
            break
        offset += length
    if kind != b"moov":
        raise ValueError("the last box of the MP4 is not moov")
    return offset, file.read(length - head)


def _boxes(content: bytes) -> list[Box]:
    boxes = []
    offset = 0
    while offset + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, offset)
        boxes.append((kind, content[offset + 8 : offset + length]))
        offset += length
    return boxes


def _joined(boxes: Sequence[Box]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + len(content), kind) + content for kind, content in boxes)


def _changed(content: bytes, changes: dict[bytes, Change]) -> bytes:
    return _joined([(kind, changes[kind](inner) if kind in changes else inner) for kind, inner in _boxes(content)])


def _is_sound(track: bytes) -> bool:
    media = dict(_boxes(dict(_boxes(track))[b"mdia"]))
    return media[b"hdlr"][8:12] == b"soun"


def _timescale(movie_header: bytes) -> int:
    return int(struct.unpack_from(">I", movie_header, 20 if movie_header[0] else 12)[0])


def _place(kind: bytes, header: bytes) -> tuple[str, int]:
    """Return how and where a header has its duration: in 32 bits, or in 64 where its version is 1."""
    wide = bool(header[0])
    if kind == b"mvhd":
        return (">Q", 24) if wide else (">I", 16)
    return (">Q", 28) if wide else (">I", 20)


def _duration(kind: bytes, header: bytes) -> int:
    form, offset = _place(kind, header)
    return int(struct.unpack_from(form, header, offset)[0])


def _with_duration(kind: bytes, header: bytes, duration: int) -> bytes:
    form, offset = _place(kind, header)
    longest = (1 << (64 if form == ">Q" else 32)) - 1
    changed = bytearray(header)
    struct.pack_into(form, changed, offset, min(duration, longest))
    return bytes(changed)


def _lengthened(kind: bytes, header: bytes, ticks: int) -> bytes:
    return _with_duration(kind, header, _duration(kind, header) + ticks)


def _with_empty_edit(entries: bytes, ticks: int) -> bytes:
    """Return an edit list with an empty edit before the others, all of them in 64 bits."""
    form = ">Qq4s" if entries[0] else ">Ii4s"
    n_edits = struct.unpack_from(">I", entries, 4)[0]
    size = struct.calcsize(form)
    edits = [struct.unpack_from(form, entries, 8 + size * number) for number in range(n_edits)]
    edits = [(ticks, _EMPTY, _PLAYED), *edits]
    return struct.pack(">B3xI", 1, len(edits)) + b"".join(struct.pack(">Qq4s", *edit) for edit in edits)
