"""The report on the samples of a track over many systems: which all miss, which separate systems, which look wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from merbench.errors import listed, plural
from merbench.report.document import Report
from merbench.report.tables import ReportTable, csv_cell, without_empty_columns


@dataclass(frozen=True, slots=True)
class Item:
    """One sample, and what the systems make of it."""

    id: str
    reference: str
    value: float | None  # how well the systems answer it, as the report's `measure` says
    # correlation over systems of the sample's value with the system's sum over all other samples; None if either is
    # constant
    discrimination: float | None
    answer: str  # what speaks against the reference: the answer that skilled systems give, empty if there is none
    share: float | None  # the share of systems that give it, or that err to its side
    probability: float | None  # that it is right and the reference is wrong, of labels
    smallest_error: float | None  # of numbers, that of the system which answers best
    deviation: float | None  # the reference minus that answer, in robust standard deviations, of numbers
    columns: tuple[str, ...] = ()  # values of the report's `columns`


@dataclass(frozen=True, kw_only=True)
class ItemReport(Report):
    """The samples of one target over many systems.

    Attributes:
        target: the target.
        measure: what the `value` of an item is.
        systems: names of the systems.
        n_items: how many samples count for all of them.
        n_left_out: how many count for some of them only.
        columns: names of the corpus columns that are shown.
        missed: samples that every system misses; of numbers those whose smallest error is the largest.
        separating: samples that separate good systems from bad, the highest correlation first.
        contradicted: samples whose reference the systems contradict, the strongest first.
        n_missed: how many are missed in all; None for numbers.
        n_contradicted: how many are contradicted in all; None for a kind of target without answers in common.
        chance: the discrimination that chance exceeds once in twenty; None with too few systems.
        n_tied: how many samples have the lowest discrimination listed, where some of them are not; else 0.
        equal: names of systems that give the same answers, of each such set.
    """

    SCHEMA: ClassVar[str] = "merbench.items/1"

    target: str
    measure: str
    systems: tuple[str, ...]
    n_items: int
    n_left_out: int
    columns: tuple[str, ...] = ()
    missed: tuple[Item, ...] = ()
    separating: tuple[Item, ...] = ()
    contradicted: tuple[Item, ...] = ()
    n_missed: int | None = None
    n_contradicted: int | None = None
    chance: float | None = None
    n_tied: int = 0
    equal: tuple[tuple[str, ...], ...] = ()

    def tables(self) -> list[ReportTable]:
        """Return a table for each question that has an answer."""
        missed = "Answered badly by every system" if self.n_missed is None else "Missed by all systems"
        against = ("systems say", "share", "probability", "deviation")
        shown = [
            (missed, self.missed, ("smallest error", self.measure) if self.n_missed is None else against),
            ("Separate good systems from bad", self.separating, (self.measure, "discrimination")),
            (
                "Contradicted by skilled systems, worth a second look",
                self.contradicted,
                (*against, self.measure, "discrimination"),
            ),
        ]
        return [self._table(f"{title}: {self.target}", items, names) for title, items, names in shown if items]

    def _table(self, title: str, items: Sequence[Item], names: Sequence[str]) -> ReportTable:
        rows = []
        for item in items:
            numbers = dict(zip(self._number_names, self._numbers(item), strict=True))
            cells = {name: "" if value is None else self.number(value) for name, value in numbers.items()}
            cells["systems say"] = item.answer
            rows.append((item.id, *item.columns, item.reference, *(cells[name] for name in names)))
        n_text = 2 + len(self.columns) + ("systems say" in names)
        return without_empty_columns(
            ReportTable(title, ("sample", *self.columns, "reference", *names), rows, n_text=n_text)
        )

    @property
    def _number_names(self) -> tuple[str, ...]:
        return ("share", "probability", "smallest error", "deviation", self.measure, "discrimination")

    @staticmethod
    def _numbers(item: Item) -> tuple[float | None, ...]:
        return (item.share, item.probability, item.smallest_error, item.deviation, item.value, item.discrimination)

    def to_csv(self) -> str:
        """Return one line per sample and question with unrounded values; formulas are made harmless."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = ("question", "sample_id", *self.columns, "reference", "answer", *self._number_names)
        writer.writerow(map(csv_cell, head))
        for question in ("missed", "separating", "contradicted"):
            for item in getattr(self, question):
                texts = (question, item.id, *item.columns, item.reference, item.answer)
                writer.writerow([*map(csv_cell, texts), *self._numbers(item)])
        return text.getvalue()

    def notes(self) -> list[str]:
        """Return what the numbers are, and how far they can be trusted."""
        n = len(self.systems)
        counts = ((self.n_missed, "missed by all"), (self.n_contradicted, "with a contradicted reference"))
        lines = [f"{plural(n, 'system')}, {plural(self.n_items, 'sample')} that count for all of them"]
        lines[0] += "".join(f", {count:,} {what}" for count, what in counts if count is not None)
        lines += [f"the same answers, which count {len(same):,} times: {listed(same)}" for same in self.equal]
        if self.n_left_out:
            lines.append(f"left out, since they do not count for all systems: {plural(self.n_left_out, 'sample')}")
        if self.chance is None:
            lines.append(f"discrimination: none, a correlation over systems needs {LEAST_SYSTEMS}")
        else:
            rest = "how far systems that answer the other samples well answer this one well, as a correlation"
            lines.append(f"discrimination: {rest}; chance exceeds ±{self.chance:.3f} once in 20")
        if self.n_tied:
            lines.append(f"discrimination: {self.n_tied:,} samples share the lowest value listed; not all are listed")
        if any(item.probability is not None for item in self.contradicted):
            lines.append("probability: of Dawid & Skene (1979); systems that learned from the same labels err alike")
        if self.contradicted and n < LEAST_SYSTEMS:
            lines.append(f"contradicted by only {plural(n, 'system')}, whose own errors look the same")
        return [*lines, f"signature: {self.signature}"]


LEAST_SYSTEMS = 3
"""Over two systems every correlation is 1 or -1."""
