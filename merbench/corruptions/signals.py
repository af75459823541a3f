"""What corruptions change, sound and pictures, and the part of them inside a time window.

Conventions:
    Sound is float32 with full scale 1.0, `(channels, n)`; a corruption may go beyond full scale, and a writer of files
    scales it down. Pictures are an iterator that is consumed: a frame belongs to the consumer, who may edit its planes
    in place and passes it on. To keep a frame for later, copy it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound."""

    samples: NDArray[np.float32] = field(repr=False)  # `(channels, n)` float32, full scale 1.0
    rate_hz: int  # samples per second

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[1] / self.rate_hz)

    def with_samples(self, samples: NDArray[Any]) -> Audio:
        """Return other samples at the same rate, as float32."""
        return replace(self, samples=np.asarray(samples, dtype=np.float32))


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One picture as it is stored: luma and two planes of colour differences, or only luma."""

    # Y, Cb, Cr as `(height, width)` arrays, of which the last two may be smaller; or only Y. uint8, or uint16 with the
    # values in the low `depth` bits.
    planes: tuple[Plane, ...] = field(repr=False)
    depth: int = 8  # bits of a value
    full_range: bool = False  # whether luma spans 0 to 255 (at 8 bits) and not 16 to 235
    matrix: str = "bt601"  # which luma weights, `bt601`, `bt709` or `bt2020`
    rotation: int = 0  # by how many degrees, clockwise, a player turns the stored picture: 0, 90, 180 or 270
    time_s: float = 0.0  # when it is shown, from the beginning of the clip

    @property
    def height(self) -> int:
        """Rows of the stored picture."""
        return int(self.planes[0].shape[0])

    @property
    def width(self) -> int:
        """Columns of the stored picture."""
        return int(self.planes[0].shape[1])

    def with_planes(self, planes: Sequence[Plane]) -> Frame:
        """Return the same frame with other planes."""
        return replace(self, planes=tuple(planes))


Frames = Iterator[Frame]


@dataclass(frozen=True, eq=False)
class Video:
    """Pictures one after the other."""

    frames: Frames = field(repr=False)  # the pictures, in the order of their times; consumed once
    duration_s: float  # length of the clip in seconds, which a window in fractions is taken of


EditAudio = Callable[[Audio], Audio]
EditFrames = Callable[[Frames], Frames]


def edited_audio(audio: Audio, edit: EditAudio, start_s: float, end_s: float) -> Audio:
    """Return the sound with the samples from `start_s` to `end_s` edited, and the others as they were."""
    n = audio.samples.shape[1]
    begin, end = (round(min(max(time * audio.rate_hz, 0), n)) for time in (start_s, end_s))
    if begin >= end:
        return audio
    inside = edit(audio.with_samples(audio.samples[:, begin:end]))
    samples = audio.samples.copy()
    samples[:, begin:end] = inside.samples
    return audio.with_samples(samples)


def edited_video(video: Video, edit: EditFrames, start_s: float, end_s: float) -> Video:
    """Return the video with the frames shown from `start_s` on and before `end_s` edited.

    `edit` gives one frame for each that it takes, at once.
    """

    def frames() -> Frames:
        waiting: deque[Frame] = deque()
        edited = edit(waiting.popleft() for _ in iter(int, 1))
        for frame in video.frames:
            if start_s <= frame.time_s < end_s:
                waiting.append(frame)
                yield next(edited)
            else:
                yield frame

    return replace(video, frames=frames())
