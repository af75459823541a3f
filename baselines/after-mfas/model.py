"""After MFAS (arXiv:2306.09361): how continuous and quantised knowledge of the same rows is fused, is searched.

Conventions:
    B sequences of a batch, T rows of the longest, d numbers of a row, C channels, L positions. Outputs are `(B, K)`
    scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.architecture.cells import Cells
from merbench.training.architecture.fusion import Channels, FusedSteps, Steps, fusion_operations, fusion_space
from merbench.training.architecture.searched import SearchedBaseline, SearchedSchedule
from merbench.training.architecture.space import Genotype, Space
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import BatchNorm, Dropout, Heads
from merbench.training.networks.network import Shape
from merbench.training.networks.recurrent import real_rows, resampled, window_means

PROJECTED = 16
"""Numbers of a projected row, of which the nearest code is taken."""


@dataclass(frozen=True)
class Options(SearchedSchedule):
    """Architecture, its search, and training.

    Attributes:
        codes: how many codes rows are quantised to.
        window: how many consecutive rows are averaged first.
        channels: channels C of a state.
        length: positions L of a state.
        steps: pairs that are fused, fewer where there are too few inputs.
        nodes: operations inside of each step.
        dropout: share of what operations return that is dropped in training.
    """

    codes: Annotated[int, Within(2, 65_536)]
    window: Annotated[int, Within(1)]
    channels: Channels
    length: Channels
    steps: Steps
    nodes: Steps
    dropout: Dropout


def space(options: Options, widths: Mapping[str, int]) -> Space:
    """Return the space: of every feature `<feature>.quantised`, then `<feature>.continuous`."""
    inputs = [f"{name}.{kind}" for kind in ("quantised", "continuous") for name in widths]
    return Space("after-mfas", {"fusion": fusion_space(inputs, options.steps, options.nodes)})


class Quantised(nn.Module):
    """Rows as embeddings of codes, C n numbers that are learned, by a random projection (Chiu et al. 2022).

    Projection and codes are random and stay so: the code of a row is the nearest by cosine to its projection.
    """

    projection: Tensor
    codes: Tensor

    def __init__(self, n_in: int, n_codes: int, channels: int) -> None:
        super().__init__()
        bound = (6 / (n_in + PROJECTED)) ** 0.5
        self.register_buffer("projection", torch.empty(n_in, PROJECTED).uniform_(-bound, bound))
        self.register_buffer("codes", normalize(torch.randn(n_codes, PROJECTED), dim=-1))
        self.embeddings = nn.Embedding(n_codes, channels)

    def forward(self, rows: Tensor) -> Tensor:
        """Return `(B, T, C)` of `(B, T, d)`."""
        nearest = (normalize(rows @ self.projection, dim=-1) @ self.codes.mT).argmax(-1)
        output: Tensor = self.embeddings(nearest)
        return output


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
        genotype: None: it is searched.
    """

    def __init__(self, options: Options, shape: Shape, genotype: Genotype | None = None) -> None:
        super().__init__()
        own, size = space(options, shape.widths), (options.channels, options.length)
        self.window, self.length = options.window, options.length
        self.kept = own.inputs_read("fusion", genotype)
        self.readers, self.normals = nn.ModuleList(), nn.ModuleList(BatchNorm(options.channels) for _ in self.kept)
        for name in self.kept:
            feature, _, kind = name.rpartition(".")
            width = shape.widths[feature]
            self.readers.append(
                Quantised(width, options.codes, options.channels)
                if kind == "quantised"
                else nn.Linear(width, options.channels)
            )
        self.cells = Cells(own, {"fusion": fusion_operations(*size, options.dropout)}, genotype)
        self.fused = FusedSteps(own.cells["fusion"], *size)
        self.heads = Heads(self.fused.n_out, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        states = {}
        for name, reader, normal in zip(self.kept, self.readers, self.normals, strict=True):
            feature = name.rpartition(".")[0]
            rows, lengths = window_means(batch.inputs[feature], batch.lengths[feature], self.window)
            read = reader(rows).masked_fill(~real_rows(lengths, rows.shape[1])[..., None], 0)
            parts = resampled(read, lengths, torch.full_like(lengths, self.length))
            states[name] = normal(parts.transpose(1, 2)).relu()
        outputs: dict[str, Tensor] = self.heads(self.fused(self.cells, states, self.cells.weights()))
        return outputs


def build(options: Options, setup: Setup) -> SearchedBaseline:
    return SearchedBaseline(partial(Network, options), partial(space, options), options, setup, kind="sequences")
