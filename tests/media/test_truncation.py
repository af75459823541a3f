"""A file that ends early is recognised by the lengths in its container."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_media import Pictures, Sound, make_clip

from merbench.media.truncation import is_cut_off

_PROGRAM = {"codec": "mpeg1video", "tick": Fraction(1, 25)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the bytes of a complete file of every container that says how long it is."""
    folder = tmp_path_factory.mktemp("complete")
    short = Pictures(4, tick=Fraction(1, 25))
    made = {
        "mp4": make_clip(folder / "a.mp4", short, Sound(codec="aac", sample_format="fltp"), "mp4"),
        "mov": make_clip(folder / "a.mov", short, Sound(), "mov"),
        "matroska": make_clip(folder / "a.mkv", short, Sound(), "matroska"),
        "avi": make_clip(folder / "a.avi", short, Sound(), "avi"),
        "wav": make_clip(folder / "a.wav", None, Sound(0.03), "wav"),
        "ogg": make_clip(folder / "a.ogg", None, Sound(codec="flac"), "ogg"),
        "mpeg": make_clip(folder / "a.mpg", Pictures(12, **_PROGRAM), Sound(codec="mp2", rate_hz=44100), "mpeg"),
    }
    return {name: path.read_bytes() for name, path in made.items()}


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "avi", "wav", "ogg", "mpeg"])
def test_a_complete_file_is_not_cut_off_and_is_left_at_its_beginning(files: dict[str, bytes], container: str) -> None:
    file = io.BytesIO(files[container])
    assert not is_cut_off(file)
    assert file.tell() == 0


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "wav"])
@given(share=st.floats(0.05, 0.999))
def test_a_cut_anywhere_is_recognised(files: dict[str, bytes], container: str, share: float) -> None:
    data = files[container]
    assert is_cut_off(io.BytesIO(data[: int(len(data) * share)]))


@pytest.mark.parametrize("container", ["avi", "ogg", "mpeg"])
@pytest.mark.parametrize("missing", [1, 100])
def test_a_missing_end_is_recognised(files: dict[str, bytes], container: str, missing: int) -> None:
    assert is_cut_off(io.BytesIO(files[container][:-missing]))


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "wav"])
def test_further_bytes_after_the_end_are_ignored(files: dict[str, bytes], container: str) -> None:
    assert not is_cut_off(io.BytesIO(files[container] + bytes(999)))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x1aE\xdf\xa3",
        b"OggS",
        b"RIFF",
        b"RF64\xff\xff\xff\xffWAVE",
        b"\x00\x00\x01\xba",
        b"\x00\x00\x00\x20ftyp",
    ],
)
@given(tail=st.binary(max_size=60))
def test_other_bytes_and_broken_headers_raise_nothing(head: bytes, tail: bytes) -> None:
    file = io.BytesIO(head + tail)
    assert isinstance(is_cut_off(file), bool)
    assert file.tell() == 0


def test_a_file_written_to_a_pipe_does_not_say_its_length(files: dict[str, bytes]) -> None:
    wav = bytearray(files["wav"])
    wav[4:8] = wav[wav.index(b"data") + 4 : wav.index(b"data") + 8] = b"\xff" * 4
    assert not is_cut_off(io.BytesIO(bytes(wav[:-100])))
    assert not is_cut_off(io.BytesIO(b""))


def test_the_number_of_a_live_segment_is_all_ones(tmp_path: Path) -> None:
    assert not is_cut_off(io.BytesIO(b"\x1aE\xdf\xa3\x80\x18S\x80g\x01" + b"\xff" * 7))
    assert is_cut_off(
        io.BytesIO(b"\x1aE\xdf\xa3\x80\x18S\x80g\x88" + bytes(7))
    )  # eight bytes are declared, seven follow
