"""The report on systems × tracks: values, ranks, and whether the systems differ.

Conventions:
    As in `merbench.report`. Values are means over seeds. Ranks are among the systems and tracks that are ranked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from merbench.benchmark.ranking import Friedman, groups
from merbench.errors import listed, plural
from merbench.report import Bar, Cell, Document, ReportTable, displayed
from merbench.report.tables import without_empty_columns

_RANK_DECIMALS = 2


@dataclass(frozen=True, slots=True)
class TrackColumn:
    """A track, and the metric that it ranks by first.

    Attributes:
        id: the track's id.
        key: id and version.
        title: its title.
        split: the split that is predicted.
        synthetic: whether the corpus is the synthetic sample.
        metric: the short name of the metric, `key` in its canonical form.
        higher_is_better: its direction.
        decimals: how many the track shows.
        cluster: the column whose samples are resampled together; None if samples are resampled one by one.
        n_units: how many samples or clusters are resampled; 0 without intervals.
        signature: what must be equal for two values to be comparable.
        is_ranked: whether the mean ranks are over this track, among others.
    """

    id: str
    key: str
    title: str
    split: str
    synthetic: bool
    metric: str
    higher_is_better: bool
    decimals: int
    cluster: str | None
    n_units: int
    signature: str
    is_ranked: bool = False


@dataclass(frozen=True, slots=True)
class SystemRow:
    """A system, and its mean rank over the tracks; None without one."""

    name: str
    baseline: str
    preset: str | None
    options: Mapping[str, Any]  # that differ from the declared ones
    mean_rank: float | None = None
    low: float | None = None  # lower end of the interval of the mean rank, `high` the upper one
    high: float | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkCell:
    """A system on a track: its run, or why there is none.

    Attributes:
        values: of the metric, one a seed; empty without a run, or where the references are withheld.
        mean: their mean; None if there are none.
        deviation: their standard deviation (n - 1); None for a single value.
        low: lower end of the interval of the mean for other samples and seeds, `high` the upper one.
        rank: among the ranked systems; None if the system or the track is not ranked.
        wall_time_s: how long training and selection took; None if unknown.
        problem: why there is no value; empty if there is one.
    """

    track: str
    system: str
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    mean: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    rank: float | None = None
    wall_time_s: float | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class BenchmarkReport(Document):
    """Systems × tracks.

    Attributes:
        tracks: the columns, in the order given.
        systems: the rows: by mean rank, then those without one in the order given.
        cells: of every track and system.
        level: level of all intervals, and 1 minus the error rate of the test.
        n_resamples: how many resamples intervals come from.
        friedman: the test of the hypothesis that all ranked systems are equal; None where it has no value.
        critical_difference: of mean ranks; None for fewer than two tracks or systems.
        remarks: what a reader must know.
    """

    SCHEMA: ClassVar[str] = "merbench.benchmark/1"

    tracks: tuple[TrackColumn, ...]
    systems: tuple[SystemRow, ...]
    cells: tuple[BenchmarkCell, ...]
    level: float
    n_resamples: int
    friedman: Friedman | None = None
    critical_difference: float | None = None
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<BenchmarkReport: {len(self.systems)} systems on {len(self.tracks)} tracks>"

    @property
    def heading(self) -> str:
        """The first line of every form."""
        sample = " · synthetic sample" if any(track.synthetic for track in self.tracks) else ""
        return f"Benchmark: {plural(len(self.systems), 'system')} on {plural(len(self.tracks), 'track')}{sample}"

    def cell(self, system: str, track: str) -> BenchmarkCell:
        """Return the cell of a system on a track."""
        return next(cell for cell in self.cells if (cell.system, cell.track) == (system, track))

    @property
    def problems(self) -> list[str]:
        """The cells without a value, one line each."""
        return [f"{cell.system} on {cell.track}: {cell.problem}" for cell in self.cells if cell.problem]

    @property
    def ranked(self) -> list[SystemRow]:
        """The systems that have a mean rank, by it."""
        return [row for row in self.systems if row.mean_rank is not None]

    @property
    def groups(self) -> list[tuple[int, int]]:
        """The first and the last number of ranked systems that are not significantly different, largest groups only."""
        means = [row.mean_rank for row in self.ranked if row.mean_rank is not None]
        return [] if self.critical_difference is None else groups(means, self.critical_difference)

    def tables(self) -> list[ReportTable]:
        """Return the matrix with mean ranks, the values of every track, and the cells without one."""
        tables = [self._matrix(), *(table for track in self.tracks if (table := self._track_table(track)).rows)]
        missing = [(cell.system, cell.track, cell.problem) for cell in self.cells if cell.problem]
        if missing:
            tables.append(ReportTable("no value", ("system", "track", "why"), missing, n_text=3))
        return tables

    def _matrix(self) -> ReportTable:
        head = ("system", "mean rank", *(f"{track.id} {_arrow(track)}" for track in self.tracks))
        best = min((row.mean_rank for row in self.systems if row.mean_rank is not None), default=None)
        rows = [
            (
                row.name,
                Cell(
                    self._mean_rank(row), self._rank_bar(row), best=row.mean_rank is not None and row.mean_rank == best
                ),
                *(self._value(self.cell(row.name, track.id), track) for track in self.tracks),
            )
            for row in self.systems
        ]
        over = "mean ± deviation over seeds" if self._has_several_seeds else "one seed"
        return without_empty_columns(
            ReportTable(f"first ranking metric, {over}", head, rows, legend="Bold: best of a column.")
        )

    def _track_table(self, track: TrackColumn) -> ReportTable:
        cells = [self.cell(row.name, track.id) for row in self.systems]
        shown = sorted((cell for cell in cells if cell.mean is not None), key=lambda cell: self._order(cell, track))
        rows = [
            (
                cell.system,
                self._marked(cell, track, self.estimate(cell.mean, cell.low, cell.high), drawn=True),
                "" if cell.deviation is None else self.number(cell.deviation),
                "" if cell.rank is None else f"{cell.rank:g}",
                "" if cell.wall_time_s is None else f"{cell.wall_time_s:,.1f}",
            )
            for cell in shown
        ]
        interval = f", {100 * self.level:.15g}% interval" if any(cell.low is not None for cell in shown) else ""
        head = ("system", f"{track.metric} {_arrow(track)}{interval}", "deviation", "rank", "training, s")
        title = f"{track.title} ({track.key}, split {track.split})"
        return without_empty_columns(ReportTable(title, head, rows))

    def _order(self, cell: BenchmarkCell, track: TrackColumn) -> float:
        assert cell.mean is not None
        return -cell.mean if track.higher_is_better else cell.mean

    def _marked(self, cell: BenchmarkCell, track: TrackColumn, text: str, *, drawn: bool) -> Cell:
        """Return the cell of a value, with a bar where it is `drawn`, marked if it is the best of its track."""
        values = [other.mean for other in self.cells if other.track == track.id and other.mean is not None]
        distinct = {displayed(value, track.decimals) for value in values}
        best = (max if track.higher_is_better else min)(distinct, default=None)
        is_best = cell.mean is not None and displayed(cell.mean, track.decimals) == best
        return Cell(text, Bar(cell.mean, cell.low, cell.high) if drawn else None, best=is_best)

    def _value(self, cell: BenchmarkCell, track: TrackColumn) -> Cell:
        spread = "" if cell.deviation is None else f" ± {self.number(cell.deviation)}"
        return self._marked(cell, track, f"{self.number(cell.mean)}{spread}", drawn=False)

    def _mean_rank(self, row: SystemRow) -> str:
        if row.mean_rank is None:
            return "–" if self.ranked else ""
        ends = "" if row.low is None else f" [{row.low:.{_RANK_DECIMALS}f}, {row.high:.{_RANK_DECIMALS}f}]"
        return f"{row.mean_rank:.{_RANK_DECIMALS}f}{ends}"

    def _rank_bar(self, row: SystemRow) -> Bar | None:
        scale = (1.0, float(max(2, len(self.ranked))))
        return None if row.mean_rank is None else Bar(row.mean_rank, row.low, row.high, scale)

    @property
    def _has_several_seeds(self) -> bool:
        return any(len(cell.values) > 1 for cell in self.cells)

    def notes(self) -> list[str]:
        """Return the lines under the tables."""
        columns = [f"{track.id}: {track.metric} of {track.key}, split {track.split}" for track in self.tracks]
        lines = [*columns, *self._seed_notes(), *self._rank_notes()]
        if note := self.interval_note():
            lines.append(note)
        return [*lines, *self.remarks, *(f"signature: {track.signature}" for track in self.tracks if track.signature)]

    def _seed_notes(self) -> Iterator[str]:
        """Yield the seeds; where systems differ in them, with the systems."""
        systems: dict[tuple[int, ...], dict[str, None]] = {}
        for cell in self.cells:
            if cell.seeds:
                systems.setdefault(cell.seeds, {})[cell.system] = None
        texts = [", ".join(map(str, seeds)) for seeds in systems]
        if len(systems) > 1:
            texts = [f"{text} ({listed(list(names), 20)})" for text, names in zip(texts, systems.values(), strict=True)]
        if texts:
            yield f"seeds: {'; '.join(texts)}"

    def _rank_notes(self) -> Iterator[str]:
        """Yield what the ranks are over, and whether the systems differ."""
        ranked, tracks = self.ranked, [track.id for track in self.tracks if track.is_ranked]
        if not ranked:
            return
        yield (
            f"mean ranks: {plural(len(ranked), 'system')} on {listed(tracks, 12)}; equal values share the mean of "
            "their ranks"
        )
        left_out = [
            *(f"system {row.name}" for row in self.systems if row.mean_rank is None),
            *(f"track {track.id}" for track in self.tracks if not track.is_ranked),
        ]
        if left_out:
            yield f"not ranked, since values are missing: {listed(left_out, 12)}"
        if without := [track.id for track in self.tracks if track.is_ranked and not track.n_units]:
            yield f"mean ranks have no intervals: the split of {listed(without, 12)} is hidden, and not resampled"
        if (test := self.friedman) is not None:
            f = f"Iman and Davenport: F({test.degrees[0]}, {test.degrees[1]})"
            f += " is infinite: all tracks agree" if test.f is None else f" = {test.f:.4g}, p = {test.p:.4f}"
            yield f"Friedman: chi-square({test.degrees[0]}) = {test.chi_square:.4g}, p = {test.p_chi_square:.4f}; {f}"
        if self.critical_difference is None:
            yield "no test of mean ranks: it needs two systems or more with values on two tracks or more"
        else:
            alpha = f"{1 - self.level:.4g}"
            yield f"critical difference of mean ranks (Nemenyi, alpha = {alpha}): {self.critical_difference:.4g}"
            names = [row.name for row in ranked]
            for first, last in self.groups:
                yield f"not significantly different: {listed(names[first : last + 1], 20)}"

    def interval_note(self) -> str:
        """Return how the intervals were made; empty without intervals."""
        if all(cell.low is None for cell in self.cells):
            return ""
        head = f"{100 * self.level:.15g}% intervals"
        units = [
            f"{track.id} {plural(track.n_units, 'sample')}"
            if track.cluster is None
            else f"{track.id} {track.n_units:,} of '{track.cluster}'"
            for track in self.tracks
            if track.n_units
        ]
        of_ranks = (
            "; those of mean ranks are percentiles, with ranks computed again in every resample, on the same tracks"
            if any(row.low is not None for row in self.systems)
            else ""
        )
        return (
            f"{head}: for other samples and other seeds, from {self.n_resamples:,} resamples of the samples or "
            f"clusters ({', '.join(units)}), shared by all systems, in each of which seeds are resampled, too; those "
            f"of means by Student's t{of_ranks}"
        )


def _arrow(track: TrackColumn) -> str:
    return "↑" if track.higher_is_better else "↓"
