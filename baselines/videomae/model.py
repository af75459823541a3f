"""VideoMAE (Tong et al. 2022, arXiv:2203.12602): a transformer of clips, pre-trained to reconstruct hidden tubes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import nn

from merbench.training import Setup
from merbench.training.networks.masked import MaskedAutoencoder
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import PretrainedBaseline, Released
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


OF_BLOCK = {
    "before_attention.weight": ["norm1.weight"],
    "before_attention.bias": ["norm1.bias"],
    "attention.inputs.weight": ["attn.qkv.weight"],
    "attention.query_bias": ["attn.q_bias"],
    "attention.value_bias": ["attn.v_bias"],
    "attention.output.weight": ["attn.proj.weight"],
    "attention.output.bias": ["attn.proj.bias"],
    "before_units.weight": ["norm2.weight"],
    "before_units.bias": ["norm2.bias"],
    "units.0.weight": ["mlp.fc1.weight"],
    "units.0.bias": ["mlp.fc1.bias"],
    "units.2.weight": ["mlp.fc2.weight"],
    "units.2.bias": ["mlp.fc2.bias"],
}
"""By parameter of a block, the released arrays that it consists of."""


def released(layers: int) -> Released:
    """Return how released weights become those of an encoder of so many blocks."""
    keys = {f"embedding.layer.{name}": [f"patch_embed.proj.{name}"] for name in ("weight", "bias")}
    for n in range(layers):
        keys |= {f"blocks.{n}.{own}": [f"blocks.{n}.{name}" for name in names] for own, names in OF_BLOCK.items()}
    return Released(keys, ("norm.", "fc_norm.", "head.", "decoder.", "encoder_to_decoder.", "mask_token"))


def build(options: Options, setup: Setup) -> PretrainedBaseline:
    """Return the baseline."""
    return PretrainedBaseline(
        partial(answers, options), partial(pretraining, options), options, setup, released(options.layers)
    )
