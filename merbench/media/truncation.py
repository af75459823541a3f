"""Whether a media file ends before its container says, from the lengths in it.

FFmpeg reads what exists and stops; a file that was cut off between two packets looks like a shorter one. These
containers say how long they are: ISO base media (MP4, QuickTime), RIFF (WAV, AVI), Matroska and WebM, Ogg, and MPEG
program streams as far as their last packet. Of others nothing is known here.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

_UNKNOWN_32 = 0xFFFFFFFF
_PACK = b"\x00\x00\x01\xba"
_PACK_HEADERS = {0b0010: 12, 0b0011: 12, 0b0100: 14, 0b0101: 14, 0b0110: 14, 0b0111: 14}  # MPEG-1, MPEG-2
_LONGEST_PACK = 1 << 18
_OGG_PAGE = 27
_OGG_MAX_PAGE = _OGG_PAGE + 255 + 255 * 255


def is_cut_off(file: BinaryIO) -> bool:
    """Return whether a file ends too early; it is left at its beginning.

    False for an empty file, and for every format that does not say its length.
    """
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
        cut = _boxes_run_over(file, size)
    elif head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        cut = _chunks_run_over(file, size, "little" if head[:4] != b"RIFX" else "big")
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        cut = _segment_runs_over(file, size)
    elif head[:4] == b"OggS":
        cut = _last_page_runs_over(file, size)
    elif head[:4] == _PACK:
        cut = _last_pack_runs_over(file, size)
    else:
        cut = False
    file.seek(0)
    return cut


def _boxes_run_over(file: BinaryIO, size: int) -> bool:
    """ISO/IEC 14496-12: a box is its length, its type, and as many bytes; length 1 has it in 64 bits, 0 is the rest."""
    offset = 0
    kinds = set()
    while offset + 8 <= size:
        file.seek(offset)
        header = file.read(16)
        length, kind = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        if length == 0:
            return False
        if not kind.isalnum() or length < 8:
            break  # not a box: the last one ended before
        kinds.add(kind)
        offset += length
    return offset > size or b"moov" not in kinds


def _chunks_run_over(file: BinaryIO, size: int, order: str) -> bool:
    """RIFF (Microsoft and IBM, 1991): a chunk is its name, its length, and as many bytes, to an even number.

    The length of the file is not checked: many recorders write it wrong.
    """
    byte_order = "<" if order == "little" else ">"
    file.seek(8)
    lacks_samples = file.read(4) == b"WAVE"
    offset = 12
    while offset + 8 <= size:
        file.seek(offset)
        name, length = struct.unpack(f"{byte_order}4sI", file.read(8))
        if length == _UNKNOWN_32 or (name == b"data" and length == 0):
            return False  # written to a pipe, or the length is elsewhere
        lacks_samples = lacks_samples and name != b"data"
        offset += 8 + length
        if offset > size:
            return True
        offset += length % 2
    return lacks_samples


def _segment_runs_over(file: BinaryIO, size: int) -> bool:
    """EBML (RFC 8794): an element is its id, its length as a variable-length number, and as many bytes."""
    offset = 0
    for _ in range(2):  # the header, then the segment
        file.seek(offset)
        head = file.read(12)
        id_length = _length_of_number(head, 0)
        n_bytes = _length_of_number(head, id_length)
        if id_length == 0 or n_bytes == 0 or len(head) < id_length + n_bytes:
            return True
        digits = bytearray(head[id_length : id_length + n_bytes])
        digits[0] &= (1 << (8 - n_bytes)) - 1
        length = int.from_bytes(digits, "big")
        if length == (1 << (7 * n_bytes)) - 1:
            return False  # all ones: not known when it was written
        offset += id_length + n_bytes + length
    return offset > size


def _length_of_number(data: bytes, place: int) -> int:
    """Return in how many bytes an EBML number is written: as many as its first byte has leading zeros, and one."""
    return 9 - data[place].bit_length() if place < len(data) and data[place] else 0


def _last_page_runs_over(file: BinaryIO, size: int) -> bool:
    """RFC 3533: the header of a page has the number of its segments, then their lengths."""
    start = max(0, size - _OGG_MAX_PAGE)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + _OGG_PAGE:
        return True
    n_segments = tail[page + 26]
    lengths = tail[page + _OGG_PAGE : page + _OGG_PAGE + n_segments]
    return len(lengths) < n_segments or page + _OGG_PAGE + n_segments + sum(lengths) > len(tail)


def _last_pack_runs_over(file: BinaryIO, size: int) -> bool:
    """ISO/IEC 13818-1: a pack is its header, then packets of a start code, a length, and as many bytes."""
    file.seek(max(0, size - _LONGEST_PACK))
    tail = file.read()
    offset = tail.rfind(_PACK)
    if offset < 0 or len(tail) < offset + 5:
        return offset >= 0
    header = _PACK_HEADERS.get(tail[offset + 4] >> 4)
    if header is None:
        return False
    offset += header + (tail[offset + 13] & 7 if header == 14 and len(tail) > offset + 13 else 0)
    while offset + 6 <= len(tail) and tail[offset : offset + 3] == b"\x00\x00\x01" and tail[offset + 3] > 0xBA:
        offset += 6 + int.from_bytes(tail[offset + 4 : offset + 6], "big")
    return offset > len(tail)
