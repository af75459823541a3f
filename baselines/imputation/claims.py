"""Values worked out by hand, and identities of what fills missing features."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pyarrow as pa

from merbench.training.imputation import How, Imputer, ridge_of
from merbench.training.neighbours import Neighbours
from merbench.training.samples import FeatureSet

# Three samples of two features, the second with one number.
_VALUES = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 3.0], [3.0, 4.0, 8.0]])


def neighbours(module: ModuleType) -> float:
    """Return the last number of (0, 1, ?) by two neighbours: squared distances are 1, 2 and 18."""
    nearest = Neighbours(_VALUES, np.ones((3, 3), dtype=np.bool_), 2)
    return float(nearest.filled(np.array([[0.0, 1.0, 0.0]]), np.array([[True, True, False]]))[0, 2])


def share(module: ModuleType) -> float:
    """Return what (0, 0, ?) gets from its nearest one of two, the nearer of which shares fewer numbers.

    Over the shared numbers the squares are 2 and 1.44; divided by the shares 2/3 and 1/3 they are 3 and 4.32.
    """
    values, has = np.array([[1.0, 1.0, 5.0], [1.2, 0.0, 7.0]]), np.array([[True, True, True], [True, False, True]])
    return float(Neighbours(values, has, 1).filled(np.zeros((1, 3)), np.array([[True, True, False]]))[0, 2])


def ridge(module: ModuleType) -> list[float]:
    """Return the slope of (-1, -2), (0, 0), (1, 2) with penalty 2, and what the first two predict for the third."""
    x, y = np.array([[-1.0], [0.0], [1.0]]), np.array([[-2.0], [0.0], [2.0]])
    coefficients, intercept, hat = ridge_of(x, y, [2.0])
    predicted = float((x[2] @ coefficients + intercept)[0])
    return [float(coefficients[0, 0]), (predicted - hat[2] * 2.0) / (1 - hat[2])]


def _filled(how: How, samples: FeatureSet) -> np.ndarray:
    lacking = FeatureSet(
        pa.array(["x"]),
        {name: part.select(np.array([0 if name == "a" else -1])) for name, part in samples.sequences.items()},
    )
    return Imputer.of(how, samples).filled(lacking).sequences["b"].vectors().astype(np.float64)


def _samples(*, standardised: bool) -> FeatureSet:
    values = (_VALUES - _VALUES.mean(axis=0)) / _VALUES.std(axis=0) if standardised else _VALUES
    parts = {"a": values[:, :2].astype(np.float32), "b": values[:, 2:].astype(np.float32)}
    return FeatureSet.of_vectors(pa.array(["p", "q", "r"]), parts)


def mean_less_zero(module: ModuleType) -> float:
    """Return how far means are from zeros, of a feature that is standardised."""
    samples = _samples(standardised=True)
    return float(np.abs(_filled(How("mean"), samples) - _filled(How("zero"), samples)).max())


def all_neighbours_less_mean(module: ModuleType) -> float:
    """Return how far the mean of as many neighbours as there are samples is from the mean."""
    samples = _samples(standardised=False)
    return float(np.abs(_filled(How("knn", k=3), samples) - _filled(How("mean"), samples)).max())
