"""HiCMAE: face and voice of a clip; hidden parts of both are filled in first, and it is learned which belong together.

Conventions:
    As in `merbench.training.networks.video`. A spectrogram has S steps of F bands, `(B, S, F)`; one of its N tokens is
    a square of p × p numbers, in the order of step and band. Layers of an encoder are numbered from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from merbench.errors import UsageError, listed
from merbench.parameters import Described, Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Width
from merbench.training.networks.masked import Decoder, targets, tube_mask
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
    CHANNELS,
    TUBE,
    Answers,
    Block,
    Clips,
    CrossBlock,
    Embedding,
    Grid,
    PatchEmbedding,
    Share,
    VideoOptions,
    initialise,
    mixed,
    mixed_loss,
    mixes,
    norm,
    path_shares,
    picture_size,
    standardised,
)

SOUND_MEAN, SOUND_DEVIATION = -4.2677393, 4.5689974
"""Moments of the bands of `log-mel` in AudioSet; twice the deviation is scaled to 1 (AST, arXiv:2104.01778)."""


@dataclass(frozen=True, kw_only=True)
class Options(VideoOptions):
    """Architecture, and training; `layers` are the blocks of either encoder, `masked` is about pictures.

    Attributes:
        bands: numbers of a row of the feature that has the sound.
        steps: rows of a spectrogram.
        sound_patch: side of its tokens; it divides bands and steps.
        masked_sound: share of its tokens that are hidden in pre-training.
        fusion_layers: blocks of either stream in which tokens of pictures and sound attend to each other.
        levels: layers whose tokens the decoders read, from the second block on and beginning with the last of these,
            and at which pictures and sound are compared.
        contrast: weight of that comparison.
        temperature: what similarities are divided by.
    """

    bands: Width
    steps: Width
    sound_patch: Annotated[int, Within(1, 256)]
    masked_sound: Share
    fusion_layers: Annotated[int, Within(1, 256)]
    levels: Annotated[tuple[Annotated[int, Within(0, 255)], ...], Described("a list of layers, each an integer from 0")]
    contrast: Annotated[float, Within(0)]
    temperature: Annotated[float, Within(0.001)]

    def __post_init__(self) -> None:
        """Raise `UsageError` for tokens, layers and decoders that do not fit together, too."""
        super().__post_init__()
        problems = [
            f"sound_patch: {self.sound_patch} does not divide {name}, which is {value}"
            for name, value in (("bands", self.bands), ("steps", self.steps))
            if value % self.sound_patch
        ]
        if late := [str(level) for level in self.levels if level >= self.layers]:
            problems.append(f"levels: {listed(late)}: the last of {self.layers} layers is {self.layers - 1}")
        if self.decoder_layers != len(self.levels) + 1:
            problems.append(
                f"decoder_layers: {self.decoder_layers}; {len(self.levels)} levels need {len(self.levels) + 1}, as "
                "every block but the first reads one"
            )
        if problems:
            raise UsageError(*problems)

    @property
    def sound_grid(self) -> Grid:
        """How many tokens a spectrogram has, in time and bands."""
        return Grid(1, self.steps // self.sound_patch, self.bands // self.sound_patch)


def features_of(shape: Shape, bands: int) -> tuple[str, str]:
    """Return the feature of pictures and that of sound, whose rows have so many bands."""
    sounds = [name for name, width in shape.widths.items() if width == bands]
    others = [name for name in shape.widths if name not in sounds]
    if len(sounds) != 1 or len(others) != 1:
        raise UsageError(
            f"needed: one feature of pictures, and one of sound with rows of {bands} numbers, not "
            f"{listed([f'{name} ({width:,} numbers)' for name, width in shape.widths.items()])}; `merbench extract "
            "CORPUS --with face-crops --with log-mel --media DIR` makes both; name them with --feature"
        )
    return others[0], sounds[0]


def spectrograms(rows: Tensor, lengths: Tensor, steps: int, place: Tensor) -> Tensor:
    """Return rows of every sample that follow each other, standardised, `(B, S, F)`; zeros follow shorter ones first.

    Args:
        rows: logarithms of powers, `(B, M, F)`.
        lengths: how many are real, `(B,)`.
        steps: S.
        place: where the first one is, from 0 to 1, the first and the last that is possible; `(B,)`.
    """
    start = (place * (lengths - steps).clamp_min(0)).round().long()
    index = start[:, None] + torch.arange(steps, device=rows.device)
    real = index < lengths[:, None]
    index = torch.where(real, index, 0)[..., None].expand(-1, -1, rows.shape[-1])
    taken = rows.gather(1, index).masked_fill(~real[..., None], 0)
    return (taken - SOUND_MEAN) / (2 * SOUND_DEVIATION)


def sound_patches(sounds: Tensor, patch: int) -> Tensor:
    """Return the numbers of every token of spectrograms, `(B, N, p · p)`: by step and band."""
    n, steps, bands = sounds.shape
    squares = sounds.view(n, steps // patch, patch, bands // patch, patch)
    return squares.transpose(2, 3).reshape(n, -1, patch * patch)


def sound_targets(sounds: Tensor, patch: int) -> Tensor:
    """Return the numbers of every token with mean 0 and unbiased variance 1, `(B, N, p · p)`."""
    squares = sound_patches(sounds, patch)
    return (squares - squares.mean(-1, keepdim=True)) / (squares.std(-1, keepdim=True) + 1e-6)


class Stream(nn.Module):
    """An encoder of pictures or of sound.

    Args:
        embedding: makes its tokens.
        options: the architecture.
    """

    def __init__(self, embedding: PatchEmbedding, options: Options) -> None:
        super().__init__()
        self.embedding = embedding
        shares = path_shares(options, options.layers)
        self.blocks = nn.ModuleList(Block(options.width, options.heads, share) for share in shares)
        self.norm = norm(options.width)

    def forward(self, given: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Return the normalised tokens after every block, `(B, N, D)` each, or those that a mask leaves."""
        tokens: Tensor = self.embedding(given) if mask is None else self.embedding.visible(given, mask)
        layers = []
        for block in self.blocks:
            tokens = block(tokens)
            layers.append(self.norm(tokens))
        return layers


class Fusion(nn.Module):
    """Blocks in which tokens of pictures and of sound attend to each other: both to what the block before returned."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        shares = path_shares(options, options.fusion_layers)
        self.video, self.audio = (
            nn.ModuleList(CrossBlock(options.width, options.heads, share) for share in shares) for _ in range(2)
        )
        self.video_norm, self.audio_norm = norm(options.width), norm(options.width)

    def forward(self, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens of pictures and of sound."""
        for of_video, of_audio in zip(self.video, self.audio, strict=True):
            video, audio = of_video(video, audio), of_audio(audio, video)
        return self.video_norm(video), self.audio_norm(audio)


class Encoder(nn.Module):
    """Two encoders and their fusion.

    Args:
        options: the architecture.
        size: side of the pictures.
    """

    def __init__(self, options: Options, size: int) -> None:
        super().__init__()
        self.width = 4 * options.width
        patch, grid = options.sound_patch, options.sound_grid
        squares = nn.Conv2d(1, options.width, patch, patch)
        self.video = Stream(Embedding(options.width, options.patch, Grid.of(options, size)), options)
        self.audio = Stream(PatchEmbedding(squares, grid.n, partial(sound_patches, patch=patch)), options)
        self.fusion = Fusion(options)
        self.apply(initialise)


class Network(Answers):
    """Face crops and spectrograms to one output per target.

    Of either encoder, the means of the tokens of every layer are weighted; those of both, and of the fused tokens, are
    concatenated.
    """

    options: Options
    encoder: Encoder

    def __init__(self, options: Options, shape: Shape) -> None:
        pictures, sound = features_of(shape, options.bands)
        encoder = Encoder(options, picture_size(shape.widths[pictures]))
        super().__init__(encoder, options, replace(shape, widths={pictures: shape.widths[pictures]}))
        self.sound = sound
        self.video_weights, self.audio_weights = (nn.Parameter(torch.zeros(options.layers)) for _ in range(2))

    def depths(self) -> list[tuple[str, ...]]:
        """Return what names of parameters begin with, from the input to the output; others are behind these."""
        both = ("encoder.video.", "encoder.audio.")
        blocks = [tuple(f"{stream}blocks.{n}." for stream in both) for n in range(self.options.layers)]
        fusion = ("encoder.fusion.video.", "encoder.fusion.audio.")
        fused = [tuple(f"{stream}{n}." for stream in fusion) for n in range(self.options.fusion_layers)]
        return [tuple(f"{stream}embedding." for stream in both), *blocks, *fused]

    def forward(self, batch: Batch) -> dict[str, Tensor] | tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs, and in training with mixed clips or smoothed labels a loss of its own."""
        if not self.training:
            return self.viewed(
                lambda place, mirrored: self.answered(
                    self.clips.view(batch, place, mirrored=mirrored), sound_of(batch, self.sound, self.options, place)
                )
            )
        place = torch.rand(batch.samples.shape, device=batch.samples.device)
        clips, sounds = self.clips.drawn(batch, place), sound_of(batch, self.sound, self.options, place)
        if not mixes(self.options):
            return self.answered(clips, sounds)
        clips, other, share = mixed(clips, self.options)
        outputs = self.answered(clips, share * sounds + (1 - share) * sounds[other])
        return outputs, {"loss": mixed_loss(outputs, batch.targets, other, share, self.options.smoothing)}

    def answered(self, clips: Tensor, sounds: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        """Return the outputs for clips that are not standardised, and spectrograms."""
        encoder = self.encoder
        video, audio = encoder.video(standardised(clips)), encoder.audio(sounds)
        layers = ((video, self.video_weights), (audio, self.audio_weights))
        means = [torch.stack([layer.mean(1) for layer in each], -1) @ weights.softmax(0) for each, weights in layers]
        means += [tokens.mean(1) for tokens in encoder.fusion(video[-1], audio[-1])]
        outputs: dict[str, Tensor] = self.heads(self.norm(torch.cat(means, -1)))
        return outputs


def sound_of(batch: Batch, name: str, options: Options, place: Tensor | float) -> Tensor:
    """Return spectrograms of a batch that begin at a place, 0 to 1."""
    lengths = batch.lengths[name]
    places = torch.as_tensor(place, device=lengths.device).expand(lengths.shape)
    return spectrograms(batch.inputs[name], lengths, options.steps, places)


class Pretraining(nn.Module):
    """Face crops and spectrograms to the losses of filling in what is hidden, and of telling pairs from others."""

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        pictures, sound = features_of(shape, options.bands)
        size = picture_size(shape.widths[pictures])
        self.options, self.grid, self.sound = options, Grid.of(options, size), sound
        self.clips = Clips(options, pictures, plain=True)
        self.encoder = Encoder(options, size)
        decoder = partial(Decoder, options.width, options, skips=True)
        self.video_decoder = decoder(self.grid, CHANNELS * TUBE * options.patch**2)
        self.audio_decoder = decoder(options.sound_grid, options.sound_patch**2)

    def forward(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return no outputs, and the losses of pictures, sound and contrast."""
        options = self.options
        place = torch.rand(batch.samples.shape, device=batch.samples.device)
        clips, sounds = self.clips.drawn(batch, place), sound_of(batch, self.sound, options, place)
        hidden = tube_mask(len(clips), self.grid, options.masked, clips.device)
        unheard = tube_mask(len(sounds), options.sound_grid, options.masked_sound, clips.device)
        video, audio = self.encoder.video(standardised(clips), hidden), self.encoder.audio(sounds, unheard)
        fused = self.encoder.fusion(video[-1], audio[-1])
        wanted = (
            targets(clips, options.patch, differences=options.differences)[hidden],
            sound_targets(sounds, options.sound_patch)[unheard],
        )
        parts = ((self.video_decoder, video, hidden), (self.audio_decoder, audio, unheard))
        errors = []
        for (decoder, layers, mask), tokens, values in zip(parts, fused, wanted, strict=True):
            restored = decoder(tokens, mask, [layers[level] for level in options.levels]).float()
            errors.append((restored - values.view_as(restored)).square().mean())
        compared = [
            info_nce(video[level].mean(1), audio[level].mean(1), options.temperature) for level in options.levels
        ]
        losses = {"video": errors[0], "audio": errors[1]}
        if options.contrast:
            losses["contrast"] = options.contrast * torch.stack(compared).sum()
        return {}, losses


def info_nce(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return the mean cross-entropy of finding the own vector among those of the batch, both ways.

    Args:
        one: vectors `(B, d)`, compared by their cosines.
        other: those that belong to them.
        temperature: what the cosines are divided by.
    """
    cosines = normalize(one.float(), dim=-1) @ normalize(other.float(), dim=-1).T / temperature
    own = torch.arange(len(cosines), device=cosines.device)
    return (cross_entropy(cosines, own) + cross_entropy(cosines.T, own)) / 2


def released(options: Options) -> Released:
    """Return how released weights become those of an encoder."""
    keys: dict[str, list[str]] = {}
    for own, name in (("video", "encoder"), ("audio", "encoder_audio")):
        keys |= under(f"{own}.embedding.", f"{name}.", EMBEDDING) | named(f"{own}.norm", f"{name}.norm")
        for n in range(options.layers):
            keys |= under(f"{own}.blocks.{n}.", f"{name}.blocks.{n}.", BLOCK)
    for own, name in (("video", ""), ("audio", "_audio")):
        keys |= named(f"fusion.{own}_norm", f"encoder_fusion.norm{name}")
        for n in range(options.fusion_layers):
            keys |= under(f"fusion.{own}.{n}.", f"encoder_fusion.blocks{name}.{n}.", CROSS_BLOCK)
    others = ("decoder_audio.", "encoder_to_decoder_audio.", "video_layer_weights", "audio_layer_weights")
    return Released(keys, (*NOT_OF_ENCODER, *others))


def build(options: Options, setup: Setup) -> PretrainedBaseline:
    return PretrainedBaseline(
        partial(Network, options), partial(Pretraining, options), options, setup, released(options)
    )
