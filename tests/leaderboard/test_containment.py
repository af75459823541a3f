"""Whatever one entry or track raises, the others are finished, and what failed is reported and counted."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hand_made_boards import write_entry
from toy_track import predictions, write_toy_track

from merbench.cli import run
from merbench.corpus.folder import Corpus
from merbench.errors import IntegrityError, OutputError, UndefinedMetric, UsageError
from merbench.leaderboard import build, check, entry

ERRORS = [
    PermissionError(errno.EACCES, "Permission denied", "/somewhere/else"),
    UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    ValueError("a value\nof two lines"),
    MemoryError(),
    UsageError("no such thing"),
    UndefinedMetric("no value"),
    IntegrityError("a digest"),
    OutputError("no space"),
]
"""One of every kind that is treated differently: of the system, of a library, a bug, and those of merbench."""

LEADERBOARD = ["leaderboard", "--format", "json"]

CODES = {"UndefinedMetric": "E408"}
"""Codes of problems with an entry that are not E409."""


@pytest.fixture
def submissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two entries for the track `bad` and one for the track `good`."""
    for name in ("bad", "good"):
        write_toy_track(tmp_path / "tracks", name=name, hidden=True)
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for place in ("bad/one/run", "bad/two/run", "good/one/run"):
        write_entry(Path("submissions"), place, predictions(range(3)))
    return Path("submissions")


def teams(submissions: Path) -> dict[str, list[str]]:
    """Return the teams on the written boards, by track."""
    boards = {path.parent.name: json.loads(path.read_bytes()) for path in submissions.glob("*/leaderboard.json")}
    return {track: [row["team"] for row in boards[track]["rows"]] for track in sorted(boards)}


def break_reader(
    patch: pytest.MonkeyPatch, module: Any, name: str, wanted: Callable[..., bool], error: BaseException
) -> None:
    """Let a reader raise an error for what is wanted."""
    before = getattr(module, name)

    def read(*arguments: Any, **named: Any) -> Any:
        if wanted(*arguments):
            raise error
        return before(*arguments, **named)

    patch.setattr(module, name, read)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_entry_that_cannot_be_read_or_scored_stops_no_other(
    submissions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def is_bad(path: Path, *_: Any) -> bool:
        return path.parent == submissions / "bad" / "one" / "run"

    code = CODES.get(type(error).__name__, "E409")
    for module, name, is_wanted in (
        (entry, "_card", is_bad),
        (build, "read_submission", is_bad),
        (build, "public_score_and_draws", lambda read: is_bad(Path(read.source))),
    ):
        with monkeypatch.context() as patch:
            break_reader(patch, module, name, is_wanted, error)
            assert run(LEADERBOARD) == (5 if code == "E409" else 0)
        assert teams(submissions) == {"bad": ["two"], "good": ["one"]}
        out, err = capsys.readouterr()
        assert f"\n  bad/one/run: {code}  " in out
        assert err == ("failed: 1 entry: bad/one/run\n" if code == "E409" else "")


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_track_that_cannot_be_read_stops_no_other(
    submissions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    for module, name, is_wanted in (
        (check, "load_track", lambda name: name == "bad"),
        (Corpus, "reference", lambda corpus: corpus.folder.parent.name == "bad"),
        (build, "run_folders", lambda submissions, track: track == "bad"),
    ):
        with monkeypatch.context() as patch:
            break_reader(patch, module, name, is_wanted, error)
            assert run(LEADERBOARD) == 5
        assert teams(submissions) == {"good": ["one"]}
        first, *_, last = capsys.readouterr().err.splitlines()
        assert first.startswith("bad: ")
        assert last == "failed: 1 track"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_entry_that_cannot_be_checked_stops_no_other(
    submissions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def is_bad(path: Path, *_: Any) -> bool:
        return path.parent == submissions / "bad" / "one" / "run"

    for module, name in ((entry, "_card"), (check, "read_submission")):
        with monkeypatch.context() as patch:
            break_reader(patch, module, name, is_bad, error)
            assert run(["validate-entries"]) == 5
        out = capsys.readouterr().out
        assert "bad/one/run: 1 problem\n  E409  could not be read or scored: " in out
        assert out.endswith("bad/two/run: valid\ngood/one/run: valid\nentries: 3, invalid: 1\n")
    for module, name, is_wanted in (
        (check, "load_track", lambda name: name == "bad"),
        (check, "open_candidates", lambda track: track.id == "bad"),
        (check, "run_folders", lambda submissions, track: track == "bad"),
    ):
        with monkeypatch.context() as patch:
            break_reader(patch, module, name, is_wanted, error)
            run(["validate-entries"])
        assert "\ngood/one/run: valid\n" in capsys.readouterr().out


def test_a_cache_that_cannot_be_read_is_not_an_error(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_toy_track(tmp_path / "tracks", name="bad")
    expected = build.build_board(track, submissions)
    break_reader(monkeypatch, build, "read_bounded", lambda path, _: "cache" in path.parts, MemoryError())
    assert build.build_board(track, submissions) == expected


def test_an_entry_that_cannot_be_read_again_is_left_out_and_the_others_are_ranked_without_it(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = write_toy_track(tmp_path / "tracks", name="bad")
    build.build_board(track, submissions)  # caches the scores, so that only the test reads predictions
    monkeypatch.setattr(build, "N_PERMUTATIONS", 100)
    is_bad = submissions / "bad" / "one" / "run" / "submission.csv"
    break_reader(monkeypatch, build, "read_submission", lambda path, _: path == is_bad, OSError(errno.EIO, "gone"))
    board = build.build_board(track, submissions)
    assert [(row.rank, row.team, row.gap) for row in board.rows] == [(1, "two", None)]
    assert [(entry.place, entry.problems[0].code) for entry in board.invalid] == [("bad/one/run", "E409")]


def test_an_interrupt_ends_everything(submissions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_reader(monkeypatch, entry, "_card", lambda path: True, KeyboardInterrupt())
    for command in (LEADERBOARD, ["validate-entries"]):
        assert run(command) == 130
    assert teams(submissions) == {}


def test_a_bug_is_named_by_its_type_and_text_and_has_a_traceback_on_request(
    submissions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_reader(monkeypatch, build, "read_submission", lambda path, _: "two" in path.parts, KeyError("a\n::error::b"))
    assert run(LEADERBOARD) == 5
    out, err = capsys.readouterr()
    assert r"bad/two/run: E409  could not be read or scored: KeyError: 'a\n::error::b'" in out
    assert "Traceback" not in err
    monkeypatch.setenv("MERBENCH_TRACEBACK", "1")
    assert run([*LEADERBOARD, "bad"]) == 5
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_why_a_score_of_a_hidden_split_failed_is_not_shown(
    submissions: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from merbench.scoring import scorecard

    break_reader(monkeypatch, scorecard, "align", lambda read: "two" in read.source, KeyError("reference glad"))
    assert run([*LEADERBOARD, "bad"]) == 5
    out, err = capsys.readouterr()
    assert "bad/two/run: E409  could not be read or scored: RuntimeError: KeyError; a hidden split does not show" in out
    assert "glad" not in out + err
