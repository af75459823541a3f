"""The columns of a target whose cells hold several things go in, its values come out, with every cell that is wrong.

Conventions:
    As in `merbench.submission.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.candidates import Candidates
from merbench.errors import EXAMPLES_SHOWN, Problem, examples, listed, printable
from merbench.lexicon import open_lexicon
from merbench.metrics.lists import Lists, Segments, concatenated, offsets_of
from merbench.parsing import BadCell, read_label_lists
from merbench.parsing.answers import preference_answers
from merbench.parsing.descriptions import words_in_text
from merbench.parsing.ranked import first_answers, ranked_lists
from merbench.parsing.segments import segment_lists
from merbench.submission.content import MOST_CELLS, MOST_WORD_CHARACTERS, MOST_WORDS
from merbench.submission.ids import Rows
from merbench.submission.sheet import Sheet, blocks, is_blank
from merbench.submission.values import (
    Answers,
    Mask,
    TargetValues,
    categorical_values,
    class_indices,
    counted,
    number_values,
    rows_mask,
)
from merbench.track import (
    CategoricalTarget,
    LabelSetTarget,
    MultilabelTarget,
    PreferenceTarget,
    RankedTarget,
    SegmentsTarget,
    TextTarget,
)

NOT_SEPARATING = ";|\uff1b\uff0c\u3001"
"""What may be meant to separate the words of a set, and does not; the last three are Chinese marks."""

CELLS_OF_SEGMENT = 3
"""How many cells a segment counts for: its label, where it begins and where it ends."""


def label_set_values(sheet: Sheet, name: str, target: LabelSetTarget, relevant: Mask) -> TargetValues:
    """Return the sets of words of a target; a blank cell is the empty set where the format and the track allow it."""
    column = sheet.columns[name]
    if sheet.has_blanks and target.empty == "allow":
        column = pc.if_else(pa.array(is_blank(column)), "[]", column)

    def read(cells: pa.Array) -> _Read:
        sets = read_label_lists(cells, split=target.split)
        return _Read(sets.lists, sets.bad, sets.empty)

    found = _in_blocks(column, relevant, read)
    problems = [*_excess(found, name), *_bad_cells(sheet, name, found.bad, "E211")]
    if target.empty == "error":
        problems += examples(
            found.empty[relevant[found.empty]].tolist(),
            lambda row: sheet.row_problem("E205", row, "an empty set; at least one label is needed", name),
        )
    at_quotes = target.split == "mer2024"
    marks, separator = (f"{NOT_SEPARATING},", "a quote") if at_quotes else (NOT_SEPARATING, "','")
    warnings = () if problems else _unseparated(name, found.lists, relevant, marks, separator)
    return TargetValues(found.lists, problems=tuple(problems), warnings=warnings)


class _Read(NamedTuple):
    """What some cells hold: lists, unreadable cells, rows of empty lists, and whether there are too many words."""

    lists: Lists
    bad: Sequence[BadCell] = ()
    empty: Rows = np.empty(0, dtype=np.int64)
    is_excessive: bool = False


def _in_blocks(
    column: pa.Array,
    relevant: Mask,
    read: Callable[[pa.Array], _Read],
    words: Callable[[pa.Array], pa.Array] | None = None,
) -> _Read:
    """Return what a column holds, read some rows at a time, so that never more of them are split in memory.

    Args:
        column: the cells.
        relevant: rows that are of a candidate; bad cells of others are left out.
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
            return _Read(empty_lists, is_excessive=True)
        codes.append(np.array([*renamed, -1], dtype=np.int32)[part.lists.codes])
        counts.append(np.diff(part.lists.offsets))
        bad += _shifted(part.bad, block.start, relevant, len(bad))
        empty.append(part.empty + block.start)
    lists = Lists(tuple(code_of), np.concatenate(codes), offsets_of(np.concatenate(counts)))
    return _Read(lists, bad, np.concatenate(empty))


def _excess(found: _Read, name: str) -> tuple[Problem, ...]:
    """Return the problem of a column with too many distinct words."""
    if not found.is_excessive:
        return ()
    message = f"holds more than {MOST_WORDS:,} distinct words, {MOST_WORD_CHARACTERS:,} characters of them"
    message += f", or {MOST_CELLS:,} words in all"
    return (Problem("E104", message, column=name),)


def _unseparated(name: str, lists: Lists, relevant: Mask, not_separating: str, separator: str) -> tuple[Problem, ...]:
    """Return a warning about words that hold what others separate words by, and that stay one word here."""
    marks = [next((mark for mark in not_separating if mark in word), "") for word in lists.words]
    held = np.array([bool(mark) for mark in marks], dtype=np.bool_)[lists.codes] & np.repeat(
        relevant, np.diff(lists.offsets)
    )
    codes = lists.codes[held]
    if not len(codes):
        return ()
    n_sets = len(np.unique(np.searchsorted(lists.offsets, np.flatnonzero(held), "right")))
    share = f"{n_sets:,} of {int(relevant.sum()):,} sets hold words"
    there = {marks[code] for code in np.unique(codes).tolist()}
    found = ", ".join(f"'{mark}'" for mark in not_separating if mark in there)
    message = f"{share} with {found} in them, each read as one word; {separator} separates words"
    words = Answers(pa.array(lists.words, pa.string()), *np.unique(codes, return_counts=True))
    return (Problem("W203", f"{message}: {counted(words)}", column=name),)


def text_values(sheet: Sheet, name: str, target: TextTarget, relevant: Mask) -> TargetValues:
    """Return the words of the target's lexicon that its descriptions hold."""
    column = sheet.columns[name].fill_null("")
    blank = np.flatnonzero(is_blank(column) & relevant).tolist()
    problems = examples(blank, lambda row: sheet.row_problem("E205", row, "empty; a description is needed", name))
    lexicon = open_lexicon(target.lexicon)
    found = _in_blocks(
        column,
        relevant,
        lambda cells: _Read(words_in_text(cells, lexicon)),
        lambda cells: pc.utf8_split_whitespace(cells).flatten(),
    )
    return TargetValues(found.lists, problems=(*_excess(found, name), *problems))


def ranked_values(
    sheet: Sheet, name: str, target: RankedTarget, relevant: Mask, missing_ids: str = "error"
) -> TargetValues:
    """Return the ranked answers of a target; what a strange first answer is, the target says."""
    column = sheet.columns[name]
    found = _in_blocks(
        column, relevant, lambda cells: _Read(*ranked_lists(cells, target.labels, target.aliases)), _answers
    )
    lists, bad = found.lists, found.bad
    problems: list[Problem] = [*_excess(found, name), *_bad_cells(sheet, name, bad, "E211")]
    unread = {cell.row for cell in bad}
    counts = np.diff(lists.offsets)
    empty = [row for row in np.flatnonzero((counts == 0) & relevant).tolist() if row not in unread]
    outside = (lists.first() < 0) & (counts > 0) & relevant
    strange = [row for row in np.flatnonzero(outside).tolist() if row not in unread]
    allowed = f"one of {listed(target.labels, 12)}"
    warnings: list[Problem] = []
    n_answers = int(relevant.sum())
    cells = column.take(pa.array(strange, pa.int64()))
    parts = [first_answers(cells[block]) for block in blocks(cells)]
    answers = pa.concat_arrays(parts or [pa.array([], pa.string())])
    first = Answers.of(answers, np.ones(len(answers), dtype=np.bool_))
    indices = class_indices(first, target.labels, n_answers)
    if indices and target.out_of_vocabulary == "error":
        message = f"{len(strange):,} of {n_answers:,} first answers are numbers; write the names of labels{indices}"
        problems.append(Problem("E203", message, column=name, count=len(strange)))
    elif target.out_of_vocabulary == "error":
        problems += examples(
            strange,
            lambda row: sheet.row_problem(
                "E203", row, f"the first of {_shown(sheet, name, row)} is not {allowed}", name
            ),
        )
    elif strange:
        fate = "count as wrong" if target.out_of_vocabulary == "wrong" else "are dropped"
        message = f"{len(strange):,} of {n_answers:,} first answers are not {allowed} and {fate}: {counted(first)}"
        warnings.append(Problem("W202", f"{message}{indices}", column=name))
    if missing_ids not in ("wrong", "dropped"):
        problems += examples(empty, lambda row: sheet.row_problem("E205", row, f"empty; {allowed} is needed", name))
    elif empty:
        fate = "counted as wrong" if missing_ids == "wrong" else "dropped"
        share = f"{len(empty):,} of {int(relevant.sum()):,} answers"
        warnings.append(Problem("W302", f"{share} are empty, {fate}", column=name))
    gone = [*(strange if target.out_of_vocabulary == "dropped" else ()), *(empty if missing_ids == "dropped" else ())]
    return TargetValues(lists, None, tuple(problems), tuple(warnings), rows_mask(gone, len(lists)))


def _answers(cells: pa.Array) -> pa.Array:
    """Return the answers of some cells, one after the other."""
    return cells.flatten() if pa.types.is_nested(cells.type) else pc.split_pattern(cells, ",").flatten()


def segment_values(
    sheet: Sheet, name: str, target: SegmentsTarget, relevant: Mask, durations: pa.Array | None
) -> TargetValues:
    """Return the segments of a target; `durations` are the samples' lengths in seconds, row by row."""
    column = sheet.columns[name]
    parts: list[Segments] = []
    n_cells = 0
    bad: list[BadCell] = []
    for block in blocks(column):
        segments, wrong = segment_lists(column[block], target.labels, None if durations is None else durations[block])
        parts.append(segments)
        n_cells += CELLS_OF_SEGMENT * len(segments.codes)
        if n_cells > MOST_CELLS:
            message = f"asks for more than {MOST_CELLS // CELLS_OF_SEGMENT:,} segments"
            nothing = np.empty(0)
            empty = Segments(nothing.astype(np.int32), nothing, nothing, offsets_of(np.zeros(len(column), np.int64)))
            return TargetValues(empty, problems=(Problem("E104", message, column=name),))
        bad += _shifted(wrong, block.start, relevant, len(bad))
    return TargetValues(concatenated(*parts), problems=tuple(_bad_cells(sheet, name, bad, "E212")))


def preference_values(sheet: Sheet, name: str, target: PreferenceTarget, relevant: Mask) -> TargetValues:
    """Return the preferred of two descriptions; `same` counts as `a1` where it is no class."""
    column = sheet.columns[name]
    if target.reading == "answer":
        column = preference_answers(column)
    as_labels = CategoricalTarget(type="categorical", labels=("a1", "a2", "same"))
    found = categorical_values(sheet.with_column(name, column), name, as_labels, relevant, ())
    codes = found.values
    assert isinstance(codes, np.ndarray)
    return replace(found, values=np.where(codes == len(target.labels), 0, codes).astype(np.int32))


def described_pairs(candidates: Candidates) -> dict[str, pa.Array]:
    """Return what the corpus says is compared in every pair, column by column; nothing without a preference target.

    A submission may repeat these columns; then they must be the same, so that no pair is answered the wrong way round.
    """
    preference = any(isinstance(target, PreferenceTarget) for target in candidates.track.targets.values())
    names = [name for name in ("a1", "a2") if name in candidates.samples.column_names]
    if not preference or len(names) < 2:
        return {}
    return {name: candidates.samples[name].combine_chunks().cast(pa.string()) for name in names}


def pair_problems(sheet: Sheet, pairs: Mapping[str, pa.Array], candidate_of: Rows) -> list[Problem]:
    """Return what compares something else than the corpus does: a lone column, swapped pairs, other pairs."""
    there = [name for name in pairs if name in sheet.columns]
    if not there:
        return []
    absent = [name for name in pairs if name not in sheet.names]
    incomplete = f"the column is missing, and {listed(there)} is; give both, or neither"
    problems = [Problem("E213", incomplete, column=name) for name in absent]
    places = pa.array(candidate_of, mask=candidate_of < 0)
    given = {name: sheet.columns[name].fill_null("") for name in there}
    known = {name: pairs[name].take(places).fill_null("") for name in pairs}
    unequal = np.logical_or.reduce([np.asarray(pc.not_equal(given[name], known[name])) for name in there])
    wrong = np.flatnonzero(unequal & (candidate_of >= 0)).tolist()

    def problem(row: int) -> Problem:
        mine, theirs = ({name: column[row].as_py() for name, column in side.items()} for side in (given, known))
        swapped = [mine[name] for name in there] == [theirs["a2"], theirs["a1"]]
        odd = [name for name in there if mine[name] != theirs[name]]
        found = "a1 and a2 are swapped" if swapped else " and ".join(_is(name, mine[name]) for name in odd)
        pair = " and ".join(_is(name, theirs[name]) for name in theirs)
        return sheet.row_problem("E213", row, f"{found}; of this pair {pair}")

    return [*problems, *examples(wrong, problem)]


def _is(name: str, text: str) -> str:
    return f"{name} is '{printable(text)}'" if text.strip() else f"{name} is empty"


def multilabel_values(sheet: Sheet, target: MultilabelTarget, relevant: Mask) -> TargetValues:
    """Return 0 and 1 for every label, a column each."""
    columns: list[np.ndarray] = []
    problems: list[Problem] = []
    for label in target.labels:
        found = number_values(sheet, label, relevant)
        problems += found.problems
        numbers = found.values
        assert isinstance(numbers, np.ndarray)
        strange = np.flatnonzero(~np.isin(numbers, (0, 1)) & np.isfinite(numbers) & relevant).tolist()
        problems += examples(strange, _not_binary(sheet, label))
        columns.append(np.where(numbers == 1, 1, 0).astype(np.int8))
    return TargetValues(np.stack(columns, axis=1), problems=tuple(problems))


def _not_binary(sheet: Sheet, label: str) -> Callable[[int], Problem]:
    def problem(row: int) -> Problem:
        return sheet.row_problem("E204", row, f"{_shown(sheet, label, row)} is not 0 or 1", label)

    return problem


def _bad_cells(sheet: Sheet, name: str, bad: Sequence[BadCell], code: str) -> list[Problem]:
    """Return the cells that could not be read."""
    return examples(bad, lambda cell: sheet.row_problem(code, cell.row, cell.message, name))


def _shifted(bad: Sequence[BadCell], start: int, relevant: Mask, n_before: int) -> list[BadCell]:
    """Return the bad cells of a block that begins at a row; only those that are shown keep their message."""
    rows = [(cell.row + start, cell.message) for cell in bad if relevant[cell.row + start]]
    return [BadCell(row, text if i < EXAMPLES_SHOWN else "") for i, (row, text) in enumerate(rows, n_before)]


def _shown(sheet: Sheet, name: str, row: int) -> str:
    return f"'{printable(sheet.cell(name, row))}'"
