"""Values and draws of conditions go in, their area, mean and corruption error come out, with intervals.

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

MISSING_RATE = "rate"
"""The parameter of corruptions of features that says how much is missing."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one system scored under one condition.

    Attributes:
        scores: the overall score and every metric.
        draws: by key, the same metrics under resampled samples; empty without intervals.
    """

    scores: tuple[Score, ...]
    draws: Mapping[str, Values] = field(repr=False)

    def value(self, key: str) -> float:
        """Return the value of a metric."""
        found = next(score.value for score in self.scores if score.key == key)
        assert found is not None
        return found


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What one system scored without damage and under every condition of a curve."""

    undamaged: Outcome
    conditions: tuple[Outcome, ...]

    def table(self, key: str) -> Values:
        """Return a metric under every condition, `(conditions, 1)`."""
        return np.array([[one.value(key)] for one in self.conditions])

    def draws(self, key: str) -> Values:
        """Return its draws, `(conditions, b)`."""
        return np.stack([one.draws[key] for one in self.conditions])


def is_missing_rate(modality: str, parameter: str) -> bool:
    """Return whether a parameter is a rate at which features are missing, over which an area is taken."""
    return modality == "features" and parameter == MISSING_RATE


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
    track: Track,
    rates: Sequence[float] | None,
    system: Outcomes,
    reference: Outcomes | None,
    how: Resampling | None,
) -> tuple[Summary, ...]:
    """Return every metric over the conditions of a curve.

    Args:
        track: the track.
        rates: the missing rates of the conditions, over which the area is taken; None takes the mean.
        system: the system.
        reference: the system it is compared with.
        how: how samples were resampled; None without intervals.
    """
    best = best_values(track)
    found = []
    for score in system.undamaged.scores:
        over = _area_over(rates) if rates is not None else _mean
        ratio = relative = None
        if reference is not None and score.key in best:
            sign = 1.0 if score.higher_is_better else -1.0
            error = _errors(best[score.key], sign)
            ratio = _estimate(_ratio(error), score.key, [system, reference], how)
            relative = _estimate(_relative_ratio(error), score.key, [system, reference], how)
        total = _estimate(over, score.key, [system], how)
        assert total is not None
        found.append(Summary(score.key, score.name, "mean" if rates is None else "auilc", total, ratio, relative))
    return tuple(found)


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


def _mean_of(found: Sequence[Estimate | None]) -> float | None:
    values = [item.value for item in found if item is not None]
    return math.fsum(values) / len(values) if len(values) == len(found) else None


Combine = Callable[..., Values]
"""(undamaged (1, b), conditions (k, b)) of one system or of two -> (b,); NaN where it has no value."""


def _mean(undamaged: Values, conditions: Values) -> Values:
    return np.array([math.fsum(column) / len(column) for column in conditions.T.tolist()])


def _area_over(rates: Sequence[float]) -> Combine:
    return lambda undamaged, conditions: area(np.asarray(rates), conditions)


def _errors(best: float, sign: float) -> Callable[[Values], Values]:
    return lambda values: sign * (best - values)


def _ratio(error: Callable[[Values], Values]) -> Combine:
    def ratio(undamaged: Values, conditions: Values, other_undamaged: Values, other: Values) -> Values:
        return _divided(error(conditions).sum(0), error(other).sum(0))

    return ratio


def _relative_ratio(error: Callable[[Values], Values]) -> Combine:
    def ratio(undamaged: Values, conditions: Values, other_undamaged: Values, other: Values) -> Values:
        risen = (error(conditions) - error(undamaged)).sum(0)
        other_risen = (error(other) - error(other_undamaged)).sum(0)
        return _divided(risen, other_risen)

    return ratio


def _divided(above: Values, below: Values) -> Values:
    """Return the ratio, and NaN where there is no error to compare with."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def _estimate(combine: Combine, key: str, systems: Sequence[Outcomes], how: Resampling | None) -> Estimate | None:
    """Return a combination of plain values with the percentile interval of that of the draws; None without a value."""
    plain = [part for one in systems for part in (np.array([[one.undamaged.value(key)]]), one.table(key))]
    value = float(combine(*plain)[0])
    if not math.isfinite(value):
        return None
    if how is None or not all(key in one.draws for system in systems for one in (system.undamaged, *system.conditions)):
        return Estimate(value)
    drawn = [part for one in systems for part in (one.undamaged.draws[key][None], one.draws(key))]
    bounds = percentile_bounds(combine(*drawn), how.level)
    if not math.isfinite(bounds.low):
        return Estimate(value)
    return Estimate(value, bounds.low, bounds.high)
