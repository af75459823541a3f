"""Folders of entries, good and bad, and what is said about them."""

from __future__ import annotations

import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hand_made_boards import CARD, write_card, write_entry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merbench.errors import DeclarationError, UsageError
from merbench.leaderboard.entry import (
    MAX_CARD_BYTES,
    EntryCard,
    read_entry,
    run_folders,
    track_folders,
    without_duplicates,
)

PLACE = "toy/a-team/run-1"


def told(submissions: Path, folder: Path) -> list[str]:
    """Return the problems of a folder as they are printed."""
    with pytest.raises(DeclarationError) as caught:
        read_entry(submissions, folder)
    return [str(problem) for problem in caught.value.problems]


def link(path: Path, target: Path, directory: bool = False) -> None:
    try:
        path.symlink_to(target, target_is_directory=directory)
    except OSError:
        pytest.skip("symbolic links: this account may not make them")


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


def test_all_problems_of_a_card_and_its_folder_are_told_at_once(tmp_path: Path) -> None:
    folder = write_entry(
        tmp_path,
        PLACE,
        predictions=None,
        title=None,
        team='" spaced"',
        seed="-1",
        externaldata="[]",
        external_data=None,
        received='"yesterday"',
        ranks='"yes"',
    )
    assert told(tmp_path, folder) == [
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


def test_a_key_cannot_forge_a_line(tmp_path: Path) -> None:
    (problem,) = told(tmp_path, write_entry(tmp_path, PLACE, **{r'"a\n::error::b"': "1"}))
    assert problem.startswith(r"E402  a\n::error::b: is not a known key")


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("2026-01-31T12:00:00", "has no offset; write for example 2026-01-31T12:00:00+08:00"),
        ('"2026-01-31T12:00:00"', "not a time with an offset, such as 2026-01-31T12:00:00+08:00"),
        ('"2026-13-01T12:00:00Z"', "month must be in 1..12"),
        ('"2026-01-31T12:00:00+24:00"', "not a time with an offset, such as 2026-01-31T12:00:00+08:00"),
        ("2026-01-31", "is not a date with a time and an offset"),
        ("1769860800", "is not a date with a time and an offset"),
    ],
)
def test_a_moment_needs_an_offset(tmp_path: Path, moment: str, message: str) -> None:
    folder = write_entry(tmp_path, PLACE, received=moment)
    assert [problem for problem in told(tmp_path, folder) if message in problem]


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
    problems = told(tmp_path, write_entry(tmp_path, PLACE, **keys))
    assert len(problems) == 6
    assert problems[-1] == "E402  … and 2,995 more"


@pytest.mark.parametrize("moment", ["2026-01-31T04:00:00Z", '"2026-01-31T04:00:00Z"', '"2026-01-31 12:00:00.0+08:00"'])
def test_a_moment_is_a_toml_date_or_a_string(tmp_path: Path, moment: str) -> None:
    entry = read_entry(tmp_path, write_entry(tmp_path, PLACE, received=moment))
    assert entry.received == datetime(2026, 1, 31, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "character"),
    [
        *(("a\\nb", "U+000A"), ("a\\tb", "U+0009"), ("\\u202eabc", "U+202E (RIGHT-TO-LEFT OVERRIDE)")),
        *(("\\u0000", "U+0000"), ("x\\u2028y", "U+2028 (LINE SEPARATOR)")),
        # zero width, joiners that join nothing
        *(("a\\u200bb", "U+200B (ZERO WIDTH SPACE)"), ("a\\u200cb", "U+200C (ZERO WIDTH NON-JOINER)")),
        *(("👩\\u200d💻", "U+200D (ZERO WIDTH JOINER)"), ("\\u2060", "U+2060 (WORD JOINER)")),
        *(("\\ufeffa", "U+FEFF (ZERO WIDTH NO-BREAK SPACE)"), ("a\\u00ad", "U+00AD (SOFT HYPHEN)")),
        # tags, variation selectors
        *(
            ("a\\U000e0041", "U+E0041 (TAG LATIN CAPITAL LETTER A)"),
            ("a\\U000e0100", "U+E0100 (VARIATION SELECTOR-17)"),
        ),
        ("I \u2764\\ufe0f\\u200b you", "U+FE0F (VARIATION SELECTOR-16)"),
        # they look empty
        *(("\\u3164", "U+3164 (HANGUL FILLER)"), ("\\u115f", "U+115F (HANGUL CHOSEONG FILLER)")),
        *(("\\u2800", "U+2800 (BRAILLE PATTERN BLANK)"), ("\\u034f", "U+034F (COMBINING GRAPHEME JOINER)")),
        *(("a\\U000e0000", "U+E0000"), ("a\\ue000", "U+E000"), ("a\\u0378", "U+0378")),  # unassigned, private use
    ],
)
def test_names_are_one_line_of_visible_text(tmp_path: Path, text: str, character: str) -> None:
    (problem,) = told(tmp_path, write_entry(tmp_path, PLACE, team=f'"{text}"'))
    assert f"contains the invisible character {character}; one line of visible text is allowed" in problem


@pytest.mark.parametrize("text", ["::error::x", "a ##[error]b"])
def test_names_are_no_commands_of_a_ci_system(tmp_path: Path, text: str) -> None:
    (problem,) = told(tmp_path, write_entry(tmp_path, PLACE, team=f'"{text}"'))
    assert "contains a command of a CI system; one line of visible text is allowed" in problem


@pytest.mark.parametrize(
    "text",
    ["Z" + "\u0301\u0327" * 5, "\u0301a", "a" + "\u20dd" * 3, "ก" + "็" * 5, "a" + "\u0489" * 3, "ก" + "\u0e48" * 4],
)
def test_combining_marks_cannot_be_stacked(tmp_path: Path, text: str) -> None:
    (problem,) = told(tmp_path, write_entry(tmp_path, PLACE, team=f'"{text}"'))
    assert "stacks combining marks; a letter may have two accents, or four marks of its script" in problem


@pytest.mark.parametrize(
    "name",
    [
        *("<script>alert(1)</script>", "=1+1", "O'Hara & co | x"),  # these need escaping
        *("张伟", "🙂 team", "Đặng Thị Ẩn", "Ẹ́gbẹ́", "ทีมที่นี้", "टीम श्री", "فَرِيقُ اللُّغَة", "שָׁלוֹם", "བསྒྲུབས"),
        *("گروه می\u200cخواهم", "ශ්\u200dරී ලංකා"),  # spelled with joiners  # noqa: RUF001
    ],
)
def test_names_of_every_script_are_no_problem(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE, team=f'"{name}"')
    assert read_entry(tmp_path, folder).card.team == unicodedata.normalize("NFC", name)


def test_a_name_is_composed_and_has_plain_spaces(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE, team='"Ame\u0301lie\u3000山田"')
    assert read_entry(tmp_path, folder).card.team == "Am\u00e9lie 山田"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("toy/A-Team/run", "E403  team folder 'A-Team': allowed are 1 to 39 of a-z, 0-9 and -"),
        ("toy/-team/run", "E403  team folder '-team'"),
        (f"toy/{'a' * 40}/run", "E403  team folder"),
        ("toy/team/run_1", "E403  run folder 'run_1'"),
        ("toy/team/r\u00fcn", "E403  run folder 'r\u00fcn'"),
    ],
)
def test_names_of_folders(tmp_path: Path, place: str, message: str) -> None:
    problems = told(tmp_path, write_entry(tmp_path, place))
    assert len(problems) == 1
    assert problems[0].startswith(message)


def test_a_folder_at_another_depth_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "toy" / "team").mkdir(parents=True)
    assert told(tmp_path, tmp_path / "toy" / "team") == ["E403  an entry is a folder <track>/<team>/<run>"]


def test_one_file_of_predictions_is_needed(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE)
    (folder / "submission.parquet").write_bytes(b"")
    expected = "E404  exactly one file 'submission.*' is required, not 2: submission.csv, submission.parquet"
    assert told(tmp_path, folder) == [expected]


@pytest.mark.parametrize(
    "name",
    [
        "submission.\udcff",
        "submission.csv\udcff",
        "submission.txt",
        "submission.csv.xz",
        "submission.npz.gz",
        "submission.",
        "submission.\nx",
        "submission.c\u017fv",
    ],
)
def test_a_file_of_predictions_has_a_known_ending(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE, predictions=None)
    try:
        (folder / name).write_bytes(b"")
    except OSError:
        pytest.skip("names: this file system does not allow this one")
    (problem,) = told(tmp_path, folder)
    assert problem.startswith("E404  'submission.")
    assert "' has an unknown suffix; allowed are .csv, .tsv, .tab, " in problem
    problem.encode("utf-8")


@pytest.mark.parametrize("name", ["submission.csv", "submission.CSV", "submission.jsonl.gz", "submission.tsv.zst"])
def test_known_endings(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE, predictions=None)
    (folder / name).write_bytes(b"")
    assert read_entry(tmp_path, folder).submission.name == name


def test_other_files_in_a_run_are_left_alone(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    assert read_entry(tmp_path, folder).run == "run-1"


def test_a_card_may_begin_with_the_mark_that_some_editors_write(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE)
    (folder / "entry.toml").write_bytes(b"\xef\xbb\xbf" + (folder / "entry.toml").read_bytes())
    assert read_entry(tmp_path, folder).card.title == "A run"


def test_a_card_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE)
    card = folder / "entry.toml"
    card.write_text("title = ", encoding="utf-8")
    assert told(tmp_path, folder)[0].startswith(
        "E401  entry.toml is not a TOML file: end of document: a value of no kind"
    )
    card.write_text('title = "a"\ntitle = "b"\n', encoding="utf-8")
    assert "line 2, column 12: a key is given twice" in told(tmp_path, folder)[0]
    card.write_bytes(b"\xff\xfe")
    assert told(tmp_path, folder)[0].startswith("E401  entry.toml is not a TOML file: byte 0x")
    card.write_text("#" * (MAX_CARD_BYTES + 1), encoding="utf-8")
    assert told(tmp_path, folder) == ["E401  entry.toml has 65,537 bytes; 65,536 are allowed"]
    card.unlink()
    assert told(tmp_path, folder) == ["E401  entry.toml is missing"]


@pytest.mark.parametrize("name", ["submission.csv", "entry.toml"])
def test_a_file_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE)
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    link(folder / name, outside)
    message = f"E405  '{name}' is a symbolic link; an entry is made of plain folders and files"
    assert told(tmp_path, folder) == [message]


@pytest.mark.parametrize("part", ["toy", "toy/a-team", "toy/a-team/run-1"])
def test_a_folder_that_is_a_link_is_refused(tmp_path: Path, part: str) -> None:
    submissions, outside = tmp_path / "submissions", tmp_path / "outside"
    write_entry(submissions, PLACE)
    (submissions / part).rename(outside)
    link(submissions / part, outside, directory=True)
    found = [folder for track in track_folders(submissions) for folder in run_folders(submissions, track)]
    assert len(found) == 1
    name = part.rpartition("/")[2]
    assert f"E405  '{name}' is a symbolic link; an entry is made of plain folders and files" in told(
        submissions, found[0]
    )


@pytest.mark.parametrize("name", ["submission.csv", "entry.toml"])
def test_a_folder_where_a_file_belongs_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path, PLACE)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert told(tmp_path, folder) == [f"E403  '{name}' is a folder, not a file"]


def test_a_folder_beside_the_teams_is_reported_though_it_holds_no_run(tmp_path: Path) -> None:
    write_entry(tmp_path, PLACE)
    (tmp_path / "toy" / "leaderboard.html").mkdir()
    (tmp_path / "toy" / "leaderboard.html" / "index.html").touch()
    link(tmp_path / "toy" / "leaderboard.md", tmp_path / "elsewhere")
    found = run_folders(tmp_path, "toy")
    assert [folder.name for folder in found] == ["run-1", "leaderboard.html", "leaderboard.md"]
    assert "E403  team folder 'leaderboard.html': allowed are 1 to 39 of a-z" in told(tmp_path, found[1])[1]
    link_problem = "E405  'leaderboard.md' is a symbolic link; an entry is made of plain folders and files"
    assert link_problem in told(tmp_path, found[2])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes: this system has none")
def test_a_pipe_is_refused_and_not_opened(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, PLACE, predictions=None)
    os.mkfifo(folder / "submission.csv")
    assert told(tmp_path, folder) == ["E405  'submission.csv' is not a regular file"]


def test_folders_are_found_in_order_and_files_beside_them_are_no_entries(tmp_path: Path) -> None:
    for place in ("toy/b/run", "toy/a/two", "toy/a/one", "other/a/run"):
        write_entry(tmp_path, place)
    (tmp_path / "README.md").touch()
    (tmp_path / ".cache").mkdir()
    (tmp_path / "toy" / "leaderboard.md").touch()
    (tmp_path / "toy" / "a" / "notes.txt").touch()
    assert track_folders(tmp_path) == ["other", "toy"]
    names = [folder.relative_to(tmp_path).as_posix() for folder in run_folders(tmp_path, "toy")]
    assert names == ["toy/a/one", "toy/a/two", "toy/b/run"]
    assert run_folders(tmp_path, "absent") == []


def test_there_must_be_a_folder_of_submissions(tmp_path: Path) -> None:
    message = f"{tmp_path / 'none'}: this folder of submissions does not exist"
    with pytest.raises(UsageError, match=re.escape(message)):
        track_folders(tmp_path / "none")


def test_of_two_runs_with_one_seed_the_earlier_stands(tmp_path: Path) -> None:
    later = write_entry(tmp_path, "toy/team/a", seed="0", received="2026-02-02T00:00:00Z")
    earlier = write_entry(tmp_path, "toy/team/b", seed="0", received="2026-02-01T00:00:00Z")
    other_seed = write_entry(tmp_path, "toy/team/c", seed="1")
    other_team = write_entry(tmp_path, "toy/rivals/a", seed="0")
    entries = [read_entry(tmp_path, folder) for folder in (later, earlier, other_seed, other_team)]
    standing, excluded = without_duplicates(entries)
    assert {entry.place for entry in standing} == {"toy/team/b", "toy/team/c", "toy/rivals/a"}
    assert [entry.place for entry in excluded] == ["toy/team/a"]
    message = "E406  'net' with seed 0 already exists: run 'b', received earlier"
    assert [str(problem) for problem in excluded[0].problems] == [message]


def test_one_run_of_a_system_is_selected_at_most(tmp_path: Path) -> None:
    folders = [write_entry(tmp_path, f"toy/team/{name}", seed=str(i), selected="true") for i, name in enumerate("ab")]
    standing, excluded = without_duplicates([read_entry(tmp_path, folder) for folder in folders])
    assert [entry.run for entry in standing] == ["a"]
    assert [str(p) for p in excluded[0].problems] == ["E406  selected: run 'a' of 'net' is already selected"]


values = st.one_of(
    st.integers(), st.booleans(), st.text(), st.lists(st.integers(), max_size=3), st.floats(allow_nan=True)
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*CARD, "seed", "ranks", "x"]), values, max_size=6), st.binary(max_size=40))
def test_whatever_a_card_holds_it_is_an_entry_or_a_list_of_problems(
    tmp_path_factory: pytest.TempPathFactory, card: dict[str, object], noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("entry")
    run = write_entry(folder, PLACE)
    write_card(
        run, {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in card.items()}
    )
    with (run / "entry.toml").open("ab") as file:
        file.write(noise)
    try:
        read_entry(folder, run)
    except DeclarationError as error:
        assert error.problems
