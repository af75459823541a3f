"""Shared and private spaces of modalities (MISA, Hazarika et al. 2020), on vectors as in MERBench.

Every modality is mapped twice: by a layer that all modalities share, and by one of its own. The shared vectors of
different modalities are to be distributed alike, private ones are to be orthogonal to them and to each other, and both
together are to contain the modality. A transformer layer over all of these vectors, two per modality, fuses them.

Conventions:
    B samples of a batch, d numbers of a vector, h hidden units, M modalities, one per feature. Outputs are `(B, K)`
    scores of labels or `(B,)` numbers. Losses compare the samples of a batch; outputs do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]

ATTENTION_HEADS, MOMENTS = 2, 5
"""Of the transformer layer, and how many moments distributions are compared by."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, losses, and training.

    Attributes:
        hidden: width h of encoders and spaces, an even number.
        feed_forward: width between the two layers of the transformer layer that act on each vector by itself.
        dropout: share of the inputs, and of the fused units, that is dropped in training. (The transformer layer drops
            a tenth, as in the released code.)
        similarity: weight of the distance between shared vectors of different modalities.
        difference: weight of the overlap of private vectors with shared ones, and with each other.
        reconstruction: weight of the error of what is reconstructed from a shared and a private vector.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    feed_forward: Width
    dropout: Dropout
    similarity: Weight
    difference: Weight
    reconstruction: Weight
    standardise: bool

    def __post_init__(self) -> None:
        """Raise `UsageError` where the width cannot be divided between the attention heads."""
        Schedule.__post_init__(self)
        if self.hidden % ATTENTION_HEADS:
            raise UsageError(f"hidden: {self.hidden} is odd; {ATTENTION_HEADS} attention heads have a half each")


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options = options
        h, n = options.hidden, len(shape.widths)
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(h, h), nn.ReLU(), nn.LayerNorm(h)) for _ in self.encoders
        )
        self.private = nn.ModuleList(nn.Sequential(nn.Linear(h, h), nn.Sigmoid()) for _ in self.encoders)
        self.shared = nn.Sequential(nn.Linear(h, h), nn.Sigmoid())
        self.reconstructions = nn.ModuleList(nn.Linear(h, h) for _ in self.encoders)
        self.attention = nn.TransformerEncoderLayer(h, ATTENTION_HEADS, options.feed_forward, batch_first=True)
        self.fusion = nn.Sequential(
            nn.Linear(2 * n * h, n * h), nn.Dropout(options.dropout), nn.ReLU(), nn.Linear(n * h, h // 2)
        )
        self.heads = Heads(h // 2, shape.labels)

    def spaces(self, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the vectors `(B, h)` of every modality: projected, private and shared."""
        parts = zip(self.encoders, self.projections, batch.inputs.values(), strict=True)
        projected = [projection(encoder(x)) for encoder, projection, x in parts]
        private = [layer(x) for layer, x in zip(self.private, projected, strict=True)]
        return projected, private, [self.shared(x) for x in projected]

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the losses of the spaces."""
        projected, private, shared = self.spaces(batch)
        attended: Tensor = self.attention(torch.stack([*private, *shared], 1))
        outputs: Outputs = self.heads(self.fusion(attended.flatten(1)))
        if not batch.targets:
            return outputs
        real, options = batch.real, self.options
        projected, private, shared = ([x[real] for x in part] for part in (projected, private, shared))
        losses = {
            "similarity": partial(mean_distance, shared),
            "difference": partial(overlap, private, shared),
            "reconstruction": partial(self.error, projected, private, shared),
        }
        weights = {name: getattr(options, name) for name in losses}
        return outputs, {name: weights[name] * loss() for name, loss in losses.items() if weights[name]}

    def error(self, projected: Sequence[Tensor], private: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
        """Return the mean squared error of projected vectors that are reconstructed from private plus shared ones."""
        parts = zip(self.reconstructions, projected, private, shared, strict=True)
        return mean((layer(own + common) - x).square().mean() for layer, x, own, common in parts)

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return how far apart the modalities are in the private spaces and in the shared one, and the difference."""
        if len(self.encoders) == 1:
            return {}
        _, private, shared = self.spaces(batch)
        own, common = (mean_distance([x[batch.real] for x in part]) for part in (private, shared))
        return {"private_distance": own, "shared_distance": common, "shared_closer": own - common}


def overlap(private: Sequence[Tensor], shared: Sequence[Tensor]) -> Tensor:
    """Return the sum of `difference` of every private space with the shared one, and of every two private ones."""
    pairs = [*zip(private, shared, strict=True), *combinations(private, 2)]
    return torch.stack([difference(a, b) for a, b in pairs]).sum()


def mean_distance(spaces: Sequence[Tensor]) -> Tensor:
    """Return the mean of `moment_distance` over every two modalities; 0 for a single one."""
    if len(spaces) == 1:
        return spaces[0].new_zeros(())
    return mean(moment_distance(a, b) for a, b in combinations(spaces, 2))


def difference(a: Tensor, b: Tensor) -> Tensor:
    """Return how far two spaces are from orthogonal: the mean squared entry of AᵀB, `(B, h)` each.

    Columns are centred over the batch, and rows divided by their norm, through which no gradient passes. Of equal rows,
    or of one, nothing is left but zeros: the loss is 0.
    """

    def unit(x: Tensor) -> Tensor:
        centred = x - x.mean(0)
        norm: Tensor = torch.linalg.vector_norm(centred.detach(), dim=1, keepdim=True)
        return centred / (norm + 1e-6)

    return (unit(a).T @ unit(b)).square().mean()


def moment_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the central moment discrepancy of two spaces (Zellinger et al. 2017), `(B, h)` each, unscaled.

    It is the sum of the distances of their means and of their central moments of the orders 2 to 5. The gradient of a
    distance of 0 is 0 here; a square root of a sum of squares has none.
    """
    means = [x.mean(0) for x in (a, b)]
    centred = [x - centre for x, centre in zip((a, b), means, strict=True)]
    moments = [tuple((x**order).mean(0) for x in centred) for order in range(2, MOMENTS + 1)]
    return torch.stack([torch.linalg.vector_norm(x - y) for x, y in [tuple(means), *moments]]).sum()


def mean(values: Iterable[Tensor]) -> Tensor:
    """Return the mean of single numbers."""
    return torch.stack(list(values)).mean()


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=options.standardise)
