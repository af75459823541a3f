"""What a comparison of systems found, as frozen values that render themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from merbench.errors import Problem, json_text
from merbench.report.scorecard import ORGANIZERS_VIEW, Uncertainty, public_signature
from merbench.report.tables import (
    ReportTable,
    displayed,
    page_html,
    section_html,
    section_markdown,
    section_text,
    without_empty_columns,
)

if TYPE_CHECKING:
    import pandas as pd


MOST_PAIRS = 45
"""With more pairs than this (those of ten systems), tables show only the pairs with the best system; JSON has all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The paired difference a - b of two systems on one metric.

    Attributes:
        a: name of the first system.
        b: name of the second.
        key: key of the metric.
        name: its short name.
        value_a: the plain value of the first.
        value_b: the plain value of the second.
        difference: value_a - value_b.
        low: lower end of the interval of the difference; this and the next three are None if they are withheld.
        high: upper end.
        p: two-sided p of the paired permutation test.
        p_holm: the same, adjusted by Holm over the pairs of this metric.
        higher_is_better: the direction of improvement.
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


@dataclass(frozen=True)
class Comparison:
    """Paired differences between systems on one track.

    Attributes:
        track: id and version.
        title: the track's title.
        split: name of the split.
        synthetic: whether the corpus is the synthetic sample.
        hidden: whether which candidates are scored is a secret; see `public`.
        n_candidates: how many samples are predicted.
        signature: what must be equal for two values to be comparable.
        n_permutations: how many the test drew.
        uncertainty: how the intervals were made; None where they are withheld.
        differences: one per metric and pair.
        warnings: what a reader must know.
        decimals: how many are shown.
    """

    track: str
    title: str
    split: str
    synthetic: bool
    hidden: bool
    n_candidates: int
    signature: str
    n_permutations: int
    uncertainty: Uncertainty | None
    differences: tuple[Difference, ...]
    warnings: tuple[Problem, ...] = ()
    decimals: int = 4

    def __repr__(self) -> str:
        names = dict.fromkeys(name for row in self.differences for name in (row.a, row.b))
        return f"<Comparison {self.track}, split {self.split}: {', '.join(names)}>"

    def __str__(self) -> str:
        return self.to_text()

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

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, shortest round-trip floats, a newline at the end."""
        content = {"schema": "merbench.comparison/1", **asdict(self)}
        return json_text(content)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric and pair, as a pandas data frame."""
        import pandas as pd

        names = [item.name for item in fields(Difference)]
        return pd.DataFrame([asdict(row) for row in self.differences], columns=names)

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if self.synthetic else ""
        return f"{self.title} ({self.track}, split {self.split}){sample}"

    def tables(self) -> list[ReportTable]:
        """Return one headed table of strings per metric, for every renderer."""
        interval = f"{self.uncertainty.level:.0%} interval" if self.uncertainty else "interval"
        head = ("a", "b", "value a", "value b", "a - b", interval, "p", "p (Holm)")
        tables = []
        for key in dict.fromkeys(row.key for row in self.differences):
            chosen = [row for row in self.differences if row.key == key]
            better = "higher" if chosen[0].higher_is_better else "lower"
            title = f"{chosen[0].name} ({better} is better)"
            if len(chosen) > MOST_PAIRS:
                title += f", the best against each: {len(shown := _of_the_best(chosen))} of {len(chosen):,} pairs"
                chosen = shown
            d = self.decimals
            rows = [
                (
                    row.a,
                    row.b,
                    f"{row.value_a:.{d}f}",
                    f"{row.value_b:.{d}f}",
                    f"{row.difference:+.{d}f}",
                    "" if row.low is None else f"[{row.low:+.{d}f}, {row.high:+.{d}f}]",
                    "" if row.p is None else f"{row.p:.4f}",
                    "" if row.p_holm is None else f"{row.p_holm:.4f}",
                )
                for row in chosen
            ]
            tables.append(without_empty_columns(ReportTable(title, head, rows, n_text=2)))
        return tables

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        test = f"p: paired permutation test, two-sided, {self.n_permutations:,} permutations"
        return [
            *([f"{test}; Holm over the pairs of a metric"] if self.uncertainty else []),
            *([ORGANIZERS_VIEW] if self.hidden and self.uncertainty else []),
            *(str(warning) for warning in self.warnings),
            f"signature: {self.signature}",
        ]

    def to_text(self, width: int | None = None) -> str:
        """Return the comparison as plain aligned text, tables at most `width` characters wide."""
        return section_text(self.heading, self.tables(), self.notes(), width)

    def to_markdown(self) -> str:
        """Return the comparison as GitHub Markdown, names escaped."""
        return section_markdown(self.heading, self.tables(), self.notes())

    def _repr_html_(self) -> str:
        return section_html(self.heading, self.tables(), self.notes())

    def to_html(self) -> str:
        """Return one self-contained HTML page, names escaped, no network needed."""
        return page_html(self.heading, self._repr_html_())


def _of_the_best(rows: Sequence[Difference]) -> list[Difference]:
    """Return the differences between the best system of a metric and each other one, the nearest first."""
    sign = 1 if rows[0].higher_is_better else -1
    values = {name: sign * value for row in rows for name, value in ((row.a, row.value_a), (row.b, row.value_b))}
    best = max(values, key=values.__getitem__)
    return sorted((row for row in rows if best in (row.a, row.b)), key=lambda row: abs(row.difference))
