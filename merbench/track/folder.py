"""Tracks by name or folder: found, loaded, listed in a table and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merbench.errors import DeclarationError, printable
from merbench.files.paths import find_folder, list_folders
from merbench.files.toml import read_toml
from merbench.report import ReportTable, escape_markdown, markdown_code, markdown_of
from merbench.track.declaration import OVERALL, Track
from merbench.track.validation import parse_track

WIDEST = 40
"""How many letters of a formula the table shows."""

_PAGE = """\
# Tracks

<!-- made by `merbench tracks --markdown`; a test proves that it is current -->

Every track that comes with merbench. The score ranks; the other metrics are reported next to it. The last column says
what a track's values were compared with in merbench's tests: the organizers' scorer or its formulas, a published
number, another library on the released labels, or values worked out by hand on a made-up release.

`merbench describe TRACK` shows a track in full; its card is next to its `track.toml`. The
[metrics](metrics-reference.md) have a page of their own. `merbench corpus import` imports a corpus, and says
what it needs.
"""

_HEAD = (
    *("track", "title", "family", "year", "modalities", "targets"),
    *("score", "other metrics", "corpus", "checked against"),
)


def find_track(name_or_path: str | Path) -> Path:
    """Return the folder of a track: of a path (with a separator), a name on `$MERBENCH_TRACKS`, or a shipped track."""
    return find_folder("track", name_or_path)


def load_track(name_or_path: str | Path) -> Track:
    """Return the track of a name or a folder.

    Raises:
        UnknownName: no such track.
        DeclarationError: its `track.toml` has problems; all of them are listed.
    """
    folder = find_track(name_or_path)
    return parse_track(read_toml(folder / "track.toml"), folder)


def list_tracks() -> list[Track]:
    """Return every track that is found by name, sorted by id."""
    return [load_track(folder) for folder in list_folders("track")]


def readable_tracks() -> tuple[list[Track], list[DeclarationError]]:
    """Return every track that is found by name and can be read, sorted by id, and the problems of the others."""
    tracks: list[Track] = []
    broken: list[DeclarationError] = []
    for folder in list_folders("track"):
        try:
            tracks.append(load_track(folder))
        except DeclarationError as error:
            broken.append(error)
    return tracks, broken


def tracks_table(tracks: Sequence[Track]) -> ReportTable:
    """Return a line per track: id, version, corpus, what ranks it, title."""
    rows = [
        (track.id, track.version, track.corpus, printable(_ranked_by(track), WIDEST), track.title) for track in tracks
    ]
    return ReportTable("", ("track", "version", "corpus", "score", "title"), rows)


def tracks_page(tracks: Sequence[Track]) -> str:
    """Return a Markdown page with a row per track, by family and year."""
    ordered = sorted(tracks, key=lambda track: (track.family, track.year or 0, track.id))
    return f"{_PAGE}\n{markdown_of(_HEAD, [_row(track) for track in ordered])}\n"


def _row(track: Track) -> tuple[str, ...]:
    return (
        f"[{track.id}](../tracks/{track.id}/README.md)",
        escape_markdown(track.title),
        escape_markdown(track.family),
        str(track.year or ""),
        " ".join(track.modalities),
        ", ".join(escape_markdown(f"{name} ({target.type})") for name, target in track.targets.items()),
        markdown_code(_ranked_by(track)),
        ", ".join(map(markdown_code, _reported(track))),
        markdown_code(track.corpus),
        escape_markdown(track.checked or "not stated"),
    )


def _ranked_by(track: Track) -> str:
    return track.formula if track.ranked_by[0] == OVERALL else track.ranked_by[0]


def _reported(track: Track) -> list[str]:
    """Return the short names of the metrics that the score is not made of."""
    if track.ranked_by[0] == OVERALL:
        return [track.metric_label(spec) for spec in track.metrics if spec.weight is None]
    return [name for name in map(track.metric_label, track.metrics) if name != track.ranked_by[0]]
