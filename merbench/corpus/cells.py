"""The text of a column of references goes in, its values come out; a cell that cannot be read is a problem.

Conventions:
    Cells are trimmed; an empty one is no reference, but for segments, where it holds none; nor is a mark that a release
    uses for none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from merbench.corpus.delimited import INTEGER, NUMBER, Delimited
from merbench.corpus.tables import STRINGS
from merbench.errors import Problem, listed


@dataclass(frozen=True)
class Stretches:
    """What segments are checked against: their labels, and the column of the samples that bounds them, in seconds."""

    labels: tuple[str, ...]
    duration: str


@dataclass(frozen=True)
class Cells:
    """How the cells of a target are read.

    Attributes:
        type: type of the values.
        value: a cell -> its value, None where it says that there is none; raises `ValueError` for any other cell.
        allowed: what may stand in a cell.
        empty: value of an empty cell; None is no reference.
        stretches: how the values fit the samples, where they are segments.
    """

    type: pa.DataType
    value: Callable[[str], Any]
    allowed: str
    empty: Any = None
    stretches: Stretches | None = None

    def read(self, source: Delimited, column: str, problems: list[Problem]) -> pa.Array:
        """Return the values of a column."""
        cells = [cell.strip() for cell in source.column(column)]
        values, odd = [], []
        for row, cell in enumerate(cells):
            try:
                values.append(self.value(cell) if cell else self.empty)
            except ValueError:
                values.append(None)
                odd.append(source.origin.example(row, cell))
        if odd:
            message = f"references that cannot be read ({len(odd):,} of {len(cells):,}): {listed(odd)}"
            problems.append(Problem("E614", f"{source.origin.name}: {message}; allowed {self.allowed}", column=column))
        return pa.array(values, self.type)


TEXT = Cells(pa.string(), str, "is any text")


def labels(*names: str) -> Cells:
    """Return cells that hold one of some labels, in any case; values are in lower case."""

    def value(cell: str) -> str:
        label = cell.lower()
        if label not in names:
            raise ValueError(cell)
        return label

    return Cells(pa.string(), value, f"are {', '.join(names)}")


def segments(*names: str, duration: str) -> Cells:
    """Return cells that hold segments with some labels, none past the sample's `duration`; an empty one holds none."""
    return Cells(pa.string(), str, "are segments", empty="", stretches=Stretches(names, duration))


def codes(*names: str) -> Cells:
    """Return cells that hold the index of a label, counted from 0; values are labels."""
    by_code = {str(code): name for code, name in enumerate(names)}
    allowed = ", ".join(f"{code} {name}" for code, name in by_code.items())
    return mapped(by_code, allowed)


def mapped(values: Mapping[str, str | None], allowed: str = "") -> Cells:
    """Return cells, in any case, that each stand for another value, or for none."""

    def value(cell: str) -> str | None:
        try:
            return values[cell.lower()]
        except KeyError:
            raise ValueError(cell) from None

    return Cells(pa.string(), value, f"are {allowed or ', '.join(values)}")


def number(none: float | None = None) -> Cells:
    """Return cells that hold a number, one of which may say that there is none."""
    return Cells(pa.float64(), lambda cell: _number(cell, none), "are numbers")


def integer(none: int | None = None) -> Cells:
    """Return cells that hold an integer, one of which may say that there is none."""

    def value(cell: str) -> int | None:
        if not INTEGER.fullmatch(cell):
            raise ValueError(cell)
        return None if int(cell) == none else int(cell)

    return Cells(pa.int64(), value, "are integers")


def sign(positive: str, negative: str) -> Cells:
    """Return cells that hold a number; values are the labels of its sign, and none for zero."""

    def value(cell: str) -> str | None:
        found = _number(cell, 0.0)
        return None if found is None else positive if found > 0 else negative

    return Cells(pa.string(), value, "are numbers")


def _number(cell: str, none: float | None) -> float | None:
    if not NUMBER.fullmatch(cell):
        raise ValueError(cell)
    return None if float(cell) == none else float(cell)


def _words(cell: str) -> list[str]:
    try:
        words = ast.literal_eval(cell)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(cell) from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(cell)
    return words


WORDS = Cells(STRINGS, _words, "is a list such as ['happy', 'sad']")
