"""How well submitted probabilities of labels agree with how often the labels are right.

Conventions:
    As in `evaluation`: values `(b,)` under `(b, n)` weights, by key; they are resampled with the metrics of the track.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.errors import Problem
from merbench.metrics.distribution import EPSILON, Confidence, bin_ends, binned
from merbench.metrics.sums import Floats, Weights
from merbench.scoring.aligned import Aligned
from merbench.scoring.evaluation import Draws, metric_values
from merbench.track import MetricSpec

SCORES = {"brier_score": "brier_score", "cross_entropy": "log_loss"}
"""Metrics of every calibration besides the expected calibration error, and their names where references are labels."""

ERROR = "expected_calibration_error"


class Reliability(NamedTuple):
    """What the calibration of a target is computed from."""

    specs: tuple[MetricSpec, ...]  # its scores; the last is the error, with the bins that the track declares, if any
    values: Confidence  # probability and rightness of the most probable labels of the samples with probabilities
    rows: NDArray[np.int64] | None  # the rows of these samples; None if they are all
    ends: Floats  # `(bins + 1,)` ends of the bins
    starts: NDArray[np.int64]  # `(bins + 1,)` in which place the samples of every bin start


def reliabilities(aligned: Aligned) -> Iterator[tuple[str, Reliability]]:
    """Yield the targets with probabilities of the labels of at least one scored sample."""
    for target in aligned.probabilities if aligned.detailed else ():
        reliability = aligned.once(("reliability", target), partial(_reliability, aligned, target))
        if len(reliability.values.order):
            yield target, reliability


def _reliability(aligned: Aligned, target: str) -> Reliability:
    declared = (spec for spec in aligned.track.metrics if (spec.name, spec.target, spec.per) == (ERROR, target, None))
    error = next(declared, MetricSpec(name=ERROR, target=target))
    values: Confidence = aligned.prepared(error, error.parameters, None)
    specs = (*(MetricSpec(name=name, target=target) for name in SCORES), error)
    return Reliability(specs, values, aligned.part_of(error).rows, *bin_ends(values, **error.parameters))


def calibration_values(aligned: Aligned, weights: Weights, known: Draws) -> Draws:
    """Return the values of every calibration and the share right of its bins; `known` are values of the track."""
    values: Draws = {}
    for target, reliability in reliabilities(aligned):
        *specs, error = reliability.specs
        values |= {spec.key: metric_values(aligned, spec, weights) for spec in specs if spec.key not in known}
        own = weights if reliability.rows is None else weights[:, reliability.rows]
        bins = binned(reliability.values, own, reliability.starts)
        with np.errstate(invalid="ignore"):
            values |= {bin_key(target, place): share for place, share in enumerate((bins.right / bins.n).T)}
        if error.key not in known:
            values[error.key] = bins.error  # of the default, whose bins do not depend on weights
    return values


def impossible_labels(aligned: Aligned) -> Iterator[Problem]:
    """Yield that right labels have probability 0, which no finite log loss allows."""
    for target, reliability in reliabilities(aligned):
        reference, prediction, _ = aligned.part_of(reliability.specs[0])
        if n := int(((reference > 0) & (prediction < EPSILON)).any(axis=1).sum()):
            message = f"the right label of {n:,} of {len(reference):,} samples has a probability below {EPSILON:g}"
            yield Problem("W722", f"{message}, which counts as {EPSILON:g} in the log loss", column=target)


def bin_key(target: str, place: int) -> str:
    """Return the key of the share right of a bin."""
    return f"reliability({target},bin={place})"
