"""What a language model is given of a clip: frames or faces as JPEG, sound as WAV, or the clip itself.

Conventions:
    Of L pictures n are sent, at equal distances: with L cut to a multiple of n, those of numbers 0, L/n, 2L/n, … (Lian
    et al. 2024, of 9 pictures the first, fourth and seventh). A clip with fewer pictures is sent whole. Pictures are
    upright, and made smaller if a side is longer than `longest_side`; a JPEG file that is small enough is sent as it is
    unless it notes how it is to be turned. Sound has one channel at 16 kHz and 16 bits.
    A clip is identified by the SHA-256 of its file, so that nothing is decoded to find a stored answer.
"""

from __future__ import annotations

import base64
import io
import math
import threading
import wave
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.video.pictures import shown
from merbench.errors import Inapplicable, MissingExtra, UnreadableMedia
from merbench.features.clips import FaceSearch, feed
from merbench.features.extractor import Picture
from merbench.features.sound import one_channel
from merbench.files.reading import size_text
from merbench.media import opened, read_audio, read_video

Kind = Literal["frames", "faces", "audio", "video"]

KINDS: tuple[Kind, ...] = ("frames", "faces", "audio", "video")
"""What can be sent of a clip."""

QUALITY = 90
"""Of JPEG, from 0 to 100."""

RATE_HZ = 16_000

MOST_VIDEO_BYTES = 64_000_000
"""The largest clip that is sent as it is."""

TOKENS_PER_TILE, TOKENS_PER_PICTURE, TILE = 170, 85, 512
TOKENS_PER_SECOND = {"audio": 25, "video": 260}
"""How tokens are estimated: of a picture as OpenAI states it, of sound and video about as open models count them."""

_HEADER_BYTES = 1 << 16

_MIME = {".webm": "video/webm", ".mov": "video/quicktime", ".avi": "video/x-msvideo", ".mkv": "video/x-matroska"}


@dataclass(frozen=True, slots=True)
class ClipPart:
    """One thing that is sent of a clip."""

    kind: Kind
    path: Path
    sha256: str  # of the clip's file
    n: int  # how many frames or faces
    longest_side: int  # of a picture in pixels

    @property
    def canonical(self) -> dict[str, Any]:
        """What identifies it, ready for JSON."""
        pictures = {"n": self.n, "longest_side": self.longest_side} if self.kind in ("frames", "faces") else {}
        return {"type": self.kind, "clip": self.sha256, **pictures}

    @property
    def n_tokens(self) -> int:
        """An estimate of its tokens; see `TOKENS_PER_PICTURE`.

        Raises:
            UnreadableMedia: the length of the clip cannot be read.
        """
        if self.kind in ("frames", "faces"):
            tiles = math.ceil(self.longest_side / TILE) ** 2
            return self.n * (TOKENS_PER_PICTURE + TOKENS_PER_TILE * tiles)
        with opened(self.path) as media:
            return math.ceil(media.duration_s * TOKENS_PER_SECOND[self.kind])

    def encoded(self) -> list[dict[str, Any]]:
        """Return it as parts of a message.

        Raises:
            UnreadableMedia: the clip is broken, has no such stream, or is too large.
            Inapplicable: it shows no face.
        """
        if self.kind == "audio":
            data = base64.b64encode(_wav(self.path)).decode()
            return [{"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}]
        if self.kind == "video":
            return [{"type": "video_url", "video_url": {"url": _video_url(self.path)}}]
        if self.kind == "frames" and (jpeg := _small_jpeg(self.path, self.longest_side)):
            return [_picture(jpeg)]
        pictures = _frames(self.path, self.n) if self.kind == "frames" else _faces(self.path, self.sha256, self.n)
        return [_picture(_jpeg(rgb, self.longest_side)) for rgb in pictures]


def evenly(n_pictures: int, n: int) -> list[int]:
    """Return the numbers of n pictures at equal distances; see the module's conventions."""
    if n_pictures <= n:
        return list(range(n_pictures))
    step = n_pictures // n
    return [step * place for place in range(n)]


def _frames(path: Path, n: int) -> list[NDArray[np.uint8]]:
    """Return n frames of a clip; those after the last one are not decoded unless the container counts wrongly."""
    with opened(path) as media:
        n_pictures = sum(bool(packet.size) for packet in media.packets(media.require_video()))
    while True:
        places = set(evenly(n_pictures, n))
        chosen, n_decoded = [], 0
        for number, frame in enumerate(read_video(path).frames):
            n_decoded = number + 1
            if number in places:
                chosen.append(shown(frame, {}).copy())
            if len(chosen) == len(places):
                return chosen
        n_pictures = n_decoded  # a packet that shows no picture was counted


_one_search = threading.Lock()
"""The detector of faces is not made for several threads."""


def _faces(path: Path, sha256: str, n: int) -> list[NDArray[np.uint8]]:
    with _one_search, ExitStack() as stack:
        search, problems = FaceSearch(sha256, None, stack), dict[Any, str]()
        if search.needs_pictures:
            feed({path: search}, map(Picture, read_video(path).frames), problems)
        if problems:
            raise Inapplicable(problems[path])
        faces = search.faces()
        places = set(evenly(len(faces), n))
        return [face.rgb for number, face in enumerate(faces) if number in places]


def _picture(jpeg: bytes) -> dict[str, Any]:
    url = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def _small_jpeg(path: Path, longest_side: int) -> bytes:
    """Return the bytes of a JPEG file that can be sent as it is; empty for any other file."""
    with path.open("rb") as file:
        beginning = file.read(_HEADER_BYTES)
        if not beginning.startswith(b"\xff\xd8\xff") or b"Exif\0" in beginning:
            return b""
        with opened(path) as media:
            stream = media.require_video()
            if max(stream.width, stream.height) > longest_side:
                return b""
        return beginning + file.read()


def _jpeg(rgb: NDArray[np.uint8], longest_side: int) -> bytes:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise MissingExtra("sending frames (OpenCV)", "media") from error
    height, width = rgb.shape[:2]
    share = longest_side / max(height, width)
    if share < 1:
        size = (max(round(width * share), 1), max(round(height * share), 1))
        rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


def _wav(path: Path) -> bytes:
    sound = one_channel(read_audio(path), RATE_HZ).samples[0]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes((np.clip(sound, -1, 1) * 32767).round().astype("<i2").tobytes())
    return file.getvalue()


def _video_url(path: Path) -> str:
    size = path.stat().st_size
    if size > MOST_VIDEO_BYTES:
        raise UnreadableMedia(path, f"has {size_text(size)}; at most {size_text(MOST_VIDEO_BYTES)} are sent as video")
    mime = _MIME.get(path.suffix.lower(), "video/mp4")
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"
