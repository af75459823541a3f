"""The Tensor Fusion Network (Zadeh et al. 2017): all products of units of the encodings, one of every modality.

The tensor of m encodings of h units is the outer product of [1, z] over the modalities, so that its entries are also
the products of fewer than m units, and a 1. One linear layer reads it; it has nearly all of the parameters.

Conventions:
    B samples of a batch, m modalities in the order of the features, d numbers of a vector, h hidden units. Outputs are
    `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule

MOST_WEIGHTS = 1 << 29
"""How many weights the layer that reads the tensor may have: 2 GiB, of which training needs five times as many."""

PART = 1 << 17
"""How many entries of a batch's tensors are computed at once on a CPU."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of every layer.
        dropout: share of the inputs, and of the tensor's entries, that is dropped in training.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    dropout: Dropout
    standardise: bool


def tensor_of(encodings: Sequence[Tensor]) -> Tensor:
    """Return the `(B, (h + 1)^m)` entries of the tensor of encodings `(B, h)`; the first modality varies last."""
    return reduce(outer, map(one_first, encodings))


def one_first(encoding: Tensor) -> Tensor:
    """Return `(B, h + 1)`: [1, z] of an encoding z."""
    return nn.functional.pad(encoding, (1, 0), value=1.0)


def outer(first: Tensor, second: Tensor) -> Tensor:
    """Return the `(B, p q)` products of every two of `(B, p)` and `(B, q)` numbers of a sample."""
    return (first.unsqueeze(2) * second.unsqueeze(1)).flatten(1)


class TensorLinear(nn.Module):
    """The tensor of m encodings, dropout of its entries, and a linear layer: `(B, h)` each to `(B, o)`.

    Args:
        n_modalities: number m of modalities.
        n_in: width h of an encoding.
        n_out: width o of the output.
        dropout: share of the entries that is dropped in training.
    """

    memory: Tensor

    def __init__(self, n_modalities: int, n_in: int, n_out: int, dropout: float) -> None:
        super().__init__()
        n_entries = (n_in + 1) ** n_modalities
        bound = 1 / math.sqrt(n_entries)
        self.weight = nn.Parameter(torch.empty(n_entries, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))
        self.dropout = dropout
        self.register_buffer("memory", torch.empty_like(self.weight), persistent=False)

    def forward(self, encodings: Sequence[Tensor]) -> Tensor:
        """Return the outputs."""
        share = self.dropout if self.training else 0.0
        if encodings[0].device.type != "cpu":
            return torch.addmm(self.bias, nn.functional.dropout(tensor_of(encodings), share), self.weight)
        first, *rest = map(one_first, encodings)
        others = reduce(outer, rest, torch.ones_like(first[:, :1]))
        return _in_parts(first / (1 - share), others, self.weight, self.bias, self.memory, round(share * 65536))


class _InParts(torch.autograd.Function):
    """A linear layer over `first ⊗ others` on a CPU, in parts of the tensor that stay in the cache.

    The tensor itself has a megabyte a sample at h = 64: to write it, what is left of it and its gradient into memory
    takes longer than the products. The gradient of `weight` is written into memory that is kept between steps.
    """

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, others: Tensor, weight: nn.Parameter, bias: Tensor, memory: Tensor, dropped: int
    ) -> Tensor:
        n_words = -(-first.numel() * others.shape[1] // 4) if dropped else 0
        words = torch.empty(n_words, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        ctx.save_for_backward(first, others, weight, words)
        ctx.weight, ctx.memory, ctx.dropped = weight, memory, dropped
        output = bias.repeat(len(first), 1)
        for _, rows, entries, _ in _parts(first, others, words, dropped):
            output.addmm_(entries, weight[rows])
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, others, weight, words = ctx.saved_tensors
        along_first, along_others = torch.empty_like(first), torch.zeros_like(others)
        adds = ctx.weight.grad is not None
        along_weight = ctx.weight.grad if adds else ctx.memory
        for columns, rows, entries, kept in _parts(first, others, words, ctx.dropped):
            along_weight[rows].addmm_(entries.mT, gradient, beta=float(adds))
            along = torch.mm(gradient, weight[rows].mT, out=entries)
            along = (along if kept is None else along.mul_(kept)).unflatten(1, (-1, others.shape[1]))
            along_first[:, columns] = torch.bmm(along, others.unsqueeze(2)).squeeze(2)
            along_others.unsqueeze(1).baddbmm_(first[:, None, columns], along)
        ctx.weight.grad = along_weight
        return along_first, along_others, None, gradient.sum(0), None, None


_in_parts: Callable[..., Tensor] = _InParts.apply


def _parts(
    first: Tensor, others: Tensor, words: Tensor, dropped: int
) -> Iterator[tuple[slice, slice, Tensor, Tensor | None]]:
    """Yield some columns of `first`, the entries of the tensor that they are in, these, and which of them are kept.

    The next part overwrites them. An entry is kept where its random word, of 16 bits, is large enough.
    """
    n, q = others.shape
    size = max(1, PART // (n * q))
    memory = others.new_empty(2, n * size * q)
    for start in range(0, first.shape[1], size):
        columns = slice(start, min(start + size, first.shape[1]))
        rows = slice(columns.start * q, columns.stop * q)
        width = rows.stop - rows.start
        entries, kept = (part[: n * width].view(n, width) for part in memory)
        torch.mul(first[:, columns, None], others[:, None], out=entries.view(n, -1, q))
        if dropped:
            torch.ge(words[n * rows.start : n * rows.stop].view(n, width), dropped - 32768, out=kept)
            entries.mul_(kept)
        yield columns, rows, entries, kept if dropped else None


class Network(nn.Module):
    """Vectors `(B, d)` to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.

    Raises:
        UsageError: the tensor is too large.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, m = options.hidden, len(shape.widths)
        if h * (h + 1) ** m > MOST_WEIGHTS:
            raise UsageError(
                f"tfn: the tensor of {m} features has (hidden + 1)^{m} = {(h + 1) ** m:,} entries, and the layer that "
                f"reads it {h * (h + 1) ** m:,} weights, more than {MOST_WEIGHTS:,}; lower hidden, which is {h}, use "
                "fewer features, or lmf, whose parameters grow with their sum"
            )
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.fusion = nn.Sequential(TensorLinear(m, h, h, options.dropout), nn.ReLU(), nn.Linear(h, h), nn.ReLU())
        self.heads = Heads(h, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: dict[str, Tensor] = self.heads(self.fusion(encodings))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=options.standardise)
