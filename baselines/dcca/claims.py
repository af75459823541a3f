"""Exact claims of deep canonical correlation analysis."""

from __future__ import annotations

from types import ModuleType

import torch


def correlations(model: ModuleType) -> list[float]:
    """Return the correlations of two pairs of views.

    The numbers 0, 1, 2 and 0, 2, 1 have the variances 1 and the covariance 0.5. The second view of the other pair is an
    invertible linear map of the first one, so that both of its correlations are 1.
    """
    first, second = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 1.0]], dtype=torch.float64).split(1, 1)
    view = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, -1.0]], dtype=torch.float64)
    mapped = view @ torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    return [float(model.correlation(first, second, 0.001)), float(model.correlation(view, mapped, 1e-12))]


def difference_of_singular_values(model: ModuleType) -> float:
    """Return how far the correlations of two views are from the singular values of their whitened covariance."""
    rng, ridge = torch.Generator().manual_seed(0), 0.001
    a, b = (torch.randn(20, width, generator=rng, dtype=torch.float64) for width in (3, 3))
    covariance = torch.cov(torch.cat([a, b], 1).T)

    def inverse_root(own: torch.Tensor) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(own + ridge * torch.eye(len(own), dtype=torch.float64))
        made: torch.Tensor = vectors @ torch.diag(values.rsqrt()) @ vectors.T
        return made

    whitened = inverse_root(covariance[:3, :3]) @ covariance[:3, 3:] @ inverse_root(covariance[3:, 3:])
    singular = torch.linalg.svdvals(whitened).sum()
    return float((model.correlation(a, b, ridge) - singular).abs())
