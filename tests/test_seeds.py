"""Intervals over samples and seeds, against arithmetic, against `compare`, and how often they are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from toy_track import ANSWERS, IDS, LABELS, write_toy_track

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError
from merbench.scoring import (
    compare,
    mean_differences,
    resampling_of,
    seed_differences,
    seed_draws,
    seed_interval,
    seed_intervals,
    weighted_sum,
)
from merbench.submission import Submission, read_submission

T_4, T_8 = 2.7764451051977987, 2.306004135204166  # the quantile .975 of Student's t, from tables


@pytest.fixture
def toy(tmp_path: Path) -> Candidates:
    return open_candidates(write_toy_track(tmp_path))


def run(candidates: Candidates, wrong: Sequence[int]) -> Submission:
    """Return a submission whose answers for some samples are wrong."""
    answers = [LABELS[(LABELS.index(own) + (i in wrong)) % 3] for i, own in enumerate(ANSWERS)]
    return read_submission(pa.table({"sample_id": IDS, "discrete": answers}), candidates)


def accuracy(candidates: Candidates, a: list[Submission], b: list[Submission], **how: int) -> tuple[float, ...]:
    made = seed_differences(a, b, ("a", "b"), resampling_of(candidates, **how))
    first = next(each for each in made if each.name == "accuracy")
    assert first.low is not None and first.high is not None
    return first.difference, first.low, first.high


def test_equal_runs_leave_the_interval_of_a_comparison(toy: Candidates) -> None:
    a, b = run(toy, range(9)), run(toy, range(5, 20))
    plain = next(row for row in compare(toy, {"a": a, "b": b}).differences if row.name == "accuracy")
    assert accuracy(toy, [a] * 5, [b] * 3) == pytest.approx((plain.difference, plain.low, plain.high), abs=1e-8)
    assert accuracy(toy, [a], [b]) == pytest.approx((plain.difference, plain.low, plain.high), abs=1e-12)


def test_the_variance_of_seeds_is_that_of_their_mean(toy: Candidates) -> None:
    # Runs that are right, or wrong, everywhere: no resample of the samples changes an accuracy of 1 or 0.
    right, wrong = run(toy, []), run(toy, range(40))
    # mean .8, variance of five seeds .2, of their mean .04; 4 degrees of freedom
    one_sided = accuracy(toy, [right] * 4 + [wrong], [wrong] * 5, n_resamples=100_000)
    assert one_sided == pytest.approx((0.8, 0.8 - T_4 * 0.2, 1.0), rel=0.02)  # the range ends at 1
    # both sides .04, together .08; 8 degrees of freedom
    both = accuracy(toy, [right] * 4 + [wrong], [right] + [wrong] * 4, n_resamples=100_000)
    assert both == pytest.approx((0.6, 0.6 - T_8 * 0.08**0.5, 1.0), abs=0.005)


def test_the_interval_of_a_mean_stays_in_its_range(toy: Candidates) -> None:
    runs = [run(toy, range(40))] * 4 + [run(toy, [])]  # mean .2, variance .2, of the mean .04
    how = resampling_of(toy, n_resamples=100_000)
    made = seed_intervals(runs, seed_draws(runs, "a", how), how)
    assert made["accuracy(discrete)"].low == 0.0
    assert made["accuracy(discrete)"].high == pytest.approx(0.2 + T_4 * 0.2, rel=0.02)


def test_the_order_of_seeds_changes_little_and_the_name_changes_what_is_drawn(toy: Candidates) -> None:
    runs = [run(toy, range(n)) for n in (3, 6, 9, 12, 15)]
    how = resampling_of(toy)
    a, again, b = (seed_draws(runs, name, how) for name in ("a", "a", "b"))
    key = "accuracy(discrete)"
    assert np.array_equal(a.with_seeds[key], again.with_seeds[key])
    assert not np.array_equal(a.with_seeds[key], b.with_seeds[key])
    assert np.array_equal(a.draws[key], b.draws[key])  # the samples are shared
    assert a.values[key] == pytest.approx((37 + 34 + 31 + 28 + 25) / 200, abs=1e-12)


def test_values_of_the_same_seeds_are_subtracted_seed_by_seed(toy: Candidates) -> None:
    key, how = "accuracy(discrete)", replace(resampling_of(toy, n_resamples=100_000).in_range(), method="t")
    a, b = run(toy, range(9)), run(toy, range(5, 20))
    plain = next(row for row in compare(toy, {"a": a, "b": b}, n_resamples=100_000).differences if row.key == key)
    difference = weighted_sum([seed_draws([each], "system", how) for each in (a, b)], (1.0, -1.0))
    interval = (difference.values[key], *seed_interval(key, [difference], how))
    # deviations of one column and of two are summed in another order
    assert interval == pytest.approx((plain.difference, plain.low, plain.high), abs=1e-6)
    # Seeds that are right or wrong everywhere: their skill is shared, so that nothing of it is left in the difference.
    skills = [[run(toy, [] if good else range(40)) for good in seeds] for seeds in ((1, 1, 1, 1, 0), (1, 1, 1, 1, 0))]
    drawn = [seed_draws(runs, "system", how) for runs in skills]
    assert not weighted_sum(drawn, (1.0, -1.0)).with_seeds[key].any()
    # A mean of two: variance of five seeds .2, of their mean .04; the seeds of both are the same ones.
    mean = weighted_sum(drawn, (0.5, 0.5))
    control = seed_draws([run(toy, range(40))] * 5, "control", how)
    assert mean.values[key] == pytest.approx(0.8, abs=1e-12)
    assert seed_interval(key, [mean, control], how) == pytest.approx((0.8 - T_4 * 0.2, 1.0), rel=0.02)
    assert weighted_sum(drawn, (2.0, 1.0)).widths[key] == 3.0


def test_a_level_that_is_not_allowed_is_refused(toy: Candidates) -> None:
    with pytest.raises(UsageError, match="the level of an interval is between"):
        seed_differences([run(toy, [1])], [run(toy, [2])], ("a", "b"), replace(resampling_of(toy), level=2.0))


def populations(candidates: Candidates, rng: np.random.Generator, n_seeds: int) -> tuple[list[Submission], ...]:
    """Return runs of two systems that are equally good: what is difficult is shared, seeds differ in skill and errors.

    An answer is right where the sum of a sample's, a system's and sample's, a seed's, and a single error is positive.
    """
    sample = rng.normal(0, 0.7, 40)
    systems = []
    for _ in range(2):
        own = rng.normal(0, 0.4, 40)
        skills, errors = rng.normal(0, 0.3, n_seeds), rng.normal(0, 0.6, (n_seeds, 40))
        wrong = [
            np.flatnonzero(0.5 + sample + own + skill + each < 0) for skill, each in zip(skills, errors, strict=True)
        ]
        systems.append([run(candidates, each.tolist()) for each in wrong])
    return tuple(systems)


@pytest.mark.slow
def test_the_interval_of_equal_systems_contains_zero_in_95_of_100_cases(toy: Candidates) -> None:
    rng, n = np.random.default_rng(0), 200
    right = []
    for _ in range(n):
        a, b = populations(toy, rng, 5)
        _, low, high = accuracy(toy, a, b, n_resamples=200)
        plain = next(
            row for row in mean_differences(a, b, ("a", "b"), resampling_of(toy), 10) if row.name == "accuracy"
        )
        right.append((low <= 0 <= high, (plain.low or 0.0) <= 0 <= (plain.high or 0.0)))
    with_seeds, samples_only = np.mean(right, axis=0)
    # three standard errors of 200 cases at 95 % are 4.6 points; what seeds err on samples is counted more than once
    assert with_seeds > 0.904
    assert samples_only < with_seeds - 0.1
