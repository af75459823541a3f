"""Categorical metrics against scikit-learn, published confusions, arithmetic, and what must hold for any data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_score,
    recall_score,
)

from merbench.metrics.categorical import (
    accuracy,
    cohen_kappa,
    f1,
    macro_f1,
    matthews_correlation,
    micro_f1,
    per_class,
    precision,
    recall,
    unweighted_average_recall,
    weighted_f1,
)

Codes = NDArray[np.int64]
Metric = Callable[..., NDArray[np.float64]]

PUBLISHED = json.loads((Path(__file__).parents[1] / "golden" / "confusions.json").read_text(encoding="utf-8"))

EVERY_METRIC: list[tuple[Metric, dict[str, Any]]] = [
    (accuracy, {}),
    (unweighted_average_recall, {}),
    (weighted_f1, {}),
    (macro_f1, {"labels": "declared"}),
    (macro_f1, {"labels": "present"}),
    (micro_f1, {}),
    (precision, {"label": 1}),
    (recall, {"label": 1}),
    (f1, {"label": 1}),
    (matthews_correlation, {}),
    (cohen_kappa, {}),
]
every_metric = pytest.mark.parametrize(
    ("metric", "parameters"), EVERY_METRIC, ids=lambda item: getattr(item, "__name__", str(item))
)


def indicator_correlation(reference: Codes, prediction: Codes, n_labels: int) -> float:
    """Return Gorodkin's coefficient from its definition: covariances of indicators, −1 has none."""
    x, y = (np.equal.outer(codes, np.arange(n_labels)).astype(float) for codes in (reference, prediction))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def oracle(name: str, reference: Codes, prediction: Codes, n_labels: int, parameters: dict[str, Any]) -> float:
    """Return what scikit-learn gives when −1 is an extra label and averages go over the declared ones."""
    declared, present = np.arange(n_labels), np.unique(reference)
    answers = np.where(prediction < 0, n_labels, prediction)

    def averaged(score: Callable[..., float], labels: Codes, average: str | None) -> Any:
        return score(reference, answers, labels=labels, average=average, zero_division=0)

    match name:
        case "accuracy":
            return float(accuracy_score(reference, answers))
        case "unweighted_average_recall":
            return float(averaged(recall_score, present, "macro"))
        case "weighted_f1":
            return float(averaged(f1_score, declared, "weighted"))
        case "macro_f1":
            return float(averaged(f1_score, present if parameters["labels"] == "present" else declared, "macro"))
        case "micro_f1":
            return float(averaged(f1_score, declared, "micro"))
        case "matthews_correlation":
            return indicator_correlation(reference, prediction, n_labels)
        case "cohen_kappa":
            return float(cohen_kappa_score(reference, answers))
    score = {"precision": precision_score, "recall": recall_score, "f1": f1_score}[name]
    return float(averaged(score, declared, None)[parameters["label"]])


def random_codes(seed: int, n: int, n_labels: int, outside: bool) -> tuple[Codes, Codes]:
    rng = np.random.default_rng(seed)
    reference = rng.choice(n_labels, n, p=rng.dirichlet(np.ones(n_labels)))
    prediction = np.where(rng.random(n) < 0.5, reference, rng.integers(-1 if outside else 0, n_labels, n))
    return reference, prediction


@every_metric
@pytest.mark.parametrize("outside", [False, True], ids=["in vocabulary", "some outside"])
@pytest.mark.parametrize("n_labels", [2, 6, 13])
def test_counts_are_repeated_samples_of_scikit_learn(
    metric: Metric, parameters: dict[str, Any], n_labels: int, outside: bool
) -> None:
    reference, prediction = random_codes(n_labels, 300, n_labels, outside)
    weights = np.random.default_rng(5).poisson(1, (10, 300)).astype(np.uint8)
    weights[0] = 1
    values = metric(reference, prediction, weights, n_labels=n_labels, **parameters)
    expected = [
        oracle(metric.__name__, np.repeat(reference, row), np.repeat(prediction, row), n_labels, parameters)
        for row in weights
    ]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


def test_matthews_correlation_is_that_of_scikit_learn_where_all_answers_are_in_the_vocabulary() -> None:
    for n_labels in (2, 3, 8):
        reference, prediction = random_codes(n_labels, 200, n_labels, outside=False)
        value = matthews_correlation(reference, prediction, np.ones((1, 200)), n_labels=n_labels)[0]
        assert value == pytest.approx(matthews_corrcoef(reference, prediction), abs=1e-12)


@pytest.mark.parametrize("n_labels", [5, 60], ids=["by a product", "row by row"])
@pytest.mark.parametrize("n_rows", [1, 30])
def test_counts_of_classes_are_those_of_a_confusion(n_rows: int, n_labels: int) -> None:
    reference, prediction = random_codes(7, 400, n_labels, outside=True)
    weights = np.random.default_rng(8).poisson(1, (n_rows, 400)).astype(np.uint8)
    classes = per_class(reference, prediction, weights, n_labels=n_labels)
    answers = np.where(prediction < 0, n_labels, prediction)
    for row, weighting in enumerate(weights):
        repeated = np.repeat(reference, weighting), np.repeat(answers, weighting)
        matrix = confusion_matrix(*repeated, labels=np.arange(n_labels + 1))
        assert classes.right[row].tolist() == matrix.diagonal()[:-1].tolist()
        assert classes.n[row].tolist() == matrix.sum(axis=1)[:-1].tolist()
        assert classes.predicted[row].tolist() == matrix.sum(axis=0)[:-1].tolist()


@pytest.mark.parametrize("corpus", list(PUBLISHED))
def test_published_confusions_give_the_published_scores(corpus: str) -> None:
    counts, published = np.array(PUBLISHED[corpus]["confusion"]), PUBLISHED[corpus]["published"]
    n_labels = len(counts)
    reference, prediction = (codes.ravel() for codes in np.indices(counts.shape))
    # Each cell is one sample that counts as often as the cell says.
    values = {
        name: round(float(metric(reference, prediction, counts.reshape(1, -1), n_labels=n_labels)[0]), 4)
        for name, metric in [
            ("UAR", unweighted_average_recall),
            ("WAR", accuracy),
            ("weighted_f1", weighted_f1),
            ("micro_f1", micro_f1),
            ("macro_f1", macro_f1),
        ]
    }
    percent = {"UAR": round(published["UAR"] / 100, 4), "WAR": round(published["WAR"] / 100, 4)}
    assert values == {**published, **percent}
    assert counts.sum() == PUBLISHED[corpus]["n"]


def one(metric: Metric, reference: list[int], prediction: list[int], n_labels: int, **parameters: Any) -> float:
    ones = np.ones((1, len(reference)), dtype=np.uint8)
    return float(metric(np.array(reference), np.array(prediction), ones, n_labels=n_labels, **parameters)[0])


def test_a_class_without_references() -> None:
    # Recall 1/2 and 1; F1 of class 0: 2/3, of class 1: 1, of class 2 (one false alarm): 0.
    reference, prediction = [0, 0, 1], [0, 2, 1]
    assert one(unweighted_average_recall, reference, prediction, 3) == 0.75
    assert one(macro_f1, reference, prediction, 3) == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-15)
    assert one(macro_f1, reference, prediction, 3, labels="present") == pytest.approx((2 / 3 + 1) / 2, abs=1e-15)
    assert one(weighted_f1, reference, prediction, 3) == pytest.approx((2 * 2 / 3 + 1) / 3, abs=1e-15)
    assert one(recall, reference, prediction, 3, label=2) == 0


def test_a_class_never_predicted_has_precision_and_f1_zero() -> None:
    assert one(precision, [0, 1], [0, 0], 2, label=1) == 0
    assert one(f1, [0, 1], [0, 0], 2, label=1) == 0


def test_an_answer_outside_the_vocabulary_is_wrong_and_no_class() -> None:
    reference, prediction = [0, 0, 1, 1], [0, -1, 1, -1]
    assert one(accuracy, reference, prediction, 2) == 0.5
    assert one(precision, reference, prediction, 2, label=0) == 1
    assert one(recall, reference, prediction, 2, label=0) == 0.5
    # 2 hits, 2 misses, no false alarm: 2 * 2 / (2 * 2 + 2).
    assert one(micro_f1, reference, prediction, 2) == pytest.approx(4 / 6, abs=1e-15)
    # Observed 2/4; by chance (2 * 1 + 2 * 1) / 16 = 1/4.
    assert one(cohen_kappa, reference, prediction, 2) == pytest.approx((0.5 - 0.25) / 0.75, abs=1e-15)
    # 4 * 2 - 4 = 4; 4 * 4 - 8 = 8; 4 * 2 - 2 = 6 (as one more class it would be 4 * 4 - 2 - 4 = 10).
    assert one(matthews_correlation, reference, prediction, 2) == pytest.approx(4 / 48**0.5, abs=1e-15)


@every_metric
def test_only_answers_outside_the_vocabulary_score_nothing(metric: Metric, parameters: dict[str, Any]) -> None:
    assert one(metric, [0, 1, 2], [-1, -1, -1], 3, **parameters) == 0


def test_kappa_with_an_expected_agreement_of_one_is_one() -> None:
    assert one(cohen_kappa, [1, 1, 1], [1, 1, 1], 3) == 1
    assert one(cohen_kappa, [1, 1, 1], [0, 0, 0], 3) == 0


def test_matthews_correlation_with_a_zero_denominator_is_zero() -> None:
    assert one(matthews_correlation, [1, 1, 1], [1, 1, 1], 3) == 0
    assert one(matthews_correlation, [0, 1, 2], [1, 1, 1], 3) == 0
    assert one(matthews_correlation, [1, 1, 1], [0, 1, 2], 3) == 0
