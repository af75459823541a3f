"""The report on power: which difference between two systems a test set can show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from merbench.report.document import Report
from merbench.report.tables import ReportTable


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two systems agree on a target.

    `value` is the share of samples on which both are right, or both wrong; or, of numbers, the correlation of answers,
    None where those of a system are all equal.
    """

    target: str
    value: float | None
    is_correlation: bool


@dataclass(frozen=True, slots=True)
class PowerRow:
    """The smallest difference that a test set of some size shows; None where no difference is large enough."""

    name: str
    n_samples: int
    n_clusters: int | None
    difference: float | None


@dataclass(frozen=True, kw_only=True)
class Power(Report):
    """The smallest differences between two systems that test sets of several sizes show.

    Attributes:
        hidden: whether it is secret which candidates are scored: all of them are counted, no reference is used.
        n_candidates: how many samples are predicted.
        key: the canonical form of the metric.
        name: its short name.
        score: the score of the two systems; of two runs the mean.
        scores: those of the two runs; none where two systems were simulated.
        agreements: how far they agree, target by target.
        assumed: which of `score`, `agreement` and `intraclass correlation` are assumed.
        runs: the submissions that were measured; none where two systems were simulated.
        cluster: the column whose samples are resampled and exchanged together; None for samples one by one.
        intraclass: the share of the variance of the difference that is between clusters; None without.
        level: 1 minus the error rate of the test.
        power: probability that the test shows the difference.
        rows: the sizes and their smallest differences.
        largest: about how far apart two such simulated systems can be; None where it is not known.
    """

    SCHEMA: ClassVar[str] = "merbench.power/1"

    hidden: bool
    n_candidates: int
    key: str
    name: str
    score: float
    agreements: tuple[Agreement, ...]
    assumed: tuple[str, ...]
    runs: tuple[str, ...]
    cluster: str | None
    intraclass: float | None
    level: float
    power: float
    rows: tuple[PowerRow, ...]
    scores: tuple[float, ...] = ()
    largest: float | None = None

    def tables(self) -> list[ReportTable]:
        """Return the one table of sizes."""
        clustered = [[] if row.n_clusters is None else [f"{row.n_clusters:,}"] for row in self.rows]
        head = ("test set", "samples", *(["clusters"] if self.cluster else []), "smallest difference")
        rows = [
            (row.name, f"{row.n_samples:,}", *clusters, self.number(row.difference))
            for row, clusters in zip(self.rows, clustered, strict=True)
        ]
        title = f"Differences of {self.name} that show with a probability of {100 * self.power:.15g}%"
        return [ReportTable(title, head, rows)]

    def notes(self) -> list[str]:
        """Return the lines under the table: the test, and what is known or assumed of the systems."""
        systems = " and ".join(self.runs) if self.runs else "two simulated systems"
        reached = " and ".join(map(self.number, self.scores)) or f"about {self.number(self.score)}"
        agreements = [
            f"the correlation of answers for {each.target} is not defined, since a system answers all alike"
            if each.value is None
            else f"answers for {each.target} correlate by {each.value:.2f}"
            if each.is_correlation
            else f"{each.value:.0%} of the answers for {each.target} are right in both or wrong in both"
            for each in self.agreements
        ]
        lines = [
            f"paired permutation test, two-sided, at {100 * round(1 - self.level, 15):.6g}%",
            f"{systems}: {self.name} {reached}; {'; '.join(agreements)}",
        ]
        shown = self.rows[0].difference
        if self.scores and shown is not None and max(self.scores) - min(self.scores) > shown:
            lines.append(
                "the two runs differ by more than this split shows: systems of equal score may vary less or more"
            )
        if self.largest is not None and any((row.difference or 0.0) > self.largest for row in self.rows):
            most = f"two simulated systems that agree so far differ by about {self.number(self.largest)} at most"
            lines.append(f"{most}: larger differences can hardly occur")
        if self.intraclass is not None:
            share = f"{self.intraclass:.2f} of the variance of the difference is between clusters"
            lines.append(f"{share} of '{self.cluster}' (intraclass correlation)")
        if self.assumed:
            lines.append(f"assumed: {', '.join(self.assumed)}")
        if any(row.difference is None for row in self.rows):
            lines.append("–: too few samples or clusters for any difference to show")
        if self.hidden:
            lines.append(
                "which candidates are scored is secret: all of them are counted; --samples N shows a smaller number"
            )
        return [*lines, f"signature: {self.signature}"]
