"""A target of labels in the order of preference, the best one first: `ranked`.

Conventions:
    A cell is text (`happy, neutral, sad`, or a list as `['happy', 'neutral']`), or a list of text, the best answer
    first. Labels are compared without case and without the spaces around them; one that is neither declared nor an
    alias has the code -1. A blank cell contains no answer and can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, examples, printable
from merbench.metrics.lists import Lists, offsets_of
from merbench.metrics.ranked import NEVER, rank_of_reference
from merbench.targets.categorical import VocabularyTarget
from merbench.targets.cells import BadCell, ListCells, Texts, read_in_blocks, require_readable
from merbench.targets.sheet import ITEMS, blocks, is_list, is_text
from merbench.targets.target import Answers, ReferenceColumn, TargetValues, target_type

FORM = "answers are written happy, neutral, sad, the best one first"

_QUOTED = r"""('[^'\[\]]*'|"[^"\[\]]*")"""
_READABLE = rf"""^\s*([^'"\[\]]*|\[[^'"\[\]]*\]|\[\s*{_QUOTED}(\s*,\s*{_QUOTED})*\s*,?\s*\])\s*$"""
_QUOTES = r"""['"\[\]]"""


@target_type
class RankedTarget(VocabularyTarget):
    """Labels in the order of preference, the best one first; the vocabulary's rules apply to the first answer."""

    metric_kind = "ranked"
    answer_noun = "first answers"
    answer_form = "ranking"
    cell_type = ITEMS

    type: Literal["ranked"]

    def described(self) -> str:
        text = f"labels among {', '.join(self.labels)}, best first, separated by commas"
        return f"{text}; {self.other_answers()}"

    def example(self, row: int) -> tuple[str | float, ...]:
        return (f"{self.labels[row % len(self.labels)]}, {self.labels[(row + 1) % len(self.labels)]}",)

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return 1 where the first answer is right, else 0."""
        right: NDArray[np.float64] = np.equal(reference.first(), prediction.first()).astype(np.float64)
        return right

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        """Return whether the first answer is right, and the rank of the reference, from 1."""
        ranks = rank_of_reference(reference, prediction)
        return {"correct": ranks == 0, "rank": np.where(ranks == NEVER, np.nan, ranks + 1.0)}

    def read(self, answers: Answers) -> TargetValues:
        """Return the ranked answers; the track decides what a strange first answer is."""
        column = answers.column
        cells = read_in_blocks(answers, column, self._read, _items)
        lists = cells.lists
        unread = np.zeros(len(lists), dtype=np.bool_)
        unread[[cell.row for cell in cells.bad]] = True
        counts = np.diff(lists.offsets)
        readable = answers.relevant & ~unread
        empty = (counts == 0) & readable
        strange = (lists.first() < 0) & (counts > 0) & readable
        rows = np.flatnonzero(strange)
        given = column.take(pa.array(rows))
        firsts = pa.concat_arrays(
            [pa.array([], pa.string()), *(first_answers(given[block]) for block in blocks(given))]
        )

        def problem(row: int) -> Problem:
            return answers.problem("E203", row, f"the first of {answers.shown(row)} is not {self.allowed}")

        values = self.values_of(
            answers,
            lists,
            strange,
            empty,
            Texts.of(firsts, np.ones(len(firsts), dtype=np.bool_)),
            lambda: examples(rows.tolist(), problem),
        )
        return replace(values, problems=(*cells.problems(answers, "E211"), *values.problems))

    def _read(self, cells: pa.Array) -> ListCells:
        return ListCells(*ranked_lists(cells, self.labels, self.aliases))

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        lists, bad = ranked_lists(columns[0], self.labels, self.aliases)
        require_readable(where, columns[0], bad)
        return ReferenceColumn(lists, np.asarray(columns[0].is_valid()))


def _items(cells: pa.Array) -> pa.Array:
    return cells.flatten() if pa.types.is_nested(cells.type) else pc.split_pattern(cells, ",").flatten()


def ranked_lists(
    column: pa.Array, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> tuple[Lists, tuple[BadCell, ...]]:
    """Return the ranked labels of every cell as codes of `labels`, and the cells that cannot be read, by row.

    Raises:
        UsageError: the column contains neither text nor lists of text.
    """
    answers, bad = _answers(column)
    counts = np.asarray(pc.fill_null(pc.list_value_length(answers), 0))
    return Lists(tuple(labels), _codes(answers.flatten(), labels, aliases or {}), offsets_of(counts)), bad


def first_answers(column: pa.Array) -> pa.StringArray:
    """Return the first answer of every cell that contains one, trimmed and in lower case."""
    answers, _ = _answers(column)
    filled = answers.filter(pc.fill_null(pc.greater(pc.list_value_length(answers), 0), False))
    return pc.fill_null(_folded(pc.list_element(filled, 0)), "")


def _answers(column: pa.Array) -> tuple[pa.Array, tuple[BadCell, ...]]:
    """Return the answers of every cell as lists of text, and the cells that cannot be read."""
    if is_list(column.type):
        return column, ()
    if is_text(column.type) or pa.types.is_null(column.type):
        return _split(column.cast(pa.string()))
    raise UsageError(f"a column of {column.type} does not contain ranked answers: text or lists of text are needed")


def _split(cells: pa.Array) -> tuple[pa.Array, tuple[BadCell, ...]]:
    """Return the items between commas, those of blank and of unreadable cells left out."""
    readable = pc.fill_null(pc.match_substring_regex(cells, _READABLE), True)
    rows = np.flatnonzero(~np.asarray(readable))
    texts = cells.take(pa.array(rows)).to_pylist()
    bad = tuple(
        BadCell(row, f"'{printable(text)}' cannot be read; {FORM}")
        for row, text in zip(rows.tolist(), texts, strict=True)
    )
    bare = pc.utf8_trim_whitespace(pc.replace_substring_regex(cells, _QUOTES, ""))
    filled = pc.and_(readable, pc.fill_null(pc.not_equal(bare, ""), False))
    # A comma behind the last item, as Python writes it, is not an item.
    items = pc.split_pattern(pc.replace_substring_regex(bare, r",\s*$", ""), ",")
    return pc.if_else(filled, items, pa.scalar(None, items.type)), bad


def _codes(items: pa.Array, labels: Sequence[str], aliases: Mapping[str, str]) -> NDArray[np.int32]:
    code_of = {label.strip().lower(): code for code, label in reversed(list(enumerate(labels)))}
    code_of = {**{alias.strip().lower(): code_of[label.strip().lower()] for alias, label in aliases.items()}, **code_of}
    places = pc.fill_null(pc.index_in(_folded(items), value_set=pa.array(list(code_of), pa.string())), len(code_of))
    codes = np.array([*code_of.values(), -1], dtype=np.int32)
    return np.asarray(codes[np.asarray(places)])


def _folded(answers: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.utf8_trim_whitespace(answers.cast(pa.string())))
