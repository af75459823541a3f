"""Metrics of ranked answers: how often the right one is the first or among the first.

Conventions:
    reference, prediction, weights: as in `metric.py`, targets of kind `ranked`. The first label of a reference counts.
    A prediction's labels are ordered, the best first; one outside the vocabulary (−1) takes a rank and is never right.
    A sample without an answer is wrong. Rows that a track leaves out are not among the samples.
    The first answers are scored as any label is: see `categorical.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError, did_you_mean, listed
from merbench.metrics.categorical import accuracy, unweighted_average_recall, weighted_f1
from merbench.metrics.lists import Lists
from merbench.metrics.metric import metric
from merbench.metrics.sums import Floats, Weights, weighted_mean

Codes = NDArray[np.int32]

NEVER = np.iinfo(np.int64).max
"""The rank of a label that is not among the answers."""


class FirstChoice(NamedTuple):
    """References and first answers, sample by sample."""

    reference: Codes  # `(n,)` codes of classes
    prediction: Codes  # the same, −1 where there is no answer, or one outside the vocabulary
    n_classes: int


def first_of(answers: Lists, skip: str | None = None) -> Codes:
    """Return the `(n,)` codes of the first answers other than the label `skip`, −1 where there is none."""
    if skip is None:
        return answers.first()
    kept = np.flatnonzero(answers.codes != answers.words.index(skip))
    place = np.searchsorted(kept, answers.offsets[:-1])
    has_answer = place < np.searchsorted(kept, answers.offsets[1:])
    first = np.full(len(answers), -1, dtype=np.int32)
    first[has_answer] = answers.codes[kept[place[has_answer]]]
    return first


def first_choice(
    reference: Lists, prediction: Lists, *, classes: Mapping[str, str] | None = None, skip: str | None = None
) -> FirstChoice:
    """Return references and first answers, as labels or as coarser classes.

    Args:
        classes: the coarser class of a label, on both sides; a label without one is its own class.
        skip: a label that is passed over among the answers: with `neutral`, the first other answer counts.

    Raises:
        UsageError: `classes` or `skip` name something that is not a label.
    """
    for name in (*(classes or ()), *(() if skip is None else (skip,))):
        if name not in prediction.words:
            allowed = listed(prediction.words, 12)
            raise UsageError(f"'{name}' is not one of {allowed}{did_you_mean(name, prediction.words)}")
    class_of = {word: (classes or {}).get(word, word) for word in prediction.words}
    names = list(dict.fromkeys(class_of.values()))
    codes = np.array([*(names.index(name) for name in class_of.values()), -1], dtype=np.int32)
    return FirstChoice(codes[first_of(reference)], codes[first_of(prediction, skip)], len(names))


def rank_of_reference(reference: Lists, prediction: Lists) -> NDArray[np.int64]:
    """Return the `(n,)` rank, from 0, at which the reference is first among the answers; `NEVER` where it is not."""
    counts = np.diff(prediction.offsets)
    sample = np.repeat(np.arange(len(prediction)), counts)
    right = prediction.codes == first_of(reference)[sample]
    ranks = np.full(len(prediction), NEVER)
    np.minimum.at(ranks, sample[right], (np.arange(len(sample)) - prediction.offsets[sample])[right])
    return ranks


@metric(
    target="ranked",
    sums_only=True,
    formula="share of samples whose reference is among the first k answers",
    prepare=rank_of_reference,
)
def top_k_accuracy(ranks: NDArray[np.int64], weights: Weights, *, k: int) -> Floats:
    """Share of samples whose reference is among the first k answers.

    An answer outside the vocabulary, or given twice, takes a rank all the same.

    Args:
        k: how many answers count; fewer may be given.
    """
    return weighted_mean(weights, (ranks < k).astype(np.float64))


_first_metric = partial(metric, target="ranked", sums_only=True, prepare=first_choice)


@_first_metric(formula="share of samples whose first answer is right")
def first_accuracy(choice: FirstChoice, weights: Weights) -> Floats:
    """Share of samples whose first answer is right.

    An answer outside the vocabulary is wrong.
    """
    return accuracy(choice.reference, choice.prediction, weights, n_labels=choice.n_classes)


@_first_metric(formula="mean F1 of the classes of first answers, weighted by their references")
def ranked_weighted_f1(choice: FirstChoice, weights: Weights) -> Floats:
    """Weighted F1 of the first answers.

    A class without references has no weight; a class never answered has F1 0.
    """
    return weighted_f1(choice.reference, choice.prediction, weights, n_labels=choice.n_classes)


@_first_metric(formula="mean recall, by first answers, of the classes that have references", over_classes=True)
def ranked_unweighted_average_recall(choice: FirstChoice, weights: Weights) -> Floats:
    """Mean recall of the classes by the first answers.

    A class without references is left out of the mean.
    """
    return unweighted_average_recall(choice.reference, choice.prediction, weights, n_labels=choice.n_classes)
