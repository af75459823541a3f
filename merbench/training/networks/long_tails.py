"""Sets of labels of which one is right, where some labels have many samples and some few: SoLar on vectors.

What a network predicts within the sets is moved by optimal transport (Sinkhorn) to pseudo-labels whose shares are those
of an estimated prior. Of every label, the samples whose loss with the pseudo-label is low, and those that are sure, are
learned with it; the others with the confidences of their sets.

Conventions:
    As in `label_sets.py`: … is F for a base of fold layers, and nothing for any other; B samples of a batch, K labels,
    N rows. Priors are `(…, K)` and sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError, listed
from merbench.parameters import Within
from merbench.training.declaration import LoadedBaseline
from merbench.training.networks.around import Kind
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.label_sets import (
    SetBaseline,
    SetNetwork,
    confidences,
    weighted_cross_entropy,
)
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.semi_supervised import (
    Mix,
    SemiSupervised,
    Share,
    ViewOptions,
    features_by_modality,
    mean_over,
    two_views,
)
from merbench.training.networks.staged import sample_epochs, stages
from merbench.training.protocol import CrossFit, Setup
from merbench.training.samples import TrainingSet
from merbench.training.sequences import Rows
from merbench.training.wrapping import BaseOptions

PRIOR = "prior"
"""The folder of the state of the training that the prior is estimated in."""

_STEP = 10  # steps of Sinkhorn between two tests of convergence


@dataclass(frozen=True, kw_only=True)
class SolarOptions(ViewOptions, BaseOptions):
    """What is trained, the pseudo-labels, who learns with them, the prior, and the views.

    Attributes:
        base: name or folder of the baseline that is trained: a network of vectors.
        base_options: options of the base that differ from those it declares; it standardises features.
        power: λ, by which predictions are sharpened before they are moved.
        queue: batches whose predictions are moved together with those of a batch; never more than all samples.
        first_chosen: ρ in the first epoch: the share of the samples that are chosen for their low loss, if labels were
            as the prior says.
        last_chosen: ρ after `ramp` epochs; in between it changes linearly.
        sure: probability of the pseudo-label above which a sample is chosen, too.
        weight: of the loss of the chosen after `ramp` epochs, from 0 in the first; the rest weighs the others.
        ramp: epochs in which ρ and the weight grow.
        mixup: both parameters of the Beta distribution of the share in a mix of two chosen samples; 0 mixes none.
        prior_epochs: epochs of the training that the prior is estimated in; 0: it begins equal for all labels.
        first_momentum: weight of the past in the prior of that training, by epoch.
        prior_momentum: the same in the training itself.
    """

    power: Annotated[float, Within(0.01)]
    queue: Annotated[int, Within(0, 10_000)]
    first_chosen: Share
    last_chosen: Share
    sure: Share
    weight: Share
    ramp: Annotated[int, Within(0)]
    mixup: Annotated[float, Within(0)]
    prior_epochs: Annotated[int, Within(0)]
    first_momentum: Share
    prior_momentum: Share


@torch.no_grad()
def sinkhorn(matrix: Tensor, prior: Tensor, power: float, *, steps: int = 50, tolerance: float = 0.1) -> Tensor:
    """Return shares of labels of every row that are in all as the prior says: diag(u) M^power diag(v) (Cuturi 2013).

    Rows sum to 1. Columns have the mean of the prior as far as `steps` go: they end, tested every tenth, when the sum
    over the rows of the relative change of u is below the tolerance. A label that the prior asks for, and no row has,
    makes values that are not finite: entries of 0 then count as 1e-5, and are 0 again at the end.

    Args:
        matrix: M, `(…, N, K)`, not negative; the scale of a row does not matter, and rows of 0 stay such.
        prior: how much the columns weigh.
        power: λ.
        steps: how often both scales are renewed, at most; without any, rows are only divided by their sum.
        tolerance: at which change steps end.
    """
    columns = matrix.mT.contiguous()  # of (…, K, N), a step reads K long rows instead of N short ones
    largest, least = columns.amax(-2, keepdim=True), torch.finfo(matrix.dtype).tiny
    kernel = (columns / largest.clamp_min(least)).pow_(power)
    real = largest > 0
    share = real.to(matrix) / real.sum(-1, keepdim=True).clamp_min(1)
    u, v = share, torch.ones_like(prior[..., None])
    for step in range(1, steps + 1):
        v = prior[..., None] / (kernel @ u.mT)
        before, u = u, share / (v.mT @ kernel).clamp_min(least)
        if step % _STEP == 0 and ((u - before).abs() / before.clamp_min(least)).sum(-1).max() < tolerance:
            break
    moved = kernel.mul_(v)
    moved = moved.div_(moved.sum(-2, keepdim=True).clamp_min(least)).mT
    is_finite = moved.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    if is_finite.all():
        return moved
    relaxed = torch.where((matrix == 0) & real.mT, 1e-5, matrix)
    inside = sinkhorn(relaxed, prior, power, steps=steps, tolerance=tolerance) * (matrix > 0)
    inside /= inside.sum(-1, keepdim=True).clamp_min(least)
    return torch.where(is_finite, moved, inside)


def chosen_samples(losses: Tensor, labels: Tensor, prior: Tensor, share: float, known: Tensor) -> Tensor:
    """Return which samples of a batch have the lowest losses of their label: ⌈share · B · prior⌉ of it, one at least.

    Args:
        losses: `(…, B)`.
        labels: the pseudo-label of every sample, `(…, B)`.
        prior: how many samples of a label are expected.
        share: ρ.
        known: which samples count, `(…, B)`; B above is how many do.
    """
    limits = (share * known.sum(-1, keepdim=True) * prior - 1e-5).ceil().clamp_min(1)  # 2.000001 are 2
    place = torch.arange(losses.shape[-1], device=losses.device)
    own, other = losses[..., :, None], losses[..., None, :]
    is_lower = (other < own) | ((other == own) & (place < place[:, None]))
    is_rival = is_lower & (labels[..., :, None] == labels[..., None, :]) & known[..., None, :]
    return known & (is_rival.sum(-1) < limits.gather(-1, labels))


class Solar(SetNetwork):
    """The network of the base, with the pseudo-labels of SoLar (Wang et al. 2022); subclasses redefine `marginal`."""

    options: SolarOptions

    def __init__(self, base: NetworkBaseline, options: SolarOptions, shape: Shape) -> None:
        super().__init__(base, options, shape)
        self.modalities, self.batch_size = features_by_modality(shape), base.schedule.batch_size

    def remember_sets(self, sets: Mapping[str, Tensor], learned: Sequence[Tensor], *, layered: bool) -> None:
        """Make the buffers of samples, the prior, and the queue."""
        if len(sets) != 1:
            raise UsageError(f"a prior is of one target with labels; the track has {listed([*sets]) or 'none'}")
        super().remember_sets(sets, learned, layered=layered)
        [every] = sets.values()
        folds, (n, k), device = [len(learned)] if layered else [], every.shape, every.device
        size = min(self.options.queue * self.batch_size, n)
        self.remembered.register_buffer("prior", torch.full((*folds, k), 1 / k, device=device))
        self.remembered.register_buffer("queue", torch.zeros(*folds, size, k, device=device))
        for name in ("place", "counted"):  # where the queue goes on, and the epoch that the prior has counted up to
            self.remembered.register_buffer(name, torch.zeros(folds, dtype=torch.long, device=device))

    def marginal(self, prior: Tensor) -> Tensor:
        """Return how much the labels weigh in the pseudo-labels: the prior."""
        return prior

    def forward(self, batch: Batch) -> Any:
        """Return what the base does, and in training of its weak view, with the losses of sets and pseudo-labels."""
        if not self.training:
            return self.network(batch)
        options, [name] = self.options, self.targets
        self._count_once(batch.epoch)
        weak, strong = two_views(batch, options, self.modalities)
        returned = self.network(weak)
        outputs, own = returned if isinstance(returned, tuple) else (returned, {})
        scores, sets, every = (
            outputs[name].float(),
            self.of_batch(self.all_sets(name), batch),
            self.all_confidences(name),
        )
        by_sets = weighted_cross_entropy(scores, self.of_batch(every, batch))
        now, known = confidences(scores, sets) * sets, sets.any(-1)
        self.store(every, batch, now)
        marginal = self.marginal(self.remembered.prior)
        shares = self._pseudo_labels(now, marginal)
        if batch.epoch == 1:
            return outputs, {**own, "loss": own.get("loss", 0.0) + mean_over(by_sets, known)}
        ramp = min(1.0, (batch.epoch - 1) / options.ramp) if options.ramp else 1.0
        rho = options.first_chosen + (options.last_chosen - options.first_chosen) * ramp
        by_shares = weighted_cross_entropy(scores, shares)
        chosen = chosen_samples(by_shares.detach(), shares.argmax(-1), marginal, rho, known)
        chosen = chosen | (known & ((shares * scores.detach().softmax(-1)).sum(-1) > options.sure))
        losses = by_shares + weighted_cross_entropy(SemiSupervised.answers(self.network, strong)[name], shares)
        if options.mixup:
            mix = Mix.drawn(chosen, options.mixup)
            answers = SemiSupervised.answers(self.network, mix.of_batch(weak))
            losses = losses + weighted_cross_entropy(answers[name], mix.of(shares))
        eta = options.weight * ramp
        loss = eta * mean_over(losses, chosen) + (1 - eta) * mean_over(by_sets, known & ~chosen)
        return outputs, {**own, "loss": own.get("loss", 0.0) + loss}

    @torch.no_grad()
    def count(self, momentum: float) -> None:
        """Move the prior towards the shares of the labels that are the most confident ones of the samples.

        Args:
            momentum: weight of the past.
        """
        q = self.all_confidences(self.targets[0])
        best = nn.functional.one_hot(q.argmax(-1), q.shape[-1]) * q.any(-1, keepdim=True)
        counts = best.sum(-2).float()
        self.remembered.prior.lerp_(counts / counts.sum(-1, keepdim=True).clamp_min(1), 1 - momentum)

    def _count_once(self, epoch: int) -> None:
        """Move the prior at the first batch of every epoch after the first."""
        before = int(self.remembered.counted.max())
        if 0 < before < epoch:
            self.count(self.options.prior_momentum)
        self.remembered.counted.fill_(epoch)

    @torch.no_grad()
    def _pseudo_labels(self, now: Tensor, marginal: Tensor) -> Tensor:
        """Return the pseudo-labels of the samples of a batch, and put what is predicted of them into the queue."""
        queue, place, size = self.remembered.queue, self.remembered.place, self.remembered.queue.shape[-2]
        shares = sinkhorn(torch.cat([queue, now], -2), marginal, self.options.power)[..., size:, :]
        if size:
            latest = now[..., -size:, :]
            places = (place.flatten()[0] + torch.arange(latest.shape[-2], device=now.device)) % size
            queue.index_copy_(-2, places, latest)
            place.add_(latest.shape[-2]).remainder_(size)
        return shares


class SolarBaseline(SetBaseline):
    """A `Solar` network around that of a base, and before it another one whose training estimates the first prior.

    Nothing else of that training is kept.

    Args:
        loaded: the base.
        base: what it built.
        kind: the class of the network.
        options: of the baseline.
        setup: as `build` was given it.
    """

    def __init__(
        self, loaded: LoadedBaseline, base: NetworkBaseline, kind: Kind, options: SolarOptions, setup: Setup
    ) -> None:
        super().__init__(loaded, base, kind, options, setup)
        self.options, self.priors = options, list[Tensor]()
        of_first = replace(options, prior_momentum=options.first_momentum)
        self.first_stage = partial(SetBaseline, loaded, base, kind, of_first)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Estimate the prior, and train.

        Raises:
            UsageError: the base does not answer the targets of the track, or weighs labels; nothing can be learned.
        """
        given, options = self.setup, self.options
        if not options.prior_epochs:
            return super().fit_folds(train)
        first, second, logs = stages(given, PRIOR, options.prior_epochs, self.schedule.epochs)
        estimator = self.first_stage(first)
        estimator.schedule = replace(estimator.schedule, epochs=options.prior_epochs, patience=0, keep="last")
        estimator.fit_folds(train)
        self.priors = []
        for network in estimator.networks:
            assert isinstance(network, Solar)
            network.count(options.first_momentum)  # of the last epoch
            self.priors.append(network.remembered.prior)
        self.setup = second
        try:
            result = super().fit_folds(train)
        finally:
            self.setup, self.priors = given, []
        return replace(result, sample_epochs=sample_epochs(logs, train, given))

    def _remember(self, data: Data, learned: Sequence[Rows]) -> None:
        super()._remember(data, learned)
        for network, prior in zip(self.networks, self.priors, strict=False):
            assert isinstance(network, Solar)
            network.remembered.prior.copy_(prior)
