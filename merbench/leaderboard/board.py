"""A board as frozen values that render themselves: rows with intervals and ranks, and the entries that could not enter.

Conventions:
    Values are fractions, never rounded before they are shown. A difference is a row's value minus that of the best
    row, under the first key of the ranking. The same board is the same bytes in every form.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from merbench.errors import json_text, printable
from merbench.leaderboard.entry import InvalidEntry
from merbench.report import ReportTable, Uncertainty, displayed, escape_markdown

SCHEMA = "merbench.leaderboard/1"

FORMULA_PREFIXES = "=+-@\uff1d\uff0b\uff0d\uff20"
"""What makes a spreadsheet take a cell for a formula; the last four are the full-width forms of the first."""


@dataclass(frozen=True, slots=True)
class BoardScore:
    """The value of one metric in a row.

    Attributes:
        key: canonical form with every parameter.
        name: the short name shown.
        value: the value of the run, or the mean of the runs.
        deviation: sample standard deviation over the runs; None for a single run.
        low: lower end of the interval of the value; None without one.
        high: upper end of the interval.
        higher_is_better: the direction of improvement.
    """

    key: str
    name: str
    value: float
    deviation: float | None
    low: float | None
    high: float | None
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """How far a row is from the best one, under the first ranking key.

    Attributes:
        value: the row's value minus that of the best row.
        p: two-sided p of the paired permutation test; None where intervals are withheld.
        p_holm: the same, adjusted by Holm over all rows compared with the best.
        separable: whether the data separate the row from the best: `p_holm` is below 1 − level.
    """

    value: float
    p: float | None = None
    p_holm: float | None = None
    separable: bool | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A system of a team: the run that is selected, else the mean of its runs, whose seeds differ.

    Attributes:
        rank: the rank, shared by equals; None when the row takes no part in the ranking.
        team: name of the team's folder.
        team_name: the team's name as it is shown.
        system: name of the system.
        title: one line about it.
        members: who made it.
        paper: where it is described.
        code: where its code is found.
        external_data: data beyond the track's own.
        runs: names of the folders of the runs it stands for.
        seeds: their seeds.
        received: when the last of them was received, in UTC.
        ranks: whether it takes part in the ranking.
        digests: digests of their predictions.
        scores: the overall score first, where there is one, then the metrics of the track.
        gap: the distance to the best row; None for the best row itself.
    """

    rank: int | None
    team: str
    team_name: str
    system: str
    title: str
    members: tuple[str, ...]
    paper: str | None
    code: str | None
    external_data: tuple[str, ...]
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]
    received: datetime
    ranks: bool
    digests: tuple[str, ...]
    scores: tuple[BoardScore, ...]
    gap: Gap | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What tells rows apart: team and system."""
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
    def shown_team(self) -> str:
        """The team's name, with its folder where the two differ: only the folder tells teams apart."""
        return self.team if self.team_name == self.team else f"{self.team_name} ({self.team})"


@dataclass(frozen=True)
class Board:
    """The ranked rows of one track, all of one signature, and the entries that could not enter.

    Attributes:
        track: id and version.
        title: the track's title.
        corpus: name of the corpus.
        split: name of the split.
        synthetic: whether the corpus is the synthetic sample.
        hidden: whether which candidates are scored is a secret.
        signature: what all rows have in common; empty on a board without rows.
        formula: the overall score written out.
        ranking: the ranking keys, in order.
        decimals: how many are shown and compared.
        uncertainty: how intervals were made; None where they are withheld.
        n_permutations: draws of the paired permutation test.
        rows: in order.
        invalid: entries that could not enter, by place.
    """

    track: str
    title: str
    corpus: str
    split: str
    synthetic: bool
    hidden: bool
    signature: str
    formula: str
    ranking: tuple[str, ...]
    decimals: int
    uncertainty: Uncertainty | None
    n_permutations: int
    rows: tuple[Row, ...]
    invalid: tuple[InvalidEntry, ...]

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if self.synthetic else ""
        return f"{self.title} ({self.track}, split {self.split}){sample}"

    def to_json(self) -> str:
        """Return the canonical JSON: sorted keys, shortest round-trip floats, a newline at the end."""
        content = {"schema": SCHEMA, **asdict(self)}
        for row in content["rows"]:
            row["received"] = moment(row["received"])
        return json_text(content)

    def to_csv(self) -> str:
        """Return one line a row with unrounded values; a text that a spreadsheet would run is defused."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [score.name for score in self.rows[0].scores] if self.rows else []
        numbers = [f"{name}{part}" for name in names for part in ("", "_deviation", "_low", "_high")]
        about = ("rank", "team", "team_name", "system", "title", "runs", "seeds", "received")
        writer.writerow([*about, *map(_plain_cell, numbers), "difference", "p", "p_holm", "separable", "signature"])
        for row in self.rows:
            gap = row.gap or Gap(0.0)
            cells: list[object] = [
                row.rank,
                *(_plain_cell(cell) for cell in (row.team, row.team_name, row.system, row.title, " ".join(row.runs))),
                " ".join("" if seed is None else str(seed) for seed in row.seeds),
                moment(row.received),
                *(number for s in row.scores for number in (s.value, s.deviation, s.low, s.high)),
            ]
            writer.writerow([*cells, gap.value, gap.p, gap.p_holm, gap.separable, _plain_cell(self.signature)])
        return text.getvalue()

    def to_text(self, width: int | None = None) -> str:
        """Return the board as plain aligned text, the table at most `width` characters wide."""
        blocks = [printable(self.heading, None)]
        if self.rows:
            blocks.append(self.table().to_text(width=width))
        blocks.append("\n".join(printable(note, None) for note in self.notes()))
        if self.invalid:
            blocks.append("\n".join([_INVALID, *(f"  {printable(line, None)}" for line in self._invalid_lines())]))
        return "\n\n".join(blocks) + "\n"

    def to_markdown(self) -> str:
        """Return the board as GitHub Markdown, names escaped."""
        blocks = [f"# {escape_markdown(self.heading)}"]
        if self.rows:
            blocks.append(self.table().to_markdown())
        blocks.append("\n".join(f"* {escape_markdown(note)}" for note in self.notes()))
        if self.invalid:
            blocks.append(f"## {_INVALID}")
            blocks.append("\n".join(f"* {escape_markdown(line)}" for line in self._invalid_lines()))
        return "\n\n".join(blocks) + "\n"

    def table(self) -> ReportTable:
        """Return what is shown of the rows, as strings."""
        columns = self.columns()
        rows = list(zip(*columns.values(), strict=True))
        return ReportTable("", tuple(columns), rows, n_text=3)

    def columns(self) -> dict[str, list[str]]:
        """Return the columns that are shown, by head; what no row has is left out."""
        first = self.ranking[0]
        columns = {
            "rank": [_rank(row) for row in self.rows],
            "team": [row.shown_team for row in self.rows],
            "system": [row.system for row in self.rows],
            **self._score_column(first),
        }
        if self.uncertainty is not None:
            head = f"{self.uncertainty.level:.0%} interval"
            columns[head] = [self.interval(row.score(first)) for row in self.rows]
        for name in dict.fromkeys([*self.ranking, *self.rows[0].values]):
            if name != first:
                columns.update(self._score_column(name))
        columns["to the best"] = ["" if row.gap is None else self.number(row.gap.value) for row in self.rows]
        if any(row.gap is not None and row.gap.p_holm is not None for row in self.rows):
            columns["p"] = [shown_p(row.gap) for row in self.rows]
            columns["≈"] = ["≈" if is_alike(row) else "" for row in self.rows]
        if any(len(row.runs) > 1 for row in self.rows):
            columns["runs"] = [str(len(row.runs)) for row in self.rows]
        return columns

    def _score_column(self, name: str) -> dict[str, list[str]]:
        scores = [row.score(name) for row in self.rows]
        return {f"{name} {'↑' if scores[0].higher_is_better else '↓'}": [self.value(score) for score in scores]}

    def number(self, value: float) -> str:
        """Return a value at the declared number of decimals."""
        return f"{displayed(value, self.decimals):f}"

    def value(self, score: BoardScore) -> str:
        """Return a value, with its deviation where it is a mean."""
        spread = "" if score.deviation is None else f" ± {self.number(score.deviation)}"
        return f"{self.number(score.value)}{spread}"

    def interval(self, score: BoardScore) -> str:
        """Return an interval, or nothing."""
        if score.low is None or score.high is None:
            return ""
        return f"[{self.number(score.low)}, {self.number(score.high)}]"

    def notes(self) -> list[str]:
        """Return the lines under the table: how ranks, differences, intervals and means are to be read."""
        if not self.rows:
            return ["no entry has been ranked yet"]
        keys = ", then ".join(self.ranking)
        lines = [
            f"ranked by {keys}, compared as displayed; rows equal in all of them share a rank, "
            "the one received earlier stands first"
        ]
        if any(row.rank is None for row in self.rows):
            lines.append("– in place of a rank: shown for comparison, takes no part in the ranking")
        if self.formula:
            lines.append(f"overall = {self.formula}")
        if self.uncertainty is not None:
            made = self.uncertainty
            unit = "samples" if made.cluster is None else f"clusters of '{made.cluster}'"
            lines.append(
                f"{made.level:.0%} intervals: {made.method}, {made.n_resamples:,} Poisson resamples of {unit}, "
                "shared by all rows"
            )
        if self.uncertainty is not None and len(self.rows) > 1:
            lines += [
                f"p: paired permutation test of {self.ranking[0]} against the best row, "
                f"{self.n_permutations:,} exchanges, two-sided, Holm over the rows",
                f"≈: the data do not separate the row from the best one (p ≥ {alpha(self.uncertainty):g})",
            ]
        if any(len(row.runs) > 1 for row in self.rows):
            lines.append("±: mean and standard deviation over the runs of a system, one per seed")
        if self.hidden:
            lines.append("only a part of the candidates is scored, and which is a secret: no intervals, no tests")
        return [*lines, f"signature: {self.signature}"]

    def _invalid_lines(self) -> Iterator[str]:
        for entry in self.invalid:
            for problem in entry.problems:
                yield f"{entry.place}: {problem}"


_INVALID = "Entries that could not enter"


def alpha(uncertainty: Uncertainty) -> float:
    """Return the error rate that the level of the intervals leaves: 0.05 at 95 %."""
    return round(1 - uncertainty.level, 10)


def moment(time: datetime) -> str:
    """Return a time in UTC as RFC 3339."""
    return time.isoformat().replace("+00:00", "Z")


def shown_p(gap: Gap | None) -> str:
    """Return the adjusted p, or nothing."""
    return "" if gap is None or gap.p_holm is None else f"{displayed(gap.p_holm, 4):f}"


def is_alike(row: Row) -> bool:
    """Return whether the data do not separate the row from the best one."""
    return row.gap is not None and row.gap.separable is False


def _rank(row: Row) -> str:
    return "–" if row.rank is None else str(row.rank)


def _plain_cell(text: str) -> str:
    text = printable(text, None)
    return f"'{text}" if text.startswith(tuple(FORMULA_PREFIXES)) else text
