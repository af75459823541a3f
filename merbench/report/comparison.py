"""The report on a comparison of systems: paired differences with intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from merbench.errors import Problem
from merbench.report.document import Report
from merbench.report.scorecard import ORGANIZERS_VIEW, public_signature
from merbench.report.tables import ReportTable, displayed, without_empty_columns

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
        n_permutations: number of permutations of the test.
        exact: whether those are all that there are.
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
        """Return one table per metric."""
        head = ("a", "b", "value a", "value b", "a - b", self.interval_head, "p", "p (Holm)")
        d, tables = self.decimals, []
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
                    f"{row.difference:+.{d}f}",
                    "" if row.low is None or row.high is None else f"[{row.low:+.{d}f}, {row.high:+.{d}f}]",
                    "" if row.p is None else f"{row.p:.4f}",
                    "" if row.p_holm is None else f"{row.p_holm:.4f}",
                )
                for row in shown
            ]
            tables.append(without_empty_columns(ReportTable(title, head, rows, n_text=2)))
        return tables

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        number = f"{'all ' if self.exact else ''}{self.n_permutations:,} permutations"
        test = f"p: paired permutation test, two-sided, {number}"
        return [
            *([f"{test}; Holm over the pairs of a metric"] if self.uncertainty else []),
            *([ORGANIZERS_VIEW] if self.hidden and self.uncertainty else []),
            *(str(warning) for warning in self.warnings),
            f"signature: {self.signature}",
        ]


def _of_the_best(rows: Sequence[Difference]) -> list[Difference]:
    """Return the differences between the best system of a metric and each other one, the nearest first."""
    sign = 1 if rows[0].higher_is_better else -1
    values = {name: sign * value for row in rows for name, value in ((row.a, row.value_a), (row.b, row.value_b))}
    best = max(values, key=values.__getitem__)
    return sorted((row for row in rows if best in (row.a, row.b)), key=lambda row: abs(row.difference))
