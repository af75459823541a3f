"""What the texts of language models' answers are read as, by the released rules and by the careful ones."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.asking.answers import LONGEST_LABEL, MOST_CHARACTERS, Answer, read_answer, read_answers
from merbench.targets import Target, declared_target
from merbench.targets.label_set import MOST_LABELS

EMOTIONS = ["happy", "sad", "angry"]
REFUSAL = "I'm sorry, but I can't help with identifying people"
UNREADABLE, EMPTY, REFUSED = (Answer(None, outcome) for outcome in ("unreadable", "empty", "refused"))


def target(type_: str, **keys: Any) -> Target:
    return declared_target({"type": type_, **keys})


RANKED = target("ranked", labels=EMOTIONS, out_of_vocabulary="wrong")
LABEL = target("categorical", labels=[*EMOTIONS, "non-negative", "negative"], aliases={"joyful": "happy"})
WORDS = target("label_set", empty="allow")
NUMBER = target("continuous", range=[-1, 1])
SHARES = target("distribution", labels=EMOTIONS)
CHOICE = target("preference")
TEXT = target("text", lexicon="english")


def read(cell: str | float) -> Answer:
    return Answer((cell,), "read")


@pytest.mark.parametrize(
    ("text", "released", "careful"),
    [
        ("{'name': 'clip', 'result': ['Happy', 'sad']}", read("Happy, sad"), read("Happy, sad")),
        ('```json\n[{"name": "clip", "result": ["sad", "angry"]}]\n```', read("sad, angry"), read("sad, angry")),
        ("Of course! [sad, angry]. Let me know.", read("sad, angry"), read("sad, angry")),
        ("<think>[happy]</think> [sad]", UNREADABLE, read("sad")),
        ("[sad, angry] or rather [angry, sad]", UNREADABLE, UNREADABLE),
        ("[sad，angry]", read("sad，angry"), read("sad, angry")),
        ("【sad，angry】", UNREADABLE, read("sad, angry")),
        ("[bored, sad]", read("bored, sad"), read("sad")),
        ("[sad, sad, angry]", read("sad, sad, angry"), read("sad, angry")),
        ("[悲伤]", read("悲伤"), UNREADABLE),
        ("[sad, ang", UNREADABLE, UNREADABLE),
        ("sad, angry", UNREADABLE, UNREADABLE),
        ("[]", EMPTY, EMPTY),
        (" \n", EMPTY, EMPTY),
        (REFUSAL, REFUSED, REFUSED),
        ("抱歉，我无法识别。", REFUSED, REFUSED),
    ],
)  # fmt: skip
def test_a_ranking_is_what_is_between_the_only_brackets(text: str, released: Answer, careful: Answer) -> None:
    assert (read_answer(RANKED, text), read_answer(RANKED, text, released=False)) == (released, careful)


def test_a_first_label_that_would_be_an_error_of_the_file_is_unreadable() -> None:
    strict = target("ranked", labels=EMOTIONS)
    assert read_answer(strict, "[bored, sad]") == UNREADABLE
    assert read_answer(strict, "[Sad, bored]") == read("Sad, bored")


@pytest.mark.parametrize(
    ("text", "released", "careful"),
    [
        ("[happy, sad]", read("['happy', 'sad']"), read("['happy', 'sad']")),
        ("Output: ['Happy',\n 'worn out']", read("['happy', 'worn out']"), read("['happy', 'worn out']")),
        ("输出：[happy]", read("['happy']"), read("['happy']")),
        ("翻译\n[happy]", read("['happy']"), read("['happy']")),
        # Only one prefix and one colon are taken off, so that the second colon is part of a word.
        ("Output:: [happy]", read("[': happy']"), read("['happy']")),
        ("happy, sad, and angry", read("['happy', 'sad', 'and angry']"), read("['happy', 'sad', 'angry']")),
        ("He says ['happy']", read("['he says', 'happy']"), read("['happy']")),
        ("[happy] or [sad]", read("['happy or sad']"), UNREADABLE),
        ("[happy，sad]", read("['happy，sad']"), read("['happy', 'sad']")),
        ("['happy', 'happy']", read("['happy', 'happy']"), read("['happy']")),
        ("[don't know]", read("['don', 't know']"), read("['don', 't know']")),
        ("[happy, sa", read("['happy', 'sa']"), UNREADABLE),
        ("[高兴]", read("['高兴']"), read("['高兴']")),
        ("[1, happy]", read("['happy']"), read("['happy']")),
        ("[1, 2]", UNREADABLE, UNREADABLE),
        ("[]", read("[]"), read("[]")),
        ("", Answer(("[]",), "empty"), EMPTY),
        (REFUSAL, Answer(("['i', 'm sorry', 'but i can', 't help with identifying people']",), "refused"), REFUSED),
    ],
)  # fmt: skip
def test_words_are_a_list_cut_at_quotes_and_commas(text: str, released: Answer, careful: Answer) -> None:
    assert (read_answer(WORDS, text), read_answer(WORDS, text, released=False)) == (released, careful)


def test_an_empty_list_of_words_is_an_answer_only_where_the_track_allows_it() -> None:
    assert read_answer(target("label_set"), "[]") == EMPTY


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Happy", read("happy")),
        (" '**joyful**'. ", read("happy")),
        ("['sad']", read("sad")),
        ('{"emotion": "sad"}', read("sad")),
        ("sad. She is not angry.", read("sad")),
        ("Sad\nShe is not angry", read("sad")),
        ("I would say that she is sad", read("sad")),
        ("non-negative", read("non-negative")),
        ("happy or sad", UNREADABLE),
        ("She is not happy", UNREADABLE),
        ("unhappy", UNREADABLE),
        ("bored", UNREADABLE),
        ("高兴", UNREADABLE),
        (REFUSAL, REFUSED),
    ],
)  # fmt: skip
def test_a_label_is_the_only_one_that_is_meant(text: str, answer: Answer) -> None:
    assert read_answer(LABEL, text) == read_answer(LABEL, text, released=False) == answer


@pytest.mark.parametrize(
    ("text", "released", "careful"),
    [
        ("positive", read("positive"), read("positive")),
        ("Neutral", read("negative"), read("negative")),
        ("both positive and negative", read("negative"), UNREADABLE),
        (REFUSAL, Answer(("negative",), "refused"), REFUSED),
    ],
)  # fmt: skip
def test_anything_else_counts_as_the_label_that_the_track_names(text: str, released: Answer, careful: Answer) -> None:
    polarity = target(
        "categorical", labels=["positive", "negative"], aliases={"neutral": "negative"}, other_label="negative"
    )
    assert (read_answer(polarity, text), read_answer(polarity, text, released=False)) == (released, careful)


def test_a_label_outside_the_vocabulary_is_left_to_the_track() -> None:
    lenient = target("categorical", labels=EMOTIONS, out_of_vocabulary="wrong")
    assert read_answer(lenient, "bored.") == read("bored")
    assert read_answer(lenient, "w" * (LONGEST_LABEL + 1)) == UNREADABLE


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("0.5", read(0.5)),
        ("Output: -.25", read(-0.25)),
        ("The valence is \u22120.5.", read(-0.5)),
        ("valence: - 0.5", read(-0.5)),
        ("minus 0.5", read(-0.5)),
        ("1e-1", read(0.1)),
        ("0.5, yes, 0.50", read(0.5)),
        ("from -1 to 1: 0.3", UNREADABLE),
        ("score-0.5", UNREADABLE),
        ("0,5", UNREADABLE),
        ("50%", UNREADABLE),
        ("1.2.3", UNREADABLE),
        ("2", UNREADABLE),
        ("1e999", UNREADABLE),
        ("nan", UNREADABLE),
        ("rather happy", UNREADABLE),
        (REFUSAL, REFUSED),
    ],
)  # fmt: skip
def test_a_number_is_the_only_one_and_in_range(text: str, answer: Answer) -> None:
    assert read_answer(NUMBER, text) == read_answer(NUMBER, text, released=False) == answer


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('{"happy": 0.5, "sad": 0.25, "angry": 0.25}', (0.5, 0.25, 0.25)),
        ("Happy：30%，Sad：10%", (0.75, 0.25, 0.0)),  # 30 and 10 of 40
        ("happy 1, happy 2", None),
        ("happy -1, sad 2", None),
        ("happy 0", None),
        ("happy", None),
    ],
)  # fmt: skip
def test_shares_are_the_numbers_after_labels(text: str, cells: tuple[float, ...] | None) -> None:
    assert read_answer(SHARES, text).cells == cells


@pytest.mark.parametrize(
    ("text", "released", "careful"),
    [
        ("A2. It is closer.", read("a2"), read("a2")),
        ("I prefer a1 to a2", read("a1"), read("a1")),
        ("The same", read("same"), read("same")),
        ("Both are good", read("same"), UNREADABLE),
        (REFUSAL, Answer(("same",), "refused"), REFUSED),
    ],
)  # fmt: skip
def test_a_choice_is_the_earliest_of_three(text: str, released: Answer, careful: Answer) -> None:
    assert (read_answer(CHOICE, text), read_answer(CHOICE, text, released=False)) == (released, careful)


def test_a_description_is_the_text_on_one_line() -> None:
    assert read_answer(TEXT, "She smiles,\n\tand he\ud800 says: I'm fine.\0") == read(
        "She smiles, and he? says: I'm fine."
    )
    assert read_answer(TEXT, REFUSAL) == Answer((REFUSAL,), "refused")
    assert read_answer(TEXT, "\0") == EMPTY


@pytest.mark.parametrize("asked", [RANKED, LABEL, WORDS, NUMBER, SHARES, CHOICE, TEXT], ids=lambda asked: asked.type)
def test_endless_answers_are_not_read(asked: Target) -> None:
    assert read_answer(asked, "[happy] a1 0.5 " * (MOST_CHARACTERS // 10)) == UNREADABLE
    assert read_answers(asked, "[happy]" * MOST_CHARACTERS, ["a", "b"]) is None


def test_more_words_than_a_cell_may_have_are_not_read() -> None:
    assert read_answer(WORDS, "a, " * MOST_LABELS).outcome == "read"
    assert read_answer(WORDS, "a, " * (MOST_LABELS + 1)) == UNREADABLE


BATCH = "{'name': 'c2', 'result': ['happy', 'sad']},\n{'name': 'c1', 'result': ['angry']}"


def test_the_lists_of_a_batch_are_positional_as_released() -> None:
    assert read_answers(RANKED, BATCH, ["c1", "c2"]) == (read("happy, sad"), read("angry"))
    assert read_answers(RANKED, BATCH, ["c1", "c2"], released=False) == (read("angry"), read("happy, sad"))


@pytest.mark.parametrize(
    ("text", "names", "released", "careful"),
    [
        (BATCH, ["c1", "c2", "c3"], None, None),  # fewer lists than samples
        (BATCH, ["c1"], [None], [None]),  # one sample, two lists: an answer that cannot be read
        ("[sad] [angry]", ["c1", "c2"], ["sad", "angry"], ["sad", "angry"]),  # no names at all
        ("[sad] [angry] [happy]", ["c1", "c2"], None, None),  # more lists than samples
        (BATCH, ["c2", "other"], ["happy, sad", "angry"], None),  # half of the names
        (BATCH.replace("c2", "c1"), ["c1", "c2"], ["happy, sad", "angry"], None),  # one name twice
        ("[] [angry]", ["c1", "c2"], [None, "angry"], [None, "angry"]),
        (REFUSAL, ["c1", "c2"], None, None),
    ],
)  # fmt: skip
def test_a_batch_needs_one_list_per_sample(text: str, names: list[str], released: Any, careful: Any) -> None:
    for answers, expected in ((read_answers(RANKED, text, names), released), (read_answers(RANKED, text, names, released=False), careful)):  # fmt: skip
        cells = None if answers is None else [answer.cells and answer.cells[0] for answer in answers]
        assert cells == expected


def test_other_kinds_in_batches() -> None:
    assert read_answers(WORDS, "[['happy', 'sad'], []]", ["a", "b"]) == (read("['happy', 'sad']"), read("[]"))
    assert read_answers(NUMBER, "[0.5], [-1]", ["a", "b"]) == (read(0.5), read(-1.0))
    assert read_answers(CHOICE, "[a1], [same]", ["a", "b"]) == (read("a1"), read("same"))
    assert read_answers(TEXT, "[She smiles], [He cries]", ["a", "b"]) is None


def slowly_listed(text: str) -> list[str]:
    """Return the words of an answer by the released steps, one after the other."""
    text = text.strip()
    for prefix in ("input", "output", "输入", "输出", "翻译"):
        if text.lower().startswith(prefix):
            text = text[len(prefix) :].strip()
            text = text[1:] if text[:1] in (":", "：") else text
            break
    text = text.replace("\n", "").strip()
    text = text[1:] if text.startswith("[") else text
    text = text[:-1] if text.endswith("]") else text
    return [word for part in re.split(r"['\",]", text) if (word := part.strip().lower())]


PIECES = ["happy", "Sad", ", ", "'", '"', "[", "]", "\n", "Output", "输出", ":", "：", " "]


@given(st.lists(st.sampled_from(PIECES), min_size=1).map("".join))
def test_any_list_of_words(text: str) -> None:
    # Brackets within words, which no cell of every way of splitting can contain, are left out.
    expected = [word for each in slowly_listed(text) if (word := " ".join(re.sub(r"[\[\]]", "", each).split()))]
    cells = read_answer(WORDS, text).cells
    if cells is None:
        assert not expected
    else:
        assert str(cells[0]) == str(expected)
