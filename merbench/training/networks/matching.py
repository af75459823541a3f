"""Matching of views (FixMatch, Sohn et al. 2020): what a network is sure of in a weak view is learned in a strong one.

Which confidence is sure, is what systems differ in.

Conventions:
    As in `semi_supervised.py`, which defines the views: … is F or nothing, B samples, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from merbench.training.networks.batches import Batch
from merbench.training.networks.learner import Losses
from merbench.training.networks.semi_supervised import (
    SemiOptions,
    SemiSupervised,
    Share,
    ViewOptions,
    mean_over,
    strong_view,
    weak_view,
)


@dataclass(frozen=True, kw_only=True)
class MatchingOptions(ViewOptions, SemiOptions):
    """Besides the options of all semi-supervised systems, what is sure, and the views.

    Attributes:
        threshold: confidence from which on the label that is predicted for the weak view is sure.
    """

    threshold: Share


def sure_labels(weak: Tensor, thresholds: Tensor) -> tuple[Tensor, Tensor]:
    """Return the labels `(…, B)` that scores `(…, B, K)` predict, and which of them reach the threshold of the label.

    Args:
        weak: scores of the weak view.
        thresholds: of the largest probability, by label: `(…, K)`, or `(K,)` for all folds.
    """
    confidence, labels = weak.softmax(-1).max(-1)
    limits = thresholds.expand(*weak.shape[:-2], -1).gather(-1, labels)
    return labels, confidence >= limits


def matching_loss(strong: Tensor, labels: Tensor, sure: Tensor, real: Tensor) -> Tensor:
    """Return the cross-entropy of scores `(…, B, K)` with the sure ones of labels, averaged over all samples: `(…)`."""
    each = -strong.log_softmax(-1).gather(-1, labels[..., None]).squeeze(-1)
    return mean_over(each * sure, real)


class Matching(SemiSupervised):
    """The base, and the loss of strong views of unlabelled samples.

    Every target with labels has pseudo-labels of its own. Targets that are numbers learn the value of the weak view, by
    squared error, from samples of which all labels are sure.
    """

    options: MatchingOptions

    def losses(self, batch: Batch, ramp: float) -> Losses:
        """Return the weighted loss of unlabelled samples."""
        options = self.options
        with torch.no_grad():
            weak = self.answers(self.network, weak_view(batch, options.weak_noise))
        dropped = self.modalities if options.drop_modality else ()
        view = strong_view(batch, options.strong_noise, options.strong_dropout, dropped)
        strong = self.answers(self.network, view)
        losses, all_sure = [], batch.real
        for name in (name for name, n in self.labels.items() if n):
            labels, sure = sure_labels(weak[name], self.thresholds(name))
            losses.append(matching_loss(strong[name], labels, sure, batch.real))
            all_sure = all_sure & sure
            self.note(name, batch.samples, labels, sure_labels(weak[name], self.fixed(name))[1])
        for name in (name for name, n in self.labels.items() if not n):
            losses.append(mean_over((strong[name] - weak[name]).square() * all_sure, batch.real))
        return {"unlabelled": options.weight * ramp * torch.stack(losses).sum(0)}

    def fixed(self, name: str) -> Tensor:
        """Return the same threshold for every label of a target: `(K,)`."""
        return torch.full((self.labels[name] or 0,), self.options.threshold, device=next(self.parameters()).device)

    def thresholds(self, name: str) -> Tensor:
        """Return from which confidence on every label of a target is sure: `(K,)` or `(…, K)`."""
        return self.fixed(name)

    def note(self, name: str, samples: Tensor, labels: Tensor, sure: Tensor) -> None:
        """Take note of what was predicted for samples `(…, B)`, and which of it reaches the fixed threshold."""
