"""Exact claims of VideoMAE, most of them at full size on torch's meta device, which has shapes and no values."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.counts import n_parameters
from merbench.training.networks.counts import products as products_of
from merbench.training.networks.masked import targets, tube_mask
from merbench.training.networks.network import Shape
from merbench.training.networks.video import Grid

LABELS = 7


def parameters_at_full_size(model: ModuleType) -> int:
    """Return the parameters of the network that answers, with seven labels."""
    with torch.device("meta"):
        return n_parameters(model.answers(_options(model, "paper"), _shape(160, LABELS)))


def products(model: ModuleType) -> int:
    """Return the multiply-accumulates of one view of a clip."""
    with torch.device("meta"):
        network = model.answers(_options(model, "paper"), _shape(160, LABELS)).eval()
        return products_of(network.answered, torch.empty(1, 3, 16, 160, 160))


def hidden(model: ModuleType) -> list[int]:
    """Return how many tokens a mask hides at each time, and how many of all are visible; as many in every mask."""
    grid = Grid.of(_options(model, "paper"), 160)
    mask = tube_mask(16, grid, 0.9, torch.device("cpu"))
    by_time = mask.view(16, grid.times, -1)
    assert bool((by_time == by_time[:, :1]).all())
    return [*torch.unique(by_time.sum(-1)).tolist(), *torch.unique((~mask).sum(1)).tolist()]


def loss_of_perfect_decoder(model: ModuleType) -> float:
    """Return the loss where the decoder returns what is to be reconstructed."""
    options = replace(_options(model), flip=False)
    network: Any = model.pretraining(options, _shape(64))
    rows, lengths = 255 * torch.rand(3, options.frames, 3 * 64 * 64), torch.full((3,), options.frames)
    batch = Batch({"video": rows}, {"video": lengths}, {}, torch.arange(3))
    clips = network.clips.view(batch, 0.0)  # there is one place where they may begin
    network.decoder = _Perfect(targets(clips, options.patch, differences=options.differences))
    return float(network(batch)[1]["loss"])


class _Perfect(nn.Module):
    def __init__(self, wanted: Tensor) -> None:
        super().__init__()
        self.wanted = wanted

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Return the targets of the hidden tokens."""
        return self.wanted[mask].view(len(tokens), -1, self.wanted.shape[-1])


def _options(model: ModuleType, preset: str | None = None) -> Any:
    loaded = load_baseline("videomae")
    return model.Options(**loaded.options("", loaded.preset(preset).options))


def _shape(size: int, labels: int = 0) -> Shape:
    rng = torch.Generator()
    return Shape({"video": 3 * size * size}, {"discrete": labels} if labels else {}, [rng], rng)
