"""Late fusion: encoded modalities are concatenated, and two layers map them to what the heads read (LF-DNN).

Conventions:
    B samples of a batch, d numbers of a vector, h hidden units. Outputs are `(B, K)` scores of labels or `(B,)`
    numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of every layer.
        dropout: share of the inputs, and of the concatenated encodings, that is dropped in training.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    dropout: Dropout
    standardise: bool


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h = options.hidden
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.fusion = nn.Sequential(
            nn.Dropout(options.dropout), nn.Linear(len(self.encoders) * h, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU()
        )
        self.heads = Heads(h, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: dict[str, Tensor] = self.heads(self.fusion(torch.cat(encodings, -1)))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=options.standardise)
