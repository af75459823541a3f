"""What the hand values of `baseline.toml` are compared with."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training.networks.frames import concordance_loss


def smoothing(model: ModuleType) -> list[float]:
    """Return (0, 6, 0, 0) smoothed with μ 5, where the initial state is 0."""
    layer = model.TwoTapSmoothing(1, 5.0)
    torch.nn.init.zeros_(layer.initial)
    with torch.no_grad():
        values: list[float] = layer(torch.tensor([0.0, 6, 0, 0]).view(1, 4, 1, 1)).flatten().tolist()
    return values


def concordance(model: ModuleType) -> list[float]:
    """Return the loss of 1, 2, 3, 5 for 0, 1, 2, 3, and that of equal series."""
    numbers = torch.tensor([[0.0, 1, 2, 3]])
    known = torch.ones(1, 4, dtype=torch.bool)
    return [float(concordance_loss(output, numbers, known)) for output in (torch.tensor([[1.0, 2, 3, 5]]), numbers)]
