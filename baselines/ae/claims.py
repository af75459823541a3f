"""Exact claims of the autoencoder."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape


@torch.no_grad()
def reconstruction_losses(model: ModuleType) -> list[float]:
    """Return the loss of complete samples, of two of which one lacks a feature, and of these given twice.

    Decoders return 3 for every number, and the feature is 1: (3 - 1)² of one of two samples is 4 / 2, with weight 1.
    """
    rng = generator("cpu", "reconstruction")
    options = model.Options(**load_baseline("ae").options("", {"reconstruction": 1.0, "dropout": 0.0}))
    network = model.Network(options, Shape({"audio": 2, "text": 3}, {"number": None}, [rng], rng))
    for decoder in network.decoders:
        torch.nn.init.zeros_(decoder[-1].weight)
        torch.nn.init.constant_(decoder[-1].bias, 3.0)

    def loss(lacking: Tensor, n: int) -> float:
        complete = {"audio": torch.ones(n, 2), "text": torch.ones(n, 3)}
        inputs = {**complete, "text": complete["text"].masked_fill(lacking[:, None], 0)}
        targets = {"number": torch.zeros(n)}
        batch = Batch(inputs, {}, {}, torch.arange(n), targets=targets, epoch=1, complete=complete)
        return float(network(batch)[1]["reconstruction"])

    lacking = torch.tensor([True, False])
    return [loss(lacking & False, 2), loss(lacking, 2), loss(lacking.repeat(2), 4)]
