"""Entries are written from predictions and read back."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from toy_track import predictions, write_toy_track

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import DeclarationError, InvalidSubmission, UsageError
from merbench.leaderboard.entry import CardValue, read_entry, write_entry

CARD: dict[str, CardValue] = {
    "title": 'A "quoted" \\ title',
    "team": "张 team",
    "members": ["Ada", "Emmy"],
    "system": "net",
    "seed": None,
    "external_data": [],
    "received": datetime(2026, 1, 31, tzinfo=UTC),
    "ranks": True,
}


@pytest.fixture
def candidates(tmp_path: Path) -> Candidates:
    return open_candidates(write_toy_track(tmp_path / "tracks"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "predictions.csv"
    path.write_text(predictions(), encoding="utf-8")
    return path


def test_a_written_entry_is_read_back(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    folder = write_entry(tmp_path / "submissions", "team", "run-1", CARD, source, candidates)
    entry = read_entry(tmp_path / "submissions", folder)
    assert entry.place == "toy/team/run-1"
    assert (entry.card.title, entry.card.team, entry.card.members) == (
        'A "quoted" \\ title',
        "张 team",
        ("Ada", "Emmy"),
    )
    assert (entry.card.seed, entry.received) == (None, datetime(2026, 1, 31, tzinfo=UTC))
    assert entry.submission.read_bytes() == source.read_bytes()


def test_a_renamed_column_may_have_any_name(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    column = 'dis.crete "😀" #1'
    source.write_text(predictions().replace("discrete", f'"{column.replace(chr(34), chr(34) * 2)}"'), encoding="utf-8")
    card: dict[str, CardValue] = {**CARD, "rename": {column: "discrete"}}
    folder = write_entry(tmp_path / "submissions", "team", "run-1", card, source, candidates)
    assert read_entry(tmp_path / "submissions", folder).card.rename == {column: "discrete"}


def test_all_problems_of_names_and_card_are_told(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        write_entry(tmp_path, "Team", "r/../x", {**CARD, "seed": -1}, source, candidates)
    assert [problem.code for problem in caught.value.problems] == ["E403", "E403", "E402"]
    assert not (tmp_path / "toy").exists()


def test_names_may_not_be_empty(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    with pytest.raises(DeclarationError, match="team folder '': allowed are"):
        write_entry(tmp_path, "", "run", CARD, source, candidates)


@pytest.mark.parametrize(("name", "suffix"), [("a.b.csv", ".csv"), ("a.csv.gz", ".csv.gz"), ("a", ".csv")])
def test_the_suffix_tells_the_format(tmp_path: Path, candidates: Candidates, name: str, suffix: str) -> None:
    data = predictions().encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    folder = write_entry(tmp_path / "submissions", "team", "run", CARD, tmp_path / name, candidates)
    assert read_entry(tmp_path / "submissions", folder).submission.name == f"submission{suffix}"


@pytest.mark.parametrize("name", ["answers.txt", "answers.2026", "answers.csv.xz", "answers.\udcff"])
def test_an_ending_that_no_entry_may_have_is_refused(tmp_path: Path, candidates: Candidates, name: str) -> None:
    try:
        (tmp_path / name).write_text(predictions(), encoding="utf-8")
    except OSError:
        pytest.skip("names: this file system does not allow this one")
    with pytest.raises(DeclarationError, match=r"E404  'submission\..*' has an unknown suffix"):
        write_entry(tmp_path / "submissions", "team", "run", CARD, tmp_path / name, candidates)
    assert not (tmp_path / "submissions").exists()


@pytest.mark.parametrize("part", ["toy", "toy/team", "toy/team/run"])
def test_nothing_is_entered_through_a_link(tmp_path: Path, candidates: Candidates, source: Path, part: str) -> None:
    submissions, outside = tmp_path / "submissions", tmp_path / "outside"
    outside.mkdir()
    (submissions / part).parent.mkdir(parents=True)
    try:
        (submissions / part).symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("symbolic links: this account may not make them")
    with pytest.raises(DeclarationError, match=f"E405  '{Path(part).name}' is a symbolic link"):
        write_entry(submissions, "team", "run", CARD, source, candidates, replace=True)
    assert list(outside.iterdir()) == []


def test_wrong_predictions_are_not_entered(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    source.write_text(predictions().replace("glad", "gald"), encoding="utf-8")
    with pytest.raises(InvalidSubmission):
        write_entry(tmp_path / "submissions", "team", "run", CARD, source, candidates)
    assert not (tmp_path / "submissions").exists()


def test_an_entry_is_replaced_only_when_asked(tmp_path: Path, candidates: Candidates, source: Path) -> None:
    folder = write_entry(tmp_path, "team", "run", CARD, source, candidates)
    with pytest.raises(UsageError, match=re.escape(f"{folder}: already exists; --force replaces it")):
        write_entry(tmp_path, "team", "run", CARD, source, candidates)
    write_entry(tmp_path, "team", "run", {**CARD, "title": "New"}, source, candidates, replace=True)
    assert read_entry(tmp_path, folder).card.title == "New"
