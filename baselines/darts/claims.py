"""Exact claims of DARTS: parameters of its operations, and a node of the recurrent step by hand."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import nn

from merbench.training.architecture.darts import Gate, convolutions


def operations(model: ModuleType) -> list[int]:
    """Return the parameters of the operations of the cell of convolutions, with 16 channels."""
    make = convolutions(16).of_node("node-1")
    names = ("sep_3", "sep_5", "dil_3", "dil_5", "max_3", "avg_3", "skip")
    return [sum(parameter.numel() for parameter in make(name).parameters()) for name in names]


def recurrent_step(model: ModuleType) -> list[float]:
    """Return s + σ(0) (relu(g) - s) of the state s = 0.5, with g = 4 s and g = -4 s."""
    gate = Gate(nn.Linear(1, 2, bias=False), "relu")
    values = []
    with torch.no_grad():
        for slope in (4.0, -4.0):
            gate.linear.weight.copy_(torch.tensor([[0.0], [slope]]))
            values.append(float(gate(torch.tensor([[0.5]]))))
    return values
