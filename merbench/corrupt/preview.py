"""A few clips of a plan go in, a picture comes out: frames before and after, spectrograms before and after."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.charts import Specimen, contact_sheet, require_matplotlib
from merbench.corrupt.clips import Clip, require_streams
from merbench.corrupt.steps import damage
from merbench.corruptions import Audio, Frame, Step, Video
from merbench.corruptions.video.pictures import rgb8
from merbench.errors import Inapplicable, UnreadableMedia, UsageError, listed
from merbench.media import probe, read_audio, read_video
from merbench.media.transcode import as_declared

PLACES = (0.1, 0.5, 0.9)
"""Where in a clip frames are shown, as fractions of its length."""

SHOWN = 4
"""How many clips a sheet shows at most, where none is asked for by name."""


def write_preview(clips: Sequence[Clip], path: Path) -> tuple[int, dict[str, str]]:
    """Draw the clips and return how many are shown, and what is wrong with the others, by sample.

    Raises:
        UsageError: not one of them can be shown.
        MissingExtra: matplotlib is not installed.
    """
    require_matplotlib()
    specimens, problems = [], {}
    for clip in clips:
        try:
            specimens.append(_specimen(clip))
        except (Inapplicable, UnreadableMedia) as error:
            problems[clip.sample_id] = str(error)
    if not specimens:
        told = listed([f"{name}: {problem}" for name, problem in problems.items()])
        raise UsageError(f"no clip can be shown: {told or 'there is none'}")
    contact_sheet(path, specimens)
    return len(specimens), problems


def _specimen(clip: Clip) -> Specimen:
    info = probe(clip.source, decode=False)
    require_streams(clip, info)
    values: dict[str, Any] = {}
    sounds: list[Audio] = []
    if info.has_audio:
        sound = as_declared(read_audio(clip.source), clip.encoding)
        damaged = damage(sound, clip.audio, seed=clip.seed, sample_id=clip.sample_id, known=clip.known)
        values |= damaged.values
        sounds = [sound, damaged.signal]
    pictures: list[list[NDArray[np.uint8]]] = []
    if info.has_video:
        before = _pictures(read_video(clip.source))
        changed = damage(
            read_video(clip.source), clip.video, seed=clip.seed, sample_id=clip.sample_id, known=clip.known
        )
        values |= changed.values
        pictures = [before, _pictures(changed.signal)]
    return Specimen(clip.sample_id, _told(clip, values), pictures, [(s.samples.mean(0), s.rate_hz) for s in sounds])


_WIDTH = 110
"""Characters on a line of what was done to a clip."""


def _told(clip: Clip, values: Mapping[str, Any]) -> str:
    """Return what was done, a line or more for each step, without the parameters that stand at their default."""
    lines = []
    for step in (*clip.audio, *clip.video):
        known = step.corruption.parameters
        own = {name.removeprefix(f"{step.step_name}."): value for name, value in values.items() if _of(step, name)}
        told = [
            f"{name} {_number(value)}"
            for name, value in own.items()
            if name not in known or value != known[name].default
        ]
        lines += textwrap.wrap(f"{step.step_name}: {', '.join(told)}" if told else step.step_name, _WIDTH)
    return "\n".join(lines)


def _of(step: Step, name: str) -> bool:
    return name.rpartition(".")[0] == step.step_name


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _pictures(video: Video) -> list[NDArray[np.uint8]]:
    """Return the frames at `PLACES` as RGB, turned as a player shows them; all frames are taken, one after another."""
    wanted = [place * video.duration_s for place in PLACES]
    chosen: list[NDArray[np.uint8]] = []
    last: Frame | None = None
    for frame in _copies(video):
        while len(chosen) < len(wanted) and frame.time_s >= wanted[len(chosen)]:
            chosen.append(_upright(frame))
        last = frame
    while last is not None and len(chosen) < len(wanted):
        chosen.append(_upright(last))
    return chosen


def _copies(video: Video) -> Iterator[Frame]:
    for frame in video.frames:
        yield frame.with_planes([plane.copy() for plane in frame.planes])


def _upright(frame: Frame) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(rgb8(frame), -frame.rotation // 90))
