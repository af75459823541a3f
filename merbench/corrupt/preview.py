"""A picture of a few clips: frames before and after the corruption, spectrograms before and after."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.charts import Specimen, contact_sheet, require_matplotlib
from merbench.corrupt.clip import Clip
from merbench.corrupt.steps import apply_steps, sample_steps
from merbench.corruptions import Audio, Frame, Step, Video
from merbench.corruptions.video.pictures import shown
from merbench.errors import Inapplicable, UnreadableMedia, UsageError, listed
from merbench.media import opened, read_audio, read_video
from merbench.media.transcode import as_declared

PLACES = (0.1, 0.5, 0.9)
"""Where in a clip frames are shown, as fractions of its length."""

SHOWN = 4
"""How many clips a sheet shows at most, unless they are named."""


def write_preview(clips: Sequence[Clip], path: Path) -> tuple[int, dict[str, str]]:
    """Draw the clips and return how many are shown, and the problems of the others, by sample.

    Raises:
        UsageError: none of them can be shown.
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
        reasons = listed([f"{name}: {problem}" for name, problem in problems.items()])
        raise UsageError(f"no clip can be shown: {reasons or 'there are none'}")
    contact_sheet(path, specimens)
    return len(specimens), problems


def specimen_of(path: Path, name: str, caption: str) -> Specimen:
    """Return a clip as it is, for a contact sheet.

    Raises:
        UnreadableMedia: the file cannot be read.
    """
    with opened(path) as media:
        pass
    pictures = [_pictures(read_video(path))] if media.video is not None else []
    sounds = [read_audio(path)] if media.audio is not None else []
    return Specimen(name, caption, pictures, [(sound.samples.mean(0), sound.rate_hz) for sound in sounds])


def _specimen(clip: Clip) -> Specimen:
    with opened(clip.source) as media:
        clip.require_streams(media)
    audio, video = (sample_steps(steps, clip.seed, clip.sample_id) for steps in (clip.audio, clip.video))
    values: dict[str, Any] = {}
    sounds: list[Audio] = []
    if media.audio is not None:
        sound = as_declared(read_audio(clip.source), clip.encoding)
        after = apply_steps(sound, audio, clip.known)
        values |= after.values
        sounds = [sound, after.signal]
    pictures: list[list[NDArray[np.uint8]]] = []
    if media.video is not None:
        before = _pictures(read_video(clip.source))
        after = apply_steps(read_video(clip.source), video, clip.known)
        values |= after.values
        pictures = [before, _pictures(after.signal)]
    return Specimen(clip.sample_id, _caption(clip, values), pictures, [(s.samples.mean(0), s.rate_hz) for s in sounds])


_WIDTH = 110
"""Characters on a line of what was done to a clip."""


def _caption(clip: Clip, values: Mapping[str, Any]) -> str:
    """Return what was done, a line or more for each step, without the parameters at their defaults."""
    lines = []
    for step in (*clip.audio, *clip.video):
        known = step.corruption.parameters
        own = {name.removeprefix(f"{step.step_name}."): value for name, value in values.items() if _of(step, name)}
        shown = [
            f"{name} {_number(value)}"
            for name, value in own.items()
            if name not in known or value != known[name].default
        ]
        lines += textwrap.wrap(f"{step.step_name}: {', '.join(shown)}" if shown else step.step_name, _WIDTH)
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
            chosen.append(shown(frame))
        last = frame
    while last is not None and len(chosen) < len(wanted):
        chosen.append(shown(last))
    return chosen


def _copies(video: Video) -> Iterator[Frame]:
    for frame in video.frames:
        yield frame.with_planes([plane.copy() for plane in frame.planes])
