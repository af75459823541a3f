"""Tracks go in, a table and a page come out that show all of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from merbench.errors import printable
from merbench.report import ReportTable
from merbench.track.declaration import Track

WIDEST = 40
"""How many letters of a formula the table shows."""

_PAGE = """\
# Tracks

<!-- made by `merbench tracks --markdown`; a test proves that it is current -->

Every track that comes with merbench, by family. `merbench describe TRACK` shows a track in full; its card stands
beside its `track.toml`. A corpus comes in with `merbench corpus import`, which says what it needs.
"""


def tracks_table(tracks: Sequence[Track]) -> ReportTable:
    """Return a line per track: id, version, corpus, what ranks it, title."""
    rows = [
        (track.id, track.version, track.corpus, printable(_ranked_by(track), WIDEST), track.title) for track in tracks
    ]
    return ReportTable("", ("track", "version", "corpus", "score", "title"), rows)


def tracks_page(tracks: Sequence[Track]) -> str:
    """Return a Markdown page with a table per family."""
    by_family = sorted(tracks, key=lambda track: (track.family or "others", track.year or 0, track.id))
    parts = [_PAGE]
    for family, members in groupby(by_family, key=lambda track: track.family or "others"):
        rows = [
            (
                f"[{track.id}](../tracks/{track.id}/README.md)",
                track.title,
                str(track.year or ""),
                " ".join(track.modalities),
                ", ".join(f"{name} ({target.type})" for name, target in track.targets.items()),
                f"`{_ranked_by(track)}`",
                f"`{track.corpus}`",
            )
            for track in members
        ]
        head = ("track", "title", "year", "modalities", "targets", "score", "corpus")
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        parts.append(f"## {family}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _ranked_by(track: Track) -> str:
    return track.formula if track.ranked_by[0] == "overall" else track.ranked_by[0]
