"""Measures the clips of a split under every condition: decoded, corrupted in memory, turned into one vector each.

Nothing is encoded. The vectors of clean sound and pictures are measured from the same clips. A corrupted clip that the
extractor cannot measure, such as one without a face, has a vector of NaN until `filled` replaces it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Unpack
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from merbench.banks.bank import Bank
from merbench.corpus.candidates import Candidates
from merbench.corpus.clips import find_clips
from merbench.corrupt.steps import corrupt
from merbench.engine import Execution, run, suitable_threads
from merbench.errors import EXAMPLES_SHOWN, Inapplicable, MerbenchError, UnreadableMedia, UsageError, listed
from merbench.features.clips import Measured as MeasuredClip
from merbench.features.clips import measure_sound, measure_video
from merbench.features.outputs import Recipe, kept, kept_for_a_run
from merbench.files.reading import sha256_bytes, sha256_file
from merbench.media.reading import read_audio, read_video
from merbench.robustness.grid import Condition

Vectors = NDArray[np.float32]


class _Vector(NamedTuple):
    """What an extractor measured of a clip under one condition, None if it could not; with the sampled parameters."""

    vector: Vectors | None
    values: Mapping[str, Any]


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


UNMEASURED = "unmeasured"
"""The measured value of a clip that an extractor could not measure under a condition: 1, of the others 0."""


def read_clips(
    candidates: Candidates,
    folders: Sequence[Path],
    conditions: Mapping[str, Sequence[Condition]],
    banks: Mapping[str, Bank],
    recipes: Mapping[str, Recipe],
    *,
    progress: Callable[[int, int], None],
    **execution: Unpack[Execution],
) -> Clips:
    """Measure a split's clips under all conditions of some modalities; each clip is read by one worker.

    Sound is converted to the rate that the track declares for its media before it is corrupted and measured. Of several
    folders, the last one that has a sample's clip is used.

    Args:
        candidates: the samples of the split.
        folders: of clips.
        conditions: by modality.
        banks: every noise bank in use, by name.
        recipes: by modality, the extractor that measures its clips.
        progress: called with the number of clips that are done, and of all.
        **execution: on which workers, and which engine.

    Raises:
        UsageError: a sample has no clip or several, or a clip cannot be read, corrupted, or measured when it is clean;
            samples are listed.
    """
    paths = _paths(candidates, folders)
    all_conditions = {modality: [None, *group] for modality, group in conditions.items()}
    track, columns = candidates.track, known_columns(candidates)
    units = []
    for row, (name, path) in enumerate(paths.items()):
        known = {key: column[row] for key, column in columns.items()}
        units.append((name, _Task(path, name, track.seed, track.media.sample_rate_hz, all_conditions, known)))
    results: dict[str, tuple[str, dict[str, list[_Vector]]]] = {}
    faults: dict[str, str] = {}
    measure = partial(clip_vectors, banks=banks, recipes={name: recipes[name] for name in conditions})
    with closing(run(measure, units, **execution)) as finished, kept_for_a_run():
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
            condition: _measured(condition, clips) for condition, clips in zip(group, by_condition, strict=True)
        }
    return Clips(digest, measured)


def _measured(condition: Condition | None, clips: Sequence[_Vector]) -> Measured:
    """Return the vectors and values of one condition; where some clips were not measured, the values say which."""
    width = next((len(clip.vector) for clip in clips if clip.vector is not None), 0)
    vectors = [np.full(width, np.nan, np.float32) if clip.vector is None else clip.vector for clip in clips]
    values = [clip.values for clip in clips]
    if condition is not None and any(clip.vector is None for clip in clips):
        name = f"{condition.step.step_name}.{UNMEASURED}"
        values = [{**clip.values, name: float(clip.vector is None)} for clip in clips]
    return Measured(np.stack(vectors), values)


def filled(clips: Clips, clean: Clips) -> Clips:
    """Return clips with the mean of the clean training clips for vectors of clips that could not be measured."""
    measured: dict[str, dict[Condition | None, Measured]] = {}
    for modality, by_condition in clips.measured.items():
        mean = clean.measured[modality][None].vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        measured[modality] = {
            condition: Measured(np.stack([_or_mean(vector, mean) for vector in item.vectors]), item.values)
            for condition, item in by_condition.items()
        }
    return Clips(clips.digest, measured)


def _or_mean(vector: Vectors, mean: Vectors) -> Vectors:
    return vector if np.isfinite(vector).all() and len(vector) else mean


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


def clip_vectors(
    task: _Task, banks: Mapping[str, Bank], recipes: Mapping[str, Recipe]
) -> tuple[str, dict[str, list[_Vector]]]:
    """Return the digest of a clip's file, and by modality its vector under every condition; runs in a worker."""
    digest = sha256_file(task.path)
    vectors = {}
    if "audio" in task.conditions:
        sound = read_audio(task.path, task.rate_hz)
        vectors["audio"] = list(_vectors(task, "audio", lambda: sound, digest, banks, kept(recipes["audio"])))
    if "video" in task.conditions:
        read = partial(read_video, task.path)
        vectors["video"] = list(_vectors(task, "video", read, digest, banks, kept(recipes["video"])))
    return digest, vectors


def _vectors(
    task: _Task, modality: str, read: Callable[[], Any], digest: str, banks: Mapping[str, Bank], recipe: Recipe
) -> Iterator[_Vector]:
    """Yield the vector of a clip under every condition of a modality."""
    for condition in task.conditions[modality]:
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
        measured = MeasuredClip([task.sample_id])
        with suitable_threads(0):  # as a worker does: the same bits in any process
            if modality == "audio":
                measure_sound(measured, task.sample_id, [recipe], signal)
            else:  # faces of corrupted pictures are of no use to anyone else
                own = {"digest": digest} if condition is None else {"digest": uuid4().hex, "keep": False}
                measure_video(measured, task.sample_id, [recipe], signal, **own)
        result = measured.results[task.sample_id].get(recipe.name)
        if result is None and condition is None:
            raise Inapplicable(measured.problems[task.sample_id][recipe.name])
        yield _Vector(None if result is None else result.vector, values)
