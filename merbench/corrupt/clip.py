"""One clip: its corrupted copy with the row of the manifest, and whether the copy is still what the row says."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.banks.bank import Bank
from merbench.corrupt.steps import apply_steps, sample_steps, sampled_values
from merbench.corruptions import Audio, Step, Video
from merbench.corruptions.declaration import WINDOW
from merbench.errors import Inapplicable, UnreadableMedia, fault, listed
from merbench.files.reading import sha256_file
from merbench.media import MediaFile, opened, read_audio, read_video
from merbench.media.transcode import as_declared, target_suffix, write_corrupted
from merbench.media.writing import Encoding

ManifestRow = Mapping[str, Any]
"""What the manifest says about one sample."""

ADDITIVE = "realised_snr_db"
"""The measured value of a step that adds noise at a signal-to-noise ratio."""


@dataclass(frozen=True)
class Clip:
    """Everything that one process needs to corrupt one clip."""

    sample_id: str
    name: str  # path of the clip in the folder of media, with `/`
    source: Path  # its full path
    output: Path  # the folder that corrupted clips are written to
    stem: str  # path of the corrupted clip in that folder, without a suffix
    seed: int
    audio: tuple[Step, ...]  # steps that corrupt sound
    video: tuple[Step, ...]  # steps that corrupt pictures
    encoding: Encoding = field(repr=False)  # how media are written
    # what the corpus knows of the sample and a step needs
    known: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def require_streams(self, media: MediaFile) -> None:
        """Raise `UnreadableMedia` if the clip lacks a stream that a step corrupts, whatever its parameters are."""
        for steps, stream, kind in ((self.audio, media.audio, "audio"), (self.video, media.video, "video")):
            if steps and stream is None:
                raise UnreadableMedia(self.source, f"it has no {kind} stream, which {steps[0].step_name} corrupts")


def corrupt_clip(clip: Clip, banks: Mapping[str, Bank]) -> ManifestRow:
    """Write the corrupted copy of a clip and return its row; what is wrong with the clip becomes the row's problem.

    Args:
        clip: the clip.
        banks: every noise bank that its steps may use, by name.

    Raises:
        OutputError: the corrupted clip cannot be written.
    """
    row: dict[str, Any] = {"sample_id": clip.sample_id, "input": clip.name}
    try:
        row["input_bytes"], row["input_sha256"] = _size_and_digest(clip.source)
        return {**row, **_corrupted(clip, banks)}
    except UnreadableMedia as error:
        return {**row, "problem": error.reason}
    except Inapplicable as error:
        return {**row, "problem": str(error)}


def _size_and_digest(source: Path) -> tuple[int, str]:
    try:
        return source.stat().st_size, sha256_file(source)
    except OSError as error:
        raise UnreadableMedia(source, f"cannot be read: {fault(error)}") from error


def _corrupted(clip: Clip, banks: Mapping[str, Bank]) -> dict[str, Any]:
    audio, video = (sample_steps(steps, clip.seed, clip.sample_id) for steps in (clip.audio, clip.video))
    values = sampled_values([*audio, *video])

    def edit_audio(sound: Audio) -> Audio:
        corrupted = apply_steps(sound, audio, clip.known, banks.__getitem__)
        values.update(corrupted.values)
        after: Audio = corrupted.signal
        return after

    def edit_video(pictures: Video) -> Video:
        after: Video = apply_steps(pictures, video, clip.known).signal
        return after

    with opened(clip.source) as media:
        clip.require_streams(media)
        output = clip.stem + target_suffix(media)
        record = write_corrupted(
            media,
            clip.output / output,
            edit_audio=None if all(step.changes_nothing for step in audio) else edit_audio,
            edit_video=None if all(step.changes_nothing for step in video) else edit_video,
            encoding=clip.encoding,
        )
        duration_s = media.duration_s
    written = {
        "output": output,
        "output_sha256": record.file_digest,
        "output_bytes": record.file_bytes,
        "pcm_sha256": record.pcm_digest,
        "planes_sha256": record.planes_digest,
        "n_frames": record.n_frames,
        "n_samples": record.n_samples,
        "sample_rate_hz": record.sample_rate_hz,
        "duration_s": duration_s,
        "audio_scale": record.audio_scale,
    }
    return {**{key: value for key, value in written.items() if value is not None}, **values}


DIFFERS = "differs"
"""The key under which `verify_clip` says how a corrupted clip differs from its row."""


def verify_clip(task: tuple[Clip, ManifestRow], banks: Mapping[str, Bank]) -> dict[str, Any]:
    """Re-create a corrupted clip, compare it with its row and its file, and measure the file.

    Returns:
        `differs`, if something does; `audio.decoded_snr_db`, the ratio of the clean sound to the difference between it
        and the decoded file, noise and coding noise, if all steps add noise to the whole clip.
    """
    clip, row = task
    written = clip.output / str(row["output"])
    if not written.is_file():
        return {DIFFERS: "the file is missing; run again"}
    if sha256_file(written) != row["output_sha256"]:
        return {DIFFERS: "the file changed since it was written; delete it and run again"}
    with tempfile.TemporaryDirectory() as folder:
        again = corrupt_clip(replace(clip, output=Path(folder)), banks)
    differing = [key for key in sorted(row) if not key.startswith("audio.") and again.get(key) != row[key]]
    if differing:
        return {DIFFERS: f"when re-created, it has a different {listed(differing)}"}
    n = sum(1 for _ in read_video(written).frames) if row.get("n_frames") else 0
    if "planes_sha256" in row and n != row["n_frames"]:
        return {DIFFERS: f"{n} frames can be decoded, {row['n_frames']} were written"}
    return {"audio.decoded_snr_db": _decoded_snr_db(clip, row, written)} if _only_adds_noise(clip, row) else {}


def _only_adds_noise(clip: Clip, row: ManifestRow) -> bool:
    has_window = any(name in step.parameters for step in clip.audio for name in WINDOW)
    return bool(clip.audio) and not has_window and all(f"{step.step_name}.{ADDITIVE}" in row for step in clip.audio)


def _decoded_snr_db(clip: Clip, row: ManifestRow, written: Path) -> float:
    decoded = read_audio(written)
    clean = as_declared(read_audio(clip.source), replace(clip.encoding, sample_rate_hz=decoded.rate_hz))
    n = min(clean.samples.shape[1], decoded.samples.shape[1])
    channels = min(len(clean.samples), len(decoded.samples))
    signal = clean.samples[:channels, :n].astype(np.float64) * float(row.get("audio_scale", 1.0))
    difference = decoded.samples[:channels, :n] - signal
    return round(10 * math.log10(_power(signal) / max(_power(difference), 1e-20)), 4)


def _power(values: NDArray[np.float64]) -> float:
    return float(np.mean(np.square(values)))
