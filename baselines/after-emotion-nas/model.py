"""After EmotionNAS (Sun et al., arXiv:2203.13617): two searched streams, and what each supplements of the other.

Conventions:
    As in `merbench.training.architecture.darts`. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.architecture.cells import Cells
from merbench.training.architecture.darts import (
    ConvolvedRows,
    RecurrentRows,
    activations,
    convolution_space,
    convolutions,
    recurrent_space,
)
from merbench.training.architecture.searched import SearchedBaseline, SearchedSchedule
from merbench.training.architecture.space import Genotype, Space
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import Shape
from merbench.training.networks.recurrent import aligned, window_means


@dataclass(frozen=True)
class Options(SearchedSchedule):
    """Architecture, its search, and training.

    Attributes:
        hidden: channels, or numbers of a state, h, and width of each stream's vector.
        nodes: of each of the two cells.
        layers: how often the cell of convolutions follows itself.
        window: how many consecutive rows are averaged first.
        supplement: whether each stream is supplemented by the other.
        dropout: share of the vectors before the heads that is dropped in training.
    """

    hidden: Width
    nodes: Annotated[int, Within(1, 8)]
    layers: Annotated[int, Within(1, 16)]
    window: Annotated[int, Within(1)]
    supplement: bool
    dropout: Dropout


def space(options: Options, widths: Mapping[str, int]) -> Space:
    """Return the space of both cells, which does not depend on the features."""
    cells = {"convolutions": convolution_space(options.nodes), "recurrent": recurrent_space(options.nodes)}
    return Space("after-emotion-nas", cells)


class Supplement(nn.Module):
    """x + σ(W [x, y]) ⊙ U y: what a stream gets of the other one, as much as a gate of both allows; 3 h² + 2 h."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate, self.other = nn.Linear(2 * width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return vectors `(B, h)`."""
        output: Tensor = x + self.gate(torch.cat([x, y], -1)).sigmoid() * self.other(y)
        return output


class Network(nn.Module):
    """Sequences to one output per target: the first feature by convolutions, the others by recurrent steps.

    Args:
        options: the architecture.
        shape: what it is made for.
        genotype: None: it is searched.
    """

    def __init__(self, options: Options, shape: Shape, genotype: Genotype | None = None) -> None:
        super().__init__()
        h, (first, *others) = options.hidden, shape.widths
        self.first, self.others, self.window = first, others or [first], options.window
        operations = {"convolutions": convolutions(h), "recurrent": activations(h)}
        self.cells = Cells(space(options, shape.widths), operations, genotype, {"convolutions": options.layers})
        self.handcrafted = ConvolvedRows(shape.widths[first], h, options.nodes, options.layers)
        self.deep = RecurrentRows(sum(shape.widths[name] for name in self.others), h)
        self.vectors = nn.ModuleList(nn.Linear(stream.n_out, h) for stream in (self.handcrafted, self.deep))
        self.supplements = nn.ModuleList(Supplement(h) for _ in range(2 if options.supplement else 0))
        self.dropout, self.heads = nn.Dropout(options.dropout), Heads(2 * h, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        weights = self.cells.weights()
        rows, lengths = window_means(batch.inputs[self.first], batch.lengths[self.first], self.window)
        others, n_others = aligned(_features(batch, self.others), window=self.window)
        read = [
            self.handcrafted(self.cells, rows, lengths, weights),
            self.deep(self.cells, torch.cat([*others.values()], -1), n_others, weights),
        ]
        x, y = (layer(vector).relu() for layer, vector in zip(self.vectors, read, strict=True))
        if self.supplements:
            x, y = self.supplements[0](x, y), self.supplements[1](y, x)
        outputs: dict[str, Tensor] = self.heads(self.dropout(torch.cat([x, y], -1)))
        return outputs


def _features(batch: Batch, names: list[str]) -> Batch:
    inputs, lengths = ({name: part[name] for name in names} for part in (batch.inputs, batch.lengths))
    return Batch(inputs, lengths, {}, batch.samples)


def build(options: Options, setup: Setup) -> SearchedBaseline:
    return SearchedBaseline(partial(Network, options), partial(space, options), options, setup, kind="sequences")
