"""NMER: a variational auto-encoder recovers the specific vectors of noisy modalities (Fan et al.).

Every modality is encoded twice: by what is specific to it, and, through layers that all modalities share, by what is
invariant between them. A teacher learns both on complete features. The network begins with these layers and is given
noisy or missing features. A conditional variational auto-encoder makes the specific vectors of the teacher from its own
ones, given the invariant ones, and what it makes is classified.

Conventions:
    B samples of a batch, d numbers of a vector, h hidden units, M modalities, one per feature, z latent variables.
    Specific and invariant vectors are `(B, M h)`. Outputs are `(B, K)` scores of labels or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import BatchNorm, Dropout, Encoder, Heads, Width
from merbench.training.networks.losses import moment_distance
from merbench.training.networks.network import Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.staged import Frozen, StagedBaseline

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]

MOMENTS, TRANSFORMER_DROPOUT = 5, 0.1
"""How many moments distributions are compared by; and what the layers of the encoder drop, as torch has it."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, losses, and training.

    Attributes:
        hidden: width h of an encoding.
        latent: how many latent variables z.
        feed_forward: width of the hidden units of the auto-encoder: of each layer of its encoder, and of its decoder.
        layers: layers of its encoder.
        heads: heads of attention of these; they divide 2 M h.
        dropout: share of the inputs, and of the units of the classifier, that is dropped in training.
        similarity: weight, in the first stage, of the distance between invariant vectors of different modalities.
        invariance: weight of the error of invariant vectors against those of the teacher.
        reconstruction: weight of the error of what the auto-encoder makes against the teacher's specific vectors.
        divergence: weight of the divergence of the latent variables from a standard normal distribution.
        recovery: whether there is an auto-encoder; if not, the network's own specific vectors are classified.
    """

    hidden: Width
    latent: Width
    feed_forward: Width
    layers: Annotated[int, Within(1, 64)]
    heads: Annotated[int, Within(1, 256)]
    dropout: Dropout
    similarity: Weight
    invariance: Weight
    reconstruction: Weight
    divergence: Weight
    recovery: bool


class Spaces(nn.Module):
    """Vectors of all modalities to specific and to invariant vectors, `(B, M h)` each."""

    def __init__(self, options: Options, widths: Mapping[str, int]) -> None:
        super().__init__()
        h = options.hidden
        self.specific = nn.ModuleList(Encoder(width, h, options.dropout) for width in widths.values())
        self.before_shared = nn.ModuleList(Encoder(width, h, options.dropout) for width in widths.values())
        self.shared = nn.Sequential(nn.Linear(h, h), nn.LeakyReLU(), nn.Linear(h, h), nn.LeakyReLU())

    def forward(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the vectors."""
        specific = [encoder(x) for encoder, x in zip(self.specific, inputs.values(), strict=True)]
        invariant = [self.shared(encoder(x)) for encoder, x in zip(self.before_shared, inputs.values(), strict=True)]
        return torch.cat(specific, -1), torch.cat(invariant, -1)


class Classifier(nn.Sequential):
    """Two layers with ReLU, batch normalisation and dropout, and one head per target."""

    def __init__(self, n_in: int, options: Options, labels: Mapping[str, int | None]) -> None:
        h = options.hidden
        layers = [
            layer
            for width in (n_in, h)
            for layer in (nn.Linear(width, h), nn.ReLU(), BatchNorm(h), nn.Dropout(options.dropout))
        ]
        super().__init__(*layers, Heads(h, labels))


class Teacher(nn.Module):
    """The first stage, on complete features: specific and invariant vectors are classified together."""

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, self.n_modalities = options, len(shape.widths)
        self.spaces = Spaces(options, shape.widths)
        self.classifier = Classifier(2 * self.n_modalities * options.hidden, options, shape.labels)

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs, and in training how far apart the invariant vectors of two modalities are on average."""
        specific, invariant = self.spaces(batch.inputs)
        outputs: Outputs = self.classifier(torch.cat([specific, invariant], -1))
        pairs = [*combinations(invariant[batch.real].chunk(self.n_modalities, -1), 2)]
        if not (batch.targets and pairs and self.options.similarity):
            return outputs
        distance = torch.stack([moment_distance(a, b, MOMENTS) for a, b in pairs]).mean()
        return outputs, {"similarity": self.options.similarity * distance}


class AutoEncoder(nn.Module):
    """A conditional variational auto-encoder: specific vectors are made of latent variables and of invariant vectors.

    Each sample is one step of the transformer, as wide as its vectors together, so that none depends on another one.
    Latent variables are drawn in training; else they are their means.
    """

    def __init__(self, width: int, options: Options) -> None:
        super().__init__()
        layer = partial(nn.TransformerEncoderLayer, 2 * width, options.heads, options.feed_forward, batch_first=True)
        self.encoder = nn.Sequential(*(layer(dropout=TRANSFORMER_DROPOUT) for _ in range(options.layers)))
        self.mean, self.log_variance = (nn.Linear(2 * width, options.latent) for _ in range(2))
        self.decoder = nn.Sequential(
            nn.Linear(options.latent + width, options.feed_forward),
            nn.ReLU(),
            nn.Linear(options.feed_forward, width),
        )

    def forward(self, specific: Tensor, invariant: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return specific vectors, and mean and log-variance of the latent variables, `(B, z)` each."""
        encoded = self.encoder(torch.cat([specific, invariant], -1)[:, None]).squeeze(1)
        mean, log_variance = self.mean(encoded), self.log_variance(encoded)
        latent = mean
        if self.training:
            latent = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.decoder(torch.cat([latent, invariant], -1)), mean, log_variance


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features, noisy or missing ones among them, to one output per target.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, width = options, len(shape.widths) * options.hidden
        if 2 * width % options.heads:
            raise UsageError(
                f"heads: {options.heads} do not divide {2 * width}, twice the hidden units of all {len(shape.widths)} "
                "features"
            )
        self.spaces = Spaces(options, shape.widths)
        self.recovery = AutoEncoder(width, options) if options.recovery else None
        self.classifier = Classifier(width, options, shape.labels)
        self.remembered: Frozen | None = None

    @property
    def teacher(self) -> nn.Module:
        """The encoders of the teacher; without one, its own."""
        return self.spaces if self.remembered is None else self.remembered

    def learn_from(self, teacher: Any) -> None:
        """Begin with the teacher's encoders, and keep them to compare with."""
        self.spaces.load_state_dict(teacher.spaces.state_dict())
        self.remembered = Frozen(teacher.spaces)

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the losses of recovery."""
        specific, invariant = self.spaces(batch.inputs)
        real, losses = batch.real, dict[str, Tensor]()
        taught, taught_invariant = self.teacher(batch.complete) if batch.targets else (specific, invariant)
        losses["invariance"] = (invariant - taught_invariant)[real].square().mean()
        if self.recovery is not None:
            specific, mean, log_variance = self.recovery(specific, invariant)
            losses["reconstruction"] = (specific - taught)[real].square().mean()
            losses["divergence"] = divergence(mean[real], log_variance[real])
        outputs: Outputs = self.classifier(specific)
        if not batch.targets:
            return outputs
        weights = {name: getattr(self.options, name) for name in losses}
        return outputs, {name: weights[name] * loss for name, loss in losses.items() if weights[name]}

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return by how much the mean squared error of what is recovered is below that of zeros, one hidden in turn.

        Errors are those of specific vectors of the hidden feature against the teacher's of the complete sample. Zeros,
        the mean of a feature in training, are encoded by the teacher.
        """
        if self.recovery is None:
            return {}
        m, gains = len(batch.inputs), []
        taught = self.teacher(batch.inputs)[0].chunk(m, -1)
        for n, (name, x) in enumerate(batch.inputs.items()):
            hidden, rows = {**batch.inputs, name: torch.zeros_like(x)}, batch.real & batch.present[name]
            encodings = self.teacher(hidden)[0], self.recovery(*self.spaces(hidden))[0]
            of_zeros, own = ((vectors.chunk(m, -1)[n] - taught[n])[rows].square() for vectors in encodings)
            gains.append((of_zeros - own).sum() / max(1, own.numel()))
        return {"reconstruction": torch.stack(gains).mean()}


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of normal distributions from standard ones, `(B, z)`.

    It is summed over the latent variables (Kingma and Welling 2014, appendix B), and averaged over the samples.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2


def build(options: Options, setup: Setup) -> StagedBaseline:
    return StagedBaseline(partial(Teacher, options), partial(Network, options), options, setup)
