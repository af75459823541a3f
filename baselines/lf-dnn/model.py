"""Late fusion: encoded modalities are concatenated, and two layers map them to what the heads read (LF-DNN).

Conventions:
    As in `merbench.training.networks.layers`: all tensors have a leading fold dimension F. h hidden units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, FoldDropout, FoldEncoder, FoldHidden, FoldLinear, Heads, Width
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
    """Vectors `(F, B, d)` of any number of features to one output per target: `(F, B, K)` scores or `(F, B)` numbers.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, rngs, noise = options.hidden, shape.rngs, shape.noise
        self.encoders = nn.ModuleList(
            FoldEncoder(width, h, options.dropout, rngs, noise) for width in shape.widths.values()
        )
        self.fusion = nn.Sequential(
            FoldDropout(options.dropout, noise),
            FoldHidden(len(self.encoders) * h, h, rngs, dropout=0, noise=noise),
            FoldHidden(h, h, rngs, dropout=0, noise=noise),
        )
        self.heads = Heads(h, shape.labels, lambda n_in, n_out: FoldLinear(n_in, n_out, rngs))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: dict[str, Tensor] = self.heads(self.fusion(torch.cat(encodings, -1)))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, together=True, standardise=options.standardise)
