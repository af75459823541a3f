"""Emotion words in descriptions: what is found, what is negated; every expectation is read off the sentence."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.lexicon import Content, Lexicon, open_lexicon
from merbench.metrics.lists import Lists
from merbench.targets.text import words_in_text

WORDS = ["happy", "sad", "angry", "fear", "anger", "joy", "hope", "proud", "worn out", "grief-stricken", "grief"]
ODD = ["out of this world", "out", "don't believe", "naïve", "Straße", "高兴", "生气", "不安", "悲伤"]


def lexicon_of(words: list[str]) -> Lexicon:
    """Return a lexicon of words that all stand on one wheel, and of two that stand on none."""
    forms = [("unheard", "nowhere"), ("sadly", "sad")]
    content = Content.of(forms, [], {"one": [("all", "all", word) for word in words]})
    return Lexicon.compile(content, name="made-up", source="made by a test")


LEXICON = lexicon_of([*WORDS, *ODD])


def result(text: str) -> list[str]:
    return list(next(iter(words_in_text(pa.array([text]), LEXICON))))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("She is happy.", ["happy"]),
        ("HAPPY, and a little sad", ["happy", "sad"]),
        ("sad, happy, sad again", ["sad", "happy"]),
        ("unhappy people; happyness", []),
        ("He says it sadly", ["sadly"]),
        ("unheard of, nowhere", []),
        ("worn out", ["worn out"]),
        ("a worn-out smile", ["worn out"]),
        ("worn, out", ["out"]),
        ("worn  \t out", ["worn out"]),
        ("grief stricken", ["grief-stricken"]),
        ("her grief-stricken face, her grief", ["grief-stricken", "grief"]),
        ("out of this world", ["out of this world"]),
        ("out of this", ["out"]),
        ("Her anger's gone", ["anger"]),
        ("“happy”, 'sad' and *angry*", ["happy", "sad", "angry"]),
        ("naïve in the STRASSE", ["naïve", "straße"]),
        ("happy\nsad", ["happy", "sad"]),
        ("", []),
        ("...", []),
    ],
)  # fmt: skip
def test_entries_are_found_on_the_boundaries_of_words(text: str, words: list[str]) -> None:
    assert result(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not happy", []),
        ("She never seemed sad.", []),
        ("He isn't angry", []),
        ("He isn\u2019t at all angry", []),
        ("without fear or anger", []),
        ("neither happy nor sad", []),
        ("no joy, no hope", []),
        ("a non-happy face", []),
        ("dis-proud, un-happy", []),
        ("No one could say she was sad", []),
        ("far from happy", []),
        ("He fails to be happy", []),
        ("a failure to hope", []),
        ("She hardly shows any joy", []),
        ("a lack of joy", []),
        ("doesn't seem to be happy", []),
        # five words reach no further
        ("does not in the least seem happy", []),
        ("does not in the very least seem happy", ["happy"]),
        # a comma before or and nor ends nothing, and is not one of the five
        ("can't say he's happy, or sad", []),
        ("neither happy, nor sad, nor angry", []),
        ("not happy, sad", ["sad"]),
        # a prefix reaches only the next word
        ("non-verbal joy", ["joy"]),
        # neither word negates by itself
        ("far away, from joy to hope, and no fear; one happy", ["joy", "hope", "happy"]),
        # a clause ends what a negator reaches
        ("not happy, but proud", ["proud"]),
        ("not happy but proud", ["proud"]),
        ("She did not answer and looked sad", ["sad"]),
        ("He says no. Happy again!", ["happy"]),
        ("not here - happy elsewhere", ["happy"]),
        ("not a happy-sad face", []),
        # what negates nothing
        ("not only happy but also proud", ["happy", "proud"]),
        ("not just sad", ["sad"]),
        ("notable joy, knots of fear", ["joy", "fear"]),
        ("happy, not", ["happy"]),
        ("I don't believe he is sad", ["don't believe", "sad"]),
        # said once without a negator, it is found
        ("not sad at first, then sad", ["sad"]),
    ],
)
def test_negated_words_are_left_out(text: str, words: list[str]) -> None:
    assert result(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("她很高兴。", ["高兴"]),
        ("她不高兴。", []),
        ("他没有生气\uff0c很高兴。", ["高兴"]),
        ("不是特别高兴", []),
        ("他感到不安和悲伤", ["不安", "悲伤"]),
        ("不安悲伤", ["不安", "悲伤"]),
        ("他不但高兴", ["高兴"]),
        ("声音 sad\uff0c表情高兴", ["sad", "高兴"]),
    ],
)  # fmt: skip
def test_chinese_needs_no_spaces(text: str, words: list[str]) -> None:
    assert result(text) == words


def test_many_texts_at_once() -> None:
    lists = words_in_text(pa.array(["not", "happy sad", None, "", "worn", "out, joy"]), LEXICON)
    assert [sorted(words) for words in lists] == [[], ["happy", "sad"], [], [], [], ["joy", "out"]]
    assert len(lists) == 6
    assert sorted(lists.words) == ["happy", "joy", "out", "sad"]
    assert [list(words) for words in lists[pa.array([1, 5]).to_numpy()]] == [["happy", "sad"], ["out", "joy"]]


@pytest.mark.parametrize("texts", [[], ["nothing here"], [None], [""]])
def test_nothing_to_find(texts: list[str | None]) -> None:
    lists = words_in_text(pa.array(texts, pa.string()), LEXICON)
    assert len(lists) == len(texts)
    assert lists.words == ()
    assert list(words_in_text(pa.array(["happy"]), lexicon_of([]))) == [()]


PIECES = [
    *WORDS,
    *ODD,
    "far",
    "from",
    "dis-",
    "or",
    "not",
    "never",
    "n't",
    "the",
    ",",
    ".",
    "but",
    "not only",
    "isn't",
    "and",
    "-",
    "不",
    "x",
]


@pytest.mark.slow
@given(st.lists(st.lists(st.sampled_from(PIECES)).map(" ".join), max_size=6))
def test_a_text_is_read_alike_beside_others_and_only(texts: list[str]) -> None:
    together = words_in_text(pa.array(texts, pa.string()), LEXICON)
    assert [list(words) for words in together] == [result(text) for text in texts]


@given(st.lists(st.text(), max_size=4))
def test_any_text_can_be_read(texts: list[str]) -> None:
    assert len(words_in_text(pa.array(texts, pa.string()), LEXICON)) == len(texts)


def test_the_lexicon_that_comes_with_merbench() -> None:
    text = "The old man laughs, he is over the moon; not at all worried, though a bit absent-minded."
    lists = words_in_text(pa.array([text]), open_lexicon("english"))
    assert isinstance(lists, Lists)
    assert set(next(iter(lists))) >= {"over the moon", "absent-minded"}
    assert "worried" not in lists.words
