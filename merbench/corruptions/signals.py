"""What corruptions change, sound and pictures: the part inside a time window, and sound at another sampling rate.

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

from merbench.errors import MissingExtra

Plane = NDArray[np.uint8] | NDArray[np.uint16]

QUALITY = "HQ"
"""The quality of soxr at which sound is converted everywhere: its high one, of 20 bits."""


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


def at_rate(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Return `(channels, n)` samples at another rate, at least one of them, with the bits of soxr; none is shifted.

    Raises:
        MissingExtra: soxr is not installed.
    """
    if from_hz == to_hz:
        return samples
    try:
        import soxr
    except ModuleNotFoundError as error:
        raise MissingExtra("sound at another rate (soxr)", "media") from error
    # A copy, since NumPy calls an array of one row contiguous whatever its strides, and soxr reads the strides.
    frames = np.array(samples.T, order="C")
    resampled: NDArray[np.float32] = soxr.resample(frames, from_hz, to_hz, quality=QUALITY).T
    return of_length(resampled, max(resampled.shape[1], 1))


def of_length(samples: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the first `n` samples, with zeros for those that are missing."""
    missing = n - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing > 0 else samples[:, :n]


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
