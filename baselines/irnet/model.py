"""IRNet (Lian et al. 2022) on vectors: PiCO, which corrects sets that lack the right label.

Conventions:
    As in `merbench.training.networks.contrast`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.contrast import Seen
from merbench.training.networks.label_sets import SetBaseline
from merbench.training.networks.noisy_sets import NoisyOptions, NoisySets
from merbench.training.networks.semi_supervised import weak_view

THRESHOLDS: Mapping[str, Mapping[float, tuple[float, float, float]]] = {
    "cifar-10": {0.1: (0.020, 0.016, 0.010), 0.3: (0.016, 0.010, 0.008), 0.5: (0.010, 0.008, 0.008)},
    "cifar-100": {0.01: (0.004, 0.002, 0.002), 0.03: (0.002, 0.002, 0.002), 0.05: (0.002, 0.002, 0.002)},
    "kmnist": {0.1: (0.010, 0.010, 0.010), 0.3: (0.010, 0.010, 0.010), 0.5: (0.010, 0.010, 0.008)},
}
"""Thresholds of the released runs by corpus and q, for η of .1, .2 and .3."""

Threshold = Annotated[float, Within(0, 1)]


@dataclass(frozen=True, kw_only=True)
class Options(NoisyOptions):
    """Those of `NoisyOptions`, and how sets are corrected.

    Attributes:
        corrects: whether sets are corrected.
        test: what finds a set without the right label: `prototypes`, by a threshold, or `automatic`, by q and η.
        thresholds: those of the released runs on a corpus, by the nearest q and η; or `own`.
        first_threshold: an own threshold in the first epoch of correction.
        last_threshold: the same after the last epoch; in between it changes linearly.
        other_views: how many further weak views have to agree; in the released code one, which counts twice.
        removes: whether the least probable label of a corrected set is removed.
    """

    corrects: bool
    test: Literal["prototypes", "automatic"]
    thresholds: Literal["cifar-10", "cifar-100", "kmnist", "own"]
    first_threshold: Threshold
    last_threshold: Threshold
    other_views: Annotated[int, Within(0, 16)]
    removes: bool


def released_threshold(corpus: str, q: float, eta: float) -> float:
    """Return the threshold of the released run whose q, and then η, is the nearest.

    Args:
        corpus: one of `THRESHOLDS`.
        q: probability of each other label to be in a set.
        eta: share of the sets that lack the right label.
    """
    of_q = THRESHOLDS[corpus][min(THRESHOLDS[corpus], key=lambda own: abs(own - q))]
    return of_q[min(range(3), key=lambda n: abs((n + 1) / 10 - eta))]


def automatic_ratio(q: float, eta: float, n_labels: int) -> float:
    """Return k = q' η / ((1 - q') (1 - η)), q' = q + η / (K - 1): below it, a set is taken to lack the right label.

    It is the ratio of the probability in the set to that outside of it at which both explanations are as likely.

    Raises:
        UsageError: q' or η is 1 or more: sets say nothing.
    """
    own = q + eta / (n_labels - 1)
    if own >= 1 or eta >= 1:
        raise UsageError(
            f"the automatic test needs η, and q + η / (K - 1), below 1; η is {eta:.3g}, q is {q:.3g}, K is {n_labels}"
        )
    return own * eta / ((1 - own) * (1 - eta))


def lacking(scores: Tensor, sets: Tensor, limits: Tensor) -> tuple[Tensor, Tensor]:
    """Return which sets are taken to lack the right label, and the label outside of each with the highest score.

    Args:
        scores: `(…, B, K)`, probabilities or their logarithms.
        sets: the sets, `(…, B, K)`; one of all labels, or of none, lacks nothing.
        limits: by how much the highest score outside of the set is above the highest one in it, at least, `(…)`.
    """
    outside, label = scores.masked_fill(sets, -torch.inf).max(-1)
    inside = scores.masked_fill(~sets, -torch.inf).amax(-1)
    partial = sets.any(-1) & ~sets.all(-1)
    return partial & (outside - inside > limits[..., None]), label


def corrected(sets: Tensor, q: Tensor, scores: Tensor, label: Tensor, *, removes: bool) -> tuple[Tensor, Tensor]:
    """Return sets with a label more, and confidences in which its share is its probability before they are normalised.

    Args:
        sets: the sets, `(…, B, K)`.
        q: the confidences, `(…, B, K)`.
        scores: probabilities, `(…, B, K)`.
        label: the label of every sample, `(…, B)`; not in its set.
        removes: whether the least probable label of the set leaves it.
    """
    is_new = nn.functional.one_hot(label, sets.shape[-1]).bool()
    kept = sets
    if removes:
        weakest = scores.masked_fill(~sets, torch.inf).argmin(-1)
        kept = sets & ~nn.functional.one_hot(weakest, sets.shape[-1]).bool()
    shares = torch.where(is_new, scores, q * kept)
    return kept | is_new, shares / shares.sum(-1, keepdim=True)


class Network(NoisySets):
    """The base, with PiCO's contrast and prototypes, and the correction of sets."""

    options: Options

    def begin(self, epoch: int) -> None:
        """Set the limits of the test: thresholds, or -log k."""
        options, n_labels = self.options, self.all_sets(self.target).shape[-1]
        starts = self.remembered.started.flatten().tolist()
        limits = []
        for q, eta, start in zip(self.q, self.eta, starts, strict=True):
            if options.test == "automatic":
                ratio = automatic_ratio(q, eta, n_labels)
                limits.append(-math.log(ratio) if ratio else math.inf)
            elif options.thresholds == "own":
                done = (epoch - start) / max(1, self.n_epochs - start)
                limits.append(options.first_threshold + done * (options.last_threshold - options.first_threshold))
            else:
                limits.append(released_threshold(options.thresholds, q, eta))
        self.limits = torch.tensor(limits).to(self.is_started.device).view(self.is_started.shape)

    def after(self, seen: Seen) -> None:
        """Correct the sets of which every view says that they lack the same label."""
        super().after(seen)
        if not self.options.corrects or not self.is_started.any():
            return
        scores = self.scores(seen.scores, seen.nearest)
        found, label = lacking(scores, seen.sets, self.limits)
        for _ in range(self.options.other_views):
            outputs, _, query = self.embedded(weak_view(seen.batch, self.options.weak_noise))
            other = self.scores(outputs[self.target].float(), (query @ self.prototypes.mT).softmax(-1))
            again, same = lacking(other, seen.sets, self.limits)
            found &= again & (same == label)
        found = (found & self.is_started[..., None])[..., None]
        every = self.all_confidences(self.target)
        q = self.of_batch(every, seen.batch)
        chances = scores.exp() if self.options.test == "automatic" else scores
        sets, shares = corrected(seen.sets, q, chances, label, removes=self.options.removes)
        self.store(every, seen.batch, torch.where(found, shares, q))
        self.store(self.all_sets(self.target), seen.batch, torch.where(found, sets, seen.sets))

    def scores(self, scores: Tensor, nearest: Tensor) -> Tensor:
        """Return what the test compares: log probabilities of the classifier, or probabilities by prototypes."""
        return scores.log_softmax(-1) if self.options.test == "automatic" else nearest


def build(options: Options, setup: Setup) -> SetBaseline:
    return SetBaseline(
        *network_base(options, setup, "irnet", standardised="what views change"), Network, options, setup
    )
