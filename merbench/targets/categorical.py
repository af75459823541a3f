"""A target that is one of several labels: `categorical`, and what the kinds with a vocabulary share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from merbench.declarations import as_several, refused
from merbench.errors import Problem, UsageError, did_you_mean, examples, listed, plural, printable
from merbench.metrics import Metric
from merbench.metrics.lists import Values
from merbench.targets.cells import Texts, class_indices, problems_by_text
from merbench.targets.continuous import float_output, not_numbers, numbers_of, reference_numbers, rows_of
from merbench.targets.drafts import Draft, DraftColumn, label_lines
from merbench.targets.sheet import is_blank
from merbench.targets.target import (
    LABELS_SHOWN,
    Answers,
    Labels,
    Mask,
    ReferenceColumn,
    Target,
    TargetValues,
    target_type,
)

Codes = NDArray[np.int32]
Table = NDArray[np.float64]

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of a row may sum."""

MOST_VOTES = 1 << 53
"""The most votes of a sample: whole numbers up to here are exact."""

_FATES = {"error": "an error", "wrong": "a wrong answer", "dropped": "no answer, its row is dropped"}


_DRAFT = """\
out_of_vocabulary = "error"  # or "wrong": another answer counts as a wrong one
# aliases = { surprised = "surprise" }
"""


def vote_columns(votes: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the columns of votes, as a validator does it; they are refused unless there is one for each label."""
    labels = info.data.get("labels")
    if votes and labels is not None and len(votes) != len(labels):
        raise refused(((), f"names {plural(len(votes), 'column')}; {len(labels)} are needed, one per label"))
    return votes


class VocabularyTarget(Target):
    """A target with declared labels, and a rule for other answers."""

    has_confusion = True
    may_be_wrong = True
    answer_noun: ClassVar[str] = "answers"

    labels: Labels  # the vocabulary; its order is the order of codes, rows and ties
    aliases: dict[str, str] = Field(default_factory=dict)  # other spellings that are read as a label
    # what an answer outside the vocabulary is: an error of the file, a wrong answer, or no answer: its row is dropped
    out_of_vocabulary: Literal["error", "wrong", "dropped"] = "error"

    @field_validator("aliases")
    @classmethod
    def _of_labels(cls, aliases: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        labels = info.data.get("labels")
        if labels is None:  # reported
            return aliases
        unknown = [
            ((alias,), f"'{label}' is not one of {', '.join(labels)}")
            for alias, label in aliases.items()
            if label not in labels
        ]
        own = [((alias,), "is a label itself") for alias in aliases if alias in labels]
        if unknown or own:
            raise refused(*unknown, *own)
        return aliases

    @property
    def allowed(self) -> str:
        """The vocabulary as messages show it."""
        return f"one of {listed(self.labels, LABELS_SHOWN)}"

    @property
    def fate_of_others(self) -> str:
        """What happens to answers outside the vocabulary, as the end of a sentence."""
        return f"is {_FATES[self.out_of_vocabulary]}"

    def other_answers(self) -> str:
        """Return what answers outside the vocabulary are, and which other spellings are read."""
        text = f"any other answer {self.fate_of_others}"
        read = ", ".join(f"{alias} = {label}" for alias, label in self.aliases.items())
        return f"{text}; also read: {read}" if read else text

    def values_of(
        self,
        answers: Answers,
        values: Values,
        strange: Mask,
        empty: Mask,
        given: Texts,
        unknown: Callable[[], Sequence[Problem]],
    ) -> TargetValues:
        """Return values with what the track makes of answers outside the vocabulary and of empty ones.

        Args:
            answers: what was read.
            values: codes, -1 outside the vocabulary.
            strange: `(n,)` the rows outside the vocabulary.
            empty: `(n,)` the rows without an answer.
            given: the strange answers.
            unknown: returns the strange answers as problems.
        """
        problems: list[Problem] = []
        warnings: list[Problem] = []
        dropped = np.zeros(len(strange), dtype=np.bool_)
        n_strange, n_empty = int(strange.sum()), int(empty.sum())
        share = f"{n_strange:,} of {answers.n:,} {self.answer_noun}"
        indices = class_indices(given, self.labels, answers.n) if n_strange else ""
        if indices and self.out_of_vocabulary == "error":
            message = f"{share} are numbers; write the names of labels{indices}"
            problems.append(Problem("E203", message, column=answers.name, count=n_strange))
        elif n_strange and self.out_of_vocabulary == "error":
            problems += unknown()
        elif n_strange:
            fate = "count as wrong" if self.out_of_vocabulary == "wrong" else "are dropped"
            message = f"{share} are not {self.allowed} and {fate}: {given.counted()}{indices}"
            warnings.append(Problem("W202", message, column=answers.name))
            dropped |= strange & (self.out_of_vocabulary == "dropped")
        if n_empty and answers.missing_ids not in ("wrong", "dropped"):
            message = f"empty; {self.allowed} is needed"
            problems += examples(np.flatnonzero(empty).tolist(), lambda row: answers.problem("E205", row, message))
        elif n_empty:
            fate = "counted as wrong" if answers.missing_ids == "wrong" else "dropped"
            message = f"{n_empty:,} of {answers.n:,} answers are empty, {fate}"
            warnings.append(Problem("W302", message, column=answers.name))
            dropped |= empty & (answers.missing_ids == "dropped")
        return TargetValues(values, None, tuple(problems), tuple(warnings), dropped if dropped.any() else None)


class ProbabilityTarget(Target):
    """A target that a baseline answers with probabilities of `classes`."""

    loss = "cross_entropy"

    def checked_output(self, output: Any, ids: pa.StringArray) -> tuple[Any, list[tuple[str, str]]]:
        """Return an output as probabilities that sum to 1, one column per class."""
        shape = (len(ids), len(self.classes))
        columns = f"one column per declared label: {listed(self.classes, LABELS_SHOWN)}"
        table, problems = float_output(output, shape, f"float probabilities {shape}, {columns}")
        return table, problems or _probability_problems(table, ids)


class ClassTarget(ProbabilityTarget):
    """A target whose values are codes of `classes`."""

    metric_kind = "categorical"
    cell_type = pa.string()
    row_average = "probabilities"
    has_confusion = True
    may_be_wrong = True

    def example(self, row: int) -> tuple[str | float, ...]:
        return (self.classes[row % len(self.classes)],)

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return 1 for a right answer, 0 for a wrong one."""
        right: NDArray[np.float64] = np.equal(reference, prediction).astype(np.float64)
        return right

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        return {"correct": np.equal(reference, prediction)}

    def answer(self, output: Any) -> Values:
        codes: Codes = output.argmax(1).astype(np.int32)
        return codes

    def written(self, values: Any) -> pa.Array:
        return pa.array(self.classes).take(pa.array(values))

    def shown(self, values: Any) -> pa.Array:
        return self.written(np.ma.masked_less(values, 0))


@target_type
class CategoricalTarget(ClassTarget, VocabularyTarget):
    """One of several labels."""

    in_ensembles = True
    takes_label_noise = True
    answer_form = "label"
    draft_order = 9

    type: Literal["categorical"]
    # references that mark a sample as one that does not count for this target, such as labels of the corpus that the
    # task leaves out
    invalid: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(as_several)] = ()
    # the reference columns of the corpus with the numbers of annotators who chose each label; empty without
    votes: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(as_several)] = ()
    # the label that any answer outside the vocabulary counts as; None leaves it to `out_of_vocabulary`
    other_label: str | None = None
    # a reference column of numbers instead of labels: above 0 is the first label, below 0 the second, 0 does not count
    sign_of: str | None = None

    _one_column_per_label = field_validator("votes")(vote_columns)

    @field_validator("other_label")
    @classmethod
    def _is_label(cls, label: str | None, info: ValidationInfo) -> str | None:
        labels = info.data.get("labels")
        if label is not None and labels is not None and label not in labels:
            raise refused(((), f"'{label}' is not one of {', '.join(labels)}{did_you_mean(label, labels)}"))
        return label

    @field_validator("sign_of")
    @classmethod
    def _of_two(cls, column: str | None, info: ValidationInfo) -> str | None:
        labels = info.data.get("labels")
        if column is not None and labels is not None and len(labels) != 2:
            raise refused(((), f"needs two labels, those above and below 0, not {len(labels)}"))
        return column

    def of_another_corpus(self, labels: Mapping[str, str], ignored: Sequence[str], scale: float) -> CategoricalTarget:
        return self.model_copy(
            update={"aliases": dict(labels), "invalid": tuple(ignored), "votes": (), "sign_of": None, "required": False}
        )

    def reference_columns(self, name: str) -> tuple[str, ...]:
        return (self.sign_of or name, *self.votes)

    def probability_columns(self) -> tuple[str, ...]:
        return tuple(f"p_{label}" for label in self.labels)

    @classmethod
    def is_scored_by(cls, metric: Metric) -> bool:
        return super().is_scored_by(metric) or metric.target == "distribution"

    def described(self) -> str:
        left_out = f"; samples whose reference is {listed(self.invalid, 12)} do not count" if self.invalid else ""
        return f"one of {', '.join(self.labels)}; {self.other_answers()}{left_out}"

    @property
    def fate_of_others(self) -> str:
        return super().fate_of_others if self.other_label is None else f"counts as {self.other_label}"

    def read(self, answers: Answers) -> TargetValues:
        """Return codes: from the label column, from the probabilities, or from both.

        Where a submission contains both, the label must have the largest probability of its row, or share it.
        """
        if not answers.probabilities:
            return self._read_labels(answers)
        table, problems = read_probabilities(answers, answers.probabilities)
        if answers.name not in answers.sheet.columns:
            return TargetValues(np.argmax(table, axis=1).astype(np.int32), table, problems)
        labels = self._read_labels(answers)
        problems = (*labels.problems, *problems) or self._disagreements(answers, np.asarray(labels.values), table)
        return TargetValues(labels.values, table, problems, labels.warnings, labels.dropped)

    def _read_labels(self, answers: Answers) -> TargetValues:
        column = answers.column
        code_of = {label: code for code, label in enumerate(self.labels)}
        code_of |= {alias: code_of[label] for alias, label in self.aliases.items()}
        places = pc.index_in(column, value_set=pa.array(code_of, pa.string()))
        codes = np.array([*code_of.values(), -1], dtype=np.int32)[np.asarray(places.fill_null(-1))]
        bad = (codes < 0) & answers.relevant
        if not bad.any():
            return TargetValues(codes)
        blank = is_blank(column)
        strange = bad & ~blank

        def problem(row: int, text: str) -> Problem:
            hint = did_you_mean(text, self.labels)
            return answers.problem("E203", row, f"'{printable(text)}' is not {self.allowed}{hint}")

        if self.other_label is not None and strange.any():
            given = Texts.of(column, strange)
            codes[strange], strange = code_of[self.other_label], np.zeros_like(strange)
            share = f"{given.counts.sum():,} of {answers.n:,} answers"
            message = f"{share} are not {self.allowed} and count as {self.other_label}: {given.counted()}"
            others = Problem("W202", message, column=answers.name)
            read = self.values_of(answers, codes, strange, bad & blank, Texts.of(column, strange), tuple)
            return replace(read, warnings=(others, *read.warnings))
        return self.values_of(
            answers,
            codes,
            strange,
            bad & blank,
            Texts.of(column, strange),
            lambda: problems_by_text(answers.sheet, strange, column, problem),
        )

    def _disagreements(self, answers: Answers, codes: Codes, table: Table) -> tuple[Problem, ...]:
        """Return the rows whose label is not the most probable one."""
        given, largest = table[np.arange(len(codes)), codes], table.max(axis=1)

        def problem(row: int) -> Problem:
            mine, theirs = self.labels[codes[row]], self.labels[int(np.argmax(table[row]))]
            message = (
                f"'{mine}' has the probability {given[row]:.6g} and '{theirs}' {largest[row]:.6g}; "
                "give the most probable label, or leave out the labels or the probabilities"
            )
            return answers.problem("E210", row, message)

        bad = np.flatnonzero((given < largest) & (codes >= 0) & answers.relevant).tolist()
        return tuple(examples(bad, problem))

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft:
        texts = column.shown.unique().cast(pa.string()).to_pylist()
        if pa.types.is_boolean(column.cells.type):
            texts = ["false", "true"]
        labels = [text for text in (texts if column.is_example else sorted(texts)) if text and text == text.strip()]
        lines, _ = label_lines(labels, "their order is the order of codes, rows and ties")
        return Draft(f"{lines}{_DRAFT}", ("weighted_f1", "unweighted_average_recall"))

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        column = columns[0]
        if self.sign_of is not None:
            numbers, has_sign = reference_numbers(where, column, 0.0)
            return ReferenceColumn((numbers < 0).astype(np.int32), has_sign)
        marked = pc.is_in(column.cast(pa.string()), value_set=pa.array(self.invalid, pa.string()))
        known = np.asarray(column.is_valid()) & ~np.asarray(marked)
        codes = reference_codes(where, column, known, self.labels, self.aliases)
        if not self.votes:
            return ReferenceColumn(codes, known)
        votes, _ = read_votes(where, columns[1:], self.labels)
        if not (votes == np.rint(votes)).all():
            raise UsageError(f"{where}: votes are not all whole numbers of annotators")
        return ReferenceColumn(codes, known, votes.astype(np.int64))


def reference_codes(
    where: str, column: pa.Array, known: Mask, labels: Sequence[str], aliases: Mapping[str, str]
) -> Codes:
    """Return references as codes of labels; raise `UsageError` if one of the known ones is something else."""
    codes = [*range(len(labels)), *(labels.index(label) for label in aliases.values()), -1]
    text = column.cast(pa.string())
    places = np.asarray(pc.fill_null(pc.index_in(text, value_set=pa.array([*labels, *aliases])), len(codes) - 1))
    values: Codes = np.asarray(codes, dtype=np.int32)[places]
    strange = sorted(set(text.filter(pa.array(known & (values < 0))).to_pylist()))
    if strange:
        raise UsageError(f"{where} contain {listed(strange)}; the track declares {', '.join(labels)}")
    return values


def read_votes(where: str, columns: Sequence[pa.Array], labels: Sequence[str]) -> tuple[Table, Mask]:
    """Return the `(n, K)` votes for every label, 0 where a sample has none, and which samples have them.

    Raises:
        UsageError: some are not finite numbers of at least 0, or a sample has votes for some of the labels only, or
            more of them than `MOST_VOTES`.
    """
    read = [reference_numbers(where, column, None) for column in columns]
    table, given = (np.stack(parts, axis=1) for parts in zip(*read, strict=True))
    table = np.where(given, table, 0.0)
    partial, negative = given.any(axis=1) & ~given.all(axis=1), table < 0
    if partial.any():
        lacking = [label for label, column in zip(labels, given[partial].T, strict=True) if not column.all()]
        raise UsageError(
            f"{where}: {partial.sum():,} of {len(table):,} samples have votes for some labels and no number for "
            f"{listed(lacking)}; write 0 where nobody chose a label"
        )
    if negative.any():
        values = [f"{value:g}" for value in table[negative].tolist()]
        n_rows = negative.any(axis=1).sum()
        raise UsageError(f"{where}: {n_rows:,} of {len(table):,} samples have votes below 0: {listed(values)}")
    with np.errstate(over="ignore"):
        too_many = np.asarray(table.sum(axis=1) > MOST_VOTES)
    if too_many.any():
        raise UsageError(
            f"{where}: {too_many.sum():,} of {len(table):,} samples have more than {MOST_VOTES:,} votes: "
            f"{listed([f'{value:g}' for value in table[too_many].max(axis=1).tolist()])}"
        )
    return table, np.asarray(given.all(axis=1))


def read_probabilities(answers: Answers, names: Sequence[str]) -> tuple[Table, tuple[Problem, ...]]:
    """Return the probabilities of every row, one column per label, and their problems."""
    columns = [numbers_of(answers.sheet.columns[name]) for name in names]
    table = np.stack(columns, axis=1)
    problems: list[Problem] = []
    with np.errstate(invalid="ignore", over="ignore"):
        good = (table >= 0) & (table <= 1)
        total = np.where(good.all(axis=1), sum(columns[1:], columns[0]), 1.0)
    allowed = "a probability in [0, 1]"
    if ((table >= 0) & np.isfinite(table)).all() and (table > 1).any():
        allowed += "; divide counts by the sum of their row"
    for name, fits in zip(names, good.T, strict=True):
        problems += not_numbers(answers, name, ~fits & answers.relevant, "E209", allowed)

    def wrong_sum(row: int) -> Problem:
        message = f"the probabilities sum to {total[row]:.6g}; they must sum to 1 within {SUM_TOLERANCE:g}"
        return answers.problem("E209", row, message)

    off = np.flatnonzero((np.abs(total - 1) > SUM_TOLERANCE) & answers.relevant).tolist()
    return table, (*problems, *examples(off, wrong_sum))


def _probability_problems(table: Table, ids: pa.StringArray) -> list[tuple[str, str]]:
    problems = []
    finite = np.asarray(np.isfinite(table).all(axis=1))
    if not finite.all():
        problems.append(("E209", f"NaN or infinite in {rows_of(~finite, ids)}; every probability must be finite"))
    negative = finite & (table < 0).any(axis=1)
    if negative.any():
        message = f"below 0 in {rows_of(negative, ids)}, as low as {table[negative].min():.6g}"
        problems.append(("E209", f"{message}; probabilities are not: scores go through a softmax first"))
    total = np.where(finite & ~negative, np.where(finite[:, None], table, 0.0).sum(axis=1), 1.0)
    off = np.asarray(np.abs(total - 1) > SUM_TOLERANCE)
    if off.any():
        message = f"sum to {total[off][0]:.6g} and the like in {rows_of(off, ids)}"
        problems.append(("E209", f"{message}; the probabilities of a row must sum to 1 within {SUM_TOLERANCE:g}"))
    return problems
