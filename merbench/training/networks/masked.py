"""Masked autoencoders of clips: which tokens are hidden, what is reconstructed, and the decoder.

Conventions:
    As in `video.py`. V tokens of a clip are visible, N - V are hidden.

Sources: Tong et al. (2022), "VideoMAE", arXiv:2203.12602; Sun et al. (2023), "MAE-DFER", arXiv:2307.02227.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training.networks.attention import sinusoids
from merbench.training.networks.batches import Batch
from merbench.training.networks.network import Shape
from merbench.training.networks.video import (
    CHANNELS,
    TUBE,
    Block,
    Clips,
    CrossBlock,
    Grid,
    VideoOptions,
    initialise,
    norm,
    patches,
    picture_size,
    standardised,
    video_feature,
)

Mask = Callable[[int, Grid, float, torch.device], Tensor]
"""Called with the number of clips, their grid, the share that is hidden, and the device; returns a mask `(B, N)`."""


def tube_mask(n: int, grid: Grid, share: float, device: torch.device) -> Tensor:
    """Return masks that hide the same int(share · rows · columns) places at all times."""
    return window_mask(n, grid, share, device, (grid.rows, grid.columns))


def window_mask(n: int, grid: Grid, share: float, device: torch.device, window: tuple[int, int]) -> Tensor:
    """Return masks that hide the same int(share · places) places of every window at all times.

    Args:
        n: how many clips.
        grid: their tokens.
        share: of the places that are hidden.
        device: of the masks.
        window: rows and columns of a window; they divide those of the grid.
    """
    down, across = grid.rows // window[0], grid.columns // window[1]
    if (down * window[0], across * window[1]) != (grid.rows, grid.columns):
        raise UsageError(f"windows of {window} tokens do not divide a picture of ({grid.rows}, {grid.columns})")
    places = window[0] * window[1]
    hidden = int(share * places)
    if not 0 < hidden < places:
        raise UsageError(f"masked: {share:g} hides {hidden} of the {places} tokens of a window; some are to be visible")
    order = torch.rand(n, down, across, places, device=device).argsort(-1)
    mask = (order < hidden).view(n, down, across, *window).transpose(2, 3).reshape(n, 1, grid.rows * grid.columns)
    return mask.expand(-1, grid.times, -1).flatten(1)


def targets(clips: Tensor, patch: int, *, differences: bool) -> Tensor:
    """Return what is reconstructed of every token, `(B, N, 2 · p · p · 3)`: by picture, row, column and colour.

    Each colour of a token is standardised with the moments of its 2 · p · p pixels; the variance is unbiased.

    Args:
        clips: not standardised.
        patch: p.
        differences: whether the second picture is replaced by its difference to the first, after that.
    """
    pixels = patches(clips, patch).unflatten(-1, (CHANNELS, -1))
    centred = pixels - pixels.mean(-1, keepdim=True)
    variance = centred.square().sum(-1, keepdim=True) / (pixels.shape[-1] - 1)  # `var` takes several times as long
    scaled = centred / (variance.sqrt() + 1e-6)
    if differences:
        first, second = scaled.unflatten(-1, (TUBE, -1)).unbind(-2)
        scaled = torch.stack([first, second - first], -2).flatten(-2)
    by_pixel: Tensor = scaled.transpose(-1, -2).flatten(-2)
    return by_pixel


class Decoder(nn.Module):
    """Blocks over visible and hidden tokens, which return the numbers of the hidden ones.

    Args:
        n_in: width of a visible token.
        options: the architecture.
        grid: all tokens.
        n_out: numbers of a hidden one.
        skips: whether blocks, from the second one on, attend to tokens of an encoder first.
    """

    positions: Tensor

    def __init__(self, n_in: int, options: VideoOptions, grid: Grid, n_out: int, *, skips: bool = False) -> None:
        super().__init__()
        width = options.decoder_width
        self.inputs = nn.Linear(n_in, width, bias=False)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        kinds = [Block, *[CrossBlock if skips else Block] * (options.decoder_layers - 1)]
        self.blocks = nn.ModuleList(kind(width, options.decoder_heads) for kind in kinds)
        self.norm, self.head = norm(width), nn.Linear(width, n_out)
        self.register_buffer("positions", sinusoids(grid.n, width, first=0), persistent=False)
        self.apply(initialise)
        nn.init.trunc_normal_(self.token, std=0.02)

    def forward(self, tokens: Tensor, mask: Tensor, skips: Sequence[Tensor] = ()) -> Tensor:
        """Return the numbers of hidden tokens, `(B, N - V, …)`.

        Args:
            tokens: the visible ones, `(B, V, D)` in their order.
            mask: which are hidden.
            skips: the same of other layers; blocks, from the second one on, attend to the last, the one before it, ….
        """
        n, width = len(tokens), self.token.shape[-1]
        positions = self.positions.expand(n, -1, -1)
        of_visible = positions[~mask].view(n, -1, width)
        visible = self.inputs(tokens) + of_visible
        every = torch.cat([visible, self.token + positions[mask].view(n, -1, width)], 1)
        contexts = iter([self.inputs(skip) + of_visible for skip in reversed(skips)])
        for block in self.blocks:
            every = block(every, next(contexts)) if isinstance(block, CrossBlock) else block(every)
        numbers: Tensor = self.head(self.norm(every[:, visible.shape[1] :]))
        return numbers


class MaskedAutoencoder(nn.Module):
    """An encoder of the visible tokens of clips, and a decoder of the hidden ones; its loss is the squared error.

    Args:
        encoder: an `Encoder` of `video.py`.
        options: the architecture.
        shape: what it is made for.
        mask: which tokens are hidden.
    """

    def __init__(self, encoder: nn.Module, options: VideoOptions, shape: Shape, mask: Mask = tube_mask) -> None:
        super().__init__()
        feature, width = video_feature(shape), int(encoder.width)  # type: ignore[arg-type]
        self.options, self.mask = options, mask
        self.clips = Clips(options, feature, plain=True)
        self.grid = Grid.of(options, picture_size(shape.widths[feature]))
        self.encoder, self.norm = encoder, norm(width)
        self.decoder = Decoder(width, options, self.grid, CHANNELS * TUBE * options.patch**2)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return no outputs, and the loss of reconstructing what is hidden."""
        clips = self.clips.drawn(batch)
        mask = self.mask(len(clips), self.grid, self.options.masked, clips.device)
        with torch.no_grad():
            wanted = targets(clips, self.options.patch, differences=self.options.differences)
        pixels = self.decoder(self.norm(self.encoder(standardised(clips), mask)), mask)
        return {}, {"loss": (pixels.float() - wanted[mask].view_as(pixels)).square().mean()}
