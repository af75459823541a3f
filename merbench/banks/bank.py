"""A noise bank: the sounds it holds, and draws from them.

A draw follows what MER 2023 did to its clips: files are chosen uniformly and appended until they are long enough, then
a crop of the length that is asked for begins at a uniformly chosen sample. The same words of the generator give the
same crop, of the same sounds.
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

from merbench.banks.sounds import SILENCE, Samples, length_at, read_part
from merbench.corruptions import Audio
from merbench.corruptions.drawing import one_below
from merbench.errors import Inapplicable, UnknownName, printable
from merbench.files import sha256_bytes

TRIES = 100
"""How often a crop is drawn again where it happens to be silent."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One file of a bank.

    Attributes:
        file: its path in the folder of sounds, with `/` between names.
        part: the part of the bank it belongs to: a sub-folder; empty for none.
        label: its class, or several with commas between them; empty where unknown.
        speaker: who speaks; empty where unknown or where nobody does.
        licence: its own licence; empty where that of the bank holds.
        rate_hz: samples per second.
        channels: how many.
        n_samples: samples of each channel.
        n_bytes: size of the file.
        rms: of the average of the channels, full scale 1.0.
        sha256: digest of the file.
    """

    file: str
    part: str
    label: str
    speaker: str
    licence: str
    rate_hz: int
    channels: int
    n_samples: int
    n_bytes: int
    rms: float
    sha256: str

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


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """What was drawn from a bank.

    Attributes:
        audio: one channel a source.
        sources: the file of each source, several joined by ` + ` where they were appended.
        offsets_s: where each crop begins in that, in seconds.
    """

    audio: Audio
    sources: tuple[str, ...]
    offsets_s: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Bank:
    """Sounds to draw from.

    Attributes:
        name: as it was opened, such as `musan/speech`.
        folder: what the files of the sounds start from.
        sounds: the sounds, in the order of their files.
        version: of the bank.
        source: where the sounds come from.
        licence: of those that have none of their own.
    """

    name: str
    folder: Path
    sounds: tuple[Sound, ...] = field(repr=False)
    version: str = "1.0"
    source: str = ""
    licence: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over files, speakers and digests of the sounds: all that a draw depends on."""
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
        """Return the sounds of one part, or, where there is no part of that name, of one class.

        Raises:
            UnknownName: neither a part nor a class has that name.
        """
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
        fill: Literal["concatenate", "loop"] = "concatenate",
        whole: bool = False,
        other_than_speaker: str | None = None,
    ) -> Drawn:
        """Return random crops, each of one source.

        A single source may be appended of any files. Several sources have different voices: each is of one speaker
        where speakers are known, else of one file. Crops that are silent are drawn again.

        Args:
            rng: its raw words are used, as many as are needed.
            n_samples: length of the crops, at `rate_hz`.
            rate_hz: the rate that is asked for; sounds of another one are resampled.
            n_sources: how many crops, at least one.
            fill: what follows a file that is too short: others, or the same one again and again.
            whole: take one sound as it is, whatever its length, such as an impulse response.
            other_than_speaker: a speaker whose sounds are left out.

        Raises:
            Inapplicable: there are too few voices, or a hundred crops were silent.
            IntegrityError: a file cannot be read any more.
        """
        if n_sources < 1 or n_samples < 0 or (whole and n_sources > 1):
            raise ValueError(f"{n_sources} sources of {n_samples} samples (whole = {whole}) cannot be drawn")
        free = [sound for sound in self.sounds if not sound.speaker or sound.speaker != other_than_speaker]
        if len({sound.voice for sound in free}) < n_sources:
            raise Inapplicable(self._too_few(n_sources, other_than_speaker))
        crops: list[_Crop] = []
        for _ in range(n_sources):
            crop = self._sounding(rng, free, n_samples, rate_hz, fill=fill, whole=whole, one_voice=n_sources > 1)
            crops.append(crop)
            free = [sound for sound in free if sound.voice != crop.voice]
        return Drawn(
            Audio(np.stack([crop.samples for crop in crops]), rate_hz),
            tuple(crop.source for crop in crops),
            tuple(crop.offset / rate_hz for crop in crops),
        )

    def _too_few(self, n_sources: int, speaker: str | None) -> str:
        others = f" other than {printable(speaker)}" if speaker is not None else ""
        return f"noise bank {self.name}: it has not the {n_sources} voice(s){others} that are asked for"

    def _sounding(
        self,
        rng: np.random.PCG64,
        free: Sequence[Sound],
        n_samples: int,
        rate_hz: int,
        *,
        fill: str,
        whole: bool,
        one_voice: bool,
    ) -> _Crop:
        """Return the first crop that is not silent."""
        for _ in range(TRIES):
            first = free[one_below(rng, len(free))]
            own = [sound for sound in free if sound.voice == first.voice] if one_voice else free
            if whole:
                crop = self._whole(first, rate_hz)
            elif fill == "loop":
                crop = self._looped(rng, first, n_samples, rate_hz)
            else:
                crop = self._appended(rng, first, own, n_samples, rate_hz)
            if n_samples == 0 or _rms(crop.samples) >= SILENCE:
                return crop
        raise Inapplicable(f"noise bank {self.name}: {TRIES} crops of {n_samples / rate_hz:g} s were silent")

    def _whole(self, sound: Sound, rate_hz: int) -> _Crop:
        return _Crop(self._read(sound, 0, _length(sound, rate_hz), rate_hz), sound.file, 0, sound.voice)

    def _looped(self, rng: np.random.PCG64, sound: Sound, n_samples: int, rate_hz: int) -> _Crop:
        length = _length(sound, rate_hz)
        copies = max(-(-n_samples // length), 1)
        start = one_below(rng, copies * length - n_samples + 1)
        if copies == 1:
            samples = self._read(sound, start, start + n_samples, rate_hz)
        else:
            samples = np.tile(self._read(sound, 0, length, rate_hz), copies)[start : start + n_samples]
        return _Crop(samples, sound.file, start, sound.voice)

    def _appended(
        self, rng: np.random.PCG64, first: Sound, own: Sequence[Sound], n_samples: int, rate_hz: int
    ) -> _Crop:
        sounds, total = [first], _length(first, rate_hz)
        while total < n_samples:
            sounds.append(own[one_below(rng, len(own))])
            total += _length(sounds[-1], rate_hz)
        start = one_below(rng, total - n_samples + 1)
        samples, begin = np.empty(n_samples, np.float32), -start
        for sound in sounds:
            end = begin + _length(sound, rate_hz)
            low, high = max(begin, 0), min(end, n_samples)
            if low < high:
                samples[low:high] = self._read(sound, low - begin, high - begin, rate_hz)
            begin = end
        return _Crop(samples, " + ".join(sound.file for sound in sounds), start, first.voice)

    def _read(self, sound: Sound, start: int, stop: int, rate_hz: int) -> Samples:
        return read_part(self.folder / sound.file, sound.n_samples, sound.rate_hz, start, stop, rate_hz)


@dataclass(frozen=True, slots=True)
class _Crop:
    samples: Samples
    source: str
    offset: int
    voice: str


def _length(sound: Sound, rate_hz: int) -> int:
    return length_at(sound.n_samples, sound.rate_hz, rate_hz)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(name for name in names if name).items()))
