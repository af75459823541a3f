"""A target that says which of two descriptions of a sample people prefer: `preference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from merbench.errors import Problem, examples, listed, printable
from merbench.targets.categorical import CategoricalTarget, ClassTarget, reference_codes
from merbench.targets.drafts import Draft, DraftColumn
from merbench.targets.sheet import Sheet
from merbench.targets.target import Answers, ReferenceColumn, TargetValues, target_type

CHOICES = ("a1", "a2", "same")
"""What an answer may mean; an answer without any of them counts as the last one."""

_PAIR = CHOICES[:2]

_DRAFT = """\
same = "dropped"  # samples whose reference is same are left out; "class" makes it a third class
reading = "label"  # or "answer": a model's answer in free text
"""


@target_type
class PreferenceTarget(ClassTarget):
    """Which of two descriptions of a sample people prefer: `a1`, `a2`, or `same`.

    Where the corpus has the two descriptions, as columns `a1` and `a2`, a submission may repeat these; then they must
    be the same, so that no pair is answered the wrong way round.
    """

    draft_order = 3
    answer_form = "choice"

    type: Literal["preference"]
    # `dropped` leaves out samples whose reference is `same`, and a predicted `same` counts as `a1`; `class` makes it a
    # third class
    same: Literal["dropped", "class"] = "dropped"
    # `label` asks for one of the three; `answer` reads a model's free text (see `preference_answers`)
    reading: Literal["label", "answer"] = "label"

    @property
    def scored_labels(self) -> tuple[str, ...]:
        return _PAIR if self.same == "dropped" else CHOICES

    def described(self) -> str:
        text = "a1, a2 or same" if self.reading == "label" else "a model's answer, read as a1, a2 or same"
        if self.same == "class":
            return text
        return f"{text}; samples whose reference is same are left out, and a predicted same counts as a1"

    def read(self, answers: Answers) -> TargetValues:
        """Return codes; `same` counts as `a1` where it is not a class."""
        if self.reading == "answer":
            sheet = answers.sheet.with_column(answers.name, preference_answers(answers.column))
            answers = replace(answers, sheet=sheet)
        labels = CategoricalTarget(type="categorical", labels=CHOICES)
        read = labels.read(replace(answers, missing_ids="error"))
        codes = np.asarray(read.values)
        return replace(read, values=np.where(codes == len(self.classes), 0, codes).astype(np.int32))

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft | None:
        """Return a target for a column of a1, a2 and same."""
        if not len(column.cells) or not set(column.cells.unique().to_pylist()) <= set(CHOICES):
            return None
        return Draft(_DRAFT, ("weighted_f1", "unweighted_average_recall"))

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        """Return codes; `same` is not a reference where it is not a class."""
        known = np.asarray(columns[0].is_valid())
        codes = reference_codes(where, columns[0], known, CHOICES, {})
        return ReferenceColumn(codes, known & (codes < len(self.classes)))

    def repeated_columns(self, known: Sequence[str]) -> tuple[str, ...]:
        return _PAIR if set(_PAIR) <= set(known) else ()

    def repeated_problems(self, sheet: Sheet, known: Mapping[str, pa.Array]) -> list[Problem]:
        """Return what compares something else than the corpus does: a lone column, swapped pairs, other pairs."""
        repeated = [name for name in known if name in sheet.columns]
        if not repeated:
            return []
        incomplete = f"the column is missing, and {listed(repeated)} is given; give both, or neither"
        problems = [Problem("E213", incomplete, column=name) for name in known if name not in sheet.names]
        given = {name: sheet.columns[name].fill_null("") for name in repeated}
        # A row of no candidate has nulls, which differ from nothing.
        unequal = [np.asarray(pc.fill_null(pc.not_equal(given[name], known[name]), False)) for name in repeated]

        def problem(row: int) -> Problem:
            mine, theirs = ({name: column[row].as_py() for name, column in side.items()} for side in (given, known))
            swapped = [mine[name] for name in repeated] == [theirs["a2"], theirs["a1"]]
            odd = [name for name in repeated if mine[name] != theirs[name]]
            wrong = "a1 and a2 are swapped" if swapped else " and ".join(_is(name, mine[name]) for name in odd)
            pair = " and ".join(_is(name, theirs[name]) for name in theirs)
            return sheet.row_problem("E213", row, f"{wrong}; of this pair {pair}")

        return [*problems, *examples(np.flatnonzero(np.logical_or.reduce(unequal)).tolist(), problem)]


def preference_answers(column: pa.Array) -> pa.Array:
    """Return each answer in free text as `a1`, `a2` or `same`, by the rule of the MER 2026 baseline; nulls stay.

    In lower case: what the answer starts with, else the earliest of the three in it, else `same`. What it starts with
    is the earliest, so one search does both. It looks within words, too: "data2" contains `a2`.
    """
    text = pc.utf8_lower(column.cast(pa.string()))
    places = np.stack([np.asarray(pc.fill_null(pc.find_substring(text, choice), -1)) for choice in CHOICES])
    earliest = np.where(places < 0, np.iinfo(places.dtype).max, places).argmin(axis=0)
    choice = np.where((places < 0).all(axis=0), len(CHOICES) - 1, earliest)
    return pc.if_else(column.is_valid(), pa.array(CHOICES).take(pa.array(choice)), pa.scalar(None, pa.string()))


def _is(name: str, text: str) -> str:
    return f"{name} is '{printable(text)}'" if text.strip() else f"{name} is empty"
