"""The report on a comparison of systems: paired differences with intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from merbench.errors import Problem
from merbench.report.document import Report
from merbench.report.scorecard import ORGANIZERS_VIEW, public_signature
from merbench.report.tables import DAGGER, Bar, Cell, ReportTable, displayed, without_empty_columns

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 45
"""With more pairs than this (those of ten systems), tables show only the pairs with the best system; JSON has all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The paired difference a - b of two systems on one metric.

    `low` and `high` are its interval, `p` that of the paired permutation test (two-sided), `p_holm` the same, adjusted
    by Holm over the pairs of this metric; all four are None if they are withheld.
    """

    a: str
    b: str
    key: str
    name: str
    value_a: float
    value_b: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    higher_is_better: bool


@dataclass(frozen=True, kw_only=True)
class Comparison(Report):
    """Paired differences between systems on one track.

    Attributes:
        hidden: whether it is secret which candidates are scored; see `public`.
        n_candidates: how many samples are predicted.
        n_permutations: the largest number of permutations of the test.
        exact: whether these are all permutations, so that p is exact.
        differences: one per metric and pair.
        warnings: what a reader must know.
    """

    SCHEMA: ClassVar[str] = "merbench.comparison/1"

    hidden: bool
    n_candidates: int
    n_permutations: int
    differences: tuple[Difference, ...]
    warnings: tuple[Problem, ...] = ()
    exact: bool = False

    def __repr__(self) -> str:
        names = dict.fromkeys(name for row in self.differences for name in (row.a, row.b))
        return f"<Comparison {self.track}, split {self.split}: {', '.join(names)}>"

    def public(self) -> Comparison:
        """Return what a participant may see: for a hidden split the differences of what `ScoreReport.public` shows."""
        if not self.hidden:
            return self
        return replace(
            self,
            signature=public_signature(self.signature, self.n_candidates),
            uncertainty=None,
            exact=False,  # it would show that few samples are scored
            differences=tuple(self._public(row) for row in self.differences),
            warnings=(),
        )

    def _public(self, row: Difference) -> Difference:
        a, b = displayed(row.value_a, self.decimals), displayed(row.value_b, self.decimals)
        return replace(
            row, value_a=float(a), value_b=float(b), difference=float(a - b), low=None, high=None, p=None, p_holm=None
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric and pair, as a pandas data frame."""
        import pandas as pd

        names = [item.name for item in fields(Difference)]
        return pd.DataFrame([asdict(row) for row in self.differences], columns=names)

    def tables(self) -> list[ReportTable]:
        """Return the values of three systems or more, then one table of pairs per metric."""
        head = ("a", "b", "value a", "value b", "a - b", self.interval_head, "p", "p (Holm)")
        d, tables = self.decimals, self._system_tables()
        for key in dict.fromkeys(row.key for row in self.differences):
            shown = [row for row in self.differences if row.key == key]
            title = f"{shown[0].name} ({'higher' if shown[0].higher_is_better else 'lower'} is better)"
            if (n := len(shown)) > MOST_PAIRS:
                shown = _of_the_best(shown)
                title += f", the best against each: {len(shown)} of {n:,} pairs"
            rows = [
                (
                    row.a,
                    row.b,
                    f"{row.value_a:.{d}f}",
                    f"{row.value_b:.{d}f}",
                    Cell(
                        f"{row.difference:+.{d}f}",
                        Bar(row.difference, row.low, row.high, line=0.0),
                        differs=self._differs(row),
                    ),
                    "" if row.low is None or row.high is None else f"[{row.low:+.{d}f}, {row.high:+.{d}f}]",
                    "" if row.p is None else f"{row.p:.4f}",
                    "" if row.p_holm is None else f"{row.p_holm:.4f}",
                )
                for row in shown
            ]
            legend = f"{DAGGER}: significant, p (Holm) < {self.uncertainty.alpha:g}." if self.uncertainty else ""
            tables.append(
                without_empty_columns(
                    ReportTable(title, head, rows, n_text=2, legend=legend, hint="Dashed: no difference.")
                )
            )
        return tables

    def _differs(self, row: Difference) -> bool:
        return self.uncertainty is not None and row.p_holm is not None and row.p_holm < self.uncertainty.alpha

    def _system_tables(self) -> list[ReportTable]:
        systems = list(dict.fromkeys(name for row in self.differences for name in (row.a, row.b)))
        by_metric: dict[str, list[Difference]] = {}
        for row in self.differences:
            by_metric.setdefault(row.key, []).append(row)
        if len(systems) < 3:
            return []
        columns = [systems]
        for rows in by_metric.values():
            against = {other: row for row in _of_the_best(rows) for other in (row.a, row.b)}
            values = {name: value for row in rows for name, value in ((row.a, row.value_a), (row.b, row.value_b))}
            best = (max if rows[0].higher_is_better else min)(values.values())
            columns.append(
                [
                    Cell(
                        f"{values[name]:.{self.decimals}f}",
                        best=values[name] == best,
                        differs=values[name] != best and self._differs(against[name]),
                    )
                    for name in systems
                ]
            )
        head = (
            "system",
            *(f"{rows[0].name} {'↑' if rows[0].higher_is_better else '↓'}" for rows in by_metric.values()),
        )
        legend = "Bold: best of a column."
        if self.uncertainty:
            legend += f" {DAGGER}: significantly different from it, p (Holm) < {self.uncertainty.alpha:g}."
        return [ReportTable("Systems", head, list(zip(*columns, strict=True)), legend=legend)]

    def cautions(self) -> list[str]:
        """Return the warnings."""
        return [str(warning) for warning in self.warnings]

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        number = "all permutations" if self.exact else f"{self.n_permutations:,} permutations"
        test = f"p: paired permutation test, two-sided, {number}"
        return [
            *([f"{test}; Holm over the pairs of a metric"] if self.uncertainty else []),
            *([ORGANIZERS_VIEW] if self.hidden and self.uncertainty else []),
            *self.cautions(),
            f"signature: {self.signature}",
        ]


def _of_the_best(rows: Sequence[Difference]) -> list[Difference]:
    """Return the differences between the best system of a metric and each other one, the nearest first."""
    sign = 1 if rows[0].higher_is_better else -1
    values = {name: sign * value for row in rows for name, value in ((row.a, row.value_a), (row.b, row.value_b))}
    best = max(values, key=values.__getitem__)
    return sorted((row for row in rows if best in (row.a, row.b)), key=lambda row: abs(row.difference))
