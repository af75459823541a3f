"""After RMNAS (Sun et al., arXiv:2312.15583v1): searched mixers of utterances and searched fusion.

Conventions:
    B dialogues of a batch, T utterances of the longest, d numbers of a vector, h hidden units. Utterances are
    `(B, T, h)`; `real`, `(B, T)`, are those that are not padding, which nothing depends on and which comes last.
    Outputs are `(B, T, K)` scores of labels or `(B, T)` numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.architecture.cells import Cells, Operations
from merbench.training.architecture.darts import Pooled
from merbench.training.architecture.fusion import (
    Channels,
    FusedSteps,
    Reshaped,
    Steps,
    fusion_operations,
    fusion_space,
)
from merbench.training.architecture.searched import SearchedBaseline, SearchedSchedule
from merbench.training.architecture.space import CellSpace, Genotype, Space
from merbench.training.networks.attention import Attention, Style
from merbench.training.networks.attention import Steps as Utterances
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.network import Shape

MIXERS = ("attention", "convolution", "mean", "max")


@dataclass(frozen=True)
class Options(SearchedSchedule):
    """Architecture, its search, and training.

    Attributes:
        hidden: width h of an utterance.
        heads: heads of attention; they divide the width.
        layers: blocks of every feature.
        variation: whether mixers read how an utterance differs from the one before.
        channels: channels C of what is fused.
        length: positions L of what is fused.
        steps: pairs that are fused, fewer where there are too few inputs.
        nodes: operations inside of each step.
        dropout: share of units, of the weights of attention, and of what is fused, that is dropped in training.
    """

    hidden: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 8)]
    variation: bool
    channels: Channels
    length: Channels
    steps: Steps
    nodes: Steps
    dropout: Dropout

    def __post_init__(self) -> None:
        """Raise `UsageError` for a width that the heads do not divide, too."""
        super().__post_init__()
        if self.hidden % self.heads:
            raise UsageError(f"hidden: {self.hidden} is not divisible by heads, which is {self.heads}")


def space(options: Options, widths: Mapping[str, int]) -> Space:
    """Return the space: the mixers of every feature's blocks, `encoder-1`, …, and fusion of what all blocks return."""
    blocks = tuple(f"layer-{n + 1}" for n in range(options.layers))
    mixers = CellSpace(inputs=("utterances",), nodes=blocks, edges=MIXERS, reads="previous")
    inputs = [f"{name}.{n + 1}" for name in widths for n in range(options.layers)]
    encoders = {f"encoder-{n + 1}": mixers for n in range(len(widths))}
    return Space("after-rmnas", {**encoders, "fusion": fusion_space(inputs, options.steps, options.nodes)})


class Attending(nn.Module):
    """Attention between the utterances of a dialogue; 4 h² + 4 h parameters."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.attention = Attention(options.hidden, Style(options.heads, attention_dropout=options.dropout))

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return mixed utterances."""
        own = Utterances(x, real.sum(1))
        mixed: Tensor = self.attention(own, own)
        return mixed


class Convolving(nn.Module):
    """A convolution over three utterances, of every unit by itself; 4 h parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Conv1d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return mixed utterances."""
        mixed: Tensor = self.layer(x.masked_fill(~real[..., None], 0).transpose(1, 2))
        return mixed.transpose(1, 2)


class Shared(nn.Module):
    """What all mixers of a block share: two normalisations, the map of variation, and two layers of single utterances.

    These are 8 h² + 9 h parameters, and h² more with variation.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        h, drop = options.hidden, partial(nn.Dropout, options.dropout)
        self.normal, self.variation = nn.LayerNorm(h), nn.Linear(h, h, bias=False) if options.variation else None
        self.units = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, 4 * h), nn.GELU(), drop(), nn.Linear(4 * h, h), drop())

    def read(self, x: Tensor, real: Tensor) -> Tensor:
        """Return what mixers read."""
        normal: Tensor = self.normal(x)
        if self.variation is not None:
            normal = normal + self.variation(variation(normal))
        return normal.masked_fill(~real[..., None], 0)


def variation(x: Tensor) -> Tensor:
    """Return every utterance less the one before it; zeros for the first one."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], 1)


class Block(nn.Module):
    """Utterances are mixed, then changed one by one, each time added to what was read normalised."""

    def __init__(self, shared: Shared, mixer: nn.Module) -> None:
        super().__init__()
        self.shared, self.mixer = shared, mixer

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return utterances, zeros for padding."""
        x = x + self.mixer(self.shared.read(x, real), real)
        x = x + self.shared.units(x)
        return x.masked_fill(~real[..., None], 0)


def mixers(options: Options) -> Operations:
    """Return the blocks with every mixer; those of a layer share all but the mixer."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "attention": partial(Attending, options),
        "convolution": partial(Convolving, options.hidden),
        "mean": partial(Pooled, largest=False),
        "max": partial(Pooled, largest=True),
    }

    def of_node(_: str) -> Callable[[str], nn.Module]:
        shared = Shared(options)
        return lambda name: Block(shared, makers[name]())

    return Operations(of_node)


class Network(nn.Module):
    """Dialogues of utterances with any number of features to one output per target and utterance.

    Args:
        options: the architecture.
        shape: what it is made for.
        genotype: None: it is searched.
    """

    def __init__(self, options: Options, shape: Shape, genotype: Genotype | None = None) -> None:
        super().__init__()
        own, h, size = space(options, shape.widths), options.hidden, (options.channels, options.length)
        self.projections = nn.ModuleList(nn.Linear(width, h) for width in shape.widths.values())
        self.kept = own.inputs_read("fusion", genotype)
        self.reshaped = nn.ModuleList(Reshaped(h, *size) for _ in self.kept)
        operations = {name: mixers(options) for name in own.cells if name != "fusion"}
        operations["fusion"] = fusion_operations(*size, options.dropout)
        self.cells = Cells(own, operations, genotype)
        self.fused = FusedSteps(own.cells["fusion"], *size)
        self.heads = Heads(self.fused.n_out, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of dialogues."""
        real, weights, encodings = batch.real, self.cells.weights(), dict[str, Tensor]()
        for n, ((name, x), project) in enumerate(zip(batch.inputs.items(), self.projections, strict=True)):
            x = project(x).masked_fill(~real[..., None], 0)
            for level, state in enumerate(self.cells(f"encoder-{n + 1}", {"utterances": x}, weights, real)):
                encodings[f"{name}.{level + 1}"] = state[real]  # fused one by one, without padding
        states = {name: reshape(encodings[name]) for name, reshape in zip(self.kept, self.reshaped, strict=True)}
        fused = self.fused(self.cells, states, weights)
        every = fused.new_zeros(*real.shape, self.fused.n_out).masked_scatter(real[..., None], fused)
        outputs: dict[str, Tensor] = self.heads(every)
        return outputs


def build(options: Options, setup: Setup) -> SearchedBaseline:
    return SearchedBaseline(partial(Network, options), partial(space, options), options, setup, kind="dialogues")
