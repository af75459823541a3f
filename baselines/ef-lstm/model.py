"""Early fusion by an LSTM: the aligned rows of all features are concatenated, and read as one sequence.

After EF-LSTM of MERBench (arXiv:2401.03429) and MMSA (Yu et al. 2020): the state of the last of several LSTM layers
after the last row goes through dropout, a layer with ReLU, and dropout.

Conventions:
    As in `merbench.training.networks.recurrent`. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.errors import UnknownName
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import aligned, last_states


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of the states of every layer, and of the layer after them.
        layers: number of LSTM layers.
        window: how many rows that follow each other are averaged before features are aligned.
        align_to: the feature whose number of rows the others get; empty: of every sample the one with the fewest.
        dropout: share of units that is dropped in training: between LSTM layers, and before and after the last layer.
        standardise: whether rows are standardised by what each fold learns from (MERBench: not).
    """

    hidden: Width
    layers: Annotated[int, Within(1, 16)]
    window: Annotated[int, Within(1)]
    align_to: str
    dropout: Dropout
    standardise: bool


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    A feature that a sample lacks is zeros: the mean of what was learned from, where rows are standardised.

    Args:
        options: the architecture.
        shape: what it is made for.

    Raises:
        UnknownName: it is to be aligned to a feature that it is not given.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        if options.align_to and options.align_to not in shape.widths:
            raise UnknownName("feature", options.align_to, shape.widths, "align_to is one that the network reads")
        self.align_to, self.window, h = options.align_to, options.window, options.hidden
        between = options.dropout if options.layers > 1 else 0.0
        self.lstm = nn.LSTM(sum(shape.widths.values()), h, options.layers, dropout=between, batch_first=True)
        self.linear = nn.Linear(h, h)
        self.dropout = nn.Dropout(options.dropout)
        self.heads = Heads(h, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        rows, lengths = aligned(batch, self.align_to, self.window)
        states, _ = self.lstm(torch.cat(list(rows.values()), -1))
        fused = self.linear(self.dropout(last_states(states, lengths))).relu()
        outputs: dict[str, Tensor] = self.heads(self.dropout(fused))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, kind="sequences", standardise=options.standardise)
