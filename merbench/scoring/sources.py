"""What a caller names goes in, opened candidates and read submissions come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError
from merbench.submission import Submission, read_submission
from merbench.track import Track, load_track

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pa.Table | pd.DataFrame | Submission


def candidates_of(track: str | Path | Track | Candidates, split: str) -> Candidates:
    """Return the candidates of a track that is named, loaded or opened."""
    if isinstance(track, Candidates):
        return track
    return open_candidates(track if isinstance(track, Track) else load_track(track), split)


def read_for(candidates: Candidates, submission: Source) -> Submission:
    """Return a submission, read for these candidates; one that was read for others is a `UsageError`."""
    if not isinstance(submission, Submission):
        return read_submission(submission, candidates)
    theirs = submission.candidates
    if (theirs.track.key, theirs.split) != (candidates.track.key, candidates.split):
        raise UsageError(
            f"the submission was read for {theirs.track.key}, split {theirs.split}; "
            f"this is {candidates.track.key}, split {candidates.split}"
        )
    return submission


def named_sources(submissions: Mapping[str, Source] | Sequence[Source]) -> dict[str, Source]:
    """Return sources by name: as given, or by their path; a name given twice is a `UsageError`."""
    if isinstance(submissions, Mapping):
        return dict(submissions)
    named: dict[str, Source] = {}
    for number, source in enumerate(submissions, 1):
        name = str(source) if isinstance(source, (str, Path)) else f"submission {number}"
        if name in named:
            raise UsageError(f"{name}: given twice")
        named[name] = source
    return named
