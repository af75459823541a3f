"""What a baseline may answer for each kind of target: every check with its message, and the cells that are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from merbench.metrics.lists import Lists
from merbench.targets import Target, declared_target

IDS = pa.array(["a", "b", "c", "d"])
MOOD = declared_target({"type": "categorical", "labels": ["calm", "glad", "sad"]})
PREFERENCE = declared_target({"type": "preference"})
VALENCE = declared_target({"type": "continuous", "range": [-1.0, 1.0]})
UNITS = declared_target({"type": "multilabel", "labels": ["AU1", "AU2", "AU4"]})
WORDS = declared_target({"type": "label_set"})
EVEN = np.full((4, 3), 1 / 3)


def changed(**rows: list[float]) -> np.ndarray:
    table = EVEN.copy()
    for row, values in rows.items():
        table[IDS.to_pylist().index(row)] = values
    return table


@pytest.mark.parametrize(
    ("target", "output", "problems"),
    [
        (MOOD, EVEN, []),
        (MOOD, EVEN.astype(np.float32), []),
        (PREFERENCE, EVEN[:, :2] * 1.5, []),
        (VALENCE, [0, 2, -5, 0.5], []),
        (WORDS, Lists.of([["a"], [], ["b"], ["a", "b"]]), []),
        (MOOD, [[1], [1, 2]], ["E208  a value of type 'list' is not an array ("]),
        (MOOD, EVEN[:3], ["E206  has the shape (3, 3); needed: float probabilities (4, 3), one column per declared label: calm, glad, sad"]),
        (VALENCE, ["high"] * 4, ["E208  contains text of the shape (4,); needed: finite numbers (4,), one per sample"]),
        (MOOD, changed(a=[np.nan, 0, 1]), ["E209  NaN or infinite in 1 of 4 rows (a); every probability must be finite"]),
        (MOOD, changed(b=[-0.5, 0.5, 1]), ["E209  below 0 in 1 of 4 rows (b), as low as -0.5; probabilities are not: scores go through a softmax first"]),
        (MOOD, changed(a=[np.inf, 0, 0], d=[0.9, 0, 0]), ["E209  NaN or infinite in 1 of 4 rows (a)", "E209  sum to 0.9 and the like in 1 of 4 rows (d); the probabilities of a row must sum to 1 within 0.001"]),
        (VALENCE, [0, np.nan, np.inf, 0], ["E204  NaN or infinite in 2 of 4 rows (b, c); every number must be finite"]),
        (UNITS, changed(a=[1, 0, 1], d=[1, 1, 1]), []),
        (UNITS, EVEN[:, :2], ["E206  has the shape (4, 2); needed: float probabilities (4, 3), one column per declared label: AU1, AU2, AU4"]),
        (UNITS, changed(b=[1.5, 0, 0], c=[np.nan, 0, 1]), ["E209  not between 0 and 1 in 2 of 4 rows (b, c); scores go through a sigmoid first"]),
        (WORDS, [["a"]] * 4, ["E208  a value of type 'list'; needed: merbench.metrics.lists.Lists of 4 sets, one per sample"]),
        (WORDS, Lists.of([["a"]]), ["E206  contains 1 set; needed: 4, one per sample"]),
        (WORDS, None, ["E208  nothing (None); needed: "]),
    ],
)  # fmt: skip
def test_outputs_are_checked(target: Target, output: Any, problems: list[str]) -> None:
    _, result = target.checked_output(output, IDS)
    messages = [f"{code}  {message}" for code, message in result]
    assert len(messages) == len(problems)
    assert all(message.startswith(problem) for message, problem in zip(messages, problems, strict=True)), messages


@pytest.mark.parametrize(
    ("target", "output", "cells"),
    [
        (MOOD, changed(b=[0, 0.5, 0.5], c=[0, 0, 1]), ["calm", "glad", "sad", "calm"]),
        (PREFERENCE, np.array([[0.4, 0.6], [1, 0], [0.5, 0.5], [0, 1]]), ["a2", "a1", "a1", "a2"]),
        (VALENCE, np.array([0.1234567, 2.0, -3.0, -0.0]), [0.123457, 1.0, -1.0, 0.0]),
        (WORDS, Lists.of([["a"], [], ["b"], ["a", "b"]]), ["['a']", "[]", "['b']", "['a', 'b']"]),
    ],
)  # fmt: skip
def test_outputs_become_cells(target: Target, output: Any, cells: list[Any]) -> None:
    assert repr(target.written(target.answer(output)).to_pylist()) == repr(cells)  # 0.0, not -0.0


def test_probabilities_of_several_labels_become_a_column_each() -> None:
    answer = UNITS.answer(changed(a=[0.51, 0.5, 0], d=[1, 1, 0.9]))
    columns = {name: cells.to_pylist() for name, cells in UNITS.written_columns("units", answer).items()}
    assert columns == {"AU1": [1, 0, 0, 1], "AU2": [0, 0, 0, 1], "AU4": [0, 0, 0, 1]}
