"""Runs are listed with their scores and options, and what differs between two is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from merbench.cli import run as command
from merbench.track.validation import parse_track
from merbench.training.records import differences, read_run

Capture = pytest.CaptureFixture[str]

TRACK = {
    "id": "small",
    "version": "1.0",
    "title": "Small",
    "corpus": "small",
    "splits": {"train": "train", "test": "test"},
    "targets": {"mood": {"type": "categorical", "labels": ["calm", "glad"]}},
    "metrics": [{"name": "weighted_f1", "target": "mood"}, {"name": "accuracy", "target": "mood"}],
    "ranking": {"by": ["accuracy"]},
}
FINGERPRINT = "2" * 64


def written(folder: Path, **changed: Any) -> Path:
    """Write the record of a run of two seeds; None leaves a key out."""
    record = {
        "schema": "merbench.run/1",
        "track": {"key": "small@1.0", "fingerprint": FINGERPRINT},
        "corpus": {"name": "small"},
        "baseline": {"name": "mine", "title": "Mine", "paper": "", "files": {"model.py": "a" * 64}},
        "features": {"loud": "b" * 64, "quiet": "c" * 64},
        "inputs": [{"feature": "quiet", "width": 3}, {"feature": "loud", "width": 2}],
        "options": {"depth": 2, "hidden": [8, 4]},
        "ranking": ["accuracy"],
        "runs": [{"seed": 0}, {"seed": 7}],
        "cross_validated": {
            "weighted_f1(mood)": {"mean": 0.5, "deviation": 0.01},
            "accuracy(mood)": {"mean": 0.625, "deviation": 0.02},
        },
        "test": {
            "accuracy(mood)": {"mean": 0.75, "deviation": None},
            "weighted_f1(mood)": {"mean": 0.5, "deviation": 0.0},
        },
        **changed,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({key: value for key, value in record.items() if value is not None}))
    return folder


def test_runs_are_listed_with_what_ranks_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["runs"]) == 2
    assert capsys.readouterr().err == "runs: no such folder; `merbench run-baseline` writes runs into ./runs\n"
    written(tmp_path / "runs" / "small" / "mine")
    written(
        tmp_path / "runs" / "a",
        runs=[{"seed": 3}],
        test=None,
        options={},
        track={"key": "x@2.0", "fingerprint": "3" * 64},
    )
    expected = """\
run              track      baseline  features    seeds  metric    cross-validated  test             options
runs/a           x@2.0      mine      quiet loud  3      accuracy  0.6250 ± 0.0200  withheld
runs/small/mine  small@1.0  mine      quiet loud  0 7    accuracy  0.6250 ± 0.0200  0.7500           depth=2 hidden=[8, 4]
"""
    assert command(["runs"]) == 0
    shown = capsys.readouterr().out
    assert [line.split() for line in shown.splitlines()] == [line.split() for line in expected.splitlines()]
    for track in ("small", "small@1.0", "./tracks/small"):
        assert command(["runs", track]) == 0
        assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", "runs/small/mine"]
    assert command(["runs", "smal"]) == 2
    assert capsys.readouterr().err == "runs: no runs of track 'smal'; it has runs of small, x; did you mean 'small'?\n"

    assert command(["runs", "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["schema"] == "merbench.runs/1"
    assert [(item["run"], item["options"]) for item in listed["runs"]] == [
        ("runs/a", {}),
        ("runs/small/mine", {"depth": 2, "hidden": [8, 4]}),
    ]


def test_records_that_cannot_be_read_are_named_after_the_others(tmp_path: Path, capsys: Capture) -> None:
    written(tmp_path / "good")
    written(tmp_path / "other", schema="something/1")
    written(tmp_path / "seedless", runs=[])
    written(tmp_path / "text", options="x\x1b[2J")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "run.json").touch()
    assert command(["runs", "--runs", str(tmp_path)]) == 5
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert [line.removeprefix(f"{tmp_path}/") for line in printed.err.splitlines()] == [
        "empty/run.json: not the record of a run: not JSON",
        "other/run.json: not the record of a run of a baseline",
        "seedless/run.json: 1 problem",
        "  E207  runs: [] has 0 items; at least 1 are needed",
        "text/run.json: 1 problem",
        r"  E207  options: 'x\x1b[2J' is not a table",
    ]


def test_what_differs_is_the_configuration(tmp_path: Path, capsys: Capture) -> None:
    left = written(tmp_path / "left", wall_time_s=1.0)
    right = written(
        tmp_path / "right",
        wall_time_s=2.0,
        options={"depth": 3, "hidden": [8, 4], "rate": None},
        runs=[{"seed": 0}],
        baseline={"name": "mine", "title": "Ours", "files": {"model.py": "d" * 64}},
        test=None,
    )
    assert differences(read_run(left), read_run(right)) == [
        ("baseline.files.model.py", "a" * 64, "d" * 64),
        ("options.depth", 2, 3),
        ("seeds", [0, 7], [0]),
    ]
    assert command(["runs", "--diff", str(left), str(right)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["A:", str(left)],
        ["B:", str(right)],
        [],
        ["A", "B"],
        ["baseline.files.model.py", "aaaaaaaa…", "dddddddd…"],
        ["options.depth", "2", "3"],
        ["seeds", "[0,", "7]", "[0]"],
        [],
        ["A,", "cross-validated", "B,", "cross-validated", "A,", "test", "B,", "test"],
        ["accuracy", *["0.6250", "±", "0.0200"] * 2, "0.7500", "withheld"],
        ["weighted_f1", *["0.5000", "±", "0.0100"] * 2, *"0.5000 ± 0.0000 withheld".split()],
        [],
        "`merbench compare small A/submission.csv B/submission.csv` tests the difference on the test split".split(),
    ]
    assert command(["runs", "--diff", str(left), str(left)]) == 0
    assert "the configurations are the same" in capsys.readouterr().out
    divided = written(tmp_path / "divided", cross_validation={"n_folds": 3})
    for other, is_comparable in ((right, True), (divided, False)):
        assert command(["runs", "--diff", str(left), str(other)]) == 0
        assert ("cross-validated values are not comparable" not in capsys.readouterr().out) == is_comparable
    other = written(tmp_path / "other", track={"key": "small@1.1", "fingerprint": "4" * 64})
    assert command(["runs", "--diff", str(left), str(other)]) == 0
    assert "the runs are of different tracks: their scores are not comparable" in capsys.readouterr().out
    assert command(["runs", "--diff", str(left), str(other), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"][0] == {
        "key": "track.fingerprint",
        "left": FINGERPRINT,
        "right": "4" * 64,
    }


def test_scores_have_the_names_that_the_track_gives_them(tmp_path: Path) -> None:
    two = [{"name": "f1", "target": "mood", "label": "calm"}, {"name": "f1", "target": "mood", "label": "glad"}]
    content = {**TRACK, "metrics": [*two, *TRACK["metrics"]]}  # type: ignore[misc]
    fingerprint = parse_track(content, tmp_path / "small").fingerprint
    scores = {
        key: {"mean": 0.5}
        for key in ("accuracy(mood)", "f1(mood,label=calm)", "f1(mood,label=glad)", "weighted_f1(mood)")
    }
    track = {"key": "small@1.0", "fingerprint": fingerprint, "content": content}
    run = read_run(written(tmp_path / "run", track=track, cross_validated=scores))
    assert list(run.names()) == ["accuracy", "f1(label=calm)", "f1(label=glad)", "weighted_f1"]
