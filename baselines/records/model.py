"""RECORDS (Hong et al., ICLR 2023) on vectors: confidences without the bias that the mean of all samples has.

The target of two views is that of CORR (Wu et al., ICML 2022). Losses are functions of
`merbench.training.networks.label_sets`, which also has the conventions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.batches import Batch
from merbench.training.networks.label_sets import SetBaseline, SetNetwork, confidences, leveraged_loss
from merbench.training.networks.layers import heads_width, read_by_heads
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.semi_supervised import (
    Mix,
    SemiSupervised,
    ViewOptions,
    features_by_modality,
    mean_over,
    two_views,
)
from merbench.training.wrapping import BaseOptions


@dataclass(frozen=True, kw_only=True)
class Options(ViewOptions, BaseOptions):
    """What is trained, the bias, the losses, and the views.

    Attributes:
        base: name or folder of the baseline that is trained: a network of vectors.
        base_options: options of the base that differ from those it declares; it standardises features.
        strength: what the logarithm of the bias is multiplied by; 1 is RECORDS, 0 is CORR.
        momentum: weight of the past in the running mean of the vectors, by batch.
        start: epoch, from 1, from which confidences are renewed.
        outside: weight of the loss of the labels outside of the sets.
        mix: weight of the losses of mixed samples; 0 mixes none.
        mixup: both parameters of the Beta distribution of the share of a sample in a mix.
    """

    strength: Annotated[float, Within(0)]
    momentum: Annotated[float, Within(0, 0.9999)]
    start: Annotated[int, Within(1)]
    outside: Annotated[float, Within(0)]
    mix: Annotated[float, Within(0)]
    mixup: Annotated[float, Within(0.01)]


def unbiased(scores: Tensor, bias: Tensor, strength: float = 1.0) -> Tensor:
    """Return z - strength · log(bias + 1e-9), whose softmax are balanced probabilities.

    Args:
        scores: z, `(…, B, K)`.
        bias: the probabilities of the mean vector, `(…, 1, K)`.
        strength: of the correction.
    """
    return scores - strength * (bias + 1e-9).log()


def of_two_views(weak: Tensor, strong: Tensor, sets: Tensor) -> Tensor:
    """Return √(p p'), normalised within the sets, where p and p' are the probabilities of the scores of both views."""
    return confidences((weak.log_softmax(-1) + strong.log_softmax(-1)) / 2, sets)


def two_view_loss(views: Sequence[Tensor], q: Tensor, sets: Tensor, outside: float) -> Tensor:
    """Return the loss of CORR, summed over views: cross-entropy with q, and of each label outside of a set -log(1 - p).

    Args:
        views: scores of both.
        q: the confidences.
        sets: the sets; that of padding is empty.
        outside: weight of the other labels.
    """
    parts = [leveraged_loss(scores, q, ~sets, (1.0, outside), sigmoid=False) for scores in views]
    return torch.stack(parts).sum(0)


class Network(SetNetwork):
    """The base, with the losses of two views, and confidences without the bias."""

    options: Options

    def __init__(self, base: NetworkBaseline, options: Options, shape: Shape) -> None:
        super().__init__(base, options, shape)
        self.modalities = features_by_modality(shape)
        self.width = heads_width(self.network, "of which the running mean shows the bias")

    def remember_sets(self, sets: Mapping[str, Tensor], learned: Sequence[Tensor], *, layered: bool) -> None:
        """Make the buffers of samples, and the running mean."""
        super().remember_sets(sets, learned, layered=layered)
        folds = [len(learned)] if layered else []
        device = next(self.parameters()).device
        self.remembered.register_buffer("mean", torch.zeros(*folds, 1, self.width, device=device))
        self.remembered.register_buffer("counted", torch.zeros(*folds, 1, 1, device=device))

    def forward(self, batch: Batch) -> Any:
        """Return what the base does, and in training of its weak view, with the losses of sets."""
        if not self.training:
            return self.network(batch)
        options, views = self.options, two_views(batch, self.options, self.modalities)
        read = [read_by_heads(self.network, view) for view in views]
        outputs, own, _ = read[0]
        renews = batch.epoch >= options.start
        mix = Mix.drawn(batch.real, options.mixup) if options.mix and renews else None
        mixed = [] if mix is None else [SemiSupervised.answers(self.network, mix.of_batch(view)) for view in views]
        bias = self.bias(torch.stack([vectors for _, _, vectors in read]).detach().float().mean(0), batch.real)
        losses = []
        for name in self.targets:
            sets, every = self.of_batch(self.all_sets(name), batch), self.all_confidences(name)
            known, q = sets.any(-1), self.of_batch(every, batch)
            scores = [answers[name].float() for answers, _, _ in read]
            loss = two_view_loss(scores, q, sets, options.outside)
            if mix is not None:
                of_mixes = [answers[name] for answers in mixed]
                either = mix.of(sets.float()) > 0
                loss = loss + options.mix * two_view_loss(of_mixes, mix.of(q), either, options.outside)
            losses.append(mean_over(loss, known))
            if renews:
                weak, strong = (unbiased(z.detach(), bias[name], options.strength) for z in scores)
                self.store(every, batch, of_two_views(weak, strong, sets) * sets)
        return outputs, {**own, "loss": own.get("loss", 0.0) + torch.stack(losses).sum(0)}

    @torch.no_grad()
    def bias(self, vectors: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return by target the probabilities `(…, 1, K)` of the running mean of vectors, after those of a batch.

        The mean begins at 0, and is divided by what the vectors weigh in it.

        Args:
            vectors: those that the heads read, `(…, B, d)`.
            real: which are not padding, `(…, B)`.
        """
        state, momentum = self.remembered, self.options.momentum
        own = (vectors * real[..., None]).sum(-2, keepdim=True) / real.sum(-1)[..., None, None].clamp_min(1)
        has = real.any(-1)[..., None, None]
        state.mean.copy_(torch.where(has, momentum * state.mean + (1 - momentum) * own, state.mean))
        state.counted.add_(has)
        mean = state.mean / (1 - momentum**state.counted).clamp_min(1e-6)
        heads: Any = self.network.heads
        answers: dict[str, Tensor] = heads(mean)
        return {name: answers[name].float().softmax(-1) for name in self.targets}


def build(options: Options, setup: Setup) -> SetBaseline:
    return SetBaseline(
        *network_base(options, setup, "records", standardised="what views change"), Network, options, setup
    )
