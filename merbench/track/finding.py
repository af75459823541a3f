"""Tracks by name or folder: found, listed, loaded."""

from __future__ import annotations

from pathlib import Path

from merbench.errors import DeclarationError
from merbench.files.paths import find_folder, list_folders
from merbench.files.toml import read_toml
from merbench.track.declaration import Track
from merbench.track.validation import parse_track


def find_track(name_or_path: str | Path) -> Path:
    """Return the folder of a track: of a path (with a separator), a name on `$MERBENCH_TRACKS`, or a shipped track."""
    return find_folder("track", name_or_path)


def list_tracks() -> list[Track]:
    """Return every track that is found by name, sorted by id."""
    return [load_track(folder) for folder in list_folders("track")]


def readable_tracks() -> tuple[list[Track], list[DeclarationError]]:
    """Return every track that is found by name and can be read, sorted by id, and what is wrong with the others."""
    tracks: list[Track] = []
    broken: list[DeclarationError] = []
    for folder in list_folders("track"):
        try:
            tracks.append(load_track(folder))
        except DeclarationError as error:
            broken.append(error)
    return tracks, broken


def load_track(name_or_path: str | Path) -> Track:
    """Return the track of a name or a folder.

    Raises:
        UnknownName: there is no such track.
        DeclarationError: its `track.toml` has problems; all of them are listed.
    """
    folder = find_track(name_or_path)
    return parse_track(read_toml(folder / "track.toml"), folder)
