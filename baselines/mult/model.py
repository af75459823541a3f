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

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.attention import Stack, Steps, Style
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import last_states, window_means

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

    @property
    def style(self) -> Style:
        """How steps attend."""
        return Style(self.heads, self.causal, self.positions, self.dropout, self.attention_dropout)


class Target(nn.Module):
    """What a feature takes from all others, `(B, h)` a source; of a single feature there is only self-attention."""

    def __init__(self, n_sources: int, options: Options) -> None:
        super().__init__()
        width = options.hidden * max(1, n_sources)
        self.pairs = nn.ModuleList(Stack(options.hidden, options.layers, options.style) for _ in range(n_sources))
        self.memory = Stack(width, max(options.layers, FEWEST_MEMORY_LAYERS), options.style)

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


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, kind="sequences", standardise=options.standardise)
