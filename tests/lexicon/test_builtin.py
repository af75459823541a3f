"""The English lexicon: sound, unambiguous, and right about words that everyone agrees on."""

from __future__ import annotations

import pytest

from merbench.lexicon import Lexicon, open_lexicon
from merbench.lexicon.content import read_english


@pytest.fixture(scope="module")
def english() -> Lexicon:
    return open_lexicon("english")


def test_it_is_sound(english: Lexicon) -> None:
    content, source = read_english()
    assert content.problems() == []
    assert "general knowledge" in source
    assert english.wheels == ("plutchik", "ekman")
    assert english.sector_names("plutchik", 1) == (
        "joy",
        "trust",
        "fear",
        "surprise",
        "sadness",
        "disgust",
        "anger",
        "anticipation",
    )
    assert english.sector_names("ekman", 1) == ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
    assert len(english.sector_names("plutchik", 2)) == 24
    assert len(english.labels) > 1000
    assert english.ambiguous() == ()
    assert english.vocabulary == english.labels


def test_every_word_has_one_meaning_at_level_1(english: Lexicon) -> None:
    content, _ = read_english()
    for label in english.labels:
        for wheel in english.wheels:
            sectors = content.sectors(wheel)
            reached = {
                sectors[word][0]
                for words in english.lookup(label).wheel_words.values()
                for word in words
                if word in sectors
            }
            assert len(reached) <= 1, f"{label} on {wheel}: {reached}"


@pytest.mark.parametrize(
    ("word", "plutchik", "ekman"),
    [
        ("happiness", "joy", "happiness"),
        ("Overjoyed", "joy", "happiness"),
        ("angrily", "anger", "anger"),
        ("worried", "fear", "fear"),
        ("surprise", "surprise", "surprise"),
        ("shocking", "surprise", "surprise"),
        ("tearful", "sadness", "sadness"),
        ("disgusting", "disgust", "disgust"),
        ("curiosity", "anticipation", "happiness"),
        ("gratitude", "trust", "happiness"),
        ("fed up", "anger", "anger"),
    ],
)
def test_common_words(english: Lexicon, word: str, plutchik: str, ekman: str) -> None:
    found = english.lookup(word).sectors
    assert [decision and decision[1] for decision in found.values()] == [plutchik, ekman]


@pytest.mark.parametrize("wheel", ["plutchik", "ekman"])
def test_a_word_that_names_a_sector_stands_in_it(english: Lexicon, wheel: str) -> None:
    for level in (1, 2):
        for sector in english.sector_names(wheel, level):
            decision = english.lookup(sector).sectors[wheel]
            assert decision is not None
            if level == 1:
                assert decision[1] == sector
