"""Summarises a curve: area or mean over its conditions, and corruption errors, with intervals.

Conventions:
    Values are `(conditions,)`, draws `(conditions, b)`; every draw is of the same resampled samples under all
    conditions and for both systems, so that areas, means and ratios are taken within it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from merbench.report import Score
from merbench.robustness.report import Estimate, MeanError, Summary
from merbench.scoring import Resampling, area, percentile_bounds
from merbench.track import OVERALL, Track

Values = NDArray[np.float64]

Combine = Callable[..., Values]
"""(clean (1, b), conditions (k, b)) of one system, or of two one after the other -> (b,); NaN: it has no value."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one system scored under one condition.

    Attributes:
        scores: the overall score and every metric.
        draws: by key, the same metrics of resampled samples; empty without intervals.
    """

    scores: tuple[Score, ...]
    draws: Mapping[str, Values] = field(repr=False)

    def value(self, key: str) -> float:
        """Return the value of a metric."""
        value = next(score.value for score in self.scores if score.key == key)
        assert value is not None
        return value


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What one system scored on clean samples and under every condition of a curve."""

    clean: Outcome
    conditions: tuple[Outcome, ...]

    def values(self, key: str) -> tuple[Values, Values]:
        """Return a metric's values, `(1, 1)` and `(conditions, 1)`."""
        return np.array([[self.clean.value(key)]]), np.array([[one.value(key)] for one in self.conditions])

    def draws(self, key: str) -> tuple[Values, Values]:
        """Return its draws, `(1, b)` and `(conditions, b)`."""
        return self.clean.draws[key][None], np.stack([one.draws[key] for one in self.conditions])

    def has_draws(self, key: str) -> bool:
        """Return whether it was resampled under every condition."""
        return all(key in one.draws for one in (self.clean, *self.conditions))


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
    for score in systems[0].clean.scores:
        over = _estimate(_mean if rates is None else _area_over(rates), score.key, systems[:1], how)
        assert over is not None
        error = relative = None
        if len(systems) > 1 and score.key in best:
            sign = 1.0 if score.higher_is_better else -1.0
            error, relative = (
                _estimate(_error_ratio(best[score.key], sign, rise), score.key, systems, how) for rise in (False, True)
            )
        rows.append(Summary(score.key, score.name, "mean" if rates is None else "auilc", over, error, relative))
    return tuple(rows)


def mean_errors(curves: Sequence[Sequence[Summary]]) -> tuple[MeanError, ...]:
    """Return the mean over curves of the corruption errors of every metric; None where a curve has none."""
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


def _mean(clean: Values, conditions: Values) -> Values:
    return np.array([math.fsum(column) / len(column) for column in conditions.T.tolist()])


def _area_over(rates: Sequence[float]) -> Combine:
    return lambda clean, conditions: area(np.asarray(rates), conditions)


def _error_ratio(best: float, sign: float, rise: bool) -> Combine:
    """Return the ratio of two systems' errors summed over conditions, or of their rise above those on clean samples."""

    def total(clean: Values, conditions: Values) -> Values:
        errors = sign * (best - conditions)
        return np.asarray((errors - sign * (best - clean) if rise else errors).sum(0))

    def ratio(clean: Values, conditions: Values, other_clean: Values, other_conditions: Values) -> Values:
        above, below = total(clean, conditions), total(other_clean, other_conditions)
        return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)  # NaN: no error to compare with

    return ratio


def _estimate(combine: Combine, key: str, systems: Sequence[Outcomes], how: Resampling | None) -> Estimate | None:
    """Return a combination of plain values with the percentile interval of that of the draws; None without a value."""
    value = float(combine(*(part for system in systems for part in system.values(key)))[0])
    if not math.isfinite(value):
        return None
    if how is None or not all(system.has_draws(key) for system in systems):
        return Estimate(value)
    draws = combine(*(part for system in systems for part in system.draws(key)))
    bounds = percentile_bounds(draws, how.level)
    return Estimate(value, bounds.low, bounds.high) if math.isfinite(bounds.low) else Estimate(value)
