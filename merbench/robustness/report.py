"""What one system scores under a grid of conditions, as frozen values that render themselves and come back from JSON.

Conventions:
    As in `merbench.report`: values are fractions, never rounded; JSON has sorted keys and no NaN; the same report is
    the same bytes. The undamaged samples stand beside the curves and enter no summary.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from merbench.errors import UsageError, json_text
from merbench.report import ReportTable, Score, Uncertainty
from merbench.report.tables import displayed, section_markdown, section_text, without_empty_columns

SCHEMA = "merbench.robustness/1"

UNDAMAGED = "undamaged"


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """What was scored under one condition.

    Attributes:
        value: value of the curve's parameter; None for undamaged samples.
        scores: the overall score, where there is one, and every metric; empty where the condition failed.
        relative: the same of the system that is compared with; empty without one.
        realised: `<step>.<name>` -> mean over samples of what was drawn, and of what the damage came to.
        options: the options that the system was trained with; several where groups were left out and chose differently.
        problem: why there are no scores; empty where there are.
    """

    value: Any
    scores: tuple[Score, ...]
    relative: tuple[Score, ...] = ()
    realised: Mapping[str, float] = field(default_factory=dict)
    options: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval; without ends where none was made."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric over all conditions of a curve.

    Attributes:
        key: key of the metric.
        name: the short name shown.
        kind: `auilc`, the area under the line over missing rates (by trapezoids, not divided by the range of rates),
            or `mean`, the plain mean over conditions.
        over: that area or mean.
        corruption_error: sum of the system's errors over conditions / that of the system it is compared with.
        relative_corruption_error: the same of the rise of the errors above those on undamaged samples.
    """

    key: str
    name: str
    kind: Literal["auilc", "mean"]
    over: Estimate
    corruption_error: Estimate | None = None
    relative_corruption_error: Estimate | None = None


@dataclass(frozen=True)
class CurveReport:
    """What was scored along one parameter.

    Attributes:
        parameter: what varies.
        unit: its unit.
        step: name of the step.
        corruption: name of the corruption.
        modality: what it damages.
        declared: the other parameters, values or distributions.
        rows: one for each condition, in the order asked for.
        summary: one for each metric; empty where a condition failed.
    """

    parameter: str
    unit: str
    step: str
    corruption: str
    modality: str
    declared: Mapping[str, Any]
    rows: tuple[ConditionRow, ...]
    summary: tuple[Summary, ...]


@dataclass(frozen=True, slots=True)
class MeanError:
    """The mean corruption error of one metric over several curves (Hendrycks and Dietterich, 2019)."""

    key: str
    name: str
    mce: float | None
    relative_mce: float | None


@dataclass(frozen=True)
class RobustnessReport:
    """One system over a grid of conditions.

    Attributes:
        track: id and version.
        title: the track's title.
        corpus: name of the corpus.
        split: the split that was damaged and scored.
        synthetic: whether the corpus is the synthetic sample.
        baseline: name of the system.
        relative_to: name of the system it is compared with; empty without one.
        weights: `shared`: one model, trained on undamaged samples, under all conditions; `per-condition`: one model
            for each, trained on samples that were damaged alike.
        feature_scale: the scale on which features were corrupted, `standardised` by the training data or `stored`;
            empty where no curve is of features.
        folds_by: the column whose values the folds of cross-validation keep together; empty where there is none.
        leave_out: the corpus column whose values were left out in turn; empty where the training split was used.
        features: the features it learned from.
        seed: seed of the training.
        signature: what must be equal for two reports to be comparable.
        digests: SHA-256 of track, corpus, references, features, clips, noise banks; of a hidden split neither of corpus
            nor of references.
        counts: candidates, scored (unless the split is hidden), trained (on the largest training set).
        undamaged: what was scored without damage.
        curves: one for each grid and each corruption that has its parameter.
        mean_errors: the mean corruption error over curves; empty without a system to compare with.
        uncertainty: how intervals were made; None without intervals.
        notes: what a reader must know.
        decimals: how many are shown.
        versions: of the libraries that vectors of clips rest on, and the machine; empty without clips.
    """

    track: str
    title: str
    corpus: str
    split: str
    synthetic: bool
    baseline: str
    relative_to: str
    weights: Literal["shared", "per-condition"]
    leave_out: str
    features: tuple[str, ...]
    seed: int
    signature: str
    digests: Mapping[str, str]
    counts: Mapping[str, int]
    undamaged: ConditionRow
    curves: tuple[CurveReport, ...]
    mean_errors: tuple[MeanError, ...] = ()
    uncertainty: Uncertainty | None = None
    notes: tuple[str, ...] = ()
    decimals: int = 4
    versions: Mapping[str, str] = field(default_factory=dict)
    feature_scale: str = ""
    folds_by: str = ""

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        n = sum(len(curve.rows) for curve in self.curves)
        return f"<RobustnessReport {self.track}, split {self.split}: {self.baseline} under {n} conditions>"

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, shortest round-trip floats, a newline at the end."""
        content = {"schema": SCHEMA, **asdict(self)}
        return json_text(content)

    @classmethod
    def from_json(cls, text: str) -> RobustnessReport:
        """Return the report whose `to_json` is `text`; raise `UsageError` for anything else."""
        try:
            content = json.loads(text)
            if content.pop("schema") != SCHEMA:
                raise KeyError("schema")
            made = content["uncertainty"]
            return cls(
                **{
                    **content,
                    "features": tuple(content["features"]),
                    "notes": tuple(content["notes"]),
                    "undamaged": _row(content["undamaged"]),
                    "curves": tuple(_curve(item) for item in content["curves"]),
                    "mean_errors": tuple(MeanError(**item) for item in content["mean_errors"]),
                    "uncertainty": None if made is None else Uncertainty(**made),
                }
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UsageError(f"not a report of the form {SCHEMA}: {error}") from error

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if self.synthetic else ""
        return f"{self.title} ({self.track}, split {self.split}){sample}: {self.baseline} under damage"

    def shares_parameter(self, curve: CurveReport) -> bool:
        """Return whether another curve is along the same parameter."""
        return sum(other.parameter == curve.parameter for other in self.curves) > 1

    def tables(self) -> list[ReportTable]:
        """Return what the report shows, as headed tables of strings."""
        found = []
        for curve in self.curves:
            found.append(self._condition_table(curve, self.baseline, relative=False))
            if self.relative_to:
                found.append(self._condition_table(curve, self.relative_to, relative=True))
            if curve.summary:
                found.append(self._summary_table(curve))
        if self.mean_errors and len(self.curves) > 1:
            found.append(self._mean_error_table())
        return found

    def notes_shown(self) -> list[str]:
        """Return the lines under the tables."""
        trained = {
            "shared": "one model, trained on undamaged samples, under all conditions",
            "per-condition": "one model for each condition, trained on samples that were damaged alike",
        }
        lines = [", ".join(f"{n:,} {name}" for name, n in self.counts.items()), f"weights: {trained[self.weights]}"]
        if self.feature_scale:
            lines.append(f"features were corrupted {_SCALES[self.feature_scale]}")
        if self.folds_by:
            lines.append(f"options were chosen by folds that keep every '{self.folds_by}' together")
        if self.leave_out:
            lines.append(f"each '{self.leave_out}' was predicted by a model of the others; scored once, pooled")
        lines.append(f"features: {', '.join(self.features) or 'none'}")
        if self.uncertainty is not None:
            made = self.uncertainty
            unit = "samples" if made.cluster is None else f"{made.n_clusters:,} clusters of '{made.cluster}'"
            drawn = f"{made.n_resamples:,} Poisson resamples of {unit}, seed {made.seed}, shared by all conditions"
            lines.append(f"{made.level:.0%} intervals: {made.method}, {drawn}; of areas, means and errors: percentile")
        lines.append("areas, means and errors are over the conditions of a grid; undamaged samples are left out")
        return [*lines, *self.problems, *self.notes, f"signature: {self.signature}"]

    @property
    def problems(self) -> list[str]:
        """The conditions that failed, one line each."""
        return [
            f"not scored: {curve.parameter} = {shown(row.value)} of {_step_title(curve)}: {row.problem}"
            for curve in self.curves
            for row in curve.rows
            if row.problem
        ]

    def to_text(self, width: int | None = None) -> str:
        """Return the report as plain aligned text, tables at most `width` characters wide."""
        return section_text(self.heading, self.tables(), self.notes_shown(), width)

    def to_markdown(self) -> str:
        """Return the report as GitHub Markdown, names escaped."""
        return section_markdown(self.heading, self.tables(), self.notes_shown())

    def _condition_table(self, curve: CurveReport, system: str, *, relative: bool) -> ReportTable:
        rows = [self.undamaged, *curve.rows]
        realised = [] if relative else sorted({name for row in curve.rows for name in row.realised})
        names = [score.name for score in self.undamaged.scores]
        head = (
            f"{curve.parameter} ({curve.unit})" if curve.unit else curve.parameter,
            *names,
            *(name.split(".", 1)[-1] for name in realised),
        )
        lines = [
            (
                UNDAMAGED if row is self.undamaged else shown(row.value),
                *([self._cell(score) for score in (row.relative if relative else row.scores)] or ["–"] * len(names)),
                *(self._number(row.realised.get(name)) for name in realised),
            )
            for row in rows
        ]
        others = ", ".join(f"{name} = {shown(curve.declared[name])}" for name in sorted(curve.declared))
        title = f"{system}, by {curve.parameter} of {_step_title(curve)}" + (f", {others}" if others else "")
        return ReportTable(title, head, lines)

    def _summary_table(self, curve: CurveReport) -> ReportTable:
        kind = {"auilc": "area (AUILC)", "mean": "mean"}[curve.summary[0].kind]
        rows = [
            (
                item.name,
                self._estimate(item.over),
                self._estimate(item.corruption_error),
                self._estimate(item.relative_corruption_error),
            )
            for item in curve.summary
        ]
        against = f" / {self.relative_to}" if self.relative_to else ""
        head = ("", kind, f"corruption error{against}", f"relative corruption error{against}")
        title = f"over {curve.parameter}" + (f" of {_step_title(curve)}" if self.shares_parameter(curve) else "")
        return without_empty_columns(ReportTable(title, head, rows))

    def _mean_error_table(self) -> ReportTable:
        rows = [
            (item.name, *("" if value is None else self._number(value) for value in (item.mce, item.relative_mce)))
            for item in self.mean_errors
            if item.mce is not None
        ]
        title = f"over {len(self.curves)} curves, / {self.relative_to}"
        return without_empty_columns(ReportTable(title, ("", "mCE", "relative mCE"), rows))

    def _cell(self, score: Score) -> str:
        return f"{self._number(score.value)} {self._interval(score.low, score.high)}".strip()

    def _estimate(self, found: Estimate | None) -> str:
        if found is None:
            return ""
        return f"{self._number(found.value)} {self._interval(found.low, found.high)}".strip()

    def _number(self, value: float | None) -> str:
        return "–" if value is None else f"{displayed(value, self.decimals):f}"

    def _interval(self, low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"[{self._number(low)}, {self._number(high)}]"


_SCALES = {
    "standardised": "after each dimension was centred and divided by its standard deviation in the training data",
    "stored": "on the scale on which they are stored",
}


def _step_title(curve: CurveReport) -> str:
    return curve.corruption if curve.step == curve.corruption else f"{curve.corruption} ({curve.step})"


def shown(value: Any) -> str:
    """Return a parameter as it is shown: numbers in their shortest form, distributions as they are declared."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"{value:g}"
        case Mapping():
            return ", ".join(f"{key} {shown(item)}" for key, item in sorted(value.items()))
        case list() | tuple():
            return f"[{', '.join(map(shown, value))}]"
    return str(value)


def numbers_of(rows: Sequence[ConditionRow]) -> list[float] | None:
    """Return the values of conditions where all of them are numbers, else None."""
    values = [row.value for row in rows]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return [float(value) for value in values]
    return None


def values_by_key(
    rows: Sequence[ConditionRow], key: str, *, relative: bool
) -> Iterator[tuple[float | None, float | None, float | None]]:
    """Yield one metric's value under every condition with the ends of its interval; None for one that failed."""
    for row in rows:
        found = next((score for score in (row.relative if relative else row.scores) if score.key == key), None)
        yield (None, None, None) if found is None else (found.value, found.low, found.high)


def _row(item: Mapping[str, Any]) -> ConditionRow:
    return ConditionRow(
        item["value"],
        tuple(Score(**score) for score in item["scores"]),
        tuple(Score(**score) for score in item["relative"]),
        item["realised"],
        tuple(item["options"]),
        item.get("problem", ""),
    )


def _curve(item: Mapping[str, Any]) -> CurveReport:
    rows = tuple(_row(row) for row in item["rows"])
    estimates = ("over", "corruption_error", "relative_corruption_error")
    summary = tuple(
        Summary(**{**row, **{name: None if row[name] is None else Estimate(**row[name]) for name in estimates}})
        for row in item["summary"]
    )
    return CurveReport(**{**item, "rows": rows, "summary": summary})
