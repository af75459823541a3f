"""MAE-DFER (Sun et al. 2023, arXiv:2307.02227): tokens attend within regions, which exchange one token each.

A block has four parts: within a region, all tokens and a representative one attend to each other; the representatives
attend to each other; the tokens attend to the representatives; units. The answer is read from the representatives.

Conventions:
    As in `merbench.training.networks.video`: B clips, N tokens, D numbers. R regions of S tokens, of which V are
    visible; a region's tokens are `(B, R, 1 + S, D)`, the representative first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Described
from merbench.training import Setup
from merbench.training.networks.masked import MaskedAutoencoder, window_mask
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import (
    EMBEDDING,
    NOT_OF_ENCODER,
    Keys,
    PretrainedBaseline,
    Released,
    attention_keys,
    named,
    under,
)
from merbench.training.networks.video import (
    Answers,
    Attention,
    DropPath,
    Embedding,
    Grid,
    Units,
    VideoOptions,
    initialise,
    norm,
    patches,
    path_shares,
    picture_size,
    video_feature,
)


@dataclass(frozen=True)
class Options(VideoOptions):
    """Those of all networks of clips, and regions.

    Attributes:
        region: tokens of a region in time, rows and columns; they divide those of a clip. Pre-training hides tokens in
            windows of the same rows and columns.
    """

    region: Annotated[tuple[int, int, int], Described("a list of three numbers of tokens: time, rows, columns")]


def regions(grid: Grid, region: tuple[int, int, int]) -> Tensor:
    """Return the tokens of every region, `(R, S)`; raise `UsageError` where regions do not divide a clip."""
    sizes = (grid.times, grid.rows, grid.columns)
    if any(part < 1 or size % part for size, part in zip(sizes, region, strict=True)):
        raise UsageError(f"region: {list(region)} does not divide the tokens of a clip, which are {list(sizes)}")
    split = [number for size, part in zip(sizes, region, strict=True) for number in (size // part, part)]
    return torch.arange(grid.n).view(split).permute(0, 2, 4, 1, 3, 5).reshape(-1, region[0] * region[1] * region[2])


class Block(nn.Module):
    """Attention within regions, between representatives, and of tokens to these, units: 20 D² + 24 D parameters."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.before_within, self.within = norm(width), Attention(width, heads)
        self.before_between, self.between = norm(width), Attention(width, heads)
        self.before_across, self.before_context, self.across = norm(width), norm(width), Attention(width, heads)
        self.before_units, self.units = norm(width), Units(width)
        self.drop_path = DropPath(drop_path)

    def local(self, tokens: Tensor) -> Tensor:
        """Return tokens `(B, R, 1 + S, D)` after attention within their regions."""
        flat = tokens.flatten(0, 1)
        added: Tensor = self.drop_path(self.within(self.before_within(flat)))
        return (flat + added).view_as(tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens `(B, R, 1 + S, D)`."""
        tokens = self.local(tokens)
        first, others = tokens[:, :, 0], tokens[:, :, 1:].flatten(1, 2)
        first = first + self.drop_path(self.between(self.before_between(first)))
        context = self.before_context(first)
        others = others + self.drop_path(self.across(self.before_across(others), context))
        tokens = torch.cat([first[:, :, None], others.unflatten(1, (tokens.shape[1], -1))], 2).flatten(0, 1)
        tokens = tokens + self.drop_path(self.units(self.before_units(tokens)))
        return tokens.view(*first.shape[:2], *tokens.shape[1:])


class Encoder(nn.Module):
    """Blocks of local and global interaction.

    Args:
        options: the architecture.
        size: side of the pictures.
    """

    order: Tensor

    def __init__(self, options: Options, size: int) -> None:
        super().__init__()
        self.width, grid = options.width, Grid.of(options, size)
        self.embedding = Embedding(options.width, options.patch, grid)
        order = regions(grid, options.region)
        self.representatives = nn.Parameter(torch.empty(len(order), options.width))
        self.blocks = nn.ModuleList(
            Block(options.width, options.heads, share) for share in path_shares(options, options.layers)
        )
        self.register_buffer("order", order, persistent=False)
        self.apply(initialise)
        nn.init.trunc_normal_(self.representatives, std=0.02)

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the representatives `(B, R, D)` of standardised clips; with a mask, the visible tokens `(B, V, D)`."""
        if mask is None:
            return self._interacting(self.embedding(clips)[:, self.order])[:, :, 0]
        n, of_regions = len(clips), self.order.flatten()
        visible = ~mask[:, of_regions]
        # As many tokens of every region are visible: that is what hides them in windows.
        places = of_regions.expand(n, -1)[visible].view(n, -1)
        pixels = patches(clips, self.embedding.patch)[:, of_regions][visible]
        tokens = self.embedding.embedded(pixels).view(n, places.shape[1], -1) + self.embedding.positions[places]
        done = self._interacting(tokens.unflatten(1, (len(self.order), -1)))[:, :, 1:].flatten(1, 2)
        back = places.argsort(1)
        return done.gather(1, back[..., None].expand_as(done))

    def _interacting(self, tokens: Tensor) -> Tensor:
        representatives = self.representatives[:, None].expand(len(tokens), -1, -1, -1)
        tokens = torch.cat([representatives, tokens], 2)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def encoder(options: Options, shape: Shape) -> Encoder:
    """Return the encoder for the pictures of a shape."""
    return Encoder(options, picture_size(shape.widths[video_feature(shape)]))


def answers(options: Options, shape: Shape) -> nn.Module:
    """Return the network that answers: the mean of the representatives, normalised, and a layer per target."""
    return Answers(encoder(options, shape), options, shape)


def pretraining(options: Options, shape: Shape) -> nn.Module:
    """Return the network that is pre-trained: it hides as many tokens in every window."""
    mask = partial(window_mask, window=options.region[1:])
    return MaskedAutoencoder(encoder(options, shape), options, shape, mask)


_PARTS = ("within", "first_attn"), ("between", "second_attn"), ("across", "third_attn")

OF_BLOCK: Keys = {
    key: names
    for own, part in _PARTS
    for keys in (attention_keys(own, part, inputs=["q", "kv"]), named(f"before_{own}", f"{part}_norm0"))
    for key, names in keys.items()
} | {
    **named("before_context", "third_attn_norm1"),
    **named("before_units", "norm2"),
    **named("units.0", "mlp.fc1"),
    **named("units.2", "mlp.fc2"),
}
"""By parameter of a block, the released arrays that it consists of, one after the other."""


def released(layers: int) -> Released:
    """Return how released weights become those of an encoder of so many blocks."""
    keys = under("embedding.", "", EMBEDDING) | {"representatives": ["lg_region_tokens"]}
    for n in range(layers):
        keys |= under(f"blocks.{n}.", f"blocks.{n}.", OF_BLOCK)
    return Released(keys, NOT_OF_ENCODER)


def build(options: Options, setup: Setup) -> PretrainedBaseline:
    """Return the baseline."""
    return PretrainedBaseline(
        partial(answers, options), partial(pretraining, options), options, setup, released(options.layers)
    )
