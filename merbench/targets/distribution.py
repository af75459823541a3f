"""A target that is how annotators' votes are spread over labels: `distribution`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from merbench.declarations import as_several
from merbench.files.toml import toml_value
from merbench.metrics.distribution import agreement, divergence, normalised
from merbench.metrics.lists import Values
from merbench.targets.categorical import ProbabilityTarget, read_probabilities, read_votes, vote_columns
from merbench.targets.drafts import Draft, DraftColumn
from merbench.targets.target import Answers, Labels, ReferenceColumn, TargetValues, target_type


@target_type
class DistributionTarget(ProbabilityTarget):
    """The shares of annotators' votes for each of several labels: one column per label, `<target>_<label>`."""

    metric_kind = "distribution"
    in_ensembles = True
    answer_form = "shares"

    type: Literal["distribution"]
    labels: Labels  # the labels that annotators chose from
    # the columns of the corpus with their votes or shares, one per label; empty for those named as in a submission
    votes: Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(as_several)] = ()

    _one_column_per_label = field_validator("votes")(vote_columns)

    def columns(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}_{label}" for label in self.labels)

    def reference_columns(self, name: str) -> tuple[str, ...]:
        return self.votes or self.columns(name)

    def described(self) -> str:
        return f"the shares of votes for {', '.join(self.labels)}, which sum to 1"

    def example(self, row: int) -> tuple[str | float, ...]:
        return tuple(float(place == row % len(self.labels)) for place in range(len(self.labels)))

    def read(self, answers: Answers) -> TargetValues:
        """Return the probabilities of every row, one column per label, divided by their sum."""
        table, problems = read_probabilities(answers, self.columns(answers.name))
        return TargetValues(table if problems else normalised(table), problems=problems)

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        """Return the shares of every label, and the votes where these are whole numbers of two or more annotators."""
        table, given = read_votes(where, columns, self.labels)
        known = given & table.any(axis=1)
        shares = normalised(np.where(known[:, None], table, 1.0))
        are_counts = bool((table == np.rint(table)).all() and (table.sum(axis=1) > 1).any())
        return ReferenceColumn(shares, known, table.astype(np.int64) if are_counts else None, given & ~known)

    def answer(self, output: Any) -> Values:
        return normalised(output)

    def written_columns(self, name: str, values: Any) -> dict[str, pa.Array]:
        return {column: pa.array(part) for column, part in zip(self.columns(name), values.T, strict=True)}

    def shown(self, values: Any) -> pa.Array:
        """Return the labels with a share of at least 0.01, the largest one first."""
        tables = [sorted(zip(-row, range(len(row)), strict=True)) for row in values]
        return pa.array([[f"{self.labels[i]} {-share:.2f}" for share, i in row if share <= -0.01] for row in tables])

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return 1 where the most probable label is that of most votes, else 0, and a share among equal ones."""
        return agreement(reference, prediction)

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        """Return whether the most probable labels agree, and the Jensen-Shannon divergence."""
        return {"agreement": agreement(reference, prediction), "divergence": divergence(reference, prediction)}

    def simulated(self, reference: Any, quality: float, shared: float, noise: NDArray[np.float64]) -> Any:
        """Return shares as `Target.simulated` does; those of another sample are half way to the mean of all samples.

        Sure of shares that are wrong, a system would have a cross-entropy that none has.
        """
        answers = super().simulated(reference, quality, shared, noise)
        is_right = (answers == reference).all(axis=1)
        return np.where(is_right[:, None], answers, (answers + reference.mean(axis=0)) / 2)

    def agreement(self, reference: Any, a: Any, b: Any) -> float:
        """Return on how many samples the most probable labels of two systems are both right or both wrong."""
        return float(1 - np.abs(agreement(reference, a) - agreement(reference, b)).mean())

    @classmethod
    def drafted_of_several(cls, columns: Sequence[DraftColumn]) -> Draft | None:
        """Return one target for the whole numbers whose names differ only behind the last `_`."""
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for column in columns:
            name, _, label = column.name.rpartition("_")
            if name and label and pa.types.is_integer(column.cells.type) and _are_votes(column.cells):
                groups[name].append(label)
        name, labels = max(groups.items(), key=lambda item: len(item[1]), default=("", []))
        if len(labels) < 2:
            return None
        replaced = tuple(f"{name}_{label}" for label in labels)
        lines = f"labels = {toml_value(tuple(labels))}\n"
        comment = "hold whole numbers. Where they are the votes of annotators for labels"
        return Draft(lines, ("cross_entropy", "majority_agreement"), name=name, replaces=replaced, comment=comment)


def _are_votes(cells: pa.Array) -> bool:
    values = np.asarray(cells)
    return bool(len(values) and values.min() >= 0 and values.max() > 1)
