"""The reference model of MER 2023 (arXiv:2304.08981): encoded modalities, weighted by attention and summed.

Every modality has an encoder with two hidden layers. Another such network maps the concatenated encodings to one weight
per modality; the weighted sum of the encodings feeds one linear head per target. The released code has no softmax over
the weights, which the paper's equation 5 has; by default there is none here either.

Conventions:
    As in `merbench.training.networks.layers`: all tensors have a leading fold dimension F.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, FoldHidden, FoldLinear, Heads, Widths, slots
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: widths of the hidden layers of every encoder; the last is the paper's h.
        dropout: share of hidden units dropped in training.
        softmax: whether the weights of the modalities are normalised (the paper) or not (the released code).
        standardise: whether features are standardised by what each fold learns from (the released code: not).
    """

    hidden: Widths
    dropout: Dropout
    softmax: bool
    standardise: bool


class Network(nn.Module):
    """Vectors `(F, B, d)`, one feature per slot, to one output per target: `(F, B, K)` scores or `(F, B)` numbers.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        last, rngs = options.hidden[-1], shape.rngs

        def encoder(width: int) -> nn.Sequential:
            sizes = (width, *options.hidden)
            layers = [
                FoldHidden(n_in, n_out, rngs, dropout=options.dropout, noise=shape.noise)
                for n_in, n_out in zip(sizes, options.hidden, strict=False)
            ]
            return nn.Sequential(*layers)

        widths = slots(list(shape.widths.values()))
        self.encoders = nn.ModuleList(encoder(width) for width in widths)
        self.attention = nn.Sequential(encoder(last * len(widths)), FoldLinear(last, len(widths), rngs))
        self.heads = Heads(last, shape.labels, lambda n_in, n_out: FoldLinear(n_in, n_out, rngs))
        self.softmax = options.softmax

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        inputs = slots(list(batch.inputs.values()))
        encoded = torch.cat([encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)], -1)
        weights = self.attention(encoded)
        if self.softmax:
            weights = weights.softmax(-1)
        fused = (encoded.unflatten(-1, (weights.shape[-1], -1)) * weights.unsqueeze(-1)).sum(-2)
        outputs: dict[str, Tensor] = self.heads(fused)
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, together=True, standardise=options.standardise)
