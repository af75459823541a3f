"""docs/tracks.md shows the tracks as they are."""

from __future__ import annotations

from pathlib import Path

from merbench.track import list_tracks, tracks_page

ROOT = Path(__file__).parents[1]


def test_the_page_of_tracks_is_current() -> None:
    assert (ROOT / "docs" / "tracks.md").read_text(encoding="utf-8") == tracks_page(list_tracks())


def test_the_readme_has_the_number_of_tracks() -> None:
    n = len(list_tracks())
    assert f"{n} tracks are declared" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_track_says_what_it_was_checked_against() -> None:
    assert [track.id for track in list_tracks() if not track.checked] == []


def test_every_track_has_a_card_that_names_it() -> None:
    for track in list_tracks():
        card = (track.folder / "README.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {track.title}\n"), track.id
        assert f"merbench score {track.id} " in card, track.id
        assert len(card.splitlines()) >= 10, track.id
