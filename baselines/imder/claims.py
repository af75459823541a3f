"""Exact claims of IMDer: the deviation of its noise, and draws of what is known."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor, nn

from merbench.training.networks.diffusion import deviation, drawn


def deviations(model: ModuleType) -> list[float]:
    """Return the deviation of the noise at times 0.1, 0.5 and 1."""
    return [float(value) for value in deviation(torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64), 25.0)]


def moments(model: ModuleType) -> list[float]:
    """Return mean and deviation of draws by the exact score of a normal distribution of mean 2 and deviation 0.5."""

    class Exact(nn.Module):
        def forward(self, x: Tensor, condition: Tensor, times: Tensor) -> Tensor:
            variance = 0.25 + deviation(times, 25.0).square()[:, None, None]
            return (2 - x) / variance

    rng = torch.Generator().manual_seed(0)
    condition = torch.zeros(20000, 1, 1)

    def noise() -> Tensor:
        return torch.randn(condition.shape, generator=rng)

    draws = drawn(Exact(), condition, noise, sigma=25.0, n_steps=1000)
    return [float(draws.mean()), float(draws.std())]
