"""A metric that is taken within the values of a column goes in, its values put together come out, under any weights.

Conventions:
    As in `evaluation`. A group counts in proportion to the mean weight of those of its rows that carry any: once in a
    plain score and under a mask, as often as its cluster is drawn, and not at all where it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError, listed
from merbench.metrics.sums import Clustered, Exchanges, Weights, total_weight, weighted_sum
from merbench.scoring.aligned import Pair
from merbench.track import MetricSpec

Group = tuple[str, int]
"""A column and the code of one of its values."""


def aggregated(
    pair: Pair, spec: MetricSpec, weights: Weights, value: Callable[[Group], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return a metric's values within every group of its column, `value` of the group, put together: `(b,)`."""
    assert spec.per is not None
    names = pair.levels[spec.per]
    values, shares = np.zeros((len(names), len(weights))), np.zeros((len(names), len(weights)))
    for code in range(len(names)):
        part = pair.part(spec.target, (spec.per, code))
        if not len(part.reference):
            continue
        weighting = weights if part.rows is None else weights[:, part.rows]
        shares[code] = _mean_weight(weighting)
        values[code] = np.where(shares[code] > 0, value((spec.per, code)), 0.0)
    if spec.shares is not None:
        return _shared(spec, names, np.where(shares > 0, values, np.nan))
    if spec.aggregate == "auilc":
        return area(_numbers_of(spec, names), np.where(shares > 0, values, np.nan))
    with np.errstate(invalid="ignore"):
        return np.asarray((values * shares).sum(axis=0) / shares.sum(axis=0))


def _shared(spec: MetricSpec, names: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of share times value over the groups that have a share, `(groups, b)` to `(b,)`."""
    assert spec.shares is not None
    absent = [name for name in spec.shares if name not in names]
    if absent:
        raise UsageError(
            f"{spec.key}: no scored sample has {spec.per} = {listed(absent)}; there are {listed(list(names))}"
        )
    found = np.zeros(values.shape[1])
    for name, share in spec.shares.items():
        found = found + share * values[names.index(name)]
    return found


def _mean_weight(weights: Weights) -> NDArray[np.float64]:
    total, carrying = weighted_sum(weights, np.ones(weights.shape[1])), _carrying(weights)
    return np.asarray(total / np.maximum(carrying, 1))


def _carrying(weights: Weights) -> NDArray[np.float64]:
    """Return the number of rows that carry weight, `(b,)`."""
    if isinstance(weights, Exchanges):
        return total_weight(weights)
    if isinstance(weights, Clustered):
        return weighted_sum(Clustered((weights.counts > 0).view(np.uint8), weights.clusters), np.ones(weights.shape[1]))
    return np.asarray(np.count_nonzero(weights, axis=1), dtype=np.float64)


def area(at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the area under the line through the values, by the trapezoidal rule: `(groups, b)` to `(b,)`."""
    order = np.argsort(at, kind="stable")
    steps = np.round(np.diff(at[order]), 10)[:, None]
    return np.asarray((steps * (values[order][1:] + values[order][:-1]) / 2).sum(axis=0))


def _numbers_of(spec: MetricSpec, names: Sequence[str]) -> NDArray[np.float64]:
    try:
        return np.array([float(name) for name in names])
    except ValueError:
        raise UsageError(
            f"{spec.key}: the area under a line needs a column of numbers; '{spec.per}' holds {listed(list(names))}"
        ) from None
