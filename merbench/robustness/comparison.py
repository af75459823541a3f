"""The report on several systems under the same conditions: their curves, what differs, and how evenly they depend.

Conventions:
    As in `merbench.report`. Values of a curve are those of clean samples, then those under every condition; None where
    there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from merbench.report import Report, ReportTable
from merbench.report.tables import DAGGER, Bar, Cell, displayed, without_empty_columns
from merbench.robustness.report import CLEAN, Estimate, Weights, conditions_of, learned_on, scaled_by, shown


@dataclass(frozen=True, slots=True)
class ComparedSystem:
    """A system of a comparison."""

    name: str
    baseline: str
    features: tuple[str, ...]
    options: Mapping[str, Any]  # those that it is given, without those that are selected
    problem: str = ""  # why it has no curves; empty if it has


@dataclass(frozen=True, slots=True)
class SystemValues:
    """One metric of a system along a curve."""

    system: str
    values: tuple[Estimate | None, ...]  # clean, then every condition
    over: Estimate | None = None  # the area or the mean over the conditions; None if a condition failed
    rank: int | None = None  # by it, from 1; equal values share the lowest
    corruption_error: Estimate | None = None  # relative to another system, where there is one


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """What a system's area or mean differs from that of the best system, over the same resamples."""

    system: str
    best: str
    difference: float  # that of the system minus that of the best
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None  # adjusted for all pairs of systems of the metric


@dataclass(frozen=True, slots=True)
class ComparedMetric:
    """One metric of all systems along a curve."""

    key: str
    name: str
    higher_is_better: bool
    kind: Literal["auilc", "mean"]
    systems: tuple[SystemValues, ...]
    differences: tuple[PairedDifference, ...] = ()  # one for each system but the best


@dataclass(frozen=True, slots=True)
class ComparedCurve:
    """All systems along one parameter of a corruption."""

    parameter: str
    unit: str
    step: str
    corruption: str
    declared: Mapping[str, Any]
    conditions: tuple[Any, ...]  # the values of the parameter
    metrics: tuple[ComparedMetric, ...]


@dataclass(frozen=True, slots=True)
class Equity:
    """How evenly the performance of a system depends on its modalities; see `merbench.robustness.equity`."""

    system: str
    corruption: str
    key: str
    name: str
    index: Estimate | None  # None where nothing is lost
    drops: Mapping[str, float]  # modality -> what the metric loses without it; below 0 where it gains


@dataclass(frozen=True, kw_only=True)
class RobustnessComparison(Report):
    """Several systems over the same grids of conditions.

    Attributes:
        corpus: name of the corpus.
        weights: what models of the conditions learned from; see `Settings`.
        seed: seed of the training.
        ranked_by: key of the metric by which systems are ordered.
        relative_to: the system that corruption errors are relative to; empty without one.
        systems: all of them, in the order asked for.
        curves: one for each grid and each corruption that has its parameter.
        equity: the modality equity indices, where conditions show them.
        feature_scale: the scale on which features were corrupted; empty if no curve is of features.
        leave_out: the corpus column whose values were left out in turn; empty if the training split was used.
        training_corruptions: what the track declares for training samples, one text each.
        counts: as in the report on one system.
        failures: the conditions of systems that failed, one line each.
        remarks: what a reader must know.
    """

    SCHEMA: ClassVar[str] = "merbench.robustness-comparison/1"

    corpus: str
    weights: Weights
    seed: int
    ranked_by: str
    relative_to: str
    systems: tuple[ComparedSystem, ...]
    curves: tuple[ComparedCurve, ...]
    equity: tuple[Equity, ...] = ()
    feature_scale: Literal["", "standardised", "stored"] = ""
    leave_out: str = ""
    training_corruptions: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        names = ", ".join(system.name for system in self.systems)
        return f"<RobustnessComparison {self.track}, split {self.split}: {names}>"

    @property
    def heading(self) -> str:
        """The first line of every form."""
        return f"{super().heading}: {len(self.systems)} systems under corruption"

    @property
    def problems(self) -> list[str]:
        """The systems and conditions that failed, one line each."""
        return [*(f"{each.name}: {each.problem}" for each in self.systems if each.problem), *self.failures]

    def tables(self) -> list[ReportTable]:
        """Return for every curve its values, the areas or means, and those of the other metrics; then the indices."""
        tables = []
        for curve in self.curves:
            first, *others = self._ordered(curve)
            tables += [self._values(curve, first), self._areas(curve, first)]
            if others:
                tables.append(self._others(curve, others, [each.system for each in _by_rank(first)]))
        return [*tables, *self._indices()]

    def _ordered(self, curve: ComparedCurve) -> list[ComparedMetric]:
        """Return the metrics of a curve, the one that systems are ordered by first."""
        return sorted(curve.metrics, key=lambda metric: metric.key != self.ranked_by)

    def _title(self, curve: ComparedCurve) -> str:
        return f"{curve.parameter} of {conditions_of(curve.corruption, curve.step, curve.declared)}"

    def _values(self, curve: ComparedCurve, metric: ComparedMetric) -> ReportTable:
        n = 1 + len(curve.conditions)
        values = {each.system: [*each.values, *[None] * n][:n] for each in _by_rank(metric)}
        best = [_best(column, metric, self.decimals) for column in zip(*values.values(), strict=True)]
        rows = [(name, *map(self._cell, own, best)) for name, own in values.items()]
        head = ("system", CLEAN, *map(shown, curve.conditions))
        unit = f", {curve.unit}" if curve.unit else ""
        title = f"{metric.name} {_arrow(metric)} by {self._title(curve)}{unit}"
        return ReportTable(title, head, rows, legend="Bold: best of a column.")

    def _cell(self, estimate: Estimate | None, best: float | None, *, interval: bool = False) -> Cell:
        if estimate is None:
            return Cell("–")
        low, high = estimate.low, estimate.high
        text = self.estimate(estimate.value, low, high) if interval else self.number(estimate.value)
        is_best = best is not None and displayed(estimate.value, self.decimals) == best
        return Cell(text, Bar(estimate.value, low, high), best=is_best)

    def _areas(self, curve: ComparedCurve, metric: ComparedMetric) -> ReportTable:
        differences = {each.system: each for each in metric.differences}
        best = _best([each.over for each in metric.systems], metric, self.decimals)
        rows = []
        for each in _by_rank(metric):
            row = differences.get(each.system)
            rows.append(
                (
                    each.system,
                    self._cell(each.over, best, interval=True),
                    self._difference(row) if row else Cell(""),
                    "" if row is None or row.p_holm is None else _p(row.p_holm),
                    self._cell(each.corruption_error, None, interval=True) if each.corruption_error else "",
                )
            )
        value = f"{_KINDS[metric.kind]} of {metric.name} {_arrow(metric)}"
        head = ("system", value, "Δ vs best", "p (Holm)", f"corruption error / {self.relative_to}")
        legend = f"Bold: best. {DAGGER}: significantly different from it, p (Holm) < {self.alpha:g}."
        title = f"over {self._title(curve)}"
        return without_empty_columns(ReportTable(title, head, rows, legend=legend, hint="Dashed: no difference."))

    @property
    def alpha(self) -> float:
        """The error rate of the tests."""
        return self.uncertainty.alpha if self.uncertainty else 0.05

    def _difference(self, row: PairedDifference) -> Cell:
        d, ends = self.decimals, ""
        if row.low is not None and row.high is not None:
            ends = f" [{row.low:+.{d}f}, {row.high:+.{d}f}]"
        differs = row.p_holm is not None and row.p_holm < self.alpha
        bar = Bar(row.difference, row.low, row.high, line=0.0)
        return Cell(f"{row.difference:+.{d}f}{ends}", bar, differs=differs)

    def _others(self, curve: ComparedCurve, metrics: Sequence[ComparedMetric], names: Sequence[str]) -> ReportTable:
        columns = []
        for metric in metrics:
            over = {each.system: each.over for each in metric.systems}
            best = _best(list(over.values()), metric, self.decimals)
            columns.append([self._cell(over[name], best, interval=True) for name in names])
        head = ("system", *(f"{metric.name} {_arrow(metric)}" for metric in metrics))
        title = f"{_KINDS[metrics[0].kind]} of the other metrics over {self._title(curve)}"
        return ReportTable(title, head, list(zip(names, *columns, strict=True)), legend="Bold: best of a column.")

    def _indices(self) -> Iterator[ReportTable]:
        """Yield the equity indices of the metric that systems are ordered by, one table for each corruption."""
        own = [each for each in self.equity if each.key == self.ranked_by]
        for corruption in dict.fromkeys(each.corruption for each in own):
            of_corruption = [each for each in own if each.corruption == corruption]
            modalities = sorted({name for each in of_corruption for name in each.drops})
            rows = [
                (
                    each.system,
                    self._cell(each.index, None, interval=True),
                    *(f"{each.drops[name]:+.{self.decimals}f}" if name in each.drops else "" for name in modalities),
                )
                for each in sorted(of_corruption, key=lambda each: -(each.index.value if each.index else -1))
            ]
            title = f"modality equity of {own[0].name}, by {corruption}"
            yield ReportTable(title, ("system", "index ↑", *(f"drop without {name}" for name in modalities)), rows)

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        lines = [
            ", ".join(f"{n:,} {name}" for name, n in self.counts.items()),
            learned_on(self.weights, self.training_corruptions),
        ]
        if self.feature_scale:
            lines.append(scaled_by(self.feature_scale))
        if self.leave_out:
            lines.append(f"each '{self.leave_out}' was predicted by a model of the others; scored once, pooled")
        if self.uncertainty is not None:
            lines.append(self.interval_note())
            lines.append(
                "Δ vs best: paired by sample, Student's t from the resamples; p: the same, two-sided, Holm over all "
                "pairs of systems of a curve"
            )
        if self.equity:
            lines.append(
                "modality equity, merbench's own index: 1 where the score drops equally without each modality, 0 where "
                "it drops without only one of them; – where it never drops"
            )
        lines.append(f"one training for each model, with seed {self.seed}: intervals do not cover other seeds")
        return [
            *lines,
            *(f"not scored: {line}" for line in self.problems),
            *self.remarks,
            f"signature: {self.signature}",
        ]

    def interval_note(self) -> str:
        """Return how the intervals were made."""
        others = "areas, means and equity (percentile), differences (t)"
        return self.uncertainty.note("systems and conditions", others) if self.uncertainty else ""

    def _stored(self) -> dict[str, Any]:
        return asdict(self)


_KINDS = {"auilc": "area (AUILC)", "mean": "mean"}


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 5e-5 else "<0.0001"


def _arrow(metric: ComparedMetric) -> str:
    return "↑" if metric.higher_is_better else "↓"


def _by_rank(metric: ComparedMetric) -> list[SystemValues]:
    """Return the systems by the area or mean, those without one last."""
    return sorted(metric.systems, key=lambda each: (each.rank is None, each.rank or 0))


def _best(estimates: Sequence[Estimate | None], metric: ComparedMetric, decimals: int) -> Any:
    values = [displayed(each.value, decimals) for each in estimates if each is not None]
    return (max if metric.higher_is_better else min)(values, default=None)
