"""How free-text answers to a preference prompt are read."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.targets.preference import preference_answers


def slowly_read(answer: str) -> str:
    """Return what the released rule reads, word for word: start, else the earliest, else same."""
    answer = answer.lower()
    for choice in ("a1", "a2", "same"):
        if answer.startswith(choice):
            return choice
    places = {answer.index(choice): choice for choice in ("a1", "a2", "same") if choice in answer}
    return places[min(places)] if places else "same"


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ("a1", "a1"),
        ("A2.", "a2"),
        ("Same", "same"),
        ("SAME: a1 and a2 are alike", "same"),
        ("a2, since a1 misses the smile", "a2"),
        ("I prefer A2 over a1", "a2"),
        ("They are not the same; a1 is better", "same"),
        (" a1", "a1"),
        ("Both are good", "same"),
        ("", "same"),
        ("DATA2 is better than a1", "a2"),
        ("two sentences\nthen a1", "a1"),
        ("第一个 a1", "a1"),
    ],
)  # fmt: skip
def test_the_released_reading(answer: str, read: str) -> None:
    assert preference_answers(pa.array([answer])).to_pylist() == [read] == [slowly_read(answer)]


def test_an_answer_that_is_missing_stays_so() -> None:
    assert preference_answers(pa.array(["a2", None, ""])).to_pylist() == ["a2", None, "same"]
    assert preference_answers(pa.array([], pa.string())).to_pylist() == []


@given(st.lists(st.lists(st.sampled_from(["a1", "A1", "a2", "same", "sam", "e", "a", "1", " ", "é"])).map("".join)))
def test_any_answers(answers: list[str]) -> None:
    read = preference_answers(pa.array(answers, pa.string()))
    assert read.to_pylist() == [slowly_read(answer) for answer in answers]
