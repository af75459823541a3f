"""Transformers of clips, and the pictures that they are given.

Conventions:
    B clips of T pictures of s × s pixels: `(B, 3, T, s, s)` float32, red, green and blue from 0 to 1. A token is a
    tube, p × p pixels of two pictures that follow each other; a clip has N = T/2 · s/p · s/p of them, in the order of
    time, row and column. D numbers of a token. A mask `(B, N)` is True where a token is hidden.

Sources: Dosovitskiy et al. (2021), arXiv:2010.11929; Tong et al. (2022), "VideoMAE", arXiv:2203.12602; drop path: Huang
et al. (2016), arXiv:1603.09382.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample, linear, one_hot, scaled_dot_product_attention

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training.networks.attention import sinusoids
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.losses import NO_LOSS
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule

TUBE = 2
"""Pictures of a token."""

CHANNELS = 3

MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Moments of red, green and blue in ImageNet, with which pictures are standardised, as in the released code."""

Share = Annotated[float, Within(0, 1)]


@dataclass(frozen=True, kw_only=True)
class VideoOptions(Schedule):
    """Architecture, what is drawn of a clip, and training.

    Attributes:
        width: numbers D of a token.
        heads: heads of attention; they divide the width.
        layers: blocks of the encoder.
        patch: side p of a token in pixels; it divides the side of the pictures.
        frames: pictures T of a clip that are read together, an even number.
        decoder_width: of the decoder, which only pre-training has.
        decoder_heads: heads of its attention.
        decoder_layers: its blocks.
        masked: share of the tokens that are hidden in pre-training.
        differences: whether the second picture of a token is reconstructed as its difference to the first.
        drop_path: share of the samples for which the last block is left out in training; blocks before it, fewer.
        layer_decay: by what the learning rate of a block is multiplied, from the last one to the first.
        head_scale: by what initial weights of the output layers are multiplied.
        flip: whether clips are mirrored, half of them, in training.
        smallest: in training, a crop has at least this share of the picture.
        operations: how many of rotation, shear, shift, brightness, contrast and colour are applied in training.
        magnitude: how strongly, 0 to 10.
        erase: of how many clips a rectangle is erased in training.
        mixup: parameter of the Beta distribution of the share with which two clips are mixed; 0 mixes none.
        cutmix: the same of rectangles that are exchanged; where both are given, each is drawn half of the time.
        smoothing: share of a label that is spread over all labels.
        pretrained: folder that `merbench pretrain` wrote, or folder or file of released weights; empty: from scratch.
    """

    width: Width
    heads: Annotated[int, Within(1, 256)]
    layers: Annotated[int, Within(1, 256)]
    patch: Annotated[int, Within(1, 256)]
    frames: Annotated[int, Within(2, 256)]
    decoder_width: Width
    decoder_heads: Annotated[int, Within(1, 256)]
    decoder_layers: Annotated[int, Within(1, 256)]
    masked: Share
    differences: bool
    drop_path: Dropout
    layer_decay: Annotated[float, Within(0, 1)]
    head_scale: Annotated[float, Within(0)]
    flip: bool
    smallest: Annotated[float, Within(0.01, 1)]
    operations: Annotated[int, Within(0, 6)]
    magnitude: Annotated[float, Within(0, 10)]
    erase: Share
    mixup: Annotated[float, Within(0)]
    cutmix: Annotated[float, Within(0)]
    smoothing: Dropout
    pretrained: str

    def __post_init__(self) -> None:
        """Raise `UsageError` for widths that the heads do not divide, too."""
        super().__post_init__()
        problems = [
            f"{prefix}width: {width} is not divisible by {prefix}heads, which is {heads}"
            for prefix, width, heads in (
                ("", self.width, self.heads),
                ("decoder_", self.decoder_width, self.decoder_heads),
            )
            if width % heads
        ]
        if self.frames % TUBE:
            problems.append(f"frames: {self.frames} is not a multiple of {TUBE}, the pictures of a token")
        if problems:
            raise UsageError(*problems)


@dataclass(frozen=True, slots=True)
class Grid:
    """How many tokens a clip has in time, rows and columns."""

    times: int
    rows: int
    columns: int

    @classmethod
    def of(cls, options: VideoOptions, size: int) -> Grid:
        """Return the grid of a clip with pictures of a side; raise `UsageError` if tokens do not divide it."""
        if size % options.patch:
            raise UsageError(f"patch: {options.patch} does not divide the side of the pictures, which is {size}")
        return cls(options.frames // TUBE, size // options.patch, size // options.patch)

    @property
    def n(self) -> int:
        """All tokens."""
        return self.times * self.rows * self.columns


def picture_size(width: int) -> int:
    """Return the side of square pictures of so many numbers; raise `UsageError` if there is none."""
    size = math.isqrt(width // CHANNELS)
    if CHANNELS * size * size != width:
        raise UsageError(
            f"a row has {width:,} numbers, and is no square picture of {CHANNELS} colours; `merbench extract CORPUS "
            "--with face-crops --media DIR` makes some"
        )
    return size


def video_feature(shape: Shape) -> str:
    """Return the one feature that has pictures: that of the modality video, or the only one."""
    names = [name for name in shape.widths if shape.modalities.get(name) == "video"] or [*shape.widths]
    if len(names) != 1:
        raise UsageError(f"needed: one feature of pictures, not {len(names)}; name it with --feature")
    return names[0]


def patches(clips: Tensor, patch: int) -> Tensor:
    """Return the pixels of every token, `(B, N, 3 · 2 · p · p)`: by colour, picture, row and column."""
    n, colours, frames, size, _ = clips.shape
    side = size // patch
    tubes = clips.view(n, colours, frames // TUBE, TUBE, side, patch, side, patch)
    return tubes.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(n, -1, colours * TUBE * patch * patch)


def clips_of(rows: Tensor, lengths: Tensor, frames: int, place: Tensor) -> Tensor:
    """Return pictures of every sample that follow each other, `(B, 3, T, s, s)`.

    A sample with fewer than T pictures has them all, spread evenly and repeated.

    Args:
        rows: pixels of all pictures, `(B, M, s · s · 3)`, 0 to 255.
        lengths: how many are real, `(B,)`.
        frames: T.
        place: where the first one is, from 0 to 1, the first and the last that is possible; `(B,)`.
    """
    steps, spare = torch.arange(frames, device=rows.device), (lengths - frames).clamp_min(0)
    start = (place * (spare + 1)).long().minimum(spare)
    index = torch.where((lengths < frames)[:, None], steps * lengths[:, None] // frames, start[:, None] + steps)
    taken = rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
    size = picture_size(rows.shape[-1])
    return taken.view(len(rows), frames, size, size, CHANNELS).permute(0, 4, 1, 2, 3) / 255


def standardised(clips: Tensor) -> Tensor:
    """Return clips whose colours have about mean 0 and deviation 1."""
    means, deviations = (clips.new_tensor(values).view(1, CHANNELS, 1, 1, 1) for values in (MEANS, DEVIATIONS))
    return (clips - means) / deviations


class Attention(nn.Module):
    """Attention with biases of queries and values, not of keys: 4 D² + 3 D parameters."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inputs = nn.Linear(width, 3 * width, bias=False)  # queries, keys, values
        self.query_bias, self.value_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, context: Tensor | None = None) -> Tensor:
        """Return what tokens `(B, N, D)` get from the context `(B, M, D)`, or from each other."""
        width, weight = tokens.shape[-1], self.inputs.weight
        if context is None:
            bias = torch.cat([self.query_bias, torch.zeros_like(self.query_bias), self.value_bias])
            queries, keys, values = linear(tokens, weight, bias).chunk(3, -1)
        else:
            queries = linear(tokens, weight[:width], self.query_bias)
            bias = torch.cat([torch.zeros_like(self.value_bias), self.value_bias])
            keys, values = linear(context, weight[width:], bias).chunk(2, -1)
        by_head = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (queries, keys, values))
        output: Tensor = self.output(scaled_dot_product_attention(*by_head).transpose(1, 2).flatten(2))
        return output


class Units(nn.Sequential):
    """Two linear layers with GELU between them: 8 D² + 5 D parameters."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))


class DropPath(nn.Module):
    """Leaves out a part of the network for a share of the samples in training, and scales it for the others."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, added: Tensor) -> Tensor:
        """Return what is added, `(B, …)`, with zeros for some samples."""
        if not self.share or not self.training:
            return added
        kept = torch.rand(len(added), *[1] * (added.ndim - 1), device=added.device) >= self.share
        return added * kept / (1 - self.share)


def norm(width: int) -> nn.LayerNorm:
    """Return a layer that normalises tokens."""
    return nn.LayerNorm(width, eps=1e-6)


class Block(nn.Module):
    """Attention of all tokens to each other, then units: 12 D² + 12 D parameters."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__()
        self.before_attention, self.attention = norm(width), Attention(width, heads)
        self.before_units, self.units = norm(width), Units(width)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens `(B, N, D)`."""
        tokens = tokens + self.drop_path(self.attention(self.before_attention(tokens)))
        added: Tensor = self.drop_path(self.units(self.before_units(tokens)))
        return tokens + added


class CrossBlock(Block):
    """Attention of tokens to a context, then to each other, then units: 16 D² + 19 D parameters."""

    def __init__(self, width: int, heads: int, drop_path: float = 0.0) -> None:
        super().__init__(width, heads, drop_path)
        self.before_crossing, self.before_context = norm(width), norm(width)
        self.crossing = Attention(width, heads)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:  # type: ignore[override]
        """Return the tokens `(B, N, D)`, which have attended to the context `(B, M, D)`."""
        crossed = self.crossing(self.before_crossing(tokens), self.before_context(context))
        return super().forward(tokens + self.drop_path(crossed))


def path_shares(options: VideoOptions, n_blocks: int) -> list[float]:
    """Return for every block how often it is left out: from 0 to `drop_path`, in equal steps."""
    return [options.drop_path * n / max(1, n_blocks - 1) for n in range(n_blocks)]


class PatchEmbedding(nn.Module):
    """Tokens of patches, with sinusoidal positions.

    Args:
        layer: a convolution without overlap, of all colours or channels.
        n_tokens: how many patches there are.
        patches: returns their numbers, `(B, N, …)`, in the order of the convolution's weights.
    """

    positions: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Conv3d, n_tokens: int, patches: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.patches = layer, patches
        self.register_buffer("positions", sinusoids(n_tokens, layer.out_channels, first=0), persistent=False)

    def forward(self, given: Tensor) -> Tensor:
        """Return the tokens `(B, N, D)`."""
        return self.embedded(self.patches(given)) + self.positions

    def visible(self, given: Tensor, mask: Tensor) -> Tensor:
        """Return the tokens `(B, V, D)` that a mask leaves, as many of every sample."""
        positions = self.positions.expand(len(given), -1, -1)
        tokens = self.embedded(self.patches(given)[~mask]) + positions[~mask]
        return tokens.view(len(given), -1, tokens.shape[-1])

    def embedded(self, numbers: Tensor) -> Tensor:
        """Return tokens `(…, D)` of patches, without positions: the convolution of these."""
        return linear(numbers, self.layer.weight.flatten(1), self.layer.bias)


class Embedding(PatchEmbedding):
    """Tokens of standardised clips: 1,536 D + D parameters where p is 16."""

    def __init__(self, width: int, patch: int, grid: Grid) -> None:
        tube = (TUBE, patch, patch)
        super().__init__(nn.Conv3d(CHANNELS, width, tube, tube), grid.n, partial(patches, patch=patch))
        self.patch = patch


class Encoder(Protocol):
    """What a network of clips is made around: a module with `embedding` and `blocks`, whose width is `width`.

    It is pre-trained and then fine-tuned under the same names.
    """

    width: int

    def __call__(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what is averaged for an answer, `(B, M, D)`; with a mask, the visible tokens, `(B, V, D)`."""


class Transformer(nn.Module):
    """Blocks in which all tokens of a clip attend to each other (VideoMAE).

    Args:
        options: the architecture.
        size: side of the pictures.
    """

    def __init__(self, options: VideoOptions, size: int) -> None:
        super().__init__()
        self.width = options.width
        self.embedding = Embedding(options.width, options.patch, Grid.of(options, size))
        self.blocks = nn.ModuleList(
            Block(options.width, options.heads, share) for share in path_shares(options, options.layers)
        )
        self.apply(initialise)

    def forward(self, clips: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return all tokens `(B, N, D)` of standardised clips, or the visible ones."""
        tokens: Tensor = self.embedding(clips) if mask is None else self.embedding.visible(clips, mask)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


def initialise(module: nn.Module) -> None:
    """Give a linear layer uniform weights of Glorot and Bengio (2010), and biases of 0."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Clips(nn.Module):
    """The pictures of a batch that a network is given: drawn in training, otherwise at places in a fixed order.

    Args:
        options: what is drawn.
        feature: the feature of pictures.
        plain: whether a clip is only placed, cut out and mirrored in training: in pre-training.
    """

    def __init__(self, options: VideoOptions, feature: str, *, plain: bool = False) -> None:
        super().__init__()
        self.options, self.feature = options, feature
        self.operations = 0 if plain else options.operations
        self.erase = 0.0 if plain else options.erase

    def drawn(self, batch: Batch, place: Tensor | None = None) -> Tensor:
        """Return clips for training, not standardised: from a time on, and changed at random.

        Args:
            batch: the samples.
            place: where they begin, `(B,)` from 0 to 1; None: at random.
        """
        rows = batch.inputs[self.feature]
        clips = self._placed(batch, torch.rand(len(rows), device=rows.device) if place is None else place)
        options = self.options
        if options.smallest < 1 or self.operations:
            clips = self._changed(clips)
        if options.flip:
            is_mirrored = torch.rand(len(clips), device=clips.device) < 0.5
            clips = torch.where(is_mirrored.view(-1, 1, 1, 1, 1), clips.flip(-1), clips)
        return self._erased(clips) if self.erase else clips

    def view(self, batch: Batch, place: float, *, mirrored: bool = False) -> Tensor:
        """Return clips that begin at a place of all that are possible, 0 to 1."""
        rows = batch.inputs[self.feature]
        clips = self._placed(batch, torch.full((len(rows),), place, device=rows.device))
        return clips.flip(-1) if mirrored else clips

    def _placed(self, batch: Batch, place: Tensor) -> Tensor:
        return clips_of(batch.inputs[self.feature], batch.lengths[self.feature], self.options.frames, place)

    def _changed(self, clips: Tensor) -> Tensor:
        options, n, device = self.options, len(clips), clips.device
        side = (options.smallest + (1 - options.smallest) * torch.rand(n, device=device)).sqrt()
        shift = (1 - side)[:, None] * _signed(n, 2, device=device)
        strength = options.magnitude / 10 * _signed(n, len(_STRENGTHS), device=device) * clips.new_tensor(_STRENGTHS)
        order = torch.rand(n, len(_STRENGTHS), device=device).argsort(1)
        strength = torch.where(order < self.operations, strength, 0)
        turn, shear, moved, brightness, contrast, colour = strength.unbind(1)
        cosine, sine = turn.cos() * side, turn.sin() * side
        across = torch.stack([cosine, shear * side - sine, shift[:, 0] + moved], 1)
        down = torch.stack([sine, cosine, shift[:, 1]], 1)
        flat = clips.flatten(1, 2)  # all pictures of a clip are changed alike
        grid = affine_grid(torch.stack([across, down], 1), list(flat.shape), align_corners=False)
        clips = grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(clips)
        if not self.operations:
            return clips
        grey = clips.mean(1, keepdim=True)
        clips = clips + colour.view(-1, 1, 1, 1, 1) * (clips - grey)
        middle = clips.mean((1, 2, 3, 4), keepdim=True)
        clips = middle + (1 + contrast.view(-1, 1, 1, 1, 1)) * (clips - middle)
        return (clips * (1 + brightness.view(-1, 1, 1, 1, 1))).clamp(0, 1)

    def _erased(self, clips: Tensor) -> Tensor:
        n, device = len(clips), clips.device
        area = 0.02 + (1 / 3 - 0.02) * torch.rand(n, device=device)
        inside = rectangles(area, clips.shape[-1]) & (torch.rand(n, device=device) < self.erase)[:, None, None]
        return torch.where(inside[:, None, None], torch.rand_like(clips), clips)


_STRENGTHS = (math.pi / 6, 0.3, 0.45, 0.9, 0.9, 0.9)
"""Largest rotation, shear, shift, and changes of brightness, contrast and colour, as in RandAugment (1909.13719)."""


def _signed(*shape: int, device: torch.device) -> Tensor:
    return 2 * torch.rand(*shape, device=device) - 1


def rectangles(area: Tensor, size: int) -> Tensor:
    """Return random squares that have a share of a picture each, `(B, s, s)` bool; cut off at the edges.

    Args:
        area: the shares, `(B,)`.
        size: s.
    """
    half = area.sqrt()[:, None] / 2
    middle = torch.rand(len(area), 2, device=area.device)
    at = (torch.arange(size, device=area.device) + 0.5) / size
    rows, columns = (((at - middle[:, [axis]]).abs() < half) for axis in (0, 1))
    return rows[:, :, None] & columns[:, None, :]


class Answers(nn.Module):
    """A network of clips that answers: the mean of what its encoder returns, normalised, and a layer per target.

    Attributes:
        views: how many views are averaged where it answers: 1, in the middle; 2, from the first picture and up to the
            last; 4, each of these also mirrored. A square crop has no other place that pictures could be cut from.

    Args:
        encoder: an `Encoder`.
        options: the architecture.
        shape: what it is made for.
    """

    views = 1

    def __init__(self, encoder: nn.Module, options: VideoOptions, shape: Shape) -> None:
        super().__init__()
        self.options, self.labels = options, dict(shape.labels)
        self.clips = Clips(options, video_feature(shape))
        self.encoder, width = encoder, int(encoder.width)  # type: ignore[arg-type]
        self.norm, self.heads = norm(width), Heads(width, shape.labels)
        with torch.no_grad():
            for name, parameter in self.heads.named_parameters():
                if name.endswith("weight"):
                    nn.init.trunc_normal_(parameter, std=0.02).mul_(options.head_scale)
                else:
                    nn.init.zeros_(parameter)

    def depths(self) -> list[tuple[str, ...]]:
        """Return what names of parameters begin with, from the input to the output; others are behind these."""
        blocks: Any = self.encoder.blocks
        return [("encoder.embedding.",), *((f"encoder.blocks.{n}.",) for n in range(len(blocks)))]

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs, and in training with mixed clips or smoothed labels a loss of its own."""
        if self.training:
            clips = self.clips.drawn(batch)
            if not mixes(self.options):
                return self.answered(clips)
            clips, other, share = mixed(clips, self.options)
            outputs = self.answered(clips)
            return outputs, {"loss": mixed_loss(outputs, batch.targets, other, share, self.options.smoothing)}
        return self.viewed(lambda at, mirrored: self.answered(self.clips.view(batch, at, mirrored=mirrored)))

    def viewed(self, answer: Callable[[float, bool], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the mean of the outputs for all views.

        Args:
            answer: returns the outputs for clips that begin at a place, from 0 to 1, and may be mirrored.
        """
        places = (0.5,) if self.views == 1 else (0.0, 1.0)
        sides = (False, True) if self.views > 2 else (False,)
        views = [answer(at, mirrored) for at in places for mirrored in sides]
        return {name: averaged([view[name] for view in views], labels=bool(n)) for name, n in self.labels.items()}

    def answered(self, clips: Tensor) -> dict[str, Tensor]:
        """Return the outputs for clips that are not standardised."""
        outputs: dict[str, Tensor] = self.heads(self.norm(self.encoder(standardised(clips)).mean(1)))
        return outputs


def averaged(views: list[Tensor], *, labels: bool) -> Tensor:
    """Return the mean of outputs: of scores of labels, scores of the mean of their probabilities."""
    if len(views) == 1:
        return views[0]
    stacked = torch.stack(views).float()
    if not labels:
        return stacked.mean(0)
    return stacked.log_softmax(-1).logsumexp(0) - math.log(len(views))


def mixes(options: VideoOptions) -> bool:
    """Return whether training has a loss of its own, of mixed or smoothed labels."""
    return bool(options.mixup or options.cutmix or options.smoothing)


def with_own_losses(options: VideoOptions, labels: Mapping[str, int | None]) -> VideoOptions:
    """Return the options with no other loss, where training has one of mixed or smoothed labels."""
    if not mixes(options):
        return options
    if options.class_weights != "none":
        raise UsageError("class_weights: apply only where mixup, cutmix and smoothing are 0")
    return replace(options, losses=dict.fromkeys(labels, NO_LOSS))


def mixed(clips: Tensor, options: VideoOptions) -> tuple[Tensor, Tensor, Tensor]:
    """Return clips mixed with others of the batch, which these are, `(B,)`, and the share of the own clip.

    Sources: mixup, Zhang et al. (2018), arXiv:1710.09412; CutMix, Yun et al. (2019), arXiv:1905.04899.
    """
    n, device = len(clips), clips.device
    other, ways = torch.arange(n, device=device).flip(0), [bool(options.mixup), bool(options.cutmix)]
    if not any(ways):
        return clips, other, torch.ones((), device=device)
    cuts = ways[1] and (not ways[0] or bool(torch.rand(()) < 0.5))
    strength = torch.tensor(float(options.cutmix if cuts else options.mixup))
    share = torch.distributions.Beta(strength, strength).sample().to(device)
    if not cuts:
        return share * clips + (1 - share) * clips[other], other, share
    inside = rectangles((1 - share)[None], clips.shape[-1])[0]
    return torch.where(inside, clips[other], clips), other, 1 - inside.float().mean()


def mixed_loss(
    outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], other: Tensor, share: Tensor, smoothing: float
) -> Tensor:
    """Return the sum over targets of the mean cross-entropy with mixed, smoothed labels, or of the squared error."""
    total = torch.zeros((), device=other.device)
    for name, output in outputs.items():
        values = targets[name]
        if output.ndim == 1:
            total = total + (output - (share * values + (1 - share) * values[other])).square().mean()
            continue
        shares = one_hot(values, output.shape[-1]).float() if values.dtype == torch.int64 else values
        blended = share * shares + (1 - share) * shares[other]
        total = total + cross_entropy(output.float(), blended, label_smoothing=smoothing)
    return total
