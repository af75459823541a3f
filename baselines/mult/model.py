"""MulT (Tsai et al. 2019, arXiv:1906.00295): every feature attends to the steps of every other; nothing is aligned.

A convolution embeds the rows of each feature. For every ordered pair of features, a stack of layers lets the steps of
one, the target, attend to the embedding of the other, the source. What a target has from all sources is concatenated
and read by a stack of self-attention; the last steps of all targets are fused.

Conventions:
    B samples of a batch, T steps of the longest sequence, d numbers of a step. Steps are `(B, T, d)`; `lengths`, `(B,)`
    int64, are how many of them are real, 0 for a feature that a sample lacks. Padding comes after the real steps;
    nothing depends on it, or on the other samples. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import last_states, window_means

SCORES_AT_ONCE = 1 << 22
"""How many attention scores, of all heads, are in memory at once; more are computed in pieces, and again backwards."""

FEWEST_MEMORY_LAYERS = 3
"""How many layers of self-attention a target has at least, as in the released code."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: width h of the embedding of a feature.
        heads: heads of attention; they divide the width.
        layers: layers of a pair of features; those of self-attention are as many, and at least 3.
        kernel: rows that a step of the embedding is made of.
        window: how many consecutive rows are averaged before they are embedded.
        bottleneck: width of a linear layer before the heads; 0: there is none.
        causal: whether a step attends only to steps up to its own place, further by the difference of both lengths.
        positions: whether sinusoidal positions are added to what a stack reads.
        dropout: share of units, and of what a stack reads, that is dropped in training.
        attention_dropout: share of the weights of attention that is dropped in training.
        standardise: whether rows are standardised by what each fold learns from.
    """

    hidden: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 64)]
    kernel: Annotated[int, Within(1, 1000)]
    window: Annotated[int, Within(1)]
    bottleneck: Annotated[int, Within(0, 65_536)]
    causal: bool
    positions: bool
    dropout: Dropout
    attention_dropout: Dropout
    standardise: bool

    def __post_init__(self) -> None:
        """Raise `UsageError` for a width that the heads do not divide, too."""
        super().__post_init__()
        if self.hidden % self.heads:
            raise UsageError(f"hidden: {self.hidden} is not divisible by heads, which is {self.heads}")


@dataclass(frozen=True, eq=False, slots=True)
class Steps:
    """Steps `(B, T, d)` of a feature, and how many are real, `(B,)`."""

    values: Tensor
    lengths: Tensor


class Attention(nn.Module):
    """Attention of several heads, its queries, keys and values made by one packed layer; 4 d² + 4 d parameters."""

    def __init__(self, width: int, options: Options) -> None:
        super().__init__()
        self.heads, self.causal, self.dropout = options.heads, options.causal, options.attention_dropout
        self.inputs, self.output = xavier(width, 3 * width), xavier(width, width)

    def forward(self, target: Steps, source: Steps) -> Tensor:
        """Return what every step of the target has from the steps of the source, zeros where there are none."""
        width, weight, bias = target.values.shape[-1], self.inputs.weight, self.inputs.bias
        parts = [linear(target.values, weight[:width], bias[:width])]
        parts += linear(source.values, weight[width:], bias[width:]).chunk(2, -1)
        queries, keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        attend = partial(self._attend, keys=keys, values=values, lengths=(target.lengths, source.lengths))
        size = max(1, SCORES_AT_ONCE // (keys.shape[0] * self.heads * keys.shape[2]))
        if queries.shape[2] <= size:
            attended = attend(queries, 0)
        else:
            pieces = enumerate(queries.split(size, 2))
            attended = torch.cat([checkpoint(attend, part, n * size, use_reentrant=False) for n, part in pieces], 2)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output.masked_fill((source.lengths == 0)[:, None, None], 0)

    def _attend(
        self, queries: Tensor, start: int, *, keys: Tensor, values: Tensor, lengths: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return what queries get, of which the first is that of step `start`."""
        n_queries, n_keys = lengths
        steps = torch.arange(start, start + queries.shape[2], device=queries.device)
        last = (n_keys - 1)[:, None].expand(-1, len(steps))  # the last key that a query sees
        if self.causal:
            last = torch.minimum(last, steps + (n_keys - n_queries).abs()[:, None])
        # Without a key, a weight is 0 / 0: the first one is always seen.
        seen = torch.arange(keys.shape[2], device=keys.device) <= last.clamp_min(0)[..., None]
        dropout = self.dropout if self.training else 0.0
        return scaled_dot_product_attention(queries, keys, values, attn_mask=seen[:, None], dropout_p=dropout)


class Layer(nn.Module):
    """Attention, then two linear layers, each added to what it reads normalised; 12 d² + 13 d parameters.

    Target and source are normalised by the same layer, as in the released code.
    """

    def __init__(self, width: int, options: Options) -> None:
        super().__init__()
        self.attention, self.before_attention = Attention(width, options), nn.LayerNorm(width)
        drop = partial(nn.Dropout, options.dropout)
        self.units = nn.Sequential(
            nn.LayerNorm(width), xavier(width, 4 * width), nn.ReLU(), drop(), xavier(4 * width, width), drop()
        )
        self.dropout = drop()

    def forward(self, target: Steps, source: Steps | None) -> Steps:
        """Return the target's steps."""
        normal = Steps(self.before_attention(target.values), target.lengths)
        other = normal if source is None else Steps(self.before_attention(source.values), source.lengths)
        values = target.values + self.dropout(self.attention(normal, other))
        return Steps(values + self.units(values), target.lengths)


class Stack(nn.Module):
    """Layers that follow each other, and a last normalisation.

    Every layer attends to the same source, or, without one, to what the layer before it returned.
    """

    def __init__(self, width: int, n_layers: int, options: Options) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, options) for _ in range(n_layers))
        self.normal, self.dropout = nn.LayerNorm(width), nn.Dropout(options.dropout)
        self.positions = options.positions

    def forward(self, target: Steps, source: Steps | None = None) -> Tensor:
        """Return the target's steps."""
        target, source = self._read(target), None if source is None else self._read(source)
        for layer in self.layers:
            target = layer(target, source)
        values: Tensor = self.normal(target.values)
        return values

    def _read(self, steps: Steps) -> Steps:
        values = steps.values * math.sqrt(steps.values.shape[-1])
        if self.positions:
            values = values + sinusoids(values.shape[1], values.shape[2]).to(values)
        return Steps(self.dropout(values), steps.lengths)


class Target(nn.Module):
    """What a feature takes from all others, `(B, h)` a source; of a single feature there is only self-attention."""

    def __init__(self, n_sources: int, options: Options) -> None:
        super().__init__()
        width = options.hidden * max(1, n_sources)
        self.pairs = nn.ModuleList(Stack(options.hidden, options.layers, options) for _ in range(n_sources))
        self.memory = Stack(width, max(options.layers, FEWEST_MEMORY_LAYERS), options)

    def forward(self, target: Steps, sources: list[Steps]) -> Tensor:
        """Return the last step; zeros for a sample that lacks the feature."""
        crossed = [pair(target, source) for pair, source in zip(self.pairs, sources, strict=True)] or [target.values]
        states = self.memory(Steps(torch.cat(crossed, -1), target.lengths))
        return last_states(states, target.lengths).masked_fill((target.lengths == 0)[:, None], 0)


class Network(nn.Module):
    """Sequences of some features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.window, self.kernel = options.window, options.kernel
        self.embeddings = nn.ModuleList(
            nn.Conv1d(n_in, options.hidden, options.kernel, bias=False) for n_in in shape.widths.values()
        )
        self.targets = nn.ModuleList(Target(len(shape.widths) - 1, options) for _ in shape.widths)
        width = options.hidden * max(1, len(shape.widths) - 1) * len(shape.widths)
        self.fusion = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(options.dropout), nn.Linear(width, width)
        )
        self.bottleneck = nn.Linear(width, options.bottleneck) if options.bottleneck else nn.Identity()
        self.heads = Heads(options.bottleneck or width, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        embedded = [
            self._embedded(layer, *window_means(rows, batch.lengths[name], self.window))
            for layer, (name, rows) in zip(self.embeddings, batch.inputs.items(), strict=True)
        ]
        fused = torch.cat(
            [target(embedded[n], embedded[:n] + embedded[n + 1 :]) for n, target in enumerate(self.targets)],
            -1,
        )
        outputs: dict[str, Tensor] = self.heads(self.bottleneck(fused + self.fusion(fused)))
        return outputs

    def _embedded(self, layer: nn.Module, rows: Tensor, lengths: Tensor) -> Steps:
        """Return T - k + 1 steps of T rows; of fewer than k rows, zeros behind them make one."""
        rows = pad(rows, (0, 0, 0, max(0, self.kernel - rows.shape[1])))
        lengths = torch.where(lengths > 0, (lengths - self.kernel + 1).clamp_min(1), 0)
        return Steps(layer(rows.transpose(1, 2)).transpose(1, 2), lengths)


def sinusoids(n_steps: int, width: int) -> Tensor:
    """Return the positions of steps `(T, d)`, from 1: sin(i / 10000^(2j / d)), cos of the same, sin of the next j, …"""
    rates = 10_000.0 ** (-2 * (torch.arange(width) // 2) / width)
    angles = torch.arange(1, n_steps + 1)[:, None] * rates
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos())


def xavier(n_in: int, n_out: int) -> nn.Linear:
    """Return a linear layer with uniform initial weights of Glorot and Bengio (2010), and biases of 0."""
    layer = nn.Linear(n_in, n_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="sequences", standardise=options.standardise)
