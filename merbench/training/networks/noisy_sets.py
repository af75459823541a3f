"""Sets of labels some of which lack the right one: what IRNet and ALIM have in common, around PiCO's network.

Both need the rate of such sets, η, and both begin in an epoch in which the network is good enough to be believed: a
fixed one, or the one after the value on validation samples stops to grow.

Conventions:
    As in `contrast.py`: … is F or nothing, B samples of a batch, K labels, n samples in all. What is of a fold, such as
    the epoch in which it starts, is `(…)`. The margin of a sample is the largest probability of a label in its set, by
    prototypes, over the largest one outside of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merbench.parameters import Within
from merbench.training.networks.batches import Batch
from merbench.training.networks.contrast import Contrastive, ContrastOptions, Seen
from merbench.training.networks.label_sets import sce_loss, weighted_cross_entropy
from merbench.training.networks.semi_supervised import Mix, SemiSupervised, Share, weak_view


@dataclass(frozen=True, kw_only=True)
class NoisyOptions(ContrastOptions):
    """Those of the contrast, how often sets lack the right label, when to begin, the loss, and mixup.

    Attributes:
        eta: η, the share of the sets that lack the right label.
        estimate_eta: whether η is estimated from the margins of the epoch before, instead.
        start_epoch: the first epoch, from 2, in which sets are not believed; 0: the one after the value on validation
            samples has stopped to grow.
        plateau_window: over how many epochs that value is smoothed.
        prototype_temperature: what similarities with prototypes are divided by before their softmax.
        loss: of the confidences, `cross_entropy` or `sce`.
        alpha: weight of the cross-entropy in `sce`.
        beta: weight of the reverse cross-entropy in `sce`.
        mixup: weight of the cross-entropy of mixed samples; 0 mixes none.
        mixup_shape: both parameters of the beta distribution that shares are drawn from.
    """

    eta: Share
    estimate_eta: bool
    start_epoch: Annotated[int, Within(0)]
    plateau_window: Annotated[int, Within(3)]
    prototype_temperature: Annotated[float, Within(0.001)]
    loss: Literal["cross_entropy", "sce"]
    alpha: Annotated[float, Within(0)]
    beta: Annotated[float, Within(0)]
    mixup: Annotated[float, Within(0)]
    mixup_shape: Annotated[float, Within(0.001)]


def reaches_plateau(values: Sequence[float], window: int) -> bool:
    """Return whether values of epochs, smoothed, have stopped to grow, as IRNet's code decides it.

    A smoothed value is the mean of those up to half a window before and after. After a whole window, the last smoothed
    value is compared with that a tenth of a window before, at least one epoch: it is at most 1e-6 per epoch above it. A
    value that is not defined is NaN: with one of them among those compared, it has not.

    Args:
        values: of all epochs so far.
        window: in epochs, at least 3.
    """
    if len(values) < window:
        return False
    half, back = window // 2, max(1, window // 10)
    last, before = (
        float(np.mean(values[max(0, place - half) : place + half + 1]))
        for place in (len(values) - 1, len(values) - 1 - back)
    )
    return (last - before) / back < 1e-6


def set_margins(nearest: Tensor, sets: Tensor) -> Tensor:
    """Return the largest probability in a set over the largest one outside of it plus 1e-9, `(…, B)`.

    Args:
        nearest: probabilities of the labels, `(…, B, K)`.
        sets: the sets, `(…, B, K)`.
    """
    return (nearest * sets).amax(-1) / ((nearest * ~sets).amax(-1) + 1e-9)


def estimated_eta(margins: NDArray[np.float64]) -> float:
    """Return η from the margins of samples, `(n,)`: the weight of the lower of two Gaussians of their logarithms.

    Both have one variance, and are fitted by 100 steps of expectation maximisation from the lower and the upper
    quartile. It is an estimate of merbench, after DivideMix (Li et al. 2020), which so finds samples with a wrong
    label. 0 for fewer than two different margins.
    """
    x = np.log(np.maximum(margins, 1e-9))
    means = np.quantile(x, [0.25, 0.75]) if len(x) else np.zeros(2)
    if means[0] == means[1]:
        return 0.0
    weights, variance = np.full(2, 0.5), float(x.var())
    for _ in range(100):
        each = np.log(weights) - (x[:, None] - means) ** 2 / (2 * variance)
        shares = np.exp(each - each.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        sums = np.maximum(shares.sum(0), 1e-9)
        weights, means = sums / sums.sum(), shares.T @ x / sums
        variance = max(float((shares * (x[:, None] - means) ** 2).sum() / len(x)), 1e-9)
    return float(weights[means.argmin()])


class NoisySets(Contrastive):
    """The network of PiCO, which knows η, the margins of all samples, and whether its values still grow.

    Subclasses define `begin`. By fold, `q` is the share of the other labels in its sets before any is corrected.
    """

    options: NoisyOptions

    def remember_sets(self, sets: Mapping[str, Tensor], learned: Sequence[Tensor], *, layered: bool) -> None:
        """Make the buffers of PiCO, of margins, of values on validation samples, and of what a fold has of its own."""
        super().remember_sets(sets, learned, layered=layered)
        every = self.all_sets(self.target)
        folds, device = every.shape[:-2], every.device
        for name, shape, start in (
            ("margins", every.shape[:-1], math.nan),
            ("values", (*folds, self.n_epochs), math.nan),
            ("started", folds, 0.0),
            ("epoch", folds, 0.0),
        ):
            part = torch.full(shape, start, dtype=torch.float64, device=device)
            self.remembered.register_buffer(name, part)
        sizes = every.sum((-2, -1)) / every.any(-1).sum(-1)
        self.q: list[float] = ((sizes - 1) / (every.shape[-1] - 1)).flatten().tolist()
        self.eta = [self.options.eta] * len(self.q)
        self.is_started = torch.zeros(folds, dtype=torch.bool, device=device)

    def forward(self, batch: Batch) -> object:
        """Return what PiCO's network does; before the first batch of an epoch, begin that."""
        if self.training and (self.remembered.epoch < batch.epoch).all():
            self.remembered.epoch.fill_(batch.epoch)
            started = self.remembered.started
            if self.options.start_epoch and batch.epoch >= max(2, self.options.start_epoch):
                started.copy_(torch.where(started == 0, batch.epoch, started))
            self.is_started = (started > 0) & (started <= batch.epoch)
            if self.options.estimate_eta and self.is_started.any():
                self.eta = [estimated_eta(own) for own in self.known_margins()]
            self.begin(batch.epoch)
        return super().forward(batch)

    def begin(self, epoch: int) -> None:
        """Do what an epoch begins with; `is_started`, `(…)`, is whether the sets of a fold are no longer believed."""

    def validated(self, fold: int, epoch: int, value: float) -> None:
        """Keep the value of an epoch, and decide whether the next one is the start."""
        values = self.remembered.values.view(-1, self.n_epochs)[fold]
        values[epoch - 1] = value if math.isfinite(value) else math.nan
        started = self.remembered.started.view(-1)
        if self.options.start_epoch or started[fold]:
            return
        if reaches_plateau(values[:epoch].tolist(), self.options.plateau_window):
            started[fold] = epoch + 1

    def known_margins(self) -> list[NDArray[np.float64]]:
        """Return the margins of the last epoch of every fold, of its samples whose set lacks a label."""
        sets, margins = self.all_sets(self.target), self.remembered.margins
        counts = (sets.any(-1) & ~sets.all(-1) & ~margins.isnan()).view(-1, margins.shape[-1])
        each = zip(margins.view(-1, margins.shape[-1]), counts, strict=True)
        return [own[counted].cpu().numpy() for own, counted in each]

    def prototype_scores(self, seen: Seen) -> Tensor:
        """Return logarithms of the probabilities by prototypes, up to a constant, at the temperature of the options."""
        return seen.nearest.log() / self.options.prototype_temperature

    def set_loss(self, name: str, scores: Tensor, sets: Tensor, batch: Batch) -> Tensor:
        """Return the loss with the confidences, which are those after this batch, and that of mixed samples."""
        options, q = self.options, self.of_batch(self.all_confidences(name), batch)
        if options.loss == "sce":
            loss = sce_loss(scores, q, options.alpha, options.beta, floor_all=True)
        else:
            loss = weighted_cross_entropy(scores, q)
        if not options.mixup:
            return loss
        mix = Mix.drawn(sets.any(-1), options.mixup_shape)
        answers = SemiSupervised.answers(self.network, mix.of_batch(weak_view(batch, options.weak_noise)))
        return loss + options.mixup * weighted_cross_entropy(answers[name], mix.of(q))

    def after(self, seen: Seen) -> None:
        """Keep the margins."""
        margins = set_margins(self.prototype_scores(seen).softmax(-1), seen.sets)
        self.store(self.remembered.margins[..., None], seen.batch, margins[..., None])
