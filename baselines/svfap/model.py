"""SVFAP: a temporal pyramid of spatial bottlenecks reads the face, after it has learned to fill in hidden parts of it.

Conventions:
    As in `merbench.training.networks.video`. P places of a picture are visible, the same ones at all times, all of them
    where nothing is hidden: the tokens of T times are `(B, T · P, D)`, in the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Annotated

from torch import Tensor, nn
from torch.nn.functional import linear

from merbench.errors import UsageError
from merbench.parameters import Described, Within
from merbench.training import Setup
from merbench.training.networks.layers import Width
from merbench.training.networks.masked import MaskedAutoencoder
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import (
    BLOCK,
    CROSS_BLOCK,
    EMBEDDING,
    NOT_OF_ENCODER,
    PretrainedBaseline,
    Released,
    named,
    under,
)
from merbench.training.networks.video import (
    TUBE,
    Answers,
    Block,
    CrossBlock,
    Embedding,
    Grid,
    VideoOptions,
    initialise,
    norm,
    path_shares,
    picture_size,
    video_feature,
)

PAIR = 2
"""How many times become one from stage to stage."""


@dataclass(frozen=True, kw_only=True)
class Options(VideoOptions):
    """Architecture, and training; `layers` are the blocks of the first stage.

    Attributes:
        stages: blocks of every further stage; each of them halves the times of a clip.
        bottleneck: tokens of a time that stand for all places, in further stages.
        selector: width of the layer that chooses what these have of every place.
    """

    stages: Annotated[
        tuple[Annotated[int, Within(2, 256)], ...],
        Described("a list of numbers of blocks, each an integer in [2, 256]"),
    ]
    bottleneck: Annotated[int, Within(1, 4096)]
    selector: Width

    def __post_init__(self) -> None:
        """Raise `UsageError` where the times of a clip cannot be halved as often."""
        super().__post_init__()
        if self.frames % (divisor := TUBE * PAIR ** len(self.stages)):
            raise UsageError(
                f"frames: {self.frames} is not a multiple of {divisor}: {len(self.stages)} further stages halve its "
                f"{self.frames // TUBE} times"
            )


class Bottleneck(nn.Module):
    """Weighted means of the places of every time, as many as there are bottleneck tokens.

    With u units: 2 D + D u + u + u b + b parameters.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.norm, units = norm(options.width), options.selector
        self.selector = nn.Sequential(nn.Linear(options.width, units), nn.GELU(), nn.Linear(units, options.bottleneck))

    def forward(self, tokens: Tensor, times: int) -> Tensor:
        """Return tokens `(B, T · b, D)` for tokens `(B, T · P, D)` of T times."""
        weights = self.selector(self.norm(tokens)).unflatten(1, (times, -1)).softmax(2)
        means: Tensor = weights.mT @ tokens.unflatten(1, (times, -1))
        return means.flatten(1, 2)


class Stage(nn.Module):
    """Half as many times, whose bottleneck tokens attend to all tokens, which attend to the bottleneck in the end."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.halve = nn.Conv1d(options.width, options.width, PAIR, PAIR)
        self.bottleneck = Bottleneck(options)

    def forward(self, tokens: Tensor, times: int, blocks: Sequence[nn.Module]) -> Tensor:
        """Return tokens `(B, T / 2 · P, D)` for tokens `(B, T · P, D)`; the blocks are those of this stage."""
        pairs = tokens.unflatten(1, (times // PAIR, PAIR, -1)).transpose(2, 3).flatten(3)
        # The convolution over time of every place, as a product: its weights are `(D, D, 2)`.
        every = linear(pairs, self.halve.weight.transpose(1, 2).flatten(1), self.halve.bias).flatten(1, 2)
        few = self.bottleneck(every, times // PAIR)
        for block in blocks[:-1]:
            few = block(few, every)
        spread: Tensor = blocks[-1](every, few)
        return spread


class Pyramid(nn.Module):
    """The encoder: blocks over all tokens, then stages with half as many times each.

    Args:
        options: the architecture.
        size: side of the pictures.
    """

    def __init__(self, options: Options, size: int) -> None:
        super().__init__()
        self.width, self.n_blocks = options.width, (options.layers, *options.stages)
        self.grid, shares = Grid.of(options, size), path_shares(options, sum(self.n_blocks))
        self.embedding = Embedding(options.width, options.patch, self.grid)
        kinds = [Block] * options.layers + [CrossBlock] * sum(options.stages)
        self.blocks = nn.ModuleList(
            kind(options.width, options.heads, share) for kind, share in zip(kinds, shares, strict=True)
        )
        self.stages = nn.ModuleList(Stage(options) for _ in options.stages)
        self.apply(initialise)

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the tokens of the last stage, or with a mask the visible ones with those of all stages added to them.

        The second is `(B, V, D)`: tokens of a later stage are repeated for the times that they are of.
        """
        tokens: Tensor = self.embedding(clips) if mask is None else self.embedding.visible(clips, mask)
        first, *later = (list(self.blocks[start:end]) for start, end in pairwise(accumulate(self.n_blocks, initial=0)))
        for block in first:
            tokens = block(tokens)
        summed, times = tokens, self.grid.times
        for stage, blocks in zip(self.stages, later, strict=True):
            tokens, times = stage(tokens, times, blocks), times // PAIR
            if mask is not None:
                repeated = tokens.unflatten(1, (times, -1)).repeat_interleave(self.grid.times // times, 1)
                summed = summed + repeated.flatten(1, 2)
        return tokens if mask is None else summed


class Network(Answers):
    """Face crops to one output per target."""

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__(Pyramid(options, _size(shape)), options, shape)


class Pretraining(MaskedAutoencoder):
    """Face crops to the loss of filling in hidden tubes."""

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__(Pyramid(options, _size(shape)), options, shape)


def _size(shape: Shape) -> int:
    return picture_size(shape.widths[video_feature(shape)])


def released(options: Options) -> Released:
    """Return how released weights become those of an encoder."""
    keys = under("embedding.", "", EMBEDDING)
    for n in range(options.layers + sum(options.stages)):
        keys |= under(f"blocks.{n}.", f"blocks.{n}.", BLOCK if n < options.layers else CROSS_BLOCK)
    for n in range(len(options.stages)):
        own, selector = f"stages.{n}.bottleneck", f"spatial_downsamples.{n}"
        keys |= named(f"stages.{n}.halve", f"temporal_downsamples.{n}") | named(f"{own}.norm", f"{selector}.norm")
        keys |= named(f"{own}.selector.0", f"{selector}.mlp.fc1") | named(f"{own}.selector.2", f"{selector}.mlp.fc2")
    return Released(keys, NOT_OF_ENCODER)


def build(options: Options, setup: Setup) -> PretrainedBaseline:
    return PretrainedBaseline(
        partial(Network, options), partial(Pretraining, options), options, setup, released(options)
    )
