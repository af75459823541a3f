"""How the cells of a released column of references are read: the vocabulary that `releases` declare targets with.

Conventions:
    Cells are stripped. An empty cell is not a reference (for segments: no segments), and neither is a value by which a
    release marks a missing one.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from merbench.corpus.contents import STRINGS
from merbench.corpus.delimited import INTEGER, NUMBER, Delimited
from merbench.errors import Problem

STRING = pa.string()


@dataclass(frozen=True)
class Segments:
    """How references that are segments are checked: their labels, and the column of the samples' durations (s)."""

    labels: tuple[str, ...]
    duration: str


@dataclass(frozen=True)
class Cells:
    """How the cells of a target are read."""

    # a cell -> its value, None if it marks a missing one; raises `ValueError` for any other cell
    value: Callable[[str], Any]
    allowed: str  # what a cell may contain, for messages
    type: pa.DataType = STRING  # Arrow type of the values
    column: str | None = None  # released column; None for one that is named as the target
    empty: Any = None  # value of an empty cell; None is not a reference
    segments: Segments | None = None  # how the values must fit the samples, where they are segments

    def of(self, column: str) -> Cells:
        """Return the same cells of another column than the one that is named as the target."""
        return replace(self, column=column)

    def read(self, source: Delimited, column: str, problems: list[Problem]) -> pa.Array:
        """Return the values of a column."""
        cells = [cell.strip() for cell in source.column(column)]
        values, odd = [], []
        for row, cell in enumerate(cells):
            try:
                values.append(self.value(cell) if cell else self.empty)
            except ValueError:
                values.append(None)
                odd.append((row, cell))
        if odd:
            what, remedy = "references that cannot be read", f"allowed: {self.allowed}"
            problems.append(source.origin.problem("E614", column, what, odd, len(cells), remedy))
        return pa.array(values, self.type)


TEXT = Cells(str, "any text")


def mapped(values: Mapping[str, str | None], allowed: str = "") -> Cells:
    """Return cells, in any case, that are each mapped to a value, or to no reference."""

    def value(cell: str) -> str | None:
        try:
            return values[cell.lower()]
        except KeyError:
            raise ValueError(cell) from None

    return Cells(value, allowed or ", ".join(values))


def labels(*names: str) -> Cells:
    """Return cells that hold one of some labels, in any case; values are in lower case."""
    return mapped({name: name for name in names})


def codes(*names: str) -> Cells:
    """Return cells that hold the index of a label, counted from 0; values are labels."""
    by_code = {str(code): name for code, name in enumerate(names)}
    return mapped(by_code, ", ".join(f"{code} {name}" for code, name in by_code.items()))


def segments(*names: str, duration: str) -> Cells:
    """Return cells that hold segments with some labels, none past the sample's `duration`."""
    return Cells(str, "segments", empty="", segments=Segments(names, duration))


def number(missing: float | None = None) -> Cells:
    """Return cells that hold a number, one of which may mark a missing reference."""
    return Cells(lambda cell: _number(cell, missing), "numbers", pa.float64())


def integer(missing: int | None = None) -> Cells:
    """Return cells that hold an integer, one of which may mark a missing reference."""

    def value(cell: str) -> int | None:
        if not INTEGER.fullmatch(cell):
            raise ValueError(cell)
        return None if int(cell) == missing else int(cell)

    return Cells(value, "integers", pa.int64())


def sign(positive: str, negative: str, zero: str | None = None) -> Cells:
    """Return cells that hold a number; values are the labels of its sign, and no reference for zero without a label."""

    def value(cell: str) -> str | None:
        number = _number(cell, 0.0)
        return zero if number is None else positive if number > 0 else negative

    return Cells(value, "numbers")


def _number(cell: str, missing: float | None) -> float | None:
    if not NUMBER.fullmatch(cell):
        raise ValueError(cell)
    return None if float(cell) == missing else float(cell)


def _words(cell: str) -> list[str]:
    try:
        words = ast.literal_eval(cell)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(cell) from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(cell)
    return words


WORDS = Cells(_words, "a list such as ['happy', 'sad']", STRINGS)
