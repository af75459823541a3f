"""A track says that it was checked against what a test compares its values with, and nothing else."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
from checked_tracks import KINDS, claims_of, kinds_of

from merbench.track import Track, list_tracks

TESTS = Path(__file__).parents[1]


@cache
def claims() -> frozenset[tuple[str, str]]:
    """Return what the tests say that they check: kind and track."""
    result: set[tuple[str, str]] = set()
    for path in sorted(TESTS.rglob("test_*.py")):
        if not re.search(r"^@pytest\.mark\.checks\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            continue
        spec = importlib.util.spec_from_file_location(f"claims_of_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        result.update(claim for test in vars(module).values() for claim in claims_of(test))
    return frozenset(result)


@pytest.mark.parametrize("track", list_tracks(), ids=lambda track: track.id)
def test_a_track_claims_what_tests_check(track: Track) -> None:
    kinds = kinds_of(track.checked)
    assert None not in kinds, f"{track.checked}: every part begins with one of {', '.join(KINDS)}"
    assert set(kinds) == {kind for kind, name in claims() if name == track.id}


def test_no_test_checks_a_track_that_is_missing() -> None:
    assert {track for _, track in claims()} <= {track.id for track in list_tracks()}


def test_no_card_passes_on_what_other_tracks_were_checked_with() -> None:
    for track in list_tracks():
        card = (track.folder / "README.md").read_text(encoding="utf-8")
        assert "of the same form" not in card + track.checked, track.id
