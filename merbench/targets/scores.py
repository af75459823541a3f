"""A target that is a score of the positive one of two classes: `scores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationInfo, field_validator

from merbench.declarations import refused
from merbench.targets.categorical import reference_codes
from merbench.targets.continuous import correlation, read_numbers, simulated_numbers
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

    @property
    def reference_labels(self) -> tuple[str, ...]:
        """The negative and the positive class."""
        return self.negative, self.positive

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

    def written(self, values: Any) -> pa.Array:
        return pa.array(values, pa.float64())  # no digit is left out: they rank samples

    def shown(self, values: Any) -> pa.Array:
        """Return numbers, and the label of references."""
        return pa.array(values if values.dtype.kind == "f" else np.array([self.negative, self.positive])[values])

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        """Return the share of the other class that each sample is ranked right against, a tie counting half.

        DeLong, DeLong & Clarke-Pearson, 1988: the mean over either class is the area under the curve.
        """
        share = np.full(len(reference), np.nan)
        for code, sign in ((1, 1.0), (0, -1.0)):
            own, others = reference == code, np.sort(sign * prediction[reference == 1 - code])
            if len(others):
                below, up_to = (np.searchsorted(others, sign * prediction[own], side) for side in ("left", "right"))
                share[own] = (below + up_to) / (2 * len(others))
        return {"ranked_right": share}

    def simulated(self, reference: Any, quality: float, shared: float, noise: NDArray[np.float64]) -> Any:
        """Return scores that are normal in both classes; 0 and 1 are the positions of the classes."""
        return simulated_numbers(reference, quality, shared, noise)

    def agreement(self, reference: Any, a: Any, b: Any) -> float:
        """Return the correlation of two systems' scores."""
        return correlation(a, b)

    def why_undefined(self, reference: Any) -> str:
        for code, label in enumerate((self.negative, self.positive)):
            if not (reference == code).any():
                return f"no reference is '{label}'"
        return ""
