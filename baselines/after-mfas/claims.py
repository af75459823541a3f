"""Exact claims: codes of rows by hand, and how many architectures the space of one feature has."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.errors import UsageError
from merbench.training import load_baseline
from merbench.training.architecture.space import random_genotypes


def nearest_codes(model: ModuleType) -> list[float]:
    """Return the codes of three rows, where the projection passes rows of two numbers as they are."""
    layer = model.Quantised(2, 2, 1)
    with torch.no_grad():
        for part in (layer.projection, layer.codes):
            part.zero_()
            part[0, 0] = part[1, 1] = 1
        layer.embeddings.weight.copy_(torch.tensor([[0.0], [1.0]]))
        values: list[float] = layer(torch.tensor([[[3.0, 1.0], [1.0, 3.0], [-1.0, 0.0]]])).flatten().tolist()
    return values


def architectures(model: ModuleType) -> int:
    """Return how many different architectures there are of one feature, two steps and two nodes."""
    options = model.Options(**load_baseline("after-mfas").options("", {"steps": 2, "nodes": 2}))
    space, n = model.space(options, {"voice": 1}), 1
    try:
        while n < 200:
            n = len(random_genotypes(space, n, seed=0)) + 1
    except UsageError:
        pass
    return n - 1
