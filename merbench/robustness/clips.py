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

from merbench.banks.bank import Bank
from merbench.corpus.candidates import Candidates
from merbench.corrupt.steps import damage
from merbench.corruptions import Step
from merbench.engine import WorkerDied, run
from merbench.errors import EXAMPLES_SHOWN, Inapplicable, UnreadableMedia, UsageError, listed
from merbench.files import sha256_bytes, sha256_file
from merbench.media.finding import find_clips
from merbench.robustness.grid import Condition

Vectors = NDArray[np.float32]
Vector = tuple[Vectors, dict[str, Any]]
"""One clip's vector under one condition, and what was drawn and realised."""


@dataclass(frozen=True)
class _Task:
    """One clip, and the conditions of each modality to take it under; None stands for the undamaged clip."""

    path: Path
    sample_id: str
    seed: int
    rate_hz: int | None
    conditions: Mapping[str, tuple[Step | None, ...]]
    known: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ClipVectors:
    """The vectors of a split's clips under every condition of one modality.

    Attributes:
        by_condition: one row per candidate, by condition; of None without damage.
        values: what was drawn and realised, by condition, for each candidate.
    """

    by_condition: Mapping[Condition | None, Vectors] = field(repr=False)
    values: Mapping[Condition | None, Sequence[Mapping[str, Any]]] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Clips:
    """The clips of a split.

    Attributes:
        digest: SHA-256 over ids and the digests of the files.
        vectors: by modality.
    """

    digest: str
    vectors: Mapping[str, ClipVectors]


def read_clips(
    candidates: Candidates,
    folders: Sequence[Path],
    conditions: Mapping[str, Sequence[Condition]],
    banks: Mapping[str, Bank],
    *,
    workers: int,
    engine: str,
    progress: Callable[[int, int], None],
) -> Clips:
    """Return the vectors of a split's clips under all conditions of some modalities, each clip read by one worker.

    Sound is converted to the rate that the track declares for its media before it is damaged and measured.

    Args:
        candidates: the samples.
        folders: where their clips are; the last one that has a sample's clip gives it.
        conditions: `audio`, `video` or both -> its conditions.
        banks: every noise bank that the conditions may draw from, by name.
        workers: number of processes.
        engine: what they run on.
        progress: called with (done, total) clips.

    Raises:
        UsageError: a sample has no clip or several, or a clip cannot be read or damaged; samples are listed.
    """
    paths = _paths(candidates, folders)
    steps = {kind: (None, *(one.step for one in group)) for kind, group in conditions.items()}
    track, known = candidates.track, _known(candidates)
    units = [
        (name, _Task(path, name, track.seed, track.media.sample_rate_hz, steps, known[row]))
        for row, (name, path) in enumerate(paths.items())
    ]
    found: dict[str, tuple[str, dict[str, list[Vector]]]] = {}
    faults: dict[str, str] = {}
    with closing(run(partial(clip_vectors, banks=banks), units, workers=workers, engine=engine)) as results:
        for n, done in enumerate(results, start=1):
            progress(n, len(units))
            if done.error is None:
                assert done.value is not None
                found[done.name] = done.value
            else:
                faults[done.name] = _reason(done.error)
    if faults:
        raise _unusable(candidates, faults)
    lines = [f"{name} {found[name][0]}\n" for name in sorted(found)]
    return Clips(
        sha256_bytes("".join(lines).encode()),
        {kind: _gathered(group, [found[name][1][kind] for name in paths]) for kind, group in conditions.items()},
    )


def _reason(error: BaseException) -> str:
    """Return why a clip cannot be used; raise what is no fault of the clip."""
    match error:
        case WorkerDied():
            return error.reason
        case Inapplicable() | UnreadableMedia():
            return str(error)
    raise error


def _unusable(candidates: Candidates, faults: Mapping[str, str]) -> UsageError:
    first = (f"  {name}: {faults[name]}" for name in sorted(faults)[:EXAMPLES_SHOWN])
    n_all = f"{len(faults):,} of {len(candidates):,}"
    return UsageError(f"{n_all} clips of split '{candidates.split}' cannot be used:", *first)


def _gathered(conditions: Sequence[Condition], samples: Sequence[Sequence[Vector]]) -> ClipVectors:
    """Return vectors per condition, from vectors per sample."""
    by_condition = dict(zip((None, *conditions), zip(*samples, strict=True), strict=True))
    return ClipVectors(
        {condition: np.stack([vector for vector, _ in one]) for condition, one in by_condition.items()},
        {condition: [values for _, values in one] for condition, one in by_condition.items()},
    )


def _known(candidates: Candidates) -> list[dict[str, Any]]:
    """Return what the corpus knows of every sample."""
    columns = [name for name in candidates.samples.column_names if name not in ("sample_id", "split")]
    rows: list[dict[str, Any]] = candidates.samples.select(columns).to_pylist() if columns else []
    return rows or [{} for _ in range(len(candidates))]


def _paths(candidates: Candidates, folders: Sequence[Path]) -> Mapping[str, Path]:
    """Return the clip of every candidate, in the order of ids."""
    found = find_clips(candidates.samples, folders)
    if found.several:
        raise _unusable(candidates, found.several)
    if found.missing:
        where = listed([str(folder) for folder in folders])
        raise UsageError(
            f"{where}: no clip of {len(found.missing):,} of {len(candidates):,} samples of split "
            f"'{candidates.split}': {listed(found.missing)}"
        )
    return found.paths


def clip_vectors(task: _Task, banks: Mapping[str, Bank]) -> tuple[str, dict[str, list[Vector]]]:
    """Return the digest of a clip's file, and its vectors by modality, undamaged first; runs in a worker."""
    vectors: dict[str, list[Vector]] = {}
    if "audio" in task.conditions:
        from merbench.features.sound import sound_vector
        from merbench.media.reading import read_audio

        sound = read_audio(task.path, task.rate_hz)
        vectors["audio"] = [
            _vector(task, step, lambda: sound, sound_vector, banks) for step in task.conditions["audio"]
        ]
    if "video" in task.conditions:
        from merbench.features.pictures import picture_vector
        from merbench.media.reading import read_video

        read = partial(read_video, task.path)
        vectors["video"] = [_vector(task, step, read, picture_vector, banks) for step in task.conditions["video"]]
    return sha256_file(task.path), vectors


def _vector(
    task: _Task,
    step: Step | None,
    read: Callable[[], Any],
    measure: Callable[[Any], NDArray[np.float32]],
    banks: Mapping[str, Bank],
) -> Vector:
    if step is None:
        return np.asarray(measure(read()), dtype=np.float32), {}
    found = damage(read(), [step], seed=task.seed, sample_id=task.sample_id, known=task.known, banks=banks.__getitem__)
    return np.asarray(measure(found.signal), dtype=np.float32), found.values
