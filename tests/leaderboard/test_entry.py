"""Entries read from folders, with their problems, and entries written from predictions."""

from __future__ import annotations

import gzip
import os
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hand_made_boards import link, write_entry
from toy_track import predictions, write_toy_track

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import DeclarationError, InvalidSubmission, UsageError
from merbench.leaderboard.entry import (
    MAX_CARD_BYTES,
    CardValue,
    EntryCard,
    read_entry,
    run_folders,
    track_folders,
    without_duplicates,
)
from merbench.leaderboard.entry import write_entry as enter

PLACE = "toy/a-team/run-1"
LINK = "is a symbolic link; an entry is made of plain folders and files"


def problems_of(submissions: Path, folder: Path) -> list[str]:
    """Return the problems of a folder as they are printed."""
    with pytest.raises(DeclarationError) as caught:
        read_entry(submissions, folder)
    return [str(problem) for problem in caught.value.problems]


def write_file(path: Path, data: bytes = b"") -> None:
    try:
        path.write_bytes(data)
    except OSError:
        pytest.skip("names: this file system does not allow this one")


def test_an_entry_is_read(tmp_path: Path) -> None:
    folder = write_entry(
        tmp_path,
        PLACE,
        members='["Ada", "Emmy"]',
        seed="3",
        paper='"https://example.org/paper"',
        code='"https://example.org/code"',
        external_data='["AffectNet"]',
        ranks="false",
        selected="true",
    )
    (folder / "run.json").write_text("{}", encoding="utf-8")  # other files are ignored
    # Some editors write a mark at the beginning.
    (folder / "entry.toml").write_bytes(b"\xef\xbb\xbf" + (folder / "entry.toml").read_bytes())
    entry = read_entry(tmp_path, folder)
    assert (entry.track, entry.team, entry.run, entry.place) == ("toy", "a-team", "run-1", PLACE)
    assert entry.submission == folder / "submission.csv"
    assert entry.card == EntryCard(
        title="A run",
        team="A team",
        members=("Ada", "Emmy"),
        system="net",
        seed=3,
        paper="https://example.org/paper",
        code="https://example.org/code",
        external_data=("AffectNet",),
        received="2026-01-31T12:00:00+08:00",
        ranks=False,
        selected=True,
    )
    assert entry.received == datetime(2026, 1, 31, 4, tzinfo=UTC)


def test_all_problems_of_a_card_and_its_folder_are_reported_at_once(tmp_path: Path) -> None:
    card = {"title": None, "team": '" spaced"', "seed": "-1", "externaldata": "[]", "external_data": None}
    folder = write_entry(tmp_path, PLACE, predictions=None, **card, received='"yesterday"', ranks='"yes"')
    assert problems_of(tmp_path, folder) == [
        "E402  title: is missing",
        "E402  team: ' spaced': has spaces at its ends",
        "E402  seed: -1 is not at least 0",
        "E402  external_data: is missing",
        "E402  received: 'yesterday': not a time with an offset, such as 2026-01-31T12:00:00+08:00",
        "E402  ranks: 'yes' is not true or false",
        "E402  externaldata: is not a known key; allowed: title, team, members, system, seed, paper, code, "
        "external_data, received, ranks, selected, rename; did you mean 'external_data'?",
        "E404  exactly one file 'submission.*' is required, not none",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (r'"a\n::error::b"', "1", r"E402  a\n::error::b: is not a known key"),
        ("received", "2026-01-31T12:00:00", "has no offset; write for example 2026-01-31T12:00:00+08:00"),
        ("received", '"2026-01-31T12:00:00"', "not a time with an offset, such as 2026-01-31T12:00:00+08:00"),
        ("received", '"2026-13-01T12:00:00Z"', "month must be in 1..12"),
        ("received", '"2026-01-31T12:00:00+24:00"', "not a time with an offset, such as 2026-01-31T12:00:00+08:00"),
        ("received", "2026-01-31", "is not a date with a time and an offset"),
        ("received", "1769860800", "is not a date with a time and an offset"),
    ],
)
def test_a_wrong_value_has_a_message(tmp_path: Path, key: str, value: str, message: str) -> None:
    assert any(message in problem for problem in problems_of(tmp_path, write_entry(tmp_path, PLACE, **{key: value})))


@pytest.mark.parametrize("time", ["2026-01-31T04:00:00Z", '"2026-01-31T04:00:00Z"', '"2026-01-31 12:00:00.0+08:00"'])
def test_a_time_is_a_toml_date_or_a_string(tmp_path: Path, time: str) -> None:
    entry = read_entry(tmp_path, write_entry(tmp_path, PLACE, received=time))
    assert entry.received == datetime(2026, 1, 31, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "keys",
    [
        {f"x{i}": "1" for i in range(3000)},
        {"members": '["\\u202e"' + ', "\\u202e"' * 2999 + "]"},
        {"seed": "[9223372036854775808" + ",9223372036854775808" * 2999 + "]"},
    ],
    ids=["unknown keys", "items", "numbers"],
)
def test_of_many_problems_of_one_kind_the_first_are_shown(tmp_path: Path, keys: dict[str, str]) -> None:
    problems = problems_of(tmp_path, write_entry(tmp_path, PLACE, **keys))
    assert (len(problems), problems[-1]) == (6, "E402  … and 2,995 more")


INVISIBLE = {
    "a\\nb": "U+000A",
    "\\u202eabc": "U+202E (RIGHT-TO-LEFT OVERRIDE)",
    "\\u0000": "U+0000",
    "x\\u2028y": "U+2028 (LINE SEPARATOR)",
    "a\\u200bb": "U+200B (ZERO WIDTH SPACE)",
    "👩\\u200d💻": "U+200D (ZERO WIDTH JOINER)",  # a joiner between letters of no script that is spelled with it
    "a\\u00ad": "U+00AD (SOFT HYPHEN)",
    "a\\U000e0041": "U+E0041 (TAG LATIN CAPITAL LETTER A)",
    "a\\U000e0100": "U+E0100 (VARIATION SELECTOR-17)",
    "\\u3164": "U+3164 (HANGUL FILLER)",
    "a\\U000e0000": "U+E0000",  # unassigned
    "a\\ue000": "U+E000",  # private use
}
STACKED = (
    "Z" + "\u0301\u0327" * 5,
    "\u0301a",
    "a" + "\u20dd" * 3,
    "ก" + "็" * 5,
    "a" + "\u0489" * 3,
    "ก" + "\u0e48" * 4,
)
NAMES = [
    *((name, f"contains the invisible character {c}; one line of visible text") for name, c in INVISIBLE.items()),
    *((name, "contains a command of a CI system; one line of visible") for name in ("::error::x", "a ##[error]b")),
    *((name, "stacks combining marks; a letter may have two accents, or four marks of its script") for name in STACKED),
]


@pytest.mark.parametrize(("name", "message"), NAMES)
def test_names_are_one_line_of_visible_text(tmp_path: Path, name: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, write_entry(tmp_path, PLACE, team=f'"{name}"'))
    assert message in problem


@pytest.mark.parametrize(
    "name",
    [
        *("<script>alert(1)</script>", "=1+1", "O'Hara & co | x"),  # these need escaping
        *("张伟", "🙂 team", "Đặng Thị Ẩn", "Ẹ́gbẹ́", "ทีมที่นี้", "टीम श्री", "فَرِيقُ اللُّغَة", "שָׁלוֹם", "བསྒྲུབས"),
        *("گروه می\u200cخواهم", "ශ්\u200dරී ලංකා"),  # spelled with joiners  # noqa: RUF001
        "Ame\u0301lie\u3000山田",
    ],
)
def test_names_of_every_script_are_accepted_composed_and_with_plain_spaces(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE, team=f'"{name}"')
    assert read_entry(tmp_path, folder).card.team == unicodedata.normalize("NFC", name).replace("\u3000", " ")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("toy/A-Team/run", "E403  team folder 'A-Team': not a valid name; allowed: 1 to 39 of a-z, 0-9 and -"),
        ("toy/-team/run", "E403  team folder '-team'"),
        (f"toy/{'a' * 40}/run", "E403  team folder"),
        ("toy/team/run_1", "E403  run folder 'run_1'"),
        ("toy/team/r\u00fcn", "E403  run folder 'r\u00fcn'"),
        ("toy/team", "E403  an entry is a folder <track>/<team>/<run>"),
    ],
)
def test_names_of_folders(tmp_path: Path, place: str, message: str) -> None:
    (problem,) = problems_of(tmp_path, write_entry(tmp_path, place))
    assert problem.startswith(message)


BAD_SUFFIXES = ("\udcff", "csv\udcff", "txt", "csv.xz", "npz.gz", "", "\nx", "c\u017fv")


@pytest.mark.parametrize("suffix", BAD_SUFFIXES)
def test_a_file_of_predictions_has_a_known_suffix(tmp_path: Path, suffix: str) -> None:
    folder = write_entry(tmp_path, PLACE, predictions=None)
    write_file(folder / f"submission.{suffix}")
    (problem,) = problems_of(tmp_path, folder)
    assert problem.startswith("E404  'submission.")
    assert "' has an unknown suffix; allowed: .csv, .tsv, .tab, " in problem
    problem.encode("utf-8")


@pytest.mark.parametrize("name", ["submission.csv", "submission.CSV", "submission.jsonl.gz", "submission.tsv.zst"])
def test_known_suffixes(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE, predictions=None)
    (folder / name).write_bytes(b"")
    assert read_entry(tmp_path, folder).submission.name == name


def second_file(folder: Path) -> None:
    (folder / "submission.parquet").touch()


def card_of(data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "entry.toml").write_bytes(data)


def folder_for(name: str) -> Callable[[Path], object]:
    return lambda folder: ((folder / name).unlink(), (folder / name).mkdir())


def link_for(name: str) -> Callable[[Path], object]:
    return lambda folder: link(folder / name, (folder / name).rename(folder.parent / name))


def pipe(folder: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("named pipes: this system has none")
    (folder / "submission.csv").unlink()
    os.mkfifo(folder / "submission.csv")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (second_file, "E404  exactly one file 'submission.*' is required, not 2: submission.csv, submission.parquet"),
        (card_of(b"title = "), "E401  entry.toml is not a TOML file: end of document: not a TOML value (text needs quotes)"),
        (card_of(b'title = "a"\ntitle = "b"\n'), "line 2, column 12: duplicate key"),
        (card_of(b"\xff\xfe"), "E401  entry.toml is not a TOML file: byte 0x"),
        (card_of(b"#" * (MAX_CARD_BYTES + 1)), "E401  entry.toml has 65,537 bytes; 65,536 are allowed"),
        (lambda folder: (folder / "entry.toml").unlink(), "E401  entry.toml is missing"),
        (link_for("submission.csv"), f"E405  'submission.csv' {LINK}"),
        (link_for("entry.toml"), f"E405  'entry.toml' {LINK}"),
        (folder_for("submission.csv"), "E403  'submission.csv' is a folder, not a file"),
        (folder_for("entry.toml"), "E403  'entry.toml' is a folder, not a file"),
        (pipe, "E405  'submission.csv' is not a regular file"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_what_it_must_be_is_refused_and_not_opened(
    tmp_path: Path, change: Callable[[Path], object], expected: str
) -> None:
    folder = write_entry(tmp_path, PLACE)
    change(folder)
    (problem,) = problems_of(tmp_path, folder)
    assert expected in problem


@pytest.mark.parametrize("part", ["toy", "toy/a-team", "toy/a-team/run-1"])
def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, part: str) -> None:
    submissions, outside = tmp_path / "submissions", tmp_path / "outside"
    write_entry(submissions, PLACE)
    (submissions / part).rename(outside)
    link(submissions / part, outside)
    (folder,) = (folder for track in track_folders(submissions) for folder in run_folders(submissions, track))
    assert f"E405  '{Path(part).name}' {LINK}" in problems_of(submissions, folder)


def test_folders_are_listed_in_order_with_what_will_be_refused(tmp_path: Path) -> None:
    for place in ("toy/b/run", "toy/a/two", "toy/a/one", "other/a/run"):
        write_entry(tmp_path, place)
    (tmp_path / "README.md").touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "toy" / "leaderboard.csv").touch()
    (tmp_path / "toy" / "a" / "notes.txt").touch()
    assert track_folders(tmp_path) == ["other", "toy"]
    names = [folder.relative_to(tmp_path).as_posix() for folder in run_folders(tmp_path, "toy")]
    assert names == ["toy/a/one", "toy/a/two", "toy/b/run"]
    assert run_folders(tmp_path, "absent") == []
    (tmp_path / "toy" / "leaderboard.html").mkdir()
    link(tmp_path / "toy" / "leaderboard.md", tmp_path / "elsewhere")
    *_, folder, linked = run_folders(tmp_path, "toy")
    assert (
        "E403  team folder 'leaderboard.html': not a valid name; allowed: 1 to 39 of a-z"
        in problems_of(tmp_path, folder)[1]
    )
    assert f"E405  'leaderboard.md' {LINK}" in problems_of(tmp_path, linked)
    message = f"{tmp_path / 'none'}: this folder of submissions does not exist"
    with pytest.raises(UsageError, match=re.escape(message)):
        track_folders(tmp_path / "none")


def test_of_two_runs_with_one_seed_the_earlier_is_accepted(tmp_path: Path) -> None:
    later = write_entry(tmp_path, "toy/team/a", seed="0", received="2026-02-02T00:00:00Z")
    earlier = write_entry(tmp_path, "toy/team/b", seed="0", received="2026-02-01T00:00:00Z")
    other_seed = write_entry(tmp_path, "toy/team/c", seed="1")
    other_team = write_entry(tmp_path, "toy/rivals/a", seed="0")
    entries = [read_entry(tmp_path, folder) for folder in (later, earlier, other_seed, other_team)]
    accepted, (excluded,) = without_duplicates(entries)
    assert {entry.place for entry in accepted} == {"toy/team/b", "toy/team/c", "toy/rivals/a"}
    assert excluded.place == "toy/team/a"
    message = "E406  'net' with seed 0 already exists: run 'b', received earlier"
    assert [str(problem) for problem in excluded.problems] == [message]


def test_at_most_one_run_of_a_system_is_selected(tmp_path: Path) -> None:
    folders = [write_entry(tmp_path, f"toy/team/{name}", seed=str(i), selected="true") for i, name in enumerate("ab")]
    accepted, (excluded,) = without_duplicates([read_entry(tmp_path, folder) for folder in folders])
    assert [entry.run for entry in accepted] == ["a"]
    assert [str(p) for p in excluded.problems] == ["E406  selected: run 'a' of 'net' is already selected"]


# Writing entries.

GIVEN: dict[str, CardValue] = {
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


def test_a_written_entry_is_read_back_and_replaced_only_when_asked(
    tmp_path: Path, candidates: Candidates, source: Path
) -> None:
    column = 'dis.crete "😀" #1'
    source.write_text(predictions().replace("discrete", f'"{column.replace(chr(34), chr(34) * 2)}"'), encoding="utf-8")
    card: dict[str, CardValue] = {**GIVEN, "rename": {column: "discrete"}}
    folder = enter(tmp_path / "submissions", "team", "run-1", card, source, candidates)
    entry = read_entry(tmp_path / "submissions", folder)
    assert entry.place == "toy/team/run-1"
    assert (entry.card.title, entry.card.team, entry.card.members) == (GIVEN["title"], "张 team", ("Ada", "Emmy"))
    assert (entry.card.seed, entry.received) == (None, datetime(2026, 1, 31, tzinfo=UTC))
    assert entry.card.rename == {column: "discrete"}
    assert entry.submission.read_bytes() == source.read_bytes()
    with pytest.raises(UsageError, match=re.escape(f"{folder}: already exists; --force replaces it")):
        enter(tmp_path / "submissions", "team", "run-1", card, source, candidates)
    enter(tmp_path / "submissions", "team", "run-1", {**card, "title": "New"}, source, candidates, replace=True)
    assert read_entry(tmp_path / "submissions", folder).card.title == "New"


def test_what_is_wrong_with_an_entry_keeps_it_from_being_written(
    tmp_path: Path, candidates: Candidates, source: Path
) -> None:
    with pytest.raises(DeclarationError) as caught:
        enter(tmp_path / "submissions", "", "r/../x", {**GIVEN, "seed": -1}, source, candidates)
    assert [problem.code for problem in caught.value.problems] == ["E403", "E403", "E402"]
    source.write_text(predictions().replace("glad", "gald"), encoding="utf-8")
    with pytest.raises(InvalidSubmission):
        enter(tmp_path / "submissions", "team", "run", GIVEN, source, candidates)
    for suffix in (".txt", ".2026", ".csv.xz", ".\udcff"):
        write_file(tmp_path / f"answers{suffix}", predictions().encode())
        with pytest.raises(DeclarationError, match=r"E404  'submission\..*' has an unknown suffix"):
            enter(tmp_path / "submissions", "team", "run", GIVEN, tmp_path / f"answers{suffix}", candidates)
    assert not (tmp_path / "submissions").exists()


@pytest.mark.parametrize(("name", "suffix"), [("a.b.csv", ".csv"), ("a.csv.gz", ".csv.gz"), ("a", ".csv")])
def test_the_suffix_gives_the_format(tmp_path: Path, candidates: Candidates, name: str, suffix: str) -> None:
    data = predictions().encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    folder = enter(tmp_path / "submissions", "team", "run", GIVEN, tmp_path / name, candidates)
    assert read_entry(tmp_path / "submissions", folder).submission.name == f"submission{suffix}"


@pytest.mark.parametrize("part", ["toy", "toy/team", "toy/team/run"])
def test_nothing_is_written_through_a_link(tmp_path: Path, candidates: Candidates, source: Path, part: str) -> None:
    submissions, outside = tmp_path / "submissions", tmp_path / "outside"
    outside.mkdir()
    (submissions / part).parent.mkdir(parents=True)
    link(submissions / part, outside)
    with pytest.raises(DeclarationError, match=f"E405  '{Path(part).name}' is a symbolic link"):
        enter(submissions, "team", "run", GIVEN, source, candidates, replace=True)
    assert list(outside.iterdir()) == []
