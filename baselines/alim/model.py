"""ALIM (Xu et al. 2023) on vectors: PiCO, in which labels outside of a set count, too, by a weight λ.

Conventions:
    As in `merbench.training.networks.contrast`; λ is `(…)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.contrast import Seen
from merbench.training.networks.label_sets import SetBaseline
from merbench.training.networks.noisy_sets import NoisyOptions, NoisySets


@dataclass(frozen=True, kw_only=True)
class Options(NoisyOptions):
    """Those of `NoisyOptions`, and how labels outside of the sets count.

    Attributes:
        variant: what confidences move to: the label with the largest weighted probability, `one-hot`, or these
            probabilities, `scaled` to a sum of 1.
        importance: how λ is found: `automatic`, from η and the margins of the epoch before, or `fixed`.
        fixed_importance: the fixed λ; 0 is PiCO, and at 1 sets are ignored.
    """

    variant: Literal["one-hot", "scaled"]
    importance: Literal["automatic", "fixed"]
    fixed_importance: Annotated[float, Within(0, 1)]


def automatic_importance(margins: NDArray[np.float64], eta: float) -> float:
    """Return λ: the ⌊n η⌋-th of n margins in ascending order, from 0, at most 1; 0 at an η of 0, and without margins.

    Of samples whose margin is below it, a label outside of the set wins.
    """
    if not eta or not len(margins):
        return 0.0
    return float(min(1.0, np.sort(margins)[min(int(len(margins) * eta), len(margins) - 1)]))


def weighted(scores: Tensor, sets: Tensor, importance: Tensor) -> Tensor:
    """Return probabilities times S + λ (1 - S), normalised: `(…, B, K)`.

    Args:
        scores: their logarithms, up to a constant, `(…, B, K)`.
        sets: S, `(…, B, K)`; an empty one counts as all labels.
        importance: λ, `(…)`.
    """
    outside = ~sets & sets.any(-1, keepdim=True)
    return (scores.detach() + torch.where(outside, importance.log()[..., None, None], 0.0)).softmax(-1)


class Network(NoisySets):
    """The base, with PiCO's contrast and prototypes, in which labels outside of the sets count."""

    options: Options

    def begin(self, epoch: int) -> None:
        """Set λ, which is 0 before the start."""
        if self.options.importance == "automatic":
            own = [automatic_importance(*each) for each in zip(self.known_margins(), self.eta, strict=True)]
        else:
            own = [self.options.fixed_importance] * len(self.eta)
        started = self.is_started
        self.importance = torch.tensor(own).to(started.device).view(started.shape) * started

    def likely(self, scores: Tensor, sets: Tensor) -> Tensor:
        """Return the label with the largest weighted probability."""
        return weighted(scores, sets, self.importance).argmax(-1)

    def renewed(self, seen: Seen, before: Tensor) -> Tensor:
        """Return the confidences: a mean of those before and of the weighted probabilities by prototypes."""
        shares = weighted(self.prototype_scores(seen), seen.sets, self.importance)
        if self.options.variant == "one-hot":
            shares = nn.functional.one_hot(shares.argmax(-1), before.shape[-1]).to(before)
        past = self.past_share(seen.batch.epoch)
        return past * before + (1 - past) * shares


def build(options: Options, setup: Setup) -> SetBaseline:
    return SetBaseline(*network_base(options, setup, "alim", standardised="what views change"), Network, options, setup)
