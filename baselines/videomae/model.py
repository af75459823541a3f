"""VideoMAE (Tong et al. 2022, arXiv:2203.12602): a transformer of clips, pre-trained to reconstruct hidden tubes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from merbench.training import Setup
from merbench.training.networks.masked import MaskedAutoencoder
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import (
    BLOCK,
    EMBEDDING,
    NOT_OF_ENCODER,
    PretrainedBaseline,
    Released,
    under,
)
from merbench.training.networks.video import Answers, Transformer, VideoOptions, picture_size, video_feature


@dataclass(frozen=True)
class Options(VideoOptions):
    """Those of all networks of clips."""


def encoder(options: Options, shape: Shape) -> Transformer:
    """Return the transformer for the pictures of a shape."""
    return Transformer(options, picture_size(shape.widths[video_feature(shape)]))


def answers(options: Options, shape: Shape) -> nn.Module:
    """Return the network that answers: the mean of all tokens, normalised, and a layer per target."""
    return Answers(encoder(options, shape), options, shape)


def pretraining(options: Options, shape: Shape) -> nn.Module:
    """Return the network that is pre-trained: it reconstructs tubes, the same places of all pictures."""
    return MaskedAutoencoder(encoder(options, shape), options, shape)


def released(layers: int) -> Released:
    """Return how released weights become those of an encoder of so many blocks."""
    keys = under("embedding.", "", EMBEDDING)
    for n in range(layers):
        keys |= under(f"blocks.{n}.", f"blocks.{n}.", BLOCK)
    return Released(keys, NOT_OF_ENCODER)


def build(options: Options, setup: Setup) -> PretrainedBaseline:
    """Return the baseline."""
    return PretrainedBaseline(
        partial(answers, options), partial(pretraining, options), options, setup, released(options.layers)
    )
