"""DARTS (Liu et al. 2019): a cell of convolutions over rows, or of a recurrent step, is searched, first order.

Conventions:
    As in `merbench.training.architecture.darts`. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

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
from merbench.training.networks.recurrent import aligned


@dataclass(frozen=True)
class Options(SearchedSchedule):
    """Architecture, its search, and training.

    Attributes:
        cell: what is searched, `convolutions` or `recurrent`.
        hidden: channels, or numbers of a state, h.
        nodes: of the cell.
        layers: how often the cell of convolutions follows itself.
        window: how many consecutive rows are averaged before features are aligned.
        dropout: share of the vector before the heads that is dropped in training.
    """

    cell: Literal["convolutions", "recurrent"]
    hidden: Width
    nodes: Annotated[int, Within(1, 8)]
    layers: Annotated[int, Within(1, 16)]
    window: Annotated[int, Within(1)]
    dropout: Dropout


def space(options: Options, widths: Mapping[str, int]) -> Space:
    """Return the space, which does not depend on the features."""
    cells = {"convolutions": convolution_space, "recurrent": recurrent_space}
    return Space("darts", {options.cell: cells[options.cell](options.nodes)})


class Network(nn.Module):
    """Sequences of any number of features, aligned and next to each other, to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
        genotype: None: it is searched.
    """

    def __init__(self, options: Options, shape: Shape, genotype: Genotype | None = None) -> None:
        super().__init__()
        h, n_in = options.hidden, sum(shape.widths.values())
        operations = {"convolutions": convolutions(h), "recurrent": activations(h)}
        self.cells = Cells(space(options, shape.widths), operations, genotype, {"convolutions": options.layers})
        self.rows: ConvolvedRows | RecurrentRows = RecurrentRows(n_in, h)
        if options.cell == "convolutions":
            self.rows = ConvolvedRows(n_in, h, options.nodes, options.layers)
        self.window, self.dropout = options.window, nn.Dropout(options.dropout)
        self.heads = Heads(self.rows.n_out, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        rows, lengths = aligned(batch, window=self.window)
        vector = self.rows(self.cells, torch.cat([*rows.values()], -1), lengths, self.cells.weights())
        outputs: dict[str, Tensor] = self.heads(self.dropout(vector))
        return outputs


def build(options: Options, setup: Setup) -> SearchedBaseline:
    return SearchedBaseline(partial(Network, options), partial(space, options), options, setup, kind="sequences")
