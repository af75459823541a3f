"""A target of several labels, each of which applies or does not: `multilabel`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, examples, listed
from merbench.files.toml import toml_value
from merbench.metrics.lists import Values
from merbench.metrics.multilabel import per_sample
from merbench.targets.continuous import float_output, read_numbers, reference_numbers, rows_of
from merbench.targets.drafts import Draft, DraftColumn
from merbench.targets.target import (
    LABELS_SHOWN,
    Answers,
    Labels,
    ReferenceColumn,
    Target,
    TargetValues,
    target_type,
)


@target_type
class MultilabelTarget(Target):
    """Several labels, each of which applies or does not: one column of 0 and 1 per label."""

    metric_kind = "multilabel"
    has_label_columns = True
    loss = "binary_cross_entropy"

    type: Literal["multilabel"]
    labels: Labels
    invalid: int | None = None  # a reference cell that marks a label as unknown there

    def columns(self, name: str) -> tuple[str, ...]:
        return self.labels

    def described(self) -> str:
        return f"0 or 1 in each of the columns {', '.join(self.labels)}"

    def example(self, row: int) -> tuple[str | float, ...]:
        return tuple(int(place == row % len(self.labels)) for place in range(len(self.labels)))

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return the F1 of the labels of every sample."""
        return self.sample_columns(reference, prediction, prepared)["f1"]

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        """Return the F1 of the labels of every sample, and which labels are right."""
        values = per_sample(reference, prediction)
        f1 = np.full(len(values.known), np.nan)
        f1[values.known] = values.f1
        right = np.where(reference < 0, np.nan, reference == prediction)
        return {"f1": f1, **{f"correct.{label}": right[:, place] for place, label in enumerate(self.labels)}}

    def simulated(self, reference: Any, quality: float, shared: float, noise: NDArray[np.float64]) -> Any:
        return np.maximum(super().simulated(reference, quality, shared, noise), 0)  # unknown: does not apply

    def shown(self, values: Any) -> pa.Array:
        """Return the labels that apply."""
        rows = [[self.labels[place] for place in np.flatnonzero(row == 1)] for row in values]
        return pa.array(rows, pa.list_(pa.string()))

    def read(self, answers: Answers) -> TargetValues:
        """Return 0 and 1 for every label, a column each."""
        columns: list[NDArray[np.int8]] = []
        problems: list[Problem] = []
        for label in self.labels:
            read = read_numbers(answers, label)
            problems += read.problems
            numbers = np.asarray(read.values)
            strange = ~np.isin(numbers, (0, 1)) & np.isfinite(numbers) & answers.relevant
            problems += _not_binary(answers, label, np.flatnonzero(strange).tolist())
            columns.append(np.where(numbers == 1, 1, 0).astype(np.int8))
        return TargetValues(np.stack(columns, axis=1), problems=tuple(problems))

    @classmethod
    def drafted_of_several(cls, columns: Sequence[DraftColumn]) -> Draft | None:
        """Return one target for the columns that hold nothing but 0 and 1."""
        names = tuple(column.name for column in columns if _is_indicator(column.cells))
        if len(names) < 2:
            return None
        lines = f"labels = {toml_value(names)}\n"
        comment = "hold nothing but 0 and 1. Where each says whether a label applies, and several may at once"
        return Draft(lines, ("multilabel_f1", "exact_match"), name="several", replaces=names, comment=comment)

    def answer(self, output: Any) -> Values:
        """Return 1 for every label whose probability is above one half, else 0."""
        return np.asarray(output > 0.5, dtype=np.int8)

    def checked_output(self, output: Any, ids: pa.StringArray) -> tuple[Any, list[tuple[str, str]]]:
        """Return an output as probabilities, one column per label; each is between 0 and 1."""
        shape = (len(ids), len(self.labels))
        columns = f"one column per declared label: {listed(self.labels, LABELS_SHOWN)}"
        table, problems = float_output(output, shape, f"float probabilities {shape}, {columns}")
        strange = np.asarray(~((table >= 0) & (table <= 1)).all(axis=1))
        if not problems and strange.any():
            message = f"not between 0 and 1 in {rows_of(strange, ids)}; scores go through a sigmoid first"
            problems = [("E209", message)]
        return table, problems

    def written_columns(self, name: str, values: Any) -> dict[str, pa.Array]:
        return {label: pa.array(values[:, place]) for place, label in enumerate(self.labels)}

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        """Return 0 and 1 for every label, -1 where it is not known; a sample without a known label has no reference."""
        table = np.full((n, len(columns)), -1, dtype=np.int8)
        for place, column in enumerate(columns):
            values, known = reference_numbers(where, column, self.invalid)
            numbers = values[known]
            if not np.isin(numbers, (0, 1)).all():
                raise UsageError(f"{where} are not all 0 or 1 in column '{self.labels[place]}'")
            table[known, place] = numbers
        return ReferenceColumn(table, np.asarray((table >= 0).any(axis=1)))


def _is_indicator(cells: pa.Array) -> bool:
    return bool(len(cells) and pa.types.is_integer(cells.type) and set(cells.unique().to_pylist()) <= {0, 1})


def _not_binary(answers: Answers, label: str, rows: Sequence[int]) -> list[Problem]:
    return examples(rows, lambda row: answers.problem("E204", row, f"{answers.shown(row, label)} is not 0 or 1", label))
