"""Named folders of the data home: how they are found, built, replaced and protected, with notes as items."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from merbench.builders import Builder
from merbench.errors import IntegrityError, UnknownName, UsageError
from merbench.files.reading import sha256_bytes
from merbench.store import Store, file_problem, require_content


@dataclass(frozen=True)
class Note:
    text: str
    version: str | None


def load(folder: Path) -> Note:
    stated = NOTES.declaration(folder, ("text",))
    return Note(stated["text"], stated.get("version"))


def builder(version: str) -> Builder:
    def build(folder: Path) -> None:
        time.sleep(0.05)  # so that all threads have begun when the first one ends
        (folder / "note.toml").write_text(f'text = "built"\nversion = "{version}"\n', encoding="utf-8")

    return Builder(version, build)


NOTES = Store(
    "note",
    "notes",
    "note.toml",
    load,
    lambda name: f"write {name}",
    {"made": lambda: builder("1.10")},
    {"shipped": lambda: Note("shipped", None)},
    version_of=lambda note: note.version,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of notes of a data home; the working directory is another folder."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home" / "notes"


def write_note(folder: Path, text: str = 'text = "mine"\n') -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "note.toml").write_text(text, encoding="utf-8")
    return folder


def test_an_item_is_found_by_name_or_by_path(home: Path) -> None:
    write_note(home / "mine")
    write_note(home / ".hidden")
    (home / "empty").mkdir()
    write_note(Path("local"))
    assert NOTES.home == home
    assert NOTES.names() == ("made", "mine", "shipped")
    assert [NOTES.open(place).text for place in ("mine", "shipped", "./local", Path("local"))] == [
        "mine", "shipped", "mine", "mine",
    ]  # fmt: skip
    assert NOTES.open("./local", relative_to=Path()).text == "mine"
    assert (NOTES.holds("mine"), NOTES.holds("empty"), NOTES.holds("../notes/mine")) == (True, False, False)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mien", "no note named 'mien'; did you mean 'mine'? (known: made, mine, shipped); write mien"),
        ("local", "the working directory has a folder of this name: write ./local"),
        ("empty", "no note named 'empty' (known: made, mine, shipped); write empty"),
        ("", "no note named ''"),
        ("./gone", "gone: no such folder"),
        ("./bare", "bare: no note.toml in this folder; write bare"),
        ("./odd", "note.toml: no text for text; write odd"),
    ],
)
def test_what_cannot_be_opened_is_explained(home: Path, place: str, message: str) -> None:
    write_note(home / "mine")
    write_note(Path("local"))
    write_note(Path("odd"), "text = 1\n")
    (home / "empty").mkdir()
    Path("bare").mkdir()
    with pytest.raises(UsageError) as caught:
        NOTES.open(place)
    assert message in str(caught.value)


def test_an_item_is_built_on_first_use_by_one_of_several(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes: list[Note] = []
    threads = [Thread(target=lambda: notes.append(NOTES.open("made"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes == [Note("built", "1.10")] * 4
    assert capsys.readouterr().err == f"building the made note in {home / 'made'}\n"


@pytest.mark.parametrize(
    ("stored", "text"), [('"1.9"', "built"), ('"odd"', "built"), ('"1.10"', "mine"), ('"2.0"', "mine"), ("", "mine")]
)
def test_only_an_older_build_is_replaced(home: Path, stored: str, text: str) -> None:
    write_note(home / "made", f'text = "mine"\nversion = {stored}\n' if stored else 'text = "mine"\n')
    assert NOTES.open("made").text == text


def test_building_replaces_only_an_item_and_only_when_asked() -> None:
    write_note(Path("local"))
    with pytest.raises(UsageError, match=r"^local: already exists; --force replaces it$"):
        NOTES.build("made", Path("local"))
    assert NOTES.build("made", Path("local"), replace=True).text == "built"
    Path("thesis").mkdir()
    Path("thesis", "thesis.tex").touch()
    Path("file").touch()
    for replace in (False, True):
        with pytest.raises(UsageError, match=r"^thesis: already exists and has no note\.toml; not rep"):
            NOTES.build("made", Path("thesis"), replace=replace)
        with pytest.raises(UsageError, match=r"^file: is a file; remove it$"):
            NOTES.build("made", Path("file"), replace=replace)
    with pytest.raises(UnknownName, match=r"^no note builder named 'mine' \(known: made\)$"):
        NOTES.build("mine")


def test_a_failed_write_leaves_what_existed(home: Path) -> None:
    write_note(home / "mine")
    with pytest.raises(RuntimeError), NOTES.writing(home / "mine", replace=True) as temporary:
        write_note(temporary, 'text = "half"\n')
        raise RuntimeError
    assert NOTES.open("mine").text == "mine"
    assert [path.name for path in home.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["Mine", "", "a/b", "..", "-a", "a_b", "a\n", "a" * 65])
def test_a_name_that_is_not_valid_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^note name '.*' is not valid; a-z, 0-9 and - are allowed, 64 characters at"):
        NOTES.own_folder(name)


def test_an_own_item_has_a_name_of_its_own(home: Path) -> None:
    assert NOTES.own_folder("a" * 64) == home / ("a" * 64)
    for name in ("made", "shipped"):
        with pytest.raises(UsageError, match=rf"^note '{name}' comes with merbench; choose another name$"):
            NOTES.own_folder(name)


def test_the_digests_of_files_are_required(home: Path) -> None:
    folder = write_note(home / "mine", 'text = "x"\n[files]\n"a.csv" = "0"\n')
    assert NOTES.declaration(folder, ("text",), ("a.csv",))["files"] == {"a.csv": "0"}
    with pytest.raises(UsageError, match=r"note\.toml: no text for author, b\.csv; write mine$"):
        NOTES.declaration(folder, ("text", "author"), ("a.csv", "b.csv"))
    write_note(folder, 'text = "x"\nfiles = 3\n')
    with pytest.raises(UsageError, match=r"note\.toml: no text for a\.csv; write mine$"):
        NOTES.declaration(folder, ("text",), ("a.csv",))


def test_a_recorded_file_is_compared_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    assert file_problem(path, "a.wav", sha256_bytes(b"sound")) is None
    assert str(file_problem(path, "a.wav", sha256_bytes(b"other"))) == "E602  a.wav: the file changed"
    assert str(file_problem(tmp_path, "a\n", "")) == "E601  a\\n: the file is recorded but missing"
    require_content(path, "0" * 64, "0" * 64)
    with pytest.raises(IntegrityError, match=r"a\.wav: the content has the digest 0{12}…, recorded 1{12}…$"):
        require_content(path, "0" * 64, "1" * 64)
