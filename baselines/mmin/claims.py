"""Exact claims of MMIN."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor, nn

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from merbench.training.networks.staged import Frozen


class Encodings(nn.Module):
    """Ones for a feature that is shown, and twos for zeros."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return torch.cat([torch.where(x.any(1, keepdim=True), 1.0, 2.0).expand(-1, 4) for x in inputs.values()], 1)


@torch.no_grad()
def imagination_losses(model: ModuleType) -> list[float]:
    """Return the errors of an imagination of zeros, where one of two features is missing and where none is.

    (1 + 0) / 2 and 0 of missing features; as released, the target of a present one is that of zeros: (1 + 4) / 2 and 4.
    """
    rng, losses = generator("cpu", "imagination"), []
    complete = {"audio": torch.ones(3, 2), "text": torch.ones(3, 5)}
    lacking = {**complete, "text": torch.zeros(3, 5)}
    for target in ("missing", "released"):
        given = {"imagination": 1.0, "embedding": 4, "target": target}
        options = model.Options(**load_baseline("mmin").options("", given))
        network = model.Network(options, Shape({"audio": 2, "text": 5}, {"number": None}, [rng], rng))
        network.remembered = Frozen(Encodings())
        for layer in network.imagination.transition[-1:]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for inputs in (lacking, complete):
            targets = {"number": torch.zeros(3)}
            batch = Batch(inputs, {}, {}, torch.arange(3), targets=targets, epoch=1, complete=complete)
            losses.append(float(network(batch)[1]["imagination"]))
    return losses
