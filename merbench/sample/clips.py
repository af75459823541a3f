"""Media of the sample corpus: a clip of face and voice for each sample of chosen splits.

The signal of a clip, before it is encoded, is the same on every machine, to the bit. Its encoding depends on the
version of FFmpeg: MPEG-4 part 2 at a constant quantiser and AAC, in an MP4 file that contains a mark of what it was
made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions.signals import Audio, Frame, Video
from merbench.engine import run
from merbench.errors import MissingExtra, UnknownName
from merbench.files.writing import atomic_path
from merbench.sample.build import shuffled
from merbench.sample.face import SIDE, Faces, Planes, faces, pictures
from merbench.sample.scenes import SPLITS, Scenes, scenes
from merbench.sample.voice import PICTURE, RATE_HZ, Voices, speech, voices

CLIPS_VERSION = "1.0"
"""Increases whenever the signal of a clip, or how it is encoded, changes."""

NOISY_SPLITS = ("train", "dev", "test_noise")
"""The splits that the track `mer-noise` uses."""

PICTURES_PER_S = Fraction(RATE_HZ, PICTURE)

_MARK = f"merbench sample clip {CLIPS_VERSION}"
"""In the header, which an MP4 file has at its end: a truncated file lacks it."""

_QUANTISER = 3
_LAMBDA = 118  # FFmpeg's units of quality per unit of the quantiser

_AAC = {"b": "48000", "aac_coder": "fast", "aac_tns": "0"}
"""At this rate the fast coder loses less of these voices than FFmpeg's default one, in a third of the time."""

_BATCH = 16  # clips that go to a worker together


@dataclass(frozen=True, eq=False)
class Clip:
    """The signal of a clip before it is encoded."""

    # luma and colour differences of all pictures, `(m, 96, 96)` and twice `(m, 48, 48)`, of limited range, BT.601
    planes: Planes = field(repr=False)
    samples: NDArray[np.int16] = field(repr=False)  # `(n,)` at 16 kHz, 1,280 for each picture

    @property
    def audio(self) -> Audio:
        """Its sound."""
        return Audio(self.samples[None].astype(np.float32) / np.float32(1 << 15), RATE_HZ)

    @property
    def video(self) -> Video:
        """Its pictures, which may be edited."""
        times = (float(number / PICTURES_PER_S) for number in range(len(self.planes[0])))
        frames = (
            Frame(tuple(map(np.copy, planes)), time_s=time) for *planes, time in zip(*self.planes, times, strict=True)
        )
        return Video(frames, float(len(self.planes[0]) / PICTURES_PER_S))


@dataclass(frozen=True)
class WrittenClips:
    """The folder of clips, each named by its sample id; how many were written, and how many already existed."""

    folder: Path
    n_written: int
    n_kept: int


def clip(sample_id: str) -> Clip:
    """Return the clip of any sample of the sample corpus.

    Raises:
        UnknownName: the sample corpus has no sample of this id.
    """
    cast = _cast()
    if sample_id not in cast.rows:
        raise UnknownName("sample", sample_id, cast.rows)
    row = cast.rows[sample_id]
    spoken = speech(cast.voices, row, sample_id)
    return Clip(pictures(cast.faces, row, sample_id, spoken.opening), spoken.samples)


def write_clips(
    folder: Path,
    *,
    splits: Sequence[str] = NOISY_SPLITS,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> WrittenClips:
    """Write the clips of splits into a folder, `<sample id>.mp4`; complete and current ones are kept.

    Args:
        folder: is created if missing.
        splits: names of splits of the sample corpus.
        workers: local processes.
        progress: called with how many clips are done, and of how many.

    Raises:
        UnknownName: the sample corpus has no such split.
        MissingExtra: PyAV is not installed.
        OutputError: the folder cannot be written.
    """
    for name in splits:
        if name not in SPLITS:
            raise UnknownName("split of the sample corpus", name, SPLITS)
    _require_av()
    cast = _cast()
    paths = {
        sample_id: folder / f"{sample_id}.mp4"
        for sample_id, row in cast.rows.items()
        if cast.scenes.split[row] in splits
    }
    left = [(sample_id, path) for sample_id, path in paths.items() if not _is_current(path)]
    n_kept = len(paths) - len(left)
    shown = None if progress is None else lambda done: progress(n_kept + done, len(paths))
    units = [(sample_id, (sample_id, path)) for sample_id, path in left]
    with closing(run(_write, units, workers=workers, progress=shown, batch=_BATCH)) as results:
        for done in results:
            if done.error is not None:
                raise done.error
    return WrittenClips(folder, len(left), n_kept)


@dataclass(frozen=True, eq=False)
class _Cast:
    """Everything that clips are made of; `rows`: sample id -> scene."""

    scenes: Scenes
    rows: dict[str, int]
    voices: Voices
    faces: Faces


@cache
def _cast() -> _Cast:
    drama = scenes()
    order, ids = shuffled(len(drama))
    return _Cast(drama, dict(zip(ids, order.tolist(), strict=True)), voices(drama), faces(drama))


def _is_current(path: Path) -> bool:
    return path.is_file() and _MARK.encode() in path.read_bytes()


def _write(named: tuple[str, Path]) -> None:
    sample_id, path = named
    write_clip(clip(sample_id), path)


def write_clip(made: Clip, path: Path) -> None:
    """Encode a clip as an MP4 file.

    Raises:
        MissingExtra: PyAV is not installed.
        OutputError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        _encode(made, temporary)


def _require_av() -> None:
    try:
        import av  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("writing clips (PyAV)", "media") from error


def _encode(made: Clip, path: Path) -> None:
    _require_av()
    import av

    with av.open(f"file:{path}", "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        container.metadata["comment"] = _MARK
        video = container.add_stream("mpeg4", rate=PICTURES_PER_S, options={"flags": "+qscale"})
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.global_quality = _QUANTISER * _LAMBDA
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono", options=_AAC)
        stacked = [plane.reshape(len(plane), -1, SIDE) for plane in made.planes]
        for number, planes in enumerate(np.concatenate(stacked, axis=1)):
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = number, 1 / PICTURES_PER_S
            container.mux(video.encode(picture))
        container.mux(video.encode())
        sound = av.AudioFrame.from_ndarray(made.samples[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts = RATE_HZ, 0
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
