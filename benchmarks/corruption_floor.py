"""The parts of `corruption.py` that no program can do without, each timed by itself.

Conventions:
    Decoding, filters, digests and encoding of the pictures, and all that becomes of the sound, are called as barely as
    PyAV, OpenCV and hashlib allow, in one thread, one clip after the other; only their calls are timed. Pictures are
    planes of 8-bit 4:2:0, held in memory between the parts.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corruptions import Audio
from merbench.media.reading import audio_at_rate
from merbench.media.writing import Encoding, declare_audio, declare_video

PARTS = ("decoding", "filters", "digests", "encoding", "sound")

Planes = list[np.ndarray]


def floor(clips: Sequence[Path], factor: int, spec: Encoding) -> dict[str, float]:
    """Return the seconds that each part takes, over all clips."""
    found = dict.fromkeys(PARTS, 0.0)
    for clip in clips:
        found["decoding"] += _decoding_s(clip)
        frames, rate = _frames(clip)
        found["filters"] += _filters_s(frames, factor)
        found["digests"] += _digests_s(clip, frames)
        found["encoding"] += _encoding_s(frames, rate, spec)
        found["sound"] += _sound_s(clip, spec)
    return found


def _pictures(container: Any) -> Any:
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return container.decode(stream)


def _decoding_s(clip: Path) -> float:
    import av

    start = time.perf_counter()
    with av.open(str(clip)) as container:
        for _ in _pictures(container):
            pass
    return time.perf_counter() - start


def _frames(clip: Path) -> tuple[list[Planes], Fraction]:
    """Return the planes of every picture, contiguous, and the rate."""
    import av

    with av.open(str(clip)) as container:
        rate = Fraction(container.streams.video[0].average_rate or 25)
        return [[_contiguous(plane) for plane in picture.planes] for picture in _pictures(container)], rate


def _contiguous(plane: Any) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].copy()


def _filters_s(frames: Sequence[Planes], factor: int) -> float:
    """Blur all planes in place; those of colour differences, of half the size, go one step less."""
    start = time.perf_counter()
    steps = factor.bit_length() - 1
    for luma, *chroma in frames:
        _down_and_up(luma, steps)
        for plane in chroma:
            _down_and_up(plane, steps - 1)
    return time.perf_counter() - start


def _down_and_up(plane: np.ndarray, steps: int) -> None:
    import cv2

    if steps < 1:
        return
    below = cv2.pyrDown(plane)
    _down_and_up(below, steps - 1)
    cv2.pyrUp(below, dst=plane, dstsize=plane.shape[::-1])


def _digests_s(clip: Path, frames: Sequence[Planes]) -> float:
    start = time.perf_counter()
    digest = hashlib.sha256()
    for planes in frames:
        for plane in planes:
            digest.update(plane.data)
    digest.update(clip.read_bytes())
    return time.perf_counter() - start


def _encoding_s(frames: Sequence[Planes], rate: Fraction, spec: Encoding) -> float:
    """Encode pictures that were made before, by the encoder as merbench sets it, and drop the packets."""
    import av

    height, width = frames[0][0].shape
    pictures = [_picture(planes, width, height, pts) for pts, planes in enumerate(frames)]
    with av.open(os.devnull, "w", format="mp4") as container:
        stream = declare_video(container, spec, rate)
        stream.codec_context.width, stream.codec_context.height = width, height
        stream.codec_context.pix_fmt = "yuv420p"
        start = time.perf_counter()
        for picture in pictures:
            stream.encode(picture)
        stream.encode(None)
        return time.perf_counter() - start


def _picture(planes: Planes, width: int, height: int, pts: int) -> Any:
    import av

    picture: Any = av.VideoFrame(width, height, "yuv420p")
    for stored, plane in zip(picture.planes, planes, strict=True):
        rows = np.frombuffer(stored, np.uint8).reshape(stored.height, stored.line_size)
        rows[:, : stored.width] = plane
    picture.pts = pts
    return picture


def _sound_s(clip: Path, spec: Encoding) -> float:
    """Decode, convert, add noise of the same length, encode."""
    import av

    start = time.perf_counter()
    with av.open(str(clip)) as container:
        stream = container.streams.audio[0]
        pieces = [sound.to_ndarray() for sound in container.decode(stream)]
        rate_hz, layout = stream.codec_context.sample_rate, stream.codec_context.layout.name
    sound = Audio(np.concatenate(pieces, axis=1), rate_hz)
    if spec.sample_rate_hz is not None:
        sound = audio_at_rate(sound, spec.sample_rate_hz)
    level = np.sqrt(np.mean(np.square(sound.samples)))
    mixture = sound.samples + level * np.sin(np.arange(sound.samples.shape[1], dtype=np.float32))
    with av.open(os.devnull, "w", format="mp4") as container:
        stream = declare_audio(container, spec, sound.rate_hz, layout)
        whole = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(mixture, dtype=np.float32), format="fltp", layout=layout
        )
        whole.sample_rate, whole.pts = sound.rate_hz, 0
        stream.encode(whole)
        stream.encode(None)
    return time.perf_counter() - start
