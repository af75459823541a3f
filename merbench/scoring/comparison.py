"""Two submissions or more become a `Comparison` of paired differences; several runs of one system have one mean."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merbench.corpus.candidates import Candidates
from merbench.errors import Problem, UsageError, listed, plural
from merbench.intervals import Interval
from merbench.report import Comparison, Difference
from merbench.resampling import JACKKNIFE_GROUPS, n_swaps
from merbench.scoring.aligned import Aligned, align, candidates_of, read_for
from merbench.scoring.evaluation import plain_values
from merbench.scoring.scorecard import scores_of
from merbench.scoring.signatures import signature
from merbench.scoring.uncertainty import (
    Resampling,
    bootstrap,
    bounds_of,
    jackknifed,
    mean_of,
    permuted_differences,
    ranges_of,
    resampling_of,
    warnings_of,
    whole_number,
)
from merbench.significance import holm, n_as_large, pair_deviations, permutation_p, rank_correlation_p, t_ends
from merbench.submission import Submission
from merbench.track import OVERALL, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Source

SIZE_TIE = 0.05
"""Below this p of the rank correlation, a difference is taken to depend on the size of a cluster."""


def compare(  # noqa: PLR0913
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
        n_permutations: number of permutations of the paired test; all, where there are no more.
        level: level of the intervals; None takes what the track declares, as do the next two.
        n_resamples: number of bootstrap resamples.
        cluster: corpus column whose samples are resampled, and exchanged, together; `none` takes them one by one.
        seed: seed of resamples and permutations.

    Raises:
        UsageError: fewer than two submissions, two of one name, or an argument of another type.
        InvalidSubmission: a file has problems; all are listed.
        WithheldReference: the references are withheld.
        UndefinedMetric: a metric has no value on these data.
    """
    n_permutations = whole_number("n_permutations", n_permutations)
    candidates = candidates_of(track, split)
    how = resampling_of(candidates, "default", level, n_resamples, cluster, seed)
    systems = {name: align(read_for(candidates, source)) for name, source in named_sources(submissions).items()}
    if len(systems) < 2:
        raise UsageError(f"a comparison needs two submissions or more, not {len(systems)}")
    how = replace(how.in_range(), method="t")
    made = _differences(systems, n_permutations, how)
    return Comparison(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        n_candidates=len(candidates),
        differences=tuple(made),
        signature=f"{signature(candidates, how)}|permutations:{n_permutations}",
        n_permutations=n_permutations,
        exact=n_swaps(how.n_units, n_permutations) < n_permutations,
        uncertainty=how.uncertainty,
        warnings=(
            *warnings_of(next(iter(systems.values())), how, {}),
            *_without_interval(made, how),
            *smallest_p(how, n_permutations, n_pairs=math.comb(len(systems), 2)),
            *_tied_to_size(systems, made, how),
        ),
        decimals=candidates.track.ranking.decimals,
    )


def _differences(systems: Mapping[str, Aligned], n_permutations: int, how: Resampling) -> list[Difference]:
    """Return the differences of every pair of systems, metric by metric."""
    names, plain = list(systems), {name: plain_values(system) for name, system in systems.items()}
    first = plain[names[0]]
    values = {key: np.array([plain[name][key] for name in names]) for key in first}
    resampled = [{key: draws[key] for key in first} for draws in (bootstrap(each, how)[0] for each in systems.values())]
    pairs = list(combinations(range(len(names)), 2))
    a, b = np.array(pairs).T
    observed = {key: own[a] - own[b] for key, own in values.items()}
    n_large = dict.fromkeys(observed, np.zeros(len(pairs), dtype=np.int64))
    for block in permuted_differences(list(systems.values()), pairs, n_permutations, how):
        n_large = {key: count + n_as_large(observed[key], block[key]) for key, count in n_large.items()}
    n_permuted = n_swaps(how.n_units, n_permutations)
    widths = {key: high - low for key, (low, high) in ranges_of(next(iter(systems.values()))).items()}
    made = []
    for item in scores_of(how.candidates.track, first, {}):
        key = item.key
        p_values = [permutation_p(n, n_permuted) for n in n_large[key].tolist()]
        deviations = pair_deviations(np.stack([draws[key] for draws in resampled]), values[key])[a, b]
        for (i, j), deviation, p, p_holm in zip(pairs, deviations, p_values, holm(p_values), strict=True):
            value_a, value_b = plain[names[i]][key], plain[names[j]][key]
            low, high = _ends(value_a - value_b, deviation, widths.get(key, 1.0), how)
            made.append(
                Difference(
                    a=names[i],
                    b=names[j],
                    key=key,
                    name=item.name,
                    value_a=value_a,
                    value_b=value_b,
                    difference=value_a - value_b,
                    low=low,
                    high=high,
                    p=p,
                    p_holm=p_holm,
                    higher_is_better=item.higher_is_better,
                )
            )
    return made


def _ends(difference: float, deviation: float, width: float, how: Resampling) -> tuple[float | None, float | None]:
    """Return the ends of the interval of a difference, which is at most the width of the metric's range."""
    low, high = t_ends(difference, deviation, how.level, how.degrees)
    return (None, None) if low is None or high is None else (max(low, -width), min(high, width))


def _without_interval(made: Sequence[Difference], how: Resampling) -> Iterator[Problem]:
    """Yield a warning where differences have no interval though there are several samples or clusters."""
    empty = [row for row in made if row.low is None]
    if empty and how.n_units > 1:
        metrics = listed(list(dict.fromkeys(row.name for row in empty)))
        pairs = listed(list(dict.fromkeys(f"{row.a} - {row.b}" for row in empty)))
        message = f"no interval of differences of {metrics} ({pairs}): no resample changes them"
        yield Problem("W706", f"{message}, or too many have no value")


def smallest_p(how: Resampling, n_permutations: int, n_pairs: int) -> Iterator[Problem]:
    """Yield a warning where no p can be small enough to be significant after Holm's correction."""
    n_permuted = n_swaps(how.n_units, n_permutations)
    # Exchanging everything makes the same difference as exchanging nothing.
    exact = n_permuted < n_permutations
    smallest = (1 + exact) / (n_permuted + 1)
    if round(smallest * n_pairs, 10) < how.uncertainty.alpha:
        return
    units = plural(how.n_units, "sample") if how.cluster is None else f"{how.n_units} clusters of '{how.cluster}'"
    adjusted = f", nor an adjusted one of {n_pairs:,} pairs below {min(1.0, smallest * n_pairs):.2g}" * (n_pairs > 1)
    message = f"no p can be below {smallest:.2g}{adjusted}: no difference can be significant"
    if exact:
        yield Problem("W711", f"{units}: {message}")
    else:
        enough = math.floor(round(n_pairs / how.uncertainty.alpha, 6))
        yield Problem("W711", f"{n_permutations:,} permutations: {message}; {enough:,} permutations are enough")


def _tied_to_size(systems: Mapping[str, Aligned], made: Sequence[Difference], how: Resampling) -> Iterator[Problem]:
    """Yield a warning where significant differences depend on the size of a cluster: their p may be too small."""
    significant = [row for row in made if row.p_holm is not None and row.p_holm < how.uncertainty.alpha]
    if how.clusters is None or not significant or how.n_units > JACKKNIFE_GROUPS:
        return
    names = {name for row in significant for name in (row.a, row.b)}
    left_out = {name: jackknifed(systems[name], how.clusters) for name in names}
    sizes = np.bincount(how.clusters)
    tied: dict[str, list[str]] = {}
    for row in significant:
        without = left_out[row.a][row.key] - left_out[row.b][row.key]
        # What a sample of the cluster adds to the difference.
        effects = (row.difference - without) * (sizes.sum() - sizes) / sizes
        if rank_correlation_p(sizes, effects) < SIZE_TIE:
            tied.setdefault(row.name, []).append(f"{row.a} - {row.b}")
    for name, pairs in tied.items():
        message = f"{name}: the difference depends on the number of samples of a cluster of '{how.cluster}'"
        n_significant = sum(row.name == name for row in significant)
        few = f"{len(pairs):,} of {plural(n_significant, 'significant difference')} ({listed(pairs)})"
        yield Problem("W712", f"{message} in {few}: p may be too small")


def mean_intervals(runs: Sequence[Submission], how: Resampling) -> dict[str, Interval]:
    """Return the intervals, by key, of the mean value of several runs of one system, under weights they share."""
    systems = [align(run) for run in runs]
    draws = mean_of([bootstrap(system, how)[0] for system in systems])
    bounds = bounds_of(systems, how, how.clusters, draws)
    return {key: bounds[key] for key in plain_values(systems[0]) if key in bounds and math.isfinite(bounds[key].low)}


def with_metric(track: Track, key: str) -> Track:
    """Return a track with nothing but one metric, or the metrics of the overall score, and their targets."""
    kept = [spec for spec in track.metrics if (spec.weight is not None if key == OVERALL else spec.key == key)]
    targets = {spec.target: track.targets[spec.target] for spec in kept}
    return track.model_copy(update={"metrics": tuple(kept), "targets": targets})


def mean_difference_p(
    a: Sequence[Submission], b: Sequence[Submission], key: str, how: Resampling, n_permutations: int
) -> float:
    """Return the two-sided p of the paired permutation test between the mean values of two systems' runs.

    Run i of one system exchanges its predictions with run i of the other, for the same samples in all runs; the runs of
    the system with fewer of them are repeated in turn. With one run each this is the p of `compare`.
    """
    track = with_metric(how.candidates.track, key)
    systems = [replace(align(run), track=track) for run in (*a, *b)]
    rounds = [(i % len(a), len(a) + i % len(b)) for i in range(math.lcm(len(a), len(b)))]
    values = [plain_values(system)[key] for system in systems]
    observed = math.fsum(values[own] - values[other] for own, other in rounds) / len(rounds)
    n_large = sum(
        int(n_as_large(observed, block[key].sum(axis=0) / len(rounds)))
        for block in permuted_differences(systems, rounds, n_permutations, how)
    )
    return permutation_p(n_large, n_swaps(how.n_units, n_permutations))


def mean_differences(
    a: Sequence[Submission], b: Sequence[Submission], names: tuple[str, str], how: Resampling, n_permutations: int
) -> list[Difference]:
    """Return the differences between the mean values of two systems' runs, metric by metric.

    Intervals are made as by `compare`, from weights that all runs share, and p as by `mean_difference_p`; both are over
    samples, with the runs as they are.
    """
    how = replace(how.in_range(), method="t")
    systems = [[align(run) for run in runs] for runs in (a, b)]
    values = [[plain_values(system) for system in own] for own in systems]
    means = [{key: math.fsum(run[key] for run in own) / len(own) for key in own[0]} for own in values]
    draws = [mean_of([bootstrap(system, how)[0] for system in own]) for own in systems]
    widths = {key: high - low for key, (low, high) in ranges_of(systems[0][0]).items()}
    made = []
    for item in scores_of(how.candidates.track, means[0], {}):
        value_a, value_b = (mean[item.key] for mean in means)
        own = np.stack([draw[item.key] for draw in draws])
        deviation = float(pair_deviations(own, np.array([value_a, value_b]))[0, 1])
        low, high = _ends(value_a - value_b, deviation, widths.get(item.key, 1.0), how)
        made.append(
            Difference(
                *names,
                key=item.key,
                name=item.name,
                value_a=value_a,
                value_b=value_b,
                difference=value_a - value_b,
                low=low,
                high=high,
                p=mean_difference_p(a, b, item.key, how, n_permutations),
                p_holm=None,
                higher_is_better=item.higher_is_better,
            )
        )
    return made


def named_sources(
    submissions: Mapping[str, Source] | Sequence[Source], names: Sequence[str] | None = None
) -> dict[str, Source]:
    """Return sources by name: the given one, else for files the part of the path that differs.

    Raises:
        UsageError: a source or a name is duplicate, or there is not one printable name for each source.
    """
    if isinstance(submissions, Mapping):
        return dict(submissions)
    if isinstance(submissions, str) or not isinstance(submissions, Sequence):
        given: object = submissions
        single = f"'{given}'" if isinstance(given, (str, Path)) else f"a {type(given).__name__}"
        raise UsageError(f"a comparison takes a list of submissions, or a mapping of them by name, not only {single}")
    full = [str(Path(x)) if isinstance(x, (str, Path)) else f"submission {i}" for i, x in enumerate(submissions, 1)]
    if twice := _duplicates(full):
        raise UsageError(f"duplicate: {listed(twice)}")
    if names is None:
        return dict(zip(_distinct_parts(full), submissions, strict=True))
    if len(names) != len(submissions):
        raise UsageError(f"{plural(len(names), 'name')} for {plural(len(submissions), 'file')}: give one for each")
    for name in names:
        if not name.strip() or not name.isprintable():
            raise UsageError(
                f"{name!r} is not the name of a system: it needs a visible character, and no control character"
            )
    if twice := _duplicates(names):
        raise UsageError(f"two systems are named {listed(twice)}")
    return dict(zip(names, submissions, strict=True))


def _duplicates(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _distinct_parts(names: Sequence[str]) -> list[str]:
    """Return paths without the folders, and without the file name, that all of them share."""
    parts = [Path(name).parts for name in names]
    same_file = len({steps[-1] for steps in parts}) == 1 and all(len(steps) > 1 for steps in parts)
    folders = [steps[:-1] for steps in parts]
    shared = 0
    while all(len(steps) > shared for steps in folders) and len({steps[shared] for steps in folders}) == 1:
        shared += 1
    short = ["/".join(steps[shared : -1 if same_file else None]) for steps in parts]
    return short if all(short) else list(names)
