"""Exact claims of the Tensor Fusion Network: of the layer that it trains."""

from __future__ import annotations

from types import ModuleType

import torch

H = 4


@torch.no_grad()
def tensor(model: ModuleType) -> list[float]:
    """Return the number of entries of the tensor of three encodings, the first entry, and the last."""
    n_entries = (H + 1) ** 3
    layer = model.TensorLinear(3, H, n_entries, 0.0)
    layer.weight.copy_(torch.eye(n_entries))  # so that the output is the tensor
    layer.bias.zero_()
    entries = layer([torch.tensor([[1.0, -1.0, 4.0, last]]) for last in (2.0, 3.0, 5.0)])[0]
    return [len(layer.weight), float(entries[0]), float(entries[-1])]


@torch.no_grad()
def departures_from_linear(model: ModuleType) -> list[float]:
    """Return, for every modality, the largest |f(x + y) - f(x) - f(y) + f(0)| where the others are zero.

    f is the layer that reads the tensor; all numbers are integers, so nothing is rounded.
    """
    rng = torch.Generator().manual_seed(0)
    layer = model.TensorLinear(3, H, 7, 0.0).double()
    for parameter in layer.parameters():
        parameter.copy_(torch.randint(-9, 10, parameter.shape, generator=rng))
    x, y = (torch.randint(-9, 10, (5, H), generator=rng).double() for _ in range(2))
    largest = []
    for modality in range(3):

        def f(encoding: torch.Tensor, modality: int = modality) -> torch.Tensor:
            encodings = [torch.zeros(5, H, dtype=torch.float64)] * 3
            encodings[modality] = encoding
            fused: torch.Tensor = layer(encodings)
            return fused

        largest.append(float((f(x + y) - f(x) - f(y) + f(torch.zeros_like(x))).abs().max()))
    return largest
