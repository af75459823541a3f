"""Files that were made for another of the shipped tracks: which one is named, and when several are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus.candidates import open_candidates
from merbench.errors import InvalidSubmission
from merbench.submission import read_submission
from merbench.track import load_track

OWN = {
    "mer2025-semi": [f"sample_{i}" for i in range(10)],
    "mer2025-fg": [f"sample_{i}" for i in range(10)],
    "mer2026-cross": [f"cross_{i}" for i in range(10)],
    "crema-d": [f"crema_{i}" for i in range(10)],
}
"""Candidates by corpus; MER 2025 asks its two tracks about the same clips."""

Hold = Callable[..., None]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Return a function that puts corpora into a data home of their own."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))

    def hold(*corpora: str) -> None:
        for name in corpora:
            (split,) = load_track(name).splits["test"].source
            samples = pa.table({"sample_id": OWN[name], "split": [split] * len(OWN[name])})
            folder = tmp_path / "home" / "corpora" / name
            made_corpus(folder, name=name, samples=samples)

    return hold


def reported(track: str, ids: list[str], column: str = "discrete", cell: str = "happy") -> list[str]:
    table = pa.table({"name": ids, column: [cell] * len(ids)})
    with pytest.raises(InvalidSubmission) as caught:
        read_submission(table, open_candidates(load_track(track)))
    return [str(problem) for problem in caught.value.problems]


def test_of_tracks_on_the_same_clips_the_one_whose_columns_exist_is_named(hold: Hold) -> None:
    hold(*OWN)
    assert reported("mer2026-cross", OWN["mer2025-semi"]) == [
        "E112  appears to be for track 'mer2025-semi' (10 of its 10 ids are candidates there); "
        "this is track 'mer2026-cross', split 'test'"
    ]
    assert reported("mer2026-cross", OWN["mer2025-fg"], "openset", "['happy']") == [
        "E112  appears to be for track 'mer2025-fg' (whose columns are name, openset; "
        "10 of its 10 ids are candidates there); this is track 'mer2026-cross', split 'test'"
    ]


def test_another_split_is_named_and_a_few_strange_ids_are_not_enough(hold: Hold, tmp_path: Path) -> None:
    hold("mer2025-semi")
    test, train = OWN["mer2025-semi"], [f"train_{i}" for i in range(10)]
    samples = pa.table({"sample_id": test + train, "split": ["test"] * 10 + ["train"] * 10})
    folder = tmp_path / "home" / "corpora" / "mer2025-semi"
    made_corpus(folder, name="mer2025-semi", samples=samples, replace=True)
    assert reported("mer2025-semi", train) == [
        "E112  appears to be for split 'train' (10 of its 10 ids are candidates there); "
        "this is track 'mer2025-semi', split 'test'"
    ]
    assert reported("mer2025-semi", [*test[:9], train[0]]) == [
        "E301  1 of 10 candidates missing: sample_9",
        "E302  row 10: id 'train_0' is not a candidate",
    ]


def test_of_tracks_with_the_same_columns_the_one_whose_candidates_exist_is_named(hold: Hold) -> None:
    hold(*OWN)
    assert reported("mer2025-fg", OWN["mer2025-semi"]) == [
        "E112  appears to be for track 'mer2025-semi' (whose columns are name, discrete; "
        "10 of its 10 ids are candidates there); this is track 'mer2025-fg', split 'test'"
    ]
    assert reported("mer2025-fg", OWN["crema-d"]) == [
        "E112  appears to be for track 'crema-d' (whose columns are name, discrete; "
        "10 of its 10 ids are candidates there); this is track 'mer2025-fg', split 'test'"
    ]


def test_without_corpora_family_and_year_decide(hold: Hold) -> None:
    hold("mer2025-fg")
    assert reported("mer2025-fg", OWN["mer2025-semi"]) == [
        "E112  appears to be for track 'mer2025-semi' (whose columns are name, discrete); "
        "this is track 'mer2025-fg', split 'test'"
    ]


def test_tracks_that_are_equally_near_are_all_named(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold("mer2025-fg")
    twin = tmp_path / "tracks" / "mer2025-twin"
    twin.mkdir(parents=True)
    declared = (load_track("mer2025-semi").folder / "track.toml").read_text(encoding="utf-8")
    (twin / "track.toml").write_text(declared.replace('id = "mer2025-semi"', 'id = "mer2025-twin"'), encoding="utf-8")
    (twin.parent / "broken").mkdir()
    (twin.parent / "broken" / "track.toml").write_text("no track at all", encoding="utf-8")
    monkeypatch.setenv("MERBENCH_TRACKS", str(twin.parent))
    assert reported("mer2025-fg", ["a", "b"]) == [
        "E112  appears to be for one of the tracks 'mer2025-semi', 'mer2025-twin' (whose columns are name, discrete); "
        "this is track 'mer2025-fg', split 'test'"
    ]


def test_candidates_of_a_track_with_other_columns_are_called_just_that(hold: Hold) -> None:
    hold("mer2025-fg", "mer2026-cross")
    assert reported("mer2026-cross", OWN["mer2025-semi"]) == [
        "E112  appears to be for other candidates (10 of its 10 ids are those of track 'mer2025-fg'); "
        "this is track 'mer2026-cross', split 'test'"
    ]
