"""Summarises a curve: area or mean over its conditions, and corruption errors, with intervals.

Conventions:
    A table is `(1 + conditions, b)`, clean samples first: the values, with b = 1, or their draws. Every draw is of the
    same resampled samples under all conditions and for both systems: areas, means and ratios are taken within it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.report import Score
from merbench.robustness.report import Estimate, MeanError, Summary
from merbench.scoring import Resampling, area, percentile_bounds
from merbench.track import OVERALL, Track

Values = NDArray[np.float64]

Combine = Callable[..., Values]
"""The table of one system, or of two, -> (b,); NaN if it has no value."""


class Outcomes(NamedTuple):
    """The scores of one system, and their draws by key (empty without intervals): clean samples first."""

    scores: Sequence[Sequence[Score]]
    draws: Sequence[Mapping[str, Values]]

    def values(self, key: str) -> Values:
        """Return the table of a metric's values."""
        values = [score.value for scores in self.scores for score in scores if score.key == key]
        return np.array(values, dtype=np.float64)[:, None]

    def has_draws(self, key: str) -> bool:
        """Return whether the draws of a metric are known under every condition."""
        return all(key in draws for draws in self.draws)

    def table_of_draws(self, key: str) -> Values:
        """Return the table of a metric's draws."""
        return np.stack([draws[key] for draws in self.draws])


def best_values(track: Track) -> dict[str, float]:
    """Return the best possible value of every metric that has one, and of the overall score where all it sums do."""
    best: dict[str, float] = {}
    for spec in track.metrics:
        bound = spec.metric.bounds[1 if spec.metric.higher_is_better else 0]
        if math.isfinite(bound) and spec.aggregate != "auilc" and spec.shares is None:
            best[spec.key] = bound
    weighted = track.weighted_metrics
    if weighted and all(spec.key in best for spec in weighted):
        best[OVERALL] = math.fsum((spec.weight or 0.0) * best[spec.key] for spec in weighted)
    return best


def summaries(
    track: Track, rates: Sequence[float] | None, systems: Sequence[Outcomes], how: Resampling | None
) -> tuple[Summary, ...]:
    """Return every metric over the conditions of a curve.

    Args:
        track: the track.
        rates: the missing rates of the conditions, over which the area is taken; None takes the mean.
        systems: the system, and the one it is compared with.
        how: how samples were resampled; None without intervals.
    """
    best = best_values(track)
    rows = []
    for score in systems[0].scores[0]:
        of_conditions = estimate(over(rates), score.key, systems[:1], how)
        assert of_conditions is not None
        error = relative = None
        if len(systems) > 1 and score.key in best:
            sign = 1.0 if score.higher_is_better else -1.0
            error, relative = (
                estimate(_error_ratio(best[score.key], sign, rise), score.key, systems, how) for rise in (False, True)
            )
        rows.append(
            Summary(score.key, score.name, "mean" if rates is None else "auilc", of_conditions, error, relative)
        )
    return tuple(rows)


def mean_errors(curves: Sequence[Sequence[Summary]]) -> tuple[MeanError, ...]:
    """Return the mean over curves of the corruption errors of every metric; None if a curve has none."""
    return tuple(
        MeanError(
            items[0].key,
            items[0].name,
            _mean_of([item.corruption_error for item in items]),
            _mean_of([item.relative_corruption_error for item in items]),
        )
        for items in zip(*curves, strict=True)
    )


def _mean_of(estimates: Sequence[Estimate | None]) -> float | None:
    values = [item.value for item in estimates if item is not None]
    return math.fsum(values) / len(values) if len(values) == len(estimates) else None


def over(rates: Sequence[float] | None) -> Combine:
    """Return what takes the area over missing rates, or without them the mean, over the conditions of a table."""
    if rates is None:
        return lambda table: np.array([math.fsum(column) / len(column) for column in table[1:].T.tolist()])
    return lambda table: area(np.asarray(rates), table[1:])


def _error_ratio(best: float, sign: float, rise: bool) -> Combine:
    """Return the ratio of two systems' errors summed over conditions, or of their rise above those on clean samples."""

    def total(table: Values) -> Values:
        errors = sign * (best - table)
        return np.asarray((errors[1:] - errors[0] if rise else errors[1:]).sum(0))

    def ratio(table: Values, other: Values) -> Values:
        above, below = total(table), total(other)
        return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)  # NaN: no error to compare with

    return ratio


def estimate(combine: Combine, key: str, systems: Sequence[Outcomes], how: Resampling | None) -> Estimate | None:
    """Return a combination of plain values with the percentile interval of that of the draws; None without a value."""
    value = float(combine(*(system.values(key) for system in systems))[0])
    if not math.isfinite(value):
        return None
    if how is None or not all(system.has_draws(key) for system in systems):
        return Estimate(value)
    bounds = percentile_bounds(combine(*(system.table_of_draws(key) for system in systems)), how.level)
    return Estimate(value, bounds.low, bounds.high) if math.isfinite(bounds.low) else Estimate(value)
