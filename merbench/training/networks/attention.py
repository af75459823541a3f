"""Transformers whose steps attend to the steps of another feature: layers of MulT (Tsai et al. 2019, arXiv:1906.00295).

Conventions:
    B samples of a batch, T steps of the longest sequence, d numbers of a step. Steps are `(B, T, d)`; `lengths`, `(B,)`
    int64, are how many of them are real, 0 for a feature that a sample lacks. Padding comes after the real steps;
    nothing that is real depends on it, or on the other samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

SCORES_AT_ONCE = 1 << 22
"""How many attention scores, of all heads, are in memory at once; more are computed in pieces, and again backwards."""


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Steps `(B, T, d)` of a feature, and how many are real, `(B,)`."""

    values: Tensor
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class Style:
    """How steps attend.

    Attributes:
        heads: heads of attention; they divide the width.
        causal: whether a step attends only to steps up to its own place, further by the difference of both lengths.
        positions: whether sinusoidal positions are added to what a stack reads.
        dropout: share of units, and of what a stack reads, that is dropped in training.
        attention_dropout: share of the weights of attention that is dropped in training.
    """

    heads: int
    causal: bool = False
    positions: bool = False
    dropout: float = 0.0
    attention_dropout: float = 0.0


def attended(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    n_keys: Tensor,
    *,
    heads: int,
    n_queries: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return what every query `(B, T, d)` gets from the values of the real keys, arbitrary where there are none.

    Args:
        queries: what attends.
        keys: what is attended to.
        values: what the keys have.
        n_keys: how many keys are real, `(B,)`.
        heads: heads of attention.
        n_queries: how many queries are real; given, attention is causal: query i sees keys up to i + |n_keys -
            n_queries|.
        dropout: share of the weights that is dropped.
    """
    parts = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (queries, keys, values))
    by_head, own_keys, own_values = parts

    def attend(own: Tensor, start: int) -> Tensor:
        last = (n_keys - 1)[:, None].expand(-1, own.shape[2])  # the last key that a query sees
        if n_queries is not None:
            steps = torch.arange(start, start + own.shape[2], device=own.device)
            last = torch.minimum(last, steps + (n_keys - n_queries).abs()[:, None])
        # Without a key, a weight is 0 / 0: the first one is always seen.
        seen = torch.arange(keys.shape[1], device=keys.device) <= last.clamp_min(0)[..., None]
        return scaled_dot_product_attention(own, own_keys, own_values, attn_mask=seen[:, None], dropout_p=dropout)

    size = max(1, SCORES_AT_ONCE // (len(keys) * heads * keys.shape[1]))
    if queries.shape[1] <= size:
        return attend(by_head, 0).transpose(1, 2).flatten(2)
    pieces = enumerate(by_head.split(size, 2))
    outputs = [checkpoint(attend, part, n * size, use_reentrant=False) for n, part in pieces]
    return torch.cat(outputs, 2).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Attention of several heads, its queries, keys and values made by one packed layer; 4 d² + 4 d parameters."""

    def __init__(self, width: int, style: Style) -> None:
        super().__init__()
        self.style = style
        self.inputs, self.output = xavier(width, 3 * width), xavier(width, width)

    def forward(self, target: Steps, source: Steps) -> Tensor:
        """Return what every step of the target has from the steps of the source, zeros where there are none."""
        width, weight, bias = target.values.shape[-1], self.inputs.weight, self.inputs.bias
        queries = linear(target.values, weight[:width], bias[:width])
        keys, values = linear(source.values, weight[width:], bias[width:]).chunk(2, -1)
        taken = attended(
            queries,
            keys,
            values,
            source.lengths,
            heads=self.style.heads,
            n_queries=target.lengths if self.style.causal else None,
            dropout=self.style.attention_dropout if self.training else 0.0,
        )
        output: Tensor = self.output(taken)
        return output.masked_fill((source.lengths == 0)[:, None, None], 0)


class Layer(nn.Module):
    """Attention, then two linear layers, each added to what it reads normalised; 12 d² + 13 d parameters.

    Target and source are normalised by the same layer, as in the released code.
    """

    def __init__(self, width: int, style: Style) -> None:
        super().__init__()
        self.attention, self.before_attention = Attention(width, style), nn.LayerNorm(width)
        drop = partial(nn.Dropout, style.dropout)
        self.units = nn.Sequential(
            nn.LayerNorm(width), xavier(width, 4 * width), nn.ReLU(), drop(), xavier(4 * width, width), drop()
        )
        self.dropout = drop()

    def forward(self, target: Steps, source: Steps | None) -> Steps:
        """Return the target's steps; without a source, they attend to themselves."""
        normal = Steps(self.before_attention(target.values), target.lengths)
        other = normal if source is None else Steps(self.before_attention(source.values), source.lengths)
        values = target.values + self.dropout(self.attention(normal, other))
        return Steps(values + self.units(values), target.lengths)


class Stack(nn.Module):
    """Layers that follow each other, and a last normalisation; its input is scaled by √d.

    Every layer attends to the same source, or, without one, to what the layer before it returned.
    """

    def __init__(self, width: int, n_layers: int, style: Style) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, style) for _ in range(n_layers))
        self.normal, self.dropout = nn.LayerNorm(width), nn.Dropout(style.dropout)
        self.positions = style.positions

    def forward(self, target: Steps, source: Steps | None = None) -> Tensor:
        """Return the target's steps `(B, T, d)`."""
        target, source = self._read(target), None if source is None else self._read(source)
        for layer in self.layers:
            target = layer(target, source)
        values: Tensor = self.normal(target.values)
        return values

    def _read(self, steps: Steps) -> Steps:
        values = steps.values * math.sqrt(steps.values.shape[-1])
        if self.positions:
            values = values + sinusoids(values.shape[1], values.shape[2], first=1).to(values)
        return Steps(self.dropout(values), steps.lengths)


def sinusoids(n_steps: int, width: int, *, first: int) -> Tensor:
    """Return positions `(T, d)`, from the first: sin(i / 10000^(2j / d)), cos of the same, and so on by j."""
    rates = 10_000.0 ** (-2 * (torch.arange(width) // 2) / width)
    angles = torch.arange(first, first + n_steps)[:, None] * rates
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos())


def xavier(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer with uniform initial weights of Glorot and Bengio (2010), and biases of 0."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
