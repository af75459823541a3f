"""Two submissions or more go in, their paired differences come out; and the mean of several runs of one system."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from merbench.corpus.candidates import Candidates
from merbench.errors import UsageError
from merbench.report import Comparison, Difference
from merbench.resampling import (
    Interval,
    holm,
    n_as_large,
    percentile_interval,
    permutation_p,
)
from merbench.scoring.aligned import only, scored_pair
from merbench.scoring.arguments import asked, whole
from merbench.scoring.draws import bootstrap, jackknifed, mean_draws, permuted_differences
from merbench.scoring.evaluation import plain_values
from merbench.scoring.inputs import candidates_of, named_sources, read_for
from merbench.scoring.scorecard import scores_of
from merbench.scoring.uncertainty import (
    Resampling,
    bounds_of,
    clusters_of,
    resampling_of,
    signature,
    stream_name,
    uncertainty_of,
    warnings_of,
)
from merbench.submission import Submission
from merbench.track import Track

if TYPE_CHECKING:
    from merbench.scoring.inputs import Source


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
        UsageError: fewer than two submissions, two of one name, or an argument of another type.
        InvalidSubmission: a file has problems; all are listed.
        WithheldReference: the references are not held here.
        UndefinedMetric: a metric has no value on these data.
    """
    drawing = asked("percentile", level, n_resamples, cluster, seed)
    n_permutations = whole("n_permutations", n_permutations)
    candidates = candidates_of(track, split)
    pairs = {name: scored_pair(read_for(candidates, source)) for name, source in named_sources(submissions).items()}
    if len(pairs) < 2:
        raise UsageError(f"a comparison needs two submissions or more, not {len(pairs)}")
    how = resampling_of(candidates.track, *drawing)
    clusters, stream = clusters_of(candidates, how), stream_name(candidates, seed)
    plain = {name: plain_values(pair) for name, pair in pairs.items()}
    draws = {}
    for name, pair in pairs.items():
        drawn = bootstrap(pair, how.n_resamples, clusters, stream)[0]
        draws[name] = {key: drawn[key] for key in plain[name]}  # those of every class would fill the memory
    contests = list(combinations(pairs, 2))
    observed = {
        key: np.array([plain[a][key] - plain[b][key] for a, b in contests]) for key in next(iter(plain.values()))
    }
    n_large = dict.fromkeys(observed, np.zeros(len(contests), dtype=np.int64))
    numbers = list(combinations(range(len(pairs)), 2))
    for block in permuted_differences(list(pairs.values()), numbers, n_permutations, clusters, stream):
        n_large = {key: count + n_as_large(observed[key], block[key]) for key, count in n_large.items()}
    differences: list[Difference] = []
    for item in scores_of(candidates.track, next(iter(plain.values())), {}):
        p_values = [permutation_p(n, n_permutations) for n in n_large[item.key].tolist()]
        for (a, b), p, adjusted in zip(contests, p_values, holm(p_values), strict=True):
            bounds = percentile_interval(draws[a][item.key] - draws[b][item.key], how.level)
            differences.append(
                Difference(
                    a=a,
                    b=b,
                    key=item.key,
                    name=item.name,
                    value_a=plain[a][item.key],
                    value_b=plain[b][item.key],
                    difference=plain[a][item.key] - plain[b][item.key],
                    low=bounds.low,
                    high=bounds.high,
                    p=p,
                    p_holm=adjusted,
                    higher_is_better=item.higher_is_better,
                )
            )
    uncertainty = uncertainty_of(how, clusters)
    assert uncertainty is not None
    return Comparison(
        track=candidates.track.key,
        title=candidates.track.title,
        split=candidates.split,
        synthetic=candidates.corpus.synthetic,
        hidden=candidates.hidden,
        n_candidates=len(candidates),
        signature=f"{signature(candidates, how)}|permutations:{n_permutations}",
        n_permutations=n_permutations,
        uncertainty=uncertainty,
        differences=tuple(differences),
        warnings=tuple(warnings_of(next(iter(pairs.values())), how, clusters, {})),
        decimals=candidates.track.ranking.decimals,
    )


def mean_intervals(runs: Sequence[Submission], how: Resampling) -> dict[str, Interval]:
    """Return the intervals, by key, of the mean value of several runs of one system, under weights they share."""
    candidates, pairs = runs[0].candidates, [scored_pair(run) for run in runs]
    clusters, stream = clusters_of(candidates, how), stream_name(candidates, how.seed)
    draws = mean_draws([bootstrap(pair, how.n_resamples, clusters, stream)[0] for pair in pairs])
    values = [plain_values(pair) for pair in pairs]
    plain = {key: math.fsum(value[key] for value in values) / len(values) for key in values[0]}
    bounds = bounds_of(draws, how, plain, lambda: mean_draws([jackknifed(pair, clusters) for pair in pairs]))
    return {key: bounds[key] for key in plain if math.isfinite(bounds[key].low)}


def mean_difference_p(
    a: Sequence[Submission], b: Sequence[Submission], key: str, how: Resampling, n_permutations: int
) -> float:
    """Return the two-sided p of the paired permutation test between the mean values of two systems' runs.

    Run i of one system exchanges its predictions with run i of the other, for the same samples in all runs; the runs of
    the system with fewer of them come round again. With one run each this is the p of `compare`.
    """
    candidates = a[0].candidates
    clusters, stream = clusters_of(candidates, how), stream_name(candidates, how.seed)
    track = only(candidates.track, key)
    first, second = ([replace(scored_pair(run), track=track) for run in system] for system in (a, b))
    rounds = [(i % len(first), len(first) + i % len(second)) for i in range(math.lcm(len(first), len(second)))]
    values = [plain_values(pair)[key] for pair in (*first, *second)]
    observed = math.fsum(values[one] - values[other] for one, other in rounds) / len(rounds)
    n_large = sum(
        int(n_as_large(observed, block[key].sum(axis=0) / len(rounds)))
        for block in permuted_differences([*first, *second], rounds, n_permutations, clusters, stream)
    )
    return permutation_p(n_large, n_permutations)
