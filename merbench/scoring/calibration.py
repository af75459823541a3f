"""How well submitted probabilities of labels agree with how often the labels are right.

Conventions:
    As in `evaluation`: values `(b,)` under `(b, n)` weights, by key; they are resampled with the metrics of the track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.errors import Problem
from merbench.intervals import Interval, distance_interval, exact_interval
from merbench.metrics.distribution import EPSILON, Confidence, bin_ends, bin_sums
from merbench.metrics.sums import Floats, Weights
from merbench.scoring.aligned import Aligned
from merbench.scoring.evaluation import Draws, ones
from merbench.track import MetricSpec

SCORES = {"brier_score": "brier_score", "cross_entropy": "log_loss"}
"""Metrics of every calibration besides the expected calibration error, and their names where references are labels."""

ERROR = "expected_calibration_error"


FEWEST_IN_BIN = 10
"""A bin of fewer samples has no interval."""


class Reliability(NamedTuple):
    """What the calibration of a target is computed from."""

    specs: tuple[MetricSpec, ...]  # its scores; the last is the error, with the bins that the track declares, if any
    values: Confidence  # probability and rightness of the most probable labels of the samples with probabilities
    rows: NDArray[np.int64] | None  # the rows of these samples; None if they are all
    ends: Floats  # `(bins + 1,)` ends of the bins
    starts: NDArray[np.int64]  # `(bins + 1,)` in which place the samples of every bin start
    columns: tuple[Floats, ...]  # right, gap, and what the other scores are means of, in the order of `values`

    def sums(self, weights: Weights) -> Floats:
        """Return the `(1 + columns, b, bins)` sums of weight and of every column."""
        own = weights if self.rows is None else weights[:, self.rows]
        return bin_sums(self.values, own, self.starts, *self.columns)


def reliabilities(aligned: Aligned) -> Iterator[tuple[str, Reliability]]:
    """Yield the targets with probabilities of the labels of at least one scored sample."""
    targets = aligned.track.targets.items() if aligned.detailed else ()
    kind = MetricSpec(name=ERROR, target="").metric.target
    for target in (name for name, own in targets if name in aligned.probabilities or own.metric_kind == kind):
        reliability = aligned.once(("reliability", target), partial(_reliability, aligned, target))
        if len(reliability.values.order):
            yield target, reliability


def _reliability(aligned: Aligned, target: str) -> Reliability:
    declared = (spec for spec in aligned.track.metrics if (spec.name, spec.target, spec.per) == (ERROR, target, None))
    error = next(declared, MetricSpec(name=ERROR, target=target))
    values: Confidence = aligned.prepared(error, error.parameters, None)
    means = [MetricSpec(name=name, target=target) for name in SCORES]
    columns = [aligned.prepared(spec, spec.parameters, None)[values.order] for spec in means]
    ends, starts = bin_ends(values, **error.parameters)
    rows = aligned.part_of(error).rows
    return Reliability((*means, error), values, rows, ends, starts, (values.right, values.gap, *columns))


def calibration_values(aligned: Aligned, weights: Weights) -> Draws:
    """Return the values of every calibration, and the share right and the gap of its bins."""
    values: Draws = {}
    for target, reliability in reliabilities(aligned):
        n, right, gap, *columns = reliability.sums(weights)
        with np.errstate(invalid="ignore"):
            total = n.sum(axis=1)
            tables = {"right": right / n, "gap": gap / total[:, None]}
            means = [column.sum(axis=1) / total for column in (*columns, np.abs(gap))]
        values |= {spec.key: mean for spec, mean in zip(reliability.specs, means, strict=True)}
        for part, table in tables.items():
            values |= {bin_key(target, place, part): column for place, column in enumerate(table.T)}
    return values


def impossible_labels(aligned: Aligned) -> Iterator[Problem]:
    """Yield that right labels have probability 0, which no finite log loss allows."""
    for target, reliability in reliabilities(aligned):
        reference, prediction, _ = aligned.part_of(reliability.specs[0])
        if n := int(((reference > 0) & (prediction < EPSILON)).any(axis=1).sum()):
            is_label = target in aligned.probabilities
            label, score = ("the right label", "log loss") if is_label else ("a label with votes", "cross-entropy")
            message = f"{label} of {n:,} of {len(reference):,} samples has a probability below {EPSILON:g}"
            yield Problem("W722", f"{message}, which counts as {EPSILON:g} in the {score}", column=target)


def with_calibration(
    aligned: Aligned, bounds: Mapping[str, Interval], draws: Draws, level: float, n_most: float
) -> dict[str, Interval]:
    """Return intervals with those of calibration errors, and without those of bins of fewer than ten samples.

    Answers of a bin that are all right, or all wrong, count as at most `n_most`: the effective number of clusters.
    """
    kept = dict(bounds)
    for target, reliability in reliabilities(aligned) if draws else ():
        sums = reliability.sums(ones(aligned))[:3, 0]
        gaps = np.stack([draws[bin_key(target, place, "gap")] for place in range(len(sums[0]))])
        kept[reliability.specs[-1].key] = distance_interval(gaps, sums[2] / sums[0].sum(), level)
        for place, (n, right) in enumerate(sums[:2].T.tolist()):
            if n < FEWEST_IN_BIN:
                kept.pop(bin_key(target, place), None)
            elif right in (0, n):
                kept[bin_key(target, place)] = exact_interval(right / n, level, (0, 1), min(n, n_most))
    return kept


def bin_key(target: str, place: int, part: str = "right") -> str:
    """Return the key of the share right of a bin, or of another part of what it has."""
    return f"{part}({target},bin={place})"
