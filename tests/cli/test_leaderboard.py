"""`merbench leaderboard` and `merbench validate-entries`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hand_made_boards import write_entry
from toy_track import IDS, predictions, write_toy_track

from merbench.cli import run
from merbench.corpus import Feature, add_feature, open_corpus

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def submissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with two valid entries and one without a card, of a track that is found by name."""
    write_toy_track(tmp_path / "tracks")
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    monkeypatch.chdir(tmp_path)
    folder = Path("submissions")
    write_entry(folder, "toy/one/run", predictions(range(4)))
    write_entry(folder, "toy/two/run", predictions(range(9)))
    (write_entry(folder, "toy/broken/run", predictions()) / "entry.toml").unlink()
    return folder


def board_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((folder / "toy").glob("leaderboard.*"))}


def test_the_board_is_printed_and_written(submissions: Path, capsys: Capture) -> None:
    assert run(["leaderboard"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Toy (toy@1.0, split test)\n\nrank  team")
    assert "  toy/broken/run: E401  entry.toml is missing\n" in printed
    assert printed.count("wrote ") == 1
    files = board_of(submissions)
    assert list(files) == ["leaderboard.csv", "leaderboard.html", "leaderboard.json", "leaderboard.md"]
    assert [row["team"] for row in json.loads(files["leaderboard.json"])["rows"]] == ["one", "two"]


def test_a_written_board_is_checked_and_a_stale_one_is_named(submissions: Path, capsys: Capture) -> None:
    assert run(["leaderboard", "--check"]) == 3
    assert "4 files out of date; `merbench leaderboard` writes them again\n" in capsys.readouterr().err
    assert board_of(submissions) == {}
    assert run(["leaderboard"]) == 0
    assert run(["leaderboard", "--check", "--no-cache"]) == 0
    (submissions / "toy" / "two" / "run" / "submission.csv").write_text(predictions(range(2)), encoding="utf-8")
    capsys.readouterr()
    assert run(["leaderboard", "--check", "toy"]) == 3
    printed = capsys.readouterr().err
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.html"):
        assert f"  {submissions / 'toy' / name}: line " in printed
    assert "should be '| 1 | A team (two) | net | 0.9500 |" in printed


def test_the_board_can_go_elsewhere(submissions: Path, tmp_path: Path) -> None:
    assert run(["leaderboard", "toy", "--output", str(tmp_path / "public"), "--format", "html"]) == 0
    assert list(board_of(tmp_path / "public")) == ["leaderboard.html"]
    assert board_of(submissions) == {}


def test_the_board_can_be_printed_in_one_form(submissions: Path, capsys: Capture) -> None:
    assert run(["leaderboard", "--output", "-", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("rank,team,team_name,system,")
    assert run(["leaderboard", "--output", "-"]) == 0
    assert capsys.readouterr().out.startswith("Toy (toy@1.0, split test)\n")
    assert board_of(submissions) == {}
    for arguments in (["--check"], ["--format", "csv", "--format", "json"]):
        assert run(["leaderboard", "--output", "-", *arguments]) == 2
    assert "--output - prints one format of the board and checks nothing" in capsys.readouterr().err


def test_the_folder_of_no_track_is_named_and_the_others_are_built(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "toi/one/run", predictions())
    assert run(["leaderboard"]) == 5
    printed = capsys.readouterr().err
    assert "toi: no track named 'toi'; did you mean 'toy'? (known: " in printed
    assert printed.endswith("\nfailed: 1 track\n")
    assert len(board_of(submissions)) == 4
    assert run(["leaderboard", "toi"]) == 2  # nothing was finished


def test_a_track_that_is_not_held_here_is_skipped_by_name_and_the_others_are_built(
    submissions: Path, tmp_path: Path, capsys: Capture
) -> None:
    write_toy_track(tmp_path / "tracks", name="veiled", scored=())
    write_entry(submissions, "veiled/one/run", predictions())
    write_entry(submissions, "mer2023-multi/one/run", "name,discrete,valence\n")
    assert run(["leaderboard"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "mer2023-multi: skipped: no corpus named 'mer2023' (known: sample)",
        "veiled: skipped: the references of split 'test' of veiled are withheld: corpus 'toy' has none of them",
    ]
    assert len(board_of(submissions)) == 4
    assert run(["leaderboard", "veiled"]) == 2  # asked for by name, it is an error


def test_a_changed_corpus_stops_no_other_track(submissions: Path, tmp_path: Path, capsys: Capture) -> None:
    folder = write_toy_track(tmp_path / "tracks", name="changed").folder
    write_entry(submissions, "changed/one/run", predictions())
    with (folder / "corpus" / "reference.parquet").open("ab") as file:
        file.write(b"more")
    assert run(["leaderboard"]) == 5
    assert "changed: " in capsys.readouterr().err
    assert len(board_of(submissions)) == 4
    assert run(["leaderboard", "changed"]) == 3


def test_a_track_that_lies_beside_is_not_taken_for_the_one_that_is_meant(
    submissions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy_track(tmp_path, answers=["sad"] * 40)
    monkeypatch.chdir(tmp_path)
    assert run(["leaderboard", "--output", "public"]) == 0
    rows = json.loads(board_of(tmp_path / "public")["leaderboard.json"])["rows"]
    assert rows[0]["scores"][0]["value"] == 0.9


def test_there_must_be_entries(tmp_path: Path, capsys: Capture) -> None:
    assert run(["leaderboard", "--submissions", str(tmp_path)]) == 2
    assert f"{tmp_path}: has no folder of a track" in capsys.readouterr().err
    assert run(["leaderboard", "--submissions", str(tmp_path / "none")]) == 2
    assert f"{tmp_path / 'none'}: this folder of submissions does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--check"], ["--output", "public"]])
@pytest.mark.parametrize("place", ["toy", "toy/leaderboard.html", "toy/leaderboard.csv"])
def test_nothing_is_written_or_read_through_a_link(
    submissions: Path, tmp_path: Path, capsys: Capture, place: str, arguments: list[str]
) -> None:
    write_toy_track(tmp_path / "tracks", name="other")
    write_entry(submissions, "other/one/run", predictions())
    folder, outside = Path("public") if "public" in arguments else submissions, tmp_path / "outside"
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    if place == "toy":
        (folder / "toy").rename(outside)
    else:
        outside.write_text("whose", encoding="utf-8")
    try:
        (folder / place).symlink_to(outside, target_is_directory=place == "toy")
    except OSError:
        pytest.skip("symbolic links: this account may not make them")

    def content() -> list[Path] | bytes:
        return sorted(outside.rglob("*")) if place == "toy" else outside.read_bytes()

    before = content()
    assert run(["leaderboard", *arguments]) == (3 if "--check" in arguments else 5)
    assert f"E405  '{Path(place).name}' is a symbolic link" in capsys.readouterr().err
    assert content() == before
    assert (folder / "other" / "leaderboard.csv").exists() is ("--check" not in arguments)


def test_the_folder_of_submissions_is_no_link(submissions: Path, tmp_path: Path, capsys: Capture) -> None:
    submissions.rename(tmp_path / "outside")
    try:
        submissions.symlink_to(tmp_path / "outside", target_is_directory=True)
    except OSError:
        pytest.skip("symbolic links: this account may not make them")
    Path("mine.csv").write_text(predictions(), encoding="utf-8")
    before = sorted((tmp_path / "outside").rglob("*"))
    for command in ("leaderboard", "leaderboard toy", "validate-entries", "enter toy mine.csv --team a --run b"):
        assert run(command.split()) == 2
        assert "E405  'submissions' is a symbolic link" in capsys.readouterr().err
    assert sorted((tmp_path / "outside").rglob("*")) == before


def test_entries_behind_a_link_are_not_a_board_without_rows(submissions: Path, tmp_path: Path, capsys: Capture) -> None:
    (submissions / "toy").rename(tmp_path / "outside")
    try:
        (submissions / "toy").symlink_to(tmp_path / "outside", target_is_directory=True)
    except OSError:
        pytest.skip("symbolic links: this account may not make them")
    assert run(["leaderboard", "--output", "public"]) == 2  # nothing was finished
    assert "E405  'toy' is a symbolic link" in capsys.readouterr().err
    assert not Path("public").exists()
    assert run(["validate-entries"]) == 1


def test_a_folder_where_the_board_belongs_stops_no_other_track(
    submissions: Path, tmp_path: Path, capsys: Capture
) -> None:
    write_toy_track(tmp_path / "tracks", name="other")
    write_entry(submissions, "other/one/run", predictions())
    (submissions / "toy" / "leaderboard.html").mkdir()
    assert run(["leaderboard"]) == 5
    assert "E403  'leaderboard.html' is a folder, not a file" in capsys.readouterr().err
    assert [path.name for path in submissions.glob("toy/leaderboard.*")] == ["leaderboard.html"]
    assert len(list(submissions.glob("other/leaderboard.*"))) == 4
    assert run(["validate-entries"]) == 1
    assert "toy/leaderboard.html: 2 problems\n  E403  an entry is a folder" in capsys.readouterr().out


def test_any_folder_may_hold_corpora_and_boards(tmp_path: Path, capsys: Capture) -> None:
    place = tmp_path / "\udcff"
    try:
        track = write_toy_track(place)
    except OSError:
        pytest.skip("names: this file system allows only text")
    features = Feature.from_vectors(IDS, np.ones((40, 2)))
    assert add_feature(open_corpus(track.folder / "corpus"), "ones", features).feature("ones").ids.to_pylist() == IDS
    folder = write_entry(place / "submissions", "toy/one/run", predictions())
    assert run(["leaderboard", str(track.folder), "--submissions", str(place / "submissions")]) == 0
    assert run(["score", str(track.folder), str(folder / "submission.csv"), "--no-intervals"]) == 0


def test_names_that_are_not_text_are_reported_everywhere(submissions: Path, capsys: Capture) -> None:
    for place in ("\udcff/one/run", "toy/\udcff/run", "toy/three/\udcff"):
        try:
            write_entry(submissions, place, predictions())
        except OSError:
            pytest.skip("names: this file system allows only text")
    (write_entry(submissions, "toy/four/run", None) / "submission.\udcff").write_text(predictions(), encoding="utf-8")
    assert run(["leaderboard", "--output", "public"]) == 5  # no track has such a name
    text = capsys.readouterr()
    assert r"\udcff: no track named '\udcff'" in text.err
    for place in (r"toy/\udcff/run: E403", r"toy/three/\udcff: E403", r"toy/four/run: E404"):
        assert place in text.out
    assert len(board_of(Path("public"))) == 4
    for form in ("text", "json", "github"):
        assert run(["validate-entries", "--format", form]) == 1
        printed = capsys.readouterr().out
        printed.encode("utf-8")
        assert all(code in printed for code in ("E403", "E404"))


def test_a_board_that_cannot_be_written(submissions: Path, capsys: Capture) -> None:
    blocked = submissions / "toy" / "leaderboard.md"
    blocked.parent.joinpath("file").touch()
    assert run(["leaderboard", "--output", str(submissions / "toy" / "file")]) == 74
    assert "cannot be written" in capsys.readouterr().err


def test_entries_are_validated(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "toy/three/run", predictions().replace("s03,calm", "s03,clam"), title=None)
    assert run(["validate-entries"]) == 1
    assert capsys.readouterr().out == (
        "toy/broken/run: 1 problem\n"
        "  E401  entry.toml is missing\n"
        "toy/one/run: valid\n"
        "toy/three/run: 2 problems\n"
        "  E402  title: is missing\n"
        "  E203  line 5, discrete: 'clam' is not one of calm, glad, sad; did you mean 'calm'?\n"
        "toy/two/run: valid\n"
        "entries: 4, invalid: 2\n"
    )
    assert run(["validate-entries", "toy/one/run", str(submissions / "toy" / "two" / "run")]) == 0
    assert capsys.readouterr().out == "toy/one/run: valid\ntoy/two/run: valid\nentries: 2, invalid: 0\n"


def test_problems_of_entries_as_github_annotations(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "toy/three/run", predictions().replace("s03,calm", "s03,clam"), title=None)
    assert run(["validate-entries", "--format", "github", "toy/three/run"]) == 1
    lines = capsys.readouterr().out.splitlines()
    folder = "submissions/toy/three/run"
    assert lines[0] == f"::error file={folder}/entry.toml,title=E402::title: is missing"
    assert lines[1].startswith(f"::error file={folder}/submission.csv,line=5,title=E203::discrete: 'clam' is not")


def test_problems_of_entries_as_json(submissions: Path, capsys: Capture) -> None:
    assert run(["validate-entries", "--format", "json"]) == 1
    documents = json.loads(capsys.readouterr().out)
    assert [(found["where"], found["valid"]) for found in documents] == [
        ("toy/broken/run", False),
        ("toy/one/run", True),
        ("toy/two/run", True),
    ]
    assert documents[0]["problems"][0]["code"] == "E401"


def test_validation_needs_no_reference(tmp_path: Path, submissions: Path) -> None:
    write_toy_track(tmp_path / "tracks", scored=())
    assert run(["validate-entries", "toy/one/run"]) == 0
    assert run(["leaderboard", "toy"]) == 2


def test_an_entry_whose_candidates_are_not_at_hand_gets_a_warning(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "mer2023-multi/team/run", "name,discrete,valence\n")
    assert run(["validate-entries", "mer2023-multi/team/run"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        "mer2023-multi/team/run: 1 warning\n  W401  the predictions were not read: no corpus named"
    )


def test_entries_of_no_track_and_folders_elsewhere(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "toi/one/run", predictions())
    assert run(["validate-entries", "toi/one/run"]) == 1
    assert "  E407  no track named 'toi'; did you mean 'toy'?" in capsys.readouterr().out
    assert run(["validate-entries", "toy/none/run"]) == 1
    assert "toy/none/run: 1 problem\n  E403  'none' is not a folder\n" in capsys.readouterr().out
    assert run(["validate-entries", str(Path("/elsewhere").absolute())]) == 2
    assert "is not a folder in submissions" in capsys.readouterr().err


def test_duplicates_are_found_among_all_entries_though_one_is_asked_for(submissions: Path, capsys: Capture) -> None:
    write_entry(submissions, "toy/one/again", predictions(), received="2026-03-01T00:00:00Z")
    assert run(["validate-entries", "toy/one/again"]) == 1
    message = "E406  'net' without a seed already exists: run 'run', received earlier"
    assert f"toy/one/again: 1 problem\n  {message}\n" in capsys.readouterr().out


def test_predictions_become_an_entry_on_the_board(submissions: Path, capsys: Capture) -> None:
    Path("mine.csv").write_text(predictions(range(2)), encoding="utf-8")
    arguments = ["enter", "toy", "mine.csv", "--team", "mine", "--run", "first", "--received", "2026-01-31T12:00:00Z"]
    assert run(arguments) == 0
    folder = submissions / "toy" / "mine" / "first"
    assert capsys.readouterr().out == f"wrote {folder}; `merbench leaderboard` puts it on the board\n"
    assert (folder / "entry.toml").read_text(encoding="utf-8") == (
        'title = "first"\nteam = "mine"\nmembers = []\nsystem = "first"\nexternal_data = []\n'
        'received = "2026-01-31T12:00:00Z"\nranks = true\nselected = false\n'
    )
    assert run(arguments) == 2
    assert run([*arguments, "--force", "--system", "net"]) == 0
    assert run(["validate-entries", "toy/mine/first"]) == 0
    assert run(["leaderboard", "--output", "-", "--format", "csv"]) == 0
    assert "\n1,mine,mine,net,net,first," in capsys.readouterr().out


def test_an_entry_keeps_its_file_and_the_names_of_its_columns(submissions: Path, capsys: Capture) -> None:
    data = predictions(range(2)).replace("discrete", "answer").encode()
    Path("mine.csv").write_bytes(data)
    arguments = ["enter", "toy", "mine.csv", "--team", "mine", "--received", "2026-01-31T12:00:00Z", "--run"]
    assert run([*arguments, "renamed", "--rename", "answr=discrete"]) == 1
    assert "E202  answr: cannot be renamed to 'discrete'" in capsys.readouterr().err
    assert run([*arguments, "renamed", "--rename", "answer=discrete"]) == 0
    folder = submissions / "toy" / "mine" / "renamed"
    assert (folder / "submission.csv").read_bytes() == data
    assert '[rename]\nanswer = "discrete"\n' in (folder / "entry.toml").read_text(encoding="utf-8")
    assert run(["validate-entries", "toy/mine/renamed"]) == 0
    assert run(["leaderboard", "--output", "-", "--format", "csv"]) == 0
    assert "\n1,mine,mine,renamed," in capsys.readouterr().out


def test_one_file_with_two_columns_of_answers_is_two_entries(submissions: Path, capsys: Capture) -> None:
    rows = zip(predictions().splitlines(), predictions(range(20)).splitlines(), strict=True)
    table = [f"{right},{wrong.partition(',')[2]}" for right, wrong in rows]
    Path("two.csv").write_text("\n".join(["sample_id,first,second", *table[1:]]) + "\n", encoding="utf-8")
    for name in ("first", "second"):
        arguments = ["enter", "toy", "two.csv", "--team", "pair", "--run", name, "--rename", f"{name}=discrete"]
        assert run(arguments) == 0
    capsys.readouterr()
    assert run(["leaderboard", "--output", "-", "--format", "csv"]) == 0
    table = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    accuracy = table[0].index("accuracy")
    # Of 40 answers all are right in one column, 20 in the other.
    assert {row[4]: float(row[accuracy]) for row in table if row[1] == "pair"} == {"first": 1.0, "second": 0.5}


def test_a_check_says_one_line_for_each_board(submissions: Path, capsys: Capture) -> None:
    assert run(["leaderboard", "--check"]) == 3
    assert capsys.readouterr().out == "toy@1.0: 4 files out of date\n"
    assert run(["leaderboard"]) == 0
    capsys.readouterr()
    assert run(["leaderboard", "--check"]) == 0
    assert capsys.readouterr().out == "toy@1.0: up to date\n"
