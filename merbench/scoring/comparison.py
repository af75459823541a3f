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
from merbench.errors import UsageError, listed, plural
from merbench.report import Comparison, Difference
from merbench.resampling import Interval, holm, n_as_large, percentile_interval, permutation_p
from merbench.scoring.aligned import Aligned, align, candidates_of, read_for
from merbench.scoring.evaluation import Draws, plain_values
from merbench.scoring.scorecard import scores_of
from merbench.scoring.signatures import signature
from merbench.scoring.uncertainty import (
    Resampling,
    bootstrap,
    bounds_of,
    jackknifed,
    permuted_differences,
    resampling_of,
    warnings_of,
    whole_number,
)
from merbench.submission import Submission
from merbench.track import OVERALL, Track

if TYPE_CHECKING:
    from merbench.scoring.aligned import Source


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
        n_permutations: number of permutations of the paired test.
        level: level of the percentile intervals; None takes what the track declares, as do the next two.
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
    how = resampling_of(candidates, "percentile", level, n_resamples, cluster, seed)
    systems = {name: align(read_for(candidates, source)) for name, source in named_sources(submissions).items()}
    if len(systems) < 2:
        raise UsageError(f"a comparison needs two submissions or more, not {len(systems)}")
    how.in_range()
    return Comparison(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        n_candidates=len(candidates),
        differences=tuple(_differences(systems, n_permutations, how)),
        signature=f"{signature(candidates, how)}|permutations:{n_permutations}",
        n_permutations=n_permutations,
        uncertainty=how.uncertainty,
        warnings=tuple(warnings_of(next(iter(systems.values())), how, {})),
        decimals=candidates.track.ranking.decimals,
    )


def _differences(systems: Mapping[str, Aligned], n_permutations: int, how: Resampling) -> Iterator[Difference]:
    """Yield the differences of every pair of systems, metric by metric."""
    plain = {name: plain_values(system) for name, system in systems.items()}
    draws: dict[str, Draws] = {}
    for name, system in systems.items():
        resampled = bootstrap(system, how)[0]
        draws[name] = {key: resampled[key] for key in plain[name]}  # those of every class would fill the memory
    pairs = list(combinations(systems, 2))
    first = next(iter(plain.values()))
    observed = {key: np.array([plain[a][key] - plain[b][key] for a, b in pairs]) for key in first}
    n_large = dict.fromkeys(observed, np.zeros(len(pairs), dtype=np.int64))
    numbers = list(combinations(range(len(systems)), 2))
    for block in permuted_differences(list(systems.values()), numbers, n_permutations, how):
        n_large = {key: count + n_as_large(observed[key], block[key]) for key, count in n_large.items()}
    for item in scores_of(how.candidates.track, first, {}):
        p_values = [permutation_p(n, n_permutations) for n in n_large[item.key].tolist()]
        for (a, b), p, p_holm in zip(pairs, p_values, holm(p_values), strict=True):
            value_a, value_b = plain[a][item.key], plain[b][item.key]
            bounds = percentile_interval(draws[a][item.key] - draws[b][item.key], how.level)
            yield Difference(
                a=a,
                b=b,
                key=item.key,
                name=item.name,
                value_a=value_a,
                value_b=value_b,
                difference=value_a - value_b,
                low=bounds.low,
                high=bounds.high,
                p=p,
                p_holm=p_holm,
                higher_is_better=item.higher_is_better,
            )


def mean_intervals(runs: Sequence[Submission], how: Resampling) -> dict[str, Interval]:
    """Return the intervals, by key, of the mean value of several runs of one system, under weights they share."""
    systems = [align(run) for run in runs]
    draws = _mean([bootstrap(system, how)[0] for system in systems])
    values = [plain_values(system) for system in systems]
    plain = {key: math.fsum(value[key] for value in values) / len(values) for key in values[0]}
    bounds = bounds_of(draws, how, plain, lambda: _mean([jackknifed(system, how.clusters) for system in systems]))
    return {key: bounds[key] for key in plain if math.isfinite(bounds[key].low)}


def _mean(runs: Sequence[Draws]) -> Draws:
    return {key: sum((run[key] for run in runs), np.zeros(len(runs[0][key]))) / len(runs) for key in runs[0]}


def mean_difference_p(
    a: Sequence[Submission], b: Sequence[Submission], key: str, how: Resampling, n_permutations: int
) -> float:
    """Return the two-sided p of the paired permutation test between the mean values of two systems' runs.

    Run i of one system exchanges its predictions with run i of the other, for the same samples in all runs; the runs of
    the system with fewer of them are repeated in turn. With one run each this is the p of `compare`.
    """
    metrics = how.candidates.track.metrics
    kept = [spec for spec in metrics if (spec.weight is not None if key == OVERALL else spec.key == key)]
    track = how.candidates.track.model_copy(update={"metrics": tuple(kept)})
    systems = [replace(align(run), track=track) for run in (*a, *b)]
    rounds = [(i % len(a), len(a) + i % len(b)) for i in range(math.lcm(len(a), len(b)))]
    values = [plain_values(system)[key] for system in systems]
    observed = math.fsum(values[own] - values[other] for own, other in rounds) / len(rounds)
    n_large = sum(
        int(n_as_large(observed, block[key].sum(axis=0) / len(rounds)))
        for block in permuted_differences(systems, rounds, n_permutations, how)
    )
    return permutation_p(n_large, n_permutations)


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
    full = [str(x) if isinstance(x, (str, Path)) else f"submission {i}" for i, x in enumerate(submissions, 1)]
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
