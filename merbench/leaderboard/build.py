"""A track and a folder of submissions go in, the track's `Board` comes out, computed from the predictions.

Conventions:
    What a board shows of a split with a hidden part depends on the released scores alone: no intervals, no tests.
"""

from __future__ import annotations

import inspect
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import DeclarationError, IntegrityError, InvalidSubmission, Problem, UndefinedMetric
from merbench.files import sha256_file
from merbench.leaderboard.board import Board, BoardScore, Gap, Row, alpha
from merbench.leaderboard.cache import Cache, code_digest
from merbench.leaderboard.entry import (
    Entry,
    InvalidEntry,
    failure,
    link_problems,
    place_of,
    read_entry,
    run_folders,
    without_duplicates,
)
from merbench.leaderboard.ranking import RankingKey, places
from merbench.report import Score, ScoreReport
from merbench.resampling import DECIMALS, holm
from merbench.scoring import mean_difference_p, mean_intervals, public_score, resampling_of, signature
from merbench.scoring.inputs import reasons_withheld
from merbench.submission import Submission, read_submission
from merbench.track import Track

MOST_KEPT = 8
"""Of how many entries the predictions are kept in memory; they may be large."""

N_PERMUTATIONS = 10_000
"""Draws of the paired permutation test of every row against the best one."""


@dataclass(frozen=True, eq=False)
class Run:
    """A valid entry with its scores.

    Attributes:
        entry: the entry.
        digest: SHA-256 of the file of predictions.
        report: what the board may show of its scores.
    """

    entry: Entry
    digest: str
    report: ScoreReport


Systems = dict[tuple[str, str], list[Run]]
"""The runs that a row stands for, by team and system."""


def build_board(
    track: str | Path | Track, submissions: str | Path = "submissions", cache: Cache | None = None
) -> Board:
    """Return the board of a track from the entries in `submissions/<track>/`.

    Args:
        track: a name, a folder, or a loaded track.
        submissions: folder of `<track>/<team>/<run>/`.
        cache: where scores are remembered; None is the cache in the data home.

    Raises:
        WithheldReference: the references are not held here.
        UnknownName: the corpus is not in the data home.
        DeclarationError: the track's folder of entries is a link.
        IntegrityError: the corpus changed, or rows of different signatures would share the table.
    """
    bench = _Bench(open_candidates(track), Cache.at_home() if cache is None else cache)
    track = bench.candidates.track
    valid, invalid = _scored_entries(bench, Path(submissions))
    while True:
        standing, excluded = without_duplicates([run.entry for run in valid])
        kept = {entry.place for entry in standing}
        runs = [run for run in valid if run.entry.place in kept]
        try:
            rows = _ranked(bench, _systems(runs))
            break
        except _RunFailed as failed:  # the others are ranked without it
            valid.remove(failed.run)
            invalid.append(InvalidEntry(failed.run.entry.place, _problems(failed.error)))
    return Board(
        track=track.key,
        title=track.title,
        corpus=bench.candidates.corpus.name,
        split=bench.candidates.split,
        synthetic=bench.candidates.corpus.synthetic,
        hidden=bench.candidates.hidden,
        signature=common_signature(runs),
        formula=track.formula,
        ranking=track.ranked_by,
        decimals=track.ranking.decimals,
        uncertainty=runs[0].report.uncertainty if runs else None,
        n_permutations=N_PERMUTATIONS,
        rows=tuple(rows),
        invalid=tuple(sorted([*invalid, *excluded], key=lambda entry: entry.place)),
    )


class _RunFailed(Exception):
    """A run that was scored cannot be read again, or has no value."""

    def __init__(self, run: Run, error: Exception) -> None:
        self.run = run
        self.error = error
        super().__init__(run.entry.place)


def _ranked(bench: _Bench, systems: Systems) -> list[Row]:
    """Return the rows of all systems in order; raise `_RunFailed` for a run that cannot take part."""
    track = bench.candidates.track
    rows = [_row(bench, system) for system in systems.values()]
    keys = [RankingKey(name, rows[0].score(name).higher_is_better) for name in track.ranked_by] if rows else []
    placed = places(rows, keys, track.ranking.decimals)
    if track.ranking.one_per_team:
        placed = places(_best_of_teams([place.row for place in placed]), keys, track.ranking.decimals)
    return _with_gaps(bench, [replace(place.row, rank=place.rank) for place in placed], systems)


def common_signature(runs: Sequence[Run]) -> str:
    """Return the signature that all runs share, empty without runs.

    Raises:
        IntegrityError: there are several; their results share no table.
    """
    first: dict[str, Run] = {}
    for run in runs:
        first.setdefault(run.report.signature, run)
    if len(first) > 1:
        named = "; ".join(f"{run.entry.place}: {signature}" for signature, run in first.items())
        raise IntegrityError(f"results of different signatures share no table: {named}")
    return next(iter(first), "")


class _Bench:
    """Scores the entries of one track: the candidates are opened once, what was computed before is remembered."""

    def __init__(self, candidates: Candidates, cache: Cache) -> None:
        self.candidates = candidates
        # A cache may be shared, and its keys depend on the references: nothing of a hidden split is stored.
        self.cache = Cache(None) if candidates.hidden else cache
        self.how = resampling_of(candidates.track, None, None, None, None, 0)
        self._read: dict[Path, Submission] = {}
        self._champions: frozenset[Path] = frozenset()

    @cached_property
    def context(self) -> list[str]:
        """What every result depends on beside the predictions; the references are read, not taken on trust."""
        sources = {inspect.getsourcefile(spec.metric.function) for spec in self.candidates.track.metrics}
        return [
            code_digest(),
            *sorted(sha256_file(Path(source)) for source in sources if source),
            self.candidates.track.fingerprint,
            self.candidates.split,
            self.candidates.corpus.digest,
            self.candidates.references.digest,
            repr(self.how),
            signature(self.candidates, self.how),
        ]

    def run(self, entry: Entry) -> Run:
        """Return a run with its scores; raise `InvalidSubmission` or `UndefinedMetric`."""
        if entry.submission.stat().st_size > self.candidates.track.submission.max_bytes:
            self.read(entry)  # refuses it, before all of it is read for its digest
        digest = sha256_file(entry.submission)
        key = ["report", entry.submission.name, *_content(entry, digest), *self.context]
        text = self.cache.remembered(key, lambda: public_score(self.read(entry)).to_json())
        return Run(entry, digest, ScoreReport.from_json(text))

    def read(self, entry: Entry) -> Submission:
        """Return the predictions of an entry; those of the best system and the last few are kept in memory."""
        read = self._read.pop(entry.submission, None)
        if read is None:
            others = [path for path in self._read if path not in self._champions]
            for path in others[: max(0, len(others) + 1 - MOST_KEPT)]:
                del self._read[path]
            read = read_submission(entry.submission, self.candidates, rename=entry.card.rename)
        self._read[entry.submission] = read
        return read

    def keep(self, runs: Iterable[Run]) -> None:
        """Keep the predictions of the best system, which every other one is compared with."""
        self._champions = frozenset(run.entry.submission for run in runs)

    def read_again(self, run: Run) -> Submission:
        """Return the predictions of a run whose scores are known; raise `_RunFailed`."""
        try:
            return self.read(run.entry)
        except Exception as error:
            raise _RunFailed(run, error) from error

    def mean_bounds(self, runs: Sequence[Run]) -> dict[str, list[float]]:
        """Return the interval of every key for the mean of several runs."""
        key = ["mean", *_contents(runs), *self.context]

        def compute() -> dict[str, list[float]]:
            found = mean_intervals([self.read_again(run) for run in runs], self.how)
            return {key: [interval.low, interval.high] for key, interval in found.items()}

        bounds: dict[str, list[float]] = self.cache.remembered(key, compute)
        return bounds

    def p_value(self, runs: Sequence[Run], best: Sequence[Run], metric: str) -> float:
        """Return the p of the difference between two systems under one key."""
        digests = [*_contents(runs), "against", *_contents(best)]

        def compute() -> float:
            a, b = ([self.read_again(run) for run in system] for system in (runs, best))
            return mean_difference_p(a, b, metric, self.how, N_PERMUTATIONS)

        p: float = self.cache.remembered(["p", metric, str(N_PERMUTATIONS), *digests, *self.context], compute)
        return p


def _content(entry: Entry, digest: str) -> list[str]:
    """Return what identifies the predictions of an entry: its file, and the new names of columns."""
    return [digest, *(text for pair in sorted(entry.card.rename.items()) for text in pair)]


def _contents(runs: Sequence[Run]) -> list[str]:
    return [text for run in runs for text in _content(run.entry, run.digest)]


def _scored_entries(bench: _Bench, submissions: Path) -> tuple[list[Run], list[InvalidEntry]]:
    track = bench.candidates.track
    runs: list[Run] = []
    invalid: list[InvalidEntry] = []
    if links := list(link_problems(submissions, [track.id])):  # its board would have no rows
        raise DeclarationError(str(submissions / track.id), links)
    folders = run_folders(submissions, track.id)
    if folders:
        with reasons_withheld(bench.candidates, "the references cannot be used"):
            _ = bench.candidates.references  # what is wrong with them is not an entry's fault
    for folder in folders:
        try:
            runs.append(bench.run(read_entry(submissions, folder)))
        except Exception as error:
            invalid.append(InvalidEntry(place_of(submissions, folder), _problems(error)))
    return runs, invalid


def _problems(error: Exception) -> tuple[Problem, ...]:
    """Return what keeps an entry from the board."""
    match error:
        case DeclarationError() | InvalidSubmission():
            return error.problems
        case UndefinedMetric():
            return (Problem("E408", f"{error}: an entry without a value cannot enter a ranking"),)
    return (failure(error),)


def _systems(runs: Iterable[Run]) -> Systems:
    """Return the runs that each system of each team is shown by: the selected one, else all, by seed."""
    systems: Systems = {}
    for run in sorted(runs, key=lambda run: (run.entry.card.seed or 0, run.entry.run)):
        systems.setdefault((run.entry.team, run.entry.card.system), []).append(run)
    return {key: [run for run in found if run.entry.card.selected] or found for key, found in systems.items()}


def _row(bench: _Bench, runs: Sequence[Run]) -> Row:
    first, entries = runs[0].entry, [run.entry for run in runs]
    return Row(
        rank=None,
        team=first.team,
        team_name=first.card.team,
        system=first.card.system,
        title=first.card.title,
        members=first.card.members,
        paper=first.card.paper,
        code=first.card.code,
        external_data=tuple(dict.fromkeys(data for entry in entries for data in entry.card.external_data)),
        runs=tuple(entry.run for entry in entries),
        seeds=tuple(entry.card.seed for entry in entries),
        received=max(entry.received for entry in entries),
        ranks=all(entry.card.ranks for entry in entries),
        digests=tuple(run.report.digests["submission"] for run in runs),
        scores=tuple(_scores(bench, runs)),
    )


def _best_of_teams(ordered: Iterable[Row]) -> list[Row]:
    """Return the rows with the first of every team that takes part, and no other, in the ranking."""
    found: list[Row] = []
    teams: set[str] = set()
    for row in ordered:
        found.append(replace(row, ranks=row.ranks and row.team not in teams))
        if row.ranks:
            teams.add(row.team)
    return found


def _scores(bench: _Bench, runs: Sequence[Run]) -> Iterator[BoardScore]:
    """Yield a row's scores: those of its run, or the means of its runs with their own intervals."""
    alone = len(runs) == 1
    bounds = {} if alone or runs[0].report.uncertainty is None else bench.mean_bounds(runs)
    for number, item in enumerate(runs[0].report.scores):
        values = [_value(run, run.report.scores[number]) for run in runs]
        low, high = (item.low, item.high) if alone else bounds.get(item.key, (None, None))
        yield BoardScore(
            key=item.key,
            name=item.name,
            value=math.fsum(values) / len(values),
            deviation=None if alone else statistics.stdev(values),
            low=low,
            high=high,
            higher_is_better=item.higher_is_better,
        )


def _value(run: Run, item: Score) -> float:
    if item.value is None:
        raise _RunFailed(run, UndefinedMetric(f"{item.key} has no value"))
    return item.value


def _with_gaps(bench: _Bench, ordered: Sequence[Row], systems: Systems) -> list[Row]:
    """Return the rows with their distance to the best: the first that is ranked, else the first."""
    if not ordered:
        return []
    best = next((row for row in ordered if row.rank is not None), ordered[0])
    champions, measure = systems[best.key], best.score(bench.candidates.track.ranked_by[0])
    others = [row for row in ordered if row is not best]
    gaps = [Gap(round(row.score(measure.name).value - measure.value, DECIMALS)) for row in others]
    uncertainty = champions[0].report.uncertainty
    if uncertainty is not None:
        bench.keep(champions)
        p_values = [bench.p_value(systems[row.key], champions, measure.key) for row in others]
        gaps = [
            Gap(gap.value, p, p_holm, separable=p_holm < alpha(uncertainty))
            for gap, p, p_holm in zip(gaps, p_values, holm(p_values), strict=True)
        ]
    found = {row.key: gap for row, gap in zip(others, gaps, strict=True)}
    return [replace(row, gap=found.get(row.key)) for row in ordered]
