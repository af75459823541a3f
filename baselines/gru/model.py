"""A GRU per feature reads its rows in order; the last states are concatenated (late fusion).

The sequences of the features need not have the same length or rate: nothing is aligned.

Conventions:
    As in `merbench.training.networks.recurrent`. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import Recurrent, last_states, window_means


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width of the state of every GRU, and of the layer that fuses them.
        window: how many consecutive rows are averaged before a GRU reads them.
        dropout: share of the last states, and of the fused units, that is dropped in training.
    """

    hidden: Width
    window: Annotated[int, Within(1)]
    dropout: Dropout


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    A feature that a sample lacks has the state zero.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.window = options.window
        self.readers = nn.ModuleList(Recurrent(width, options.hidden) for width in shape.widths.values())
        self.fusion = nn.Linear(len(self.readers) * options.hidden, options.hidden)
        self.dropout = nn.Dropout(options.dropout)
        self.heads = Heads(options.hidden, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        last = []
        for reader, (name, rows) in zip(self.readers, batch.inputs.items(), strict=True):
            means, lengths = window_means(rows, batch.lengths[name], self.window)
            last.append(last_states(reader(means, lengths), lengths))
        fused = self.fusion(self.dropout(torch.cat(last, -1))).relu()
        outputs: dict[str, Tensor] = self.heads(self.dropout(fused))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="sequences", standardise=True)
