"""Corruption of words against hand-made expectations, and its rate against an edit distance written another way."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merbench.corruptions import CORRUPTIONS, generator
from merbench.corruptions.text import realised_rate, word_sets, words

NAMES = ("word_deletion", "word_substitution", "character_swaps", "homophones")
TWENTY = "we see the sun and know no one here can hear our son write to them in the right hour"

TEXTS = st.text(st.sampled_from("ab Ié I'-,.!?「」我你好ส \n—’"), max_size=60)


def corrupted(name: str, text: str, rate: float, sample_id: str = "sample_00000001") -> str:
    result = CORRUPTIONS[name](text, generator(2023, name, sample_id), {"rate": rate})
    assert isinstance(result, str)
    return result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, world!", ["Hello", "world"]),
        ("I don't know — it's a well-known (sad) end...", "I don't know it's a well-known sad end".split()),
        ("你好，世界！", ["你", "好", "世", "界"]),  # noqa: RUF001
        ("我 love你 3x", ["我", "love", "你", "3x"]),
        ("「はい」と", ["は", "い", "と"]),
        ("กำ", ["ก", "ำ"]),
        ("?! ... -", []),
        (" \n ", []),
        ("", []),
    ],
)
def test_what_a_word_is(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " ", "...", "?! -\n"])
def test_a_text_without_words_stays(name: str, text: str) -> None:
    assert corrupted(name, text, 1) == text
    assert realised_rate(text, text) == {"realised_rate": 0}


@pytest.mark.parametrize(
    ("rate", "deleted"),
    # 20 words: 1, 2, 4, 6, 8, 20; 0.125 * 20 = 2.5 and 0.375 * 20 = 7.5 round to even
    [(0.05, 1), (0.1, 2), (0.2, 4), (0.3, 6), (0.4, 8), (1, 20), (0.125, 2), (0.375, 8), (0.01, 0)],
)
def test_the_declared_share_of_words_is_deleted(rate: float, deleted: int) -> None:
    assert len(words(TWENTY)) == 20
    for number in range(20):
        after = corrupted("word_deletion", TWENTY, rate, str(number))
        assert len(after.split()) == 20 - deleted
        assert realised_rate(TWENTY, after) == {"realised_rate": deleted / 20}


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("Hello, world!", {"world!", "Hello,"}),
        ("one  two\n", {"two\n", "one\n"}),
        ("a - b", {"- b", "a -"}),
        ("我 ok", {"ok", "我"}),
    ],
)
def test_marks_go_with_their_word_and_spaces_with_the_word_behind(text: str, results: set[str]) -> None:
    assert {corrupted("word_deletion", text, 0.5, str(number)) for number in range(40)} == results


def test_separate_words_do_not_run_together() -> None:
    results = {corrupted("word_deletion", "x你y,", 0.3, str(number)) for number in range(60)}
    assert results == {"你y,", "x y,", "x你"}
    assert {corrupted("word_substitution", "x你y", 0.34, str(number)) for number in range(200)} == {
        "你你y",
        "y你y",
        "x x y",
        "x y y",
        "x你x",
        "x你你",
    }


@pytest.mark.parametrize("name", ["word_substitution", "character_swaps", "homophones"])
@settings(max_examples=40)
@given(text=TEXTS, rate=st.floats(0, 1))
def test_replacing_words_keeps_their_number_and_the_marks(name: str, text: str, rate: float) -> None:
    after = corrupted(name, text, rate)
    before = words(text)
    assert len(words(after)) == len(before)
    changed = sum(old != new for old, new in zip(before, words(after), strict=True))
    assert changed <= round(rate * len(before))
    if all(word.isalnum() for word in before):
        marks = [Counter(c for c in t if not c.isspace() and not c.isalnum() and c not in "'’") for t in (text, after)]
        assert marks[0] == marks[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_rate_corrupts_the_same_words_and_more(name: str) -> None:
    before = TWENTY.split()
    for number in range(10):
        low, high = (corrupted(name, TWENTY, rate, str(number)).split() for rate in (0.2, 0.4))
        if name == "word_deletion":
            rest = iter(low)
            assert all(word in rest for word in high)
        else:
            assert all(h == w for w, h, b in zip(low, high, before, strict=True) if w != b)


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("than", {"then"}),
        ("Than.", {"Then."}),
        ("THAN", {"THEN"}),
        ("don’t", {"didn’t"}),
        ("am", {"I'm"}),
        ("elephant", {"elephant"}),  # neither in the list nor next to another word
        ("elephant elephant", {"elephant elephant"}),
    ],
)
def test_a_word_is_replaced_by_what_it_is_taken_for(text: str, results: set[str]) -> None:
    assert {corrupted("word_substitution", text, 1, str(number)) for number in range(30)} == results


def test_a_word_outside_the_list_is_replaced_by_another_of_the_text() -> None:
    results = {corrupted("word_substitution", "Elephant, zebra!", 0.5, str(number)) for number in range(40)}
    assert results == {"Zebra, zebra!", "Elephant, Elephant!"}
    assert {corrupted("word_substitution", "我你", 0.5, str(number)) for number in range(40)} == {"你你", "我我"}


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("ab", {"ba"}),
        ("abc!", {"bac!", "acb!"}),
        ("aab", {"aba"}),
        ("I'm", {"I'm"}),
        ("it's", {"ti's"}),
        ("a", {"a"}),
        ("oo", {"oo"}),
        ("42", {"42"}),
        ("我好", {"我好"}),
    ],
)
def test_neighbouring_letters_are_swapped_within_a_word(text: str, results: set[str]) -> None:
    assert {corrupted("character_swaps", text, 1, str(number)) for number in range(40)} == results


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("to", {"too", "two"}),
        ("Their", {"There", "They're"}),
        ("WRITE", {"RIGHT", "RITE"}),
        ("I", {"eye", "aye"}),
        ("Eye", {"I", "Aye"}),
        ("we’ll", {"wheel"}),
        ("wheel", {"we'll"}),
        ("you’re", {"your"}),
        ("happy", {"happy"}),
        ("我", {"我"}),
    ],
)
def test_homophones_keep_capitals(text: str, results: set[str]) -> None:
    assert {corrupted("homophones", text, 1, str(number)) for number in range(60)} == results


def test_every_word_is_in_one_set_of_homophones_once() -> None:
    lines = (Path(__file__).parents[2] / "merbench/corruptions/homophones.txt").read_text(encoding="utf-8")
    listed = [word.casefold() for line in lines.splitlines() if not line.startswith("#") for word in line.split()]
    assert len(listed) == len(set(listed)) > 600
    for name in ("homophones", "confusions"):
        for word, (spelling, others) in word_sets(name).items():
            assert spelling.casefold() == word
            assert others
            assert word not in {other.casefold() for other in others}
            assert all(words(other) == [other] for other in others)


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        ("a b c d", "a c d", 0.25),
        ("a b c d", "a x c d", 0.25),
        ("a b c d", "d a b c", 0.5),
        ("a, b.", "a b", 0),
        ("a b", "", 1),
        ("a", "b c d", 3),
    ],
)
def test_realised_rates_by_hand(before: str, after: str, rate: float) -> None:
    assert realised_rate(before, after)["realised_rate"] == rate


@pytest.mark.real_data
@pytest.mark.slow
def test_transcripts_of_mosi_reach_the_declared_rates(test_data: Path) -> None:
    with (test_data / "data/cmumosi/transcripts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:300]
    texts = [row["english"] for row in rows]
    n_words = np.array([len(words(text)) for text in texts])
    for name in ("word_deletion", "word_substitution", "character_swaps"):
        rates = [
            realised_rate(text, corrupted(name, text, 0.2, str(i)))["realised_rate"] for i, text in enumerate(texts)
        ]
        # rounding moves a text of n words by at most half a word
        assert np.abs(np.array(rates) - 0.2)[n_words >= 10].max() <= 0.1
        assert np.average(rates, weights=n_words) == pytest.approx(0.2, abs=0.01)
