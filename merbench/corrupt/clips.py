"""One clip goes in, its damaged copy comes out, with the row that the manifest holds of it."""

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
from merbench.corrupt.steps import damage, drawn_values, leaves
from merbench.corruptions import Audio, Step, Video
from merbench.corruptions.declaration import WINDOW
from merbench.errors import Inapplicable, UnreadableMedia, fault, listed
from merbench.files import sha256_file
from merbench.media import MediaInfo, probe, read_audio, read_video
from merbench.media.encoding import Encoding
from merbench.media.transcode import as_declared, target_suffix, write_damaged

Row = Mapping[str, Any]
"""What the manifest holds of one sample."""

ADDITIVE = "realised_snr_db"
"""What a step realises that adds noise at a signal-to-noise ratio."""


@dataclass(frozen=True)
class Clip:
    """All that one process needs to damage one clip.

    Attributes:
        sample_id: id of the sample.
        name: path of the clip in the folder of media, with `/`.
        source: its full path.
        output: the folder that damaged clips are written to.
        stem: path of the damaged clip in that folder, without a suffix.
        seed: seed of the track.
        audio: steps that damage sound.
        video: steps that damage pictures.
        encoding: how media are written.
        known: what the corpus knows of the sample and a step needs.
    """

    sample_id: str
    name: str
    source: Path
    output: Path
    stem: str
    seed: int
    audio: tuple[Step, ...]
    video: tuple[Step, ...]
    encoding: Encoding = field(repr=False)
    known: Mapping[str, Any] = field(default_factory=dict, repr=False)


def damage_clip(clip: Clip, banks: Mapping[str, Bank]) -> Row:
    """Write the damaged copy of a clip and return its row; what is wrong with the clip becomes the row's problem.

    Args:
        clip: the clip.
        banks: every noise bank that its steps may draw from, by name.

    Raises:
        OutputError: the damaged clip cannot be written.
    """
    row: dict[str, Any] = {"sample_id": clip.sample_id, "input": clip.name}
    try:
        row["input_bytes"], row["input_sha256"] = _size_and_digest(clip.source)
        return {**row, **_damaged(clip, banks)}
    except UnreadableMedia as error:
        return {**row, "problem": error.reason}
    except Inapplicable as error:
        return {**row, "problem": str(error)}


def _size_and_digest(source: Path) -> tuple[int, str]:
    try:
        return source.stat().st_size, sha256_file(source)
    except OSError as error:
        raise UnreadableMedia(source, f"cannot be read: {fault(error)}") from error


def _damaged(clip: Clip, banks: Mapping[str, Bank]) -> dict[str, Any]:
    info = probe(clip.source, decode=False)
    require_streams(clip, info)
    output = clip.stem + target_suffix(info)
    values = drawn_values([*clip.audio, *clip.video], clip.seed, clip.sample_id)

    def edit_audio(audio: Audio) -> Audio:
        damaged = damage(
            audio, clip.audio, seed=clip.seed, sample_id=clip.sample_id, known=clip.known, banks=banks.__getitem__
        )
        values.update(damaged.values)
        sound: Audio = damaged.signal
        return sound

    def edit_video(video: Video) -> Video:
        pictures: Video = damage(video, clip.video, seed=clip.seed, sample_id=clip.sample_id, known=clip.known).signal
        return pictures

    record = write_damaged(
        clip.source,
        clip.output / output,
        edit_audio=None if leaves(clip.audio, clip.seed, clip.sample_id) else edit_audio,
        edit_video=None if leaves(clip.video, clip.seed, clip.sample_id) else edit_video,
        spec=clip.encoding,
    )
    written = {
        "output": output,
        "output_sha256": record.file_digest,
        "output_bytes": record.file_bytes,
        "pcm_sha256": record.pcm_digest,
        "planes_sha256": record.planes_digest,
        "n_frames": record.n_frames,
        "n_samples": record.n_samples,
        "sample_rate_hz": record.sample_rate_hz,
        "duration_s": info.duration_s,
        "audio_scale": record.audio_scale,
    }
    return {**{key: value for key, value in written.items() if value is not None}, **values}


def require_streams(clip: Clip, info: MediaInfo) -> None:
    """Raise `UnreadableMedia` where a step damages a stream that the clip does not have, whatever is drawn for it."""
    for steps, there, kind in ((clip.audio, info.has_audio, "audio"), (clip.video, info.has_video, "video")):
        if steps and not there:
            raise UnreadableMedia(clip.source, f"there is no {kind} stream, and {steps[0].step_name} damages it")


DIFFERS = "differs"
"""What `verify_clip` says where a damaged clip is not as its row says."""


def verify_clip(task: tuple[Clip, Row], banks: Mapping[str, Bank]) -> dict[str, Any]:
    """Make the damaged clip once more, compare it with its row and its file, and measure the file.

    Returns:
        `differs`, where something does; `audio.decoded_snr_db`, the ratio of the undamaged sound to all that the
        decoded file holds beside it, noise and coding noise, where all steps add noise to the whole clip.
    """
    clip, row = task
    written = clip.output / str(row["output"])
    if not written.is_file():
        return {DIFFERS: "the file is gone; run again"}
    if sha256_file(written) != row["output_sha256"]:
        return {DIFFERS: "the file changed since it was written; delete it and run again"}
    with tempfile.TemporaryDirectory() as folder:
        again = damage_clip(replace(clip, output=Path(folder)), banks)
    differing = [key for key in sorted(row) if not key.startswith("audio.") and again.get(key) != row[key]]
    if differing:
        return {DIFFERS: f"made once more, it has another {listed(differing)}"}
    found: dict[str, Any] = {}
    n = sum(1 for _ in read_video(written).frames) if row.get("n_frames") else 0
    if "planes_sha256" in row and n != row["n_frames"]:
        return {DIFFERS: f"{n} frames can be decoded, {row['n_frames']} were written"}
    if _adds_noise_alone(clip, row):
        found["audio.decoded_snr_db"] = _decoded_snr_db(clip, row, written)
    return found


def _adds_noise_alone(clip: Clip, row: Row) -> bool:
    whole = not any(name in step.parameters for step in clip.audio for name in WINDOW)
    return whole and bool(clip.audio) and all(f"{step.step_name}.{ADDITIVE}" in row for step in clip.audio)


def _decoded_snr_db(clip: Clip, row: Row, written: Path) -> float:
    decoded = read_audio(written)
    clean = as_declared(read_audio(clip.source), replace(clip.encoding, sample_rate_hz=decoded.rate_hz))
    n = min(clean.samples.shape[1], decoded.samples.shape[1])
    channels = min(len(clean.samples), len(decoded.samples))
    signal = clean.samples[:channels, :n].astype(np.float64) * float(row.get("audio_scale", 1.0))
    beside = decoded.samples[:channels, :n] - signal
    return round(10 * math.log10(_power(signal) / max(_power(beside), 1e-20)), 4)


def _power(values: NDArray[np.float64]) -> float:
    return float(np.mean(np.square(values)))
