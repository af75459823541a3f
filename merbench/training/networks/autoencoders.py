"""Autoencoders of concatenated encodings, and networks that reconstruct what a sample lacks.

Conventions:
    B samples of a batch, d numbers of a vector, M features, e numbers of an encoding, w = M e those of all encodings.
    Features are standardised, so what a sample lacks is zeros. Losses are means over the samples, whatever the size of
    a batch; in the code that these networks are described by they are sums, tied to batches of 256.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width, Widths
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]
MakeAutoencoder = Callable[[int], nn.Module]
"""Makes an autoencoder of so many numbers, which returns the reconstruction and the codes."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, loss, and training of a network that reconstructs features.

    Attributes:
        embedding: numbers e of the encoding of a feature.
        hidden: width of the two hidden layers of encoders, decoders and classifier.
        layers: widths of the autoencoder, from the outer to the inner one.
        dropout: share of the hidden units of encoders, decoders and classifier that is dropped in training.
        reconstruction: weight of the squared error of reconstructed features.
    """

    embedding: Width
    hidden: Width
    layers: Widths
    dropout: Dropout
    reconstruction: Weight


def hidden_layers(n_in: int, n_hidden: int, dropout: float) -> list[nn.Module]:
    """Return two linear layers, each with ReLU and dropout."""
    pairs = ((n_in, n_hidden), (n_hidden, n_hidden))
    return [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU(), nn.Dropout(dropout))]


def perceptron(n_in: int, n_hidden: int, n_out: int, dropout: float) -> nn.Sequential:
    """Return `hidden_layers`, and a linear layer."""
    return nn.Sequential(*hidden_layers(n_in, n_hidden, dropout), nn.Linear(n_hidden, n_out))


def activated(widths: Sequence[int], activation: type[nn.Module]) -> list[nn.Module]:
    """Return linear layers of these widths, each with an activation."""
    return [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), activation())]


class Encoders(nn.ModuleList):
    """A `perceptron` for each feature: vectors `(B, d)` to their encodings, concatenated, `(B, w)`."""

    def __init__(self, widths: Mapping[str, int], n_hidden: int, n_out: int, dropout: float) -> None:
        super().__init__(perceptron(width, n_hidden, n_out, dropout) for width in widths.values())

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the encodings."""
        return torch.cat([encoder(x) for encoder, x in zip(self, inputs.values(), strict=True)], -1)


class Autoencoder(nn.Module):
    """Linear layers from w numbers to a code and back, LeakyReLU after each and ReLU after the last.

    Args:
        width: numbers w.
        layers: widths of the encoder; the last one is that of the code.
    """

    def __init__(self, width: int, layers: Sequence[int]) -> None:
        super().__init__()
        widths = (width, *layers)
        self.encoder = nn.Sequential(*activated(widths, nn.LeakyReLU))
        self.decoder = nn.Sequential(*activated(widths[::-1], nn.LeakyReLU)[:-1], nn.ReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction `(B, w)` and the code."""
        code = self.encoder(x)
        return self.decoder(code), code


class ResidualAutoencoder(nn.Module):
    """Autoencoders that follow one another, each given what all before it were given and made (Tran et al. 2017).

    Block b reads x_b = x_{b-1} + y_{b-1} and makes y_b; two linear layers map x_n + y_n to the reconstruction. With w
    numbers and n blocks it has 2 (w² + w) parameters, and those of n autoencoders.

    Args:
        width: numbers w.
        layers: widths of the encoder of a block; the last one is that of its code.
        n_blocks: how many blocks n.
    """

    def __init__(self, width: int, layers: Sequence[int], n_blocks: int) -> None:
        super().__init__()
        widths = (width, *layers)
        self.encoders = nn.ModuleList(nn.Sequential(*activated(widths, nn.LeakyReLU)[:-1]) for _ in range(n_blocks))
        self.decoders = nn.ModuleList(nn.Sequential(*activated(widths[::-1], nn.ReLU)[:-1]) for _ in range(n_blocks))
        self.transition = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction `(B, w)` and the codes of all blocks, concatenated."""
        codes = []
        for encoder, decoder in zip(self.encoders, self.decoders, strict=True):
            codes.append(encoder(x))
            x = x + decoder(codes[-1])
        return self.transition(x), torch.cat(codes, -1)


class Reconstruction(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target, through an autoencoder of their encodings.

    Decoders and the classifier read the reconstructed encodings of all features. In training, the features that
    corruption changed are compared with what their decoders make of these.

    Args:
        options: the architecture.
        shape: what it is made for.
        autoencoder: makes the autoencoder.
    """

    def __init__(self, options: Options, shape: Shape, autoencoder: MakeAutoencoder) -> None:
        super().__init__()
        h, dropout, fused = options.hidden, options.dropout, len(shape.widths) * options.embedding
        self.weight = options.reconstruction
        self.encoders = Encoders(shape.widths, h, options.embedding, dropout)
        self.autoencoder = autoencoder(fused)
        self.decoders = nn.ModuleList(perceptron(fused, h, width, dropout) for width in shape.widths.values())
        self.classifier = nn.Sequential(*hidden_layers(fused, h, dropout), Heads(h, shape.labels))

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the error of what is reconstructed."""
        fused, _ = self.autoencoder(self.encoders(batch.inputs))
        outputs: Outputs = self.classifier(fused)
        if not batch.targets or not self.weight:
            return outputs
        errors = [
            squared_error(decoder(fused), batch.complete[name], batch.removed(name) & batch.real)
            for name, decoder in zip(batch.inputs, self.decoders, strict=True)
        ]
        return outputs, {"reconstruction": self.weight * torch.stack(errors).sum() / batch.real.sum().clamp_min(1)}

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return what share of the squares of a feature is explained by the others, mean over the features.

        Each feature is taken away from the samples that have it. Of standardised features, the mean explains nothing:
        0. With one feature, nothing is left to explain it.
        """
        if len(self.encoders) == 1:
            return {}
        shares = []
        for name, decoder in zip(batch.inputs, self.decoders, strict=True):
            x, known = batch.inputs[name], batch.present[name] & batch.real
            fused, _ = self.autoencoder(self.encoders({**batch.inputs, name: torch.zeros_like(x)}))
            shares.append(1 - squared_error(decoder(fused), x, known) / squared_error(x, 0 * x, known).clamp_min(1e-12))
        return {"explained": torch.stack(shares).mean()}


def squared_error(x: Tensor, reference: Tensor, counts: Tensor) -> Tensor:
    """Return the mean squared difference of rows `(B, d)`, summed over those that count, `(B,)`."""
    return ((x - reference).square().mean(-1) * counts).sum()
