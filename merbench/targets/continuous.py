"""A target that is a number: `continuous`, and what all kinds of number share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from merbench.declarations import refused
from merbench.errors import Problem, UsageError, examples, listed, printable
from merbench.files.toml import toml_value
from merbench.metrics.lists import Values
from merbench.targets.cells import problems_by_text
from merbench.targets.drafts import Alternative, Draft, DraftColumn
from merbench.targets.sheet import blocks, is_blank
from merbench.targets.target import Answers, Mask, ReferenceColumn, Target, TargetValues, target_type, value_type

Numbers = NDArray[np.float64]

DECIMALS = 6
"""A baseline's values are written with this many decimals."""

MOST_CLASSES = 10
"""A column of whole numbers with at most this many distinct ones may contain classes."""

_NORMAL = NormalDist()

_CLASSES = """\
# The references hold {n} distinct whole numbers. Where they are classes, take these lines instead of those above
# (labels are texts), and the metrics of labels below:
# type = "categorical"
# labels = {labels}
# aliases = {{ calm = {first} }}  # other spellings that are read as a label, in references and in submissions
"""

_NUMBER = r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?"
_SPACES = " \t\v\f"
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")


def _ascending(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    if bounds is not None and not bounds[0] < bounds[1]:
        low, high = (int(bound) if bound.is_integer() else bound for bound in bounds)
        raise refused(((), f"[{low}, {high}]: the first number must be below the second"))
    return bounds


Bounds = Annotated[tuple[float, float] | None, Field(strict=False), AfterValidator(_ascending)]


class NumberTarget(Target):
    """A number."""

    metric_kind = "continuous"
    loss = "squared_error"
    row_average = "values"

    range: Bounds = None  # lowest and highest allowed prediction; None allows every finite number
    # a reference that marks a sample as one that does not count for this target
    invalid: float | None = Field(default=None, strict=False)

    def described(self) -> str:
        return "a number" if self.range is None else f"a number in [{self.range[0]:g}, {self.range[1]:g}]"

    def example(self, row: int) -> tuple[str | float, ...]:
        return (0.0 if self.range is None else sum(self.range) / 2,)

    def read(self, answers: Answers) -> TargetValues:
        """Return the numbers, each finite and within the range."""
        return read_numbers(answers, answers.name, self.range)

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        return ReferenceColumn(*reference_numbers(where, columns[0], self.invalid))

    def sample_values(self, reference: Any, prediction: Any, prepared: Any) -> NDArray[np.float64] | None:
        """Return the squared error of every answer, with a minus."""
        with np.errstate(over="ignore"):
            errors: NDArray[np.float64] = np.square(prediction - reference)
        return -errors

    def sample_columns(self, reference: Any, prediction: Any, prepared: Any) -> Mapping[str, NDArray[Any]]:
        with np.errstate(over="ignore"):
            return {"error": prediction - reference}

    def simulated(self, reference: Any, quality: float, shared: float, noise: Numbers) -> Any:
        return simulated_numbers(reference, quality, shared, noise)

    def agreement(self, reference: Any, a: Any, b: Any) -> float:
        """Return the correlation of two systems' answers."""
        return correlation(a, b)

    def answer(self, output: Any) -> Values:
        low, high = self.range or (-np.inf, np.inf)
        values: Values = output.clip(low, high)
        return values

    def checked_output(self, output: Any, ids: pa.StringArray) -> tuple[Any, list[tuple[str, str]]]:
        """Return an output as finite numbers, one per sample."""
        numbers, problems = float_output(output, (len(ids),), f"finite numbers {(len(ids),)}, one per sample")
        finite = np.isfinite(numbers)
        if not problems and not finite.all():
            problems = [("E204", f"NaN or infinite in {rows_of(~finite, ids)}; every number must be finite")]
        return numbers, problems

    def written(self, values: Any) -> pa.Array:
        return pa.array(np.round(np.asarray(values), DECIMALS) + 0.0)  # no negative zero


@target_type
class ContinuousTarget(NumberTarget):
    """A number."""

    in_ensembles = True
    draft_order = 1
    answer_form = "number"

    type: Literal["continuous"]
    reference: bool = True  # whether there are references; a judge's scores, of which the mean is taken, have none
    # what references are multiplied by, where a corpus has another scale than the task
    reference_scale: float = Field(default=1.0, gt=0, strict=False)

    def of_another_corpus(self, labels: Mapping[str, str], ignored: Sequence[str], scale: float) -> ContinuousTarget:
        return self.model_copy(update={"invalid": None, "reference_scale": scale, "required": False})

    def reference_columns(self, name: str) -> tuple[str, ...]:
        return (name,) if self.reference else ()

    def read_references(self, where: str, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
        """Return the scaled numbers; zeros for all candidates if there are no references."""
        if not columns:
            return ReferenceColumn(np.zeros(n), np.ones(n, dtype=np.bool_))
        numbers, known = reference_numbers(where, columns[0], self.invalid)
        return ReferenceColumn(numbers * self.reference_scale, known)

    @classmethod
    def drafted(cls, column: DraftColumn) -> Draft | None:
        """Return the range of numbers; of few whole numbers, in comments, the labels that they may be."""
        kind = column.cells.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            return None
        ends = pc.min_max(column.shown).as_py()
        low, high = math.floor(ends["min"] or 0), math.ceil(ends["max"] or 0)
        # What a corpus contains need not be all that may be predicted: its range is a proposal to look at.
        mark = "" if column.is_example else "# "
        lines = f"{mark}range = [{low}, {high}]  # a prediction outside is an error\n"
        values = sorted(column.shown.unique().to_pylist()) if pa.types.is_integer(kind) else []
        if not 2 <= len(values) <= MOST_CLASSES:
            return Draft(lines, ("mse", "ccc"))
        labels = [str(value) for value in values]
        classes = _CLASSES.format(n=len(labels), labels=toml_value(labels), first=toml_value(labels[0]))
        comment = f"Where {printable(column.name)} contains classes, these instead:"
        instead = Alternative(comment, ("weighted_f1", "unweighted_average_recall"))
        return Draft(lines + classes, ("mse", "ccc"), alternative=instead)


def simulated_numbers(reference: Any, quality: float, shared: float, noise: Numbers) -> Numbers:
    """Return numbers of the references' mean and standard deviation that correlate with them by `quality`.

    What does not depend on the references is normal, and correlates by `shared` between systems. See
    `Target.simulated`.
    """
    values = np.asarray(reference, dtype=np.float64)
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum(np.square(values - mean)) / len(values))
    common, own = (np.array([_NORMAL.inv_cdf(each) for each in row.tolist()]) for row in noise[[1, 3]])
    error = math.sqrt(shared) * common + math.sqrt(1 - shared) * own
    return np.asarray(mean + quality * (values - mean) + deviation * math.sqrt(1 - quality**2) * error)


def correlation(a: Numbers, b: Numbers) -> float:
    """Return the correlation of two columns of numbers, NaN if one is constant."""
    a, b = a - math.fsum(a) / len(a), b - math.fsum(b) / len(b)
    scale = math.sqrt(math.fsum(a * a) * math.fsum(b * b))
    return math.fsum(a * b) / scale if scale else math.nan


def read_numbers(answers: Answers, name: str, bounds: tuple[float, float] | None = None) -> TargetValues:
    """Return the numbers of a column, each finite and within the bounds."""
    numbers, relevant = numbers_of(answers.sheet.columns[name]), answers.relevant
    low, high = bounds or (-math.inf, math.inf)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(numbers) & (numbers >= low) & (numbers <= high)
    if good.all() or (good | ~relevant).all():
        return TargetValues(numbers)
    allowed = "a finite number" if bounds is None else f"a number in [{low:g}, {high:g}]"
    return TargetValues(numbers, problems=not_numbers(answers, name, ~good & relevant, "E204", allowed))


def numbers_of(column: pa.Array) -> Numbers:
    """Return a column's numbers; what is not a finite decimal number becomes infinite or not a number."""
    if pa.types.is_floating(column.type):
        return np.asarray(column.fill_null(math.nan), dtype=np.float64)
    numbers = np.full(len(column), math.nan)
    for block in blocks(column):
        trimmed = pc.utf8_trim(column[block], _SPACES)
        fits = pc.match_substring_regex(trimmed, f"^{_NUMBER}$").fill_null(False)
        numbers[block][np.asarray(fits)] = [float(text) for text in trimmed.filter(fits).to_pylist()]
    return numbers


def not_numbers(answers: Answers, name: str, bad: Mask, code: str, allowed: str) -> tuple[Problem, ...]:
    """Return the cells that are not `allowed`: those with something in them under `code`, the empty ones under E205."""
    if not bad.any():
        return ()
    texts = answers.sheet.texts(name)
    blank = is_blank(texts)

    def problem(row: int, text: str) -> Problem:
        return answers.problem(code, row, _not_number(text, allowed), name)

    def empty(row: int) -> Problem:
        return answers.problem("E205", row, f"empty; {allowed} is needed", name)

    return (
        *problems_by_text(answers.sheet, bad & ~blank, texts, problem),
        *examples(np.flatnonzero(bad & blank).tolist(), empty),
    )


def _not_number(text: str, allowed: str) -> str:
    hint = ""
    if _WITH_COMMA.fullmatch(text.strip()):
        hint = f"; write '{text.strip().replace(',', '.')}'"
    elif text.startswith("="):
        hint = "; it starts with '=', as a spreadsheet's formula does: save values"
    return f"'{printable(text)}' is not {allowed}{hint}"


def reference_numbers(where: str, column: pa.Array, invalid: float | None) -> tuple[Numbers, Mask]:
    """Return references that are finite numbers, and which samples have one; `invalid` marks a sample without one."""
    try:
        # Whole numbers that float64 does not have become the nearest one that it has.
        rounding = pa.types.is_integer(column.type)
        numbers = np.asarray(column.cast(pa.float64(), safe=not rounding).fill_null(np.nan), dtype=np.float64)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{where} are not all numbers") from error
    known = np.asarray(column.is_valid())
    if invalid is not None:
        known = known & (numbers != invalid)
    if not np.isfinite(numbers[known]).all():
        raise UsageError(f"{where} are not all finite numbers")
    return numbers, known


def float_output(output: Any, shape: tuple[int, ...], needed: str) -> tuple[Numbers, list[tuple[str, str]]]:
    """Return a baseline's output as float64 of a shape; zeros and a problem where it is something else."""
    try:
        array = np.asarray(output)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; a tensor that tracks gradients
        return np.zeros(shape), [("E208", f"{value_type(output)} is not an array ({error}); needed: {needed}")]
    if array.dtype.kind not in "biuf":
        content = "text" if array.dtype.kind in "US" else array.dtype.name
        return np.zeros(shape), [("E208", f"contains {content} of the shape {array.shape}; needed: {needed}")]
    if array.shape != shape:
        return np.zeros(shape), [("E206", f"has the shape {array.shape}; needed: {needed}")]
    return np.asarray(array, dtype=np.float64), []


def rows_of(bad: Mask, ids: pa.StringArray) -> str:
    """Return how many rows are bad, and the ids of the first, for a message."""
    return f"{bad.sum():,} of {len(bad):,} rows ({listed(ids.filter(pa.array(bad)).to_pylist())})"
