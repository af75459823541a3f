from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from merbench.errors import IntegrityError, UnknownName, UsageError
from merbench.files import sha256_file
from merbench.synonyms import GROUPS, Groups, open_groups
from merbench.synonyms.groups import write_groups

STORED = Groups(
    name="mine",
    source='made by "hand"\t\x7f',
    model="模型 é",
    prompt_digest="0" * 64,
    decoding="greedy",
    keys="words",
    runs=({"k1": (("glad", "don't care"), ("快乐",)), "k2": ()}, {}),
    dropped=(3, 0),
)


@pytest.fixture
def folder(home: Path) -> Path:
    write_groups(home / "groups" / "mine", STORED)
    return home / "groups" / "mine"


def test_what_is_written_is_read(folder: Path) -> None:
    assert open_groups("mine") == STORED
    assert open_groups("mine").digest == STORED.digest
    assert sorted(path.name for path in folder.iterdir()) == ["answers.parquet", "groups.toml"]
    assert GROUPS.names() == ("mine",)


def test_groups_without_an_answer_are_read(home: Path) -> None:
    empty = replace(STORED, runs=({},), dropped=(0,))
    write_groups(home / "groups" / "mine", empty)
    assert open_groups("mine") == empty


def test_equal_groups_are_equal_bytes(folder: Path, tmp_path: Path) -> None:
    turned = replace(STORED, runs=tuple(dict(reversed(answers.items())) for answers in STORED.runs))
    write_groups(tmp_path / "turned", turned)
    for name in ("answers.parquet", "groups.toml"):
        assert (tmp_path / "turned" / name).read_bytes() == (folder / name).read_bytes()


def test_a_path_is_taken_from_the_folder_of_the_track(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_groups("./mine", relative_to=folder.parent) == STORED
    assert open_groups(folder) == STORED
    monkeypatch.chdir(folder.parent)
    assert open_groups("./mine") == STORED
    with pytest.raises(UsageError, match=r"^nothing: no such folder$"):
        open_groups(Path("nothing"))


@pytest.mark.parametrize("name", ["mime", "", "Mine", ".mine.lock"])
def test_an_unknown_name_is_told(folder: Path, name: str) -> None:
    with pytest.raises(UnknownName, match=r"known: mine\); `merbench groups import` and `merbench groups fill` make"):
        open_groups(name)


def test_a_changed_file_is_found(folder: Path) -> None:
    path = folder / "answers.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=rf"^{re.escape(str(path))}: the file changed: sha256 "):
        open_groups("mine")
    path.unlink()
    with pytest.raises(IntegrityError, match="the file is recorded but missing"):
        open_groups("mine")


def test_answers_of_other_groups_are_found(folder: Path, tmp_path: Path) -> None:
    other = replace(STORED, runs=({"k1": (("glad",), ("don't care",))}, {}))
    write_groups(tmp_path / "other", other)
    ours, theirs = folder / "answers.parquet", tmp_path / "other" / "answers.parquet"
    stated = folder / "groups.toml"
    stated.write_text(stated.read_text().replace(sha256_file(ours), sha256_file(theirs)))
    ours.write_bytes(theirs.read_bytes())
    told = f"{stated}: the content has the digest {other.digest[:12]}…, recorded {STORED.digest[:12]}…"
    with pytest.raises(IntegrityError, match=f"^{re.escape(told)}$"):
        open_groups("mine")


def test_a_statement_that_was_edited_is_found(folder: Path) -> None:
    stated = folder / "groups.toml"
    stated.write_text(stated.read_text().replace('decoding = "greedy"', 'decoding = "temperature 1"'))
    with pytest.raises(IntegrityError, match="the content has the digest"):
        open_groups("mine")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('keys = "words"', 'keys = "ids"', "keys must be words or names"),
        ("    3,\n    0,\n", "", "dropped must be a list with a number per run"),
        ("    0,\n", "    'x',\n", "dropped must be a list with a number per run"),
        ('model = "', 'modell = "', "no text for model; `merbench groups import`"),
        ("[files]", "[files", "1 problem\n  E207  not a TOML file: line 13"),
    ],
)
def test_a_broken_statement_is_told(folder: Path, old: str, new: str, told: str) -> None:
    stated = folder / "groups.toml"
    stated.write_text(stated.read_text().replace(old, new))
    with pytest.raises(UsageError, match=rf"^{re.escape(str(stated))}: {told}"):
        open_groups("mine")


def test_fewer_runs_than_answers_are_found(folder: Path, tmp_path: Path) -> None:
    write_groups(tmp_path / "other", replace(STORED, runs=({}, {"k": ()})))
    theirs = tmp_path / "other" / "answers.parquet"
    (folder / "answers.parquet").write_bytes(theirs.read_bytes())
    stated = (tmp_path / "other" / "groups.toml").read_text()
    (folder / "groups.toml").write_text(stated.replace("    0,\n", ""))
    with pytest.raises(IntegrityError, match=r"has answers of run 1; groups\.toml states 1 run$"):
        open_groups("mine")


def test_a_file_of_something_else_is_told(folder: Path) -> None:
    path, stated = folder / "answers.parquet", folder / "groups.toml"
    before = sha256_file(path)
    path.write_bytes(b"PAR1 but not really PAR1")
    stated.write_text(stated.read_text().replace(before, sha256_file(path)))
    with pytest.raises(UsageError, match=rf"^{re.escape(str(path))}: not a readable Parquet file$"):
        open_groups("mine")
