"""The track or split that a submission that does not fit was most likely made for.

Conventions:
    Other splits of the track and other tracks are ranked alike: by whether the header has the columns of their targets,
    how many of the ids are candidates there, whether the id column and how many of the others are theirs, and how near
    they are: the track itself, its family, its year. Candidates are known where the corpus is here. Of several that are
    equal in all of this, all are named.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import CORPORA
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import listed
from merbench.files.paths import list_folders
from merbench.targets.sheet import Sheet
from merbench.track import Track, load_track

MOST = 0.5
"""The share of ids above which a submission is taken to be made for a list of candidates."""


class _Place(NamedTuple):
    """What a sheet may have been made for; the ids of a corpus that is not here are not known."""

    track: Track
    split: str
    has_all_columns: bool
    n_known: int


def made_for(sheet: Sheet, candidates: Candidates, n_known: int) -> str | None:
    """Return what a sheet was probably made for by its ids: `"split 'dev' (412 of its 412 ids are candidates there)"`.

    `n_known` is how many of its rows are of candidates. None when most of the ids, or of the candidates, are in their
    place, or the ids do not belong to another list.
    """
    given = sheet.columns[candidates.track.submission.id]
    if n_known > MOST * min(len(given), len(candidates)):
        return None
    places = [place for place in _places(sheet, candidates) if place.n_known > MOST * len(given)]
    nearest = _nearest(places, sheet, candidates.track)
    if not nearest:
        return None
    share = f"{nearest[0].n_known:,} of its {len(given):,} ids are"
    names = _named(nearest, candidates.track)
    return (
        f"{names} ({share} candidates there)"
        if nearest[0].has_all_columns
        else f"other candidates ({share} those of {names})"
    )


def columns_of(sheet: Sheet, candidates: Candidates) -> str | None:
    """Return the track whose columns a sheet has, as `"track 'mosi' (whose columns are id, sentiment)"`.

    None when the sheet has a target of the track itself, or the targets of no other track.
    """
    track = candidates.track
    if any(name in sheet.names for name in track.submission_columns[1:]):
        return None
    nearest = _nearest(list(_places(sheet, candidates, fitting=True)), sheet, track)
    if not nearest:
        return None
    headers = [", ".join((place.track.submission.id, *place.track.columns)) for place in nearest]
    columns = " or ".join(dict.fromkeys(headers))
    n_known = nearest[0].n_known
    known = f"; {n_known:,} of its {sheet.n_rows:,} ids are candidates there" if n_known > MOST * sheet.n_rows else ""
    return f"{_named(nearest, track)} (whose columns are {columns}{known})"


def _nearest(places: Sequence[_Place], sheet: Sheet, track: Track) -> list[_Place]:
    """Return the places that rank first, all of them."""
    ranks = [_rank(place, sheet, track) for place in places]
    return [place for place, rank in zip(places, ranks, strict=True) if rank == max(ranks)]


def _rank(place: _Place, sheet: Sheet, track: Track) -> tuple[int, ...]:
    """Return how well a place fits a sheet that was given to a track, what counts most first."""
    other = place.track
    years = abs(other.year - track.year) if other.year is not None and track.year is not None else 10_000
    return (
        place.has_all_columns,
        place.n_known,
        other.submission.id in sheet.names,
        sum(name in sheet.names for name in other.columns),
        other.id == track.id,
        bool(track.family) and other.family == track.family,
        -years,
    )


def _named(places: Sequence[_Place], track: Track) -> str:
    """Return the names of places: `"track 'a'"`, or `"one of the tracks 'a', 'b'"`."""
    noun = "split" if places[0].track.id == track.id else "track"
    names = [f"'{place.split if noun == 'split' else place.track.id}'" for place in places]
    return f"{noun} {names[0]}" if len(names) == 1 else f"one of the {noun}s {listed(names)}"


def _places(sheet: Sheet, candidates: Candidates, *, fitting: bool = False) -> Iterator[_Place]:
    """Yield the other splits of the track, and the same split of every other track; of those `fitting`, no others."""
    track = candidates.track
    given = sheet.columns.get(track.submission.id)
    own = ((track, split) for split in track.splits if split != candidates.split)
    for other, split in (*own, *((other, candidates.split) for other in _other_tracks(track))):
        fits = _fits(sheet.names, other)
        if fits or not fitting:
            ids = None if given is None else _known_ids(other, split)
            n_known = 0 if ids is None else pc.sum(pc.is_in(given, value_set=ids)).as_py() or 0
            yield _Place(other, split, fits, n_known)


def _fits(names: Sequence[str], track: Track) -> bool:
    """Return whether a header has every target of a track, or its probabilities."""
    names = [track.submission.aliases.get(name, name) for name in names]
    chances = track.probability_columns
    return all(
        all(column in names for column in target.columns(name))
        or all(column in names for column in chances.get(name, ("",)))
        for name, target in track.targets.items()
    )


def _other_tracks(track: Track) -> Iterator[Track]:
    for folder in list_folders("track"):
        try:
            other = load_track(folder)
        except Exception:
            continue  # another track's broken declaration does not concern this submission
        if other.id != track.id:
            yield other


def _known_ids(track: Track, split: str) -> pa.Array | None:
    """Return the ids of a split whose corpus is here; nothing is built for a guess."""
    places = (CORPORA.home / track.corpus, track.folder / track.corpus)
    if not any((place / "corpus.toml").is_file() for place in places):
        return None
    try:
        return open_candidates(track, split).ids
    except Exception:
        return None
