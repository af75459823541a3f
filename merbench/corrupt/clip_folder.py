"""A folder of clips corrupted as a track declares: the plan, what it will take, and the run that writes the manifest.

The inputs of a run are compared with those of an earlier one before anything is written; finished clips are kept.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from merbench.banks.bank import Bank
from merbench.banks.folder import open_bank
from merbench.corpus.candidates import Candidates
from merbench.corpus.clips import find_clips, is_text
from merbench.corrupt.clip import DIFFERS, Clip, ManifestRow, corrupt_clip, verify_clip
from merbench.corrupt.manifest import (
    JOURNAL,
    MANIFEST,
    SCHEMA,
    Manifest,
    problems_of,
    read_progress,
    write_manifest,
)
from merbench.corrupt.steps import sample_steps, sampled_values
from merbench.corruptions import Step
from merbench.engine import ShowProgress, require_engine, run
from merbench.errors import IntegrityError, OutputError, UnreadableMedia, UsageError, listed, plural
from merbench.files.journal import Journal, require_same_run
from merbench.files.paths import require_outside
from merbench.files.reading import sha256_file, size_text
from merbench.files.writing import sweep
from merbench.media.reading import media_versions
from merbench.media.writing import Encoding

NO_FILE = "no media file belongs to this sample"

_WORTH_A_TRIAL = 50
"""With fewer clips, the trial that shows how much space they take would take too long itself."""

_SUFFIXES = (".mp4", ".wav", ".parquet")

_CLOCK_STEP_S = 2.0


@dataclass(frozen=True, eq=False)
class MediaPlan:
    """What a run is to do."""

    candidates: Candidates
    media: Path  # the folder of clips
    output: Path  # the folder to write; the working directory if nothing is to be written
    banks: Mapping[str, Bank] = field(repr=False)  # every noise bank that is used, by name
    header: Mapping[str, Any]  # the inputs of the run
    clips: tuple[Clip, ...] = field(repr=False)  # one for every sample that has a file
    without: Mapping[str, str] = field(default_factory=dict, repr=False)  # sample -> why it has none
    unused: tuple[PurePosixPath, ...] = ()  # clips that belong to no sample; none if only some samples were asked for

    def draws(self) -> list[dict[str, Any]]:
        """Return the sampled parameters of every clip, with its sample's id."""
        return [
            {
                "sample_id": clip.sample_id,
                **sampled_values(sample_steps([*clip.audio, *clip.video], clip.seed, clip.sample_id)),
            }
            for clip in self.clips
        ]


@dataclass(frozen=True)
class Estimate:
    """What a run will take, estimated from a few clips."""

    n_clips: int
    seconds: float  # time of one process
    bytes: int  # size of the corrupted clips


@dataclass(frozen=True, eq=False)
class CorruptedMedia:
    """A run that ended."""

    folder: Path  # what was written
    manifest: Manifest  # what was done
    n_new: int  # how many clips were corrupted now
    n_kept: int  # how many had been before
    problems: Mapping[str, str]  # sample -> why its clip could not be corrupted
    # sample -> how its corrupted clip differs from the manifest, if that was verified
    differing: Mapping[str, str] = field(default_factory=dict)
    # sample -> why its corrupted clip could not be verified
    unverified: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[PurePosixPath, ...] = ()  # clips that belong to no sample, if all samples were asked for


def plan_media(
    candidates: Candidates, media: Path, output: Path | None = None, *, sample_ids: Sequence[str] | None = None
) -> MediaPlan:
    """Return what a run is to do; nothing is written, and no clip is opened.

    Args:
        candidates: the samples of the split that is corrupted.
        media: the folder of clips.
        output: the folder of corrupted clips; None if they are only looked at.
        sample_ids: only these samples; None takes all.

    Raises:
        UsageError: the track corrupts no media; the output lies in the folder of clips; a sample is unknown; a noise
            bank is empty or silent.
        UnknownName: no noise bank of a name.
    """
    track, split = candidates.track, candidates.split
    audio, video = track.steps(split, "audio"), track.steps(split, "video")
    if not audio and not video:
        raise UsageError(f"{track.id} declares no corruption of sound or pictures for its split '{split}'")
    if output is not None:
        require_outside(output, media, "the folder of clips")
    ids = _chosen(candidates, sample_ids)
    files = find_clips(candidates.corpus.samples(), [media])
    paths = {sample_id: PurePosixPath(path.relative_to(media).as_posix()) for sample_id, path in files.paths.items()}
    without = {**dict.fromkeys(files.missing, NO_FILE), **files.several, **_unfit(paths)}
    stems = _stems(paths.values())
    banks = {name: open_bank(name) for name in sorted({name for step in audio for name in step.banks})}
    header = {
        "schema": SCHEMA,
        "track": track.key,
        "fingerprint": track.fingerprint,
        "seed": track.seed,
        "split": split,
        "steps": [step.step_name for step in (*audio, *video)],
        "banks": {name: bank.digest for name, bank in banks.items()},
        "versions": media_versions(),
    }
    known, encoding = _known(candidates, (*audio, *video)), Encoding.of(track.media)
    folder = output or Path()
    clips = tuple(
        Clip(
            sample_id=sample_id,
            name=str(paths[sample_id]),
            source=media / paths[sample_id],
            output=folder,
            stem=stems[paths[sample_id]],
            seed=track.seed,
            audio=audio,
            video=video,
            encoding=encoding,
            known=known.get(sample_id, {}),
        )
        for sample_id in ids
        if sample_id not in without
    )
    reasons = {sample_id: without[sample_id] for sample_id in ids if sample_id in without}
    return MediaPlan(
        candidates, media, folder, banks, header, clips, reasons, files.unused[media] if sample_ids is None else ()
    )


def corrupt_media(
    plan: MediaPlan,
    *,
    workers: int = 1,
    engine: str = "local",
    verify: bool = False,
    progress: ShowProgress | None = None,
) -> CorruptedMedia:
    """Corrupt the clips of a plan and write them with their manifest.

    A faulty clip becomes a problem of its sample; the others are corrupted. What an earlier run finished is kept.

    Args:
        plan: what to do.
        workers: number of processes.
        engine: `local`, or `dask://host:port`.
        verify: whether every corrupted clip is re-created, compared and measured.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        IntegrityError: the folder has a run with other inputs, or a clip changed since it was corrupted.
        OutputError: a file cannot be written, or there is not enough space for all.
    """
    require_engine(engine)
    show = progress or (lambda text, done, total: None)
    before = read_progress(plan.output)
    if before is None:
        _require_empty(plan.output)
    else:
        require_same_run(plan.output, before.header, plan.header, first=("track", "split", "seed"))
    rows = {} if before is None else _finished(plan, before)
    n_kept = len(rows)
    todo = sorted(
        (clip for clip in plan.clips if clip.sample_id not in rows), key=lambda clip: (-_size(clip), clip.sample_id)
    )
    _require_space(plan, todo, rows)
    with Journal(plan.output / JOURNAL, plan.header) as journal:
        sweep(plan.output, _SUFFIXES, deep=True)
        for sample_id, problem in plan.without.items():
            rows[sample_id] = {"sample_id": sample_id, "problem": problem}
        units = ((clip.sample_id, clip) for clip in todo)
        with closing(run(partial(corrupt_clip, banks=plan.banks), units, workers=workers, engine=engine)) as results:
            for number, done in enumerate(results, 1):
                rows[done.name] = done.value or {"sample_id": done.name, "problem": done.problem()}
                journal.add(rows[done.name])
                show("corrupting", number, len(todo))
    problems = problems_of(rows.values())
    n_new = len(rows) - len(problems) - n_kept
    verified, unverified = _verified(plan, rows, workers, engine, show) if verify else ({}, {})
    differing = {sample_id: str(values.pop(DIFFERS)) for sample_id, values in verified.items() if DIFFERS in values}
    others = {} if before is None else {name: row for name, row in before.rows.items() if name not in rows}
    current = {sample_id: {**row, **verified.get(sample_id, {})} for sample_id, row in rows.items()}
    manifest = Manifest(plan.header, {**others, **current})
    write_manifest(plan.output, manifest)
    return CorruptedMedia(plan.output, manifest, n_new, n_kept, problems, differing, unverified, plan.unused)


def estimate(plan: MediaPlan) -> Estimate:
    """Return what corrupting the clips of a plan takes, from the smallest, a middle and the largest one."""
    by_size = sorted(plan.clips, key=_size)
    places = sorted({0, len(by_size) // 2, len(by_size) - 1}) if by_size else []
    total = sum(map(_size, plan.clips))
    read, written, seconds = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for clip in (by_size[place] for place in places):
            started = time.perf_counter()
            row = corrupt_clip(replace(clip, output=Path(folder)), plan.banks)
            seconds += time.perf_counter() - started
            read += int(row.get("input_bytes", 0))
            written += int(row.get("output_bytes", 0))
    share = total / max(read, 1)
    return Estimate(len(plan.clips), seconds * share, round(written * share))


def _chosen(candidates: Candidates, sample_ids: Sequence[str] | None) -> list[str]:
    ids: list[str] = candidates.ids.to_pylist()
    if sample_ids is None:
        return ids
    known = set(ids)
    unknown = [sample_id for sample_id in sample_ids if sample_id not in known]
    if unknown:
        raise UsageError(f"no sample of split '{candidates.split}' of {candidates.track.id}: {listed(unknown)}")
    return list(dict.fromkeys(sample_ids))


def _unfit(paths: Mapping[str, PurePosixPath]) -> dict[str, str]:
    """Return the problems of the files of samples before any is opened, by sample."""
    owners = Counter(paths.values())
    shared = {name: "its file also belongs to another sample" for name, path in paths.items() if owners[path] > 1}
    return {
        **shared,
        **{name: "the name of its file is not UTF-8" for name, path in paths.items() if not is_text(path)},
    }


def _stems(paths: Collection[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return the names of corrupted clips without suffix: as their sources, with its suffix if two would be equal."""
    stems = {path: str(path.with_suffix("")) for path in paths}
    while True:
        counts = Counter(stems.values())
        clashing = [path for path, stem in stems.items() if counts[stem] > 1 and stem != str(path)]
        if not clashing:
            return stems
        stems |= {path: str(path) for path in clashing}


def _known(candidates: Candidates, steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Return what the corpus knows of every sample and a step needs: the speaker, the place of the face."""
    wanted = ["speaker", *sorted({column for step in steps for column in step.columns})]
    columns = [name for name in wanted if name in candidates.samples.column_names]
    if not columns:
        return {}
    rows = candidates.samples.select(columns).to_pylist()
    return dict(zip(candidates.ids.to_pylist(), rows, strict=True))


def _finished(plan: MediaPlan, before: Manifest) -> dict[str, ManifestRow]:
    """Return the earlier rows whose corrupted clips exist; raise `IntegrityError` if their sources changed."""
    clips = {clip.sample_id: clip for clip in plan.clips}
    kept: dict[str, ManifestRow] = {}
    changed: list[str] = []
    for sample_id, row in before.rows.items():
        if row.get("problem"):
            continue
        clip, output = clips.get(sample_id), plan.output / str(row["output"])
        if clip is None or not output.is_file() or output.stat().st_size != row["output_bytes"]:
            continue
        if _changed(clip, row, output.stat().st_mtime):
            changed.append(clip.name)
        kept[sample_id] = row
    if changed:
        raise IntegrityError(
            f"{plan.media}: {plural(len(changed), 'clip')} changed since {plan.output} was made of them: "
            f"{listed(changed)}; name another output, or remove it"
        )
    return kept


def _require_empty(output: Path) -> None:
    """Raise `UsageError` if a folder contains something other than a run: only a run is continued."""
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file")
    paths = output.iterdir() if output.is_dir() else ()  # a journal without a complete first line has just begun
    if any(not path.name.startswith(".") and path.name != JOURNAL for path in paths):
        raise UsageError(f"{output}: is not empty and has no {MANIFEST}; name another folder")


def _changed(clip: Clip, row: ManifestRow, written: float) -> bool:
    """Return whether a clip is not the one that was corrupted; it is read only if its times leave that open."""
    status = clip.source.stat()
    if status.st_size != row["input_bytes"]:
        return True
    touched = max(status.st_mtime, status.st_ctime)
    return touched > written - _CLOCK_STEP_S and sha256_file(clip.source) != row["input_sha256"]


def _size(clip: Clip) -> int:
    """Return the bytes of a clip's file; 0 if that is unknown, which is an error when it is read."""
    try:
        return clip.source.stat().st_size
    except OSError:
        return 0


def _bytes_per_byte(plan: MediaPlan, rows: Mapping[str, ManifestRow], n_todo: int) -> float:
    """Return the size of corrupted clips relative to their sources: of the finished ones, else of a few on trial."""
    read = sum(row["input_bytes"] for row in rows.values())
    if read:
        return float(sum(row["output_bytes"] for row in rows.values()) / read)
    if n_todo < _WORTH_A_TRIAL:
        return 1.0
    return estimate(plan).bytes / max(sum(map(_size, plan.clips)), 1)


def _require_space(plan: MediaPlan, todo: Sequence[Clip], rows: Mapping[str, ManifestRow]) -> None:
    """Raise `OutputError` if the disk has less space than the corrupted clips are likely to take."""
    needed = round(_bytes_per_byte(plan, rows, len(todo)) * sum(map(_size, todo)))
    place = next(folder for folder in (plan.output, *plan.output.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise OutputError(
            f"{plan.output}: not enough space: {plural(len(todo), 'corrupted clip')} may take {size_text(needed)}, "
            f"and {size_text(free)} are free"
        )


def _verified(
    plan: MediaPlan, rows: Mapping[str, ManifestRow], workers: int, engine: str, show: ShowProgress
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return what `verify_clip` returns for every corrupted clip, and why some could not be verified."""
    tasks = [(clip.sample_id, (clip, rows[clip.sample_id])) for clip in plan.clips if "output" in rows[clip.sample_id]]
    verified: dict[str, dict[str, Any]] = {}
    unverified: dict[str, str] = {}
    with closing(run(partial(verify_clip, banks=plan.banks), tasks, workers=workers, engine=engine)) as results:
        for number, done in enumerate(results, 1):
            if done.error is None:
                verified[done.name] = dict(done.value or {})
            elif isinstance(done.error, UnreadableMedia):
                verified[done.name] = {DIFFERS: done.error.reason}
            else:
                unverified[done.name] = f"not verified: {done.problem()}"
            show("verifying", number, len(tasks))
    return verified, unverified
