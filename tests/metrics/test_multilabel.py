"""Multilabel metrics by hand, against scikit-learn label by label, and on every degenerate case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from merbench.metrics import METRICS
from merbench.metrics.multilabel import outcomes, per_label

Table = NDArray[np.int8]

EVERY_METRIC: list[tuple[str, dict[str, Any]]] = [
    ("multilabel_f1", {"labels": "declared"}),
    ("multilabel_f1", {"labels": "present"}),
    ("label_f1", {"label": 1}),
    ("multilabel_micro_f1", {}),
    ("hamming_loss", {}),
    ("exact_match", {}),
    ("samplewise_f1", {}),
]
every_metric = pytest.mark.parametrize(("name", "parameters"), EVERY_METRIC)

# Three labels; the third is unknown of the second sample, everything of the last.
REFERENCE = np.array([[1, 0, 1], [0, 1, -1], [0, 0, 0], [1, 1, 0], [-1, -1, -1]], np.int8)
PREDICTION = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 1], [1, 1, 1]], np.int8)


def one(name: str, reference: Table, prediction: Table, **parameters: Any) -> float:
    return float(METRICS[name](reference, prediction, np.ones((1, len(reference)), np.uint8), **parameters)[0])


def test_scores_by_hand() -> None:
    # Label 0: 2 hits. Label 1: 1 hit, 1 miss: 2/3. Label 2: 1 miss, 1 alarm: 0; what is unknown does not count.
    assert [one("label_f1", REFERENCE, PREDICTION, label=label) for label in range(3)] == [1, 2 / 3, 0]
    assert one("multilabel_f1", REFERENCE, PREDICTION) == pytest.approx((1 + 2 / 3) / 3, abs=1e-15)
    # Together: 3 hits, 2 misses, 1 alarm; 11 cells are known.
    assert one("multilabel_micro_f1", REFERENCE, PREDICTION) == 6 / 9
    assert one("hamming_loss", REFERENCE, PREDICTION) == 3 / 11
    # Samples 2 and 3 are right, of four; F1 2/3, 1, 1, 2/4.
    assert one("exact_match", REFERENCE, PREDICTION) == 2 / 4
    assert one("samplewise_f1", REFERENCE, PREDICTION) == pytest.approx((2 / 3 + 1 + 1 + 1 / 2) / 4, abs=1e-15)


def test_precision_and_recall_of_every_label() -> None:
    values = outcomes(REFERENCE, PREDICTION)
    counts = per_label(values, np.ones((1, 5), np.uint8))
    # Label 1 has a miss and no false alarm; label 2 a miss and a false alarm.
    assert (counts.precision.tolist(), counts.recall.tolist()) == ([[1, 1, 0]], [[1, 1 / 2, 0]])
    # Without the sample that misses it, label 1 is right.
    assert per_label(values, np.array([[1, 1, 1, 0, 1]], np.uint8)).recall.tolist() == [[1, 1, 0]]


def test_a_label_that_no_reference_has() -> None:
    reference = np.array([[1, 0], [0, 0]], np.int8)
    for prediction in (reference, np.array([[1, 1], [0, 0]], np.int8)):
        assert one("multilabel_f1", reference, prediction) == 0.5
        assert one("multilabel_f1", reference, prediction, labels="present") == 1
        assert one("label_f1", reference, prediction, label=1) == 0
    nobody = np.zeros((2, 2), np.int8)
    assert one("multilabel_f1", nobody, nobody) == one("multilabel_f1", nobody, nobody, labels="present") == 0
    assert one("multilabel_micro_f1", nobody, nobody) == 0
    assert (one("exact_match", nobody, nobody), one("samplewise_f1", nobody, nobody)) == (1, 1)
    assert one("hamming_loss", nobody, nobody) == 0


@every_metric
def test_what_is_predicted_where_nothing_is_known_does_not_matter(name: str, parameters: dict[str, Any]) -> None:
    other = np.where(REFERENCE < 0, 1 - PREDICTION, PREDICTION).astype(np.int8)
    assert one(name, REFERENCE, other, **parameters) == one(name, REFERENCE, PREDICTION, **parameters)


@every_metric
def test_nothing_known_or_no_weight_has_no_value(name: str, parameters: dict[str, Any]) -> None:
    weights = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 0, 3], [1, 0, 0, 0, 0]], np.uint8)
    values = METRICS[name](REFERENCE, PREDICTION, weights, **parameters)
    assert np.isnan(values).tolist() == [True, True, False]
    reason = "it is not known of any" if name == "label_f1" else "no label is known of a sample that carries weight"
    assert METRICS[name].undefined.startswith(reason)


def test_one_label_may_be_unknown_where_others_are_not() -> None:
    unknown = np.array([[1, -1], [0, -1]], np.int8)
    assert np.isnan(one("label_f1", unknown, np.ones_like(unknown), label=1))
    # F1 of the first: 2/3; the second counts 0 among the declared.
    assert one("multilabel_f1", unknown, np.ones_like(unknown)) == pytest.approx(1 / 3, abs=1e-15)
    assert one("multilabel_f1", unknown, np.ones_like(unknown), labels="present") == 2 / 3


def oracle(name: str, reference: Table, prediction: Table, parameters: dict[str, Any]) -> float:
    """Return what scikit-learn gives for samples of which everything is known."""
    match name:
        case "multilabel_f1":
            each = f1_score(reference, prediction, average=None, zero_division=0)
            return float(each.mean() if parameters["labels"] == "declared" else each[reference.any(axis=0)].mean())
        case "label_f1":
            return float(f1_score(reference[:, 1], prediction[:, 1], zero_division=0))
        case "multilabel_micro_f1":
            return float(f1_score(reference, prediction, average="micro", zero_division=0))
        case "hamming_loss":
            return float(hamming_loss(reference, prediction))
        case "exact_match":
            return float(accuracy_score(reference, prediction))
    return float(f1_score(reference, prediction, average="samples", zero_division=1))


@every_metric
def test_counts_are_repeated_samples_of_scikit_learn(name: str, parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(21)
    reference = (rng.random((200, 12)) < np.linspace(0.02, 0.7, 12)).astype(np.int8)
    prediction = np.where(rng.random((200, 12)) < 0.8, reference, 1 - reference).astype(np.int8)
    weights = rng.poisson(1, (10, 200)).astype(np.uint8)
    weights[0] = 1
    expected = [
        oracle(name, np.repeat(reference, row, axis=0), np.repeat(prediction, row, axis=0), parameters)
        for row in weights
    ]
    result = METRICS[name](reference, prediction, weights, **parameters)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_unknown_cells_are_left_out_label_by_label() -> None:
    rng = np.random.default_rng(22)
    reference, prediction = (rng.integers(0, 2, (300, 4)).astype(np.int8) for _ in range(2))
    reference[rng.random((300, 4)) < 0.3] = -1
    each = []
    for label in range(4):
        known = reference[:, label] >= 0
        each.append(f1_score(reference[known, label], prediction[known, label]))
    assert one("multilabel_f1", reference, prediction) == pytest.approx(np.mean(each), abs=1e-12)
    known = reference >= 0
    assert one("multilabel_micro_f1", reference, prediction) == pytest.approx(
        f1_score(reference[known], prediction[known]), abs=1e-12
    )
