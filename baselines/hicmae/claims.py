"""Exact claims of HiCMAE, most of them at full size on torch's meta device, which has shapes and no values."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch
from pydantic import TypeAdapter

from merbench.training import load_baseline
from merbench.training.networks.counts import n_parameters
from merbench.training.networks.counts import products as products_of
from merbench.training.networks.masked import tube_mask
from merbench.training.networks.network import Shape
from merbench.training.networks.video import Grid

_SIZES = ((256, 4), (384, 6), (512, 8))
"""Width and heads of HiCMAE-T, S and B."""


def encoder_parameters(model: ModuleType) -> list[int]:
    """Return the parameters of both encoders and the fusion, of the video, audio and fusion parts of T, S and B."""
    encoders = [_network(model, *size).encoder for size in _SIZES]
    return [n_parameters(part) for each in encoders for part in (each, each.video, each.audio, each.fusion)]


def all_parameters(model: ModuleType) -> int:
    """Return how many parameters HiCMAE-B has that answers with 6 labels."""
    return n_parameters(_network(model, *_SIZES[-1]))


def pretraining_parameters(model: ModuleType) -> int:
    """Return how many parameters HiCMAE-B has in pre-training."""
    return n_parameters(_network(model, *_SIZES[-1], kind="Pretraining"))


def products(model: ModuleType) -> list[int]:
    """Return the multiply-accumulates of one clip, forward, of T, S and B."""
    clips, sounds = (torch.empty(1, *shape, device="meta") for shape in ((3, 16, 160, 160), (256, 128)))
    return [products_of(_network(model, *size).eval().answered, clips, sounds) for size in _SIZES]


def visible(model: ModuleType) -> list[int]:
    """Return how many tokens of pictures, and of sound, are visible in pre-training."""
    options, device = _options(model, *_SIZES[-1]), torch.device("cpu")
    pictures = tube_mask(1, Grid.of(options, 160), options.masked, device)
    sound = tube_mask(1, options.sound_grid, options.masked_sound, device)
    return [int((~mask).sum()) for mask in (pictures, sound)]


def contrast(model: ModuleType) -> list[float]:
    """Return the contrast of 4 orthonormal vectors and themselves, at temperatures of 1 and 0.5."""
    return [float(model.info_nce(torch.eye(4), torch.eye(4), temperature)) for temperature in (1, 0.5)]


def contrast_difference(model: ModuleType) -> float:
    """Return the difference of the contrast of random vectors to its definition, term by term."""
    one, other = (torch.randn(5, 4, dtype=torch.float64) for _ in range(2))
    cosines = torch.nn.functional.cosine_similarity(one[:, None], other[None], -1) / 0.07
    rows = [*cosines.tolist(), *cosines.T.tolist()]
    terms = [math.log(sum(map(math.exp, row))) - row[n % 5] for n, row in enumerate(rows)]
    return float(model.info_nce(one, other, 0.07) - sum(terms) / 10)


def _options(model: ModuleType, width: int, heads: int) -> Any:
    loaded = load_baseline("hicmae")
    options = {**loaded.preset("paper").options, "width": width, "heads": heads}
    return TypeAdapter(model.Options).validate_python(loaded.options("", options))


def _network(model: ModuleType, width: int, heads: int, *, kind: str = "Network") -> Any:
    """Return a network of a size."""
    shape = Shape({"crops": 3 * 160**2, "log-mel": 128}, {"label": 6}, [], torch.Generator())
    with torch.device("meta"):
        return getattr(model, kind)(_options(model, width, heads), shape)
