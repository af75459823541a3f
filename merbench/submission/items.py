"""The columns of a target whose cells hold several things go in, its values come out, with every cell that is wrong.

Conventions:
    As in `merbench.submission.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, examples, listed, printable
from merbench.lexicon import open_lexicon
from merbench.metrics.lists import Lists
from merbench.parsing import BadCell, read_label_lists
from merbench.parsing.answers import preference_answers
from merbench.parsing.descriptions import words_in_text
from merbench.parsing.ranked import first_answers, ranked_lists
from merbench.parsing.segments import segment_lists
from merbench.submission.ids import Rows
from merbench.submission.sheet import Sheet
from merbench.submission.values import Mask, TargetValues, categorical_values, counted, number_values, rows_mask
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


def label_set_values(sheet: Sheet, name: str, target: LabelSetTarget, relevant: Mask) -> TargetValues:
    """Return the sets of words of a target; a blank cell of a delimited file is the empty set where that is allowed."""
    column = sheet.columns[name]
    if sheet.delimited and target.empty == "allow":
        column = pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), "[]", column)
    sets = read_label_lists(column, split=target.split)
    problems = _bad_cells(sheet, name, sets.bad, relevant, "E211")
    if target.empty == "error":
        problems += examples(
            sets.empty[relevant[sets.empty]].tolist(),
            lambda row: sheet.row_problem("E205", row, "an empty set; at least one label is needed", name),
        )
    at_quotes = target.split == "mer2024"
    marks, separator = (f"{NOT_SEPARATING},", "a quote") if at_quotes else (NOT_SEPARATING, "','")
    warnings = _unseparated(name, sets.lists, relevant, marks, separator)
    return TargetValues(sets.lists, problems=tuple(problems), warnings=warnings)


def _unseparated(name: str, lists: Lists, relevant: Mask, not_separating: str, separator: str) -> tuple[Problem, ...]:
    """Return a warning about words that hold what others separate words by, and that stay one word here."""
    marks = [next((mark for mark in not_separating if mark in word), "") for word in lists.words]
    held = np.array([bool(mark) for mark in marks], dtype=np.bool_)[lists.codes] & np.repeat(
        relevant, np.diff(lists.offsets)
    )
    codes = lists.codes[held].tolist()
    if not codes:
        return ()
    n_sets = len(np.unique(np.searchsorted(lists.offsets, np.flatnonzero(held), "right")))
    share = f"{n_sets:,} of {int(relevant.sum()):,} sets hold words"
    there = {marks[code] for code in codes}
    found = ", ".join(f"'{mark}'" for mark in not_separating if mark in there)
    message = f"{share} with {found} in them, each read as one word; {separator} separates words"
    return (Problem("W203", f"{message}: {counted(lists.words[code] for code in codes)}", column=name),)


def text_values(sheet: Sheet, name: str, target: TextTarget, relevant: Mask) -> TargetValues:
    """Return the words of the target's lexicon that its descriptions hold."""
    column = sheet.columns[name].fill_null("")
    blank = [row for row, text in enumerate(column.to_pylist()) if not text.strip() and relevant[row]]
    problems = examples(blank, lambda row: sheet.row_problem("E205", row, "empty; a description is needed", name))
    return TargetValues(words_in_text(column, open_lexicon(target.lexicon)), problems=tuple(problems))


def ranked_values(
    sheet: Sheet, name: str, target: RankedTarget, relevant: Mask, missing_ids: str = "error"
) -> TargetValues:
    """Return the ranked answers of a target; what a strange first answer is, the target says."""
    column = sheet.columns[name]
    lists, bad = ranked_lists(column, target.labels, target.aliases)
    problems: list[Problem] = _bad_cells(sheet, name, bad, relevant, "E211")
    unread = {cell.row for cell in bad}
    counts = np.diff(lists.offsets)
    empty = [row for row in np.flatnonzero((counts == 0) & relevant).tolist() if row not in unread]
    outside = (lists.first() < 0) & (counts > 0) & relevant
    strange = [row for row in np.flatnonzero(outside).tolist() if row not in unread]
    allowed = f"one of {listed(target.labels, 12)}"
    warnings: list[Problem] = []
    if target.out_of_vocabulary == "error":
        problems += examples(
            strange,
            lambda row: sheet.row_problem(
                "E203", row, f"the first of {_shown(sheet, name, row)} is not {allowed}", name
            ),
        )
    elif strange:
        fate = "count as wrong" if target.out_of_vocabulary == "wrong" else "are dropped"
        shown = counted(first_answers(column.take(pa.array(strange))))
        share = f"{len(strange):,} of {int(relevant.sum()):,} first answers"
        warnings.append(Problem("W202", f"{share} are not {allowed} and {fate}: {shown}", column=name))
    if missing_ids not in ("wrong", "dropped"):
        problems += examples(empty, lambda row: sheet.row_problem("E205", row, f"empty; {allowed} is needed", name))
    elif empty:
        fate = "counted as wrong" if missing_ids == "wrong" else "dropped"
        share = f"{len(empty):,} of {int(relevant.sum()):,} answers"
        warnings.append(Problem("W302", f"{share} are empty, {fate}", column=name))
    gone = [*(strange if target.out_of_vocabulary == "dropped" else ()), *(empty if missing_ids == "dropped" else ())]
    return TargetValues(lists, None, tuple(problems), tuple(warnings), rows_mask(gone, len(lists)))


def segment_values(
    sheet: Sheet, name: str, target: SegmentsTarget, relevant: Mask, durations: pa.Array | None
) -> TargetValues:
    """Return the segments of a target; `durations` are the samples' lengths in seconds, row by row."""
    segments, bad = segment_lists(sheet.columns[name], target.labels, durations)
    return TargetValues(segments, problems=tuple(_bad_cells(sheet, name, bad, relevant, "E212")))


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
    incomplete = f"the column is not there, and {listed(there)} is; give both, or neither"
    problems = [Problem("E213", incomplete, column=name) for name in absent]
    places = pa.array(candidate_of, mask=candidate_of < 0)
    given = {name: _texts(sheet.columns[name]) for name in there}
    known = {name: _texts(pairs[name].take(places)) for name in pairs}
    wrong = [
        row
        for row in np.flatnonzero(candidate_of >= 0).tolist()
        if any(given[name][row] != known[name][row] for name in there)
    ]

    def problem(row: int) -> Problem:
        swapped = [given[name][row] for name in there] == [known["a2"][row], known["a1"][row]]
        odd = [name for name in there if given[name][row] != known[name][row]]
        found = "a1 and a2 are swapped" if swapped else " and ".join(_is(name, given[name][row]) for name in odd)
        pair = " and ".join(_is(name, known[name][row]) for name in known)
        return sheet.row_problem("E213", row, f"{found}; of this pair {pair}")

    return [*problems, *examples(wrong, problem)]


def _texts(column: pa.Array) -> list[str]:
    texts: list[str] = column.fill_null("").to_pylist()
    return texts


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
        return sheet.row_problem("E204", row, f"'{sheet.cell(label, row)}' is not 0 or 1", label)

    return problem


def _bad_cells(sheet: Sheet, name: str, bad: Sequence[BadCell], relevant: Mask, code: str) -> list[Problem]:
    """Return the cells that could not be read, of rows that count."""
    return examples(
        [cell for cell in bad if relevant[cell.row]],
        lambda cell: sheet.row_problem(code, cell.row, cell.message, name),
    )


def _shown(sheet: Sheet, name: str, row: int) -> str:
    return f"'{printable(sheet.cell(name, row) or '')}'"
