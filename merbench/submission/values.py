"""The columns of a target go in, its values come out: codes or numbers, row by row, with every cell that is wrong.

Conventions:
    Values are those of `merbench.metrics.metric`, one item per row of the sheet; cells of rows that are of no candidate
    are neither checked nor used. Where a track counts missing predictions as wrong, or drops them, an empty cell of a
    categorical target is one.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import EXAMPLES_SHOWN, Problem, did_you_mean, examples, listed, plural, printable
from merbench.metrics.lists import Values
from merbench.submission.sheet import Sheet, blocks, is_blank
from merbench.track import CategoricalTarget, Track

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of a row may sum."""

OTHERS_SHOWN = 3
"""How many further rows with the same text a problem names."""

LABELS_SHOWN = 12

_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_SPACES = " \t\v\f"
_WHOLE_NUMBER = re.compile(r"[ \t]*[0-9]{1,6}(\.0{1,6})?[ \t]*")
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TargetValues:
    """The values of one target, row by row.

    Attributes:
        values: codes, numbers, lists or segments.
        probabilities: one column per label, where the submission holds them.
        problems: what is wrong with cells.
        warnings: what a reader must know about cells.
        dropped: the rows that hold no answer and do not count, where the track drops them.
    """

    values: Values = field(repr=False)
    probabilities: NDArray[np.float64] | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    dropped: Mask | None = field(default=None, repr=False)


def probability_columns(track: Track) -> dict[str, tuple[str, ...]]:
    """Return the names `p_<label>` of every categorical target whose labels no other target shares."""
    labels = {name: target.labels for name, target in track.targets.items() if isinstance(target, CategoricalTarget)}
    times = Counter(label for own in labels.values() for label in own)
    return {
        name: tuple(f"p_{label}" for label in own)
        for name, own in labels.items()
        if all(times[label] == 1 for label in own)
    }


def number_values(
    sheet: Sheet, name: str, relevant: Mask, allowed_range: tuple[float, float] | None = None
) -> TargetValues:
    """Return the numbers of a target, each finite and within the range."""
    numbers = _numbers(sheet.columns[name])
    low, high = allowed_range or (-math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
    if good.all() or (good | ~relevant).all():
        return TargetValues(numbers)
    allowed = "a finite number" if allowed_range is None else f"a number in [{low:g}, {high:g}]"
    return TargetValues(numbers, problems=_not_numbers(sheet, name, ~good & relevant, "E204", allowed))


def categorical_values(
    sheet: Sheet,
    name: str,
    target: CategoricalTarget,
    relevant: Mask,
    chances: Sequence[str],
    missing_ids: str = "error",
) -> TargetValues:
    """Return the codes of a categorical target: from its label column, from its probabilities, or from both.

    Where a submission holds both, the label must have the largest probability of its row, or share it.

    Args:
        sheet: the table.
        name: name of the target and its label column.
        target: its declaration.
        relevant: rows that are of a candidate.
        chances: names of the probability columns, in the order of the labels; empty without them.
        missing_ids: what an empty cell is, as a missing row: an error, a wrong answer, or none that counts.
    """
    if not chances:
        return _labels(sheet, name, target, relevant, missing_ids)
    table, problems = _probabilities(sheet, name, chances, relevant)
    if name not in sheet.columns:
        return TargetValues(np.argmax(table, axis=1).astype(np.int32), table, problems)
    labels = _labels(sheet, name, target, relevant, missing_ids)
    assert isinstance(labels.values, np.ndarray)
    problems = (*labels.problems, *problems) or _disagreements(sheet, name, target, labels.values, table, relevant)
    return TargetValues(labels.values, table, problems, labels.warnings, labels.dropped)


def _labels(sheet: Sheet, name: str, target: CategoricalTarget, relevant: Mask, missing_ids: str) -> TargetValues:
    column = sheet.columns[name]
    code_of = {label: code for code, label in enumerate(target.labels)}
    code_of |= {alias: code_of[label] for alias, label in target.aliases.items()}
    found = pc.index_in(column, value_set=pa.array(code_of, pa.string()))
    codes = np.array([*code_of.values(), -1], dtype=np.int32)[np.asarray(found.fill_null(-1))]
    bad = (codes < 0) & relevant
    if not bad.any():
        return TargetValues(codes)

    blank = is_blank(column)
    empty = np.flatnonzero(bad & blank).tolist()
    strange = bad & ~blank
    n_strange = int(strange.sum())
    allowed = f"one of {listed(target.labels, LABELS_SHOWN)}"
    problems: list[Problem] = []
    warnings: list[Problem] = []
    n_answers = int(relevant.sum())
    share = f"{n_strange:,} of {n_answers:,} answers"
    given = Answers.of(column, strange)
    indices = class_indices(given, target.labels, n_answers)
    if indices and target.out_of_vocabulary == "error":
        message = f"{share} are numbers; write the names of labels{indices}"
        problems.append(Problem("E203", message, column=name, count=n_strange))
    elif n_strange and target.out_of_vocabulary == "error":
        problems += by_text(
            sheet, strange, column, lambda row, text: _unknown_label(sheet, name, row, text, target, allowed)
        )
    elif n_strange:
        shown = counted(given)
        fate = "count as wrong" if target.out_of_vocabulary == "wrong" else "are dropped"
        warnings.append(Problem("W202", f"{share} are not {allowed} and {fate}: {shown}{indices}", column=name))
    if empty and missing_ids not in ("wrong", "dropped"):
        problems += examples(empty, lambda row: sheet.row_problem("E205", row, f"empty; {allowed} is needed", name))
    elif empty:
        share = f"{len(empty):,} of {int(relevant.sum()):,} answers"
        fate = "counted as wrong" if missing_ids == "wrong" else "dropped"
        warnings.append(Problem("W302", f"{share} are empty, {fate}", column=name))
    gone = [
        *(np.flatnonzero(strange).tolist() if target.out_of_vocabulary == "dropped" else ()),
        *(empty if missing_ids == "dropped" else ()),
    ]
    return TargetValues(codes, None, tuple(problems), tuple(warnings), rows_mask(gone, len(codes)))


class Answers(NamedTuple):
    """The distinct texts among some cells of a column, in the order of their rows.

    Attributes:
        column: the cells.
        rows: the first row of each text.
        counts: in how many of the cells each is.
    """

    column: pa.StringArray
    rows: NDArray[np.integer[Any]]
    counts: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, column: pa.StringArray, chosen: Mask) -> Answers:
        """Return the texts of the chosen rows, told apart by hashes, which take less memory than another copy."""
        parts = (column[block].filter(pa.array(chosen[block])).to_pylist() for block in blocks(column))
        hashes = np.fromiter(map(hash, chain.from_iterable(parts)), np.int64)
        _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        order = np.argsort(first)
        return cls(column, np.flatnonzero(chosen)[first[order]], counts[order])

    def texts(self, places: slice | NDArray[np.int64]) -> list[str]:
        """Return some of the texts."""
        found: list[str] = self.column.take(pa.array(self.rows[places])).to_pylist()
        return found


def class_indices(answers: Answers, labels: Sequence[str], n_answers: int) -> str:
    """Return `"; in the track's order: 0 = neutral, 1 = angry"` where all of these answers may count labels.

    It is empty where they are less than a tenth of the `n_answers`: such are shown one by one, with their lines.
    They count from 0, or from 1 where there is no 0 and the number of labels is there.
    """
    if 10 * answers.counts.sum() < n_answers or len(answers.rows) > 2 * len(labels):
        return ""
    texts = answers.texts(slice(None))
    if not all(_WHOLE_NUMBER.fullmatch(text) for text in texts):
        return ""
    numbers = {int(float(text)) for text in texts}
    first = 1 if len(labels) in numbers and 0 not in numbers else 0
    if not numbers <= set(range(first, first + len(labels))):
        return ""
    mapping = listed([f"{place} = {label}" for place, label in enumerate(labels, first)], LABELS_SHOWN)
    return f"; in the track's order: {mapping}"


def by_text(sheet: Sheet, rows: Mask, texts: pa.StringArray, problem: Callable[[int, str], Problem]) -> list[Problem]:
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
        shown.append(_of_group(sheet, problem(first, texts[first].as_py()), others))
        left = left & ~alike
    more = int(left.sum())
    rest = [Problem(shown[0].code, f"… and {more:,} more", column=shown[0].column, count=more)] if more else []
    return [*shown, *rest]


def _of_group(sheet: Sheet, first: Problem, others: Sequence[int]) -> Problem:
    if not others:
        return first
    nouns, numbers = zip(*(sheet.row_name(row).split() for row in others[:OTHERS_SHOWN]), strict=True)
    places = ", ".join([*numbers, *("…" for _ in others[OTHERS_SHOWN : OTHERS_SHOWN + 1])])
    message = f"{first.message}; and {plural(len(others), f'more {nouns[0]}')} ({places})"
    return replace(first, message=message, count=first.count + len(others))


def counted(answers: Answers) -> str:
    """Return distinct answers with how often each is given, the most frequent first."""
    order = np.argsort(-answers.counts, kind="stable")
    first, counts = answers.texts(order[:EXAMPLES_SHOWN]), answers.counts[order].tolist()
    shown = [f"'{printable(text)}' ({n:,})" for text, n in zip(first, counts, strict=False)]
    return listed([*shown, *("" for _ in order[EXAMPLES_SHOWN:])])


def rows_mask(rows: Sequence[int], n: int) -> Mask | None:
    """Return a mask that holds for some rows; None for none of them."""
    if not rows:
        return None
    mask = np.zeros(n, dtype=np.bool_)
    mask[rows] = True
    return mask


def _unknown_label(sheet: Sheet, name: str, row: int, text: str, target: CategoricalTarget, allowed: str) -> Problem:
    hint = did_you_mean(text, target.labels)
    return sheet.row_problem("E203", row, f"'{printable(text)}' is not {allowed}{hint}", name)


def _numbers(column: pa.Array) -> NDArray[np.float64]:
    """Return a column's numbers; what is no finite decimal number becomes infinite or not a number."""
    if pa.types.is_floating(column.type):
        return np.asarray(column.fill_null(math.nan), dtype=np.float64)
    numbers = np.full(len(column), math.nan)
    for block in blocks(column):
        trimmed = pc.utf8_trim(column[block], _SPACES)
        fits = pc.match_substring_regex(trimmed, f"^{_NUMBER}$").fill_null(False)
        numbers[block][np.asarray(fits)] = [float(text) for text in trimmed.filter(fits).to_pylist()]
    return numbers


def _not_numbers(sheet: Sheet, name: str, bad: Mask, code: str, allowed: str) -> tuple[Problem, ...]:
    """Return the cells that are not `allowed`: those with something in them under `code`, the empty ones under E205."""
    if not bad.any():
        return ()
    texts = sheet.texts(name)
    blank = is_blank(texts)
    return (
        *by_text(
            sheet,
            bad & ~blank,
            texts,
            lambda row, text: sheet.row_problem(code, row, _not_number(text, allowed), name),
        ),
        *examples(
            np.flatnonzero(bad & blank).tolist(),
            lambda row: sheet.row_problem("E205", row, f"empty; {allowed} is needed", name),
        ),
    )


def _not_number(text: str, allowed: str) -> str:
    hint = ""
    if _WITH_COMMA.fullmatch(text.strip()):
        hint = f"; write '{text.strip().replace(',', '.')}'"
    elif text.startswith("="):
        hint = "; it starts with '=', as a spreadsheet's formula does: save values"
    return f"'{printable(text)}' is not {allowed}{hint}"


def _probabilities(
    sheet: Sheet, name: str, chances: Sequence[str], relevant: Mask
) -> tuple[NDArray[np.float64], tuple[Problem, ...]]:
    """Return the probabilities of every row, one column per label, and what is wrong with them."""
    columns = [_numbers(sheet.columns[chance]) for chance in chances]
    table = np.stack(columns, axis=1)
    problems: list[Problem] = []
    with np.errstate(invalid="ignore"):
        good = (table >= 0) & (table <= 1)
        total = np.where(good.all(axis=1), sum(columns[1:], columns[0]), 1.0)
    for chance, fits in zip(chances, good.T, strict=True):
        problems += _not_numbers(sheet, chance, ~fits & relevant, "E209", "a probability in [0, 1]")

    def wrong_sum(row: int) -> Problem:
        message = f"the probabilities sum to {total[row]:.6g}; they must sum to 1 within {SUM_TOLERANCE:g}"
        return sheet.row_problem("E209", row, message, name)

    off = np.flatnonzero((np.abs(total - 1) > SUM_TOLERANCE) & relevant).tolist()
    return table, (*problems, *examples(off, wrong_sum))


def _disagreements(
    sheet: Sheet,
    name: str,
    target: CategoricalTarget,
    codes: NDArray[np.int32],
    table: NDArray[np.float64],
    relevant: Mask,
) -> tuple[Problem, ...]:
    """Return the rows whose label is not the most probable one."""
    given, largest = table[np.arange(len(codes)), codes], table.max(axis=1)

    def problem(row: int) -> Problem:
        mine, theirs = target.labels[codes[row]], target.labels[int(np.argmax(table[row]))]
        message = (
            f"'{mine}' has the probability {given[row]:.6g} and '{theirs}' {largest[row]:.6g}; "
            "give the most probable label, or leave out the labels or the probabilities"
        )
        return sheet.row_problem("E210", row, message, name)

    bad = np.flatnonzero((given < largest) & (codes >= 0) & relevant).tolist()
    return tuple(examples(bad, problem))
