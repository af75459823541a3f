"""TFR-Net (Yuan, Li, Xu and Yu 2021): incomplete features are reconstructed in training and fused by gates.

As in MulT, the steps of each feature attend to themselves and to those of every other feature. From what they have from
all, a transformer whose tokens are the numbers of a step, and whose width is time, and a linear layer rebuild the rows;
their loss counts the rows that corruption removed. Gated recurrent encoders of what the steps have are fused.

Conventions:
    B samples of a batch, T steps, the same of every sample, M features, h numbers of a step. Steps are `(B, T, h)`;
    lengths, `(B,)` int64, are how many are real, 0 for a feature that a sample lacks. Padding comes after them, and is
    zeros; outputs do not depend on the other samples. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, smooth_l1_loss

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.attention import Stack, Steps, Style
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import BatchNorm, Dropout, Heads, Width
from merbench.training.networks.losses import moment_distance
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import Recurrent, real_rows, resampled

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]

FEWEST_OWN_LAYERS, MOMENTS = 3, 3
"""How many layers of self-attention there are at least, and how many moments of rebuilt rows are compared."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, reconstruction, and training.

    Attributes:
        hidden: width h of a step.
        heads: heads of attention to steps; they divide the width.
        layers: layers of a pair of features; those of self-attention are as many, and at least 3.
        kernel: rows that a step is made of, an odd number.
        steps: width T of the transformer over time. A sample with more rows has them averaged in as many equal parts.
        time_heads: heads of that transformer; they divide the steps.
        causal: whether a step attends only to steps up to its own place, further by the difference of both lengths.
        gate_hidden: width of the gated encoders.
        gate_layers: how many recurrent layers each has.
        units: width of the layer before the heads.
        dropout: share of units, and of what a stack reads, that is dropped in training.
        attention_dropout: dropout rate of the attention weights.
        reconstruction: weight of the loss of rebuilt rows, from the second epoch on.
        moments: weight of the distance of their moments within it.
        everywhere: whether present rows count in it, too.
    """

    hidden: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 64)]
    kernel: Annotated[int, Within(1, 1001)]
    steps: Annotated[int, Within(1, 4096)]
    time_heads: Annotated[int, Within(1, 256)]
    causal: bool
    gate_hidden: Width
    gate_layers: Annotated[int, Within(1, 16)]
    units: Width
    dropout: Dropout
    attention_dropout: Dropout
    reconstruction: Weight
    moments: Weight
    everywhere: bool

    def __post_init__(self) -> None:
        """Raise `UsageError` for a width that the heads do not divide, and an even kernel, too."""
        super().__post_init__()
        problems = [
            f"{name}: {width} is not divisible by {heads}, which is {n}"
            for name, width, heads, n in (
                ("hidden", self.hidden, "heads", self.heads),
                ("steps", self.steps, "time_heads", self.time_heads),
            )
            if width % n
        ]
        if self.kernel % 2 == 0:
            problems.append(f"kernel: {self.kernel} is even; a step is made of its row and as many on both sides")
        if problems:
            raise UsageError(*problems)


class Gate(nn.Module):
    """The gated encoder: `(B, T, n)` to `(B, g)`, the largest of every unit over the real steps.

    Bidirectional GRUs read the steps; a convolution of their states over three steps is a gate for each step.
    """

    def __init__(self, n_in: int, options: Options) -> None:
        super().__init__()
        g, n_layers = options.gate_hidden, options.gate_layers
        self.recurrent = nn.ModuleList(Recurrent(2 * g if n else n_in, g, backwards="own") for n in range(n_layers))
        self.gate, self.units = nn.Conv1d(2 * g, 1, 3, padding=1), nn.Linear(n_in + 2 * g, g)
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return what a feature is in all its steps; zeros without one."""
        states = rows
        for layer in self.recurrent:
            states = layer(states, lengths)
        gated = states.tanh() * self.gate(states.mT).mT.sigmoid()
        units = self.units(torch.cat([rows, gated], -1)).tanh()
        largest = units.masked_fill(~real_rows(lengths, rows.shape[1])[..., None], -1).amax(1)
        kept: Tensor = self.dropout(largest.masked_fill((lengths == 0)[:, None], 0))
        return kept


class Feature(nn.Module):
    """What is made of one feature: its embedding, its attention, what rebuilds its rows, and its gated encoder."""

    def __init__(self, n_in: int, n_others: int, options: Options) -> None:
        super().__init__()
        h, n_own, self.n_steps = options.hidden, max(options.layers, FEWEST_OWN_LAYERS), options.steps
        over_steps = Style(options.heads, options.causal, True, options.dropout, options.attention_dropout)
        over_numbers = Style(options.time_heads, False, False, options.dropout, options.attention_dropout)
        self.embedding = nn.Conv1d(n_in, h, options.kernel, padding=options.kernel // 2, bias=False)
        self.own = Stack(h, n_own, over_steps)
        self.pairs = nn.ModuleList(Stack(h, options.layers, over_steps) for _ in range(n_others))
        self.over_time = Stack(options.steps, n_own, over_numbers)
        self.generator = nn.Linear(h * (1 + n_others), n_in)
        self.gate = Gate(h * (1 + n_others), options)

    def embedded(self, rows: Tensor) -> Tensor:
        """Return a step for every row."""
        steps: Tensor = self.embedding(rows.mT).mT
        return steps

    def attended(self, target: Steps, sources: list[Steps]) -> Tensor:
        """Return what the steps have from all features, `(B, T, M h)`."""
        parts = [self.own(target), *(pair(target, source) for pair, source in zip(self.pairs, sources, strict=True))]
        real = real_rows(target.lengths, target.values.shape[1])
        return torch.cat(parts, -1).masked_fill(~real[..., None], 0)

    def rebuilt(self, attended: Tensor) -> Tensor:
        """Return rows `(B, T, n_in)`: what is a number of a step is a token here, whose width is that of all steps."""
        n_steps, every = attended.shape[1], torch.full((len(attended),), attended.shape[2], device=attended.device)
        tokens = pad(attended.mT, (0, self.n_steps - n_steps))
        rows: Tensor = self.generator(self.over_time(Steps(tokens, every)).mT[:, :n_steps])
        return rows


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, n = options, len(shape.widths)
        self.features = nn.ModuleList(Feature(width, n - 1, options) for width in shape.widths.values())
        fused = n * options.gate_hidden
        self.classifier = nn.Sequential(BatchNorm(fused), nn.Linear(fused, options.units), nn.LeakyReLU())
        self.heads = Heads(options.units, shape.labels)

    @property
    def every(self) -> list[Feature]:
        """The features, in their order."""
        return [cast(Feature, feature) for feature in self.features]

    def steps(self, rows: Tensor, lengths: Tensor) -> Steps:
        """Return the rows of every sample; means of equal parts where there are more than the network has steps for."""
        wanted = lengths.clamp_max(self.options.steps)
        return Steps(resampled(rows, lengths, wanted), wanted)

    def attended(self, batch: Batch) -> list[Tensor]:
        """Return what the steps of each feature have from all, `(B, T, M h)`.

        In training a feature of which nothing is left attends to the others, from places without content, as what
        rebuilds it; the others do not attend to it.
        """
        targets, sources = list[Steps](), list[Steps]()
        for feature, (name, rows) in zip(self.every, batch.inputs.items(), strict=True):
            taken = self.steps(rows, batch.complete_lengths[name])
            real = real_rows(taken.lengths, taken.values.shape[1])
            values = feature.embedded(taken.values).masked_fill(~real[..., None], 0)
            targets.append(Steps(values, taken.lengths))
            sources.append(Steps(values, torch.where(batch.lengths[name] > 0, taken.lengths, 0)))
        return [
            feature.attended(target, sources[:n] + sources[n + 1 :])
            for n, (feature, target) in enumerate(zip(self.every, targets, strict=True))
        ]

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the loss of rebuilt rows."""
        attended = self.attended(batch)
        counted = [own.clamp_max(self.options.steps) for own in batch.lengths.values()]
        parts = zip(self.every, attended, counted, strict=True)
        outputs: Outputs = self.heads(self.classifier(torch.cat([own.gate(x, n) for own, x, n in parts], 1)))
        if not batch.targets or not self.options.reconstruction:
            return outputs
        loss = self.error(attended, batch) if batch.epoch > 1 else attended[0].new_zeros(())
        return outputs, {"reconstruction": self.options.reconstruction * loss}

    def error(self, attended: list[Tensor], batch: Batch) -> Tensor:
        """Return the sum over features of how far rebuilt rows are from complete ones; 0 where none was removed."""
        total = attended[0].new_zeros(())
        for feature, own, (name, rows) in zip(self.every, attended, batch.complete.items(), strict=True):
            lengths = batch.complete_lengths[name]
            complete = self.steps(rows, lengths)
            counted = self.steps(batch.removed(name).float()[..., None], lengths).values.squeeze(-1) > 0
            if self.options.everywhere:
                counted = real_rows(complete.lengths, complete.values.shape[1])
            some = (counted & batch.real[:, None]).any(1)
            if some.any():
                rebuilt, places = feature.rebuilt(own[some]), counted[some]
                total = total + distance(rebuilt[places], complete.values[some][places], self.options.moments)
        return total


def distance(rebuilt: Tensor, rows: Tensor, weight: float) -> Tensor:
    """Return the mean smooth absolute error of rows `(n, d)`, and the weighted distance of their moments over n d."""
    total = smooth_l1_loss(rebuilt, rows, reduction="sum")
    return (total + weight * moment_distance(rebuilt, rows, MOMENTS)) / rows.numel()


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, kind="sequences", standardise=True, numbers="absolute_error")
