"""A linear layer over the tensor of encodings (Zadeh et al. 2017), computed without writing the tensor into memory.

Conventions:
    B samples of a batch, m modalities, h numbers of an encoding, o of the output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from merbench.training.networks.layers import GradientMemory, kept_entries, random_words

PART = 1 << 17
"""How many entries of a batch's tensors are computed at once on a CPU."""


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

    def __init__(self, n_modalities: int, n_in: int, n_out: int, dropout: float) -> None:
        super().__init__()
        n_entries = (n_in + 1) ** n_modalities
        bound = 1 / math.sqrt(n_entries)
        self.weight = nn.Parameter(torch.empty(n_entries, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))
        self.dropout = dropout
        self.memory = GradientMemory()

    def forward(self, encodings: Sequence[Tensor]) -> Tensor:
        """Return the outputs."""
        share, device = self.dropout if self.training else 0.0, encodings[0].device
        if device.type != "cpu" or torch.is_autocast_enabled(device.type):
            return torch.addmm(self.bias, nn.functional.dropout(tensor_of(encodings), share), self.weight)
        first, *rest = map(one_first, encodings)
        others = reduce(outer, rest, torch.ones_like(first[:, :1]))
        dropped = round(share * 65536)
        return _in_parts(first * (65536 / (65536 - dropped)), others, self.weight, self.bias, self.memory, dropped)


class _InParts(torch.autograd.Function):
    """A linear layer over `first ⊗ others` on a CPU, in parts of the tensor that stay in the cache.

    The tensor itself has a megabyte a sample at h = 64: to write it, what is left of it and its gradient into memory
    takes longer than the products.
    """

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, others: Tensor, weight: Tensor, bias: Tensor, memory: GradientMemory, dropped: int
    ) -> Tensor:
        words = random_words(first.numel() * others.shape[1] if dropped else 0, first.device)
        ctx.save_for_backward(first, others, weight, words)
        ctx.memory, ctx.dropped = memory, dropped
        output = bias.repeat(len(first), 1)
        for _, rows, entries, _ in _parts(first, others, words, dropped):
            output.addmm_(entries, weight[rows])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, others, weight, words = ctx.saved_tensors
        along_first, along_others = torch.empty_like(first), torch.zeros_like(others)
        along_weight = ctx.memory.like(weight) if ctx.needs_input_grad[2] else None
        for columns, rows, entries, kept in _parts(first, others, words, ctx.dropped):
            if along_weight is not None:
                torch.mm(entries.mT, gradient, out=along_weight[rows])
            along = torch.mm(gradient, weight[rows].mT, out=entries)
            along = (along if kept is None else along.mul_(kept)).unflatten(1, (-1, others.shape[1]))
            along_first[:, columns] = torch.bmm(along, others.unsqueeze(2)).squeeze(2)
            along_others.unsqueeze(1).baddbmm_(first[:, None, columns], along)
        return along_first, along_others, along_weight, gradient.sum(0), None, None


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
            entries.mul_(kept_entries(words[n * rows.start : n * rows.stop].view(n, width), dropped, kept))
        yield columns, rows, entries, kept if dropped else None
