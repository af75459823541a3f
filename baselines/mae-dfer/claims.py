"""Exact claims of MAE-DFER, most of them at full size on torch's meta device, which has shapes and no values."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from merbench.training import load_baseline
from merbench.training.networks.counts import n_parameters
from merbench.training.networks.counts import products as products_of
from merbench.training.networks.masked import window_mask
from merbench.training.networks.network import Shape
from merbench.training.networks.video import Answers, Grid


def parameters_at_full_size(model: ModuleType) -> list[int]:
    """Return the parameters of the network that answers, with seven and with eleven labels."""
    return [n_parameters(_answers(model, labels)) for labels in (7, 11)]


def parameters_of_pretraining(model: ModuleType) -> int:
    """Return the parameters of the network that is pre-trained."""
    with torch.device("meta"):
        return n_parameters(model.pretraining(_options(model, "paper"), _shape(160)))


def products(model: ModuleType) -> int:
    """Return the multiply-accumulates of one view of a clip, with seven labels."""
    return products_of(_answers(model, 7).answered, torch.empty(1, 3, 16, 160, 160, device="meta"))


def saved(model: ModuleType) -> int:
    """Return by how many per cent these are below those of VideoMAE, rounded."""
    other = load_baseline("videomae")
    options = other.module.Options(**other.options("", other.preset("paper").options))
    with torch.device("meta"):
        peer = other.module.answers(options, _shape(160, 7)).eval()
        of_peer = products_of(peer.answered, torch.empty(1, 3, 16, 160, 160))
    return round(100 * (1 - products(model) / of_peer))


def products_of_block(model: ModuleType) -> int:
    """Return the multiply-accumulates of one block with 8 regions of 100 tokens."""
    with torch.device("meta"):
        return products_of(model.Block(512, 8).eval(), torch.empty(1, 8, 101, 512))


def hidden(model: ModuleType) -> list[int]:
    """Return how many tokens a mask hides in each window and time, and how many of all are visible."""
    grid = Grid.of(_options(model, "paper"), 160)
    mask = window_mask(16, grid, 0.9, torch.device("cpu"), (5, 10))
    by_window = mask.view(16, grid.times, 2, 50)
    return [*torch.unique(by_window.sum(-1)).tolist(), *torch.unique((~mask).sum(1)).tolist()]


def reach(model: ModuleType) -> list[int]:
    """Return how many regions change where a token of the second one does: within regions, and after the block."""
    block = model.Block(16, 2).eval()
    tokens = torch.randn(1, 8, 5, 16)
    other = tokens.clone()
    other[0, 1, 3] = torch.randn(16)
    with torch.no_grad():
        return [int((part(tokens) != part(other)).flatten(2).any(-1).sum()) for part in (block.local, block)]


def _answers(model: ModuleType, labels: int) -> Answers:
    with torch.device("meta"):
        network: Answers = model.answers(_options(model, "paper"), _shape(160, labels))
    return network.eval()


def _options(model: ModuleType, preset: str | None = None) -> Any:
    loaded = load_baseline("mae-dfer")
    options = loaded.options("", loaded.preset(preset).options)
    return model.Options(**{**options, "region": tuple(options["region"])})


def _shape(size: int, labels: int = 0) -> Shape:
    rng = torch.Generator()
    return Shape({"video": 3 * size * size}, {"discrete": labels} if labels else {}, [rng], rng)
