"""Exact claims of BM-NAS: its operations, the network of a genotype, and what alphas lead to."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from merbench.training import load_baseline
from merbench.training.architecture.fusion import fusion_operations
from merbench.training.architecture.space import Genotype, Node, alpha_shapes, decoded
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

WIDTHS = {"audio": 88, "video": 8}


def operations(model: ModuleType) -> list[int]:
    """Return the parameters of sum, attention, linear GLU and concatenation, with 192 channels."""
    make = fusion_operations(192, 16, 0.1).of_node("node-1")
    layers = [make(name) for name in ("sum", "attention", "linear_glu", "concat_fc")]
    return [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers]


def of_a_genotype(model: ModuleType) -> int:
    """Return the parameters of the network that fuses audio.1 and video.2 by a GLU, then both layers of audio."""
    inner = [(Node(("x", "y"), ("skip", "skip"), op),) for op in ("linear_glu", "sum")]
    pairs = ("audio.1", "video.2"), ("audio.1", "audio.2")
    steps = [Node(pair, ("skip", "skip"), inside=own) for pair, own in zip(pairs, inner, strict=True)]
    options = _options(model, hidden=64, channels=16, length=4)
    shape = Shape(WIDTHS, {"emotion": 8}, [], generator("cpu", 0))
    network = model.Network(options, shape, Genotype("bm-nas", {"fusion": tuple(steps)}))
    return sum(parameter.numel() for parameter in network.parameters())


def pairs_of_alphas(model: ModuleType) -> list[int]:
    """Return the pairs of the numbers of inputs that two steps fuse, where skip has .2 .8 .6 .1 and .9 .7 .6 .2 .99."""
    space = model.space(_options(model), {"audio": 1, "video": 1})
    alphas = {name: np.zeros(shape) for name, shape in alpha_shapes(space).items()}
    share = np.array([0.2, 0.8, 0.6, 0.1, 0.9, 0.7, 0.6, 0.2, 0.99])
    alphas["fusion/edges"] = np.log(np.stack([1 - share, share], 1))
    names = space.cells["fusion"].inputs
    return [names.index(name) + 1 for step in decoded(space, alphas).cells["fusion"] for name in step.inputs]


def _options(model: ModuleType, **options: object) -> object:
    return model.Options(**load_baseline("bm-nas").options("", {"levels": 2, "steps": 2, "nodes": 1, **options}))
