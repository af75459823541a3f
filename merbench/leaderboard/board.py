"""A board as frozen values: rows with intervals and ranks, and the entries that are invalid.

Conventions:
    As in `merbench.report`. A difference is a row's value minus that of the best row, under the first ranking key.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import reduce
from typing import Any, ClassVar, Literal

from merbench.errors import Problem, UsageError, printable
from merbench.leaderboard.entry import InvalidEntry
from merbench.leaderboard.ranking import MOST_PAIRED
from merbench.report import (
    Bar,
    Ceiling,
    Cell,
    Report,
    ReportTable,
    csv_cell,
    displayed,
    escape_html,
    escape_markdown,
)
from merbench.report.tables import DAGGER

INVALID = "Invalid entries"

SCHEMES = {
    "mean_rank": "by the mean rank in all metrics",
    "median_rank": "by the median rank in all metrics",
    "borda": "by the number of rows behind, summed over metrics",
    "aggregate_then_rank": "by the mean over samples",
    "rank_then_aggregate": "by the mean of the ranks on every sample",
    "test_then_rank": "by how many rows it is significantly better than, over samples",
    "test_then_rank_holm": "by the same, with p adjusted by Holm",
    "mean_rank_score": "by a rank that grows only where a row is significantly worse, mean over metrics",
}
"""What the ranking schemes rank by."""

_GROUP = re.compile(r"(?:[a-z]{1,4}(?: |$))*")

NEEDED = "how many would show the difference from the row above with 80 % power"


@dataclass(frozen=True, slots=True)
class BoardScore:
    """The `Score` of a run, or the mean over runs and their sample standard deviation (None for a single run)."""

    key: str
    name: str
    value: float
    deviation: float | None
    low: float | None
    high: float | None
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """How far a row is from the best one, under the first ranking key."""

    value: float  # the row's value minus that of the best row
    p: float | None = None  # two-sided p of the paired permutation test; None if intervals are withheld
    p_holm: float | None = None  # the same, adjusted by Holm over all rows compared with the best
    separable: bool | None = None  # whether the difference is significant: `p_holm` is below 1 − level
    # how many samples, or clusters, would show the difference from the row above with 80 % power; None if intervals are
    # withheld, or there is no difference
    needed: int | None = None
    needed_unit: str | None = None  # what `needed` counts: `samples` or `clusters`


@dataclass(frozen=True, slots=True)
class Row:
    """A system of a team: the run that is selected, else the mean of its runs, whose seeds differ.

    What is not listed here is as in `EntryCard`.
    """

    rank: int | None  # the rank, shared by ties; None when the row is not ranked
    team: str  # name of the team's folder; `team_name` is the name shown
    team_name: str
    system: str
    title: str
    members: tuple[str, ...]
    paper: str | None
    code: str | None
    external_data: tuple[str, ...]
    # names of the folders of its runs; `seeds` and `digests` (of their predictions) are in the same order
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]
    received: datetime  # when the last of them was received, in UTC
    ranks: bool
    digests: tuple[str, ...]
    scores: tuple[BoardScore, ...]  # the overall score first, where there is one, then the metrics of the track
    gap: Gap | None = None  # the distance from the best row; None for the best row itself
    # the interval of the rank; None without intervals, and for a row that is not ranked
    rank_low: int | None = None
    rank_high: int | None = None
    group: str = ""  # letters, separated by spaces; ranked rows that share one are not significantly different
    first_share: float | None = None  # share of the resamples in which it is first

    @property
    def key(self) -> tuple[str, str]:
        """What identifies a row: team and system."""
        return self.team, self.system

    @property
    def values(self) -> Mapping[str, float]:
        """Values by the short name of their metric."""
        return {score.name: score.value for score in self.scores}

    @property
    def order(self) -> tuple[datetime, str, str]:
        """What orders rows of equal values."""
        return self.received, ",".join(self.digests), f"{self.team}/{self.runs[0]}"

    def score(self, name: str) -> BoardScore:
        """Return the score of a short name."""
        return next(score for score in self.scores if score.name == name)

    @property
    def p(self) -> float | None:
        """The adjusted p of the difference from the best row."""
        return None if self.gap is None else self.gap.p_holm

    @property
    def shown_p(self) -> str:
        """The adjusted p, or nothing."""
        return "" if self.p is None else f"{displayed(self.p, 4):f}"

    @property
    def is_alike(self) -> bool:
        """Whether the row is not significantly different from the best one."""
        return self.gap is not None and self.gap.separable is False

    @property
    def shown_ranks(self) -> str:
        """The interval of the rank, or nothing."""
        low, high = self.rank_low, self.rank_high
        return "" if low is None else f"{low}" if low == high else f"{low}–{high}"

    @property
    def shown_group(self) -> str:
        """The letters of the group, three or more that follow each other as `a–d`."""
        runs: list[list[str]] = []
        last = -1
        for letter in self.group.split():
            number = reduce(lambda total, c: 26 * total + ord(c) - ord("a") + 1, letter, 0)
            if not runs or number != last + 1:
                runs.append([])
            runs[-1].append(letter)
            last = number
        return " ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else " ".join(run) for run in runs)


@dataclass(frozen=True, slots=True)
class Scheme:
    """Another way to rank the same rows (`docs/uncertainty.md`).

    `ranks` and `scores`, by which it ranks, are in the order of the rows; None for a row that is not ranked. `tau` is
    Kendall's τ-b between its ranks and the board's own; None where all rows share a rank.
    """

    name: str
    ranks: tuple[int | None, ...]
    scores: tuple[float | None, ...]
    tau: float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a board: its name and what it is, what each row shows, and how a page sorts it."""

    head: str
    hint: str
    cells: Sequence[str]
    kind: Literal["number", "text"] = "number"
    first: Literal["ascending", "descending"] = "ascending"


@dataclass(frozen=True, kw_only=True)
class Board(Report):
    """The ranked rows of one track, all of one signature, and the invalid entries.

    Attributes:
        signature: what all rows have in common; empty on a board without rows.
        corpus: name of the corpus.
        hidden: whether it is secret which candidates are scored.
        formula: the overall score written out.
        ranking: the ranking keys, in order.
        n_permutations: number of permutations of the paired test.
        rows: in order.
        invalid: entries that cannot be ranked, by place.
        schemes: other ways to rank the rows; none for fewer than two ranked rows.
        schemes_missing: why the other schemes are not offered, a line each.
        ceilings: what one annotator reaches, where the corpus has votes and nothing is hidden.
        warnings: what a reader must know of intervals and tests.
    """

    SCHEMA: ClassVar[str] = "merbench.leaderboard/1"

    corpus: str
    hidden: bool
    formula: str
    ranking: tuple[str, ...]
    n_permutations: int
    rows: tuple[Row, ...]
    invalid: tuple[InvalidEntry, ...]
    schemes: tuple[Scheme, ...] = ()
    schemes_missing: tuple[str, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        names = {tuple(row.values) for row in self.rows}
        if len(names) > 1 or any(not self.ranking or not set(self.ranking) <= set(each) for each in names):
            raise ValueError("rows without the scores of the others, or without a ranking value")
        if any({len(scheme.ranks), len(scheme.scores)} != {len(self.rows)} for scheme in self.schemes):
            raise ValueError("a ranking scheme without a rank for every row")
        n = len(self.rows)
        ranks = [rank for row in self.rows for rank in (row.rank, row.rank_low, row.rank_high) if rank is not None]
        if not all(1 <= rank <= n for rank in ranks):
            raise ValueError(f"ranks: 1 to {n:,} are possible, not {next(r for r in ranks if not 1 <= r <= n)}")
        if any(not _GROUP.fullmatch(row.group) or row.group.count(" ") >= n for row in self.rows):
            raise ValueError("a group is letters, separated by spaces, at most as many as rows")
        shares = [share for row in self.rows for share in (row.p, row.first_share) if share is not None]
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a p value, or a share of resamples, that is not in [0, 1]")
        if self.uncertainty is None and any(row.gap and row.gap.separable is not None for row in self.rows):
            raise ValueError("a tested difference without the level of the test")

    def _stored(self) -> dict[str, Any]:
        content = asdict(self)
        for row in content["rows"]:
            row["received"] = moment(row["received"])
        return content

    def to_csv(self) -> str:
        """Return one line per row with unrounded values; text that a spreadsheet would run is made harmless."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [score.name for score in self.rows[0].scores] if self.rows else []
        numbers = [f"{name}{part}" for name in names for part in ("", "_deviation", "_low", "_high")]
        about = ("rank", "team", "team_name", "system", "title", "runs", "seeds", "received")
        tests = ("difference", "p", "p_holm", "separable", "needed", "needed_unit")
        ranks = ("rank_low", "rank_high", "first_share", "group", *(scheme.name for scheme in self.schemes))
        writer.writerow([*about, *map(csv_cell, numbers), *tests, *ranks, "signature"])
        for number, row in enumerate(self.rows):
            gap = row.gap or Gap(0.0)
            cells: list[object] = [
                row.rank,
                *(csv_cell(cell) for cell in (row.team, row.team_name, row.system, row.title, " ".join(row.runs))),
                " ".join("" if seed is None else str(seed) for seed in row.seeds),
                moment(row.received),
                *(value for s in row.scores for value in (s.value, s.deviation, s.low, s.high)),
            ]
            cells += [gap.value, gap.p, gap.p_holm, gap.separable, gap.needed, gap.needed_unit]
            cells += [row.rank_low, row.rank_high, row.first_share, row.group]
            cells += [scheme.ranks[number] for scheme in self.schemes]
            writer.writerow([*cells, csv_cell(self.signature)])
        return text.getvalue()

    def to_text(self, width: int | None = None) -> str:
        """Return plain aligned text, the table at most `width` characters wide."""
        lines = [f"  {printable(line, None)}" for line in self.invalid_lines()]
        return super().to_text(width) + ("\n".join(["", INVALID, *lines, ""]) if lines else "")

    def to_markdown(self) -> str:
        """Return GitHub Markdown, names escaped."""
        lines = [f"* {escape_markdown(line)}" for line in self.invalid_lines()]
        page = super().to_markdown().removeprefix("#")  # a board is a page of its own
        return page + ("\n".join(["", f"## {INVALID}", "", *lines, ""]) if lines else "")

    def _section(self, level: int) -> str:
        lines = "".join(f"<li>{escape_html(line)}</li>\n" for line in self.invalid_lines())
        invalid = f"<h{level + 1}>{INVALID}</h{level + 1}>\n<ul>\n{lines}</ul>\n" if lines else ""
        section, end = super()._section(level), "</section>"
        return section.removesuffix(end) + invalid + end

    def tables(self) -> list[ReportTable]:
        """Return the table of rows, and that of the ranking schemes; none on a board without rows."""
        if not self.rows:
            return []
        columns = {column.head: column.cells for column in self.columns()}
        if any(row.p is not None for row in self.rows):
            columns["p"] = [row.shown_p for row in self.rows]
            columns["≈"] = ["≈" if row.is_alike else "" for row in self.rows]
        if any(len(row.runs) > 1 for row in self.rows):
            columns["runs"] = [str(len(row.runs)) for row in self.rows]
        n_text = 4 if "ranks" in columns else 3
        rows = list(zip(*columns.values(), strict=True))
        board = ReportTable("", tuple(columns), rows, n_text=n_text, legend=self._legend())
        return [board, self._scheme_table()] if self.other_schemes else [board]

    @property
    def other_schemes(self) -> list[Scheme]:
        """The schemes that rank the rows in another way than the board."""
        own = tuple(row.rank for row in self.rows)
        return [scheme for scheme in self.schemes if scheme.ranks != own]

    def cautions(self) -> list[str]:
        """Return the warnings."""
        return [str(warning) for warning in self.warnings]

    def _scheme_table(self) -> ReportTable:
        columns = {column.head: column.cells for column in self.columns() if column.head in ("team", "system")}
        others = self.other_schemes
        ranks = {"this board": [row.rank for row in self.rows], **{each.name: each.ranks for each in others}}
        rows = zip(*columns.values(), *(map(_rank, column) for column in ranks.values()), strict=True)
        taus = [self.number(scheme.tau) for scheme in others]
        head = (*columns, *(name.replace("_", " ") for name in ranks))
        return ReportTable("Ranking schemes", head, [*rows, ("Kendall's τ", "", "", *taus)], n_text=2)

    def plot(self) -> Any:
        """Return a matplotlib figure of the rows' values with their intervals under the first ranking key.

        Raises:
            MissingExtra: matplotlib is not installed.
            UsageError: the board has no rows.
        """
        from merbench.charts import Panel, interval_chart

        if not self.rows:
            raise UsageError("a board without rows has nothing to plot")
        names = [f"{_rank(row.rank)}  {row.system} ({row.team_name})" for row in self.rows]
        scores = [row.score(self.ranking[0]) for row in self.rows]
        ends = [(name, score.value, score.low, score.high) for name, score in zip(names, scores, strict=True)]
        ceiling = next((each for each in self.ceilings if each.key == scores[0].key), None)
        lines, name = ([], "") if ceiling is None else ([ceiling.value] * len(ends), f"{ceiling.name}, a ceiling")
        return interval_chart(self.heading, [Panel(self.ranking[0], ends, None, lines, name)])

    def columns(self) -> list[Column]:
        """Return the columns that every form shows; of intervals and tests only those that there are."""
        rows, first = self.rows, self.ranking[0]
        teams = [row.team if row.team == row.team_name else f"{row.team_name} ({row.team})" for row in rows]
        columns = [
            Column("rank", "competition rank, shared by ties", [_rank(row.rank) for row in rows]),
            *self._rank_intervals(),
            Column("team", "team", teams, "text"),
            Column("system", "system", [row.system for row in rows], "text"),
            self._score_column(first),
        ]
        if self.uncertainty is not None:
            scores = [row.score(first) for row in rows]
            line = next((ceiling.value for ceiling in self.ceilings if ceiling.key == scores[0].key), None)
            cells = [Cell(self.interval(s.low, s.high), Bar(s.value, s.low, s.high, line=line)) for s in scores]
            columns.append(Column(self.interval_head, f"interval of {first}", cells, first="descending"))
        names = dict.fromkeys([*self.ranking, *rows[0].values])
        columns += [self._score_column(name) for name in names if name != first]
        gaps = ["" if row.gap is None else self.number(row.gap.value) for row in rows]
        columns.append(Column("Δ vs best", f"{first} minus that of the best row", gaps))
        if self._needed_unit:
            counts = [None if row.gap is None else row.gap.needed for row in rows]
            columns.append(
                Column(f"{self._needed_unit} needed", NEEDED, ["" if n is None else f"{n:,}" for n in counts])
            )
        if any(row.group for row in rows):
            hint = "rows that share a letter are not significantly different"
            columns.append(Column("group", hint, [row.shown_group for row in rows], "text"))
        return columns

    @property
    def _needed_unit(self) -> str | None:
        return next((row.gap.needed_unit for row in self.rows if row.gap is not None and row.gap.needed), None)

    def _rank_intervals(self) -> Iterator[Column]:
        if any(row.rank_low is not None for row in self.rows):
            cells = [row.shown_ranks for row in self.rows]
            hint = f"{self.interval_head} of the rank"
            yield Column("ranks", hint, cells)

    def _legend(self) -> str:
        legend = "Bold: best of a column." if len(self.rows) > 1 else ""
        if not any(row.gap is not None and row.gap.separable for row in self.rows):
            return legend
        assert self.uncertainty is not None
        return f"{legend} {DAGGER}: significantly different from the best row, p < {self.uncertainty.alpha:g}."

    def _score_column(self, name: str) -> Column:
        scores = [row.score(name) for row in self.rows]
        key, better = scores[0].key, scores[0].higher_is_better
        best = self.number((max if better else min)(score.value for score in scores))
        return Column(
            f"{name} {'↑' if better else '↓'}",
            f"{key}, {'higher' if better else 'lower'} is better",
            [
                Cell(
                    self.number(score.value)
                    + ("" if score.deviation is None else f" ± {self.number(score.deviation)}"),
                    best=len(scores) > 1 and self.number(score.value) == best,
                    differs=name == self.ranking[0] and row.gap is not None and row.gap.separable is True,
                )
                for row, score in zip(self.rows, scores, strict=True)
            ],
            first="descending" if better else "ascending",
        )

    def notes(self) -> list[str]:
        """Return the lines under the table: how ranks, differences, intervals and means are to be read."""
        if not self.rows:
            return ["no entries yet"]
        lines = [
            f"ranked by {', then '.join(self.ranking)}, compared as displayed; ties share a rank; "
            "the earlier submission is listed first"
        ]
        if self.hidden:
            lines[0] += "; only part of the candidates is scored, and which part is secret: no intervals, no tests"
        if any(row.rank is None for row in self.rows):
            lines.append("–: not ranked, shown for comparison")
        if self.formula:
            lines.append(f"overall = {self.formula}")
        if self.uncertainty is not None:
            lines.append(self.interval_note())
        if self.uncertainty is not None and len(self.rows) > 1:
            alike = f"; ≈: p ≥ {self.uncertainty.alpha:g}" if any(row.is_alike for row in self.rows) else ""
            lines.append(
                f"p: paired permutation test of {self.ranking[0]} against the best row, two-sided, "
                f"{self.n_permutations:,} permutations, Holm over the rows{alike}"
            )
        lines += self.cautions()
        if self._needed_unit:
            lines.append(f"{self._needed_unit} needed: {NEEDED}")
        lines += self._rank_notes()
        lines += [self._ceiling_note(ceiling) for ceiling in self.ceilings]
        if any(len(row.runs) > 1 for row in self.rows):
            lines.append("±: mean and standard deviation over the runs of a system, one per seed")
        return [*lines, f"signature: {self.signature}"]

    def interval_note(self) -> str:
        """Return how the intervals were made, and what else depends on the resamples."""
        others = [
            *([f"{self._needed_unit} needed"] if self._needed_unit else []),
            *(["ranks"] if any(row.rank_low is not None for row in self.rows) else []),
            *(["groups"] if any(row.group for row in self.rows) else []),
        ]
        return self.uncertainty.note("rows", ", ".join(others)) if self.uncertainty else ""

    def _ceiling_note(self, ceiling: Ceiling) -> str:
        names = {score.key: score.name for score in self.rows[0].scores}
        reached = self.estimate(ceiling.value, ceiling.low, ceiling.high)
        return f"ceiling of {names.get(ceiling.key, ceiling.key)}: {ceiling.name} reaches {reached}"

    def _rank_notes(self) -> Iterator[str]:
        """Yield how rank intervals, groups and ranking schemes are to be read."""
        if any(row.rank_low is not None for row in self.rows):
            yield (
                f"ranks: {self.interval_head}, after the rows that are significantly better and before those that are "
                "significantly worse (t test as for groups, Holm over the pairs of a row)"
            )
        if any(row.group for row in self.rows):
            n = sum(row.rank is not None for row in self.rows)
            pairs = "all pairs" if n <= MOST_PAIRED else "neighbours"
            yield (
                f"group: rows that share a letter are not significantly different in {self.ranking[0]} "
                f"(t test of paired differences, Holm over {pairs})"
            )
        others = self.other_schemes
        if same := [scheme.name.replace("_", " ") for scheme in self.schemes if scheme not in others]:
            yield f"{', '.join(same)}: {'ranks' if len(same) == 1 else 'rank'} the rows as this board does"
        if others:
            schemes = [f"{each.name.replace('_', ' ')} ({SCHEMES.get(each.name, '')})" for each in others]
            undefined = "; –: all rows share a rank" if any(scheme.tau is None for scheme in others) else ""
            yield f"ranking schemes: {', '.join(schemes)}; Kendall's τ is τ-b with this board{undefined}"
        yield from self.schemes_missing

    def invalid_lines(self) -> list[str]:
        """Return one line per problem of the invalid entries."""
        return [f"{entry.place}: {problem}" for entry in self.invalid for problem in entry.problems]


def _rank(rank: int | None) -> str:
    return "–" if rank is None else str(rank)


def moment(time: datetime) -> str:
    """Return a time in UTC as RFC 3339."""
    return time.isoformat().replace("+00:00", "Z")
