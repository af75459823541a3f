"""`merbench leaderboard` and `merbench validate-entries`, as they are typed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from shutil import copy2

import numpy as np
import pytest
from hand_made_boards import link, write_entry
from toy_track import IDS, predictions, write_toy_track

from merbench.corpus import Feature, add_features, open_corpus

Command = Callable[..., tuple[int, str, str]]
ENTER = ("enter", "toy", "mine.csv", "--team", "mine", "--received", "2026-01-31T12:00:00Z", "--run")


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


def test_the_board_is_printed_and_written(submissions: Path, merbench: Command) -> None:
    code, out, _ = merbench("leaderboard")
    assert code == 0 and out.startswith("Toy (toy@1.0, split test)\n\nrank  ranks  team")
    assert "  toy/broken/run: E401  entry.toml is missing\n" in out
    assert out.count("wrote ") == 2 and out.endswith("\n\nwrote submissions/index.html\n")
    files = board_of(submissions)
    assert list(files) == ["leaderboard.csv", "leaderboard.html", "leaderboard.json", "leaderboard.md"]
    assert [row["team"] for row in json.loads(files["leaderboard.json"])["rows"]] == ["one", "two"]


def test_a_written_board_is_checked_and_a_stale_one_is_named(submissions: Path, merbench: Command) -> None:
    code, out, err = merbench("leaderboard --check")
    assert (code, out) == (3, "toy@1.0: 4 files out of date\n")
    assert "5 files out of date; `merbench leaderboard` writes them again\n" in err
    assert "  submissions/index.html: is missing\n" in err
    assert board_of(submissions) == {}
    assert merbench("leaderboard")[0] == 0
    assert merbench("leaderboard --check --no-cache")[:2] == (0, "toy@1.0: up to date\n")
    (submissions / "toy" / "two" / "run" / "submission.csv").write_text(predictions(range(2)), encoding="utf-8")
    code, _, err = merbench("leaderboard --check toy")
    assert code == 3 and "should be '| 1 | 1–2 | A team (two) | net | **0.9500** |" in err
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "leaderboard.html"):
        assert f"  {submissions / 'toy' / name}: line " in err
    assert "  submissions/index.html: line " in err


def listed(folder: Path) -> list[str]:
    """Return the tracks of the start page in a folder."""
    return re.findall(r'<a href="([^"/]+)/leaderboard.html">', (folder / "index.html").read_text(encoding="utf-8"))


def test_the_start_page_has_the_boards_of_the_call_and_those_that_are_published(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    write_toy_track(tmp_path / "tracks", name="other")
    write_entry(submissions, "other/one/run", predictions())
    assert merbench("leaderboard other --output public")[0] == 0
    assert listed(Path("public")) == ["other"]
    assert merbench("leaderboard toy --output public --format html")[0] == 0
    assert listed(Path("public")) == ["other", "toy"]
    assert merbench("leaderboard other --output public --check --format html")[0] == 3  # toy has no JSON
    (tmp_path / "public" / "other" / "leaderboard.json").write_text("{}", encoding="utf-8")
    code, _, err = merbench("leaderboard toy --output public")
    assert (code, listed(Path("public"))) == (5, ["toy"])
    assert err == (
        "public/other/leaderboard.json: left out of index.html: not a report of the form merbench.leaderboard/1: "
        "no schema\nfailed: 1 track\n"
    )
    assert merbench("leaderboard toy --output public --check")[0] == 5
    copy2("public/toy/leaderboard.json", "public/other/leaderboard.json")
    code, _, err = merbench("leaderboard toy --output public")
    assert code == 5 and "other/leaderboard.json: left out of index.html: is the board of 'toy@1.0', not of its" in err
    (tmp_path / "public" / "toy" / "leaderboard.html").unlink()
    assert merbench("leaderboard other --output public --format html --format json")[0] == 0
    assert listed(Path("public")) == ["other"]
    link(tmp_path / "public" / "elsewhere", tmp_path / "public" / "toy")
    assert merbench("leaderboard --output public --format json --format html")[0] == 0
    assert listed(Path("public")) == ["other", "toy"]


def test_a_start_page_of_another_program_is_left_as_it_is(submissions: Path, merbench: Command) -> None:
    page = submissions / "index.html"
    page.write_text("<title>Our challenge</title>", encoding="utf-8")
    for check in ("", " --check"):
        code, _, err = merbench(f"leaderboard{check}")
        assert (code, err) == (0, "submissions/index.html: left as it is, since another program wrote it\n")
    assert page.read_text(encoding="utf-8") == "<title>Our challenge</title>"
    page.unlink()
    page.mkdir()
    assert merbench("leaderboard")[0] == 2
    page.rmdir()
    link(page, submissions / "elsewhere.html")
    code, _, err = merbench("leaderboard")
    assert code == 2 and "E405  'index.html' is a symbolic link; nothing is written through a link" in err


def test_the_board_goes_elsewhere_or_is_printed_in_one_form(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    assert merbench("leaderboard", "toy", "--output", str(tmp_path / "public"), "--format", "html")[0] == 0
    assert list(board_of(tmp_path / "public")) == ["leaderboard.html"]
    code, out, _ = merbench("leaderboard --output - --format csv")
    assert code == 0 and out.startswith("rank,team,team_name,system,")
    code, out, _ = merbench("leaderboard --output -")
    assert code == 0 and out.startswith("Toy (toy@1.0, split test)\n")
    assert board_of(submissions) == {}
    for more in ("--check", "--format csv --format json"):
        code, _, err = merbench(f"leaderboard --output - {more}")
        assert code == 2 and "--output - prints one format of the board and checks nothing" in err


def test_the_folder_of_no_track_is_named_and_the_others_are_built(submissions: Path, merbench: Command) -> None:
    write_entry(submissions, "toi/one/run", predictions())
    code, _, err = merbench("leaderboard")
    assert code == 5 and "toi: no track named 'toi'; did you mean 'toy'? (known: " in err
    assert err.endswith("\nfailed: 1 track\n")
    assert len(board_of(submissions)) == 4
    assert merbench("leaderboard toi")[0] == 2  # nothing was finished


def test_a_track_whose_data_are_missing_is_skipped_by_name_and_the_others_are_built(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    write_toy_track(tmp_path / "tracks", name="veiled", scored=())
    write_entry(submissions, "veiled/one/run", predictions())
    write_entry(submissions, "mer2023-multi/one/run", "name,discrete,valence\n")
    code, _, err = merbench("leaderboard")
    assert (code, [line.partition(";")[0] for line in err.splitlines()]) == (
        0,
        [
            "mer2023-multi: skipped: no corpus named 'mer2023' (known: sample)",
            "veiled: skipped: the references of split 'test' of veiled are withheld: corpus 'toy' has none of them",
        ],
    )
    assert len(board_of(submissions)) == 4
    assert merbench("leaderboard veiled")[0] == 2  # asked for by name, it is an error
    assert merbench("validate-entries veiled/one/run")[0] == 0  # which needs no reference
    code, out, _ = merbench("validate-entries mer2023-multi/one/run")
    assert code == 0 and out.startswith(
        "mer2023-multi/one/run: 1 warning\n  W401  the predictions were not read: no corpus named"
    )


def test_a_changed_corpus_stops_no_other_track(submissions: Path, tmp_path: Path, merbench: Command) -> None:
    folder = write_toy_track(tmp_path / "tracks", name="changed").folder
    write_entry(submissions, "changed/one/run", predictions())
    with (folder / "corpus" / "reference.parquet").open("ab") as file:
        file.write(b"more")
    code, _, err = merbench("leaderboard")
    assert code == 5 and "changed: " in err
    assert len(board_of(submissions)) == 4
    assert merbench("leaderboard changed")[0] == 3


def test_a_track_in_the_working_directory_is_not_taken_for_the_one_that_is_meant(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    write_toy_track(tmp_path, answers=["sad"] * 40)
    assert merbench("leaderboard --output public")[0] == 0
    rows = json.loads(board_of(tmp_path / "public")["leaderboard.json"])["rows"]
    assert rows[0]["scores"][0]["value"] == 0.9


def test_there_must_be_entries(tmp_path: Path, merbench: Command) -> None:
    for folder, message in ((tmp_path, "has no folder of a track"), (tmp_path / "none", "this folder of submissions does not exist")):  # fmt: skip
        code, _, err = merbench("leaderboard", "--submissions", str(folder))
        assert code == 2 and f"{folder}: {message}" in err


@pytest.mark.parametrize("arguments", ["", " --check", " --output public"])
@pytest.mark.parametrize("place", ["toy", "toy/leaderboard.html"])
def test_nothing_is_written_or_read_through_a_link(
    submissions: Path, tmp_path: Path, merbench: Command, place: str, arguments: str
) -> None:
    write_toy_track(tmp_path / "tracks", name="other")
    write_entry(submissions, "other/one/run", predictions())
    folder, outside = Path("public") if "public" in arguments else submissions, tmp_path / "outside"
    (folder / "toy").mkdir(parents=True, exist_ok=True)
    if place == "toy":
        (folder / "toy").rename(outside)
    else:
        outside.write_text("whose", encoding="utf-8")
    link(folder / place, outside)

    def content() -> list[Path] | bytes:
        return sorted(outside.rglob("*")) if place == "toy" else outside.read_bytes()

    before = content()
    code, _, err = merbench(f"leaderboard{arguments}")
    assert code == (3 if "--check" in arguments else 5)
    assert f"E405  '{Path(place).name}' is a symbolic link" in err
    assert content() == before
    assert (folder / "other" / "leaderboard.csv").exists() is ("--check" not in arguments)


def test_the_folder_of_submissions_is_no_link(submissions: Path, tmp_path: Path, merbench: Command) -> None:
    submissions.rename(tmp_path / "outside")
    link(submissions, tmp_path / "outside")
    Path("mine.csv").write_text(predictions(), encoding="utf-8")
    before = sorted((tmp_path / "outside").rglob("*"))
    for command in ("leaderboard", "leaderboard toy", "validate-entries", "enter toy mine.csv --team a --run b"):
        code, _, err = merbench(command)
        assert code == 2 and "E405  'submissions' is a symbolic link" in err
    assert sorted((tmp_path / "outside").rglob("*")) == before


def test_entries_behind_a_link_are_not_a_board_without_rows(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    (submissions / "toy").rename(tmp_path / "outside")
    link(submissions / "toy", tmp_path / "outside")
    code, _, err = merbench("leaderboard --output public")
    assert code == 2 and "E405  'toy' is a symbolic link" in err  # nothing was finished
    assert not Path("public").exists()
    assert merbench("validate-entries")[0] == 1


def test_a_folder_where_the_board_belongs_stops_no_other_track(
    submissions: Path, tmp_path: Path, merbench: Command
) -> None:
    write_toy_track(tmp_path / "tracks", name="other")
    write_entry(submissions, "other/one/run", predictions())
    (submissions / "toy" / "leaderboard.html").mkdir()
    code, _, err = merbench("leaderboard")
    assert code == 5 and "E403  'leaderboard.html' is a folder, not a file" in err
    assert [path.name for path in submissions.glob("toy/leaderboard.*")] == ["leaderboard.html"]
    assert len(list(submissions.glob("other/leaderboard.*"))) == 4
    code, out, _ = merbench("validate-entries")
    assert code == 1 and "toy/leaderboard.html: 2 problems\n  E403  an entry is a folder" in out


def test_any_folder_may_hold_corpora_and_boards(tmp_path: Path, merbench: Command) -> None:
    place = tmp_path / "\udcff"
    try:
        track = write_toy_track(place)
    except OSError:
        pytest.skip("names: this file system allows only text")
    features = Feature.from_vectors(IDS, np.ones((40, 2)))
    assert add_features(open_corpus(track.folder / "corpus"), {"ones": features}).feature("ones").ids.to_pylist() == IDS
    folder = write_entry(place / "submissions", "toy/one/run", predictions())
    assert merbench("leaderboard", str(track.folder), "--submissions", str(place / "submissions"))[0] == 0
    assert merbench("score", str(track.folder), str(folder / "submission.csv"), "--no-intervals")[0] == 0


def test_names_that_are_not_text_are_reported_everywhere(submissions: Path, merbench: Command) -> None:
    for place in ("\udcff/one/run", "toy/\udcff/run", "toy/three/\udcff"):
        try:
            write_entry(submissions, place, predictions())
        except OSError:
            pytest.skip("names: this file system allows only text")
    (write_entry(submissions, "toy/four/run", None) / "submission.\udcff").write_text(predictions(), encoding="utf-8")
    code, out, err = merbench("leaderboard --output public")
    assert code == 5 and r"\udcff: no track named '\udcff'" in err  # no track has such a name
    for place in (r"toy/\udcff/run: E403", r"toy/three/\udcff: E403", r"toy/four/run: E404"):
        assert place in out
    assert len(board_of(Path("public"))) == 4
    for form in ("text", "json", "github"):
        code, out, _ = merbench(f"validate-entries --format {form}")
        assert code == 1 and out.encode("utf-8")
        assert all(code in out for code in ("E403", "E404"))


def test_a_board_that_cannot_be_written(submissions: Path, merbench: Command) -> None:
    (submissions / "toy" / "file").touch()
    code, _, err = merbench(f"leaderboard --output {submissions / 'toy' / 'file'}")
    assert code == 74 and "cannot be written" in err


def test_entries_are_validated_in_every_form(submissions: Path, merbench: Command) -> None:
    write_entry(submissions, "toy/three/run", predictions().replace("s03,calm", "s03,clam"), title=None)
    assert merbench("validate-entries") == (
        1,
        "toy/broken/run: 1 problem\n"
        "  E401  entry.toml is missing\n"
        "toy/one/run: valid\n"
        "toy/three/run: 2 problems\n"
        "  E402  title: is missing\n"
        "  E203  line 5, discrete: 'clam' is not one of calm, glad, sad; did you mean 'calm'?\n"
        "toy/two/run: valid\n"
        "entries: 4, invalid: 2\n",
        "",
    )
    valid = "toy/one/run: valid\ntoy/two/run: valid\nentries: 2, invalid: 0\n"
    assert merbench(f"validate-entries toy/one/run {submissions / 'toy' / 'two' / 'run'}") == (0, valid, "")
    code, out, _ = merbench("validate-entries --format github toy/three/run")
    folder, lines = "submissions/toy/three/run", out.splitlines()
    assert (code, lines[0]) == (1, f"::error file={folder}/entry.toml,title=E402::title: is missing")
    assert lines[1].startswith(f"::error file={folder}/submission.csv,line=5,title=E203::discrete: 'clam' is not")
    code, out, _ = merbench("validate-entries --format json")
    documents = json.loads(out)
    assert [(each["where"].split("/")[1], each["valid"]) for each in documents] == [
        ("broken", False), ("one", True), ("three", False), ("two", True)
    ]  # fmt: skip
    assert documents[0]["problems"][0]["code"] == "E401"


def test_entries_of_no_track_and_folders_outside(submissions: Path, merbench: Command) -> None:
    write_entry(submissions, "toi/one/run", predictions())
    for place, code, message in (
        ("toi/one/run", 1, "  E407  no track named 'toi'; did you mean 'toy'?"),
        ("toy/none/run", 1, "toy/none/run: 1 problem\n  E403  'none' is not a folder\n"),
        (str(Path("/outside").absolute()), 2, "is not a folder in submissions"),
    ):
        result, out, err = merbench(f"validate-entries {place}")
        assert result == code and message in out + err


def test_duplicates_are_found_among_all_entries_though_one_is_asked_for(submissions: Path, merbench: Command) -> None:
    write_entry(submissions, "toy/one/again", predictions(), received="2026-03-01T00:00:00Z")
    code, out, _ = merbench("validate-entries toy/one/again")
    message = "E406  'net' without a seed already exists: run 'run', received earlier"
    assert code == 1 and f"toy/one/again: 1 problem\n  {message}\n" in out


def test_predictions_become_an_entry_on_the_board(submissions: Path, merbench: Command) -> None:
    Path("mine.csv").write_text(predictions(range(2)), encoding="utf-8")
    folder = submissions / "toy" / "mine" / "first"
    wrote = f"wrote {folder}; `merbench leaderboard` puts it on the board\n"
    assert merbench(*ENTER, "first") == (0, wrote, "")
    assert (folder / "entry.toml").read_text(encoding="utf-8") == (
        'title = "first"\nteam = "mine"\nmembers = []\nsystem = "first"\nexternal_data = []\n'
        'received = "2026-01-31T12:00:00Z"\nranks = true\nselected = false\n'
    )
    assert merbench(*ENTER, "first")[0] == 2
    assert merbench(*ENTER, "first", "--force", "--system", "net")[0] == 0
    assert merbench("validate-entries toy/mine/first")[0] == 0
    assert "\n1,mine,mine,net,net,first," in merbench("leaderboard --output - --format csv")[1]


def test_an_entry_keeps_its_file_and_the_names_of_its_columns(submissions: Path, merbench: Command) -> None:
    # Of 40 answers 38 are right in one column, 20 in the other.
    rows = zip(predictions(range(2)).splitlines(), predictions(range(20)).splitlines(), strict=True)
    table = [f"{one},{other.partition(',')[2]}" for one, other in rows]
    data = ("\n".join(["sample_id,first,second", *table[1:]]) + "\n").encode()
    Path("mine.csv").write_bytes(data)
    code, _, err = merbench(*ENTER, "first", "--rename", "frist=discrete")
    assert code == 1 and "E202  frist: cannot be renamed to 'discrete'" in err
    for name in ("first", "second"):
        assert merbench(*ENTER, name, "--rename", f"{name}=discrete")[0] == 0
        folder = submissions / "toy" / "mine" / name
        assert (folder / "submission.csv").read_bytes() == data
        assert f'[rename]\n{name} = "discrete"\n' in (folder / "entry.toml").read_text(encoding="utf-8")
        assert merbench(f"validate-entries toy/mine/{name}")[0] == 0
    head, *lines = (line.split(",") for line in merbench("leaderboard --output - --format csv")[1].splitlines())
    accuracy = head.index("accuracy")
    assert {row[4]: float(row[accuracy]) for row in lines if row[1] == "mine"} == {"first": 0.95, "second": 0.5}


def write_toy_of(tracks: Path, name: str, family: str) -> None:
    """Write the toy track under another name, as one of a family."""
    folder = write_toy_track(tracks, name=name).folder
    path = folder / "track.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace('title = "Toy"', f'title = "Toy"\nfamily = "{family}"'),
        encoding="utf-8",
    )


def test_boards_of_a_family_are_built_and_their_mean_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merbench: Command
) -> None:
    for name, family in (("toy-a", "toy"), ("toy-b", "toy"), ("other", "../else")):
        write_toy_of(tmp_path / "tracks", name, family)
    monkeypatch.setenv("MERBENCH_TRACKS", str(tmp_path / "tracks"))
    monkeypatch.chdir(tmp_path)
    for track, wrong in (("toy-a", 4), ("toy-b", 8), ("other", 1)):
        write_entry(Path("submissions"), f"{track}/one/run", predictions(range(wrong)))
    code, out, _ = merbench("leaderboard --family toy")
    assert code == 0 and "Toy (other@1.0" not in out
    # Of 40 answers 4 and 8 are wrong: 0.9 and 0.8.
    assert re.search(r"^rank  team +system +mean +a +b\n1 .* 0.8500  0.9000  0.8000$", out, re.MULTILINE)
    stored = json.loads(Path("submissions/family-toy.json").read_text(encoding="utf-8"))
    assert stored["rows"][0]["mean"] == pytest.approx(0.85)
    assert merbench("leaderboard --family toy --check")[0] == 0
    Path("submissions/family-toy.md").write_text("old", encoding="utf-8")
    code, _, err = merbench("leaderboard --family toy --check")
    assert code == 3 and "submissions/family-toy.md: line 1 is 'old'" in err
    code, _, err = merbench("leaderboard --family ../else")
    assert code == 2 and "no family of tracks named '../else'" in err
    assert merbench("leaderboard toy-a --family toy")[0] == 2
