"""Reports and fingerprints are what they were, and `make golden` moves no number without a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from checked_tracks import STORED
from golden_values import (
    GOLDEN,
    changed_fingerprints,
    fingerprints,
    moved_numbers,
    report,
    sample_tracks,
    update,
    with_reason,
)

from merbench.track import list_tracks

CHANGELOG = (
    "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n\n## [0.1.0] - 2026-01-01\n\n### Added\n\n- All.\n"
)


@pytest.mark.checks(STORED, of="{track}")
@pytest.mark.parametrize("track", sample_tracks())
def test_the_report_of_a_fixed_submission_has_the_same_bytes(track: str, sample_home: Path, tmp_path: Path) -> None:
    assert report(track, tmp_path) == (GOLDEN / "reports" / f"{track}.json").read_text(encoding="utf-8")


def test_no_recorded_track_version_changed() -> None:
    recorded = (GOLDEN / "fingerprints.json").read_text(encoding="utf-8")
    assert changed_fingerprints(recorded, fingerprints(list_tracks())) == []


def test_every_track_version_is_recorded() -> None:
    recorded = json.loads((GOLDEN / "fingerprints.json").read_text(encoding="utf-8"))
    assert set(recorded) >= {track.key for track in list_tracks()}


def test_a_number_may_move_only_by_rounding() -> None:
    old = json.dumps({"a": [0.5, 1.0], "name": "x", "flag": True})
    assert moved_numbers("r.json", old, json.dumps({"a": [0.5 + 5e-13, 1.0, 7.0], "name": "y", "flag": False})) == []
    assert moved_numbers("r.json", old, json.dumps({"a": [0.5 + 5e-12]})) == [
        "r.json a[0]: 0.5 -> 0.500000000005",
        "r.json a[1]: 1.0 -> gone",
    ]
    # In a transcript, it may not move where the words stay.
    old = "$ score\nmse  0.5241  [0.4, 0.6]\n"
    assert moved_numbers("t.txt", old, "$ score\nmse  0.5242  [0.4, 0.6]\n") == ["t.txt $ score: 0.5241 -> 0.5242"]
    assert moved_numbers("t.txt", old, "$ score\nerror  0.6\n") == []


def test_a_recorded_fingerprint_changes_only_with_the_version(tmp_path: Path) -> None:
    old = json.dumps({"a@1.0": "f1", "b@1.0": "f2"})
    assert changed_fingerprints(old, json.dumps({"a@1.0": "f1", "b@1.0": "f2", "b@1.1": "f3"})) == []
    changed, gone = changed_fingerprints(old, json.dumps({"a@1.0": "other"}))
    assert changed.startswith("a@1.0: its declaration changed; raise the track's version")
    assert gone.startswith("b@1.0: the track is gone;")
    # A version that was replaced stays recorded.
    for values in ('{"a@1.0": "f"}', '{"a@1.1": "g"}'):
        assert update(tmp_path, {"fingerprints.json": values}, tmp_path / "CHANGELOG.md", "") == 0
    recorded = (tmp_path / "fingerprints.json").read_text(encoding="utf-8")
    assert json.loads(recorded) == {"a@1.0": "f", "a@1.1": "g"}
    assert changed_fingerprints(recorded, '{"a@1.0": "h"}') == [changed]


def test_a_reason_goes_under_its_heading_in_the_unreleased_version() -> None:
    once = with_reason(CHANGELOG, "first")
    assert "- A thing.\n\n### Scores change\n\n- first\n\n## [0.1.0]" in once
    assert "### Scores change\n\n- second\n- first\n\n## [0.1.0]" in with_reason(once, "second")
    assert with_reason("## [Unreleased]\n", "first") == "## [Unreleased]\n\n### Scores change\n\n- first\n"


def test_make_golden_refuses_a_moved_number_without_a_reason_and_any_changed_fingerprint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text(CHANGELOG, encoding="utf-8")

    def written(mse: float, fingerprint: str, reason: str = "") -> tuple[int, str]:
        values = {"fingerprints.json": f'{{"a@1.0": "{fingerprint}"}}', "reports/a.json": f'{{"mse": {mse}}}'}
        code = update(tmp_path, values, changelog, reason)
        return code, (tmp_path / "reports/a.json").read_text(encoding="utf-8")

    assert written(1.0, "f") == (0, '{"mse": 1.0}')
    assert written(1.5, "f") == (1, '{"mse": 1.0}')
    assert "reports/a.json mse: 1.0 -> 1.5" in capsys.readouterr().err
    assert changelog.read_text(encoding="utf-8") == CHANGELOG
    assert written(1.5, "f", "MSE counts twice.") == (0, '{"mse": 1.5}')
    assert "### Scores change\n\n- MSE counts twice.\n" in changelog.read_text(encoding="utf-8")
    assert written(2.0, "g", "because") == (1, '{"mse": 1.5}')
    assert "a@1.0: its declaration changed" in capsys.readouterr().err
    assert json.loads((tmp_path / "fingerprints.json").read_text(encoding="utf-8")) == {"a@1.0": "f"}
