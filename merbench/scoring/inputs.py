"""What a caller names goes in, opened candidates and read submissions come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.declaration import FILE_NAME
from merbench.errors import (
    IntegrityError,
    InvalidSubmission,
    MerbenchError,
    UndefinedMetric,
    UsageError,
    WithheldReference,
    listed,
    plural,
)
from merbench.files import Stamp, data_home, stamp
from merbench.submission import Submission, read_submission
from merbench.track import Track, find_track, load_track

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pa.Table | pd.DataFrame | Submission


@dataclass(frozen=True, slots=True)
class _Opened:
    """Candidates that were opened from files, and what tells whether those are still the same files."""

    key: tuple[Path, str, Path]
    stamp: Stamp
    candidates: Candidates


_last: _Opened | None = None


def candidates_of(track: str | Path | Track | Candidates, split: str) -> Candidates:
    """Return the candidates of a track that is named, loaded or opened.

    Of tracks that are named, the last one stays open as long as none of its files is touched, so that whoever scores
    one file after the other reads and verifies the references once.
    """
    global _last
    if isinstance(track, Candidates):
        return track
    if isinstance(track, Track):
        return open_candidates(track, split)
    folder = find_track(track)
    key = (folder.resolve(), split, data_home())
    if _last is not None and _last.key == key and _last.stamp == _stamp(folder, _last.candidates):
        return _last.candidates
    candidates = open_candidates(load_track(folder), split)
    found = _stamp(folder, candidates)
    _last = _Opened(key, found, candidates) if found is not None else None
    return candidates


def _stamp(folder: Path, candidates: Candidates) -> Stamp | None:
    """Return what changes when a file of the track or its tables does; None while one of them is too new to tell."""
    corpus = candidates.corpus
    tables = [name for name in corpus.declaration.files if "/" not in name]
    return stamp([folder / "track.toml", corpus.folder / FILE_NAME, *(corpus.folder / name for name in tables)])


def read_for(candidates: Candidates, submission: Source, rename: Mapping[str, str] | None = None) -> Submission:
    """Return a submission, read for these candidates; one that was read for others is a `UsageError`."""
    if not isinstance(submission, Submission):
        return read_submission(submission, candidates, rename=rename)
    theirs = submission.candidates
    if (theirs.track.key, theirs.split) != (candidates.track.key, candidates.split):
        raise UsageError(
            f"the submission was read for {theirs.track.key}, split {theirs.split}; "
            f"this is {candidates.track.key}, split {candidates.split}"
        )
    return submission


@contextmanager
def reasons_withheld(candidates: Candidates, what: str = "no value for these predictions") -> Iterator[None]:
    """Keep an error from quoting the references of a hidden split.

    Raises:
        UndefinedMetric: of a hidden split, for an error of merbench's own: `what`, and no reason.
        RuntimeError: of a hidden split, for any other exception: only its type.
    """
    try:
        yield
    except (WithheldReference, InvalidSubmission, IntegrityError):
        raise
    except Exception as error:
        if not candidates.hidden:
            raise
        if isinstance(error, MerbenchError):
            raise UndefinedMetric(f"{what}; a hidden split does not show why") from error
        raise RuntimeError(f"{type(error).__name__}; a hidden split does not show why") from error


def named_sources(
    submissions: Mapping[str, Source] | Sequence[Source], names: Sequence[str] | None = None
) -> dict[str, Source]:
    """Return sources by name: the given one, else for files the part of the path that differs.

    Raises:
        UsageError: a source or a name is given twice, or there is not one printable name for each source.
    """
    if isinstance(submissions, Mapping):
        return dict(submissions)
    if isinstance(submissions, str) or not isinstance(submissions, Sequence):
        given = _described(submissions)
        raise UsageError(f"a comparison takes a list of submissions, or a mapping of them by name, not {given} alone")
    full = [str(x) if isinstance(x, (str, Path)) else f"submission {i}" for i, x in enumerate(submissions, 1)]
    twice = sorted({name for name in full if full.count(name) > 1})
    if twice:
        raise UsageError(f"given twice: {listed(twice)}")
    if names is None:
        return dict(zip(_told_apart(full), submissions, strict=True))
    if len(names) != len(submissions):
        raise UsageError(f"{plural(len(names), 'name')} for {plural(len(submissions), 'file')}: give one for each")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise UsageError(
                f"{name!r} is not the name of a system: it needs a visible character, and no control character"
            )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two systems are named {listed(twice)}")
    return dict(zip(names, submissions, strict=True))


def _described(source: object) -> str:
    return f"'{source}'" if isinstance(source, (str, Path)) else f"a {type(source).__name__}"


def _told_apart(names: Sequence[str]) -> list[str]:
    """Return paths without the folders, and without the file name, that all of them share."""
    parts = [Path(name).parts for name in names]
    same_file = len({steps[-1] for steps in parts}) == 1 and all(len(steps) > 1 for steps in parts)
    folders = [steps[:-1] for steps in parts]
    shared = 0
    while all(len(steps) > shared for steps in folders) and len({steps[shared] for steps in folders}) == 1:
        shared += 1
    short = ["/".join(steps[shared : -1 if same_file else None]) for steps in parts]
    return short if all(short) else list(names)
