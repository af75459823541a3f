"""What the kinds share in reading cells: distinct texts, groups of equal problems, lists read block by block."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import EXAMPLES_SHOWN, Problem, UsageError, examples, listed, plural, printable
from merbench.metrics.lists import Lists, offsets_of
from merbench.targets.sheet import Sheet, blocks
from merbench.targets.target import LABELS_SHOWN, Answers, Mask

Rows = NDArray[np.int64]

MOST_CELLS = 30_000_000
MOST_WORDS = 1_000_000
MOST_WORD_CHARACTERS = 50_000_000
"""How many characters the distinct words of a column may have together."""

OTHERS_SHOWN = 3
"""How many further rows with the same text a problem names."""

_WHOLE_NUMBER = re.compile(r"[ \t]*[0-9]{1,6}(\.0{1,6})?[ \t]*")


@dataclass(frozen=True, slots=True)
class BadCell:
    """A cell that cannot be read."""

    row: int  # its position in the column
    message: str  # what was found, and what is allowed


class Texts(NamedTuple):
    """The distinct texts among some cells of a column, in the order of their rows."""

    column: pa.StringArray
    rows: NDArray[np.integer[Any]]  # the first row of each text
    counts: NDArray[np.integer[Any]]  # in how many of the cells each is

    @classmethod
    def of(cls, column: pa.StringArray, chosen: Mask) -> Texts:
        """Return the texts of the chosen rows, compared by hashes, which take less memory than another copy."""
        parts = (column[block].filter(pa.array(chosen[block])).to_pylist() for block in blocks(column))
        hashes = np.fromiter(map(hash, chain.from_iterable(parts)), np.int64)
        _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        order = np.argsort(first)
        return cls(column, np.flatnonzero(chosen)[first[order]], counts[order])

    def some(self, places: slice | Rows) -> list[str]:
        """Return some of the texts."""
        texts: list[str] = self.column.take(pa.array(self.rows[places])).to_pylist()
        return texts

    def counted(self) -> str:
        """Return the texts with how often each occurs, the most frequent first."""
        order = np.argsort(-self.counts, kind="stable")
        first, counts = self.some(order[:EXAMPLES_SHOWN]), self.counts[order].tolist()
        shown = [f"'{printable(text)}' ({n:,})" for text, n in zip(first, counts, strict=False)]
        return listed([*shown, *("" for _ in order[EXAMPLES_SHOWN:])])


def class_indices(texts: Texts, labels: Sequence[str], n_answers: int) -> str:
    """Return `"; in the track's order: 0 = neutral, 1 = angry"` where all of these answers may be indices of labels.

    It is empty if they are less than a tenth of the `n_answers`: such are shown one by one, with their lines.
    They count from 0, or from 1 where 0 does not occur and the number of labels does.
    """
    if 10 * texts.counts.sum() < n_answers or len(texts.rows) > 2 * len(labels):
        return ""
    answers = texts.some(slice(None))
    if not all(_WHOLE_NUMBER.fullmatch(answer) for answer in answers):
        return ""
    numbers = {int(float(answer)) for answer in answers}
    first = 1 if len(labels) in numbers and 0 not in numbers else 0
    if not numbers <= set(range(first, first + len(labels))):
        return ""
    mapping = listed([f"{place} = {label}" for place, label in enumerate(labels, first)], LABELS_SHOWN)
    return f"; in the track's order: {mapping}"


def problems_by_text(
    sheet: Sheet, rows: Mask, texts: pa.StringArray, problem: Callable[[int, str], Problem]
) -> list[Problem]:
    """Return a problem per distinct text, of its first row, which names further ones; the last counts what is left.

    Args:
        sheet: the table.
        rows: which of its `n` rows have a problem.
        texts: `n` cells as they were written.
        problem: returns the problem of a row with a text.
    """
    shown: list[Problem] = []
    left = rows
    while left.any() and len(shown) < EXAMPLES_SHOWN:
        first = int(np.argmax(left))
        alike = left & np.asarray(pc.fill_null(pc.equal(texts, texts[first]), False))
        others = np.flatnonzero(alike)[1:].tolist()
        shown.append(_with_others(sheet, problem(first, texts[first].as_py()), others))
        left = left & ~alike
    more = int(left.sum())
    rest = [Problem(shown[0].code, f"… and {more:,} more", column=shown[0].column, count=more)] if more else []
    return [*shown, *rest]


def _with_others(sheet: Sheet, first: Problem, others: Sequence[int]) -> Problem:
    if not others:
        return first
    nouns, numbers = zip(*(sheet.row_name(row).split() for row in others[:OTHERS_SHOWN]), strict=True)
    places = ", ".join([*numbers, *("…" for _ in others[OTHERS_SHOWN : OTHERS_SHOWN + 1])])
    message = f"{first.message}; and {plural(len(others), f'more {nouns[0]}')} ({places})"
    return replace(first, message=message, count=first.count + len(others))


class ListCells(NamedTuple):
    """What some cells hold: lists, unreadable cells, rows of empty lists, and whether there are too many words."""

    lists: Lists
    bad: Sequence[BadCell] = ()
    empty: Rows = np.empty(0, dtype=np.int64)
    is_excessive: bool = False

    def problems(self, answers: Answers, code: str) -> list[Problem]:
        """Return the unreadable cells as problems of a code, after one of a column with too many words."""
        message = f"contains more than {MOST_WORDS:,} distinct words, {MOST_WORD_CHARACTERS:,} characters of them"
        message += f", or {MOST_CELLS:,} words in all"
        excess = [Problem("E104", message, column=answers.name)] if self.is_excessive else []
        return [*excess, *cell_problems(answers, self.bad, code)]


def read_in_blocks(
    answers: Answers,
    column: pa.Array,
    read: Callable[[pa.Array], ListCells],
    words: Callable[[pa.Array], pa.Array] | None = None,
) -> ListCells:
    """Return what a column contains, read some rows at a time, so that never more of them are split in memory.

    Args:
        answers: bad cells of rows that are not relevant are left out.
        column: the cells.
        read: what reads some of them.
        words: what returns their words, where the words that are counted are not those of the lists.
    """
    code_of: dict[str, int] = {}
    seen: set[int] = set()  # hashes of words, which are smaller than words
    codes, counts, empty = [], [], []
    bad: list[BadCell] = []
    n_characters = n_items = 0
    for block in blocks(column):
        part, n_before = read(column[block]), len(code_of)
        renamed = [code_of.setdefault(word, len(code_of)) for word in part.lists.words]
        n_characters += sum(len(word) for word, code in zip(part.lists.words, renamed, strict=True) if code >= n_before)
        if words is not None:
            seen.update(map(hash, pc.unique(words(column[block])).to_pylist()))
        n_words = len(code_of) if words is None else len(seen)
        n_items += len(part.lists.codes)
        if n_words > MOST_WORDS or n_characters > MOST_WORD_CHARACTERS or n_items > MOST_CELLS:
            empty_lists = Lists((), np.empty(0, np.int32), offsets_of(np.zeros(len(column), np.int64)))
            return ListCells(empty_lists, is_excessive=True)
        codes.append(np.array([*renamed, -1], dtype=np.int32)[part.lists.codes])
        counts.append(np.diff(part.lists.offsets))
        bad += shifted(part.bad, block.start, answers.relevant, len(bad))
        empty.append(part.empty + block.start)
    lists = Lists(tuple(code_of), np.concatenate(codes), offsets_of(np.concatenate(counts)))
    return ListCells(lists, bad, np.concatenate(empty))


def shifted(bad: Sequence[BadCell], start: int, relevant: Mask, n_before: int) -> list[BadCell]:
    """Return the bad cells of a block that begins at a row; only those that are shown keep their message."""
    rows = [(cell.row + start, cell.message) for cell in bad if relevant[cell.row + start]]
    return [BadCell(row, text if i < EXAMPLES_SHOWN else "") for i, (row, text) in enumerate(rows, n_before)]


def cell_problems(answers: Answers, bad: Sequence[BadCell], code: str) -> list[Problem]:
    """Return the cells that could not be read as problems."""
    return examples(bad, lambda cell: answers.problem(code, cell.row, cell.message))


def require_readable(where: str, column: pa.Array, bad: Sequence[BadCell]) -> None:
    """Raise `UsageError` if references cannot be read."""
    messages = [cell.message for cell in bad if column[cell.row].is_valid]
    if messages:
        raise UsageError(f"{where} cannot be read ({len(messages):,} of {len(column):,}): {listed(messages)}")
