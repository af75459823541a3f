"""Files of sound: their measures, and a part of their samples at any rate.

Conventions:
    Samples are mono float32 with full scale 1.0: the average of a file's channels. A part is given in samples at the
    rate of the result. Only what a part needs is read, however long the file is; in Ogg and MP3, where seeking is
    inexact, everything before it is decoded, too, and dropped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.audio.rates import converted
from merbench.errors import IntegrityError, MissingExtra, Problem, printable

Samples = NDArray[np.float32]

SUFFIXES = frozenset(
    ".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf".split(),
)
"""Suffixes of sounds; the format of a file is recognised by its content."""

SILENCE = 1e-5
"""The rms below which a sound is silence: 100 dB below full scale, a third of a step of 16 bits."""

_BLOCK = 1 << 16
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Codings (FLAC is one of PCM) in which libsndfile finds a sample; in Ogg and MP3 it may be off by hundreds."""
_MARGIN = 2048
"""Samples read on either side of a part that is resampled: several times the length of the resampler's filter."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Sample rate, channels, samples of each channel, and the rms of the average of the channels."""

    rate_hz: int
    channels: int
    n_samples: int
    rms: float


def measure(path: Path, name: str) -> Measures | Problem:
    """Return the measures of a sound, every sample of which is read, or why it cannot be used.

    Args:
        path: the file.
        name: what a message calls it.
    """
    shown, n_samples, squares = printable(name), 0, 0.0
    try:
        with _opened(path) as file:
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                n_samples += len(block)
                squares += float(np.sum(np.square(_mono(block), dtype=np.float64)))
            rate_hz, channels, declared = file.samplerate, file.channels, file.frames
    except (OSError, RuntimeError) as error:
        return Problem("E641", f"{shown}: cannot be read as a sound: {_reason(error)}")
    if n_samples == 0:
        return Problem("E642", f"{shown}: holds no samples")
    if n_samples < declared:
        return Problem("E641", f"{shown}: is cut off: {declared:,} samples are announced, and it has {n_samples:,}")
    if not math.isfinite(squares):
        return Problem("E641", f"{shown}: holds samples that are not numbers")
    rms = math.sqrt(squares / n_samples)
    if rms < SILENCE:
        return Problem("E643", f"{shown}: is silent, or its channels cancel each other")
    return Measures(rate_hz, channels, n_samples, rms)


def length_at(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Return how many samples a sound has at another rate: rounded down, and at least one."""
    return max(n_samples * to_hz // from_hz, 1)


def read_part(path: Path, n_samples: int, from_hz: int, start: int, stop: int, to_hz: int) -> Samples:
    """Return a part of a sound at another rate (soxr, high quality), or as it is where the rate is its own.

    Args:
        path: the file.
        n_samples: its samples.
        from_hz: its rate.
        start: first sample of the part, at the rate `to_hz`.
        stop: end of the part, at most the sound's `length_at`.
        to_hz: rate of the result.

    Raises:
        IntegrityError: the file cannot be read any more.
    """
    if from_hz == to_hz:
        return _read(path, start, stop)
    divisor = math.gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    margin = _MARGIN * -(-max(from_hz, to_hz) // to_hz)
    # Every `down`-th sample of the file falls on a sample of the result: from there both can be counted.
    begin = max(start * down // up - margin, 0) // down * down
    end = min(-(-stop * down // up) + margin, n_samples)
    resampled = converted(_read(path, begin, end)[None], from_hz, to_hz)[0]
    offset = begin // down * up
    part = np.zeros(stop - start, np.float32)
    samples = resampled[start - offset : stop - offset]
    part[: len(samples)] = samples
    return part


def _read(path: Path, start: int, stop: int) -> Samples:
    try:
        with _opened(path) as file:
            _skip(file, start)
            samples = _mono(file.read(stop - start, dtype="float32", always_2d=True))
    except (OSError, RuntimeError) as error:
        raise IntegrityError(f"{path}: cannot be read as a sound any more: {_reason(error)}") from error
    if len(samples) < stop - start:
        raise IntegrityError(f"{path}: the file changed: samples are missing")
    return samples


def _skip(file: Any, n_samples: int) -> None:
    """Go to a sample; where seeking is inexact, by reading everything before it, block by block."""
    if file.subtype.startswith(_EXACT):
        file.seek(n_samples)
        return
    while n_samples > 0:
        skipped = len(file.read(min(n_samples, _BLOCK), dtype="float32", always_2d=True))
        n_samples = n_samples - skipped if skipped else 0


def _mono(block: NDArray[np.float32]) -> Samples:
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float64).astype(np.float32)


def _opened(path: Path) -> Any:
    return _sound_file_class()(str(path))


@cache
def _sound_file_class() -> Any:
    try:
        import soundfile
    except ModuleNotFoundError as error:
        raise MissingExtra("a noise bank (soundfile)", "media") from error

    class SoundFile(soundfile.SoundFile):  # type: ignore[misc]
        """A file whose blocks follow one another.

        The library's own seeks to its position after each read, which makes the decoder of MP3 start again.
        """

        def seekable(self) -> bool:
            """Return False, so that the library does not seek by itself."""
            return False

    return SoundFile


def _reason(error: Exception) -> str:
    """Return a library's message without the path that it begins with."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return printable(str(text).strip().rstrip("."), 200)
