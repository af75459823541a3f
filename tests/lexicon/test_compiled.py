"""The rules of a lexicon, worked out by hand on a small release."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.errors import UnknownName
from merbench.lexicon import Content, Lexicon, import_lexicon
from merbench.lexicon.compiled import Ambiguity


@pytest.fixture
def lexicon(release: Path) -> Lexicon:
    return import_lexicon(release)


def test_sectors_by_hand(lexicon: Lexicon) -> None:
    # Wheel 1, rows: joy/happy/proud, joy/happy/merry, joy/content/calm, gloom/sad/blue, gloom/tired/calm,
    # gloom/tired/merry; merry and calm are in two sectors, where the last row wins.
    assert lexicon.sector_names("wheel1", 1) == ("joy", "gloom")
    assert lexicon.sector_names("wheel1", 2) == ("happy", "content", "sad", "tired")
    words = ["joy", "happy", "proud", "merry", "content", "calm", "gloom", "sad", "blue", "tired", "nothing"]
    assert lexicon.sectors(words, 1)[0].tolist() == [0, 0, 0, 1, 0, 1, 1, 1, 1, 1, -1]
    # Level 2: joy → content, the alphabetically first word below it; gloom → sad.
    assert lexicon.sectors(words, 2)[0].tolist() == [1, 0, 0, 3, 1, 3, 2, 2, 2, 3, -1]
    assert lexicon.sectors(words, 1)[1].tolist() == [-1, 0, 1, -1, -1, -1, -1, 1, -1, -1, -1]
    assert lexicon.sectors([], 1).shape == (5, 0)


def test_a_label_takes_the_first_wheel_word_that_the_wheel_knows(lexicon: Lexicon) -> None:
    # gladly → glad → happy and sad; happy comes first in the alphabet, and both wheels know it.
    # lowly → low and lowly; low → sad. no words → proud.
    words = ["gladly", "gladness", "lowly", "no words", "cheerful"]
    assert lexicon.sectors(words, 1)[:2].tolist() == [[0, 0, 1, 0, 0], [0, 0, 1, 1, 0]]
    # cheerful is a synonym of happy and, on wheel 2, a word of the wheel itself; the first by the alphabet decides.
    assert lexicon.lookup("Cheerful ").wheel_words == {"cheerful": ("cheerful", "happy")}
    assert lexicon.lookup("cheerful").sectors["wheel1"] == ("happy", "joy", "happy")
    assert lexicon.lookup("cheerful").sectors["wheel2"] == ("cheerful", "up", "happy")


def test_word_forms_by_hand(lexicon: Lexicon) -> None:
    words = ["lowly", "gladness", "cheerful", "joy", "nothing"]
    first = [lexicon.bases[code] if code >= 0 else None for code in lexicon.base_forms(words).tolist()]
    assert first == ["low", "glad", "cheerful", "joy", None]
    then = [lexicon.wheel_words[code] if code >= 0 else None for code in lexicon.synonyms(words).tolist()]
    assert then == ["sad", "happy", "cheerful", "joy", None]
    # A word of which only the base form is known has no synonym.
    bare = Lexicon.compile(Content.of([("ran", "run")], [], {"w": [("a", "b", "c")]}), name="bare", source="")
    assert bare.base_forms(["ran"]).tolist() == [bare.bases.index("run")]
    assert bare.synonyms(["ran"]).tolist() == [-1]
    assert bare.vocabulary == ("a", "b", "c")


def test_words_in_two_sectors_are_listed_with_the_one_that_counts(lexicon: Lexicon) -> None:
    assert lexicon.ambiguous() == (
        Ambiguity("calm", "wheel1", 1, ("joy", "gloom"), "gloom"),
        Ambiguity("calm", "wheel1", 2, ("content", "tired"), "tired"),
        Ambiguity("merry", "wheel1", 1, ("joy", "gloom"), "gloom"),
        Ambiguity("merry", "wheel1", 2, ("happy", "tired"), "tired"),
    )


def test_an_unknown_wheel_is_reported(lexicon: Lexicon) -> None:
    expected = r"^no wheel of the lexicon 'tiny' named 'wheel9'; did you mean 'wheel5'\? \(known: wheel1, wheel2, "
    with pytest.raises(UnknownName, match=expected):
        lexicon.sector_names("wheel9", 1)


WORDS = st.sampled_from("abcdefgh")
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=8)
WHEELS = st.lists(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=5), min_size=1, max_size=3)


@given(forms=PAIRS, synonyms=PAIRS, wheels=WHEELS)
def test_arrays_follow_the_rules(
    forms: list[tuple[str, str]], synonyms: list[tuple[str, str]], wheels: list[list[tuple[str, str, str]]]
) -> None:
    on_wheels = {word for rows in wheels for row in rows for word in row}
    synonyms = [pair for pair in synonyms if pair[1] in on_wheels]
    content = Content.of(forms, synonyms, {f"w{number}": rows for number, rows in enumerate(wheels)})
    lexicon = Lexicon.compile(content, name="drawn", source="")
    for number, rows in enumerate(wheels):
        for word in "abcdefghi":
            expected = sectors_by_rule(word, forms, synonyms, rows, on_wheels)
            decision = lexicon.lookup(word).sectors[f"w{number}"]
            assert (decision and decision[1:]) == expected
            for level in (1, 2):
                code = lexicon.sectors([word], level)[number, 0]
                names = lexicon.sector_names(f"w{number}", level)
                assert (names[code] if code >= 0 else None) == (expected and expected[level - 1])


def sectors_by_rule(
    word: str,
    forms: list[tuple[str, str]],
    synonyms: list[tuple[str, str]],
    rows: list[tuple[str, str, str]],
    on_wheels: set[str],
) -> tuple[str, str] | None:
    """Return the sectors of a label, straight from the released rules."""
    everyone = {base for _, base in forms} | {base for base, _ in synonyms} | on_wheels
    bases = {base for form, base in forms if form == word} | ({word} & everyone)
    candidates = {target for base, target in synonyms if base in bases} | (bases & on_wheels)
    here = {item for row in rows for item in row}
    known = sorted(candidates & here)
    if not known:
        return None
    decider = known[0]
    first = [row[0] for row in rows if decider in row][-1]
    below = [row[1] for row in rows if decider in row[1:]]
    return first, below[-1] if below else min(row[1] for row in rows if row[0] == decider)
