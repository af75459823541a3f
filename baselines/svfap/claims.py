"""Exact claims of SVFAP, most of them at full size on torch's meta device, which has shapes and no values."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from pydantic import TypeAdapter

from merbench.training import load_baseline
from merbench.training.networks.counts import n_parameters
from merbench.training.networks.counts import products as products_of
from merbench.training.networks.masked import tube_mask
from merbench.training.networks.network import Shape


def all_parameters(model: ModuleType) -> int:
    """Return how many parameters the network has that answers with 7 labels."""
    return n_parameters(_network(model))


def pretraining_parameters(model: ModuleType) -> int:
    """Return how many parameters the network has that is pre-trained."""
    return n_parameters(_network(model, "Pretraining"))


def products(model: ModuleType) -> int:
    """Return the multiply-accumulates of one clip, forward."""
    return products_of(_network(model).eval().answered, torch.empty(1, 3, 16, 160, 160, device="meta"))


def stage_parameters(model: ModuleType) -> list[int]:
    """Return how many parameters a convolution over time, a bottleneck and a block of a later stage have."""
    encoder = _network(model).encoder
    stage = encoder.stages[0]
    return [n_parameters(part) for part in (stage.halve, stage.bottleneck, encoder.blocks[-1])]


def visible(model: ModuleType) -> list[int]:
    """Return how many tokens of a clip are visible, and after stages of half the times, of 1,000 masks at most."""
    mask = tube_mask(1000, _network(model).encoder.grid, _options(model).masked, torch.device("cpu"))
    by_time = (~mask).view(1000, 8, 100)
    assert (by_time == by_time[:, :1]).all()
    return [int((~mask).sum(1).max()), int(by_time[:, 0].sum(1).max())]


def leak(_: ModuleType) -> float:
    """Return the largest change of what is made of visible tokens when hidden pixels change, in a small network."""
    loaded = load_baseline("svfap")
    model, options = loaded.module, loaded.options("", {})
    encoder = model.Pyramid(TypeAdapter(model.Options).validate_python(options), 64).eval()
    clips = torch.rand(2, 3, 16, 64, 64)
    mask = tube_mask(2, encoder.grid, 0.9, torch.device("cpu"))
    hidden = mask.view(2, 8, 4, 4).repeat_interleave(2, 1).repeat_interleave(16, 2).repeat_interleave(16, 3)
    changed = torch.where(hidden[:, None], torch.rand_like(clips), clips)
    with torch.no_grad():
        return float((encoder(changed, mask) - encoder(clips, mask)).abs().max())


def _options(model: ModuleType) -> Any:
    loaded = load_baseline("svfap")
    return TypeAdapter(model.Options).validate_python(loaded.options("", loaded.preset("paper").options))


def _network(model: ModuleType, kind: str = "Network") -> Any:
    """Return a network of the paper's size."""
    shape = Shape({"crops": 3 * 160**2}, {"label": 7}, [], torch.Generator())
    with torch.device("meta"):
        return getattr(model, kind)(_options(model), shape)
