"""Detection metrics by hand, against scikit-learn, against slow sweeps over thresholds, and on every degenerate case."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from merbench.metrics import METRICS

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

EVERY_METRIC: list[tuple[str, dict[str, Any]]] = [
    ("equal_error_rate", {"ties": "positive_first"}),
    ("equal_error_rate", {"ties": "together"}),
    ("auroc", {}),
    ("aupr", {"of": "positive", "area": "steps"}),
    ("aupr", {"of": "negative", "area": "steps"}),
    ("aupr", {"of": "positive", "area": "trapezoid"}),
    ("aupr", {"of": "negative", "area": "trapezoid"}),
    ("fpr_at_95tpr", {}),
    ("detection_error", {"priors": "observed"}),
    ("detection_error", {"priors": "equal"}),
    ("deception_rate", {"threshold": 1.0}),
]
every_metric = pytest.mark.parametrize(("name", "parameters"), EVERY_METRIC)


def one(metric: str, reference: list[int], prediction: list[float], **parameters: Any) -> float:
    weights = np.ones((1, len(reference)), dtype=np.uint8)
    return float(METRICS[metric](np.array(reference, np.int8), np.array(prediction, float), weights, **parameters)[0])


def swept_eer(reference: Codes, prediction: Floats, ties: str) -> float:
    """Return the rate from both shares behind every rejected sample, as ASVspoof's evaluation defines them."""
    pairs = sorted(zip(prediction.tolist(), (1 - reference).tolist(), strict=True))
    n, m = int(reference.sum()), int((1 - reference).sum())
    steps = [(0, m)]
    for _, negative in pairs:
        missed, accepted = steps[-1]
        steps.append((missed + 1 - negative, accepted - negative))
    if ties == "together":
        steps = [steps[0]] + [
            step for at, step in enumerate(steps) if at and (at == len(pairs) or pairs[at - 1][0] != pairs[at][0])
        ]
    missed, accepted = min(steps, key=lambda step: abs(step[0] / n - step[1] / m))
    return (missed / n + accepted / m) / 2


def curve(reference: Codes, prediction: Floats) -> list[tuple[int, int]]:
    """Return the positives and negatives accepted at every threshold, from none to all."""
    accepted = [prediction >= threshold for threshold in sorted(set(prediction.tolist()), reverse=True)]
    return [(0, 0), *((int(reference[kept].sum()), int((1 - reference[kept]).sum())) for kept in accepted)]


def oracle(name: str, reference: Codes, prediction: Floats, parameters: dict[str, Any]) -> float:
    n, m = int(reference.sum()), int((1 - reference).sum())
    match name:
        case "equal_error_rate":
            return swept_eer(reference, prediction, parameters["ties"])
        case "auroc":
            return float(roc_auc_score(reference, prediction))
        case "aupr":
            if parameters["of"] == "negative":
                reference, prediction = 1 - reference, -prediction
            if parameters["area"] == "steps":
                return float(average_precision_score(reference, prediction))
            precision, recall, _ = precision_recall_curve(reference, prediction)
            # scikit-learn's curve ends with precision 1 at recall 0, the released trapezoid with 0.
            return float(auc(recall, np.append(precision[:-1], 0.0)))
        case "fpr_at_95tpr":
            threshold = np.sort(prediction[reference == 1])[round(0.05 * n)]
            return float((prediction[reference == 0] > threshold).mean())
        case "detection_error":
            wrong = (
                [Fraction(n - right + alarms, n + m) for right, alarms in curve(reference, prediction)]
                if parameters["priors"] == "observed"
                else [
                    (Fraction(n - right, n) + Fraction(alarms, m)) / 2 for right, alarms in curve(reference, prediction)
                ]
            )
            return float(min(wrong))
    return float((prediction[reference == 0] >= parameters["threshold"]).mean())


@every_metric
@pytest.mark.parametrize("decimals", [0, 1, 15])
@pytest.mark.parametrize("n", [2, 7, 400])
def test_counts_are_repeated_samples_of_other_libraries(
    name: str, parameters: dict[str, Any], decimals: int, n: int
) -> None:
    rng = np.random.default_rng([n, decimals])
    reference = np.append([0, 1], rng.random(n - 2) < 0.4).astype(np.int8)
    prediction = np.round(rng.normal(size=n) + reference, decimals)
    weights = rng.poisson(1, (8, n)).astype(np.uint8)
    weights[:, :2] += 1
    weights[0] = 1
    expected = [
        oracle(name, np.repeat(reference, row).astype(int), np.repeat(prediction, row), parameters) for row in weights
    ]
    result = METRICS[name](reference, prediction, weights, **parameters)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12)


def test_the_equal_error_rate_is_the_mean_at_the_step_where_the_rates_differ_least() -> None:
    # Sorted: − + − + +. Behind each: misses 0, 0, 1/3, 1/3, 2/3, 1 of 3; alarms 1, 1/2, 1/2, 0, 0, 0 of 2.
    # |differences| 1, 1/2, 1/6, 1/3, 2/3, 1: the mean of 1/3 and 1/2.
    assert one("equal_error_rate", [0, 1, 0, 1, 1], [1, 2, 3, 4, 5]) == (1 / 3 + 1 / 2) / 2
    # + − + − with two of each: behind the second step misses 1/2, alarms 1/2.
    assert one("equal_error_rate", [1, 0, 1, 0], [1, 2, 3, 4]) == 0.5


def test_of_two_steps_that_differ_alike_the_first_counts() -> None:
    # Sorted: − + − + + +. Behind the second, misses 1/4, alarms 1/2; behind the third 1/4 and 0: 1/4 apart in both.
    assert one("equal_error_rate", [0, 1, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6]) == (1 / 4 + 1 / 2) / 2
    # A tie of − + + behind one +: misses 1/4 and alarms 1 before it, 3/4 and 0 behind it: 3/4 apart in both.
    assert one("equal_error_rate", [1, 0, 1, 1, 1], [1, 2, 2, 2, 3], ties="together") == (1 / 4 + 1) / 2


def test_perfect_separation_and_perfect_inversion() -> None:
    reference, apart = [0, 0, 0, 1, 1], [-3.0, -2.0, -1.0, 1.0, 2.0]
    inverted = [-score for score in apart]
    for ties in ("positive_first", "together"):
        assert one("equal_error_rate", reference, apart, ties=ties) == 0
        assert one("equal_error_rate", reference, inverted, ties=ties) == 1
    assert (one("auroc", reference, apart), one("auroc", reference, inverted)) == (1, 0)
    assert (one("aupr", reference, apart), one("aupr", reference, apart, of="negative")) == (1, 1)
    assert (one("fpr_at_95tpr", reference, apart), one("fpr_at_95tpr", reference, inverted)) == (0, 1)
    assert (one("detection_error", reference, apart), one("detection_error", reference, apart, priors="equal")) == (
        0,
        0,
    )


def test_constant_scores() -> None:
    reference, constant = [0, 1, 0, 1, 1], [0.5] * 5
    # The positives are rejected first: misses 3/3 while alarms are 2/2.
    assert one("equal_error_rate", reference, constant) == 1
    # Misses 0 and alarms 1, or misses 1 and alarms 0.
    assert one("equal_error_rate", reference, constant, ties="together") == 0.5
    assert one("auroc", reference, constant) == 0.5
    assert one("aupr", reference, constant) == 3 / 5
    assert one("aupr", reference, constant, of="negative") == 2 / 5
    # From (0, 0) straight to (1, 3/5).
    assert one("aupr", reference, constant, area="trapezoid") == 3 / 10
    assert one("fpr_at_95tpr", reference, constant) == 0
    # Accepting all is wrong 2 times of 5.
    assert one("detection_error", reference, constant) == 2 / 5
    assert one("detection_error", reference, constant, priors="equal") == 0.5


def test_average_precision_by_hand() -> None:
    # From the top: + (1/1), − , + (2/3), −, − , + (3/6); recall rises by 1/3 at each +.
    reference, prediction = [1, 0, 1, 0, 0, 1], [6, 5, 4, 3, 2, 1]
    assert one("aupr", reference, prediction) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3, abs=1e-15)
    # Trapezoid: recall 0 → 1/3 with precisions 0, 1; → 2/3 with 1/2, 2/3; → 1 with 2/5, 1/2.
    expected = ((0 + 1) + (1 / 2 + 2 / 3) + (2 / 5 + 1 / 2)) / 6
    assert one("aupr", reference, prediction, area="trapezoid") == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(("n", "rank"), [(1, 0), (9, 0), (10, 0), (11, 1), (30, 2), (50, 2), (100, 5)])
def test_the_threshold_of_fpr_at_95tpr_is_the_released_rank(n: int, rank: int) -> None:
    # Positives score 0 … n − 1. 0.05 · 10 = 0.5 and 0.05 · 50 = 2.5 go to the even neighbour, as 1.5 does.
    reference, prediction = [1] * n + [0] * 3, [*range(n), rank - 0.5, rank, rank + 0.5]
    assert one("fpr_at_95tpr", reference, prediction) == 1 / 3


def test_an_accepted_fake_reaches_the_threshold_and_genuine_ones_do_not_matter() -> None:
    assert one("deception_rate", [0, 0, 0, 1], [-0.1, 0.0, 0.1, -9.0]) == 2 / 3
    assert one("deception_rate", [0, 0, 0, 1], [-0.1, 0.0, 0.1, 9.0], threshold=0.05) == 1 / 3
    assert one("deception_rate", [0, 0], [1, 1]) == 1
    assert np.isnan(one("deception_rate", [1, 1], [1, 1]))
    assert METRICS["deception_rate"].undefined == "it is a share of the negative samples, and none carries weight"


@every_metric
def test_one_class_or_no_weight_has_no_value(name: str, parameters: dict[str, Any]) -> None:
    reference, prediction = np.array([0, 0, 1, 1], np.int8), np.array([0.1, 0.7, 0.4, 0.9])
    weights = np.array([[0, 0, 0, 0], [0, 0, 2, 1], [1, 2, 0, 0], [1, 1, 1, 1]], np.uint8)
    undefined = np.isnan(METRICS[name](reference, prediction, weights, **parameters)).tolist()
    assert undefined == [True, True, name != "deception_rate", False]
    for code in (0, 1):
        alone = METRICS[name](np.full(4, code, np.int8), prediction, weights[3:], **parameters)
        assert np.isnan(alone).all() == (code == 1 or name != "deception_rate")
    if name != "deception_rate":
        assert METRICS[name].undefined == (
            "it compares positive with negative samples, and the references that carry weight are all of one class"
        )
