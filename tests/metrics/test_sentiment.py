"""The sentiment suites by hand, at every edge, and against scikit-learn on classes made another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error

from merbench.metrics.sentiment import (
    mosi_accuracy_3,
    mosi_accuracy_5,
    mosi_accuracy_7,
    mosi_has0_accuracy,
    mosi_has0_weighted_f1,
    mosi_non0_accuracy,
    mosi_non0_weighted_f1,
    sims_accuracy_2,
    sims_accuracy_3,
    sims_accuracy_5,
    sims_mae,
    sims_pcc,
    sims_weighted_f1,
)

Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats, NDArray[np.uint8]], Floats]

SUITE: tuple[Metric, ...] = (
    mosi_accuracy_7,
    mosi_accuracy_5,
    mosi_accuracy_3,
    mosi_has0_accuracy,
    mosi_has0_weighted_f1,
    mosi_non0_accuracy,
    mosi_non0_weighted_f1,
    sims_accuracy_2,
    sims_accuracy_3,
    sims_accuracy_5,
    sims_weighted_f1,
    sims_mae,
    sims_pcc,
)


def one(metric: Metric, reference: Sequence[float], prediction: Sequence[float]) -> float:
    ones = np.ones((1, len(reference)), dtype=np.uint8)
    return float(metric(np.array(reference, dtype=float), np.array(prediction, dtype=float), ones)[0])


def same_class(metric: Metric, value: float, other: float) -> bool:
    return one(metric, [value], [other]) == 1


@pytest.mark.parametrize(("value", "rounded"), [(-2.5, -2), (-1.5, -2), (-0.5, 0), (0.5, 0), (1.5, 2), (2.5, 2)])
def test_acc_7_rounds_halves_to_even(value: float, rounded: int) -> None:
    assert [k for k in range(-3, 4) if same_class(mosi_accuracy_7, k, value)] == [rounded]


@pytest.mark.parametrize(("metric", "largest"), [(mosi_accuracy_7, 3), (mosi_accuracy_5, 2), (mosi_accuracy_3, 1)])
def test_values_beyond_the_largest_class_are_in_it(metric: Metric, largest: int) -> None:
    assert same_class(metric, 3, largest) and same_class(metric, -3, -largest)
    assert same_class(metric, 100, largest) and same_class(metric, -100, -largest)
    assert not same_class(metric, largest, largest - 0.75)
    assert same_class(metric, largest, largest - 0.25)


def test_zero_is_non_negative_in_has0_and_negative_as_an_answer_in_non0() -> None:
    reference, prediction = [-1, -1, 0, 0, 2], [0, -2, 0, -1, 1]
    # Has0: classes −, −, +, +, + against +, −, +, −, +: 3 of 5.
    assert one(mosi_has0_accuracy, reference, prediction) == 0.6
    # F1 of negative: 2 · 1 / (2 + 2) = 1/2, of non-negative: 2 · 2 / (3 + 3) = 2/3.
    assert one(mosi_has0_weighted_f1, reference, prediction) == pytest.approx((2 * 1 / 2 + 3 * 2 / 3) / 5, abs=1e-15)
    # Non0 keeps −1, −1, 2 against 0 (negative), −2, 1: all right.
    assert one(mosi_non0_accuracy, reference, prediction) == 1
    assert one(mosi_non0_weighted_f1, reference, prediction) == 1
    assert one(mosi_non0_accuracy, [1], [0]) == 0


def test_non0_of_only_neutral_references_has_no_value() -> None:
    for metric in (mosi_non0_accuracy, mosi_non0_weighted_f1):
        assert np.isnan(one(metric, [0, 0], [1, -1]))


EDGES = {
    sims_accuracy_2: [0.0],
    sims_accuracy_3: [-0.1, 0.1],
    sims_accuracy_5: [-0.7, -0.1, 0.1, 0.7],
}


@pytest.mark.parametrize(("metric", "edges"), list(EDGES.items()), ids=lambda item: getattr(item, "__name__", ""))
def test_a_value_on_an_edge_is_in_the_bin_below(metric: Metric, edges: list[float]) -> None:
    inside = [(low + high) / 2 for low, high in zip([-1.0, *edges], [*edges, 1.0], strict=True)]
    for number, edge in enumerate(edges):
        result = [
            [index for index, middle in enumerate(inside) if same_class(metric, middle, value)]
            for value in (np.nextafter(edge, -2), edge, np.nextafter(edge, 2))
        ]
        assert result == [[number], [number], [number + 1]]
    assert same_class(metric, -1, -9) and same_class(metric, 1, 9)


def test_sims_counts_zeros_as_negative_and_clips_both_sides() -> None:
    reference, prediction = [0.0, 0.0, 0.4, -0.6, 1.5], [0.0, 0.2, 3.0, 0.0, 1.0]
    # Bins 0, 0, 1, 0, 1 against 0, 1, 1, 0, 1.
    assert one(sims_accuracy_2, reference, prediction) == 0.8
    assert one(sims_weighted_f1, reference, prediction) == pytest.approx((3 * 4 / 5 + 2 * 4 / 5) / 5, abs=1e-15)
    # |errors| after clipping: 0, 0.2, 0.6, 0.6, 0.
    assert one(sims_mae, reference, prediction) == pytest.approx(1.4 / 5, abs=1e-15)
    clipped = [0.0, 0.0, 0.4, -0.6, 1.0], [0.0, 0.2, 1.0, 0.0, 1.0]
    assert one(sims_pcc, reference, prediction) == pytest.approx(pearsonr(*clipped).statistic, abs=1e-12)
    assert one(sims_pcc, [1.0, 2.0], [0.0, 1.0]) == 0


def classes(values: Floats, edges: Sequence[float]) -> list[int]:
    """Return the number of edges that lie below each value."""
    return [sum(value > edge for edge in edges) for value in values.tolist()]


def test_counts_are_repeated_samples_of_other_libraries() -> None:
    rng = np.random.default_rng(15)
    reference = np.round(rng.normal(0, 1.2, 400), 1)
    prediction = np.round(reference + rng.normal(0, 0.8, 400), 1)
    weights = rng.poisson(1, (10, 400)).astype(np.uint8)
    weights[0] = 1
    for row in weights:
        y, p = np.repeat(reference, row), np.repeat(prediction, row)
        polar = y != 0
        expected = [
            *(accuracy_score(*(np.round(v.clip(-k, k)).astype(int) for v in (y, p))) for k in (3, 2, 1)),
            accuracy_score(y >= 0, p >= 0),
            f1_score(y >= 0, p >= 0, average="weighted"),
            accuracy_score(y[polar] > 0, p[polar] > 0),
            f1_score(y[polar] > 0, p[polar] > 0, average="weighted"),
            *(accuracy_score(classes(y, edges), classes(p, edges)) for edges in EDGES.values()),
            f1_score(y > 0, p > 0, average="weighted"),
            mean_absolute_error(y.clip(-1, 1), p.clip(-1, 1)),
            pearsonr(y.clip(-1, 1), p.clip(-1, 1)).statistic,
        ]
        values = [metric(reference, prediction, row[None])[0] for metric in SUITE]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)
    for metric in SUITE:
        together = metric(reference, prediction, weights)
        np.testing.assert_array_equal(together, [metric(reference, prediction, row[None])[0] for row in weights])
