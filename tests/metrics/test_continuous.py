"""Continuous metrics against scikit-learn, NumPy and SciPy, the degenerate cases, and what must hold for any data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from merbench.metrics.continuous import ccc, mae, mse, pcc, r2, rmse

Floats = NDArray[np.float64]
Metric = Callable[..., Floats]

EVERY_METRIC: list[tuple[Metric, dict[str, Any]]] = [
    (mse, {}),
    (rmse, {}),
    (mae, {}),
    (pcc, {}),
    (ccc, {"form": "population"}),
    (ccc, {"form": "unbiased"}),
    (r2, {}),
]
every_metric = pytest.mark.parametrize(
    ("metric", "parameters"), EVERY_METRIC, ids=lambda item: getattr(item, "__name__", str(item))
)


def concordance(reference: Floats, prediction: Floats, ddof: int) -> float:
    """Return 2 cov / (var + var + (difference of means)²) as NumPy computes it."""
    (x, shared), (_, y) = np.cov(reference, prediction, ddof=ddof)
    return float(2 * shared / (x + y + (reference.mean() - prediction.mean()) ** 2))


def oracle(name: str, reference: Floats, prediction: Floats, parameters: dict[str, Any]) -> float:
    match name:
        case "mse":
            return float(mean_squared_error(reference, prediction))
        case "rmse":
            return math.sqrt(mean_squared_error(reference, prediction))
        case "mae":
            return float(mean_absolute_error(reference, prediction))
        case "pcc":
            return float(pearsonr(reference, prediction).statistic)
        case "ccc":
            return concordance(reference, prediction, ddof=1 if parameters["form"] == "unbiased" else 0)
    return float(r2_score(reference, prediction))


@every_metric
@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (3, 0.01), (-1000, 5), (0, 1e6)])
def test_counts_are_repeated_samples_of_other_libraries(
    metric: Metric, parameters: dict[str, Any], offset: float, scale: float
) -> None:
    rng = np.random.default_rng(11)
    reference = offset + scale * rng.normal(size=300)
    prediction = reference + scale * rng.normal(size=300)
    weights = rng.poisson(1, (10, 300)).astype(np.uint8)
    weights[0] = 1
    expected = [oracle(metric.__name__, np.repeat(reference, w), np.repeat(prediction, w), parameters) for w in weights]
    # The other libraries lose digits where the mean is far from 0: 1000² / 5² of 1e-16.
    tolerance = 1e-12 if abs(offset) < 100 else 1e-11
    np.testing.assert_allclose(metric(reference, prediction, weights, **parameters), expected, rtol=tolerance)


@every_metric
def test_a_group_far_from_all_others_loses_no_digits(metric: Metric, parameters: dict[str, Any]) -> None:
    # 1,000 samples near 0, and 50 near 4096 whose spread, of multiples of 2**-30, is 2**-20.
    rng = np.random.default_rng(12)
    steps = rng.integers(-1024, 1025, (2, 50)) * 2.0**-30
    reference = np.concatenate([rng.normal(size=1000), 4096 + steps[0]])
    prediction = np.concatenate([rng.normal(size=1000), 4096 + steps[0] + steps[1]])
    mask = (np.arange(1050) >= 1000)[None]
    # Less 4096, which is exact, the same values as every library sees them.
    expected = oracle(metric.__name__, steps[0], steps[0] + steps[1], parameters)
    np.testing.assert_allclose(metric(reference, prediction, mask, **parameters), [expected], rtol=1e-12)


def one(metric: Metric, reference: list[float], prediction: list[float], **parameters: Any) -> float:
    ones = np.ones((1, len(reference)), dtype=np.uint8)
    return float(metric(np.array(reference), np.array(prediction), ones, **parameters)[0])


def test_hand_arithmetic() -> None:
    reference, prediction = [1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 2.0, 4.0]
    # Errors 1, 0, −1, −2. Means 3 and 2.5; variances 14/4 and 3/4; covariance (1 + 0.5 + 0 + 4.5)/4 = 1.5.
    assert one(mse, reference, prediction) == 1.5
    assert one(rmse, reference, prediction) == math.sqrt(1.5)
    assert one(mae, reference, prediction) == 1.0
    assert one(pcc, reference, prediction) == pytest.approx(1.5 / math.sqrt(3.5 * 0.75), abs=1e-15)
    assert one(ccc, reference, prediction) == pytest.approx(3 / (3.5 + 0.75 + 0.25), abs=1e-15)
    assert one(ccc, reference, prediction, form="unbiased") == pytest.approx(4 / (14 / 3 + 1 + 0.25), abs=1e-15)
    assert one(r2, reference, prediction) == pytest.approx(1 - 1.5 / 3.5, abs=1e-15)


FORMS = pytest.mark.parametrize("form", ["population", "unbiased"])
# The rounded mean of three values 0.1, or of 49 values 1.1, is not the value itself.
CONSTANTS = pytest.mark.parametrize(("value", "n"), [(0.1, 3), (1.1, 49), (0.0, 5), (-2.0, 1), (1e10 + 0.3, 7)])


@FORMS
@CONSTANTS
def test_ccc_of_constants(form: str, value: float, n: int) -> None:
    constant, varied = [value] * n, [value + i for i in range(n)]
    assert one(ccc, constant, constant, form=form) == 1
    assert one(ccc, constant, [value + 1] * n, form=form) == 0
    if n > 1:
        assert one(ccc, constant, varied, form=form) == 0
        assert one(ccc, varied, constant, form=form) == 0


@CONSTANTS
def test_pcc_of_constants(value: float, n: int) -> None:
    constant, varied = [value] * n, [value + i for i in range(n)]
    assert one(pcc, constant, constant) == 0
    assert one(pcc, constant, varied) == 0
    assert one(pcc, varied, constant) == 0


@CONSTANTS
def test_r2_of_a_constant_reference(value: float, n: int) -> None:
    assert one(r2, [value] * n, [value] * n) == 0
    assert math.isnan(one(r2, [value] * n, [value] * (n - 1) + [value + 1]))


def test_constants_under_some_weightings_only() -> None:
    reference, prediction = np.array([0.1, 0.1, 0.1, 5.3]), np.array([0.7, 0.7, 0.7, 4.1])
    weights = np.array([[1, 1, 1, 1], [1, 2, 4, 0], [0, 0, 0, 3], [0, 0, 0, 0]])
    assert np.isnan(pcc(reference, prediction, weights)).tolist() == [False, False, False, True]
    assert pcc(reference, prediction, weights)[1:3].tolist() == [0, 0]
    assert ccc(reference, prediction, weights)[1:3].tolist() == [0, 0]
    assert ccc(reference, reference, weights)[:3].tolist() == [1, 1, 1]
    assert np.isnan(r2(reference, prediction, weights)).tolist() == [False, True, True, True]
    assert r2(reference, reference, weights)[:3].tolist() == [1, 0, 0]


def test_numbers_near_the_limits_of_float64() -> None:
    reference, prediction = [-1e300, 0.0, 2e300], [-2e300, 1e299, 1e300]
    ordinary = [-1.0, 0.0, 2.0], [-2.0, 0.1, 1.0]
    assert one(mse, reference, prediction) == math.inf
    assert one(mae, reference, prediction) == pytest.approx(1e300 * one(mae, *ordinary), rel=1e-12)
    for metric in (pcc, ccc, r2):
        assert one(metric, reference, prediction) == pytest.approx(one(metric, *ordinary), abs=1e-12)
    assert one(pcc, [1.0, 2.0, 4.0], prediction) == pytest.approx(one(pcc, [1.0, 2.0, 4.0], ordinary[1]), abs=1e-12)
    assert one(ccc, [1.0, 2.0, 4.0], prediction) == pytest.approx(0, abs=1e-200)
