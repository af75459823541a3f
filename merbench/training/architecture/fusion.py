"""The cell of BM-NAS (Yin et al. 2022, arXiv:2104.09379): which inputs are fused, and by which operations.

The upper level chooses, for every step, a pair of inputs; the lower level is a cell inside of each step, whose nodes
choose what they read and one of four operations. All inputs have the same shape.

Conventions:
    B samples of a batch, C channels, L positions; states are `(B, C, L)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training.architecture.cells import Cells, Operations, Skip, Weights
from merbench.training.architecture.space import CellSpace
from merbench.training.networks.layers import BatchNorm

Channels = Annotated[int, Within(1, 4096)]
"""Channels C, or positions L, as an option of a baseline."""

Steps = Annotated[int, Within(1, 8)]
"""Steps of the upper level, or nodes of the lower one, as an option of a baseline."""


class Sum(nn.Module):
    """x + y; no parameters."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the sum."""
        return x + y


class ScaledDotAttention(nn.Module):
    """LayerNorm(softmax(xᵀy / √C) y) over positions, x as queries, y as keys and values: 2 C parameters."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.normal, self.dropout = nn.LayerNorm(channels), nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return what every position of x gets from those of y."""
        queries, keys = x.transpose(1, 2), y.transpose(1, 2)
        shares = self.dropout((queries @ y / math.sqrt(x.shape[1])).softmax(-1))
        output: Tensor = self.normal(shares @ keys)
        return output.transpose(1, 2)


class LinearGLU(nn.Module):
    """A gated linear unit of both: 1 x 1 convolution of 2 C channels, BatchNorm, GLU; 4 C² + 2 C + 4 C parameters."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.linear, self.normal = nn.Conv1d(2 * channels, 2 * channels, 1), BatchNorm(2 * channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the first half of the channels times the sigmoid of the second."""
        output: Tensor = self.dropout(nn.functional.glu(self.normal(self.linear(torch.cat([x, y], 1))), 1))
        return output


class ConcatFC(nn.Module):
    """1 x 1 convolution of both to C channels, BatchNorm, ReLU; 2 C² + C + 2 C parameters."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.linear, self.normal = nn.Conv1d(2 * channels, channels, 1), BatchNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the activations."""
        output: Tensor = self.dropout(self.normal(self.linear(torch.cat([x, y], 1))).relu())
        return output


class Around(nn.Module):
    """What a step returns: the mean of the nodes inside of it and its first input, normalised; 2 C L parameters."""

    def __init__(self, channels: int, length: int) -> None:
        super().__init__()
        self.normal = nn.LayerNorm([channels, length])

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        """Return the normalised sum."""
        output: Tensor = self.normal(inner + x)
        return output


STEP_OPS = ("sum", "attention", "linear_glu", "concat_fc")


def fusion_space(inputs: Sequence[str], steps: int, nodes: int) -> CellSpace:
    """Return the space of both levels.

    Args:
        inputs: what may be fused, two or more.
        steps: of the upper level; fewer where there are too few inputs for each step to read one that none before
            has read.
        nodes: inside of each step.

    Raises:
        UsageError: there is only one input.
    """
    if len(inputs) < 2:
        raise UsageError(f"fusion needs two inputs or more, not {len(inputs)}")
    inner = CellSpace(
        inputs=("x", "y"),
        nodes=tuple(f"node-{n + 1}" for n in range(nodes)),
        takes=2,
        edges=("none", "skip"),
        ops=STEP_OPS,
    )
    return CellSpace(
        inputs=tuple(inputs),
        nodes=tuple(f"step-{n + 1}" for n in range(min(steps, len(inputs) - 1))),
        takes=2,
        edges=("none", "skip"),
        reads="inputs",
        new=True,
        inside=inner,
    )


def fusion_operations(channels: int, length: int, dropout: float) -> Operations:
    """Return the operations of both levels."""
    makers: dict[str, Any] = {
        "skip": Skip,
        "sum": Sum,
        "attention": partial(ScaledDotAttention, channels, dropout),
        "linear_glu": partial(LinearGLU, channels, dropout),
        "concat_fc": partial(ConcatFC, channels, dropout),
    }
    return Operations.named(makers, partial(Around, channels, length))


class FusedSteps(nn.Module):
    """What the heads read of a cell of fusion: its steps next to each other, normalised, ReLU; `(B, steps C L)`."""

    def __init__(self, space: CellSpace, channels: int, length: int) -> None:
        super().__init__()
        self.n_out = len(space.nodes) * channels * length
        self.normal = nn.LayerNorm([len(space.nodes) * channels, length])

    def forward(self, cells: Cells, inputs: Mapping[str, Tensor], weights: Weights) -> Tensor:
        """Return what was fused of states, by the cell `fusion`."""
        output: Tensor = self.normal(torch.cat(cells("fusion", inputs, weights), 1)).relu()
        return output.flatten(1)


class Reshaped(nn.Module):
    """A vector as a state: a linear layer to C L numbers, BatchNorm of the channels, ReLU; `(B, d)` to `(B, C, L)`."""

    def __init__(self, n_in: int, channels: int, length: int) -> None:
        super().__init__()
        self.linear, self.normal, self.shape = (
            nn.Linear(n_in, channels * length),
            BatchNorm(channels),
            (channels, length),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the state."""
        output: Tensor = self.normal(self.linear(x).unflatten(1, self.shape)).relu()
        return output
