"""Exact claims of CPM-Net."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator


def similarities_and_loss(model: ModuleType) -> list[float]:
    latents = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    members = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    return [*model.similarities(latents, members).flatten().tolist(), float(model.class_loss(latents, members))]


@torch.no_grad()
def difference_of_fitted(model: ModuleType) -> float:
    """Return how far fitted latent vectors are from least-squares solutions, of which numpy's pinv is the reference."""
    rng = generator("cpu", "fitted")
    maps = model.Maps(2, {"audio": 5, "text": 3}, rng)
    x = {name: torch.randn(4, width, generator=rng) / 4 for name, width in {"audio": 5, "text": 3}.items()}
    present = {"audio": torch.tensor([True, True, False, True]), "text": torch.tensor([True, False, True, True])}
    fitted = maps.fitted(Batch(x, {}, present, torch.arange(4)), 3000, 0.01)
    weights = {name: layer.weight for name, layer in zip(x, maps.layers, strict=True)}  # biases are 0
    differences = []
    for row in range(4):
        has = [name for name in x if present[name][row]]
        target = torch.cat([x[name][row] for name in has])
        solution = torch.linalg.pinv(torch.cat([weights[name] for name in has])) @ target
        differences.append((fitted[row] - solution).abs().max())
    return float(torch.stack(differences).max())
