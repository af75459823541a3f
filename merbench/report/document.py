"""What every report is: a heading, tables and notes, shown in many forms, stored as JSON and read back.

A report declares its fields, its tables and its notes; nobody else formats.

Conventions:
    Values are fractions, never rounded before they are shown. JSON has sorted keys, shortest round-trip floats and no
    NaN; the same report is the same bytes. Only a report that can be shown can be built, or read from JSON.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from merbench.errors import UsageError, json_text, listed, plural
from merbench.report.html import page_html, section_html
from merbench.report.latex import section_latex
from merbench.report.tables import Bar, Cell, ReportTable, displayed, section_markdown, section_text

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_DECIMALS = 10

LARGE = 1e15
"""Values of this size are shown as a power of ten: a float has no more digits."""

WITHOUT_RESAMPLES = ("jackknife_t",)
"""Methods whose intervals do not depend on the resamples."""


@dataclass(frozen=True, slots=True)
class Score:
    """The value of one metric.

    Attributes:
        key: canonical form with every parameter, `ccc(valence,form=population)`; `overall` for the weighted sum.
        name: the short name shown.
        target: the target it scores; None for the overall score.
        value: the plain value; None if it is not defined (a group without a needed class).
        low: lower end of the interval, `high` the upper one; None without an interval.
        weight: its weight in the overall score; None when it is only reported.
        n_left_out: resamples on which the metric was not defined.
        n_scored: how many samples count for its target; None for the overall score and for groups.
        method: how its interval was made; None without an interval.
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
    method: str | None = None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a metric is for answers of people instead of a system's, as far as references show it."""

    key: str  # the metric's key
    name: str  # whose answers they are: `one annotator`
    value: float
    low: float | None = None  # lower end of the interval, `high` the upper one; None without an interval
    high: float | None = None
    n: int | None = None  # on how many samples


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """How the intervals of a report were made.

    Attributes:
        method: the method of all intervals, or `default`: each metric's own.
        cluster: the column whose samples were resampled together; None when they were resampled one by one.
        methods: the methods of the scores, each once, in the order of the track.
    """

    method: str
    level: float
    n_resamples: int
    cluster: str | None
    n_clusters: int | None
    seed: int
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cluster is not None and self.n_clusters is None:
            raise ValueError("the number of clusters is missing")

    @property
    def alpha(self) -> float:
        """The error rate that the level of the intervals leaves: 0.05 at 95 %."""
        return round(1 - self.level, 10)

    @property
    def head(self) -> str:
        """The head of a column of intervals."""
        return f"{100 * self.level:.15g}% interval"

    def note(self, shared_by: str = "", others: str = "") -> str:
        """Return the line under the tables, which names the resamples only if something depends on them.

        Args:
            shared_by: what shares the resamples; empty for a single system.
            others: what depends on the resamples, except the intervals of the scores.
        """
        unit = "samples" if self.cluster is None else f"{plural(self.n_clusters or 0, 'cluster')} of '{self.cluster}'"
        methods = self.methods or (self.method,)
        without = [method for method in methods if method in WITHOUT_RESAMPLES]
        resampled = [method for method in methods if method not in WITHOUT_RESAMPLES] + ([others] if others else [])
        parts = [f"{', '.join(without)} over {unit}"] if without else []
        if resampled:
            resamples = f"{self.n_resamples:,} Poisson resamples of {unit}, seed {self.seed}"
            parts.append(
                f"{', '.join(resampled)} from {resamples}" + (f", shared by all {shared_by}" if shared_by else "")
            )
        return f"{self.head}s: {'; '.join(parts)}"


@dataclass(frozen=True, kw_only=True)
class Document:
    """What every report is: a heading, tables and notes, in many forms.

    Attributes:
        decimals: how many are shown.
    """

    SCHEMA: ClassVar[str]
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    decimals: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= MOST_DECIMALS:
            raise ValueError(f"decimals: 0 to {MOST_DECIMALS} are allowed, not {self.decimals}")

    def __str__(self) -> str:
        return self.to_text()

    @property
    def heading(self) -> str:
        """The first line of every form."""
        raise NotImplementedError

    def tables(self) -> list[ReportTable]:
        """Return what the report shows, as headed tables."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        raise NotImplementedError

    def interval_note(self) -> str:
        """Return how the intervals were made; empty without intervals."""
        return ""

    def lead(self) -> tuple[str, ...]:
        """Return the most important number and what it is, which a page shows first; nothing without."""
        return ()

    def cautions(self) -> list[str]:
        """Return those of the notes that a page shows first."""
        return []

    def to_text(self, width: int | None = None) -> str:
        """Return plain aligned text, tables at most `width` characters wide."""
        return section_text(self.heading, self.tables(), self.notes(), width)

    def to_markdown(self) -> str:
        """Return GitHub Markdown, names escaped."""
        return section_markdown(self.heading, self.tables(), self.notes())

    def to_latex(self) -> str:
        """Return LaTeX tables that need the package `booktabs`, names escaped."""
        legend = f"{note}." if (note := self.interval_note()) else ""
        return section_latex(self.heading, self.tables(), self.notes(), legend)

    def to_html(self) -> str:
        """Return one self-contained HTML page, names escaped, no network needed."""
        return page_html(self.heading, self._section(1))

    def _repr_html_(self) -> str:
        return self._section(2)

    def _section(self, level: int) -> str:
        """Return the report as a section of HTML with a heading of a level."""
        lead, cautions = self.lead(), self.cautions()
        return section_html(self.heading, self.tables(), self.notes(), lead=lead, cautions=cautions, level=level)

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, shortest round-trip floats, a newline at the end."""
        return json_text({"schema": self.SCHEMA, **self._stored()})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report whose `to_json` is `text`; raise `UsageError` for anything else."""
        from pydantic import ValidationError
        from pydantic_core import from_json, to_json

        try:
            content = from_json(text, allow_inf_nan=False)
            if (schema := content.pop("schema", None)) != cls.SCHEMA:
                raise ValueError("no schema" if schema is None else f"its schema is {schema!a:.60}")
            report: Self = _reader(cast(Hashable, cls)).validate_json(to_json(cls._restored(content)))
        except ValidationError as error:
            places = [f"{'.'.join(map(str, e['loc'])) or 'report'}: {e['msg']}" for e in error.errors()]
            raise UsageError(f"not a report of the form {cls.SCHEMA}: {listed(places)}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"not a report of the form {cls.SCHEMA}: {error}") from error
        return report

    def _stored(self) -> dict[str, Any]:
        """Return what the JSON has of the report."""
        return asdict(self)

    @classmethod
    def _restored(cls, content: dict[str, Any]) -> Mapping[str, Any]:
        """Return the fields of the report that stored this content; the inverse of `_stored`, for old content, too."""
        return content

    def number(self, value: float | None) -> str:
        """Return a value at the declared number of decimals."""
        if value is None:
            return "–"
        return f"{displayed(value, self.decimals):f}" if abs(value) < LARGE else f"{value:.{self.decimals}e}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Return an interval, or nothing."""
        return "" if low is None or high is None else f"[{self.number(low)}, {self.number(high)}]"

    def estimate(self, value: float | None, low: float | None, high: float | None) -> str:
        """Return a value with its interval, where it has one."""
        return f"{self.number(value)} {self.interval(low, high)}".strip()

    def estimated(
        self,
        value: float | None,
        low: float | None,
        high: float | None,
        scale: tuple[float, float] | None = None,
        line: float | None = None,
    ) -> Cell:
        """Return the cell of a value with its interval, which a page draws; see `Bar` for the rest."""
        return Cell(self.estimate(value, low, high), Bar(value, low, high, scale, line))


@dataclass(frozen=True, kw_only=True)
class Report(Document):
    """A report on one split of a track.

    Attributes:
        track: id and version of the track.
        title: its title.
        split: name of the split.
        synthetic: whether the corpus is the synthetic sample.
        signature: what must be equal for two values to be comparable.
        uncertainty: how the intervals were made; None without intervals.
    """

    track: str
    title: str
    split: str
    synthetic: bool
    signature: str
    uncertainty: Uncertainty | None = None

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if self.synthetic else ""
        return f"{self.title} ({self.track}, split {self.split}){sample}"

    def interval_note(self) -> str:
        """Return how the intervals were made; empty without intervals."""
        return self.uncertainty.note() if self.uncertainty else ""

    @property
    def interval_head(self) -> str:
        """The head of a column of intervals."""
        return self.uncertainty.head if self.uncertainty else "interval"


@cache
def _reader(kind: Hashable) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(cast(type[Document], kind))
