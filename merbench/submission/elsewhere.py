"""A sheet whose ids are not a track's candidates goes in, the track or split it was more likely made for comes out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import corpora_home
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import MerbenchError
from merbench.files import list_folders
from merbench.submission.sheet import Sheet
from merbench.track import Track, load_track

MOST = 0.5
"""The share of ids above which a submission is taken to be made for a list of candidates."""


def made_for(sheet: Sheet, candidates: Candidates) -> str | None:
    """Return what a submission was likely made for, as `"track 'mer-noise' (412 of its 412 ids are candidates there)"`.

    Other splits of the track and every track whose corpus is here are looked at, by their candidates alone.
    None when most of the ids, or of the candidates, are in their place, or the ids are no other list's.
    """
    given = sheet.columns[candidates.track.submission.id]
    if _n_known(given, candidates) > MOST * min(len(given), len(candidates)):
        return None
    found = [(_n_known(given, other), other) for other in _others(candidates)]
    best, other = max(found, key=lambda pair: pair[0], default=(0, candidates))
    if best <= MOST * len(given):
        return None
    own = other.track.id == candidates.track.id
    name = f"split '{other.split}'" if own else f"track '{other.track.id}'"
    return f"{name} ({best:,} of its {len(given):,} ids are candidates there)"


def columns_of(names: Sequence[str], track: Track) -> str | None:
    """Return the track whose columns a header has, as `"track 'mosi' (whose columns are id, sentiment)"`.

    None when the header has a target of the track itself, or the targets of no other track; of several, the one whose
    id column is there too.
    """
    if any(name in names for name in _columns(track)):
        return None
    fitting = [other for other in _other_tracks(track) if all(name in names for name in _columns(other))]
    if not fitting:
        return None
    best = max(fitting, key=lambda other: (other.submission.id in names, len(_columns(other))))
    return f"track '{best.id}' (whose columns are {', '.join((best.submission.id, *_columns(best)))})"


def _columns(track: Track) -> list[str]:
    return [column for name, target in track.targets.items() for column in target.columns(name)]


def _n_known(given: pa.Array, candidates: Candidates) -> int:
    return int(pc.sum(pc.is_in(given, value_set=candidates.ids)).as_py() or 0)


def _others(candidates: Candidates) -> Iterator[Candidates]:
    track = candidates.track
    yield from _opened(track, [split for split in track.splits if split != candidates.split])
    for other in _other_tracks(track):
        yield from _opened(other, [candidates.split])


def _other_tracks(track: Track) -> Iterator[Track]:
    for folder in list_folders("track"):
        try:
            other = load_track(folder)
        except MerbenchError:
            continue  # another track's broken declaration is no matter of this submission
        if other.id != track.id:
            yield other


def _opened(track: Track, splits: list[str]) -> Iterator[Candidates]:
    """Yield the candidates of those splits whose corpus is here; nothing is built for a guess."""
    places = (corpora_home() / track.corpus, track.folder / track.corpus)
    if not any((place / "corpus.toml").is_file() for place in places):
        return
    for split in splits:
        try:
            yield open_candidates(track, split)
        except MerbenchError:
            continue
