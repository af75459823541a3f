"""Systems × tracks: trains every system on every track, scores the runs, and ranks the systems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from merbench.benchmark.cells import BenchmarkSettings, CellPlan, planned, trained
from merbench.benchmark.ranking import Floats, average_ranks, complete_block, critical_difference, friedman
from merbench.benchmark.report import BenchmarkCell, BenchmarkReport, SystemRow, TrackColumn
from merbench.charts import rank_chart, require_matplotlib
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.devices import require_device
from merbench.engine import ShowProgress, require_engine
from merbench.errors import MerbenchError, UndefinedMetric, UsageError, WithheldReference, in_a_line, plural
from merbench.files.writing import write_text
from merbench.intervals import percentile_interval
from merbench.report.scorecard import public_signature
from merbench.resampling import DECIMALS, MOST_LEFT_OUT
from merbench.scoring import Resampling, align, public_score, resampling_of, seed_draws, seed_intervals, signature
from merbench.scoring.comparison import with_metric
from merbench.scoring.uncertainty import warnings_of
from merbench.submission import read_submission
from merbench.track import Track
from merbench.training.records import StoredRun, read_run
from merbench.training.selection import ranking_signs
from merbench.training.systems import System

REPORT, PICTURE = "benchmark", "critical-difference"

LEVEL = 0.95
"""Level of all intervals; 1 minus the error rate of the test."""

N_RESAMPLES = 1000
"""Resamples of the samples, or clusters, of every track."""


def benchmark(
    tracks: Sequence[str | Path | Track],
    systems: Sequence[str | Path | System],
    settings: BenchmarkSettings | None = None,
    *,
    output: str | Path = "runs/benchmark",
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> BenchmarkReport:
    """Train every system on every track, and write values, mean ranks and whether the systems differ.

    The run of a system on a track is the folder `<track>/<system>`, as `run_baseline` writes it; one that
    already exists, with the same inputs, is not trained again, and an interrupted one goes on. A system that cannot be
    run on a track has the reason in its cell. Any number of workers writes the same values.

    Args:
        tracks: names, folders, or loaded tracks.
        systems: names or folders of baselines, or systems.
        settings: everything else; None takes the defaults.
        output: folder to write.
        replace: whether runs with other inputs that the folder already contains are trained again.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline or preset.
        DeclarationError: an option of a system is unknown, or not allowed.
        MissingExtra: a package that is needed is not installed.
        UsageError: two tracks or systems have one name; the folder has other runs; no cell has a value.
    """
    settings, folder = settings or BenchmarkSettings(), Path(output)
    require_engine(settings.engine)
    require_device(settings.device)
    require_matplotlib()
    _require_folder(folder)
    cells = planned(tracks, systems, settings, folder, replace=replace)
    problems = {cell.name: cell.problem for cell in cells}
    for cell, problem in trained(cells, settings, progress):
        problems[cell.name] = problem
    by_track: dict[str, list[CellPlan]] = {}
    for cell in cells:
        by_track.setdefault(cell.track.id, []).append(cell)
    results = [_scored(own, problems) for own in by_track.values()]
    if all(cell.problem for result in results for cell in result.cells):
        lines = [f"{cell.system} on {cell.track}: {cell.problem}" for result in results for cell in result.cells]
        raise UsageError("no system has a value on any track", *(f"  {line}" for line in lines[:5]))
    report = _report(results, _rows(cells))
    write_report(folder, report)
    return report


def _require_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder")


@dataclass(frozen=True, eq=False)
class _Result:
    """A track: its column, its cells by system, and the draws of those that have a value."""

    column: TrackColumn
    cells: list[BenchmarkCell]
    draws: Mapping[str, Floats]  # by system, `(B,)`; empty without intervals
    remarks: list[str]


def _scored(cells: Sequence[CellPlan], problems: Mapping[str, str]) -> _Result:
    """Return the cells of a track with their values; a run that cannot be scored has the reason."""
    track = cells[0].track
    candidates, why = _scorable(track)
    how = None
    if candidates is not None and not (why or candidates.hidden):
        how = resampling_of(candidates, level=LEVEL, n_resamples=N_RESAMPLES)
    scored, draws, remarks = list[BenchmarkCell](), dict[str, Floats](), dict[str, None]()
    for plan in cells:
        cell = BenchmarkCell(track.id, plan.system.name, problem=problems[plan.name] or why)
        if not cell.problem and candidates is not None:
            try:
                stored = read_run(plan.folder)
                cell, drawn = _cell(cell, stored, candidates, how)
            except MerbenchError as error:
                cell = replace(cell, problem=in_a_line(str(error)))
            else:
                draws |= {} if drawn is None else {cell.system: drawn.draws}
                remarks_of_run = [*stored.content.get("warnings", ()), *(() if drawn is None else drawn.warnings)]
                remarks |= dict.fromkeys(f"{track.id}: {warning}" for warning in remarks_of_run)
        scored.append(cell)
    return _Result(_column(track, candidates, how if draws else None), scored, draws, list(remarks))


def _scorable(track: Track) -> tuple[Candidates | None, str]:
    """Return the samples to predict, and why predictions cannot be scored; empty if they can."""
    try:
        candidates = open_candidates(track)
        _ = candidates.references
    except WithheldReference as error:
        return None, str(error)
    except MerbenchError:  # every cell has the reason
        return None, ""
    return candidates, ""


def _column(track: Track, candidates: Candidates | None, how: Resampling | None) -> TrackColumn:
    return TrackColumn(
        id=track.id,
        key=track.key,
        title=track.title,
        split="test" if candidates is None else candidates.split,
        synthetic=candidates is not None and candidates.corpus.synthetic,
        metric=track.ranked_by[0],
        higher_is_better=ranking_signs(track)[0][1] > 0,
        decimals=track.ranking.decimals,
        cluster=None if how is None else how.cluster,
        n_units=0 if how is None else how.n_units,
        signature="" if candidates is None else _signature(candidates, how),
    )


def _signature(candidates: Candidates, how: Resampling | None) -> str:
    if candidates.hidden:
        return public_signature(signature(candidates, None), len(candidates))
    return signature(candidates, None if how is None else replace(how, method="t"))


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The draws of the mean over seeds, `(B,)`, and what makes its interval less reliable."""

    draws: Floats
    warnings: list[str]


def _cell(
    cell: BenchmarkCell, run: StoredRun, candidates: Candidates, how: Resampling | None
) -> tuple[BenchmarkCell, _Drawn | None]:
    """Return the cell with the values of a run and, unless the split is hidden, their interval and draws."""
    (key, _), *_ = ranking_signs(candidates.track)
    seeds = tuple(each.seed for each in run.record.runs)
    submissions = [read_submission(path, candidates) for path in run.submissions]
    if how is None:  # references may have changed since the run
        scores = [{score.key: score.value for score in public_score(each).scores} for each in submissions]
    else:
        scores = [each.get("test") or {} for each in run.content["runs"]]
    values = tuple(value for of_seed in scores if (value := of_seed.get(key)) is not None)
    if len(values) < len(seeds):
        raise UndefinedMetric(f"{key} has no value for {plural(len(seeds) - len(values), 'seed')} of {len(seeds)}")
    cell = replace(
        cell,
        seeds=seeds,
        values=values,
        mean=fmean(values),
        deviation=stdev(values) if len(values) > 1 else None,
        wall_time_s=run.record.wall_time_s,
    )
    if how is None:
        return cell, None
    # Nothing else is resampled, which takes a part of the time.
    only = replace(candidates, track=with_metric(candidates.track, key))
    submissions, how = [replace(each, candidates=only) for each in submissions], replace(how, candidates=only)
    drawn = seed_draws(submissions, cell.system, how)
    interval = seed_intervals(submissions, drawn, how).get(key)
    if interval is not None:
        cell = replace(cell, low=interval.low, high=interval.high)
    warnings = [str(warning) for warning in warnings_of(align(submissions[0]), how, {})]
    return cell, _Drawn(drawn.with_seeds[key], warnings)


def _rows(cells: Sequence[CellPlan]) -> list[SystemRow]:
    cell_of = {cell.system.name: cell for cell in reversed(cells)}
    names = dict.fromkeys(cell.system.name for cell in cells)
    return [
        SystemRow(name, cell_of[name].loaded.name, cell_of[name].system.preset, dict(cell_of[name].settings.options))
        for name in names
    ]


def _report(results: Sequence[_Result], rows: Sequence[SystemRow]) -> BenchmarkReport:
    """Return the report: systems are ranked on the largest part of the matrix that has all values."""
    systems, tracks = complete_block(np.array([[cell.mean is not None for cell in each.cells] for each in results]).T)
    if len(systems) < 2:  # one system has no rank
        systems, tracks = [], []
    ranks = np.full((len(rows), len(results)), np.nan)
    draws = list[Floats]()
    for number in tracks:
        result, column = results[number], results[number].column
        ranked = partial(average_ranks, decimals=column.decimals, higher_is_better=column.higher_is_better)
        ranks[systems, number] = ranked(np.array([result.cells[i].mean for i in systems], dtype=np.float64))
        if all(rows[i].name in result.draws for i in systems):
            draws.append(ranked(np.stack([result.draws[rows[i].name] for i in systems])))
    block = ranks[np.ix_(systems, tracks)]
    over_tracks = np.mean(draws, axis=0) if tracks and len(draws) == len(tracks) else None
    for place, i in enumerate(systems):
        ends = (None, None) if over_tracks is None else _ends(over_tracks[place], LEVEL)
        rows = [*rows[:i], _with_mean(rows[i], float(block[place].mean()), ends), *rows[i + 1 :]]
    return BenchmarkReport(
        decimals=max(result.column.decimals for result in results),
        tracks=tuple(replace(each.column, is_ranked=number in tracks) for number, each in enumerate(results)),
        systems=tuple(sorted(rows, key=lambda row: (row.mean_rank is None, row.mean_rank or 0.0))),
        cells=tuple(
            replace(cell, rank=None if np.isnan(rank) else float(rank))
            for number, result in enumerate(results)
            for cell, rank in zip(result.cells, ranks[:, number], strict=True)
        ),
        level=LEVEL,
        n_resamples=N_RESAMPLES,
        friedman=friedman(block) if systems else None,
        critical_difference=(
            critical_difference(len(systems), len(tracks), round(1 - LEVEL, DECIMALS)) if len(tracks) > 1 else None
        ),
        remarks=tuple(dict.fromkeys(remark for result in results for remark in result.remarks)),
    )


def _ends(draws: Floats, level: float) -> tuple[float | None, float | None]:
    """Return the ends of the percentile interval of a mean rank; none where too many resamples have no value."""
    if np.isnan(draws).mean() > MOST_LEFT_OUT:
        return None, None
    interval = percentile_interval(draws, level)
    return interval.low, interval.high


def _with_mean(row: SystemRow, mean: float, ends: tuple[float | None, float | None]) -> SystemRow:
    """Return a row with its mean rank, which is in its interval: where systems are close, resamples change ranks."""
    low, high = ends
    if low is None or high is None:
        return replace(row, mean_rank=mean)
    return replace(row, mean_rank=mean, low=min(low, mean), high=max(high, mean))


def write_report(folder: Path, report: BenchmarkReport) -> None:
    """Write a report in all forms, and a picture of the mean ranks where they are tested."""
    forms = {"json": report.to_json(), "md": report.to_markdown(), "html": report.to_html(), "tex": report.to_latex()}
    for suffix, text in forms.items():
        write_text(folder / f"{REPORT}.{suffix}", text)
    for path in (folder / f"{PICTURE}.{suffix}" for suffix in ("svg", "png")):
        if report.critical_difference is None:
            path.unlink(missing_ok=True)  # that of an earlier report
        else:
            ranks = [(row.name, row.mean_rank) for row in report.systems if row.mean_rank is not None]
            rank_chart(path, ranks, report.groups, report.critical_difference)
