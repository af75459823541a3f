"""The clips of samples go in, a vector of each under every condition comes out: decoded, damaged in memory, measured.

Nothing is encoded. The vectors of undamaged sound and pictures come from the same clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates
from merbench.corruptions import Step
from merbench.engine import WorkerDied, run
from merbench.errors import EXAMPLES_SHOWN, Inapplicable, UnreadableMedia, UsageError, listed
from merbench.files import sha256_bytes, sha256_file
from merbench.media.finding import find_media
from merbench.protocol.steps import damage
from merbench.robustness.grid import Condition

Vectors = NDArray[np.float32]
Said = tuple[Vectors, dict[str, Any]]
"""One clip's vector under one condition, and what was drawn and realised."""

MEDIA_COLUMN = "media"
"""The column of a corpus that says where a sample's clip stands in the folder."""


@dataclass(frozen=True)
class _Task:
    """One clip, and the conditions of each modality to take it under; None stands for the undamaged clip."""

    path: Path
    sample_id: str
    seed: int
    conditions: Mapping[str, tuple[Step | None, ...]]
    known: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ClipVectors:
    """What clips of a split say under every condition of one modality.

    Attributes:
        vectors: one row per candidate, by condition; of None without damage.
        values: what was drawn and realised, by condition, for each candidate.
    """

    vectors: Mapping[Condition | None, Vectors] = field(repr=False)
    values: Mapping[Condition | None, Sequence[Mapping[str, Any]]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of a split.

    Attributes:
        digest: SHA-256 over ids and the digests of the files.
        said: by modality.
    """

    digest: str
    said: Mapping[str, ClipVectors]


def read_clips(
    candidates: Candidates,
    folders: Sequence[Path],
    conditions: Mapping[str, Sequence[Condition]],
    *,
    seed: int,
    workers: int,
    engine: str,
    progress: Callable[[int, int], None],
) -> Clips:
    """Return what all clips of a split say, under all conditions of some modalities, each clip read by one worker.

    Args:
        candidates: the samples.
        folders: where their clips are; the last one that has a sample's clip gives it.
        conditions: `audio`, `video` or both -> its conditions.
        seed: seed of the track.
        workers: number of processes.
        engine: what they run on.
        progress: called with (done, total) clips.

    Raises:
        UsageError: a sample has no clip or several, or a clip cannot be read or damaged; samples are listed.
    """
    paths = _paths(candidates, folders)
    steps = {kind: (None, *(one.step for one in group)) for kind, group in conditions.items()}
    known = _known(candidates)
    units = [(name, _Task(path, name, seed, steps, known[row])) for row, (name, path) in enumerate(paths.items())]
    found: dict[str, tuple[str, dict[str, list[Said]]]] = {}
    faults: dict[str, str] = {}
    with closing(run(clip_said, units, workers=workers, engine=engine)) as results:
        for n, done in enumerate(results, start=1):
            progress(n, len(units))
            if done.error is None:
                assert done.value is not None
                found[done.name] = done.value
            elif isinstance(done.error, Inapplicable | UnreadableMedia | WorkerDied):
                faults[done.name] = str(done.error)
            else:
                raise done.error
    if faults:
        first = "".join(f"\n  {name}: {faults[name]}" for name in sorted(faults)[:EXAMPLES_SHOWN])
        raise UsageError(
            f"{len(faults):,} of {len(units):,} clips of split '{candidates.split}' cannot be used:{first}"
        )
    lines = [f"{name} {found[name][0]}\n" for name in sorted(found)]
    return Clips(
        sha256_bytes("".join(lines).encode()),
        {kind: _gathered(group, [found[name][1][kind] for name in paths]) for kind, group in conditions.items()},
    )


def _gathered(conditions: Sequence[Condition], said: Sequence[Sequence[Said]]) -> ClipVectors:
    """Return what is said per condition, from what is said per sample."""
    by_condition = dict(zip((None, *conditions), zip(*said, strict=True), strict=True))
    return ClipVectors(
        {condition: np.stack([vector for vector, _ in one]) for condition, one in by_condition.items()},
        {condition: [values for _, values in one] for condition, one in by_condition.items()},
    )


def _known(candidates: Candidates) -> list[dict[str, Any]]:
    """Return what the corpus knows of every sample."""
    columns = [name for name in candidates.samples.column_names if name not in ("sample_id", "split")]
    rows: list[dict[str, Any]] = candidates.samples.select(columns).to_pylist() if columns else []
    return rows or [{} for _ in range(len(candidates))]


def _paths(candidates: Candidates, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the clip of every candidate, in the order of ids."""
    ids = candidates.ids.to_pylist()
    listing = None
    if MEDIA_COLUMN in candidates.samples.column_names:
        column = candidates.samples[MEDIA_COLUMN].to_pylist()
        listing = {name: str(path) for name, path in zip(ids, column, strict=True) if path is not None}
    paths: dict[str, Path] = {}
    for folder in folders:
        files = find_media(folder, ids, listing)
        if files.ambiguous:
            name, several = next(iter(sorted(files.ambiguous.items())))
            raise UsageError(
                f"{folder}: several files could be sample '{name}': {listed([str(path) for path in several])}"
            )
        paths |= {name: files.path(name) for name in files.paths}
    missing = [name for name in ids if name not in paths]
    if missing:
        where = listed([str(folder) for folder in folders])
        raise UsageError(
            f"{where}: no clip of {len(missing):,} of {len(ids):,} samples of split '{candidates.split}': "
            f"{listed(missing)}"
        )
    return {name: paths[name] for name in ids}


def clip_said(task: _Task) -> tuple[str, dict[str, list[Said]]]:
    """Return the digest of a clip's file, and what it says by modality, undamaged first; runs in a worker."""
    said: dict[str, list[Said]] = {}
    if "audio" in task.conditions:
        from merbench.features.sound import sound_vector
        from merbench.media.reading import read_audio

        sound = read_audio(task.path)
        said["audio"] = [_said(task, condition, lambda: sound, sound_vector) for condition in task.conditions["audio"]]
    if "video" in task.conditions:
        from merbench.features.pictures import picture_vector
        from merbench.media.reading import read_video

        read = partial(read_video, task.path)
        said["video"] = [_said(task, condition, read, picture_vector) for condition in task.conditions["video"]]
    return sha256_file(task.path), said


def _said(
    task: _Task, step: Step | None, signal: Callable[[], Any], vector: Callable[[Any], NDArray[np.float32]]
) -> Said:
    if step is None:
        return np.asarray(vector(signal()), dtype=np.float32), {}
    found = damage(signal(), [step], seed=task.seed, sample_id=task.sample_id, known=task.known)
    return np.asarray(vector(found.signal), dtype=np.float32), found.values
