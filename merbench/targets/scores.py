"""A target that is a score of the positive one of two classes: `scores`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import ValidationInfo, field_validator

from merbench.declarations import refused
from merbench.targets.categorical import reference_codes
from merbench.targets.continuous import read_numbers
from merbench.targets.target import Answers, ReferenceColumn, Target, TargetValues, target_type


@target_type
class ScoresTarget(Target):
    """A score that is higher the more a sample belongs to the positive class."""

    metric_kind = "scores"
    row_average = "values"

    type: Literal["scores"]
    positive: str  # the reference label of the positive class
    negative: str  # that of the other class

    @field_validator("negative")
    @classmethod
    def _differs(cls, value: str, info: ValidationInfo) -> str:
        if value == info.data.get("positive"):
            raise refused(((), "is the positive class, too"))
        return value

    def described(self) -> str:
        return f"a finite number, higher where '{self.positive}' is more likely than '{self.negative}'"

    def example(self, row: int) -> tuple[str | float, ...]:
        return (row / 2,)

    def read(self, answers: Answers) -> TargetValues:
        """Return the finite scores."""
        return read_numbers(answers, answers.name)

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        known = np.asarray(columns[0].is_valid())
        codes = reference_codes(where, columns[0], known, (self.negative, self.positive), {})
        return ReferenceColumn(codes.astype(np.int8), known)

    def why_undefined(self, reference: Any) -> str:
        for code, label in enumerate((self.negative, self.positive)):
            if not (reference == code).any():
                return f"no reference is '{label}'"
        return ""
