"""What one annotator reaches against the others: a ceiling for systems, exact from the counts of votes.

Conventions:
    As in `evaluation`. votes: `(n, K)` numbers of annotators who chose each label. Every annotator of a sample answers
    once, and is compared with the votes of the others; a sample counts once, whatever its number of annotators. Samples
    with a single vote are left out.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from merbench.metrics.categorical import PerClass
from merbench.metrics.distribution import agreement, divergence, majority, squared_distance
from merbench.metrics.sums import Floats, Weights, weighted_mean, weighted_sums
from merbench.scoring.aligned import Aligned
from merbench.scoring.evaluation import Draws, parameters_of
from merbench.track import OVERALL

Votes = NDArray[np.int64]

ONE_ANNOTATOR = "one annotator"
"""Whose answers these ceilings are."""

AT_ONCE = 24
"""Columns that are summed at once, which bounds memory where there are many labels."""

OF_DISTRIBUTIONS = {
    "brier_score": squared_distance,
    "jensen_shannon_divergence": divergence,
    "majority_agreement": agreement,
}
"""Means over samples that are defined for an annotator's answer, which gives all of the probability to one label."""


def ceiling_values(aligned: Aligned, weights: Weights) -> Draws:
    """Return what every metric for which that is defined is for one annotator, by the key of its ceiling.

    Of a metric of labels, the reference is the majority of the other votes, m equal ones counting 1 / m each; its value
    is that of the expected counts. Of a metric of distributions, the reference is the shares of the other votes.
    """
    values: Draws = {}
    for target, votes in aligned.votes.items():
        rows = aligned.once(("annotated", target), partial(annotated, aligned, target))
        if not len(rows):
            continue
        own = weights[:, rows]
        classes: PerClass | None = None
        for spec in aligned.track.metrics:
            if spec.target != target or spec.per is not None:
                continue
            if spec.metric.from_classes is not None:
                if classes is None:
                    columns = aligned.once(("answers", target), partial(expected_counts, votes[rows]))
                    parts = (columns[start : start + AT_ONCE] for start in range(0, len(columns), AT_ONCE))
                    sums = np.array([column for part in parts for column in weighted_sums(own, *part)])
                    classes = PerClass(*sums.reshape(3, votes.shape[1], -1).transpose(0, 2, 1))
                values[spec.key] = spec.metric.from_classes(classes, **parameters_of(aligned.track, spec))
            elif spec.name in OF_DISTRIBUTIONS and not aligned.track.targets[target].probability_columns():
                means = aligned.once(("answers", spec.key), partial(expected_values, spec.name, votes[rows]))
                values[spec.key] = weighted_mean(own, means)
    weighted = {spec.key: spec.weight for spec in aligned.track.metrics if spec.weight is not None}
    if weighted and set(weighted) <= set(values):
        values[OVERALL] = sum((weight * values[key] for key, weight in weighted.items()), np.zeros(len(weights)))
    return {ceiling_key(key): value for key, value in values.items()}


def expected_counts(votes: Votes) -> list[Floats]:
    """Return 3 K columns `(n,)`: the shares of right answers, of references and of answers of each label.

    All are expected values of an annotator chosen at random. For example, column k of the references is the
    probability that k is the majority of the other votes.
    """
    predicted = votes / votes.sum(axis=1, keepdims=True)
    right, references = np.zeros(votes.shape), np.zeros(votes.shape)
    for label in range(votes.shape[1]):
        rows, others = _without_one(votes, label)
        shares = predicted[rows, label][:, None] * majority(others)
        references[rows] += shares
        right[rows, label] = shares[:, label]
    return [*right.T, *references.T, *predicted.T]


def expected_values(name: str, votes: Votes) -> Floats:
    """Return the `(n,)` expected values of a metric of distributions for an annotator chosen at random."""
    values, totals = np.zeros(len(votes)), votes.sum(axis=1)
    for label in range(votes.shape[1]):
        rows, others = _without_one(votes, label)
        answer = np.zeros(others.shape)
        answer[:, label] = 1
        shares = others / others.sum(axis=1, keepdims=True)
        values[rows] += votes[rows, label] / totals[rows] * OF_DISTRIBUTIONS[name](shares, answer)
    return values


def _without_one(votes: Votes, label: int) -> tuple[Votes, Votes]:
    """Return the rows with a vote for a label, and their votes without one for it."""
    rows = np.flatnonzero(votes[:, label])
    others = votes[rows].copy()
    others[:, label] -= 1
    return rows, others


def annotated(aligned: Aligned, target: str) -> Votes:
    """Return the rows that count for a target and have two votes or more."""
    enough = aligned.votes[target].sum(axis=1) > 1
    return np.flatnonzero(enough & aligned.counting[target] if target in aligned.counting else enough)


def ceiling_key(key: str) -> str:
    """Return the key of the ceiling of a metric, or of the overall score."""
    return f"ceiling({key})"
