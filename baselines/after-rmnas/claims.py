"""Exact claims: variation by hand, and parameters of blocks with every mixer."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training import load_baseline


def variations(model: ModuleType) -> list[float]:
    """Return how utterances 1, 3 and 2 vary."""
    values: list[float] = model.variation(torch.tensor([[[1.0], [3.0], [2.0]]])).flatten().tolist()
    return values


def blocks(model: ModuleType) -> list[int]:
    """Return the parameters of a block with each mixer, with h = 32."""
    options = load_baseline("after-rmnas").options("", {"hidden": 32, "heads": 4, "variation": True})
    make = model.mixers(model.Options(**options)).of_node("layer-1")
    return [sum(parameter.numel() for parameter in make(name).parameters()) for name in model.MIXERS]
