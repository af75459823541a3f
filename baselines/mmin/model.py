"""Missing Modality Imagination Network (MMIN, Zhao et al. 2021), on vectors as in Lian et al. 2023.

A teacher is trained on complete features. The network starts from its encoders; frozen, they also give the target
encodings of missing features. A cascade of autoencoders imagines these from the encodings of what a sample has, and a
second one imagines, from what the first one made, the encodings that it was given. The classifier reads the codes of
the first cascade.

Conventions:
    As in `merbench.training.networks.autoencoders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.autoencoders import Encoders, ResidualAutoencoder, Weight, hidden_layers
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width, Widths
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.staged import Frozen, StagedBaseline

Outputs = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, losses, and training, of teacher and network alike.

    Attributes:
        embedding: numbers e of the encoding of a feature.
        hidden: width of the two hidden layers of encoders and classifier.
        layers: widths of an autoencoder, from the outer to the inner one.
        blocks: autoencoders of each cascade.
        dropout: dropout rate of the hidden units of encoders and classifier.
        teacher_dropout: the same of the teacher.
        imagination: weight of the squared error of imagined encodings.
        cycle: weight of the squared error of the encodings that are imagined from these.
        target: what imagined encodings are compared with: only those of the `missing` features; or, as in the
            `released` code, those of present ones too, which there are encodings of zeros.
    """

    embedding: Width
    hidden: Width
    layers: Widths
    blocks: Annotated[int, Within(1, 64)]
    dropout: Dropout
    teacher_dropout: Dropout
    imagination: Weight
    cycle: Weight
    target: Literal["missing", "released"]


class Teacher(nn.Module):
    """Encoders of complete features, and a classifier of their encodings.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        h, e, dropout = options.hidden, options.embedding, options.teacher_dropout
        self.encoders = Encoders(shape.widths, h, e, dropout)
        self.classifier = nn.Sequential(*hidden_layers(len(shape.widths) * e, h, dropout), Heads(h, shape.labels))

    def forward(self, batch: Batch) -> Outputs:
        """Return the outputs for a batch."""
        outputs: Outputs = self.classifier(self.encoders(batch.inputs))
        return outputs


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options = options
        h, e, layers, n = options.hidden, options.embedding, options.layers, options.blocks
        fused = len(shape.widths) * e
        self.encoders = Encoders(shape.widths, h, e, options.dropout)
        self.imagination = ResidualAutoencoder(fused, layers, n)
        self.cycle = ResidualAutoencoder(fused, layers, n)
        self.classifier = nn.Sequential(*hidden_layers(n * layers[-1], h, options.dropout), Heads(h, shape.labels))
        self.remembered: Frozen | None = None

    def learn_from(self, teacher: nn.Module) -> None:
        """Begin with the encoders of a teacher, and keep them for what is to be imagined."""
        encoders = teacher.get_submodule("encoders")
        self.encoders.load_state_dict(encoders.state_dict())
        self.remembered = Frozen(encoders)

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the errors of what is imagined."""
        encoded = self.encoders(batch.inputs)
        imagined, codes = self.imagination(encoded)
        outputs: Outputs = self.classifier(codes)
        if not batch.targets or self.remembered is None:
            return outputs
        options, real, losses = self.options, batch.real, {}
        if options.imagination:
            removed = {name: batch.removed(name)[:, None] for name in batch.inputs}
            wanted = self.remembered({name: x * removed[name] for name, x in batch.complete.items()})
            error = (imagined - wanted).square()
            if options.target == "missing":
                error = error * torch.cat([own.expand(-1, options.embedding) for own in removed.values()], 1)
            losses["imagination"] = options.imagination * mean_of(error, real)
        if options.cycle:
            again, _ = self.cycle(imagined)
            losses["cycle"] = options.cycle * mean_of((again - encoded.detach()).square(), real)
        return outputs, losses

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return what share of the variance of a feature's encodings is imagined, mean over the features.

        Each feature is removed from the samples that have it. The mean of its encodings, those of the teacher,
        explains nothing: 0. With one feature, nothing is left to imagine it from.
        """
        if len(self.encoders) == 1:
            return {}
        complete, shares = (self.remembered or self.encoders)(batch.inputs), []
        for n, (name, x) in enumerate(batch.inputs.items()):
            imagined, _ = self.imagination(self.encoders({**batch.inputs, name: torch.zeros_like(x)}))
            own = slice(n * self.options.embedding, (n + 1) * self.options.embedding)
            rows = batch.present[name] & batch.real
            wanted, made = complete[rows, own], imagined[rows, own]
            variance = (wanted - wanted.mean(0)).square().sum().clamp_min(1e-12)
            shares.append(1 - (made - wanted).square().sum() / variance)
        return {"explained": torch.stack(shares).mean()}


def mean_of(errors: Tensor, real: Tensor) -> Tensor:
    """Return the mean of `(B, w)` over the samples that are not padding, and over all numbers."""
    return (errors.mean(1) * real).sum() / real.sum().clamp_min(1)


def build(options: Options, setup: Setup) -> StagedBaseline:
    return StagedBaseline(partial(Teacher, options), partial(Network, options), options, setup)
