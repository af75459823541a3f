"""Fusion that keeps mutual information (MMIM, Han et al. 2021), on vectors as in MERBench.

Two terms keep information that a loss of the task alone would lose. Between modalities: a lower bound of the
information that the main modality has about each other one, from a Gaussian that predicts the one from the other, and
from the entropy of what is predicted (Barber and Agakov 2003). Between the fused vector and every modality: a contrast
in which the modality of a fused vector is distinguished from those of the other samples (van den Oord et al. 2018).

Conventions:
    B samples of a batch, d numbers of a vector, h hidden units, M modalities, one per feature. Outputs are `(B, K)`
    scores of labels or `(B,)` numbers. The terms compare the samples of a batch; outputs do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Encoder, Heads, Width
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule

Outputs = dict[str, Tensor]
Weight = Annotated[float, Within(0)]

RIDGE = 1e-4
"""Added to the variance of every direction, so that the entropy of few or equal samples is finite."""


@dataclass(frozen=True, kw_only=True)
class Options(Schedule):
    """Architecture, terms of information, and training.

    Attributes:
        hidden: width h of all layers.
        dropout: share of the inputs, and of the concatenated encodings, that is dropped in training.
        layers: linear layers between a fused vector and the prediction that is compared with a modality.
        alpha: weight of the contrast of fused vectors with modalities.
        beta: weight of the bound between modalities.
        bounded: whether log-variances are bounded by tanh and are part of the log-likelihood; the released code does
            neither.
        memory: how many batches before this one the entropy is estimated from, too; 0 leaves out the entropy.
        standardise: whether features are standardised by what a fold learns from.
    """

    hidden: Width
    dropout: Dropout
    layers: Annotated[int, Within(1, 16)]
    alpha: Weight
    beta: Weight
    bounded: bool
    memory: Annotated[int, Within(0, 1000)]
    standardise: bool

    @property
    def directions(self) -> int:
        """In how many directions an entropy is estimated."""
        return max(1, self.hidden // 4)


class Bound(nn.Module):
    """The bound of the information that a modality has about another one, up to a constant.

    The entropy is that of a projection of the other modality on h / 4 directions, which is drawn once and not trained
    (nor is it in the released code): a trained one would grow its own entropy instead of the modality's.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        h = options.hidden
        self.mean = nn.Sequential(nn.Linear(h, h), nn.ReLU(), nn.Linear(h, h))
        self.log_variance = nn.Sequential(nn.Linear(h, h), nn.ReLU(), nn.Linear(h, h))
        self.projection = nn.Sequential(nn.Linear(h, options.directions), nn.Tanh()).requires_grad_(False)
        self.bounded = options.bounded

    def forward(self, main: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean log-likelihood of the other modality, without its constant, and its projection."""
        log_variance = self.log_variance(main)
        if self.bounded:
            log_variance = log_variance.tanh()
        terms = (self.mean(main) - other).square() * (-log_variance).exp()
        if self.bounded:
            terms = terms + log_variance
        return -terms.sum(1).mean() / 2, self.projection(other)


class Memory(nn.Module):
    """Projected modalities of the batches before, `(M - 1, m, q)`, latest first, and the groups of their samples."""

    projected: Tensor
    groups: Tensor

    def __init__(self, n_bounds: int, size: int, width: int, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("projected", torch.zeros(n_bounds, size, width, device=device))
        self.register_buffer("groups", torch.full((size,), -1, device=device))

    def joined(self, projected: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Return a batch and those before, and remember it in place of the oldest."""
        every, codes = torch.cat([projected, self.projected], 1), torch.cat([groups, self.groups])
        size = len(self.groups)
        self.projected, self.groups = every[:, :size].detach(), codes[:size]
        return every, codes


class Network(nn.Module):
    """Vectors `(B, d)` of any number of features to one output per target.

    The main modality is the first text, else the first feature.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        self.options = options
        h, features, labels = options.hidden, list(shape.widths), shape.labels
        texts = [n for n, name in enumerate(features) if shape.modalities.get(name) == "text"]
        self.main = (texts or [0])[0]
        self.encoders = nn.ModuleList(Encoder(width, h, options.dropout) for width in shape.widths.values())
        self.fusion = nn.Sequential(
            nn.Dropout(options.dropout), nn.Linear(len(features) * h, h), nn.Tanh(), nn.Linear(h, h), nn.Tanh()
        )
        self.predictors = nn.ModuleList(predictor(h, options.layers) for _ in features)
        self.bounds = nn.ModuleList(Bound(options) for _ in features[1:])
        self.heads = Heads(h, labels)
        self.grouped_by, self.n_groups = next((name, n or 2) for name, n in labels.items())
        self.remembered: Memory | None = None

    def remember(self, n: int, targets: Mapping[str, Tensor], learned: Tensor) -> None:
        """Make room for the batches before."""
        size = self.options.memory * self.options.batch_size
        if size and len(self.bounds):
            self.remembered = Memory(len(self.bounds), size, self.options.directions, learned.device)

    def fused(self, batch: Batch) -> tuple[list[Tensor], Tensor]:
        """Return the encodings of all modalities, and the fused vectors, `(B, h)` each."""
        encodings = [encoder(x) for encoder, x in zip(self.encoders, batch.inputs.values(), strict=True)]
        return encodings, self.fusion(torch.cat(encodings, -1))

    def contrasts(self, encodings: list[Tensor], fused: Tensor) -> Tensor:
        """Return the contrast of fused vectors with every modality, `(M,)`."""
        pairs = zip(self.predictors, encodings, strict=True)
        return torch.stack([contrast(x, predict(fused)) for predict, x in pairs])

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the bound log B - contrast of the information of fused vectors about a modality, mean over these."""
        encodings, fused = self.fused(batch)
        real = batch.real
        return {
            "fused_information": real.sum().log() - self.contrasts([x[real] for x in encodings], fused[real]).mean()
        }

    def forward(self, batch: Batch) -> Outputs | tuple[Outputs, dict[str, Tensor]]:
        """Return the outputs for a batch, and in training the terms of information."""
        encodings, fused = self.fused(batch)
        outputs: Outputs = self.heads(fused)
        if not batch.targets:
            return outputs
        real, options, losses = batch.real, self.options, {}
        encodings, fused = [x[real] for x in encodings], fused[real]
        if options.alpha:
            losses["contrast"] = options.alpha * self.contrasts(encodings, fused).sum()
        if options.beta and len(self.bounds):
            main, others = encodings[self.main], [x for n, x in enumerate(encodings) if n != self.main]
            bounds = [layer(main, x) for layer, x in zip(self.bounds, others, strict=True)]
            losses["likelihood"] = -options.beta * torch.stack([likelihood for likelihood, _ in bounds]).sum()
            if self.remembered is not None:
                groups = groups_of(batch.targets[self.grouped_by][real])
                every, groups = self.remembered.joined(torch.stack([projected for _, projected in bounds]), groups)
                entropies = [entropy(rows, groups, self.n_groups) for rows in every]
                losses["entropy"] = -options.beta * torch.stack(entropies).sum()
        return outputs, losses


def predictor(h: int, n_layers: int) -> nn.Sequential:
    """Return linear layers with tanh between them."""
    layers = [layer for _ in range(n_layers) for layer in (nn.Linear(h, h), nn.Tanh())]
    return nn.Sequential(*layers[:-1])


def contrast(modality: Tensor, predicted: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding the row of a modality by the cosines with what is predicted of it.

    Both are `(B, h)`; there is no temperature. It is log B where all rows are equal, or zeros.
    """
    rows, columns = (nn.functional.normalize(x, dim=1, eps=1e-6) for x in (modality, predicted))
    return nn.functional.cross_entropy(rows @ columns.T, torch.arange(len(rows), device=rows.device))


def groups_of(references: Tensor) -> Tensor:
    """Return what each sample is grouped by, `(B,)`: its label, its largest share, or its sign; -1 for none of them.

    Positive numbers are group 0, negative ones 1; 0, and a number that is not known, are in neither.
    """
    if not references.is_floating_point():
        return references
    if references.ndim == 2:
        return references.argmax(1)
    return torch.where(references > 0, 0, torch.where(references < 0, 1, -1))


def entropy(rows: Tensor, groups: Tensor, n_groups: int) -> Tensor:
    """Return the mean over the groups of the entropy of a Gaussian of their `(B, q)` rows, without its constant.

    A group with fewer than two rows is left out; without any other, the entropy is 0.
    """
    members = (groups == torch.arange(n_groups, device=rows.device)[:, None]).to(rows.dtype)
    counts = members.sum(1)
    shares = members / counts.clamp_min(1)[:, None]
    centred = rows - (shares @ rows)[:, None]
    covariance = centred.mT @ (centred * shares[..., None])
    ridge = RIDGE * torch.eye(rows.shape[1], device=rows.device)
    enough = counts > 1
    return (torch.logdet(covariance + ridge) / 2 * enough).sum() / enough.sum().clamp_min(1)


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=options.standardise)
