"""IMDer: missing features are generated from noise by diffusion, given those that are present (Wang et al., 2023).

The network is MulT, which reads all features. In a first stage it learns from complete ones, and its embeddings stay.
Then the embedding of a feature that a sample lacks is drawn by a network that knows the score, the gradient of the
log-density, of noisy embeddings, given those of the others; it is refined and takes the place of what is missing.

Conventions:
    B samples of a batch, T steps, the same for every feature and sample, h numbers of a step, M features. Embeddings
    are `(B, h, T)`; times t are in [0, 1]. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.attention import Stack, Steps, Style
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width, generator
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import resampled
from merbench.training.networks.staged import StagedBaseline

Outputs = dict[str, Tensor]
Noise = Callable[[], Tensor]

SCORE_LAYERS, FEWEST_MEMORY_LAYERS, FREQUENCY = 2, 3, 30.0
"""Layers of attention to the condition, fewest layers after those of pairs, deviation of the frequencies of a time."""

FIRST_TIME, LAST_TIME = 1e-5, 1e-3
"""The earliest time that is learned, and the last one of a draw."""


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, diffusion, and training.

    Attributes:
        hidden: numbers h of a step.
        length: steps T that every feature is brought to, by means of equal parts or by repeated rows.
        kernel: rows that a step is made of.
        heads: heads of attention; they divide the width.
        layers: layers of a pair of features; those after them are as many, and at least 3.
        levels: levels of the score network: each has half of the steps, and twice the width.
        time_features: numbers that a time is described by.
        steps: steps of a draw.
        sigma: base σ of the noise, whose deviation grows as √((σ^2t - 1) / (2 ln σ)).
        blocks: blocks of the network that refines a draw.
        dropout: share of units, and of what a stack of MulT reads, that is dropped in training.
        recovery: weight of the losses of scores and of refined embeddings.
        generated: whether what is missing is generated; if not, it is zeros.
    """

    hidden: Width
    length: Annotated[int, Within(1, 4096)]
    kernel: Annotated[int, Within(1, 1000)]
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 64)]
    levels: Annotated[int, Within(1, 8)]
    time_features: Annotated[int, Within(2, 65_536)]
    steps: Annotated[int, Within(2, 10_000)]
    sigma: Annotated[float, Within(1.01, 1000)]
    blocks: Annotated[int, Within(0, 1000)]
    dropout: Dropout
    recovery: Annotated[float, Within(0)]
    generated: bool

    def __post_init__(self) -> None:
        """Raise `UsageError` for widths that the heads, or two, do not divide, too."""
        super().__post_init__()
        if self.hidden % self.heads:
            raise UsageError(f"hidden: {self.hidden} is not divisible by heads, which is {self.heads}")
        if self.time_features % 2:
            raise UsageError(f"time_features: {self.time_features} is odd; half of them are sines, half cosines")


class Frame(nn.Module):
    """MulT over T steps of every feature: the first stage, and what the second one reads recovered features with."""

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, n, h = options, len(shape.widths), options.hidden
        style = Style(options.heads, causal=True, dropout=options.dropout)
        self.embeddings = nn.ModuleList(
            nn.Conv1d(width, h, options.kernel, bias=False) for width in shape.widths.values()
        )
        self.pairs = nn.ModuleList(Stack(h, options.layers, style) for _ in range(n * (n - 1)))
        width = (n - 1) * h
        n_layers = max(options.layers, FEWEST_MEMORY_LAYERS)
        self.memories = nn.ModuleList(Stack(width, n_layers, style) for _ in range(n))
        self.fusion = nn.Sequential(
            nn.Linear(n * width, n * width), nn.ReLU(), nn.Dropout(options.dropout), nn.Linear(n * width, n * width)
        )
        self.heads = Heads(n * width, shape.labels)

    def embedded(self, inputs: Mapping[str, Tensor], lengths: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the embedding of every feature; that of one without rows is zeros."""
        n_rows = self.options.length + self.options.kernel - 1
        rows = [resampled(x, lengths[name], torch.full_like(lengths[name], n_rows)) for name, x in inputs.items()]
        return [layer(x.transpose(1, 2)) for layer, x in zip(self.embeddings, rows, strict=True)]

    def answered(self, embedded: Sequence[Tensor]) -> Outputs:
        """Return the outputs for embeddings of all features."""
        every = [steps_of(x) for x in embedded]
        pairs, last = iter(self.pairs), []
        for n, memory in enumerate(self.memories):
            sources = every[:n] + every[n + 1 :]
            crossed = torch.cat([next(pairs)(every[n], source) for source in sources], -1)
            last.append(memory(Steps(crossed, every[n].lengths))[:, -1])
        fused = torch.cat(last, -1)
        outputs: Outputs = self.heads(fused + self.fusion(fused))
        return outputs

    def forward(self, batch: Batch) -> Any:
        """Return the outputs for a batch of sequences."""
        return self.answered(self.embedded(batch.inputs, batch.lengths))


class Level(nn.Module):
    """One level of a score network: a convolution, attention to the condition, the time, and a normalisation."""

    def __init__(self, convolution: nn.Module, of_condition: nn.Module, width: int, options: Options) -> None:
        super().__init__()
        self.convolution, self.of_condition = convolution, of_condition
        self.attention = Stack(width, SCORE_LAYERS, Style(options.heads, causal=True))
        self.time = nn.Linear(options.time_features, width)
        self.normal = nn.GroupNorm(math.gcd(width, 4 if width == options.hidden else min(32, width // 2)), width)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor, *size: list[int]) -> tuple[Tensor, Tensor]:
        """Return units and condition of the level; of one that makes steps longer, `size` is how many."""
        x, condition = self.convolution(x, *size), self.of_condition(condition, *size)
        x = x + self.attention(steps_of(x), steps_of(condition)).transpose(1, 2)
        units: Tensor = nn.functional.silu(self.normal(x + self.time(time)[..., None]))
        return units, condition


class ScoreNetwork(nn.Module):
    """The score of a noisy embedding at a time, given a noisy condition: a U-Net over steps, `(n, h, T)`."""

    frequencies: Tensor

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.sigma, h = options.sigma, options.hidden
        self.register_buffer("frequencies", FREQUENCY * torch.randn(options.time_features // 2))
        self.time = nn.Sequential(nn.Linear(options.time_features, options.time_features), nn.SiLU())
        widths = [h * 2**level for level in range(options.levels)]
        half = partial(nn.Conv1d, kernel_size=3, stride=2, padding=1, bias=False)
        double = partial(nn.ConvTranspose1d, kernel_size=3, stride=2, padding=1, bias=False)
        first = Level(nn.Conv1d(h, h, 3, padding=1, bias=False), nn.Identity(), h, options)
        self.down = nn.ModuleList([first, *(Level(half(a, b), half(a, b), b, options) for a, b in pairwise(widths))])
        self.up = nn.ModuleList()
        for n, (above, below) in enumerate(pairwise(reversed(widths))):
            self.up.append(Level(double(above * (2 if n else 1), below), double(above, below), below, options))
        self.last = nn.ConvTranspose1d(h * (2 if options.levels > 1 else 1), h, 3, padding=1)
        self.last_condition = nn.ConvTranspose1d(h, h, 3, padding=1)
        self.attention = Stack(h, SCORE_LAYERS, Style(options.heads, causal=True))

    def forward(self, x: Tensor, condition: Tensor, times: Tensor) -> Tensor:
        """Return the scores at times `(n,)`."""
        angles = 2 * math.pi * times[:, None] * self.frequencies
        time, units, skipped = self.time(torch.cat([angles.sin(), angles.cos()], 1)), x, list[Tensor]()
        for level in self.down:
            units, condition = level(units, condition, time)
            skipped.append(units)
        skipped.pop()
        for level in self.up:
            units, condition = level(units, condition, time, [skipped[-1].shape[2]])
            units = torch.cat([units, skipped.pop()], 1)
        units, condition = self.last(units), self.last_condition(condition)
        units = units + self.attention(steps_of(units), steps_of(condition)).transpose(1, 2)
        scores: Tensor = units / deviation(times, self.sigma)[:, None, None]
        return scores


class ChannelAttention(nn.Module):
    """Two convolutions over steps, weighted by channel, and added to their input (Zhang et al. 2018, RCAN)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        few = max(1, width // 16)
        self.units = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, width, 3, padding=1)
        )
        self.weights = nn.Sequential(nn.Conv1d(width, few, 1), nn.ReLU(), nn.Conv1d(few, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """Return units."""
        units: Tensor = self.units(x)
        added: Tensor = units * self.weights(units.mean(2, keepdim=True))
        return x + added


class Refinement(nn.Module):
    """Blocks of channel attention of twice the width, around which their input is added: `(n, h, T)` to the same."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        width = 2 * options.hidden
        self.wide, self.narrow = nn.Conv1d(options.hidden, width, 1), nn.Conv1d(width, options.hidden, 1)
        blocks = (ChannelAttention(width) for _ in range(options.blocks))
        self.blocks = nn.Sequential(*blocks, nn.Conv1d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        """Return a refined embedding."""
        wide = self.wide(x)
        refined: Tensor = self.narrow(wide + self.blocks(wide))
        return refined


class Network(Frame):
    """Sequences of two features or more, some of which samples lack, to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__(options, shape)
        n, h = len(shape.widths), options.hidden
        each = range(n if options.generated else 0)
        self.scores = nn.ModuleList(ScoreNetwork(options) for _ in each)
        self.refinements = nn.ModuleList(Refinement(options) for _ in each)
        self.conditions = nn.ModuleList(nn.Conv1d((n - 1) * h, h, 1) for _ in each if n > 2)

    def learn_from(self, teacher: Any) -> None:
        """Begin with all that the first stage learned; embeddings, which scores are of, stay as they are."""
        self.load_state_dict(teacher.state_dict(), strict=False)
        self.embeddings.requires_grad_(False)

    def forward(self, batch: Batch) -> Any:
        """Return the outputs for a batch, and in training the losses of recovery."""
        given = self.embedded(batch.inputs, batch.lengths)
        wanted = self.embedded(batch.complete, batch.complete_lengths) if batch.targets else given
        present = torch.stack([batch.lengths[name] > 0 for name in batch.inputs])
        recovered, losses = list(given), {"score": given[0].new_zeros(()), "reconstruction": given[0].new_zeros(())}
        for n, (score, refinement) in enumerate(zip(self.scores, self.refinements, strict=True)):
            lacking = ~present[n] & batch.real
            if not lacking.any():
                continue
            condition = self.condition(n, given, present)[lacking]
            draw = drawn(score, condition, self.options, self.noise(n, condition))
            recovered[n] = given[n].index_put((lacking,), refinement(draw))
            known = lacking & (batch.complete_lengths[[*batch.inputs][n]] > 0)
            if batch.targets and known.any():
                errors = score_errors(score, wanted[n][known], condition[known[lacking]], self.options.sigma)
                losses["score"] = losses["score"] + errors.sum() / batch.real.sum()
                gaps = (recovered[n] - wanted[n])[known].square().mean((1, 2))
                losses["reconstruction"] = losses["reconstruction"] + gaps.sum() / batch.real.sum()
        outputs = self.answered(recovered)
        if not batch.targets or not self.options.generated:
            return outputs
        return outputs, {name: self.options.recovery * loss for name, loss in losses.items()}

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return by how much the mean squared error of what is drawn is below that of zeros, one hidden in turn.

        Zeros are the mean of a feature in training. Samples that have no other feature do not count.
        """
        if not len(self.scores):
            return {}
        given, gains = self.embedded(batch.inputs, batch.lengths), []
        present = torch.stack([batch.lengths[name] > 0 for name in batch.inputs])
        for n, (score, refinement) in enumerate(zip(self.scores, self.refinements, strict=True)):
            others = present & (torch.arange(len(present), device=present.device) != n)[:, None]
            hidden = present[n] & others.any(0) & batch.real
            if not hidden.any():
                continue
            condition, wanted = self.condition(n, given, others)[hidden], given[n][hidden]
            draw = refinement(drawn(score, condition, self.options, self.noise(n, condition)))
            gains.append((wanted.square() - (draw - wanted).square()).mean())
        return {"reconstruction": torch.stack(gains).mean() if gains else given[0].new_zeros(())}

    def condition(self, n: int, given: Sequence[Tensor], present: Tensor) -> Tensor:
        """Return what a feature is drawn from: the only other one, or a linear map of all others; zeros of none."""
        others = [x for place, x in enumerate(given) if place != n]
        condition = torch.stack(others).sum(0)  # those that are missing are zeros
        if len(others) > 1:
            several = present.sum(0) - present[n].long() > 1
            condition = torch.where(several[:, None, None], self.conditions[n](torch.cat(others, 1)), condition)
        return condition

    def noise(self, n: int, like: Tensor) -> Noise:
        """Return what gives the noise of a draw: in training that of every sample, else the same for each of them."""
        if self.training:
            return lambda: torch.randn_like(like)
        rng = generator("cpu", "imder", n)
        return lambda: torch.randn(like.shape[1:], generator=rng).to(like).expand_as(like)


def steps_of(x: Tensor) -> Steps:
    """Return an embedding as steps, all of them real."""
    return Steps(x.transpose(1, 2), torch.full((len(x),), x.shape[2], device=x.device))


def deviation(times: Tensor, sigma: float) -> Tensor:
    """Return the standard deviation of the noise at times, of dx = σ^t dw: √((σ^2t - 1) / (2 ln σ))."""
    return ((sigma ** (2 * times) - 1) / (2 * math.log(sigma))).sqrt()


def score_errors(score: nn.Module, x: Tensor, condition: Tensor, sigma: float) -> Tensor:
    """Return, for embeddings `(n, h, T)`, the squared errors of the score of noise at a time of its own, `(n,)`.

    The condition is as noisy, by noise of its own (Song et al. 2021: denoising score matching, conditional generation).
    """
    times = FIRST_TIME + (1 - FIRST_TIME) * torch.rand(len(x), device=x.device)
    size = deviation(times, sigma)[:, None, None]
    noise = torch.randn_like(x)
    scores: Tensor = score(x + noise * size, condition + torch.randn_like(x) * size, times)
    return (scores * size + noise).square().sum((1, 2))


@torch.no_grad()
def drawn(score: nn.Module, condition: Tensor, options: Options, noise: Noise) -> Tensor:
    """Return embeddings `(n, h, T)` that are drawn by the Euler-Maruyama method, backwards in time, given a condition.

    Args:
        score: the score network.
        condition: `(n, h, T)`.
        options: σ and the number of steps.
        noise: gives standard normal numbers `(n, h, T)`.
    """
    times = torch.linspace(1, LAST_TIME, options.steps, device=condition.device)
    step = (1 - LAST_TIME) / (options.steps - 1)
    x = mean = noise() * deviation(times[0], options.sigma)
    for time in times:
        noisy = condition + noise() * deviation(time, options.sigma)
        speed = options.sigma ** float(time)
        mean = x + speed**2 * step * score(x, noisy, time.expand(len(x)))
        x = mean + speed * math.sqrt(step) * noise()
    return mean


def build(options: Options, setup: Setup) -> StagedBaseline:
    return StagedBaseline(partial(Frame, options), partial(Network, options), options, setup, kind="sequences")
