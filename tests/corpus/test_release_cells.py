"""Cells of references: what is read, what says that there is none, what is a problem."""

from __future__ import annotations

from typing import Any

import pytest

from merbench.corpus.contents import Origin
from merbench.corpus.delimited import Delimited
from merbench.corpus.release_cells import TEXT, WORDS, Cells, codes, integer, labels, mapped, number, segments, sign
from merbench.errors import Problem


def read(cells: Cells, *column: str) -> tuple[list[Any], list[str]]:
    problems: list[Problem] = []
    rows = [[cell] for cell in column]
    source = Delimited(Origin("x.csv", range(2, len(rows) + 2)), ("y",), rows)
    return cells.read(source, "y", problems).to_pylist(), [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("cells", "column", "values"),
    [
        (TEXT, [" Any ", "", "-10"], ["Any", None, "-10"]),
        (labels("happy", "sad"), ["Happy", " SAD", ""], ["happy", "sad", None]),
        (codes("anger", "joy"), ["1", "0", ""], ["joy", "anger", None]),
        (mapped({"awe": "positive", "none": None}), ["Awe", "none"], ["positive", None]),
        (number(missing=-10), ["-10", "-10.0", "0.5", "1e1", ""], [None, None, 0.5, 10.0, None]),
        (number(), ["-10", "-0.0"], [-10.0, 0.0]),
        (integer(missing=-1), ["-1", "0", "1"], [None, 0, 1]),
        (sign("positive", "negative"), ["0.2", "-3", "0", "-0.0", ""], ["positive", "negative", None, None, None]),
        (WORDS, ["['a', \"don't\"]", "[]", ""], [["a", "don't"], [], None]),
        (segments("real", "fake", duration="s"), [" fake-0-1", "", " "], ["fake-0-1", "", ""]),
    ],
)
def test_values(cells: Cells, column: list[str], values: list[Any]) -> None:
    assert read(cells, *column) == (values, [])


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        (labels("happy", "sad"), ["hapy", "sad"], "(1 of 2): 'hapy' (line 2); allowed: happy, sad"),
        (codes("anger", "joy"), ["2", "1", "x"], "(2 of 3): '2' (line 2), 'x' (line 4); allowed: 0 anger, 1 joy"),
        (number(), ["nan", "1,5", "٣"], "(3 of 3): 'nan' (line 2), '1,5' (line 3), '٣' (line 4); allowed: numbers"),
        (integer(), ["1.0", "1_0"], "(2 of 2): '1.0' (line 2), '1_0' (line 3); allowed: integers"),
        (sign("p", "n"), ["inf"], "(1 of 1): 'inf' (line 2); allowed: numbers"),
        (
            WORDS,
            ["['a'", "('a',)", "['a', 1]", "[['a']]", "f()"],
            "(5 of 5): '['a'' (line 2), '('a',)' (line 3), '['a', 1]' (line 4), '[['a']]' (line 5), 'f()' (line 6); "
            "allowed: a list such as ['happy', 'sad']",
        ),
    ],
)
def test_cells_that_cannot_be_read(cells: Cells, column: list[str], message: str) -> None:
    assert read(cells, *column)[1] == [f"E614  y: x.csv: references that cannot be read {message}"]


def test_a_cell_of_ten_thousand_brackets_is_a_problem_and_no_crash() -> None:
    assert read(WORDS, "[" * 10_000)[1][0].startswith("E614  y: x.csv: references that cannot be read (1 of 1): '[[[[")
