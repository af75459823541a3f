"""Intervals for other samples and other seeds of the training: of a system's mean over seeds, and of two of them.

In every resample of the samples, or clusters, the seeds of a system are resampled, too. The weights of samples are
those of `uncertainty`, the same for all systems and seeds; which seeds are taken depends on the system's name as well,
so that the systems' seeds are resampled independently.

The mean of n seeds that are resampled has (n - 1) / n of the variance that the mean of n seeds has, so its deviations
from the mean of all seeds are multiplied by √(n / (n - 1)) (Rao & Wu, 1988, *Resampling inference with complex survey
data*). The interaction of seeds and samples (each seed errs on other samples) is counted up to three times (Owen, 2007,
*The pigeonhole bootstrap*): the interval is too wide rather than too narrow. Its ends are those of Student's t, as in a
comparison, at the degrees of freedom of a sum of variances (Welch, 1947): those of the samples have as many as
`Resampling.degrees`, those of n seeds have n - 1.

Conventions:
    n runs of a system, one per seed; B resamples. Draws of a key are `(B,)`, NaN where a resample has no value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from merbench.intervals import Interval
from merbench.report import Difference
from merbench.resampling import uniforms
from merbench.scoring.aligned import align
from merbench.scoring.evaluation import Draws, Values, plain_values
from merbench.scoring.scorecard import scores_of
from merbench.scoring.uncertainty import Resampling, bootstrap, mean_of, ranges_of
from merbench.significance import FEWEST_DEGREES, pair_deviations, t_ends
from merbench.submission import Submission


@dataclass(frozen=True, eq=False)
class SeedDraws:
    """The mean of several runs of a system, on other samples and with other seeds.

    Attributes:
        n: number of runs.
        values: mean of the runs, by key.
        draws: the mean in every resample of the samples, by key.
        with_seeds: the same with the seeds resampled as well.
        widths: how far two values can be from each other, by key.
    """

    n: int
    values: Mapping[str, float]
    draws: Draws
    with_seeds: Draws
    widths: Mapping[str, float]


def seed_draws(runs: Sequence[Submission], name: str, how: Resampling) -> SeedDraws:
    """Return the draws of the mean of a system's runs, which differ in their seeds.

    Args:
        runs: one a seed.
        name: the system's name, which seeds the random numbers that resample its seeds.
        how: how samples are resampled; the weights are shared by all runs and systems.
    """
    systems, n = [align(run) for run in runs], len(runs)
    plain = [plain_values(system) for system in systems]
    of_runs = [bootstrap(system, how)[0] for system in systems]
    mean = mean_of([{key: each[key] for key in plain[0]} for each in of_runs])
    taken = (uniforms(f"seeds of {name}|{how.stream}", how.n_resamples, n) * n).astype(np.int64)
    scale = math.sqrt(n / (n - 1)) if n > 1 else 0.0
    counts = [(taken == seed).sum(axis=1) for seed in range(n)]
    with_seeds = {}
    for key, centre in mean.items():
        again = sum((count * run[key] for count, run in zip(counts, of_runs, strict=True)), np.zeros_like(centre)) / n
        with_seeds[key] = centre + scale * (again - centre)
    values = {key: math.fsum(run[key] for run in plain) / n for key in plain[0]}
    ranges = ranges_of(systems[0])
    widths = {key: high - low for key, (low, high) in ((key, ranges.get(key, (0.0, 1.0))) for key in values)}
    return SeedDraws(n, values, mean, with_seeds, widths)


def weighted_sum(draws: Sequence[SeedDraws], weights: Sequence[float]) -> SeedDraws:
    """Return the draws of a weighted sum of values that the same seeds have, such as those under several conditions.

    All are draws of one name, so that the values of a seed are taken together.
    """

    def summed(kind: str, key: str) -> Values:
        return np.asarray(sum(weight * getattr(each, kind)[key] for weight, each in zip(weights, draws, strict=True)))

    keys = list(draws[0].values)
    return SeedDraws(
        draws[0].n,
        {key: float(summed("values", key)) for key in keys},
        {key: summed("draws", key) for key in keys},
        {key: summed("with_seeds", key) for key in keys},
        {key: draws[0].widths[key] * math.fsum(map(abs, weights)) for key in keys},
    )


def seed_differences(
    a: Sequence[Submission], b: Sequence[Submission], names: tuple[str, str], how: Resampling
) -> list[Difference]:
    """Return the differences between the mean values of two systems' runs, for other samples and other seeds.

    They are paired by samples, and not by seeds. There are no p values.

    Args:
        a: the runs of the first system, one a seed.
        b: the runs of the second one.
        names: of the systems; two names.
        how: how samples are resampled.

    Raises:
        UsageError: level or number of resamples is not allowed.
        UndefinedMetric: a metric has no value on these data.
    """
    how = replace(how.in_range(), method="t")
    first, second = (seed_draws(runs, name, how) for runs, name in zip((a, b), names, strict=True))
    made = []
    for item in scores_of(how.candidates.track, first.values, {}):
        key = item.key
        value_a, value_b = first.values[key], second.values[key]
        low, high = seed_interval(key, (first, second), how)
        made.append(
            Difference(
                *names,
                key=key,
                name=item.name,
                value_a=value_a,
                value_b=value_b,
                difference=value_a - value_b,
                low=low,
                high=high,
                p=None,
                p_holm=None,
                higher_is_better=item.higher_is_better,
            )
        )
    return made


def seed_interval(key: str, systems: Sequence[SeedDraws], how: Resampling) -> tuple[float | None, float | None]:
    """Return the ends of the interval of the difference between two systems, or of a difference that one has.

    The second one is that of values of the same seeds; see `weighted_sum`. The ends are None where there are too few
    clusters, or nothing varies.
    """
    estimate = systems[0].values[key] - sum(system.values[key] for system in systems[1:])
    low, high = _ends(estimate, key, systems, how)
    most = systems[0].widths[key]
    return None if low is None else max(low, -most), None if high is None else min(high, most)


def seed_intervals(runs: Sequence[Submission], drawn: SeedDraws, how: Resampling) -> dict[str, Interval]:
    """Return the intervals, by key, of the mean of a system's runs, for other samples and other seeds.

    An interval never leaves the range of its metric; a key without ends is left out.

    Args:
        runs: one a seed.
        drawn: their draws.
        how: how samples were resampled.
    """
    how = replace(how.in_range(), method="t")
    ranges, made = ranges_of(align(runs[0])), dict[str, Interval]()
    for key, value in drawn.values.items():
        low, high = _ends(value, key, (drawn,), how)
        if low is not None and high is not None:
            least, most = ranges.get(key, (0.0, 1.0))
            made[key] = Interval(max(low, least), min(high, most), int(np.isnan(drawn.draws[key]).sum()), "t")
    return made


def _ends(
    estimate: float, key: str, systems: Sequence[SeedDraws], how: Resampling
) -> tuple[float | None, float | None]:
    """Return the ends of the interval of a system's value, or of the difference of two."""
    deviation, of_samples = (
        _deviation([getattr(system, kind)[key] for system in systems], [system.values[key] for system in systems])
        for kind in ("with_seeds", "draws")
    )
    parts = [(of_samples, how.degrees)]
    for system in systems:
        of_seeds = [system.with_seeds[key], system.draws[key]]
        parts.append((_deviation(of_seeds, [system.values[key]] * 2), system.n - 1.0))
    if how.degrees < FEWEST_DEGREES or not deviation > 0:
        return None, None
    # A system of one run, or of equal ones, adds no variance.
    squares = math.fsum(own**4 / degrees for own, degrees in parts if own > 0)
    return t_ends(estimate, deviation, how.level, math.fsum(own**2 for own, _ in parts) ** 2 / squares)


def _deviation(draws: Sequence[Values], estimates: Sequence[float]) -> float:
    """Return the standard deviation of the difference of two draws, or of the only one."""
    pair = [*draws, np.zeros_like(draws[0])][:2]
    return float(pair_deviations(np.stack(pair), np.array([*estimates, 0.0][:2]))[0, 1])
