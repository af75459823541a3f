"""Unimodal labels that a multimodal network makes itself (Self-MM, Yu et al. 2021), on vectors.

Every modality has a branch that predicts from it alone, next to the branch of all of them. It is trained with labels
that begin as those of the sample and are updated by where the sample lies, in the features of this modality, between
the centres of positive and of negative samples, compared with where it lies in the features of all. The more a label
has changed, the more it counts.

Conventions:
    n samples, B of a batch, d numbers of a vector, h hidden units, M modalities, one per feature, R targets that are
    numbers. Unimodal labels are `(M, R, n)`, features `(M + 1, n, h)`, those of all modalities first. Outputs are
    `(B, K)` scores of labels or `(B,)` numbers. Labels that are not known are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from merbench.errors import listed
from merbench.training import CrossFit, Setup, TrainingSet
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule

Outputs = dict[str, Tensor]

TINY = 1e-8


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, unimodal labels, and training.

    Attributes:
        hidden: width h of all layers.
        dropout: share of the inputs, and of what every branch is given, that is dropped in training.
        updates: whether unimodal labels are updated, from the second epoch on; if not, they are those of the sample.
        weighted: whether a unimodal label counts by how much it has changed; if not, all count alike.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    dropout: Dropout
    updates: bool
    weighted: bool
    standardise: bool


class Branch(nn.Module):
    """Two layers and a head per target: `(B, n_in)` to the features `(B, h)` after the first, and the outputs."""

    def __init__(self, n_in: int, options: Options, labels: Mapping[str, int | None]) -> None:
        super().__init__()
        h = options.hidden
        self.features = nn.Sequential(nn.Dropout(options.dropout), nn.Linear(n_in, h), nn.ReLU())
        self.layer = nn.Sequential(nn.Linear(h, h), nn.ReLU())
        self.heads = Heads(h, labels)

    def forward(self, x: Tensor) -> tuple[Tensor, Outputs]:
        """Return features and outputs."""
        features = self.features(x)
        return features, self.heads(self.layer(features))


class Memory(nn.Module):
    """What is kept of all samples: the labels of the sample, unimodal ones, and the features that were last computed.

    Args:
        labels: `(R, n)`, NaN where they are not known or not learned from.
        n_modalities: M.
        width: h.
    """

    multimodal: Tensor
    unimodal: Tensor
    features: Tensor

    def __init__(self, labels: Tensor, n_modalities: int, width: int) -> None:
        super().__init__()
        self.register_buffer("multimodal", labels)
        self.register_buffer("unimodal", labels.repeat(n_modalities, 1, 1))
        self.register_buffer("features", labels.new_zeros(n_modalities + 1, labels.shape[1], width))


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target, by the branch of all modalities.

    The branches of single modalities predict numbers; they are used in training only.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options, self.modalities, h = options, list(shape.widths), options.hidden
        self.numbers = [name for name, n_labels in shape.labels.items() if n_labels is None]
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.all = Branch(len(self.encoders) * h, options, shape.labels)
        self.single = nn.ModuleList(Branch(h, options, dict.fromkeys(self.numbers)) for _ in self.encoders)
        self.remembered: Memory

    def remember(self, n: int, targets: Mapping[str, Tensor], learned: Tensor) -> None:
        """Make the unimodal labels, and room for the features, of all samples."""
        labels = torch.full((len(self.numbers), n), torch.nan, device=learned.device)
        labels[:, learned] = torch.stack([targets[name] for name in self.numbers])[:, learned]
        self.remembered = Memory(labels, len(self.single), self.options.hidden)

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the loss of the single modalities."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        outputs: Outputs
        features, outputs = self.all(torch.cat(encodings, -1))
        if not batch.targets:
            return outputs
        answers = [branch(x) for branch, x in zip(self.single, encodings, strict=True)]
        predicted = torch.stack([torch.stack([own[name] for name in self.numbers]) for _, own in answers])
        rows = batch.samples[batch.real]
        loss = self.loss(predicted[..., batch.real], rows)
        now = torch.stack([features, *(own for own, _ in answers)])[:, batch.real].detach().float()
        if self.options.updates and batch.epoch > 1:
            self.update(now, rows, batch.epoch)
        self.remembered.features[:, rows] = now
        return outputs, {"unimodal": loss}

    def loss(self, predicted: Tensor, rows: Tensor) -> Tensor:
        """Return the sum over modalities and targets of the mean weighted absolute error of `(M, R, B)` numbers."""
        labels, multimodal = self.remembered.unimodal[..., rows], self.remembered.multimodal[:, rows]
        weights = (~multimodal.isnan()).expand_as(labels).float()
        weights = weights / weights.sum(2, keepdim=True).clamp_min(1)
        if self.options.weighted:
            weights = weights * (labels - multimodal).nan_to_num().abs().tanh()
        return (weights * (predicted - labels.nan_to_num()).abs()).sum()

    def update(self, now: Tensor, rows: Tensor, epoch: int) -> None:
        """Update the unimodal labels of some samples by their features `(M + 1, B, h)`.

        Centres are those of the features that were remembered last. Without a positive or a negative label there is no
        centre, and the labels stay.
        """
        stored, multimodal = self.remembered, self.remembered.multimodal[:, rows]
        labels = torch.cat([stored.multimodal[None], stored.unimodal])
        sides = torch.stack([labels > 0, labels < 0]).float()
        counts = sides.sum(-1)
        centres = torch.einsum("smrn,mnh->smrh", sides, stored.features) / counts.clamp_min(1)[..., None]
        shifts = shift(now[:, None], *centres[:, :, :, None])
        defined = (counts > 0).all(0)
        own = stored.unimodal[..., rows]
        limits = stored.multimodal.nan_to_num().abs().amax(1)[:, None]
        new = updated(own, suggested(multimodal, shifts[1:], shifts[0], limits), epoch)
        stored.unimodal[..., rows] = torch.where((defined[1:] & defined[0])[..., None], new, own)

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return how much unimodal labels have changed, by modality: the mean over targets and samples learned from."""
        stored = self.remembered
        changes = (stored.unimodal - stored.multimodal).abs().nanmean((1, 2))
        return {f"label_change.{name}": change for name, change in zip(self.modalities, changes, strict=True)}


def shift(features: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Return how much nearer features `(…, h)` lie to one centre than to the other, in distances to the former."""
    near: Tensor = torch.linalg.vector_norm(features - positive, dim=-1)
    far: Tensor = torch.linalg.vector_norm(features - negative, dim=-1)
    return (far - near) / (near + TINY)


def suggested(multimodal: Tensor, shifts: Tensor, multimodal_shifts: Tensor, limit: Tensor | float) -> Tensor:
    """Return the unimodal labels that the features suggest: the mean of a ratio and of a difference of shifts.

    Args:
        multimodal: the labels of the samples.
        shifts: of the features of a single modality.
        multimodal_shifts: of the features of all modalities.
        limit: largest absolute value of a label.
    """
    ratio = shifts / (multimodal_shifts + TINY)
    labels = (ratio * multimodal + multimodal + (shifts - multimodal_shifts)) / 2
    limits = torch.as_tensor(limit, device=labels.device)
    return torch.maximum(torch.minimum(labels, limits), -limits)


def updated(labels: Tensor, suggestion: Tensor, epoch: int) -> Tensor:
    """Return the mean of all suggestions until an epoch, from 2, in which later ones count more."""
    return (epoch - 1) / (epoch + 1) * labels + 2 / (epoch + 1) * suggestion


class SelfMM(NetworkBaseline):
    """The network, with the absolute error of the paper for numbers unless another loss is asked for."""

    def __init__(self, options: Options, setup: Setup) -> None:
        super().__init__(partial(Network, options), options, setup, standardise=options.standardise)
        self.options = options

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train as any network; numbers have the absolute error."""
        numbers = [name for name, target in train.track.targets.items() if not target.classes]
        absolute = dict.fromkeys(numbers, "absolute_error")
        self.schedule = replace(self.schedule, losses={**absolute, **self.schedule.losses})
        result = super().fit_folds(train)
        return replace(result, notes=(*result.notes, *without_sides(self.options, train, numbers)))


def without_sides(options: Options, train: TrainingSet, numbers: Sequence[str]) -> Iterator[str]:
    """Yield a note about targets whose unimodal labels are never updated: no value is negative, or none positive."""
    values = {name: train.targets[name] for name in numbers}
    names = [name for name, own in values.items() if not ((own < 0).any() and (own > 0).any())]
    if names and options.updates:
        consequence = "they count nothing" if options.weighted else "they are learned as they are"
        yield (
            f"unimodal labels of {listed(names)} stay those of the samples, since no value is negative, or none "
            f"positive: {consequence}, and the network is a late fusion"
        )


def build(options: Options, setup: Setup) -> SelfMM:
    return SelfMM(options, setup)
