"""Exact claims of MMIM: its terms of information for samples whose values are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch


def contrast_of_equal_rows(model: Any) -> list[float]:
    """The contrast of 1, 2, 7 and 32 equal rows minus the logarithm of their number."""
    rows = [torch.full((n, 5), 0.3) for n in (1, 2, 7, 32)]
    return [float(model.contrast(x, x)) - math.log(len(x)) for x in rows]


def contrast_of_orthogonal_rows(model: Any) -> float:
    """The contrast of four orthonormal rows with themselves."""
    return float(model.contrast(torch.eye(4), torch.eye(4)))


def likelihood(model: Any) -> list[float]:
    """The log-likelihood minus that of torch's normal distribution, without the constant of the latter."""
    torch.manual_seed(0)
    options = SimpleNamespace(hidden=8, directions=2, bounded=True)
    bound, main, other = model.Bound(options), torch.randn(6, 8), torch.randn(6, 8)
    with torch.no_grad():
        variance = bound.log_variance(main).tanh().exp()
        normal = torch.distributions.Normal(bound.mean(main), variance.sqrt())
        wanted = normal.log_prob(other).sum(1).mean() + 4 * math.log(2 * math.pi)
        return [float(bound(main, other)[0] - wanted)]
