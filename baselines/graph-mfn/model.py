"""Graph Memory Fusion Network (Zadeh et al., ACL 2018): an LSTM per feature, fused in a graph, and a memory of that.

A vertex of the dynamic fusion graph is a feature, or two or more of them together; it is computed from all vertices
with fewer of the same features, each times an efficacy that depends on the features. The output vertex, of all others,
is written into a memory through two gates. The heads read the last states of the LSTMs and the last memory.

Conventions:
    B samples of a batch, T steps, M features, h units of an LSTM and numbers of a vertex, E edges of the graph. Padding
    comes after the real steps, and the states after a sample's last real step are used. Outputs are `(B, K)` scores or
    `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.memory import GatedMemory, TwoLayers
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import aligned, last_states, real_rows

Vertex = tuple[int, ...]
"""The numbers of its features, in order."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: units h of every LSTM, numbers of a vertex, and hidden units of the networks of memory and output.
        memory: numbers of the memory.
        inner: width of the first layer of the networks of the graph; 100 in the released code.
        bounded: whether efficacies are sigmoids, so between 0 and 1, or any numbers (the released code).
        nonlinear: whether the networks of the graph have a ReLU between their layers, or are linear maps (the same).
        frozen: whether the networks of vertices of several features keep their initial values, as the same does.
        window: how many consecutive rows are averaged before features are aligned.
        dropout: share of the hidden units of the networks of memory and output that is dropped in training.
        standardise: whether rows are standardised by what each fold learns from (MERBench: not).
    """

    hidden: Width
    memory: Width
    inner: Width
    bounded: bool
    nonlinear: bool
    frozen: bool
    window: Annotated[int, Within(1)]
    dropout: Dropout
    standardise: bool


def parts(vertex: Vertex) -> list[Vertex]:
    """Return the vertices with fewer of the same features, those of one feature first."""
    return [part for size in range(1, len(vertex)) for part in combinations(vertex, size)]


class FusionGraph(nn.Module):
    """The dynamic fusion graph of M features, `(…, h)` each, to its output vertex, `(…, h)`, and efficacies `(…, E)`.

    Of three features: 3 vertices of one, 3 of two and 1 of all, 3 · 2 + 6 edges between them, and 7 to the output.
    Efficacies are in this order, those to the output last.

    Args:
        n_features: number of features M.
        options: the architecture.
    """

    def __init__(self, n_features: int, options: Options) -> None:
        super().__init__()
        every, h = tuple(range(n_features)), options.hidden
        vertices = [*parts(every), every]
        self.fused = vertices[n_features:]
        self.n_edges = [len(parts(vertex)) for vertex in self.fused] + [len(vertices)]
        self.bounded = options.bounded

        def layers(n_vertices: int) -> list[nn.Module]:
            between = [nn.ReLU()] if options.nonlinear else []
            return [nn.Linear(n_vertices * h, options.inner), *between, nn.Linear(options.inner, h)]

        self.networks = nn.ModuleList(nn.Sequential(*layers(n)) for n in self.n_edges[:-1])
        self.networks.requires_grad_(not options.frozen)
        self.output = nn.Sequential(*layers(self.n_edges[-1]))
        between = [nn.ReLU()] if options.nonlinear else []
        self.efficacies = nn.Sequential(*layers(n_features), *between, nn.Linear(h, sum(self.n_edges)))

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the output vertex, and the efficacies of all edges."""
        efficacies = self.efficacies(torch.cat(list(features), -1))
        if self.bounded:
            efficacies = efficacies.sigmoid()
        *into, to_output = efficacies[..., None].split(self.n_edges, -2)
        values: dict[Vertex, Tensor] = {(n,): value for n, value in enumerate(features)}
        for vertex, network, own in zip(self.fused, self.networks, into, strict=True):
            values[vertex] = network((torch.stack([values[part] for part in parts(vertex)], -2) * own).flatten(-2))
        output: Tensor = self.output((torch.stack(list(values.values()), -2) * to_output).flatten(-2))
        return output, efficacies


class Network(nn.Module):
    """Sequences of a few features to one output per target.

    A feature that a sample lacks is zeros at every step: the mean of what was learned from, if standardised.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, n_output = options.hidden, (options.hidden + 1) // 2
        self.window, self.names = options.window, list(shape.widths)
        self.lstms = nn.ModuleList(nn.LSTM(width, h, batch_first=True) for width in shape.widths.values())
        self.singles = nn.ModuleList(nn.Linear(2 * h, h) for _ in shape.widths)
        self.graph = FusionGraph(len(shape.widths), options)
        self.memory = GatedMemory(h, h, options.memory, options.dropout)
        self.output = TwoLayers(len(shape.widths) * h + options.memory, h, n_output, options.dropout)
        self.heads = Heads(n_output, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        states, lengths = self._states(batch)
        fused, _ = self.graph(self._vertices(states))
        last = [last_states(steps, lengths) for steps in (*states, self.memory(fused))]
        outputs: dict[str, Tensor] = self.heads(self.output(torch.cat(last, -1)))
        return outputs

    def diagnostics(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the mean size of the efficacy of every vertex for the output, over the steps of a sample."""
        states, lengths = self._states(batch)
        _, efficacies = self.graph(self._vertices(states))
        real = real_rows(lengths, efficacies.shape[1])[..., None]
        sums = (efficacies[..., -self.graph.n_edges[-1] :].abs() * real).sum(1)
        means = (sums / lengths.clamp_min(1)[:, None])[batch.real].mean(0)
        every = tuple(range(len(self.names)))
        vertices = ["+".join(self.names[n] for n in vertex) for vertex in (*parts(every), every)]
        return {f"efficacy of {vertex}": mean for vertex, mean in zip(vertices, means, strict=True)}

    def _states(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Return the states of every LSTM after every step, `(B, T, h)` each, and how many steps are real, `(B,)`."""
        rows, lengths = aligned(batch, window=self.window)
        return [lstm(own)[0] for lstm, own in zip(self.lstms, rows.values(), strict=True)], lengths

    def _vertices(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Return the vertices of one feature: of its states before and after every step."""
        before = [nn.functional.pad(own, (0, 0, 1, 0))[:, :-1] for own in states]
        pairs = zip(self.singles, before, states, strict=True)
        return [layer(torch.cat([first, then], -1)).relu() for layer, first, then in pairs]


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, kind="sequences", standardise=options.standardise)
