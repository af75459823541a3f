"""Exact claims of attention: what a constant added to all weights does."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.batches import Batch
from merbench.training.networks.network import Shape


def moved_by_a_constant(model: Any) -> list[float]:
    """Return how far an output moves when 1 is added to the weight of every modality: without softmax, and with it.

    With weights 0 and biases 1, the two units of each of three encodings are 1. An output that adds up the units of
    their weighted sum moves by 3 · 2 = 6, the sum of all encodings, and by 0 where a softmax removes what the weights
    have in common.
    """
    rows = {name: torch.ones(1, 1, 1) for name in ("audio", "text", "video")}
    batch = Batch(rows, {}, {}, torch.zeros(1, 1, dtype=torch.int64))
    moved = []
    for softmax in (False, True):
        architecture = {"hidden": (2,), "dropout": 0.0, "softmax": softmax, "standardise": False}
        options = model.Options(**architecture, epochs=1, batch_size=1, learning_rate=1.0)
        shape = Shape(dict.fromkeys(rows, 1), {"valence": None}, [torch.Generator()], torch.Generator())
        network = model.Network(options, shape).requires_grad_(False).eval()
        for name, parameter in network.named_parameters():
            parameter.fill_(float(name.endswith("bias")))
        (head,) = network.heads.layers
        head.weight.fill_(1)
        before = network(batch)["valence"]
        network.attention[-1].bias.add_(1)
        moved.append(float(network(batch)["valence"] - before))
    return moved
