"""The two kinds of cell of DARTS (Liu et al. 2019, arXiv:1806.09055): of convolutions, and of a recurrent step.

Convolutions go over the rows of a sequence, in one dimension. Rows are normalised one by one in place of BatchNorm, so
that no sequence depends on its padding, or on others.

Conventions:
    B sequences of a batch, T rows of the longest, d numbers of a row, h channels, or numbers of a state. Rows are
    `(B, T, d)`, `real`, `(B, T)`, those that are not padding, which is zeros and comes after them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from merbench.training.architecture.cells import Cells, Operations, Skip, Weights
from merbench.training.architecture.space import CellSpace
from merbench.training.networks.recurrent import real_rows

CONVOLUTIONS = ("none", "max_3", "avg_3", "skip", "sep_3", "sep_5", "dil_3", "dil_5")
ACTIVATIONS = ("none", "tanh", "relu", "sigmoid", "identity")

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def convolution_space(nodes: int) -> CellSpace:
    """Return the cell of convolutions: each node adds two of the outputs of both cells before, and of earlier nodes."""
    names = tuple(f"node-{n + 1}" for n in range(nodes))
    return CellSpace(inputs=("before", "last"), nodes=names, takes=2, edges=CONVOLUTIONS)


def recurrent_space(nodes: int) -> CellSpace:
    """Return the cell of a recurrent step: each node reads the first state, or one earlier node, by an activation."""
    return CellSpace(inputs=("state",), nodes=tuple(f"node-{n + 1}" for n in range(nodes)), edges=ACTIVATIONS)


class Convolved(nn.Module):
    """ReLU, a convolution of each channel by itself, a linear layer, normalisation, `times` over; padding stays zeros.

    Each time has h k + h² + 2 h parameters.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, times: int) -> None:
        super().__init__()
        reach = dilation * (kernel - 1) // 2
        each = partial(
            nn.Conv1d, channels, channels, kernel, padding=reach, dilation=dilation, groups=channels, bias=False
        )
        self.depthwise = nn.ModuleList(each() for _ in range(times))
        self.pointwise = nn.ModuleList(nn.Linear(channels, channels, bias=False) for _ in range(times))
        self.normals = nn.ModuleList(nn.LayerNorm(channels) for _ in range(times))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return rows `(B, T, h)`."""
        for depthwise, pointwise, normal in zip(self.depthwise, self.pointwise, self.normals, strict=True):
            x = normal(pointwise(depthwise(x.relu().transpose(1, 2)).transpose(1, 2)))
            x = x.masked_fill(~real[..., None], 0)
        return x


class Pooled(nn.Module):
    """The mean or the maximum of a row and its two neighbours, of those that are real; no parameters."""

    def __init__(self, *, largest: bool) -> None:
        super().__init__()
        self.largest = largest

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return rows `(B, T, h)`."""
        if self.largest:
            x = x.masked_fill(~real[..., None], -torch.inf)
            x = nn.functional.max_pool1d(x.transpose(1, 2), 3, 1, 1).transpose(1, 2)
        else:
            pool = partial(nn.functional.avg_pool1d, kernel_size=3, stride=1, padding=1)
            shares = pool(real.to(x.dtype)[:, None]).clamp_min(1 / 6)
            x = (pool(x.masked_fill(~real[..., None], 0).transpose(1, 2)) / shares).transpose(1, 2)
        return x.masked_fill(~real[..., None], 0)


def convolutions(channels: int) -> Operations:
    """Return the operations of the cell of convolutions."""
    makers: dict[str, Any] = {
        "skip": Skip,
        "max_3": partial(Pooled, largest=True),
        "avg_3": partial(Pooled, largest=False),
    }
    for kernel in (3, 5):
        makers[f"sep_{kernel}"] = partial(Convolved, channels, kernel, 1, 2)
        makers[f"dil_{kernel}"] = partial(Convolved, channels, kernel, 2, 1)
    return Operations.named(makers)


class Gate(nn.Module):
    """s + σ(c) ⊙ (f(g) − s), where (c, g) are W s; all activations f of a node share the 2 h² numbers of W."""

    def __init__(self, linear: nn.Linear, activation: str) -> None:
        super().__init__()
        self.linear, self.activation = linear, _FUNCTIONS[activation]

    def forward(self, state: Tensor) -> Tensor:
        """Return a state `(B, h)`."""
        share, new = self.linear(state).chunk(2, -1)
        after: Tensor = state + share.sigmoid() * (self.activation(new) - state)
        return after


def activations(width: int) -> Operations:
    """Return the operations of the cell of a recurrent step."""

    def of_node(_: str) -> Callable[[str], nn.Module]:
        return partial(Gate, nn.Linear(width, 2 * width, bias=False))

    return Operations(of_node)


class ConvolvedRows(nn.Module):
    """Rows of a sequence as one vector, by cells of convolutions: the mean of what the last one returns.

    Args:
        n_in: numbers of a row.
        channels: channels h.
        nodes: of the cell.
        layers: how often the cell follows itself; all have the architecture of the cell `convolutions`.
    """

    def __init__(self, n_in: int, channels: int, nodes: int, layers: int) -> None:
        super().__init__()
        self.n_out = nodes * channels
        widths = [channels, channels, *[self.n_out] * (layers - 1)]
        self.stem = nn.Sequential(nn.Linear(n_in, channels), nn.LayerNorm(channels))
        self.before, self.last = (
            nn.ModuleList(
                nn.Sequential(nn.ReLU(), nn.Linear(width, channels, bias=False), nn.LayerNorm(channels))
                for width in widths[start : start + layers]
            )
            for start in (0, 1)
        )

    def forward(self, cells: Cells, rows: Tensor, lengths: Tensor, weights: Weights) -> Tensor:
        """Return vectors `(B, nodes h)`; zeros for a sequence without rows."""
        real = real_rows(lengths, rows.shape[1])
        before = last = self.stem(rows).masked_fill(~real[..., None], 0)
        for n, layers in enumerate(zip(self.before, self.last, strict=True)):
            given = [layer(x).masked_fill(~real[..., None], 0) for layer, x in zip(layers, (before, last), strict=True)]
            inputs = dict(zip(("before", "last"), given, strict=True))
            before, last = last, torch.cat(cells("convolutions", inputs, weights, real, copy=n), -1)
        mean: Tensor = last.sum(1) / lengths.clamp_min(1)[:, None]
        return mean


class RecurrentRows(nn.Module):
    """Rows of a sequence as one vector, by recurrent steps: the state after the last row.

    The first state of a step is h + σ(c) ⊙ (tanh(g) − h), (c, g) = W [x, h]; the next state is the mean of all nodes.

    Args:
        n_in: numbers d of a row.
        width: numbers h of a state.
    """

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.n_out, self.first = width, nn.Linear(n_in + width, 2 * width, bias=False)

    def forward(self, cells: Cells, rows: Tensor, lengths: Tensor, weights: Weights) -> Tensor:
        """Return vectors `(B, h)`; zeros for a sequence without rows."""
        real = real_rows(lengths, rows.shape[1])
        state = rows.new_zeros(len(rows), self.n_out)
        for x, own in zip(rows.unbind(1), real.unbind(1), strict=True):
            share, new = self.first(torch.cat([x, state], -1)).chunk(2, -1)
            first = state + share.sigmoid() * (new.tanh() - state)
            after = torch.stack(cells("recurrent", {"state": first}, weights)).mean(0)
            state = torch.where(own[:, None], after, state)
        return state
