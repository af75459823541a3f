"""A name or a folder goes in, a checked `Track` comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from merbench.declarations import declaration_problems
from merbench.errors import DeclarationError, Problem
from merbench.files import find_folder, list_folders, read_toml
from merbench.track.declaration import (
    CorruptionSpec,
    Intervals,
    MediaSpec,
    MetricSpec,
    Ranking,
    Split,
    SubmissionRules,
    Track,
)
from merbench.track.targets import TARGETS
from merbench.track.validation import meaning_problems


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


def parse_track(raw: Mapping[str, Any], folder: Path) -> Track:
    """Return the track that the tables of a `track.toml` declare; raise `DeclarationError` with all problems."""
    problems = [*_key_problems(raw), *meaning_problems(raw)]
    if raw.get("id") != folder.resolve().name and isinstance(raw.get("id"), str):
        message = f"'{raw['id']}' is not the folder's name, '{folder.resolve().name}'; they must be equal"
        problems.insert(0, Problem("E207", message, column="id"))
    if problems:
        raise DeclarationError(str(folder / "track.toml"), problems)
    return Track.model_validate({**raw, "folder": folder})


def _key_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong with single keys: unknown, missing, of another type, out of range."""
    try:
        Track.model_validate({**raw, "folder": Path()})
    except ValidationError as error:
        return declaration_problems(error, _allowed_keys)
    return []


def _allowed_keys(location: Sequence[int | str]) -> Sequence[str]:
    """Return the keys that the table at a location may hold."""
    tables: dict[int | str, type[BaseModel]] = {
        "splits": Split,
        "metrics": MetricSpec,
        "corruptions": CorruptionSpec,
        "ranking": Ranking,
        "submission": SubmissionRules,
        "intervals": Intervals,
        "media": MediaSpec,
    }
    first, *further = location or ("",)
    table = TARGETS[str(further[1])] if first == "targets" and len(further) > 1 else tables.get(first, Track)
    return [key for key in table.model_fields if key not in ("folder", "parameters")]
