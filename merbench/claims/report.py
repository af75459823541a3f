"""The report on claims: what was measured for each of them, where, and the verdict.

Conventions:
    Differences are positive where the system is better, also of metrics of which less is better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from textwrap import wrap
from typing import ClassVar, Literal

from merbench.errors import plural, printable
from merbench.report import Bar, Cell, Document, ReportTable
from merbench.report.document import LARGE
from merbench.training.claim import Claim, Exact, Inequality, Monotone, NonInferiority, Published

Verdict = Literal["holds", "does not hold", "undecided", "cannot be checked here"]

HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNDECIDED: Verdict = "undecided"
UNCHECKED: Verdict = "cannot be checked here"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a check of a claim measured.

    Attributes:
        values: of an exact claim all numbers that were computed; else one: a difference of means over seeds, the mean
            of a diagnostic, or the mean value.
        low: lower end of its interval, `high` the upper one; None without an interval.
        metric: the key of the metric, or the name of the diagnostic; empty of an exact claim.
        system: the mean value of the system; None unless it was compared.
        control: that of its control.
        remark: what was chosen on the way, such as the best feature.
    """

    values: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    metric: str = ""
    system: float | None = None
    control: float | None = None
    remark: str = ""


def verdict(claim: Claim, measured: Measured) -> Verdict:
    """Return what a measurement shows about a claim.

    An exact claim holds if every number is within its tolerance. An inequality holds if its interval is above 0, and
    does not if all of it is at 0 or below; non-inferiority if it is above -margin, and does not if all of it is below.
    A monotone claim, of which the pair of values that decides was measured, is an inequality with a margin.
    A published number is reached if the mean is within the tolerance, and no end of the interval is further from the
    mean than that; it is not if nothing of the interval is within the tolerance. Everything else is undecided.
    """
    low, high = measured.low, measured.high
    match claim:
        case Exact():
            same = len(measured.values) == len(claim.value)
            pairs = zip(measured.values, claim.value, strict=False)
            return HOLDS if same and all(abs(number - value) <= claim.tolerance for number, value in pairs) else FAILS
        case _ if low is None or high is None:
            return UNDECIDED
        case Published(value=value, tolerance=tolerance):
            mean = measured.values[0]
            if abs(mean - value) <= tolerance:
                return HOLDS if max(high - mean, mean - low) <= tolerance else UNDECIDED
            return FAILS if low > value + tolerance or high < value - tolerance else UNDECIDED
        case NonInferiority(margin=margin):
            return HOLDS if low > -margin else FAILS if high < -margin else UNDECIDED
        case Monotone(margin=margin):
            return HOLDS if low > -margin else FAILS if high <= -margin else UNDECIDED
        case Inequality():
            return HOLDS if low > 0 else FAILS if high <= 0 else UNDECIDED


@dataclass(frozen=True, slots=True)
class Result:
    """A claim at one place, and its verdict.

    Attributes:
        baseline: the baseline that claims.
        claim: the name of the claim.
        says: what is claimed.
        source: where: paper and table, or code.
        check: what is needed for it to hold, such as `weighted_f1 > 0`.
        place: where it was checked; empty of an exact claim.
        verdict: whether it holds.
        measured: what the verdict depends on; None where it cannot be checked here.
        why: why it cannot be checked here.
        failed: whether that is because something failed that was expected to work.
        stored: whether it was stored before, and not measured now.
        signature: what must be equal for a stored result to be one of this claim.
    """

    baseline: str
    claim: str
    says: str
    source: str
    check: str
    place: str
    verdict: Verdict
    measured: Measured | None = None
    why: str = ""
    failed: bool = False
    stored: bool = False
    signature: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClaimsReport(Document):
    """The verdicts on the claims of some baselines.

    Attributes:
        results: in the order of the baselines, their claims and the places.
    """

    SCHEMA: ClassVar[str] = "merbench.claims-report/1"

    results: tuple[Result, ...]

    @property
    def heading(self) -> str:
        """The first line of every form."""
        n = len({(row.baseline, row.claim) for row in self.results})
        return f"{plural(n, 'claim')} of {plural(len({row.baseline for row in self.results}), 'system')}"

    @property
    def failures(self) -> list[Result]:
        """The results where something failed that was expected to work."""
        return [row for row in self.results if row.failed]

    def to_text(self, width: int | None = None) -> str:
        """Return plain text: every claim with its source and its check, and a line for the result at each place."""
        lines, before = [printable(self.heading, None)], ""
        for (baseline, _), same in groupby(self.results, lambda row: (row.baseline, row.claim)):
            rows = list(same)
            if baseline != before:
                lines += ["", printable(baseline, None)]
                before = baseline
            lines += ["", *_wrapped(rows[0].says, width)]
            lines += _wrapped(f"source: {rows[0].source}", width, 2)
            lines += _wrapped(f"check: {rows[0].check}", width, 2)
            cells = [(row.place, self._measured(row)) for row in rows]
            widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
            for row, parts in zip(rows, cells, strict=True):
                columns = [part.ljust(n) for part, n in zip(parts, widths, strict=True) if n]
                lines += _wrapped("  ".join([*columns, self._verdict(row)]), width, 4)
        return "\n".join([*lines, "", *(printable(note, None) for note in self.notes())]) + "\n"

    def tables(self) -> list[ReportTable]:
        """Return a table for every system; the words of a claim are those of its first place."""
        tables = []
        for name in dict.fromkeys(row.baseline for row in self.results):
            rows, before = [], ""
            for row in (each for each in self.results if each.baseline == name):
                words = ("", "", "") if row.claim == before else (row.says, row.source, row.check)
                rows.append((*words, row.place, self._measured(row), self._verdict(row)))
                before = row.claim
            head = ("claim", "source", "check", "place", "result", "verdict")
            tables.append(ReportTable(name, head, rows, n_text=len(head)))
        return tables

    def _measured(self, row: Result) -> Cell | str:
        measured = row.measured
        if measured is None:
            return ""
        if not row.place:
            return numbers(measured.values)
        value, interval = measured.values[0], self.interval(measured.low, measured.high)
        text = f"{self.number(value)} {interval}".strip()
        if measured.system is not None and measured.control is not None:
            text += f", {self.number(measured.system)} against {self.number(measured.control)}"
        line = 0.0 if row.check.endswith("> 0") or measured.control is not None else None
        return Cell(
            f"{text} ({measured.remark})" if measured.remark else text,
            Bar(value, measured.low, measured.high, line=line),
        )

    @staticmethod
    def _verdict(row: Result) -> str:
        stored = " (stored)" if row.stored else ""
        return f"{row.verdict}{stored}" + (f": {row.why}" if row.why else "")

    def notes(self) -> list[str]:
        """Return how many claims hold, and how intervals were made."""
        counts = Counter(row.verdict for row in self.results)
        lines = [", ".join(f"{name}: {counts[name]:,}" for name in (HOLDS, FAILS, UNDECIDED, UNCHECKED))]
        if any(row.place and row.measured is not None for row in self.results):
            lines.append(
                "intervals are for other samples, or clusters, and other seeds, those of published numbers and of "
                "diagnostics for other seeds alone; differences, system against control, are positive where the system "
                "is better"
            )
        if any(row.stored for row in self.results):
            lines.append("stored: measured before, with the same signature; --rerun measures again")
        return lines


def _wrapped(text: str, width: int | None, indent: int = 0) -> list[str]:
    """Return printable text as lines that are at most `width` wide, those after the first indented by two more."""
    margin, text = " " * indent, printable(text, None)
    if width is None:
        return [margin + text]
    return wrap(text, max(width, 20), initial_indent=margin, subsequent_indent=f"{margin}  ", break_on_hyphens=False)


def numbers(values: Sequence[float]) -> str:
    """Return numbers as they are: whole ones with separators of thousands, others with up to ten digits."""
    return ", ".join(
        f"{value:,.0f}" if abs(value) < LARGE and value == int(value) else f"{value:.10g}" for value in values
    )
