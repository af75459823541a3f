"""The cells of a column go in, the ranked labels of each cell come out, with every cell that cannot be read.

Conventions:
    A column is an Arrow array of strings (`happy, neutral, sad`, or a list as `['happy', 'neutral']`), or of lists of
    strings, the best answer first. Labels are compared without case and without the spaces around them; one that is
    neither declared nor an alias has the code −1. A blank cell holds no answer and can be read: whether that is allowed
    is not decided here, nor what a strange answer counts as.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import UsageError, printable
from merbench.metrics.lists import Lists, offsets_of
from merbench.parsing.label_lists import BadCell

FORM = "answers are written happy, neutral, sad, the best one first"

_QUOTED = r"""('[^'\[\]]*'|"[^"\[\]]*")"""
_READABLE = rf"""^\s*([^'"\[\]]*|\[[^'"\[\]]*\]|\[\s*{_QUOTED}(\s*,\s*{_QUOTED})*\s*,?\s*\])\s*$"""
_QUOTES = r"""['"\[\]]"""


def ranked_lists(
    column: pa.Array, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> tuple[Lists, tuple[BadCell, ...]]:
    """Return the ranked labels of every cell as codes of `labels`, and the cells that cannot be read, by row.

    Raises:
        UsageError: the column holds neither text nor lists of text.
    """
    answers, bad = _answers(column)
    counts = np.asarray(pc.fill_null(pc.list_value_length(answers), 0))
    return Lists(tuple(labels), _codes(answers.flatten(), labels, aliases or {}), offsets_of(counts)), bad


def first_answers(column: pa.Array) -> pa.StringArray:
    """Return the first answer of every cell that holds one, trimmed and in lower case."""
    answers, _ = _answers(column)
    held = answers.filter(pc.fill_null(pc.greater(pc.list_value_length(answers), 0), False))
    return pc.fill_null(_folded(pc.list_element(held, 0)), "")


def _answers(column: pa.Array) -> tuple[pa.Array, tuple[BadCell, ...]]:
    """Return the answers of every cell as lists of text, and the cells that cannot be read."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return column, ()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return _split(column.cast(pa.string()))
    raise UsageError(f"a column of {kind} holds no ranked answers: text or lists of text are needed")


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
    held = pc.and_(readable, pc.fill_null(pc.not_equal(bare, ""), False))
    # A comma behind the last item, as Python writes it, is no item.
    items = pc.split_pattern(pc.replace_substring_regex(bare, r",\s*$", ""), ",")
    return pc.if_else(held, items, pa.scalar(None, items.type)), bad


def _codes(items: pa.Array, labels: Sequence[str], aliases: Mapping[str, str]) -> NDArray[np.int32]:
    code_of = {label.strip().lower(): code for code, label in reversed(list(enumerate(labels)))}
    code_of = {**{alias.strip().lower(): code_of[label.strip().lower()] for alias, label in aliases.items()}, **code_of}
    found = pc.fill_null(pc.index_in(_folded(items), value_set=pa.array(list(code_of), pa.string())), len(code_of))
    codes = np.array([*code_of.values(), -1], dtype=np.int32)
    return np.asarray(codes[np.asarray(found)])


def _folded(answers: pa.Array) -> pa.Array:
    return pc.utf8_lower(pc.utf8_trim_whitespace(answers.cast(pa.string())))
