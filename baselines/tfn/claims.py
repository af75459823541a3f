"""What is exactly true of the Tensor Fusion Network."""

from __future__ import annotations

from types import ModuleType

import torch

H = 4


def tensor(model: ModuleType) -> list[float]:
    """Return the number of entries of the tensor of three encodings, the first entry, and the last."""
    encodings = [torch.tensor([[1.0, -1.0, 4.0, last]]) for last in (2.0, 3.0, 5.0)]
    entries = model.tensor_of(encodings)[0]
    return [len(entries), float(entries[0]), float(entries[-1])]


def departures_from_linear(model: ModuleType) -> list[float]:
    """Return, for every modality, the largest |f(x + y) - f(x) - f(y) + f(0)| where the others are zero.

    f is the layer that reads the tensor; all numbers are whole, so nothing is rounded.
    """
    rng = torch.Generator().manual_seed(0)
    weight = torch.randint(-9, 10, (7, (H + 1) ** 3), generator=rng).double()
    x, y = (torch.randint(-9, 10, (5, H), generator=rng).double() for _ in range(2))
    largest = []
    for modality in range(3):

        def f(encoding: torch.Tensor, modality: int = modality) -> torch.Tensor:
            encodings = [torch.zeros(5, H, dtype=torch.float64)] * 3
            encodings[modality] = encoding
            fused: torch.Tensor = model.tensor_of(encodings) @ weight.T
            return fused

        largest.append(float((f(x + y) - f(x) - f(y) + f(torch.zeros_like(x))).abs().max()))
    return largest
