"""Stored answers: how they are found, what their digest covers, and that a changed folder is refused."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from merbench.errors import IntegrityError, UnknownName, UsageError
from merbench.files.reading import sha256_file
from merbench.synonyms import GROUPS, Groups, answer_key, open_groups, representatives
from merbench.synonyms.groups import write_groups

WORDS = ("glad", "happy")


def groups(*runs: dict[str, tuple[tuple[str, ...], ...]], keys: str = "words", **others: object) -> Groups:
    stated = {"name": "mine", "source": "", "model": "m", "prompt_digest": "0" * 64, "decoding": "greedy"}
    return Groups(**(stated | {"keys": keys, "runs": runs, "dropped": (0,) * len(runs)} | others))


def test_a_key_is_the_digest_of_the_sorted_distinct_words() -> None:
    assert answer_key(("happy", "glad")) == hashlib.sha256(b'["glad", "happy"]').hexdigest()
    assert answer_key((" Happy", "glad", "happy", "")) == answer_key(WORDS)
    assert len({answer_key(words) for words in (("a", "b"), ("ab",), ('a", "b',), ("a,b",))}) == 4


def test_a_word_is_represented_by_the_first_word_of_its_last_group_or_by_itself() -> None:
    assert representatives([("a", "b"), ("c", "b"), ("d", "a")]) == {"a": "d", "b": "c", "c": "c", "d": "d"}
    key = answer_key(("joyful", "happy", "sad"))
    stored = groups({key: (("happy", "joyful"),)}, {key: ()})
    sets = [(("joyful",), ("sad", "happy")), (("sad",), ("sad",)), ((), ())]
    assert stored.representatives(["x", "y", "z"], sets, 0) == [
        {"joyful": "happy", "sad": "sad", "happy": "happy"},
        {"sad": "sad"},
        {},
    ]
    assert stored.representatives(["x"], sets[:1], 1) == [{"joyful": "joyful", "sad": "sad", "happy": "happy"}]


def test_an_answer_is_found_by_words_or_by_name() -> None:
    stored = groups({answer_key(WORDS): (WORDS,)})
    for sets in ((("happy",), ("glad",)), (("glad",), ("happy",)), ((), ("glad", "happy"))):
        assert stored.representatives(["any"], [sets], 0)[0] == {"glad": "glad", "happy": "glad"}
    named = groups({"x": (WORDS,)}, keys="names")
    assert named.representatives(["x"], [(("happy",), ("glad",))], 0) == [{"glad": "glad", "happy": "glad"}]
    sets = [(("happy",), ("glad", "sad"))]
    assert (stored.ungrouped(["x"], sets), named.ungrouped(["x"], sets)) == (0, 1)


MISSING = {
    "words": "`merbench groups fill mine --track TRACK --submission FILE` asks for the missing ones",
    "names": "these groups are of a release; `merbench groups fill` makes groups for other samples",
}


@pytest.mark.parametrize("keys", MISSING)
def test_missing_answers_are_counted_and_named_with_the_remedy(keys: str) -> None:
    ids = [f"s{i}" for i in range(8)]
    sets = [((f"a{i}",), (f"b{i}",)) for i in range(7)] + [(("one",), ())]
    message = "groups 'mine', run 0: no answer is stored for 7 of 8 samples: s0, s1, s2, s3, s4, … (2 more); "
    with pytest.raises(UsageError, match=f"^{re.escape(message + MISSING[keys])}$"):
        groups({}, keys=keys).representatives(ids, sets, 0)
    with pytest.raises(UsageError, match=r"^groups 'mine': no run 1; the runs are 0 to 0$"):
        groups({}, keys=keys).representatives([], [], 1)


def test_the_digest_covers_answers_and_how_they_were_made() -> None:
    key = answer_key(WORDS)
    same = [groups({key: (WORDS,)}), groups({key: (WORDS,)}, name="other", source="elsewhere")]
    others = [
        groups({key: (WORDS[::-1],)}),
        groups({key: (WORDS,)}, {}),
        groups({key: (WORDS,)}, model="n"),
        groups({key: (WORDS,)}, decoding="temperature 1"),
        groups({key: (WORDS,)}, prompt_digest="1" * 64),
        groups({key: (WORDS,)}, keys="names"),
        groups({key: (("glad",), ("happy",))}),
    ]
    assert len({item.digest for item in same}) == 1
    assert len({item.digest for item in (*same, *others)}) == 8
    # Adding answers that are found by words changes no signature; those of a release are covered by theirs.
    assert groups({}, {}).signature == groups({"k": ()}, {}).signature == "m#00000000,greedy,runs:2"
    released = groups({"x": (WORDS,)}, keys="names")
    assert released.signature == f"m#{released.digest[:8]},greedy,runs:1"


STORED = groups(
    {"k1": (("glad", "don't care"), ("快乐",)), "k2": ()},
    {},
    source='made by "hand"\t\x7f',
    model="模型 é",
    dropped=(3, 0),
)


@pytest.fixture
def folder(home: Path) -> Path:
    write_groups(home / "mine", STORED)
    return home / "mine"


def test_groups_are_read_as_they_were_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_groups("mine") == STORED
    assert sorted(path.name for path in folder.iterdir()) == ["answers.parquet", "groups.toml"]
    assert GROUPS.names() == ("mine",)
    turned = replace(STORED, runs=tuple(dict(reversed(answers.items())) for answers in STORED.runs))
    write_groups(tmp_path / "turned", turned)
    for name in ("answers.parquet", "groups.toml"):
        assert (tmp_path / "turned" / name).read_bytes() == (folder / name).read_bytes()
    empty = replace(STORED, runs=({},), dropped=(0,))
    write_groups(folder, empty)
    assert open_groups("mine") == open_groups("./mine", relative_to=folder.parent) == open_groups(folder) == empty
    with pytest.raises(UnknownName, match=r"known: mine\); `merbench groups import` and `merbench groups fill` make"):
        open_groups("mime")


def test_changed_answers_are_reported(folder: Path, tmp_path: Path) -> None:
    answers, stated = folder / "answers.parquet", folder / "groups.toml"
    data, text = answers.read_bytes(), stated.read_text()
    answers.write_bytes(data[:-1] + b"x")
    with pytest.raises(IntegrityError, match=rf"^{re.escape(str(answers))}: the file changed: sha256 "):
        open_groups("mine")
    other = replace(STORED, runs=({"k1": (("glad",), ("don't care",))}, {}))
    write_groups(tmp_path / "other", other)
    for name in ("PAR1 but not really PAR1", "other"):
        new = (tmp_path / "other" / "answers.parquet").read_bytes() if name == "other" else name.encode()
        answers.write_bytes(new)
        stated.write_text(text.replace(hashlib.sha256(data).hexdigest(), sha256_file(answers)))
        with pytest.raises((UsageError, IntegrityError)) as caught:
            open_groups("mine")
        digests = f"{stated}: the content has the digest {other.digest[:12]}…, recorded {STORED.digest[:12]}…"
        assert str(caught.value) == (digests if name == "other" else f"{answers}: not a readable Parquet file")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('decoding = "greedy"', 'decoding = "temperature 1"', "the content has the digest"),
        ('keys = "words"', 'keys = "ids"', "keys must be words or names"),
        ("    3,\n    0,\n", "", "dropped must be a list with a number per run"),
        ("    0,\n", "    'x',\n", "dropped must be a list with a number per run"),
        ('model = "', 'modell = "', "no text for model; `merbench groups import`"),
        ("[files]", "[files", "1 problem\n  E207  not a TOML file: line 13"),
    ],
)
def test_a_declaration_that_was_edited_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    stated = folder / "groups.toml"
    stated.write_text(stated.read_text().replace(old, new))
    with pytest.raises((UsageError, IntegrityError), match=rf"^{re.escape(str(stated))}: {message}"):
        open_groups("mine")


def test_answers_of_more_runs_than_declared_are_refused(folder: Path) -> None:
    write_groups(folder, replace(STORED, runs=({}, {"k": ()})))
    stated = folder / "groups.toml"
    stated.write_text(stated.read_text().replace("    0,\n", ""))
    with pytest.raises(IntegrityError, match=r"has answers of run 1; groups\.toml states 1 run$"):
        open_groups("mine")
