"""Diffusion of embeddings given others: a network learns the score of noisy ones, from which new ones are drawn.

The noise follows dx = σ^t dw, whose variance explodes (Song et al. 2021). The network is that of IMDer (Wang et al.
2023).

Conventions:
    n embeddings of h numbers by T steps, `(n, h, T)`, as many of the condition; times t are in [0, 1], `(n,)`. The
    score is the gradient of the log-density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from merbench.training.networks.attention import Stack, Steps, Style

Noise = Callable[[], Tensor]
"""Gives standard normal numbers `(n, h, T)`."""

LAYERS, FREQUENCY = 2, 30.0
"""Layers of attention to the condition of a level, and the deviation of the frequencies that a time is described by."""

FIRST_TIME, LAST_TIME = 1e-5, 1e-3
"""The earliest time that is learned, and the last one of a draw."""


class Level(nn.Module):
    """One level of a score network: a convolution, attention to the condition, the time, and a normalisation."""

    def __init__(
        self, convolution: nn.Module, of_condition: nn.Module, width: int, *, n_groups: int, heads: int, of_time: int
    ) -> None:
        super().__init__()
        self.convolution, self.of_condition = convolution, of_condition
        self.attention = Stack(width, LAYERS, Style(heads, causal=True))
        self.time = nn.Linear(of_time, width)
        self.normal = nn.GroupNorm(math.gcd(width, n_groups), width)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor, *size: list[int]) -> tuple[Tensor, Tensor]:
        """Return units and condition of the level; of one that makes steps longer, `size` is how many."""
        x, condition = self.convolution(x, *size), self.of_condition(condition, *size)
        x = x + self.attention(steps_of(x), steps_of(condition)).transpose(1, 2)
        units: Tensor = nn.functional.silu(self.normal(x + self.time(time)[..., None]))
        return units, condition


class ScoreNetwork(nn.Module):
    """The score of a noisy embedding at a time, given a noisy condition: a U-Net over steps, `(n, h, T)`.

    Args:
        h: numbers of a step.
        n_levels: levels; each has half of the steps, and twice the width, of the one before it.
        heads: heads of attention to the condition; they divide the width.
        of_time: numbers that a time is described by, an even number.
        sigma: base σ of the noise.
    """

    frequencies: Tensor

    def __init__(self, h: int, n_levels: int, *, heads: int, of_time: int, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma
        self.register_buffer("frequencies", FREQUENCY * torch.randn(of_time // 2))
        self.time = nn.Sequential(nn.Linear(of_time, of_time), nn.SiLU())
        widths = [h * 2**level for level in range(n_levels)]
        groups = {width: min(32, width // 2) for width in widths} | {h: 4}
        half = partial(nn.Conv1d, kernel_size=3, stride=2, padding=1, bias=False)
        double = partial(nn.ConvTranspose1d, kernel_size=3, stride=2, padding=1, bias=False)

        def level(convolution: nn.Module, of_condition: nn.Module, width: int) -> Level:
            return Level(convolution, of_condition, width, n_groups=groups[width], heads=heads, of_time=of_time)

        first = level(nn.Conv1d(h, h, 3, padding=1, bias=False), nn.Identity(), h)
        self.down = nn.ModuleList([first, *(level(half(a, b), half(a, b), b) for a, b in pairwise(widths))])
        self.up = nn.ModuleList()
        for n, (above, below) in enumerate(pairwise(reversed(widths))):
            self.up.append(level(double(above * (2 if n else 1), below), double(above, below), below))
        self.last = nn.ConvTranspose1d(h * (2 if n_levels > 1 else 1), h, 3, padding=1)
        self.last_condition = nn.ConvTranspose1d(h, h, 3, padding=1)
        self.attention = Stack(h, LAYERS, Style(heads, causal=True))

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


def steps_of(x: Tensor) -> Steps:
    """Return an embedding as steps, all of them real."""
    return Steps(x.transpose(1, 2), torch.full((len(x),), x.shape[2], device=x.device))


def deviation(times: Tensor, sigma: float) -> Tensor:
    """Return the standard deviation of the noise at times, of dx = σ^t dw: √((σ^2t - 1) / (2 ln σ))."""
    return ((sigma ** (2 * times) - 1) / (2 * math.log(sigma))).sqrt()


def score_errors(score: nn.Module, x: Tensor, condition: Tensor, sigma: float) -> Tensor:
    """Return the squared errors of the scores of embeddings, each with noise of a time of its own, `(n,)`.

    The condition is as noisy, by noise of its own (denoising score matching, conditional generation).
    """
    times = FIRST_TIME + (1 - FIRST_TIME) * torch.rand(len(x), device=x.device)
    size = deviation(times, sigma)[:, None, None]
    noise = torch.randn_like(x)
    scores: Tensor = score(x + noise * size, condition + torch.randn_like(x) * size, times)
    return (scores * size + noise).square().sum((1, 2))


@torch.no_grad()
def drawn(score: nn.Module, condition: Tensor, noise: Noise, *, sigma: float, n_steps: int) -> Tensor:
    """Return embeddings that are drawn by the Euler-Maruyama method, backwards in time, given a condition."""
    times = torch.linspace(1, LAST_TIME, n_steps, device=condition.device)
    step = (1 - LAST_TIME) / (n_steps - 1)
    x = mean = noise() * deviation(times[0], sigma)
    for time in times:
        noisy = condition + noise() * deviation(time, sigma)
        speed = sigma ** float(time)
        mean = x + speed**2 * step * score(x, noisy, time.expand(len(x)))
        x = mean + speed * math.sqrt(step) * noise()
    return mean
