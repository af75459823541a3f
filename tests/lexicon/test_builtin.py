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
    primary = ("joy", "trust", "fear", "surprise", "sadness", "disgust", "anger", "anticipation")
    assert english.sector_names("plutchik", 1) == primary
    assert english.sector_names("ekman", 1) == ("happiness", "sadness", "anger", "fear", "disgust", "surprise")
    assert len(english.sector_names("plutchik", 2)) == 24
    assert len(english.labels) > 1000
    assert english.ambiguous() == ()
    assert english.vocabulary == english.labels


def test_every_word_has_one_meaning_at_level_1(english: Lexicon) -> None:
    content, _ = read_english()
    for wheel in english.wheels:
        sectors = content.sectors(wheel)
        for label in english.labels:
            words = [word for words in english.lookup(label).wheel_words.values() for word in words]
            reached = {sectors[word][0] for word in words if word in sectors}
            assert len(reached) <= 1, f"{label} on {wheel}: {reached}"
        for sector in english.sector_names(wheel, 1):
            assert english.lookup(sector).sectors[wheel][1] == sector  # type: ignore[index]
        assert all(english.lookup(sector).sectors[wheel] for sector in english.sector_names(wheel, 2))


@pytest.mark.parametrize(
    ("word", "plutchik", "ekman"),
    [
        ("happiness", "joy", "happiness"),
        ("Overjoyed", "joy", "happiness"),
        ("angrily", "anger", "anger"),
        ("worried", "fear", "fear"),
        ("shocking", "surprise", "surprise"),
        ("tearful", "sadness", "sadness"),
        ("disgusting", "disgust", "disgust"),
        ("curiosity", "anticipation", "happiness"),
        ("gratitude", "trust", "happiness"),
        ("fed up", "anger", "anger"),
    ],
)
def test_common_words(english: Lexicon, word: str, plutchik: str, ekman: str) -> None:
    decisions = english.lookup(word).sectors.values()
    assert [decision and decision[1] for decision in decisions] == [plutchik, ekman]
