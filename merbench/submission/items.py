"""The columns of a target whose cells hold several things go in, its values come out, with every cell that is wrong.

Conventions:
    As in `merbench.submission.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, examples, listed, printable
from merbench.lexicon import open_lexicon
from merbench.parsing import BadCell, read_label_lists
from merbench.parsing.answers import preference_answers
from merbench.parsing.descriptions import words_in_text
from merbench.parsing.ranked import ranked_lists
from merbench.parsing.segments import segment_lists
from merbench.submission.ids import Rows
from merbench.submission.sheet import Sheet
from merbench.submission.values import Mask, TargetValues, categorical_values, number_values, rows_mask
from merbench.track import (
    CategoricalTarget,
    LabelSetTarget,
    MultilabelTarget,
    PreferenceTarget,
    RankedTarget,
    SegmentsTarget,
    TextTarget,
)


def label_set_values(sheet: Sheet, name: str, target: LabelSetTarget, relevant: Mask) -> TargetValues:
    """Return the sets of words of a target."""
    column = sheet.columns[name]
    sets = read_label_lists(column, split=target.split)
    problems = _bad_cells(sheet, name, sets.bad, relevant, "E211")
    if target.empty == "error":
        problems += examples(
            sets.empty[relevant[sets.empty]].tolist(),
            lambda row: sheet.row_problem("E205", row, "an empty set; at least one label is needed", name),
        )
    return TargetValues(sets.lists, problems=tuple(problems))


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
    first = np.full(len(lists), -1, dtype=np.int32)
    first[counts > 0] = lists.codes[lists.offsets[:-1][counts > 0]]
    strange = [row for row in np.flatnonzero((first < 0) & (counts > 0) & relevant).tolist() if row not in unread]
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
        shown = listed([_shown(sheet, name, row) for row in strange[:6]])
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
    """Return the rows that compare something else than the corpus does: swapped pairs, other pairs."""
    if not pairs or any(name not in sheet.columns for name in pairs):
        return []
    places = pa.array(candidate_of, mask=candidate_of < 0)
    given = {name: sheet.columns[name].to_pylist() for name in pairs}
    known = {name: pairs[name].take(places).to_pylist() for name in pairs}
    wrong = [
        row
        for row in np.flatnonzero(candidate_of >= 0).tolist()
        if (given["a1"][row], given["a2"][row]) != (known["a1"][row], known["a2"][row])
    ]

    def problem(row: int) -> Problem:
        swapped = (given["a1"][row], given["a2"][row]) == (known["a2"][row], known["a1"][row])
        first, second = (f"'{printable(known[name][row] or '')}'" for name in ("a1", "a2"))
        message = "a1 and a2 are swapped" if swapped else "a1 and a2 are not the two that are compared"
        return sheet.row_problem("E213", row, f"{message}; of this pair a1 is {first} and a2 is {second}")

    return examples(wrong, problem)


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
