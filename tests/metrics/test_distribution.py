"""Metrics of probabilities: by hand, against SciPy and scikit-learn, and calibration against plain loops."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.metrics import brier_score_loss, log_loss

from merbench.metrics import METRICS

RNG = np.random.default_rng(5)
N, K = 200, 4
ONES = np.ones((1, N), dtype=np.uint8)
SCORES = RNG.dirichlet(np.ones(K), N)
LABELS = RNG.integers(0, K, N)
ONE_HOT = np.eye(K)[LABELS]
VOTES = RNG.multinomial(9, [0.4, 0.3, 0.2, 0.1], N) / 9


def value(name: str, reference: Any, prediction: Any, weights: Any = None, **parameters: Any) -> float:
    weights = np.ones((1, len(reference)), np.uint8) if weights is None else weights
    return float(METRICS[name](np.asarray(reference, float), np.asarray(prediction, float), weights, **parameters)[0])


def test_scores_of_labels_are_those_of_scikit_learn() -> None:
    assert value("cross_entropy", ONE_HOT, SCORES) == pytest.approx(log_loss(LABELS, SCORES), abs=1e-12)
    expected = brier_score_loss(LABELS, SCORES, labels=range(K), scale_by_half=False)
    assert value("brier_score", ONE_HOT, SCORES) == pytest.approx(expected, abs=1e-12)
    right = np.mean(SCORES.argmax(1) == LABELS)
    assert value("majority_agreement", ONE_HOT, SCORES) == pytest.approx(right, abs=1e-12)


def test_scores_of_votes_are_those_of_scipy() -> None:
    expected = np.mean(entropy(VOTES, axis=1) + entropy(VOTES, SCORES, axis=1))
    assert value("cross_entropy", VOTES, SCORES) == pytest.approx(expected, abs=1e-12)
    expected = np.mean(jensenshannon(VOTES, SCORES, base=2, axis=1) ** 2)
    assert value("jensen_shannon_divergence", VOTES, SCORES) == pytest.approx(expected, abs=1e-12)
    assert value("jensen_shannon_divergence", [[1, 0]], [[0, 1]]) == 1.0


def test_a_probability_of_zero_counts_as_the_smallest_one() -> None:
    assert value("cross_entropy", [[1, 0]], [[0, 1]]) == pytest.approx(-math.log(1e-15), abs=1e-12)
    assert value("cross_entropy", [[1, 0]], [[0, 1]], epsilon=0.01) == pytest.approx(-math.log(0.01), abs=1e-12)
    assert value("cross_entropy", [[1, 0]], [[0, 1]], epsilon=0.0) == math.inf
    assert value("cross_entropy", [[1, 0]], [[1, 0]], epsilon=0.0) == 0.0


def test_equal_labels_count_in_equal_parts() -> None:
    # Two of four votes for each of two labels: half right whichever is answered; both answered alike: 2 · 1/2 · 1/2.
    assert value("majority_agreement", [[0.5, 0.5, 0]], [[1, 0, 0]]) == 0.5
    assert value("majority_agreement", [[0.5, 0.5, 0]], [[0.4, 0.4, 0.2]]) == 0.5
    assert value("majority_agreement", [[0.5, 0.5, 0]], [[0, 0, 1]]) == 0.0


def slow_error(reference: np.ndarray, prediction: np.ndarray, edges: np.ndarray) -> float:
    """Return the calibration error, sample by sample."""
    error, top = 0.0, prediction.max(axis=1)
    right = [np.mean(row[chances == chances.max()]) for row, chances in zip(reference, prediction, strict=True)]
    for low, high in pairwise(edges.tolist()):
        inside = [i for i in range(len(top)) if low < top[i] <= high]
        if inside:
            gap = np.mean([right[i] for i in inside]) - np.mean([top[i] for i in inside])
            error += len(inside) / len(top) * abs(gap)
    return error


@pytest.mark.parametrize("reference", [ONE_HOT, VOTES], ids=["labels", "votes"])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_is_that_of_plain_loops(reference: np.ndarray, bins: int) -> None:
    rounded = np.round(SCORES * 20) / 20  # so that samples are on the ends of bins, and labels are equal
    rounded[:, -1] += 1 - rounded.sum(axis=1)
    for prediction in (SCORES, rounded):
        expected = slow_error(reference, prediction, np.arange(bins + 1) / bins)
        assert value("expected_calibration_error", reference, prediction, bins=bins) == pytest.approx(
            expected, abs=1e-12
        )


def test_bins_of_equal_count_divide_the_samples() -> None:
    # Distinct probabilities of 200 samples in 8 bins: 25 each.
    top = np.sort(SCORES.max(axis=1))
    edges = np.concatenate([[0], top[24::25]])
    expected = slow_error(ONE_HOT, SCORES, edges)
    measured = value("expected_calibration_error", ONE_HOT, SCORES, bins=8, binning="equal_count")
    assert measured == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("n_levels", [3, 1000])
def test_bins_of_equal_count_follow_the_weights(n_levels: int) -> None:
    scores = np.column_stack([0.5 + RNG.integers(0, n_levels, N) / (2 * n_levels), np.zeros(N)])
    scores[:, 1] = 1 - scores[:, 0]
    reference, weights = np.eye(2)[RNG.integers(0, 2, N)], RNG.integers(0, 3, (5, N)).astype(np.uint8)
    given = {"bins": 7, "binning": "equal_count"}
    together = METRICS["expected_calibration_error"](reference, scores, weights, **given)
    for row, measured in zip(weights, together, strict=True):
        repeated = np.repeat(np.arange(N), row)
        expected = value("expected_calibration_error", reference[repeated], scores[repeated], **given)
        assert measured == pytest.approx(expected, abs=1e-12)


def test_probabilities_without_information() -> None:
    # All equal: every label is right as often as it is among the references, a quarter on average. All 0 or 1: the
    # probability is 1, and the error is the share of wrong answers. One bin: the difference of the two means.
    uniform = np.full((N, K), 1 / K)
    assert value("expected_calibration_error", ONE_HOT, uniform) == pytest.approx(0.0, abs=1e-12)
    certain = np.eye(K)[RNG.integers(0, K, N)]
    wrong = np.mean(certain.argmax(1) != LABELS)
    assert value("expected_calibration_error", ONE_HOT, certain) == pytest.approx(wrong, abs=1e-12)
    gap = abs(np.mean(SCORES.argmax(1) == LABELS) - np.mean(SCORES.max(1)))
    assert value("expected_calibration_error", ONE_HOT, SCORES, bins=1) == pytest.approx(gap, abs=1e-12)


def test_one_sample() -> None:
    assert value("expected_calibration_error", [[0, 1]], [[0.25, 0.75]]) == 0.25
    assert value("expected_calibration_error", [[0, 1]], [[0.25, 0.75]], binning="equal_count") == 0.25
    assert np.isnan(value("expected_calibration_error", [[0, 1]], [[0.25, 0.75]], np.zeros((1, 1)), bins=2))
