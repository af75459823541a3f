"""Exact claims: the information supplement by hand."""

from __future__ import annotations

from types import ModuleType

import torch


def supplement(model: ModuleType) -> list[float]:
    """Return the parameters of a supplement of 16 numbers, and what 1 and 4 become where the gate is half open."""
    count = sum(parameter.numel() for parameter in model.Supplement(16).parameters())
    layer = model.Supplement(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.other.weight.fill_(1)
        one, four = torch.tensor([[1.0]]), torch.tensor([[4.0]])
        return [count, float(layer(one, four)), float(layer(four, one))]
