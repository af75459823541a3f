"""The report on one submission: its scores, counts, classes, confusions, groups.

Conventions:
    As in `document`. Confusion rows are references; the last column counts answers outside the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from merbench.errors import Problem, plural
from merbench.report.document import Ceiling, Report, Score
from merbench.report.html import round_scale
from merbench.report.tables import Bar, Cell, Curve, ReportTable, displayed, without_empty_columns

if TYPE_CHECKING:
    import pandas as pd

OUTSIDE = "(outside)"
"""What is shown for an answer outside the vocabulary."""

MOST_WORST_IN_TEXT = 5
"""How many of the worst samples are shown as text."""

MOST_PLOTTED = 30
"""With more labels than this, a confusion matrix is not plotted."""

DENSE_LABELS = 100
"""With more labels than this, JSON lists the pairs of a confusion that occur, and tables show the most frequent."""

MOST_WORST = 20
"""How many of the answers that cost most a report has."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Precision, recall and F1 of one label, each with its interval."""

    target: str
    label: str
    n: int
    precision: float
    recall: float
    f1: float
    f1_low: float | None = None
    f1_high: float | None = None
    precision_low: float | None = None
    precision_high: float | None = None
    recall_low: float | None = None
    recall_high: float | None = None


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each answer was given to each reference of a categorical target."""

    target: str
    labels: tuple[str, ...]  # its K labels
    # row, column and count of every pair that occurs, in order: the row is the reference's label, the column that of
    # the answer, K for one outside the vocabulary
    cells: tuple[tuple[int, int, int], ...]

    def __post_init__(self) -> None:
        k = len(self.labels)
        if not all(0 <= row < k and 0 <= column <= k for row, column, _ in self.cells):
            raise ValueError(f"a cell outside the {k} labels of '{self.target}'")

    @property
    def counts(self) -> tuple[tuple[int, ...], ...]:
        """All counts, `(K, K + 1)`."""
        rows = [[0] * (len(self.labels) + 1) for _ in self.labels]
        for row, column, count in self.cells:
            rows[row][column] = count
        return tuple(map(tuple, rows))

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the columns that are shown: the last one only where an answer is outside the vocabulary."""
        is_outside = any(column == len(self.labels) for _, column, _ in self.cells)
        return (*self.labels, OUTSIDE) if is_outside else self.labels

    def stored(self) -> dict[str, Any]:
        """Return what the JSON has: all counts, or for more than `DENSE_LABELS` labels the cells."""
        dense = len(self.labels) <= DENSE_LABELS
        return {"target": self.target, "labels": self.labels} | (
            {"counts": self.counts} if dense else {"cells": self.cells}
        )


def _with_cells(confusion: dict[str, Any]) -> dict[str, Any]:
    """Return what the JSON has of a confusion with the cells of its counts in place of all counts."""
    if "counts" not in confusion:
        return confusion
    rows = enumerate(confusion.pop("counts"))
    return {**confusion, "cells": [(row, column, n) for row, counts in rows for column, n in enumerate(counts) if n]}


@dataclass(frozen=True, slots=True)
class Bin:
    """The samples whose most probable label has a probability above `low` and up to `high`."""

    low: float
    high: float
    n: int
    mean_probability: float
    share_right: float
    share_low: float | None = None  # lower end of the interval of `share_right`, `share_high` the upper one
    share_high: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the probabilities of a categorical target agree with how often its labels are right."""

    target: str
    n: int  # how many samples have probabilities
    scores: tuple[Score, ...]  # Brier score, log loss, expected calibration error
    bins: tuple[Bin, ...]  # the reliability curve: the bins that contain samples, in order


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """How many words of one side of a target its lexicon does not know."""

    target: str
    side: Literal["reference", "prediction"]  # `reference`: the scored samples; `prediction`: all candidates
    words: int  # number of words, repetitions included
    unknown: int  # how many of them have no sector on any wheel
    share: float  # unknown / words, 0 without words
    frequent: tuple[tuple[str, int], ...]  # the most frequent unknown words and their counts


@dataclass(frozen=True, slots=True)
class Group:
    """The scores of the samples that share a value (or a bin) of one corpus column."""

    column: str
    value: str
    n: int
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class WorstSample:
    """An answer that costs the score by which the track ranks first."""

    id: str
    target: str
    reference: str
    prediction: str  # empty for an answer outside the vocabulary, or none
    # the score with this answer minus the score without it: negative where a higher score is better
    influence: float


@dataclass(frozen=True, kw_only=True)
class ScoreReport(Report):
    """Everything that scoring found about one submission.

    Attributes:
        corpus: name of the corpus.
        hidden: whether it is secret which candidates are scored; see `public`.
        formula: the overall score written out.
        scores: the metrics in the order of the track; the overall score first, where there is one.
        counts: candidates, scored, rows, extra, out_of_vocabulary.
        digests: submission, references, track.
        per_class: rows of every categorical target.
        confusions: one of every categorical target.
        coverage: how much of sets of words a lexicon knows, both sides of every target that names one.
        groups: the breakdowns.
        worst: the answers that cost most, at most `MOST_WORST`, the costliest first.
        calibration: one of every categorical target whose probabilities were submitted.
        ceilings: what one annotator reaches, where the corpus has votes.
        warnings: what a reader must know.
        source: the file, as it was given; not stored.
    """

    SCHEMA: ClassVar[str] = "merbench.report/1"

    corpus: str
    hidden: bool
    formula: str
    scores: tuple[Score, ...]
    counts: Mapping[str, int]
    digests: Mapping[str, str]
    per_class: tuple[ClassRow, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    coverage: tuple[CoverageRow, ...] = ()
    groups: tuple[Group, ...] = ()
    worst: tuple[WorstSample, ...] = ()
    calibration: tuple[Calibration, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    warnings: tuple[Problem, ...] = ()
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scores:
            raise ValueError("no scores")
        if "candidates" not in self.counts:
            raise ValueError("the number of candidates is missing")
        if any(len(group.scores) != len(self.scores) for group in self.groups):
            raise ValueError("a group without the scores of the others")

    def __repr__(self) -> str:
        first = self.scores[0]
        return f"<ScoreReport {self.track}, split {self.split}: {first.name} {self.number(first.value)}>"

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
        """Return what a participant may see: for a hidden split nothing that shows which candidates are scored.

        Its values are rounded as they are displayed: all digits of a share show how many are scored. The corpus's
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
                    method=None,
                )
                for score in self.scores
            ),
            counts={k: n for k, n in self.counts.items() if k not in ("scored", "out_of_vocabulary", "dropped")},
            digests={key: value for key, value in self.digests.items() if key in ("submission", "track")},
            per_class=(),
            confusions=(),
            coverage=tuple(row for row in self.coverage if row.side == "prediction"),
            groups=(),
            worst=(),
            calibration=(),
            ceilings=(),
            uncertainty=None,
            warnings=tuple(warning for warning in self.warnings if not warning.code.startswith("W7")),
        )

    def _stored(self) -> dict[str, Any]:
        content = asdict(replace(self, confusions=()))
        del content["source"]
        return {**content, "confusions": [confusion.stored() for confusion in self.confusions]}

    @classmethod
    def _restored(cls, content: dict[str, Any]) -> Mapping[str, Any]:
        return {**content, "confusions": [_with_cells(confusion) for confusion in content["confusions"]]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per score, then one per group and score, as a pandas data frame."""
        import pandas as pd

        names = [item.name for item in fields(Score)]
        rows = [{"column": None, "group": None, "n": self.counts.get("scored"), **asdict(s)} for s in self.scores]
        for group in self.groups:
            rows += [{"column": group.column, "group": group.value, "n": group.n, **asdict(s)} for s in group.scores]
        return pd.DataFrame(rows, columns=["column", "group", "n", *names])

    def tables(self) -> list[ReportTable]:
        """Return everything the report shows, as headed tables."""
        parts = (
            self._calibration_tables(),
            self._class_tables(),
            self._confusion_tables(),
            self._group_tables(),
            self._coverage_tables(),
        )
        ends = (self._ceiling_table(), *(table for part in parts for table in part), self._worst_table())
        return [table for table in (self._score_table(), *ends) if table.rows]

    def to_text(self, width: int | None = None) -> str:
        """Return plain aligned text, with fewer of the worst samples, so that the scores stay in sight."""
        brief = self if len(self.worst) <= MOST_WORST_IN_TEXT else replace(self, worst=self.worst[:MOST_WORST_IN_TEXT])
        return super(ScoreReport, brief).to_text(width)

    def lead(self) -> tuple[str, ...]:
        """Return the first score with its interval."""
        first = self.scores[0]
        interval = self.interval(first.low, first.high)
        return self.number(first.value), first.name, f"· {self.interval_head} {interval}" if interval else ""

    def interval_note(self) -> str:
        """Return how the intervals that there are were made; that of an exact one is a note of its own."""
        if self.uncertainty is None or all(score.low is None for score in self.scores):
            return ""
        methods = dict.fromkeys(score.method for score in self.scores if score.method not in (None, "exact"))
        made = replace(self.uncertainty, methods=tuple(filter(None, methods)) or self.uncertainty.methods)
        distances = {score.method for item in self.calibration for score in item.scores} - methods.keys()
        return made.note(others="calibration error (distance)" if "distance" in distances else "")

    def cautions(self) -> list[str]:
        """Return the warnings."""
        return [str(warning) for warning in self.warnings]

    def notes(self) -> list[str]:
        """Return the lines under the tables: counts, interval, warnings, signature."""
        counts = [_counted(key, self.counts[key]) for key in _COUNT_ORDER if key in self.counts]
        groups = [part for part in self.signature.split("|") if part.startswith("groups:")]
        exact = [score.name for score in self.scores if score.method == "exact"]
        return [
            ", ".join(counts),
            *([f"overall = {self.formula}"] if self.formula else []),
            *([note] if (note := self.interval_note()) else []),
            *(
                [f"exact intervals (Clopper & Pearson, 1934), on a bound of the range: {', '.join(exact)}"]
                if exact
                else []
            ),
            *(f"synonyms: {part.removeprefix('groups:')}" for part in groups),
            *([ORGANIZERS_VIEW] if self.hidden and "scored" in self.counts else []),
            *self.cautions(),
            f"signature: {self.signature}",
        ]

    def plot(self) -> Any:
        """Return a matplotlib figure: scores and the F1 of classes with intervals, reliability, and a confusion matrix.

        Raises:
            MissingExtra: matplotlib is not installed.
        """
        from merbench.charts import Matrix, Panel, Reliability, interval_chart

        ceilings = {ceiling.key: ceiling for ceiling in reversed(self.ceilings)}
        line_name = f"{self.ceilings[0].name}, a ceiling" if self.ceilings else ""
        by_scale: dict[tuple[float, float] | None, list[Score]] = {}
        for score in self.scores:
            by_scale.setdefault(_own_bar(score, ceilings.get(score.key)).scale, []).append(score)
        panels = [
            Panel(
                "",
                [(s.name, s.value, s.low, s.high) for s in scores],
                scale,
                [ceilings[s.key].value if s.key in ceilings else None for s in scores],
                line_name,
            )
            for scale, scores in by_scale.items()
        ]
        for target in dict.fromkeys(row.target for row in self.per_class):
            rows = [(row.label, row.f1, row.f1_low, row.f1_high) for row in self.per_class if row.target == target]
            panels += [Panel(f"F1 of {target}", rows, (0.0, 1.0))] if len(rows) <= MOST_PLOTTED else []
        curve = next(
            (
                Reliability(
                    f"Reliability: {item.target}",
                    [(b.mean_probability, b.share_right, b.share_low, b.share_high, b.n) for b in item.bins],
                )
                for item in self.calibration
                if item.bins
            ),
            None,
        )
        drawn = next((each for each in self.confusions if len(each.labels) <= MOST_PLOTTED), None)
        matrix = Matrix(drawn.target, drawn.columns, drawn.counts) if drawn else None
        return interval_chart(self.heading, panels, matrix, curve)

    def _score_table(self) -> ReportTable:
        # Where every metric is computed on all samples that are scored, one line below says how many.
        counts_agree = {score.n_scored for score in self.scores} <= {None, self.counts.get("scored")}
        ceilings = {ceiling.key: ceiling for ceiling in reversed(self.ceilings)}
        rows = [
            (
                score.name,
                score.target or "",
                "" if counts_agree or score.n_scored is None else f"{score.n_scored:,}",
                Cell(self.number(score.value), _own_bar(score, ceilings.get(score.key))),
                self.interval(score.low, score.high),
                "" if score.weight is None else f"{score.weight:g}",
                "↑" if score.higher_is_better else "↓",
            )
            for score in self.scores
        ]
        head = ("metric", "target", "n", "value", self.interval_head, "weight", "better")
        hint = f"Dashed: {self.ceilings[0].name}, a ceiling of a metric." if self.ceilings else ""
        return without_empty_columns(ReportTable("", head, rows, n_text=2, hint=hint))

    def _ceiling_table(self) -> ReportTable:
        names = {score.key: score.name for score in self.scores}
        rows = [
            (
                names.get(item.key, item.key),
                item.name,
                "" if item.n is None else f"{item.n:,}",
                self.number(item.value),
                self.interval(item.low, item.high),
            )
            for item in self.ceilings
        ]
        head = ("metric", "answers of", "n", "value", self.interval_head)
        return without_empty_columns(ReportTable("Ceilings", head, rows, n_text=2))

    def _calibration_tables(self) -> Iterator[ReportTable]:
        for item in self.calibration:
            scores = [
                (s.name, Cell(self.number(s.value), _own_bar(s)), self.interval(s.low, s.high)) for s in item.scores
            ]
            title = f"Probabilities: {item.target} ({item.n:,} samples)"
            yield without_empty_columns(ReportTable(title, ("metric", "value", self.interval_head), scores))
            rows = [
                (
                    f"{part.low:.3g}–{part.high:.3g}",
                    f"{part.n:,}",
                    self.number(part.mean_probability),
                    self.estimate(part.share_right, part.share_low, part.share_high),
                )
                for part in item.bins
            ]
            names = ("mean probability", "share right")
            points = tuple(
                (part.mean_probability, Bar(part.share_right, part.share_low, part.share_high), part.n)
                for part in item.bins
            )
            yield ReportTable(
                f"Reliability: {item.target}",
                ("probability", "n", *names),
                rows,
                hint="Of the most probable label. Dashed: as often right as probable; from below: numbers of samples.",
                curve=Curve(*names, points),
            )

    def _worst_table(self) -> ReportTable:
        rows = [
            (
                item.id,
                item.target,
                item.reference,
                item.prediction or OUTSIDE,
                f"{item.influence:+.3g}",
            )
            for item in self.worst
        ]
        head = ("sample", "target", "reference", "prediction", "influence")
        return ReportTable("Worst samples", head, rows, n_text=4, legend=_INFLUENCE)

    def _class_tables(self) -> Iterator[ReportTable]:
        for target in dict.fromkeys(row.target for row in self.per_class):
            shown, title = [row for row in self.per_class if row.target == target], f"{target}, per class"
            if len(shown) > DENSE_LABELS:
                title += f", the {DENSE_LABELS} of {len(shown):,} labels with the most references"
                shown = sorted(shown, key=lambda row: -row.n)[:DENSE_LABELS]
            rows = [
                (
                    row.label,
                    f"{row.n:,}",
                    *(
                        self.estimated(*ends, scale=(0.0, 1.0))
                        for ends in (
                            (row.precision, row.precision_low, row.precision_high),
                            (row.recall, row.recall_low, row.recall_high),
                            (row.f1, row.f1_low, row.f1_high),
                        )
                    ),
                )
                for row in shown
            ]
            yield ReportTable(title, ("label", "n", "precision", "recall", "f1"), rows)

    def _confusion_tables(self) -> Iterator[ReportTable]:
        for confusion in self.confusions:
            names = (*confusion.labels, OUTSIDE)
            if len(confusion.labels) > DENSE_LABELS:
                wrong = sorted((cell for cell in confusion.cells if cell[0] != cell[1]), key=lambda cell: -cell[2])
                shown = [(names[row], names[column], f"{n:,}") for row, column, n in wrong[:DENSE_LABELS]]
                title = f"{confusion.target}, the {len(shown)} most frequent of {len(wrong):,} confusions"
                yield ReportTable(title, ("reference", "prediction", "n"), shown, n_text=2)
                continue
            counts, head = confusion.counts, confusion.columns
            rows = [
                (label, *(Cell(f"{count:,}", count / max(sum(row), 1)) for count in row[: len(head)]))
                for label, row in zip(confusion.labels, counts, strict=True)
            ]
            title = f"Confusion matrix: {confusion.target} (rows: reference, columns: prediction)"
            yield ReportTable(title, ("", *head), rows, hint="Percent and shade: share of the row.")

    def _coverage_tables(self) -> Iterator[ReportTable]:
        for target in dict.fromkeys(row.target for row in self.coverage):
            rows = [
                (
                    row.side,
                    ", ".join(f"{word} ({n:,})" for word, n in row.frequent),
                    f"{row.words:,}",
                    f"{row.unknown:,}",
                    self.number(row.share),
                )
                for row in self.coverage
                if row.target == target
            ]
            head = ("side", "most frequent unknown words", "words", "unknown", "share")
            yield ReportTable(f"{target}, words that are not in the lexicon", head, rows, n_text=2)

    def _group_tables(self) -> Iterator[ReportTable]:
        for column in dict.fromkeys(group.column for group in self.groups):
            rows = [
                (
                    group.value,
                    f"{group.n:,}",
                    *(
                        self.estimated(s.value, s.low, s.high, line=all_of.value)
                        for s, all_of in zip(group.scores, self.scores, strict=True)
                    ),
                )
                for group in self.groups
                if group.column == column
            ]
            head = (column, "n", *(score.name for score in self.scores))
            yield ReportTable(f"by {column}", head, rows, hint="Dashed: all samples.")


def _own_bar(score: Score, ceiling: Ceiling | None = None) -> Bar:
    """Return the bar of a score on the scale of its metric, as far as its values show it."""
    line = ceiling.value if ceiling else None
    ends = [end for end in (score.value, score.low, score.high, line) if end is not None] or [0.0]
    low, high = min(0.0, *ends), max(ends)
    if score.higher_is_better and low >= -1 and high <= 1:
        scale = (0.0 if low == 0 else -1.0, 1.0)
    else:
        scale = round_scale(low, max(high, 0.0))
    return Bar(score.value, score.low, score.high, scale, line)


_INFLUENCE = "Influence: the first ranking score with this answer minus the score without it."

ORGANIZERS_VIEW = "organizers only: with --public, `score` and `compare` leave out what shows which samples are scored"
"""The note under a report that shows more of a hidden split than a participant may see."""


def public_signature(signature: str, n_candidates: int) -> str:
    """Return a signature without what depends on the references of a hidden split, or on resampling them."""
    return "|".join(
        f"n:{n_candidates}" if part.startswith("n:") else part.split("#")[0] if part.startswith("corpus:") else part
        for part in signature.split("|")
        if not part.startswith(("ci:", "bs:", "cluster:", "bootstrap_seed:", "permutations:"))
    )


def _counted(name: str, n: int) -> str:
    return plural(n, name[:-1]) if name in ("candidates", "rows") else f"{n:,} {name.replace('_', ' ')}"


_COUNT_ORDER = ("candidates", "scored", "rows", "extra", "dropped", "out_of_vocabulary")
