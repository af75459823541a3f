"""Files of sound: what is known of each, and a part of its samples at any rate.

Conventions:
    Samples are mono float32 with full scale 1.0: the average of a file's channels. A part is given in samples at the
    rate of the result. Only what a part needs is read, however long the file is; in Ogg and MP3, where seeking is
    inexact, everything before it is decoded, too, and dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import at_rate
from merbench.errors import IntegrityError, MissingExtra, Problem, printable
from merbench.files.reading import sha256_file

Samples = NDArray[np.float32]

SUFFIXES = frozenset(".wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .w64 .rf64 .caf".split())
"""Suffixes of sounds; the format of a file is recognised by its content."""

SILENCE = 1e-5
"""The rms below which a sound is silence: 100 dB below full scale, a third of a step of 16 bits."""

_BLOCK = 1 << 16
_EXACT = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
"""Codings (FLAC is one of PCM) in which libsndfile finds a sample; in Ogg and MP3 it may be off by hundreds."""
_MARGIN = 2048
"""Samples read on either side of a part that is resampled: several times the length of the resampler's filter."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One file of a bank; texts are empty if nothing is known, and numbers are 0 until it is measured."""

    file: str  # its path in the folder of sounds, with `/` between names
    part: str = ""  # the part of the bank it belongs to: a sub-folder
    label: str = ""  # its class, or several with commas between them
    speaker: str = ""  # who speaks
    licence: str = ""  # its own licence, if that of the bank does not apply
    rate_hz: int = 0  # sample rate
    channels: int = 0  # how many
    n_samples: int = 0  # samples of each channel
    n_bytes: int = 0  # size of the file
    rms: float = 0.0  # of the average of the channels, full scale 1.0
    sha256: str = ""  # digest of the file

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.rate_hz

    @property
    def voice(self) -> str:
        """What makes a source of its own: the speaker where one is known, else the file."""
        return f"speaker {self.speaker}" if self.speaker else f"file {self.file}"

    @property
    def labels(self) -> list[str]:
        """Its classes, one by one."""
        return [label for label in self.label.split(",") if label]

    def length_at(self, rate_hz: int) -> int:
        """Return how many samples it has at a rate: rounded down, and at least one."""
        return max(self.n_samples * rate_hz // self.rate_hz, 1)

    def read(self, folder: Path, start: int, stop: int, rate_hz: int) -> Samples:
        """Return the samples from `start` to `stop`, counted at a rate, resampled (soxr, high quality) if it differs.

        Raises:
            IntegrityError: the file cannot be read any more.
        """
        path = folder / self.file
        if self.rate_hz == rate_hz:
            return _read(path, start, stop)
        divisor = math.gcd(self.rate_hz, rate_hz)
        up, down = rate_hz // divisor, self.rate_hz // divisor
        margin = _MARGIN * -(-max(self.rate_hz, rate_hz) // rate_hz)
        # Every `down`-th sample of the file falls on a sample of the result: from there both can be counted.
        begin = max(start * down // up - margin, 0) // down * down
        end = min(-(-stop * down // up) + margin, self.n_samples)
        resampled = at_rate(_read(path, begin, end)[None], self.rate_hz, rate_hz)[0]
        offset = begin // down * up
        samples = resampled[start - offset : stop - offset]
        part = np.zeros(stop - start, np.float32)
        part[: len(samples)] = samples
        return part


def measured(folder: Path, sounds: Iterable[Sound]) -> tuple[tuple[Sound, ...], tuple[Problem, ...]]:
    """Return the usable sounds with their numbers, in the order of their files, and why the others cannot be used.

    Every sample is read.
    """
    items = [_measured(folder, sound) for sound in sorted(sounds, key=lambda sound: sound.file)]
    usable = tuple(item for item in items if isinstance(item, Sound))
    return usable, tuple(item for item in items if isinstance(item, Problem))


def _measured(folder: Path, sound: Sound) -> Sound | Problem:
    shown, path = printable(sound.file), folder / sound.file
    if sound.file.encode(errors="replace").decode() != sound.file:
        return Problem("E644", f"{shown}: the name is not text in UTF-8")
    n_samples, squares = 0, 0.0
    try:
        with _opened(path) as file:
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):
                n_samples += len(block)
                squares += float(np.sum(np.square(_mono(block), dtype=np.float64)))
            rate_hz, channels, declared = file.samplerate, file.channels, file.frames
    except (OSError, RuntimeError) as error:
        return Problem("E641", f"{shown}: cannot be read as a sound: {_reason(error)}")
    if n_samples == 0:
        return Problem("E642", f"{shown}: contains no samples")
    if n_samples < declared:
        return Problem("E641", f"{shown}: is cut off: the header states {declared:,} samples, it has {n_samples:,}")
    if not math.isfinite(squares):
        return Problem("E641", f"{shown}: contains samples that are not numbers")
    rms = math.sqrt(squares / n_samples)
    if rms < SILENCE:
        return Problem("E643", f"{shown}: is silent, or its channels cancel each other")
    numbers = {"rate_hz": rate_hz, "channels": channels, "n_samples": n_samples, "n_bytes": path.stat().st_size}
    return replace(sound, **numbers, rms=rms, sha256=sha256_file(path))


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
        def seekable(self) -> bool:
            # The library would seek to its position after each read, which makes the decoder of MP3 start again.
            return False

    return SoundFile


def _reason(error: Exception) -> str:
    """Return a library's message without the path that it begins with."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return printable(str(text).strip().rstrip("."), 200)
