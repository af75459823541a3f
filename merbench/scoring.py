"""A track and a submission go in, a `ScoreReport` comes out; two submissions or more, a `Comparison`.

Conventions:
    Predictions and references of the scored rows are aligned, in the order of sorted sample ids. Draws are `(B,)`
    float64 arrays, one per key: `overall`, a metric's key, or `f1(target,label=x)` for the row of a class. A stream
    name stands for the same weights whatever the system, so differences of draws are paired.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from merbench.submission import Submission, read_submission
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import Problem, UndefinedMetric, UsageError, did_you_mean, listed, plural
from merbench.metrics.categorical import confusion, per_class
from merbench.report import ClassRow, Comparison, Confusion, Difference, Group, Score, ScoreReport, Uncertainty
from merbench.resampling import (
    Interval,
    bca_interval,
    cluster_codes,
    group_masks,
    holm,
    jackknife_weights,
    percentile_interval,
    permutation_p,
    poisson_weights,
    swapped_pair,
    swaps,
)
from merbench.track import OVERALL, CategoricalTarget, MetricSpec, Track, load_track

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pa.Table | pd.DataFrame | Submission

Codes = NDArray[np.int64]
Draws = dict[str, NDArray[np.float64]]

FEW_CLUSTERS = 50
"""Below this many clusters, the report warns that cluster intervals are too narrow (`docs/uncertainty.md`)."""

FEW_REFERENCES = 10
"""A class with fewer references than this brings a warning."""

MOST_GROUPS = 200
"""The largest number of groups that a breakdown shows."""

BINNED_ABOVE = 10
"""A numeric column with more distinct values than this is binned into quarters of the samples."""


@dataclass(frozen=True, slots=True)
class Resampling:
    """How samples are drawn again: method, level, how often, by which cluster (None: one by one), from which seed."""

    method: str
    level: float
    n_resamples: int
    cluster: str | None
    seed: int


@dataclass(frozen=True, eq=False, slots=True)
class Pair:
    """The scored rows of one submission: references and predictions, aligned."""

    track: Track
    reference: Mapping[str, NDArray[Any]]
    prediction: Mapping[str, NDArray[Any]]

    @property
    def n(self) -> int:
        """Number of scored rows."""
        return len(next(iter(self.reference.values())))

    def select(self, rows: Codes) -> Pair:
        """Return the pair of some of the rows."""
        return Pair(
            self.track,
            {name: values[rows] for name, values in self.reference.items()},
            {name: values[rows] for name, values in self.prediction.items()},
        )


def score(
    track: str | Path | Track | Candidates,
    submission: Source,
    *,
    split: str = "test",
    intervals: bool = True,
    method: str | None = None,
    level: float | None = None,
    n_resamples: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
    by: Sequence[str] = (),
) -> ScoreReport:
    """Return the scores of a submission with their uncertainty.

    Args:
        track: a name, a folder, a loaded track, or its opened candidates (the fastest, when many files are scored).
        submission: a file, `-` for standard input, a table, or a submission that was read before.
        split: which split of the track; ignored where opened candidates say it.
        intervals: whether to resample.
        method: `percentile` or `bca`; None takes what the track declares, as do the next three.
        level: level of the intervals, such as 0.95.
        n_resamples: number of bootstrap draws.
        cluster: corpus column whose samples are drawn together (`speaker`); `none` draws them one by one.
        seed: seed of the draws.
        by: corpus columns to break the scores down by; continuous ones are binned.

    Raises:
        InvalidSubmission: the file has problems; all are listed.
        WithheldReference: the references are not held here.
        UndefinedMetric: a metric has no value on these data.
    """
    read = _read(_candidates(track, split), submission)
    candidates, pair = read.candidates, scored_pair(read)
    how = resampling_of(candidates.track, method, level, n_resamples, cluster, seed) if intervals else None
    clusters = _clusters(candidates, how)
    groupings = [_grouping(candidates, column) for column in by]
    selections = [rows for grouping in groupings for rows in grouping.rows]

    confusions = _confusions(pair, _ones(pair))
    plain = _plain(pair, confusions)
    bounds, *group_bounds = _intervals(pair, how, clusters, plain, selections, stream_name(candidates, seed))
    return ScoreReport(
        track=candidates.track.key,
        title=candidates.track.title,
        corpus=candidates.corpus.name,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        signature=signature(candidates, how),
        formula=candidates.track.formula,
        scores=tuple(_scores(candidates.track, plain, bounds)),
        counts=_counts(read, pair),
        digests={
            "submission": read.digest,
            "references": candidates.references.digest,
            "track": candidates.track.fingerprint,
        },
        per_class=tuple(_class_rows(pair, confusions, bounds)),
        confusions=tuple(_confusion_tables(pair, confusions)),
        groups=tuple(_groups(pair, groupings, group_bounds)),
        uncertainty=_uncertainty(how, clusters),
        warnings=(*read.warnings, *_warnings(pair, how, clusters, bounds)),
        decimals=candidates.track.ranking.decimals,
        source=read.source,
    )


def compare(
    track: str | Path | Track | Candidates,
    submissions: Mapping[str, Source] | Sequence[Source],
    *,
    split: str = "test",
    n_permutations: int = 10_000,
    level: float | None = None,
    n_resamples: int | None = None,
    cluster: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Return paired differences between submissions: intervals from shared weights, permutation p, Holm over pairs.

    Args:
        track: as for `score`.
        submissions: sources by name, or sources that are named by their file.
        split: which split of the track.
        n_permutations: draws of the paired permutation test.
        level: level of the percentile intervals; None takes what the track declares, as do the next two.
        n_resamples: number of bootstrap draws.
        cluster: corpus column whose samples are drawn, and exchanged, together; `none` draws them one by one.
        seed: seed of all draws.

    Raises:
        UsageError: fewer than two submissions, or two of one name.
        InvalidSubmission: a file has problems; all are listed.
        WithheldReference: the references are not held here.
        UndefinedMetric: a metric has no value on these data.
    """
    candidates = _candidates(track, split)
    pairs = {name: scored_pair(_read(candidates, source)) for name, source in _named(submissions).items()}
    if len(pairs) < 2:
        raise UsageError(f"a comparison needs two submissions or more, not {len(pairs)}")
    how = resampling_of(candidates.track, "percentile", level, n_resamples, cluster, seed)
    clusters, stream = _clusters(candidates, how), stream_name(candidates, seed)
    plain = {name: _plain(pair, _confusions(pair, _ones(pair))) for name, pair in pairs.items()}
    draws = {name: bootstrap(pair, how, clusters, stream)[0] for name, pair in pairs.items()}
    permuted = {
        (a, b): permuted_differences(pairs[a], pairs[b], n_permutations, clusters, stream)
        for a, b in combinations(pairs, 2)
    }
    differences: list[Difference] = []
    for item in _scores(candidates.track, next(iter(plain.values())), {}):
        observed = {(a, b): plain[a][item.key] - plain[b][item.key] for a, b in permuted}
        p_values = [permutation_p(observed[names], permuted[names][item.key]) for names in permuted]
        for (a, b), p, adjusted in zip(permuted, p_values, holm(p_values), strict=True):
            bounds = percentile_interval(draws[a][item.key] - draws[b][item.key], how.level)
            differences.append(
                Difference(
                    a=a,
                    b=b,
                    key=item.key,
                    name=item.name,
                    value_a=plain[a][item.key],
                    value_b=plain[b][item.key],
                    difference=observed[a, b],
                    low=bounds.low,
                    high=bounds.high,
                    p=p,
                    p_holm=adjusted,
                    higher_is_better=item.higher_is_better,
                )
            )
    uncertainty = _uncertainty(how, clusters)
    assert uncertainty is not None
    return Comparison(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        signature=f"{signature(candidates, how)}|permutations:{n_permutations}",
        n_permutations=n_permutations,
        uncertainty=uncertainty,
        differences=tuple(differences),
        warnings=tuple(_warnings(next(iter(pairs.values())), how, clusters, {})),
        decimals=candidates.track.ranking.decimals,
    )


def mean_intervals(runs: Sequence[Submission], how: Resampling) -> dict[str, Interval]:
    """Return the intervals, by key, of the mean value of several runs of one system, under weights they share."""
    candidates, pairs = runs[0].candidates, [scored_pair(run) for run in runs]
    clusters, stream = _clusters(candidates, how), stream_name(candidates, how.seed)
    draws = _mean([bootstrap(pair, how, clusters, stream)[0] for pair in pairs])
    values = [_plain(pair, _confusions(pair, _ones(pair))) for pair in pairs]
    plain = {key: math.fsum(value[key] for value in values) / len(values) for key in values[0]}
    bounds = _bounds(draws, how, plain, lambda: _mean([_jackknifed(pair, clusters) for pair in pairs]))
    return {key: bounds[key] for key in plain}


def mean_difference_p(
    a: Sequence[Submission], b: Sequence[Submission], key: str, how: Resampling, n_permutations: int
) -> float:
    """Return the two-sided p of the paired permutation test between the mean values of two systems' runs.

    Run i of one system exchanges its predictions with run i of the other, for the same samples in all runs; the runs of
    the system with fewer of them come round again. With one run each this is the p of `compare`.
    """
    candidates = a[0].candidates
    clusters, stream = _clusters(candidates, how), stream_name(candidates, how.seed)
    track = _only(candidates.track, key)
    first, second = ([replace(scored_pair(run), track=track) for run in system] for system in (a, b))
    rounds = [(first[i % len(first)], second[i % len(second)]) for i in range(math.lcm(len(first), len(second)))]
    permuted = _mean([permuted_differences(one, other, n_permutations, clusters, stream) for one, other in rounds])
    plain = [[_plain(pair, _confusions(pair, _ones(pair)))[key] for pair in pairs] for pairs in rounds]
    return permutation_p(math.fsum(one - other for one, other in plain) / len(plain), permuted[key])


def evaluate(pair: Pair, weights: NDArray[Any], confusions: Mapping[str, NDArray[Any]] | None = None) -> Draws:
    """Return `(b,)` values under `(b, n)` weights of every key: the metrics, and `overall` where weights declare it.

    `confusions` are those of the categorical targets under the same weights, where they are at hand already.
    """
    if confusions is None:
        confusions = _confusions(pair, weights)
    values: Draws = {}
    for spec in pair.track.metrics:
        metric, parameters = spec.metric, _parameters(pair.track, spec)
        if metric.from_confusion is not None:
            values[spec.key] = metric.from_confusion(confusions[spec.target], **parameters)
            continue
        target = pair.track.targets[spec.target]
        if isinstance(target, CategoricalTarget):
            parameters["n_labels"] = len(target.labels)
        values[spec.key] = metric(pair.reference[spec.target], pair.prediction[spec.target], weights, **parameters)
    weighted = [(spec.weight, values[spec.key]) for spec in pair.track.metrics if spec.weight is not None]
    if weighted:
        values[OVERALL] = sum((weight * value for weight, value in weighted), np.zeros(len(weights)))
    return values


def bootstrap(
    pair: Pair, how: Resampling, clusters: Codes | None, stream: str, selections: Sequence[Codes] = ()
) -> list[Draws]:
    """Return the draws of all rows, then those of every selection of rows, from the same weights in one pass."""
    parts = [pair, *(pair.select(rows) for rows in selections)]
    blocks: list[list[Draws]] = [[] for _ in parts]
    for weights in poisson_weights(stream, pair.n, how.n_resamples, clusters=clusters):
        blocks[0].append(_with_classes(pair, weights))
        for found, part, rows in zip(blocks[1:], parts[1:], selections, strict=True):
            found.append(evaluate(part, weights[:, rows]))
    return [_joined(found) for found in blocks]


def permuted_differences(a: Pair, b: Pair, n_permutations: int, clusters: Codes | None, stream: str) -> Draws:
    """Return the differences a - b of every key after random exchanges of the two systems' predictions."""
    both = Pair(
        a.track,
        {name: np.concatenate([values, values]) for name, values in a.reference.items()},
        {name: np.concatenate([values, b.prediction[name]]) for name, values in a.prediction.items()},
    )
    found: list[Draws] = []
    for exchange in swaps(stream, a.n, n_permutations, clusters=clusters):
        first, second = (evaluate(both, weights) for weights in swapped_pair(exchange))
        found.append({key: first[key] - second[key] for key in first})
    return _joined(found)


def signature(candidates: Candidates, how: Resampling | None) -> str:
    """Return what must be equal for two values to stand in one table."""
    track, corpus = candidates.track, candidates.corpus
    made = "ci:none"
    if how is not None:
        made = f"ci:{how.method},{how.level:g}|bs:{how.n_resamples}|cluster:{how.cluster or 'none'}"
        made += f"|bootstrap_seed:{how.seed}"
    return "|".join(
        [
            f"{track.key}#{track.fingerprint[:8]}",
            f"corpus:{corpus.name}#{corpus.digest[:8]}",
            f"split:{candidates.split}",
            f"n:{len(candidates.references)}",
            "+".join(spec.key for spec in track.metrics),
            made,
            f"merbench:{_minor_version()}",
        ]
    )


def stream_name(candidates: Candidates, seed: int) -> str:
    """Return the name of the random stream that belongs to track, split and seed, whatever the system."""
    return f"{candidates.track.key}|{candidates.split}|{seed}"


def resampling_of(
    track: Track, method: str | None, level: float | None, n_resamples: int | None, cluster: str | None, seed: int
) -> Resampling:
    """Return how to resample: what is given, else what the track declares."""
    declared = track.intervals
    how = Resampling(
        method=declared.method if method is None else method,
        level=declared.level if level is None else level,
        n_resamples=declared.n_resamples if n_resamples is None else n_resamples,
        cluster=declared.cluster if cluster is None else (None if cluster == "none" else cluster),
        seed=seed,
    )
    if how.method not in ("percentile", "bca"):
        known = ("percentile", "bca")
        raise UsageError(
            f"no interval method '{how.method}'; allowed: {', '.join(known)}{did_you_mean(how.method, known)}"
        )
    if not 0.5 < how.level < 1:
        raise UsageError(f"the level of an interval is between 0.5 and 1, not {how.level:g}")
    if not 100 <= how.n_resamples <= 1_000_000:
        raise UsageError(f"the number of resamples is between 100 and 1,000,000, not {how.n_resamples:,}")
    return how


def scored_pair(read: Submission) -> Pair:
    """Return the scored rows of a submission beside their references."""
    references = read.candidates.references
    prediction = {name: values[references.index] for name, values in read.values.items()}
    return Pair(read.candidates.track, references.values, prediction)


def _candidates(track: str | Path | Track | Candidates, split: str) -> Candidates:
    if isinstance(track, Candidates):
        return track
    return open_candidates(track if isinstance(track, Track) else load_track(track), split)


def _read(candidates: Candidates, submission: Source) -> Submission:
    if not isinstance(submission, Submission):
        return read_submission(submission, candidates)
    theirs = submission.candidates
    if (theirs.track.key, theirs.split) != (candidates.track.key, candidates.split):
        raise UsageError(
            f"the submission was read for {theirs.track.key}, split {theirs.split}; "
            f"this is {candidates.track.key}, split {candidates.split}"
        )
    return submission


def _named(submissions: Mapping[str, Source] | Sequence[Source]) -> dict[str, Source]:
    if isinstance(submissions, Mapping):
        return dict(submissions)
    named: dict[str, Source] = {}
    for number, source in enumerate(submissions, 1):
        name = str(source) if isinstance(source, (str, Path)) else f"submission {number}"
        if name in named:
            raise UsageError(f"{name}: given twice")
        named[name] = source
    return named


def _minor_version() -> str:
    from importlib.metadata import version

    return ".".join(version("merbench").split(".")[:2])


def _ones(pair: Pair) -> NDArray[np.uint8]:
    return np.ones((1, pair.n), dtype=np.uint8)


def _plain(pair: Pair, confusions: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    plain = {key: float(values[0]) for key, values in evaluate(pair, _ones(pair), confusions).items()}
    for key, value in plain.items():
        if not np.isfinite(value):
            raise UndefinedMetric(f"{key} has no value on these {plural(pair.n, 'reference')}")
    return plain


def _parameters(track: Track, spec: MetricSpec) -> dict[str, Any]:
    """Return a metric's parameters, with the name of a label resolved to its code."""
    parameters = dict(spec.parameters)
    target = track.targets[spec.target]
    if "label" in parameters and isinstance(target, CategoricalTarget):
        parameters["label"] = target.labels.index(parameters["label"])
    return parameters


def _categorical(track: Track) -> Iterator[tuple[str, CategoricalTarget]]:
    for name, target in track.targets.items():
        if isinstance(target, CategoricalTarget):
            yield name, target


def _confusions(pair: Pair, weights: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {
        name: confusion(pair.reference[name], pair.prediction[name], weights, n_labels=len(target.labels))
        for name, target in _categorical(pair.track)
    }


def _with_classes(pair: Pair, weights: NDArray[Any]) -> Draws:
    """Return `evaluate`'s values and, beside them, the F1 of every class."""
    confusions = _confusions(pair, weights)
    values = evaluate(pair, weights, confusions)
    for name, target in _categorical(pair.track):
        f1 = per_class(confusions[name]).f1
        values.update({_class_key(name, label): f1[:, code] for code, label in enumerate(target.labels)})
    return values


def _class_key(target: str, label: str) -> str:
    return f"f1({target},label={label})"


def _joined(blocks: Sequence[Draws]) -> Draws:
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def _intervals(
    pair: Pair,
    how: Resampling | None,
    clusters: Codes | None,
    plain: Mapping[str, float],
    selections: Sequence[Codes],
    stream: str,
) -> list[dict[str, Interval]]:
    """Return intervals by key, first of all rows, then of every selection; empty without resampling."""
    if how is None:
        return [{} for _ in range(1 + len(selections))]
    draws, *selected = bootstrap(pair, how, clusters, stream, selections)
    bounds = [_bounds(draws, how, plain, lambda: _jackknifed(pair, clusters))]
    for values in selected:
        # A group without the needed classes has no value under any weights, and so no interval.
        held = {key: column for key, column in values.items() if not np.isnan(column).all()}
        bounds.append({key: percentile_interval(column, how.level) for key, column in held.items()})
    return bounds


def _bounds(
    draws: Draws, how: Resampling, plain: Mapping[str, float], jackknife: Callable[[], Draws]
) -> dict[str, Interval]:
    """Return the interval of every key; BCa ones where the method asks for them, but for classes."""
    bounds = {key: percentile_interval(values, how.level) for key, values in draws.items()}
    if how.method == "bca":
        left_out = jackknife()
        bounds.update({key: bca_interval(draws[key], how.level, plain[key], left_out[key]) for key in plain})
    return bounds


def _jackknifed(pair: Pair, clusters: Codes | None) -> Draws:
    return _joined([evaluate(pair, masks) for masks in jackknife_weights(pair.n, clusters=clusters)])


def _only(track: Track, key: str) -> Track:
    """Return the track with no more metrics than a key needs."""
    needed = [spec for spec in track.metrics if (spec.weight is not None if key == OVERALL else spec.key == key)]
    return track.model_copy(update={"metrics": tuple(needed)})


def _mean(runs: Sequence[Draws]) -> Draws:
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}


def _scores(track: Track, plain: Mapping[str, float], bounds: Mapping[str, Interval]) -> Iterator[Score]:
    """Yield the overall score, where there is one, then the metrics in the order of the track."""
    if OVERALL in plain:
        yield _score(OVERALL, OVERALL, None, plain, bounds, None, True)
    for spec in track.metrics:
        better = spec.metric.higher_is_better
        yield _score(spec.key, track.metric_label(spec), spec.target, plain, bounds, spec.weight, better)


def _score(
    key: str,
    name: str,
    target: str | None,
    plain: Mapping[str, float],
    bounds: Mapping[str, Interval],
    weight: float | None,
    higher_is_better: bool,
) -> Score:
    interval, value = bounds.get(key), plain[key]
    return Score(
        key=key,
        name=name,
        target=target,
        value=value if np.isfinite(value) else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        weight=weight,
        higher_is_better=higher_is_better,
        n_left_out=interval.n_left_out if interval else 0,
    )


def _counts(read: Submission, pair: Pair) -> dict[str, int]:
    outside = {name: int((pair.prediction[name] < 0).sum()) for name, _ in _categorical(pair.track)}
    return {
        "candidates": len(read.candidates),
        "scored": pair.n,
        "rows": read.n_rows,
        "extra": read.n_extra,
        "out_of_vocabulary": sum(outside.values()),
    }


def _class_rows(
    pair: Pair, confusions: Mapping[str, NDArray[Any]], bounds: Mapping[str, Interval]
) -> Iterator[ClassRow]:
    for name, target in _categorical(pair.track):
        rows = per_class(confusions[name])
        for code, label in enumerate(target.labels):
            interval = bounds.get(_class_key(name, label))
            yield ClassRow(
                target=name,
                label=label,
                n=int(rows.n[0, code]),
                precision=float(rows.precision[0, code]),
                recall=float(rows.recall[0, code]),
                f1=float(rows.f1[0, code]),
                f1_low=interval.low if interval else None,
                f1_high=interval.high if interval else None,
            )


def _confusion_tables(pair: Pair, confusions: Mapping[str, NDArray[Any]]) -> Iterator[Confusion]:
    for name, target in _categorical(pair.track):
        counts = tuple(tuple(int(cell) for cell in row) for row in confusions[name][0])
        yield Confusion(name, target.labels, counts)


@dataclass(frozen=True, eq=False, slots=True)
class _Grouping:
    """A corpus column as groups of scored rows: its name, the groups' names, the rows of each."""

    column: str
    names: tuple[str, ...]
    rows: tuple[Codes, ...]

    @property
    def codes(self) -> Codes:
        """The group of every scored row."""
        codes = np.full(sum(map(len, self.rows)), -1, dtype=np.int64)
        for code, rows in enumerate(self.rows):
            codes[rows] = code
        return codes


def _scored_column(candidates: Candidates, column: str, use: str) -> pa.Array:
    columns = [name for name in candidates.samples.column_names if name not in ("sample_id", "split")]
    if column not in columns:
        raise UsageError(
            f"corpus '{candidates.corpus.name}' has no column '{column}' {use}; "
            f"it has {listed(columns, 12)}{did_you_mean(column, columns)}"
        )
    return candidates.samples[column].combine_chunks().take(pa.array(candidates.references.index))


def _grouping(candidates: Candidates, column: str) -> _Grouping:
    """Return the groups of a column: its values in order, or quarters of the samples where it is continuous."""
    values = _scored_column(candidates, column, "to break down by")
    if pa.types.is_nested(values.type) or pa.types.is_binary(values.type):
        raise UsageError(f"column '{column}' holds {values.type}: a breakdown needs text or numbers")
    distinct = values.drop_null().unique()
    numeric = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    if numeric and len(distinct) > BINNED_ABOVE:
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
        ordered = np.sort(numbers[~np.isnan(numbers)])
        edges = np.unique(ordered[[len(ordered) * i // 4 for i in range(4)]])
        codes = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right") - 1)
        ends = [*edges[1:], ordered[-1]]
        names = [
            f"[{low:g}, {high:g}{']' if i == len(edges) - 1 else ')'}"
            for i, (low, high) in enumerate(zip(edges, ends, strict=True))
        ]
    else:
        distinct = distinct.take(pc.sort_indices(distinct))
        if len(distinct) > MOST_GROUPS:
            raise UsageError(
                f"column '{column}' has {len(distinct):,} different values; a breakdown shows {MOST_GROUPS}"
            )
        codes = pc.fill_null(pc.index_in(values, value_set=distinct), -1).to_numpy(zero_copy_only=False)
        names = [str(value) for value in distinct.to_pylist()]
    if (codes < 0).any():
        codes, names = np.where(codes < 0, len(names), codes), [*names, "(none)"]
    rows = tuple(np.flatnonzero(codes == code) for code in range(len(names)))
    return _Grouping(column, tuple(names), rows)


def _groups(pair: Pair, groupings: Iterable[_Grouping], bounds: Sequence[Mapping[str, Interval]]) -> Iterator[Group]:
    remaining = iter(bounds)
    for grouping in groupings:
        blocks = [evaluate(pair, masks) for masks in group_masks(grouping.codes, len(grouping.names))]
        values = _joined(blocks)
        for code, name in enumerate(grouping.names):
            plain = {key: float(column[code]) for key, column in values.items()}
            scores = tuple(_scores(pair.track, plain, next(remaining)))
            yield Group(grouping.column, name, len(grouping.rows[code]), scores)


def _clusters(candidates: Candidates, how: Resampling | None) -> Codes | None:
    """Return the cluster of every scored row; a row without one is a cluster of its own."""
    if how is None or how.cluster is None:
        return None
    values = _scored_column(candidates, how.cluster, "to cluster by").cast(pa.string()).to_pylist()
    ids = candidates.ids.take(pa.array(candidates.references.index)).to_pylist()
    return cluster_codes(
        [f"={value}" if value is not None else f"#{id_}" for value, id_ in zip(values, ids, strict=True)]
    )


def _uncertainty(how: Resampling | None, clusters: Codes | None) -> Uncertainty | None:
    if how is None:
        return None
    n_clusters = None if clusters is None else int(clusters.max()) + 1
    return Uncertainty(how.method, how.level, how.n_resamples, how.cluster, n_clusters, how.seed)


def _warnings(
    pair: Pair, how: Resampling | None, clusters: Codes | None, bounds: Mapping[str, Interval]
) -> Iterator[Problem]:
    """Yield what makes intervals less trustworthy; all of it looks at references, so its codes are W7xx."""
    if how is None:
        return
    if clusters is not None and (n := int(clusters.max()) + 1) < FEW_CLUSTERS:
        yield Problem(
            "W701", f"{n} clusters of '{how.cluster}': with fewer than {FEW_CLUSTERS} the intervals are too narrow"
        )
    for name, target in _categorical(pair.track):
        counts = np.bincount(pair.reference[name], minlength=len(target.labels))
        few = [f"{label} ({n})" for label, n in zip(target.labels, counts, strict=True) if n < FEW_REFERENCES]
        if few:
            message = (
                f"fewer than {FEW_REFERENCES} references of {listed(few)}: intervals of averages over classes are rough"
            )
            yield Problem("W702", message, column=name)
    for key, interval in bounds.items():
        if interval.n_left_out and not key.startswith("f1("):
            yield Problem("W703", f"{interval.n_left_out} of {how.n_resamples:,} resamples have no value", column=key)
