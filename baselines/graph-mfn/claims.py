"""Exact claims of the graph memory fusion network."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from merbench.training import load_baseline
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape


def options(model: ModuleType, **given: object) -> Any:
    """Return the options of the network, those that are declared but for those given."""
    return model.Options(**load_baseline("graph-mfn").options("", given))


def parameters_of_released(model: ModuleType) -> list[int]:
    """Return how many parameters vertices of several features have, and how many all the rest has."""
    shape = Shape(
        dict.fromkeys(("audio", "text", "video"), 1024), {"emotion": 6, "valence": None}, [], generator("cpu", 0)
    )
    network = model.Network(options(model, hidden=128, memory=128), shape)
    n_every, n_fused = (
        sum(parameter.numel() for parameter in part.parameters()) for part in (network, network.graph.networks)
    )
    return [n_fused, n_every - n_fused]


def edges(model: ModuleType) -> list[int]:
    """Return the number of efficacies of two, three and four features."""
    return [sum(model.FusionGraph(n, options(model, hidden=1, inner=1)).n_edges) for n in (2, 3, 4)]


def graph_of_two(model: ModuleType) -> list[float]:
    """Return the output of the features 2 and 0.5 where all weights are 1 and efficacies 1, -2, 0.5, 1, 3 are given.

    The pair is 1 · 2 - 2 · 0.5 = 1, the output 0.5 · 2 + 1 · 0.5 + 3 · 1 = 4.5. Bounded, they are 0.731059, 0.119203,
    0.622459, 0.731059, 0.952574; the pair is 1.521719, the output 1.244919 + 0.365529 + 1.449550 = 3.059998.
    """
    values = []
    for bounded in (False, True):
        graph = model.FusionGraph(2, options(model, hidden=1, inner=1, bounded=bounded))
        with torch.no_grad():
            for name, parameter in graph.named_parameters():
                parameter.fill_(float(name.endswith("weight") and not name.startswith("efficacies")))
            graph.efficacies[-1].bias.copy_(torch.tensor([1.0, -2.0, 0.5, 1.0, 3.0]))
            values.append(float(graph([torch.tensor([2.0]), torch.tensor([0.5])])[0]))
    return values
