"""What scoring found about one submission, as frozen values that render themselves and come back from their JSON.

Conventions:
    Values are fractions. Confusion rows are references; the last column counts answers outside the vocabulary.
    JSON has sorted keys, shortest round-trip floats and no NaN; the same report is the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from merbench.errors import Problem, UsageError, json_text
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

SCHEMA = "merbench.report/1"

DENSE_LABELS = 100
"""With more labels than this, JSON lists the pairs of a confusion that occur, and tables show the most frequent."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of one metric.

    Attributes:
        key: canonical form with every parameter, `ccc(valence,form=population)`; `overall` for the weighted sum.
        name: the short name shown.
        target: the target it scores; None for the overall score.
        value: the plain value, never rounded; None where it is not defined (a group without a needed class).
        low: lower end of the interval; None without one.
        high: upper end of the interval.
        weight: its weight in the overall score; None when it is only reported.
        higher_is_better: the direction of improvement.
        n_left_out: resamples on which the metric was not defined.
        n_scored: how many samples count for its target; None for the overall score and for groups.
    """

    key: str
    name: str
    target: str | None
    value: float | None
    low: float | None = None
    high: float | None = None
    weight: float | None = None
    higher_is_better: bool = True
    n_left_out: int = 0
    n_scored: int | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one label, with the interval of its F1."""

    target: str
    label: str
    n: int
    precision: float
    recall: float
    f1: float
    f1_low: float | None = None
    f1_high: float | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each answer was given to each reference of a categorical target.

    Attributes:
        target: the target.
        labels: its K labels.
        cells: row, column and count of every pair that occurs, in order: the row is the reference's label, the column
            that of the answer, K for one outside the vocabulary.
    """

    target: str
    labels: tuple[str, ...]
    cells: tuple[tuple[int, int, int], ...]

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """All counts, `(K, K + 1)`."""
        rows = [[0] * (len(self.labels) + 1) for _ in self.labels]
        for row, column, count in self.cells:
            rows[row][column] = count
        return tuple(map(tuple, rows))

    def content(self) -> dict[str, Any]:
        """Return what the JSON holds: all counts, or for more than `DENSE_LABELS` labels the cells."""
        dense = len(self.labels) <= DENSE_LABELS
        held = {"counts": self.counts} if dense else {"cells": self.cells}
        return {"target": self.target, "labels": self.labels, **held}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Confusion:
        """Return the confusion whose `content` it is."""
        cells = content.get("cells")
        if cells is None:
            rows = enumerate(content["counts"])
            cells = [(row, column, n) for row, counts in rows for column, n in enumerate(counts) if n]
        return cls(content["target"], tuple(content["labels"]), tuple(map(tuple, cells)))


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """How many words of one side of a target its lexicon does not know.

    Attributes:
        target: the target.
        side: `reference`: the scored samples; `prediction`: all candidates.
        words: number of words, repetitions included.
        unknown: how many of them have no sector on any wheel.
        share: unknown / words, 0 without words.
        frequent: the most frequent unknown words and their counts.
    """

    target: str
    side: Literal["reference", "prediction"]
    words: int
    unknown: int
    share: float
    frequent: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The scores of the samples that share a value (or a bin) of one corpus column."""

    column: str
    value: str
    n: int
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How the intervals of a report were made; `cluster` is None when samples were resampled one by one."""

    method: str
    level: float
    n_resamples: int
    cluster: str | None
    n_clusters: int | None
    seed: int


@dataclass(frozen=True)
class ScoreReport:
    """Everything scoring found about one submission.

    Attributes:
        track: id and version.
        title: the track's title.
        corpus: name of the corpus.
        split: name of the split.
        synthetic: whether the corpus is the synthetic sample.
        hidden: whether which candidates are scored is a secret; see `public`.
        signature: what must be equal for two values to be comparable.
        formula: the overall score written out.
        scores: the metrics in the order of the track; the overall score first, where there is one.
        counts: candidates, scored, rows, extra, out_of_vocabulary.
        digests: submission, references, track.
        per_class: rows of every categorical target.
        confusions: one of every categorical target.
        coverage: how much of sets of words a lexicon knows, both sides of every target that names one.
        groups: breakdowns asked for.
        uncertainty: how intervals were made; None without intervals.
        warnings: what a reader must know.
        decimals: how many are shown.
    """

    track: str
    title: str
    corpus: str
    split: str
    synthetic: bool
    hidden: bool
    signature: str
    formula: str
    scores: tuple[Score, ...]
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    per_class: tuple[ClassRow, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    coverage: tuple[CoverageRow, ...] = ()
    groups: tuple[Group, ...] = ()
    uncertainty: Uncertainty | None = None
    warnings: tuple[Problem, ...] = ()
    decimals: int = 4
    source: str = field(default="", compare=False)

    def __repr__(self) -> str:
        first = self.scores[0]
        return f"<ScoreReport {self.track}, split {self.split}: {first.name} {self._number(first.value)}>"

    def __str__(self) -> str:
        return self.to_text()

    def __getitem__(self, name: str) -> Score:
        """Return a score by its short name or its key."""
        for score in self.scores:
            if name in (score.name, score.key):
                return score
        raise KeyError(f"{name!r}; this report has {', '.join(score.name for score in self.scores)}")

    @property
    def overall(self) -> Score | None:
        """The weighted sum, where the track declares one."""
        return self.scores[0] if self.scores[0].key == "overall" else None

    def public(self) -> ScoreReport:
        """Return what a participant may see: for a hidden split nothing that tells which candidates are scored.

        Its values are rounded as they are displayed: all digits of a share tell how many are scored. The corpus's
        digest is left out of the signature, since it follows the references.
        """
        if not self.hidden:
            return self
        return replace(
            self,
            signature=public_signature(self.signature, self.counts["candidates"]),
            scores=tuple(
                replace(
                    score,
                    value=None if score.value is None else float(displayed(score.value, self.decimals)),
                    low=None,
                    high=None,
                    n_left_out=0,
                    n_scored=None,
                )
                for score in self.scores
            ),
            counts={
                key: value
                for key, value in self.counts.items()
                if key not in ("scored", "out_of_vocabulary", "dropped")
            },
            digests={key: value for key, value in self.digests.items() if key in ("submission", "track")},
            per_class=(),
            confusions=(),
            coverage=tuple(row for row in self.coverage if row.side == "prediction"),
            groups=(),
            uncertainty=None,
            warnings=tuple(warning for warning in self.warnings if not warning.code.startswith("W7")),
        )

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, shortest round-trip floats, a newline at the end."""
        confusions = [confusion.content() for confusion in self.confusions]
        content = {"schema": SCHEMA, **asdict(replace(self, confusions=())), "confusions": confusions}
        del content["source"]
        return json_text(content)

    @classmethod
    def from_json(cls, text: str) -> ScoreReport:
        """Return the report whose `to_json` is `text`; raise `UsageError` for anything else."""
        try:
            content = json.loads(text)
            if content.pop("schema") != SCHEMA:
                raise KeyError("schema")
            content["scores"] = tuple(Score(**item) for item in content["scores"])
            content["per_class"] = tuple(ClassRow(**item) for item in content["per_class"])
            content["confusions"] = tuple(Confusion.of(item) for item in content["confusions"])
            content["coverage"] = tuple(
                CoverageRow(**{**item, "frequent": tuple((word, n) for word, n in item["frequent"])})
                for item in content["coverage"]
            )
            content["groups"] = tuple(
                Group(**{**item, "scores": tuple(Score(**score) for score in item["scores"])})
                for item in content["groups"]
            )
            content["warnings"] = tuple(Problem(**item) for item in content["warnings"])
            if content["uncertainty"] is not None:
                content["uncertainty"] = Uncertainty(**content["uncertainty"])
            return cls(**content)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise UsageError(f"not a report of the form {SCHEMA}: {error}") from error

    def to_frame(self) -> pd.DataFrame:
        """Return one row per score, then one per group and score, as a pandas data frame."""
        import pandas as pd

        names = [item.name for item in fields(Score)]
        rows = [{"column": None, "group": None, "n": self.counts.get("scored"), **asdict(s)} for s in self.scores]
        for group in self.groups:
            rows += [{"column": group.column, "group": group.value, "n": group.n, **asdict(s)} for s in group.scores]
        return pd.DataFrame(rows, columns=["column", "group", "n", *names])

    def tables(self) -> list[ReportTable]:
        """Return everything the report shows, as headed tables of strings, for every renderer."""
        return [
            table
            for table in (
                self._score_table(),
                *self._class_tables(),
                *self._confusion_tables(),
                *self._coverage_tables(),
                *self._group_tables(),
            )
            if table.rows
        ]

    def notes(self) -> list[str]:
        """Return the lines under the tables: counts, interval, warnings, signature."""
        counts = ", ".join(
            f"{self.counts[key]:,} {key.replace('_', ' ')}" for key in _COUNT_ORDER if key in self.counts
        )
        lines = [counts]
        if self.formula:
            lines.append(f"overall = {self.formula}")
        if self.uncertainty is not None:
            made = self.uncertainty
            unit = "samples" if made.cluster is None else f"{made.n_clusters:,} clusters of '{made.cluster}'"
            drawn = f"{made.n_resamples:,} Poisson resamples of {unit}, seed {made.seed}"
            lines.append(f"{made.level:.0%} intervals: {made.method}, {drawn}")
        lines += [
            f"synonyms: {part.removeprefix('groups:')}"
            for part in self.signature.split("|")
            if part.startswith("groups:")
        ]
        if self.hidden and "scored" in self.counts:
            lines.append(ORGANIZERS_VIEW)
        lines += [str(warning) for warning in self.warnings]
        lines.append(f"signature: {self.signature}")
        return lines

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if self.synthetic else ""
        return f"{self.title} ({self.track}, split {self.split}){sample}"

    def to_text(self, width: int | None = None) -> str:
        """Return the report as plain aligned text, tables at most `width` characters wide."""
        return section_text(self.heading, self.tables(), self.notes(), width)

    def to_markdown(self) -> str:
        """Return the report as GitHub Markdown, names escaped."""
        return section_markdown(self.heading, self.tables(), self.notes())

    def to_html(self) -> str:
        """Return one self-contained HTML page, names escaped, no network needed."""
        return page_html(self.heading, self._repr_html_())

    def _repr_html_(self) -> str:
        return section_html(self.heading, self.tables(), self.notes())

    def _number(self, value: float | None) -> str:
        return "–" if value is None else f"{displayed(value, self.decimals):f}"

    def _interval(self, low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f"[{self._number(low)}, {self._number(high)}]"

    def _score_table(self) -> ReportTable:
        rows = [
            (
                score.name,
                score.target or "",
                "" if self._counts_agree else _count(score.n_scored),
                self._number(score.value),
                self._interval(score.low, score.high),
                "" if score.weight is None else f"{score.weight:g}",
                "↑" if score.higher_is_better else "↓",
            )
            for score in self.scores
        ]
        head = ("metric", "target", "n", "value", self._interval_head(), "weight", "better")
        return without_empty_columns(ReportTable("", head, rows, n_text=2))

    @property
    def _counts_agree(self) -> bool:
        """Whether every metric rests on all samples that are scored, so that one line tells it."""
        return {score.n_scored for score in self.scores} <= {None, self.counts.get("scored")}

    def _interval_head(self) -> str:
        return f"{self.uncertainty.level:.0%} interval" if self.uncertainty else "interval"

    def _class_tables(self) -> list[ReportTable]:
        tables = []
        for target in dict.fromkeys(row.target for row in self.per_class):
            chosen, title = [row for row in self.per_class if row.target == target], f"{target}, per class"
            if len(chosen) > DENSE_LABELS:
                title += f", the {DENSE_LABELS} of {len(chosen):,} labels with the most references"
                chosen = sorted(chosen, key=lambda row: -row.n)[:DENSE_LABELS]
            rows = [
                (
                    row.label,
                    f"{row.n:,}",
                    *(self._number(value) for value in (row.precision, row.recall, row.f1)),
                    self._interval(row.f1_low, row.f1_high),
                )
                for row in chosen
            ]
            head = ("label", "n", "precision", "recall", "f1", f"{self._interval_head()} of f1")
            tables.append(without_empty_columns(ReportTable(title, head, rows)))
        return tables

    def _confusion_tables(self) -> list[ReportTable]:
        tables = []
        for confusion in self.confusions:
            names = (*confusion.labels, "(outside)")
            if len(confusion.labels) > DENSE_LABELS:
                wrong = sorted((cell for cell in confusion.cells if cell[0] != cell[1]), key=lambda cell: -cell[2])
                shown = [(names[row], names[column], f"{n:,}") for row, column, n in wrong[:DENSE_LABELS]]
                title = f"{confusion.target}, the {len(shown)} most frequent of {len(wrong):,} confusions"
                tables.append(ReportTable(title, ("reference", "prediction", "n"), shown, n_text=2))
                continue
            counts = confusion.counts
            head = names if any(row[-1] for row in counts) else confusion.labels
            rows = [
                (label, *(f"{count:,}" for count in row[: len(head)]))
                for label, row in zip(confusion.labels, counts, strict=True)
            ]
            title = f"{confusion.target}, rows are references, columns predictions"
            tables.append(ReportTable(title, ("", *head), rows))
        return tables

    def _coverage_tables(self) -> list[ReportTable]:
        tables = []
        for target in dict.fromkeys(row.target for row in self.coverage):
            rows = [
                (
                    row.side,
                    ", ".join(f"{word} ({n:,})" for word, n in row.frequent),
                    f"{row.words:,}",
                    f"{row.unknown:,}",
                    self._number(row.share),
                )
                for row in self.coverage
                if row.target == target
            ]
            head = ("side", "most frequent unknown words", "words", "unknown", "share")
            tables.append(ReportTable(f"{target}, words that the lexicon does not know", head, rows, n_text=2))
        return tables

    def _group_tables(self) -> list[ReportTable]:
        tables = []
        for column in dict.fromkeys(group.column for group in self.groups):
            groups = [group for group in self.groups if group.column == column]
            rows = [
                (
                    group.value,
                    f"{group.n:,}",
                    *(f"{self._number(s.value)} {self._interval(s.low, s.high)}".strip() for s in group.scores),
                )
                for group in groups
            ]
            tables.append(ReportTable(f"by {column}", (column, "n", *(s.name for s in groups[0].scores)), rows))
        return tables


ORGANIZERS_VIEW = (
    "the organizer's view of a hidden split; `score` and `compare` leave out what shows who is scored with --public"
)
"""The note under a report that shows more of a hidden split than a participant may see."""


def public_signature(signature: str, n_candidates: int) -> str:
    """Return a signature without what depends on the references of a hidden split, or on resampling them."""
    return "|".join(
        f"n:{n_candidates}" if part.startswith("n:") else part.split("#")[0] if part.startswith("corpus:") else part
        for part in signature.split("|")
        if not part.startswith(("ci:", "bs:", "cluster:", "bootstrap_seed:", "permutations:"))
    )


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


_COUNT_ORDER = ("candidates", "scored", "rows", "extra", "missing", "dropped", "out_of_vocabulary")
