"""The report on one system under a grid of conditions.

Conventions:
    As in `merbench.report`. The scores of clean samples are next to every curve and part of no summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from merbench.report import Report, ReportTable, Score
from merbench.report.tables import without_empty_columns

CLEAN = "clean"

Weights = Literal["shared", "per-condition", "mixed"]
"""Which models answer under which conditions; see `Settings`."""

_TRAINED_ON = {
    "shared": "one model, trained on clean samples, for all conditions",
    "per-condition": "one model for each condition, trained on samples corrupted in the same way",
    "mixed": "one model for all conditions, trained on samples each of which is corrupted under one of them",
}
_SCALES = {
    "standardised": "after each dimension was centred and divided by its standard deviation in the training data",
    "stored": "on the scale on which they are stored",
}


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """The scores under one condition."""

    value: Any  # value of the curve's parameter; None for clean samples
    # the overall score, where there is one, and every metric; empty if the condition failed
    scores: tuple[Score, ...]
    relative: tuple[Score, ...] = ()  # the same of the system that is compared with; empty without one
    # `<step>.<name>` -> mean over samples of sampled parameters and realised values
    realised: Mapping[str, float] = field(default_factory=dict)
    # the options that the system was trained with; several where groups were left out and differ in them
    options: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""  # why there are no scores; empty if there are

    def score(self, key: str, *, relative: bool) -> Score | None:
        """Return the score of one metric; None if the condition failed."""
        return next((score for score in (self.relative if relative else self.scores) if score.key == key), None)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; without ends where none was made."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over all conditions of a curve."""

    key: str
    name: str  # the short name shown
    # `auilc`, the area under the line over missing rates (by trapezoids, not divided by the range of rates), or `mean`,
    # the plain mean over conditions
    kind: Literal["auilc", "mean"]
    over: Estimate  # that area or mean
    # sum of the system's errors over conditions / that of the system it is compared with
    corruption_error: Estimate | None = None
    # the same for the rise of the errors above those on clean samples
    relative_corruption_error: Estimate | None = None


@dataclass(frozen=True)
class CurveReport:
    """The scores along one parameter."""

    parameter: str  # what varies
    unit: str
    step: str
    corruption: str
    modality: str
    declared: Mapping[str, Any]  # the other parameters, values or distributions
    rows: tuple[ConditionRow, ...]  # one for each condition, in the order given
    summary: tuple[Summary, ...]  # one for each metric; empty if a condition failed

    @property
    def step_title(self) -> str:
        """The corruption, and the step where it has a name of its own."""
        return conditions_of(self.corruption, self.step, {})

    @property
    def rates(self) -> list[float] | None:
        """The missing rates of the conditions, over which there is an area; None takes the mean."""
        return self.numbers if self.modality == "features" and self.parameter == "rate" else None

    @property
    def numbers(self) -> list[float] | None:
        """The values of the conditions where all of them are numbers, else None."""
        return as_numbers([row.value for row in self.rows])


def as_numbers(values: Sequence[Any]) -> list[float] | None:
    """Return values where all of them are numbers, else None."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    return None


@dataclass(frozen=True, slots=True)
class MeanError:
    """The mean corruption error of one metric over several curves (Hendrycks and Dietterich, 2019)."""

    key: str
    name: str
    mce: float | None
    relative_mce: float | None


@dataclass(frozen=True, kw_only=True)
class RobustnessReport(Report):
    """One system over a grid of conditions.

    Attributes:
        corpus: name of the corpus.
        baseline: name of the system.
        relative_to: name of the system it is compared with; empty without one.
        weights: whether one model, trained on clean samples, was used for all conditions, or one for each.
        feature_scale: the scale on which features were corrupted; empty if no curve is of features.
        folds_by: the column whose values the folds of cross-validation keep together; empty if there is none.
        leave_out: the corpus column whose values were left out in turn; empty if the training split was used.
        features: the features it learned from.
        seed: seed of the training.
        digests: SHA-256 of track, corpus, references, features, clips, noise banks; of a hidden split neither of corpus
            nor of references.
        counts: candidates, scored (unless the split is hidden), trained (on the largest training set).
        clean: the scores of clean samples.
        curves: one for each grid and each corruption that has its parameter.
        mean_errors: the mean corruption error over curves; empty without a system to compare with.
        remarks: what a reader must know.
        extractors: modality -> what its features are extracted by that are computed from clips or transcripts.
        training_corruptions: what the track declares for training samples, one text each.
        versions: of the libraries that computed vectors depend on, and the machine; empty if there are none.
    """

    SCHEMA: ClassVar[str] = "merbench.robustness/1"

    corpus: str
    baseline: str
    relative_to: str
    weights: Weights
    leave_out: str
    features: tuple[str, ...]
    seed: int
    digests: Mapping[str, str]
    counts: Mapping[str, int]
    clean: ConditionRow
    curves: tuple[CurveReport, ...]
    mean_errors: tuple[MeanError, ...] = ()
    remarks: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    feature_scale: Literal["", "standardised", "stored"] = ""
    folds_by: str = ""
    extractors: Mapping[str, str] = field(default_factory=dict)
    training_corruptions: tuple[str, ...] = ()

    def __repr__(self) -> str:
        n = sum(len(curve.rows) for curve in self.curves)
        return f"<RobustnessReport {self.track}, split {self.split}: {self.baseline} under {n} conditions>"

    def _stored(self) -> dict[str, Any]:
        content = asdict(self)
        content["notes"] = content.pop("remarks")
        if not self.training_corruptions:
            del content["training_corruptions"]  # reports without any keep their bytes
        return content

    @classmethod
    def _restored(cls, content: dict[str, Any]) -> Mapping[str, Any]:
        if "undamaged" in content:  # written before the key was renamed
            content["clean"] = content.pop("undamaged")
        content["remarks"] = content.pop("notes")
        return content

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{super().heading}: {self.baseline} under corruption"

    def shares_parameter(self, curve: CurveReport) -> bool:
        """Return whether another curve is along the same parameter."""
        return sum(other.parameter == curve.parameter for other in self.curves) > 1

    def tables(self) -> list[ReportTable]:
        """Return the scores and the summary of every curve, and the mean corruption errors."""
        tables = []
        for curve in self.curves:
            tables.append(self._condition_table(curve, self.baseline, relative=False))
            if self.relative_to:
                tables.append(self._condition_table(curve, self.relative_to, relative=True))
            if curve.summary:
                tables.append(self._summary_table(curve))
        if self.mean_errors and len(self.curves) > 1:
            rows = [
                (item.name, *("" if value is None else self.number(value) for value in (item.mce, item.relative_mce)))
                for item in self.mean_errors
                if item.mce is not None
            ]
            title = f"over {len(self.curves)} curves, / {self.relative_to}"
            tables.append(without_empty_columns(ReportTable(title, ("", "mCE", "relative mCE"), rows)))
        return tables

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        lines = [
            ", ".join(f"{n:,} {name}" for name, n in self.counts.items()),
            learned_on(self.weights, self.training_corruptions),
        ]
        if self.feature_scale:
            lines.append(scaled_by(self.feature_scale))
        if self.folds_by:
            lines.append(f"options were selected by folds that keep every '{self.folds_by}' together")
        if self.leave_out:
            lines.append(f"each '{self.leave_out}' was predicted by a model of the others; scored once, pooled")
        by = {name: f"{name} ({extractor})" for name, extractor in self.extractors.items()}
        lines.append(f"features: {', '.join(by.get(name, name) for name in self.features) or 'none'}")
        if self.uncertainty is not None:
            lines.append(self.interval_note())
        lines.append("areas, means and errors are over the conditions of a grid, without clean samples")
        return [*lines, *self.problems, *self.remarks, f"signature: {self.signature}"]

    def interval_note(self) -> str:
        """Return how the intervals were made; those of areas, means and errors are percentiles of the resamples."""
        others = "areas, means and errors (percentile)"
        return self.uncertainty.note("conditions", others) if self.uncertainty else ""

    @property
    def problems(self) -> list[str]:
        """The conditions that failed, one line each."""
        return [
            f"not scored: {curve.parameter} = {shown(row.value)} of {curve.step_title}: {row.problem}"
            for curve in self.curves
            for row in curve.rows
            if row.problem
        ]

    def _condition_table(self, curve: CurveReport, system: str, *, relative: bool) -> ReportTable:
        realised = [] if relative else sorted({name for row in curve.rows for name in row.realised})
        keys = [score.key for score in self.clean.scores]
        clean = {score.key: score.value for score in (self.clean.relative if relative else self.clean.scores)}
        head = (
            f"{curve.parameter} ({curve.unit})" if curve.unit else curve.parameter,
            *(score.name for score in self.clean.scores),
            *(name.split(".", 1)[-1] for name in realised),
        )
        rows = [(CLEAN, self.clean), *((shown(row.value), row) for row in curve.rows)]
        lines = [
            (
                name,
                *(self._cell(row.score(key, relative=relative), clean.get(key)) for key in keys),
                *(self.number(row.realised.get(value)) for value in realised),
            )
            for name, row in rows
        ]
        title = f"{system}, by {curve.parameter} of {conditions_of(curve.corruption, curve.step, curve.declared)}"
        return ReportTable(title, head, lines, hint="Dashed: clean samples.")

    def _summary_table(self, curve: CurveReport) -> ReportTable:
        kind = {"auilc": "area (AUILC)", "mean": "mean"}[curve.summary[0].kind]
        rows = [
            (
                item.name,
                *(
                    "" if part is None else self.estimate(part.value, part.low, part.high)
                    for part in (item.over, item.corruption_error, item.relative_corruption_error)
                ),
            )
            for item in curve.summary
        ]
        against = f" / {self.relative_to}" if self.relative_to else ""
        head = ("", kind, f"corruption error{against}", f"relative corruption error{against}")
        title = f"over {curve.parameter}" + (f" of {curve.step_title}" if self.shares_parameter(curve) else "")
        return without_empty_columns(ReportTable(title, head, rows))

    def _cell(self, score: Score | None, clean: float | None) -> str:
        return "–" if score is None else self.estimated(score.value, score.low, score.high, line=clean)


def learned_on(weights: Weights, training: Sequence[str]) -> str:
    """Return the line on what models learned from, with the corruptions that the track declares for training."""
    if weights == "shared" and training:
        return f"weights: one model for all conditions, trained on samples corrupted by {'; '.join(training)}"
    return f"weights: {_TRAINED_ON[weights]}"


def scaled_by(feature_scale: str) -> str:
    """Return the line on the scale on which features were corrupted."""
    return f"features were corrupted {_SCALES[feature_scale]}"


def conditions_of(corruption: str, step: str, declared: Mapping[str, Any]) -> str:
    """Return a corruption, its step where that has a name of its own, and the parameters that do not vary."""
    title = corruption if step == corruption else f"{corruption} ({step})"
    return ", ".join([title, *(f"{name} = {shown(declared[name])}" for name in sorted(declared))])


def shown(value: Any) -> str:
    """Return a parameter as it is shown: numbers in their shortest form, distributions as they are declared."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:g}" if abs(value) < 1e300 else str(value)
        case Mapping():
            return ", ".join(f"{key} {shown(item)}" for key, item in sorted(value.items()))
        case Sequence() if not isinstance(value, str):
            return f"[{', '.join(map(shown, value))}]"
    return str(value)
