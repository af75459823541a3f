"""A track and its entries become a `Board`; what was computed before is read from a cache.

Conventions:
    What a board shows of a split with a hidden part depends only on the released scores: no intervals, no tests.
    A key of the cache lists everything that a value depends on (digests of content and code, parameters), so that no
    stale value can be read.
"""

from __future__ import annotations

import base64
import inspect
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

import merbench
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import (
    DeclarationError,
    IntegrityError,
    InvalidSubmission,
    OutputError,
    Problem,
    UndefinedMetric,
    json_text,
    plural,
)
from merbench.files.paths import data_home
from merbench.files.reading import read_bounded, sha256_bytes, sha256_file
from merbench.files.writing import write_text
from merbench.leaderboard.board import Board, BoardScore, Gap, Row
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
from merbench.leaderboard.ranking import (
    MOST_PAIRED,
    Floats,
    RankingKey,
    group_letters,
    places,
    rank_intervals,
)
from merbench.leaderboard.schemes import OF_PAIRS, OF_SAMPLES, OF_VALUES, mean_rank_score, schemes_of
from merbench.report import Score, ScoreReport, displayed
from merbench.resampling import DECIMALS, n_swaps
from merbench.scoring import (
    align,
    mean_difference_p,
    mean_intervals,
    public_score_and_draws,
    resampling_of,
    sample_values,
    signature,
)
from merbench.scoring.comparison import smallest_p
from merbench.scoring.scorecard import reasons_withheld
from merbench.significance import holm, n_needed, pair_deviations
from merbench.submission import Submission, read_submission
from merbench.track import OVERALL, Track

MOST_KEPT = 8
"""The predictions of so many entries, the last that were used, are kept in memory; they may be large."""

MOST_CACHED_BYTES = 64_000_000
"""The largest cached value that is read; a larger one is computed again."""

MOST_DRAWS = 10_000
"""Resamples in which ranks are computed: the first of them, where a track declares more."""

FEW_DRAWS = 10
"""Resamples of metrics that a track does not rank by: as many as EuroEval bootstraps a test set."""

MOST_SAMPLE_VALUES = 1 << 24
"""Ranked rows times scored samples for which schemes case by case are offered; they take 128 MB."""

N_PERMUTATIONS = 10_000
"""Permutations of the paired test of every row against the best one."""


class Cache:
    """A folder of computed values; without a folder, every value is computed.

    A corrupt file, or one of another key, is computed again; a cache that cannot be written is not an error.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    @classmethod
    def at_home(cls) -> Cache:
        """Return the cache in the data home."""
        return cls(data_home() / "cache" / "leaderboard")

    def remembered(self, key: Sequence[str], compute: Callable[[], Any]) -> Any:
        """Return the value stored under a key, else what `compute` returns; both have passed through JSON."""
        path = self.folder / f"{_digest(list(key))}.json" if self.folder else None
        if path is not None:
            try:
                stored = json.loads(read_bounded(path, MOST_CACHED_BYTES))
                if stored["key"] == list(key) and stored["digest"] == _digest(stored["value"]):
                    return stored["value"]
            except Exception:  # whatever is wrong with the file, the value can be computed
                pass
        value = json.loads(json_text(compute()))
        if path is not None:
            try:
                write_text(path, json_text({"key": list(key), "digest": _digest(value), "value": value}))
            except OutputError:
                pass
        return value


def _digest(value: Any) -> str:
    return sha256_bytes(json_text(value).encode())


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Return the SHA-256 over merbench's own modules: other code, other results."""
    root = Path(merbench.__file__).parent
    modules = sorted(root.rglob("*.py"))
    return sha256_bytes(*(f"{path.relative_to(root).as_posix()} {sha256_file(path)}\n".encode() for path in modules))


@dataclass(frozen=True, eq=False, slots=True)
class Run:
    """A valid entry, the SHA-256 of its file of predictions, and what the board may show of its scores.

    `draws` are the first of those that its intervals come from, by key; empty without intervals.
    """

    entry: Entry
    digest: str
    report: ScoreReport
    draws: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def content(self) -> list[str]:
        """What identifies the predictions: the digest of the file, and the new names of columns."""
        return _content(self.entry, self.digest)


def _content(entry: Entry, digest: str) -> list[str]:
    return [digest, *(text for pair in sorted(entry.card.rename.items()) for text in pair)]


Systems = dict[tuple[str, str], list[Run]]
"""The runs of each row, by team and system."""


def build_board(
    track: str | Path | Track, submissions: str | Path = "submissions", cache: Cache | None = None
) -> Board:
    """Return the board of a track from the entries in `submissions/<track>/`.

    Args:
        track: a name, a folder, or a loaded track.
        submissions: folder of `<track>/<team>/<run>/`.
        cache: where computed values are stored; None is the cache in the data home.

    Raises:
        WithheldReference: the references are withheld.
        UnknownName: the corpus is not in the data home.
        DeclarationError: the track's folder of entries is a link.
        IntegrityError: the corpus changed, or rows have different signatures.
    """
    bench = _Bench(open_candidates(track), Cache.at_home() if cache is None else cache)
    track = bench.candidates.track
    valid, invalid = _scored_entries(bench, Path(submissions))
    while True:
        accepted, excluded = without_duplicates([run.entry for run in valid])
        places_accepted = {entry.place for entry in accepted}
        runs = [run for run in valid if run.entry.place in places_accepted]
        try:
            systems = _systems(runs)
            rows = _ranked(bench, systems)
            schemes, schemes_missing = _schemes(bench, [row for row in rows if row.rank is not None], systems)
            break
        except _RunFailed as failed:  # the others are ranked without it
            valid.remove(failed.run)
            invalid.append(InvalidEntry(failed.run.entry.place, _problems(failed.error)))
    uncertainty = runs[0].report.uncertainty if runs else None
    n_permuted = n_swaps(bench.how.n_units, N_PERMUTATIONS) if uncertainty is not None else N_PERMUTATIONS
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
        uncertainty=uncertainty,
        n_permutations=n_permuted + (n_permuted < N_PERMUTATIONS),  # all of them include the identity
        rows=tuple(rows),
        invalid=tuple(sorted([*invalid, *excluded], key=lambda entry: entry.place)),
        schemes=schemes_of(schemes, [row.rank for row in rows]),
        schemes_missing=tuple(schemes_missing),
        ceilings=runs[0].report.ceilings if runs else (),
        warnings=(
            *_interval_warnings(rows, systems),
            *(smallest_p(bench.how, N_PERMUTATIONS, len(rows) - 1) if uncertainty and len(rows) > 1 else ()),
        ),
    )


def _interval_warnings(rows: Sequence[Row], systems: Systems) -> Iterator[Problem]:
    """Yield what makes the intervals of rows less reliable, each kind once; with a row that has it, unless all do."""
    kinds: dict[tuple[str, str | None], list[tuple[Row, Problem]]] = {}
    for row in rows:
        own = [warning for run in systems[row.key] for warning in run.report.warnings if warning.code.startswith("W70")]
        for kind, warning in {(warning.code, warning.column): warning for warning in reversed(own)}.items():
            kinds.setdefault(kind, []).append((row, warning))
    for _, warnings in sorted(kinds.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        row, first = warnings[0]
        if len(warnings) == len(rows) and len({warning.message for _, warning in warnings}) == 1:
            yield first
        else:
            others = f", and {plural(len(warnings) - 1, 'other row')}" if len(warnings) > 1 else ""
            yield replace(first, message=f"{row.team}/{row.system}{others}: {first.message}")


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
    ordered = _with_gaps(bench, [replace(place.row, rank=place.rank) for place in placed], systems)
    return _with_ranks(bench, ordered, systems, keys)


def common_signature(runs: Sequence[Run]) -> str:
    """Return the signature that all runs share, empty without runs.

    Raises:
        IntegrityError: there are several.
    """
    first = {run.report.signature: run.entry.place for run in reversed(runs)}
    if len(first) > 1:
        named = "; ".join(sorted(f"{place}: {signature}" for signature, place in first.items()))
        raise IntegrityError(f"results of different signatures cannot be ranked together: {named}")
    return next(iter(first), "")


class _Bench:
    """Scores the entries of one track: the candidates are opened once, each value is computed once."""

    def __init__(self, candidates: Candidates, cache: Cache) -> None:
        self.candidates = candidates
        # A cache may be shared, and its keys depend on the references: nothing of a hidden split is stored.
        self.cache = Cache(None) if candidates.hidden else cache
        self.how = resampling_of(candidates)
        self.read = lru_cache(maxsize=MOST_KEPT)(self._read)

    @cached_property
    def context(self) -> list[str]:
        """What every result depends on, besides the predictions; the references are read, not only their digest."""
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
        key = ["report and draws", entry.submission.name, *_content(entry, digest), *self.context]
        ranking = self.candidates.track.ranked_by

        def compute() -> dict[str, Any]:
            report, draws = public_score_and_draws(self.read(entry))
            numbers = {item.key: MOST_DRAWS if item.name in ranking else FEW_DRAWS for item in report.scores}
            kept = {key: _packed(draws[key][:n]) for key, n in numbers.items() if key in draws}
            return {"report": report.to_json(), "draws": kept}

        stored = self.cache.remembered(key, compute)
        draws = {key: _unpacked(text) for key, text in stored["draws"].items()}
        return Run(entry, digest, ScoreReport.from_json(stored["report"]), draws)

    def _read(self, entry: Entry) -> Submission:
        return read_submission(entry.submission, self.candidates, rename=entry.card.rename)

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
            intervals = mean_intervals([self.read_again(run) for run in runs], self.how)
            return {key: [interval.low, interval.high] for key, interval in intervals.items()}

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

    def sample_schemes(self, systems: Sequence[Sequence[Run]], metric: str) -> dict[str, list[float]] | str:
        """Return the scores of systems by the schemes that rank case by case, or why they are not offered."""
        n_values = len(systems) * len(self.candidates.references)
        if self.candidates.hidden:
            return "the split is hidden"
        if n_values > MOST_SAMPLE_VALUES:
            return f"{len(systems)} rows times {len(self.candidates.references):,} samples are too many"
        # The same runs may make other rows, so the key has how many each row has.
        key = ["samples", metric, *(f"{len(runs)}" for runs in systems), *_contents(chain(*systems)), *self.context]
        scores: dict[str, list[float]] | str = self.cache.remembered(key, lambda: self._sample_scores(systems, metric))
        return scores

    def _sample_scores(self, systems: Sequence[Sequence[Run]], metric: str) -> dict[str, list[float]] | str:
        values = np.zeros((len(systems), len(self.candidates.references)))
        for own, runs in zip(values, systems, strict=True):
            for run in runs:
                right = sample_values(align(self.read_again(run)), metric)
                if right is None:
                    return f"answers scored by {metric} are not right or wrong one by one"
                own += right / len(runs)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.shape[1]:
            return f"no sample has an answer that {metric} counts in every row"
        return {name: scheme(values).tolist() for name, scheme in _schemes_of_samples(len(systems)).items()}


def _schemes_of_samples(n_rows: int) -> dict[str, Callable[[Floats], Floats]]:
    """Return the schemes that rank so many rows case by case; of many rows, pairs are not tested."""
    return {name: scheme for name, scheme in OF_SAMPLES.items() if n_rows <= MOST_PAIRED or name not in OF_PAIRS}


def _packed(draws: Floats) -> str:
    """Return draws as text: base64 of little-endian float64."""
    return base64.b64encode((np.round(draws, DECIMALS) + 0.0).astype("<f8").tobytes()).decode()


def _unpacked(text: str) -> Floats:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(np.float64)


def _contents(runs: Iterable[Run]) -> list[str]:
    return [text for run in runs for text in run.content]


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
    match error:
        case DeclarationError() | InvalidSubmission():
            return error.problems
        case UndefinedMetric():
            return (Problem("E408", f"{error}: an entry without a value cannot be ranked"),)
    return (failure(error),)


def _systems(runs: Iterable[Run]) -> Systems:
    """Return the runs of each system of each team: the selected one, else all, by seed."""
    systems: Systems = {}
    for run in sorted(runs, key=lambda run: (run.entry.card.seed or 0, run.entry.run)):
        systems.setdefault((run.entry.team, run.entry.card.system), []).append(run)
    return {key: [run for run in own if run.entry.card.selected] or own for key, own in systems.items()}


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
    """Return the rows, of which only the first of every team takes part in the ranking."""
    rows: list[Row] = []
    teams: set[str] = set()
    for row in ordered:
        rows.append(replace(row, ranks=row.ranks and row.team not in teams))
        if row.ranks:
            teams.add(row.team)
    return rows


def _scores(bench: _Bench, runs: Sequence[Run]) -> Iterator[BoardScore]:
    """Yield a row's scores: those of its run, or the means of its runs with their own intervals."""
    single = len(runs) == 1
    bounds = {} if single or runs[0].report.uncertainty is None else bench.mean_bounds(runs)
    for number, item in enumerate(runs[0].report.scores):
        values = [_value(run, run.report.scores[number]) for run in runs]
        low, high = (item.low, item.high) if single else bounds.get(item.key, (None, None))
        yield BoardScore(
            key=item.key,
            name=item.name,
            value=math.fsum(values) / len(values),
            deviation=None if single else statistics.stdev(values),
            low=low,
            high=high,
            higher_is_better=item.higher_is_better,
        )


def _value(run: Run, item: Score) -> float:
    if item.value is None:
        raise _RunFailed(run, UndefinedMetric(f"{item.key} has no value"))
    return item.value


def _with_gaps(bench: _Bench, ordered: Sequence[Row], systems: Systems) -> list[Row]:
    """Return the rows with their distance from the best: the first that is ranked, else the first."""
    if not ordered:
        return []
    best = next((row for row in ordered if row.rank is not None), ordered[0])
    champions, measure = systems[best.key], best.score(bench.candidates.track.ranked_by[0])
    others = [row for row in ordered if row is not best]
    gaps = [Gap(round(row.score(measure.name).value - measure.value, DECIMALS)) for row in others]
    uncertainty = champions[0].report.uncertainty
    if uncertainty is not None:
        p_values = [bench.p_value(systems[row.key], champions, measure.key) for row in others]
        needed, unit = _needed(bench, ordered, systems, measure), "samples" if bench.how.cluster is None else "clusters"
        gaps = [
            Gap(gap.value, p, p_holm, p_holm < uncertainty.alpha, needed.get(row.key), needed_unit=unit)
            for row, gap, p, p_holm in zip(others, gaps, p_values, holm(p_values), strict=True)
        ]
    by_key = {row.key: gap for row, gap in zip(others, gaps, strict=True)}
    return [replace(row, gap=by_key.get(row.key)) for row in ordered]


def _needed(
    bench: _Bench, ordered: Sequence[Row], systems: Systems, measure: BoardScore
) -> dict[tuple[str, str], int | None]:
    """Return how many samples or clusters would show the difference of each ranked row from that above, by row."""
    needed = {}
    for pair in pairwise(row for row in ordered if row.rank is not None):
        if all(run.draws for row in pair for run in systems[row.key]):
            above, value = values = np.array([row.score(measure.name).value for row in pair])
            draws = np.stack([_draws(systems[row.key], measure.key) for row in pair])
            deviation = float(pair_deviations(draws, values)[0, 1])
            needed[pair[1].key] = n_needed(value - above, deviation, bench.how.n_units, bench.how.level)
    return needed


def _draws(runs: Sequence[Run], key: str) -> Floats:
    """Return the draws of a row, the mean over its runs."""
    return np.asarray(np.mean([run.draws[key] for run in runs], axis=0))


def _with_ranks(bench: _Bench, rows: list[Row], systems: Systems, by: Sequence[RankingKey]) -> list[Row]:
    """Return the rows with the intervals of their ranks and the groups they are in, where there are draws."""
    ranked = [row for row in rows if row.rank is not None]
    if len(ranked) < 2 or not all(run.draws for row in ranked for run in systems[row.key]):
        return rows
    track, level = bench.candidates.track, bench.how.level
    keys = {key.name: ranked[0].score(key.name).key for key in by}
    draws = {name: np.stack([_draws(systems[row.key], key) for row in ranked]) for name, key in keys.items()}
    plain = {name: np.array([row.score(name).value for row in ranked]) for name in keys}
    intervals = rank_intervals(draws, plain, by, track.ranking.decimals, level, bench.how.degrees)
    certain = {row: interval for row, interval in zip(ranked, intervals, strict=True) if interval is not None}
    if not certain:
        return rows
    first, has_interval = by[0].name, [interval is not None for interval in intervals]
    alpha = bench.how.uncertainty.alpha
    letters = group_letters(draws[first][has_interval], plain[first][has_interval], bench.how.degrees, alpha)
    changed = {
        row.key: replace(row, rank_low=ends.low, rank_high=ends.high, first_share=ends.first_share, group=group)
        for (row, ends), group in zip(certain.items(), letters, strict=True)
    }
    return [changed.get(row.key, row) for row in rows]


def _schemes(bench: _Bench, ranked: Sequence[Row], systems: Systems) -> tuple[dict[str, list[float]], list[str]]:
    """Return the scores of the ranked rows by every scheme that is offered, and why the others are not."""
    if len(ranked) < 2:
        return {}, []
    track, runs = bench.candidates.track, [systems[row.key] for row in ranked]
    metrics = [score for score in ranked[0].scores if score.key != OVERALL]
    signs = [1 if metric.higher_is_better else -1 for metric in metrics]
    decimals = track.ranking.decimals
    values = np.array(
        [
            [sign * float(displayed(row.score(metric.name).value, decimals)) for row in ranked]
            for metric, sign in zip(metrics, signs, strict=True)
        ]
    )
    scores = {name: scheme(values).tolist() for name, scheme in OF_VALUES.items()}
    missing = []
    of_samples = bench.sample_schemes(runs, ranked[0].score(track.ranked_by[0]).key)
    if isinstance(of_samples, str):
        names = ", ".join(name.replace("_", " ") for name in OF_SAMPLES)
        missing.append(f"{names}: not offered, since {of_samples}")
    else:
        scores |= of_samples
        if len(runs) > MOST_PAIRED:
            missing.append(f"test then rank: not offered, since more than {MOST_PAIRED} rows are ranked")
    if all(run.draws for own in runs for run in own):
        few = [[_draws(own, metric.key)[:FEW_DRAWS] for own in runs] for metric in metrics]
        draws = np.array(few) * np.array(signs)[:, None, None]
        draws = draws[:, :, np.isfinite(draws).all(axis=(0, 1))]
        if draws.shape[2] > 1:
            return scores | {"mean_rank_score": mean_rank_score(draws).tolist()}, missing
    why = "the split is hidden" if bench.candidates.hidden else "in no resample do all metrics have values"
    missing.append(f"mean rank score: not offered, since {why}")
    return scores, missing
