"""A noise bank: sounds, and random crops of them.

Sampling follows what MER 2023 did to its clips: files are chosen uniformly and appended until they are long enough,
then a crop of the wanted length begins at a uniformly chosen sample. The same words of the generator give the same crop
of the same sounds.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from merbench.banks.sounds import SILENCE, Samples, Sound
from merbench.corruptions import Audio
from merbench.corruptions.drawing import one_below
from merbench.errors import Inapplicable, UnknownName, printable
from merbench.files.reading import sha256_bytes

TRIES = 100
"""How many crops are tried, since one may be silent."""


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """Random crops of a bank: a channel per source, its files (joined by ` + `), and where the crop begins in them."""

    audio: Audio
    sources: tuple[str, ...]
    offsets_s: tuple[float, ...]


Fill = Literal["concatenate", "loop", "entire"]
"""What follows a sound that is too short: others, or the same one again and again; or it is taken as it is."""


@dataclass(frozen=True, eq=False)
class Bank:
    """Sounds to sample from."""

    name: str  # as it was opened, such as `musan/speech`
    folder: Path  # what the files of the sounds start from
    sounds: tuple[Sound, ...] = field(repr=False)  # in the order of their files
    version: str = "1.0"  # dotted numbers
    source: str = ""  # where the sounds come from
    licence: str = ""  # of sounds without a licence of their own

    @cached_property
    def digest(self) -> str:
        """SHA-256 over files, speakers and digests of the sounds: everything that a crop depends on."""
        lines = [[sound.file, sound.speaker, sound.sha256] for sound in self.sounds]
        return sha256_bytes(json.dumps(lines, ensure_ascii=False).encode())

    @property
    def duration_s(self) -> float:
        """Length of all sounds in seconds."""
        return sum(sound.duration_s for sound in self.sounds)

    @property
    def parts(self) -> dict[str, int]:
        """Part -> how many sounds; those of no part are not counted."""
        return _counted(sound.part for sound in self.sounds)

    @property
    def labels(self) -> dict[str, int]:
        """Class -> how many sounds."""
        return _counted(label for sound in self.sounds for label in sound.labels)

    def of(self, name: str) -> Bank:
        """Return the sounds of one part, or else of one class; raise `UnknownName` if neither has that name."""
        chosen = tuple(sound for sound in self.sounds if sound.part == name)
        chosen = chosen or tuple(sound for sound in self.sounds if name in sound.labels)
        if not name or not chosen:
            raise UnknownName(f"part or class of the noise bank {self.name}", name, {*self.parts, *self.labels})
        return replace(self, name=f"{self.name}/{name}", sounds=chosen)

    def draw(
        self,
        rng: np.random.PCG64,
        n_samples: int,
        rate_hz: int,
        *,
        n_sources: int = 1,
        fill: Fill = "concatenate",
        other_than_speaker: str | None = None,
    ) -> Drawn:
        """Return random crops, each of one source.

        A single source may be made of any files. Several sources have different voices: each is of one speaker where
        speakers are known, else of one file. A silent crop is replaced by another one.

        Args:
            rng: its raw words are used, as many as are needed.
            n_samples: length of the crops, at `rate_hz`.
            rate_hz: sample rate of the crops; sounds of another one are resampled.
            n_sources: how many crops, at least one.
            fill: what follows a sound that is too short: `concatenate` others, or `loop` the same one; `entire` takes
                one sound as it is, whatever its length, such as an impulse response.
            other_than_speaker: a speaker whose sounds are left out.

        Raises:
            Inapplicable: there are too few voices, or a hundred crops were silent.
            IntegrityError: a file cannot be read any more.
        """
        if n_sources < 1 or n_samples < 0 or (fill == "entire" and n_sources > 1):
            raise ValueError(f"{n_sources} sources of {n_samples} samples ({fill}) cannot be drawn")
        free = [sound for sound in self.sounds if not sound.speaker or sound.speaker != other_than_speaker]
        if len({sound.voice for sound in free}) < n_sources:
            others = f" other than {printable(other_than_speaker)}" if other_than_speaker is not None else ""
            raise Inapplicable(f"noise bank {self.name}: has fewer than {n_sources} voice(s){others}")
        sampler = _Sampler(self, rng, n_samples, rate_hz, fill)
        crops: list[_Crop] = []
        for _ in range(n_sources):
            crop = sampler.audible_crop(free, single_voice=n_sources > 1)
            crops.append(crop)
            free = [sound for sound in free if sound.voice != crop.voice]
        return Drawn(
            Audio(np.stack([crop.samples for crop in crops]), rate_hz),
            tuple(crop.source for crop in crops),
            tuple(crop.offset / rate_hz for crop in crops),
        )


@dataclass(frozen=True, slots=True)
class _Crop:
    samples: Samples
    source: str
    offset: int
    voice: str


@dataclass(frozen=True, slots=True)
class _Sampler:
    """Crops of one length and rate."""

    bank: Bank
    rng: np.random.PCG64
    n_samples: int
    rate_hz: int
    fill: Fill

    def audible_crop(self, free: Sequence[Sound], *, single_voice: bool) -> _Crop:
        """Return the first crop that is not silent, of all the sounds or of those of one voice."""
        for _ in range(TRIES):
            first = free[one_below(self.rng, len(free))]
            if self.fill == "entire":
                crop = _Crop(self._read(first, 0, first.length_at(self.rate_hz)), first.file, 0, first.voice)
            elif self.fill == "loop":
                crop = self._looped(first)
            else:
                others = [sound for sound in free if sound.voice == first.voice] if single_voice else free
                crop = self._appended(first, others)
            if self.n_samples == 0 or _rms(crop.samples) >= SILENCE:
                return crop
        seconds = self.n_samples / self.rate_hz
        raise Inapplicable(f"noise bank {self.bank.name}: {TRIES} crops of {seconds:g} s were silent")

    def _looped(self, sound: Sound) -> _Crop:
        length = sound.length_at(self.rate_hz)
        copies = max(-(-self.n_samples // length), 1)
        start = one_below(self.rng, copies * length - self.n_samples + 1)
        stop = start + self.n_samples
        if copies == 1:
            samples = self._read(sound, start, stop)
        else:
            samples = np.tile(self._read(sound, 0, length), copies)[start:stop]
        return _Crop(samples, sound.file, start, sound.voice)

    def _appended(self, first: Sound, others: Sequence[Sound]) -> _Crop:
        sounds, total = [first], first.length_at(self.rate_hz)
        while total < self.n_samples:
            sounds.append(others[one_below(self.rng, len(others))])
            total += sounds[-1].length_at(self.rate_hz)
        start = one_below(self.rng, total - self.n_samples + 1)
        samples, begin = np.empty(self.n_samples, np.float32), -start
        for sound in sounds:
            end = begin + sound.length_at(self.rate_hz)
            low, high = max(begin, 0), min(end, self.n_samples)
            if low < high:
                samples[low:high] = self._read(sound, low - begin, high - begin)
            begin = end
        return _Crop(samples, " + ".join(sound.file for sound in sounds), start, first.voice)

    def _read(self, sound: Sound, start: int, stop: int) -> Samples:
        return sound.read(self.bank.folder, start, stop, self.rate_hz)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(name for name in names if name).items()))
