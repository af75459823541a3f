"""How ranked answers are read: every form, aliases, case, and cells that cannot be read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.errors import UsageError
from merbench.targets.ranked import first_answers, ranked_lists

LABELS = ("neutral", "happy", "sad", "weakly positive")


def codes(cells: list[Any], aliases: dict[str, str] | None = None, kind: pa.DataType | None = None) -> list[list[int]]:
    lists, bad = ranked_lists(pa.array(cells, kind or pa.string()), LABELS, aliases)
    assert not bad
    assert lists.words == LABELS
    return [lists.codes[start:end].tolist() for start, end in zip(lists.offsets[:-1], lists.offsets[1:], strict=True)]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("happy, neutral, sad", [1, 0, 2]),
        ("Happy,NEUTRAL ,  sad  ", [1, 0, 2]),
        ("happy", [1]),
        ("weakly positive,happy", [3, 1]),
        ("['happy', 'sad']", [1, 2]),
        ('["happy", "sad"]', [1, 2]),
        ("[happy, sad]", [1, 2]),
        (" [ 'happy' , 'sad' , ] ", [1, 2]),
        ("happy, sad,", [1, 2]),
        ("joyful, happy", [-1, 1]),
        ("happy, happy, (sad)", [1, 1, -1]),
        ("happy,, sad", [1, -1, 2]),
        ("happy; sad", [-1]),
        ("[]", []),
        ("  ", []),
        ("", []),
        (None, []),
    ],
)  # fmt: skip
def test_forms_of_a_cell(cell: str | None, expected: list[int]) -> None:
    assert codes([cell]) == [expected]
    assert codes(["sad", cell, "happy"]) == [[2], expected, [1]]


def test_aliases_are_labels_and_may_map_many_to_one() -> None:
    aliases = {"Amusement": "happy", "awe": "happy", "fear": "sad"}
    assert codes(["awe, fear, amusement", "happy, joy"], aliases) == [[1, 2, 1], [1, -1]]


def test_lists_of_a_parquet_file() -> None:
    cells = [["Happy", " sad "], [], None, ["joy"]]
    assert codes(cells, kind=pa.list_(pa.string())) == [[1, 2], [], [], [-1]]
    assert codes(cells, kind=pa.large_list(pa.string())) == [[1, 2], [], [], [-1]]


def test_the_first_answers_of_cells_that_hold_one() -> None:
    assert first_answers(pa.array(["Joy , sad", "", None, "['glee']", "[happy"])).to_pylist() == ["joy", "glee"]
    assert first_answers(pa.array([["Joy ", "sad"], [], None, [None]], pa.list_(pa.string()))).to_pylist() == [
        "joy",
        "",
    ]


def test_cells_that_cannot_be_read() -> None:
    lists, bad = ranked_lists(
        pa.array(["happy", "['happy', 'sad", "[happy", "[['happy']]", "'happy', 'sad'", "it's sad", "sad"]), LABELS
    )
    assert [(cell.row, cell.message) for cell in bad] == [
        (row, f"{shown} cannot be read; answers are written happy, neutral, sad, the best one first")
        for row, shown in [
            (1, "'['happy', 'sad'"),
            (2, "'[happy'"),
            (3, "'[['happy']]'"),
            (4, "''happy', 'sad''"),
            (5, "'it's sad'"),
        ]
    ]
    assert lists.codes.tolist() == [1, 2]
    assert lists.offsets.tolist() == [0, 1, 1, 1, 1, 1, 1, 2]


def test_a_column_of_numbers_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"^a column of double does not contain ranked answers: text or lists of text are needed$"
    ):
        ranked_lists(pa.array([1.5]), LABELS)


@given(st.lists(st.lists(st.sampled_from([*LABELS, "joy", "Happy"]), max_size=5), max_size=8))
def test_every_form_has_the_same_answers(answers: list[list[str]]) -> None:
    expected = [[LABELS.index(a.lower()) if a.lower() in LABELS else -1 for a in row] for row in answers]
    assert codes([", ".join(row) for row in answers]) == expected
    assert codes([str(row) for row in answers]) == expected
    assert codes(answers, kind=pa.list_(pa.string())) == expected
