"""FlexMatch (Zhang et al., NeurIPS 2021) on vectors, around a network: FixMatch with a threshold for every label.

The threshold of a label is the lower, the less has been learned of it. How much has been learned is estimated by how
many unlabelled samples have been predicted as this label with a confidence of the fixed threshold at least:

    β_c = count_c / max of all counts,    threshold_c = τ · β_c / (2 - β_c)

Views and loss are in `merbench.training.networks.matching`, which FixMatch shares.

Conventions:
    As in `merbench.training.networks.semi_supervised`: … is F or nothing, n unlabelled samples, K labels. A label that
    is not known yet is -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from merbench.training import Setup
from merbench.training.networks.matching import Matching, MatchingOptions
from merbench.training.networks.semi_supervised import SemiSupervisedBaseline, semi_supervised


@dataclass(frozen=True, kw_only=True)
class Options(MatchingOptions):
    """Those of `MatchingOptions`, and how thresholds begin.

    Attributes:
        count_unused: whether the number of samples that have not reached the threshold so far is one of the counts of
            which the largest is taken: the threshold warm-up of the paper, which lets thresholds grow from 0.
    """

    count_unused: bool


def learned_shares(labels: Tensor, n_labels: int, *, count_unused: bool) -> Tensor:
    """Return β of every label, `(…, K)`: how many samples have it, as a share of the largest count.

    Args:
        labels: `(…, n)` the last sure label of every sample, -1 where there was none.
        n_labels: K.
        count_unused: whether the samples with -1 are one of the counts.
    """
    counts = (labels[..., None] == torch.arange(-1, n_labels, device=labels.device)).sum(-2)
    largest = counts[..., 0 if count_unused else 1 :].max(-1, keepdim=True).values
    return counts[..., 1:] / largest.clamp_min(1)


def scaled_thresholds(threshold: float, shares: Tensor) -> Tensor:
    """Return the thresholds of labels of which such shares have been learned: the convex map of the paper."""
    return threshold * shares / (2 - shares)


class Memory(nn.Module):
    """The last sure label of every unlabelled sample, `(…, T, n)` for T targets with labels."""

    labels: Tensor

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("labels", torch.full(tuple(size), -1))


class Network(Matching):
    """The base, and the loss of strong views, with thresholds by label."""

    options: Options
    remembered: Memory

    def remember_unlabelled(self, n: int, folds: Sequence[int]) -> None:
        """Make the memory."""
        self.remembered = Memory([*folds, len(self.with_labels), n])

    @property
    def with_labels(self) -> list[str]:
        """The targets with labels."""
        return [name for name, n in self.labels.items() if n]

    def thresholds(self, name: str) -> Tensor:
        """Return the threshold of every label of a target: `(…, K)`."""
        labels = self.remembered.labels[..., self.with_labels.index(name), :]
        shares = learned_shares(labels, self.labels[name] or 0, count_unused=self.options.count_unused)
        return scaled_thresholds(self.options.threshold, shares)

    def note(self, name: str, samples: Tensor, labels: Tensor, sure: Tensor) -> None:
        """Remember the labels of the samples that reach the fixed threshold."""
        stored = self.remembered.labels[..., self.with_labels.index(name), :]
        stored.scatter_(-1, samples, torch.where(sure, labels, stored.gather(-1, samples)))


def build(options: Options, setup: Setup) -> SemiSupervisedBaseline:
    return semi_supervised(Network, options, setup, "flexmatch")
