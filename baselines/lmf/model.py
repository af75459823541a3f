"""Low-rank Multimodal Fusion (Liu et al. 2018): tensor fusion whose weights are a sum of r products of factors.

Every modality has r factors, one for each rank, that map [1, z] of its encoding z to o numbers. For every rank these
are multiplied over the modalities, and the weighted sum over the ranks is what the heads read. A linear layer over the
tensor of the Tensor Fusion Network does the same if its weights have rank r; but the tensor is never computed.

Conventions:
    As in `merbench.training.networks.layers`: all tensors have a leading fold dimension F. h hidden units, r ranks, o
    fused units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, FoldEncoder, FoldLinear, Heads
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of every encoding; the fused vector has half as many units.
        rank: rank r of the weights of fusion.
        dropout: share of the inputs that is dropped in training.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Annotated[int, Within(2, 65_536)]
    rank: Annotated[int, Within(1, 1024)]
    dropout: Dropout
    standardise: bool


class LowRankFusion(nn.Module):
    """Encodings of m modalities, `(F, B, h)` each, to `(F, B, o)`: Σ_r w_r Π_m ([1, z_m] W_mr) + b.

    Factors and weights are drawn from Xavier's normal distribution (Glorot and Bengio 2010).

    Args:
        n_modalities: number m of modalities.
        n_in: width h of an encoding.
        n_out: width o of the output.
        rank: number r of the factors of a modality.
        rngs: one generator per fold, on the CPU, for the initial values.
    """

    def __init__(self, n_modalities: int, n_in: int, n_out: int, rank: int, rngs: Sequence[torch.Generator]) -> None:
        super().__init__()
        # The factors of all ranks are the columns of one layer; its bias is what the 1 before an encoding multiplies.
        self.factors = nn.ModuleList(FoldLinear(n_in, rank * n_out, rngs) for _ in range(n_modalities))
        self.weights = nn.Parameter(torch.empty(len(rngs), 1, rank, 1))
        self.bias = nn.Parameter(torch.zeros(len(rngs), 1, n_out))
        with torch.no_grad():
            for fold, rng in enumerate(rngs):
                for part in self.factors.parameters():
                    part[fold].normal_(std=math.sqrt(2 / (n_in + 1 + n_out)), generator=rng)
                self.weights[fold].normal_(std=math.sqrt(2 / (1 + rank)), generator=rng)

    def forward(self, encodings: Sequence[Tensor]) -> Tensor:
        """Return the fused vectors."""
        product = reduce(torch.mul, [factor(z) for factor, z in zip(self.factors, encodings, strict=True)])
        fused: Tensor = (product.unflatten(-1, (self.weights.shape[2], -1)) * self.weights).sum(-2) + self.bias
        return fused


class Network(nn.Module):
    """Vectors `(F, B, d)` of any number of features to one output per target: `(F, B, K)` scores or `(F, B)` numbers.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, rngs = options.hidden, shape.rngs
        self.encoders = nn.ModuleList(
            FoldEncoder(width, h, options.dropout, rngs, shape.noise) for width in shape.widths.values()
        )
        self.fusion = LowRankFusion(len(self.encoders), h, h // 2, options.rank, rngs)
        self.heads = Heads(h // 2, shape.labels, lambda n_in, n_out: FoldLinear(n_in, n_out, rngs))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: dict[str, Tensor] = self.heads(self.fusion(encodings))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, together=True, standardise=options.standardise)
