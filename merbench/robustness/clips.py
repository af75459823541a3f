"""Measures the clips of a split under every condition: decoded, corrupted in memory, turned into one vector each.

Nothing is encoded. The vectors of clean sound and pictures are measured from the same clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.banks.bank import Bank
from merbench.corpus.candidates import Candidates
from merbench.corpus.clips import find_clips
from merbench.corrupt.steps import corrupt
from merbench.engine import run
from merbench.errors import EXAMPLES_SHOWN, Inapplicable, MerbenchError, UnreadableMedia, UsageError, listed
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.robustness.grid import Condition

Vectors = NDArray[np.float32]


class Measured(NamedTuple):
    """The vectors of a split's clips under one condition, one row per candidate, and each one's sampled parameters."""

    vectors: Vectors
    values: Sequence[Mapping[str, Any]]


class Clips(NamedTuple):
    """The clips of a split, by modality and condition (None: clean), and a SHA-256 over ids and digests of files."""

    digest: str
    measured: Mapping[str, Mapping[Condition | None, Measured]]


class _Task(NamedTuple):
    """One clip, and the conditions of each modality; None is the clean clip."""

    path: Path
    sample_id: str
    seed: int
    rate_hz: int | None
    conditions: Mapping[str, Sequence[Condition | None]]
    known: Mapping[str, Any]


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
    """Measure a split's clips under all conditions of some modalities; each clip is read by one worker.

    Sound is converted to the rate that the track declares for its media before it is corrupted and measured. Of several
    folders, the last one that has a sample's clip is used.

    Raises:
        UsageError: a sample has no clip or several, or a clip cannot be read or corrupted; samples are listed.
    """
    paths = _paths(candidates, folders)
    all_conditions = {modality: [None, *group] for modality, group in conditions.items()}
    track, columns = candidates.track, known_columns(candidates)
    units = []
    for row, (name, path) in enumerate(paths.items()):
        known = {key: column[row] for key, column in columns.items()}
        units.append((name, _Task(path, name, track.seed, track.media.sample_rate_hz, all_conditions, known)))
    results: dict[str, tuple[str, dict[str, list[tuple[Vectors, Mapping[str, Any]]]]]] = {}
    faults: dict[str, str] = {}
    with closing(run(partial(clip_vectors, banks=banks), units, workers=workers, engine=engine)) as finished:
        for n, unit in enumerate(finished, start=1):
            progress(n, len(units))
            if unit.error is None:
                assert unit.value is not None
                results[unit.name] = unit.value
            elif isinstance(unit.error, MerbenchError):
                faults[unit.name] = unit.problem(Inapplicable, UnreadableMedia)
            else:
                raise unit.error  # a bug, not a fault of the clip
    if faults:
        raise _unusable(candidates, faults)
    digest = sha256_bytes("".join(f"{name} {results[name][0]}\n" for name in sorted(results)).encode())
    measured: dict[str, dict[Condition | None, Measured]] = {}
    for modality, group in all_conditions.items():
        by_condition = zip(*(results[name][1][modality] for name in paths), strict=True)
        measured[modality] = {
            condition: Measured(np.stack([vector for vector, _ in clips]), [values for _, values in clips])
            for condition, clips in zip(group, by_condition, strict=True)
        }
    return Clips(digest, measured)


def _unusable(candidates: Candidates, faults: Mapping[str, str]) -> UsageError:
    first = (f"  {name}: {faults[name]}" for name in sorted(faults)[:EXAMPLES_SHOWN])
    n_all = f"{len(faults):,} of {len(candidates):,}"
    return UsageError(f"{n_all} clips of split '{candidates.split}' cannot be used:", *first)


def known_columns(candidates: Candidates) -> dict[str, list[Any]]:
    """Return what the corpus knows of the samples, by column."""
    table = candidates.samples
    return {name: table[name].to_pylist() for name in table.column_names if name not in ("sample_id", "split")}


def _paths(candidates: Candidates, folders: Sequence[Path]) -> Mapping[str, Path]:
    """Return the clip of every candidate, in the order of ids."""
    clips = find_clips(candidates.samples, folders)
    if clips.several:
        raise _unusable(candidates, clips.several)
    if clips.missing:
        where = listed([str(folder) for folder in folders])
        raise UsageError(
            f"{where}: no clip for {len(clips.missing):,} of {len(candidates):,} samples of split "
            f"'{candidates.split}': {listed(clips.missing)}"
        )
    return clips.paths


def clip_vectors(task: _Task, banks: Mapping[str, Bank]) -> tuple[str, dict[str, list[tuple[Vectors, Any]]]]:
    """Return the digest of a clip's file, and by modality its vector under every condition; runs in a worker."""
    vectors = {}
    if "audio" in task.conditions:
        from merbench.features.sound import sound_vector
        from merbench.media.reading import read_audio

        sound = read_audio(task.path, task.rate_hz)
        vectors["audio"] = [
            _vector(task, condition, lambda: sound, sound_vector, banks) for condition in task.conditions["audio"]
        ]
    if "video" in task.conditions:
        from merbench.features.pictures import picture_vector
        from merbench.media.reading import read_video

        read = partial(read_video, task.path)
        vectors["video"] = [
            _vector(task, condition, read, picture_vector, banks) for condition in task.conditions["video"]
        ]
    return sha256_file(task.path), vectors


def _vector(
    task: _Task,
    condition: Condition | None,
    read: Callable[[], Any],
    measure: Callable[[Any], Vectors],
    banks: Mapping[str, Bank],
) -> tuple[Vectors, Mapping[str, Any]]:
    signal, values = read(), {}
    if condition is not None:
        done = corrupt(
            signal,
            [condition.step],
            seed=task.seed,
            sample_id=task.sample_id,
            known=task.known,
            banks=banks.__getitem__,
        )
        signal, values = done.signal, done.values
    return np.asarray(measure(signal), dtype=np.float32), values
