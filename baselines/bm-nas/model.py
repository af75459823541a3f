"""BM-NAS (Yin et al. 2022): which encodings are fused, in which pairs and by which operations, is searched first.

Conventions:
    B samples of a batch, d numbers of a vector, h hidden units, C channels, L positions. Outputs are `(B, K)` scores of
    labels or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.architecture.cells import Cells
from merbench.training.architecture.fusion import (
    Channels,
    FusedSteps,
    Reshaped,
    Steps,
    fusion_operations,
    fusion_space,
)
from merbench.training.architecture.searched import SearchedBaseline, SearchedSchedule
from merbench.training.architecture.space import Genotype, Space
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import Shape


@dataclass(frozen=True)
class Options(SearchedSchedule):
    """Architecture, its search, and training.

    Attributes:
        hidden: width h of the encoders.
        levels: layers of an encoder, each of which is an input of the search.
        channels: channels C of a state.
        length: positions L of a state.
        steps: pairs that are fused, fewer where there are too few inputs.
        nodes: operations inside of each step.
        dropout: share of the input, and of what operations return, that is dropped in training.
    """

    hidden: Width
    levels: Annotated[int, Within(1, 8)]
    channels: Channels
    length: Channels
    steps: Steps
    nodes: Steps
    dropout: Dropout


def space(options: Options, widths: Mapping[str, int]) -> Space:
    """Return the space: the inputs are every layer of every feature's encoder, `<feature>.<layer>`."""
    inputs = [f"{name}.{level + 1}" for name in widths for level in range(options.levels)]
    return Space("bm-nas", {"fusion": fusion_space(inputs, options.steps, options.nodes)})


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
        genotype: None: it is searched.
    """

    def __init__(self, options: Options, shape: Shape, genotype: Genotype | None = None) -> None:
        super().__init__()
        own, h, size = space(options, shape.widths), options.hidden, (options.channels, options.length)
        self.kept = own.inputs_read("fusion", genotype)
        self.dropout = nn.Dropout(options.dropout)
        self.encoders = nn.ModuleList()
        for name, width in shape.widths.items():
            depth = max((level for level in range(1, options.levels + 1) if f"{name}.{level}" in self.kept), default=0)
            self.encoders.append(nn.ModuleList(nn.Linear(width if level == 0 else h, h) for level in range(depth)))
        self.reshaped = nn.ModuleList(Reshaped(h, *size) for _ in self.kept)
        self.cells = Cells(own, {"fusion": fusion_operations(*size, options.dropout)}, genotype)
        self.fused = FusedSteps(own.cells["fusion"], *size)
        self.heads = Heads(self.fused.n_out, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch."""
        encodings = dict[str, Tensor]()
        for (name, x), layers in zip(batch.inputs.items(), self.encoders, strict=True):
            x = self.dropout(x)
            for n, layer in enumerate(cast(nn.ModuleList, layers)):
                x = layer(x).relu()
                encodings[f"{name}.{n + 1}"] = x
        states = {name: reshape(encodings[name]) for name, reshape in zip(self.kept, self.reshaped, strict=True)}
        outputs: dict[str, Tensor] = self.heads(self.fused(self.cells, states, self.cells.weights()))
        return outputs


def build(options: Options, setup: Setup) -> SearchedBaseline:
    return SearchedBaseline(partial(Network, options), partial(space, options), options, setup)
