"""Contrast of two views of samples, and prototypes of labels, which tell the labels of a set apart: PiCO on vectors.

The network of a base has a projection next to its heads. A second network, the key encoder, follows it with momentum.
Of every sample, the weak view goes through the first network, and the strong one through the second; the embedding of
the weak view is drawn to those of the samples that are predicted to have its label: views of this batch, and keys of
earlier ones, which a queue holds. Each label has a prototype, the running mean of the embeddings predicted as it.

Conventions:
    As in `label_sets.py`: … is F or nothing, B samples of a batch, K labels. Embeddings are `(…, B, d)` of length 1,
    prototypes `(…, K, d)`, a queue `(…, Q, d)` with labels `(…, Q)`, -1 where it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from merbench.errors import UsageError, listed
from merbench.parameters import Within
from merbench.training.networks.batches import Batch
from merbench.training.networks.label_sets import SetNetwork, confidences, weighted_cross_entropy
from merbench.training.networks.layers import FoldHidden, FoldLinear, Width, heads_width, read_by_heads
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.semi_supervised import (
    Share,
    ViewOptions,
    features_by_modality,
    follow,
    mean_over,
    two_views,
)
from merbench.training.wrapping import BaseOptions


@dataclass(frozen=True, kw_only=True)
class ContrastOptions(ViewOptions, BaseOptions):
    """What is trained, the contrast, and the views.

    Attributes:
        base: name or folder of the baseline that is trained: a network of vectors.
        base_options: options of the base that differ from those it declares; it standardises features.
        width: numbers of an embedding.
        weight: of the contrast.
        temperature: of the contrast.
        queue: how many keys of earlier batches are kept.
        momentum: weight of the past in the key encoder.
        prototype_momentum: weight of the past in a prototype.
        prototype_epoch: the epoch, from 1, from which prototypes renew the confidences and labels make the contrast;
            before that, the only one that a sample is drawn to is its own other view.
        first_share: weight of the past in the confidences of a sample in the first epoch.
        last_share: the same at the end; in between it changes linearly.
    """

    width: Width
    weight: Annotated[float, Within(0)]
    temperature: Annotated[float, Within(0.001)]
    queue: Annotated[int, Within(0, 1_000_000)]
    momentum: Share
    prototype_momentum: Share
    prototype_epoch: Annotated[int, Within(1)]
    first_share: Share
    last_share: Share


def contrastive_loss(
    anchors: Tensor, others: Tensor, positive: Tensor, counted: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the supervised contrast of every anchor (Khosla et al. 2020), `(…, B)`, and which have a positive.

    It is the mean over the positives of -log of their share of Σ exp(similarity / temperature) over what is counted;
    0 for an anchor without a positive.

    Args:
        anchors: embeddings `(…, B, d)`.
        others: embeddings `(…, M, d)`.
        positive: which of the others an anchor is drawn to, `(…, B, M)`.
        counted: which of the others are in the sum, `(…, B, M)`; all positives are.
        temperature: what similarities are divided by.
    """
    similarity = (anchors @ others.mT / temperature).masked_fill(~counted, -torch.inf)
    each = similarity - similarity.logsumexp(-1, keepdim=True)
    n_positive = positive.sum(-1)
    return -each.where(positive, 0.0).sum(-1) / n_positive.clamp_min(1), n_positive > 0


def moved_prototypes(
    prototypes: Tensor, embeddings: Tensor, labels: Tensor, counted: Tensor, momentum: float
) -> Tensor:
    """Return prototypes after the embeddings of a batch, one after the other: μ ← momentum μ + (1 - momentum) x.

    Those that moved are of length 1 again.

    Args:
        prototypes: μ, `(…, K, d)`.
        embeddings: x, `(…, B, d)`.
        labels: the label of every sample, `(…, B)`.
        counted: which samples count, `(…, B)`.
        momentum: weight of the past.
    """
    is_own = (labels[..., None] == torch.arange(prototypes.shape[-2], device=labels.device)) & counted[..., None]
    own = is_own.to(embeddings)
    n_later = own.flip(-2).cumsum(-2).flip(-2) - own  # how many samples of the label come after it
    weights = own * (1 - momentum) * momentum**n_later
    moved = momentum ** own.sum(-2)[..., None] * prototypes + weights.mT @ embeddings
    return torch.where(is_own.any(-2)[..., None], nn.functional.normalize(moved, dim=-1), prototypes)


@dataclass(eq=False, slots=True)
class Seen:
    """What is known of a batch in a step.

    Attributes:
        batch: the samples.
        scores: of the weak view, `(…, B, K)`.
        sets: as they are now, `(…, B, K)`; empty for padding.
        query: embeddings of the weak view.
        key: embeddings of the strong view, of the key encoder.
        nearest: softmax of the similarity of the weak view with the prototypes before this step, `(…, B, K)`.
        labels: the label that each sample is taken to have, `(…, B)`.
    """

    batch: Batch
    scores: Tensor
    sets: Tensor
    query: Tensor
    key: Tensor
    nearest: Tensor
    labels: Tensor

    @property
    def known(self) -> Tensor:
        """Which samples have a set, `(…, B)`."""
        return self.sets.any(-1)


class Contrastive(SetNetwork):
    """The network of the base, with the contrast and prototypes of PiCO (Wang et al. 2022).

    Systems that are made of it redefine a part: `likely`, `renewed`, `set_loss`, or `after`.
    """

    options: ContrastOptions

    def __init__(self, base: NetworkBaseline, options: ContrastOptions, shape: Shape) -> None:
        super().__init__(base, options, shape)
        n_in = heads_width(self.network, "which an embedding is made of")
        self.modalities = features_by_modality(shape)
        self.projection = _projection(n_in, options.width, shape, layered=base.together)
        self.key_network = base.make(shape).requires_grad_(False)
        self.key_projection = _projection(n_in, options.width, shape, layered=base.together)
        self.key_projection.requires_grad_(False)
        self.key_network.load_state_dict(self.network.state_dict())
        self.key_projection.load_state_dict(self.projection.state_dict())

    def remember_sets(self, sets: Mapping[str, Tensor], learned: Sequence[Tensor], *, layered: bool) -> None:
        """Make the buffers of samples, the prototypes, and the queue."""
        if len(sets) != 1:
            raise UsageError(f"a contrast is of one target with labels; the track has {listed([*sets]) or 'none'}")
        super().remember_sets(sets, learned, layered=layered)
        [every] = sets.values()
        folds, width, device = [len(learned)] if layered else [], self.options.width, every.device
        self.remembered.register_buffer("prototypes", torch.zeros(*folds, every.shape[1], width, device=device))
        self.remembered.register_buffer("queue", torch.zeros(*folds, self.options.queue, width, device=device))
        self.remembered.register_buffer(
            "queue_labels", torch.full((*folds, self.options.queue), -1, dtype=torch.long, device=device)
        )
        self.remembered.register_buffer("place", torch.zeros(folds, dtype=torch.long, device=device))

    @property
    def target(self) -> str:
        """The target with labels."""
        return self.targets[0]

    @property
    def prototypes(self) -> Tensor:
        """The prototypes, `(…, K, d)`; 0 where no sample has been taken to have the label."""
        prototypes: Tensor = self.remembered.prototypes
        return prototypes

    def views(self, batch: Batch) -> tuple[Batch, Batch]:
        """Return the weak view of samples, and the strong one."""
        return two_views(batch, self.options, self.modalities)

    def forward(self, batch: Batch) -> Any:
        """Return what the base does, and in training of its weak view, with the losses of sets and the contrast."""
        if not self.training:
            return self.network(batch)
        weak, strong = self.views(batch)
        outputs, own, query = self.embedded(weak)
        with torch.no_grad():
            key = _embedded(self.key_network, self.key_projection, strong)[2]
            seen = self._seen(batch, outputs[self.target].float(), query, key)
            pairs = self._pairs(seen)
            every = self.all_confidences(self.target)
            if batch.epoch >= self.options.prototype_epoch:
                self.store(every, batch, self.renewed(seen, self.of_batch(every, batch)))
            self.remembered.prototypes.copy_(
                moved_prototypes(self.prototypes, query, seen.labels, seen.known, self.options.prototype_momentum)
            )
        loss = mean_over(self.set_loss(self.target, seen.scores, seen.sets, batch), seen.known)
        others = torch.cat([query, key, self.remembered.queue], -2)
        each, has_positive = contrastive_loss(query, others, *pairs, self.options.temperature)
        contrast = self.options.weight * mean_over(each, has_positive & seen.known)
        with torch.no_grad():
            self._queue_keys(seen)
            self.after(seen)
        return outputs, {**own, "loss": own.get("loss", 0.0) + loss, "contrast": contrast}

    def embedded(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Return outputs, the base's own losses, and embeddings of samples."""
        return _embedded(self.network, self.projection, batch)

    def likely(self, scores: Tensor, sets: Tensor) -> Tensor:
        """Return the label that each sample is taken to have: the most probable one of its set, `(…, B)`."""
        return confidences(scores, sets).argmax(-1)

    def renewed(self, seen: Seen, before: Tensor) -> Tensor:
        """Return the confidences of samples: a mean of those before and of the nearest prototype of the set.

        Args:
            seen: the samples.
            before: their confidences before, `(…, B, K)`.
        """
        nearest = confidences(seen.nearest, seen.sets).argmax(-1)
        share = self.past_share(seen.batch.epoch)
        return share * before + (1 - share) * nn.functional.one_hot(nearest, before.shape[-1])

    def past_share(self, epoch: int) -> float:
        """Return the weight of the past in the confidences in an epoch, from 1."""
        first, last = self.options.first_share, self.options.last_share
        return first + (last - first) * (epoch - 1) / self.n_epochs

    def set_loss(self, name: str, scores: Tensor, sets: Tensor, batch: Batch) -> Tensor:
        """Return the cross-entropy with the confidences, which are those after this batch."""
        return weighted_cross_entropy(scores, self.of_batch(self.all_confidences(name), batch))

    def after(self, seen: Seen) -> None:
        """Do something with what was seen, such as correct sets, before the step is taken."""

    def stepped(self, step: int) -> None:
        """Let the key encoder follow."""
        follow(self.key_network, self.network, self.options.momentum)
        follow(self.key_projection, self.projection, self.options.momentum)

    def _seen(self, batch: Batch, scores: Tensor, query: Tensor, key: Tensor) -> Seen:
        sets = self.of_batch(self.all_sets(self.target), batch)
        nearest = (query @ self.prototypes.mT).softmax(-1)
        return Seen(batch, scores, sets, query, key, nearest, self.likely(scores, sets))

    def _pairs(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Return which of weak views, keys and queue a weak view is drawn to, and which count: `(…, B, 2 B + Q)`."""
        own = torch.where(seen.known, seen.labels, -1)
        labels = torch.cat([own, own, self.remembered.queue_labels], -1)
        n = own.shape[-1]
        place = torch.arange(labels.shape[-1], device=labels.device)
        sample = torch.arange(n, device=labels.device)[:, None]
        is_filled = (labels >= 0)[..., None, :]
        if seen.batch.epoch < self.options.prototype_epoch:
            positive = (place == sample + n) & is_filled
            return positive, positive | (is_filled & (place >= 2 * n))
        counted = is_filled & (place != sample)
        return counted & (labels[..., None, :] == own[..., :, None]), counted

    def _queue_keys(self, seen: Seen) -> None:
        size = self.options.queue
        if not size:
            return
        keys, labels = seen.key[..., -size:, :], torch.where(seen.known, seen.labels, -1)[..., -size:]
        remembered = self.remembered
        start = remembered.place.flatten()[0]
        places = (start + torch.arange(labels.shape[-1], device=labels.device)) % size
        remembered.queue.index_copy_(-2, places, keys)
        remembered.queue_labels.index_copy_(-1, places, labels)
        remembered.place.add_(labels.shape[-1]).remainder_(size)


def _projection(n_in: int, width: int, shape: Shape, *, layered: bool) -> nn.Module:
    """Return two layers from what the heads of a network read to an embedding."""
    if layered:
        hidden = FoldHidden(n_in, n_in, shape.rngs, dropout=0, noise=shape.noise)
        return nn.Sequential(hidden, FoldLinear(n_in, width, shape.rngs))
    return nn.Sequential(nn.Linear(n_in, n_in), nn.ReLU(), nn.Linear(n_in, width))


def _embedded(network: Any, projection: nn.Module, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    outputs, own, read = read_by_heads(network, batch)
    return outputs, own, nn.functional.normalize(projection(read).float(), dim=-1)
