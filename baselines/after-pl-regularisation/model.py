"""Pseudo-labels of sets in which labels with many samples weigh less, after arXiv:2303.03946: a variant of merbench.

It is SoLar, of `merbench.training.networks.long_tails`, whose pseudo-labels follow a power of the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.label_sets import SetBaseline
from merbench.training.networks.long_tails import Solar, SolarBaseline, SolarOptions
from merbench.training.networks.semi_supervised import Share


@dataclass(frozen=True, kw_only=True)
class Options(SolarOptions):
    """Those of SoLar, and the power.

    Attributes:
        tau: power of the prior that pseudo-labels follow: 1 is SoLar, at 0 all labels weigh the same.
    """

    tau: Share


def tempered(prior: Tensor, tau: float) -> Tensor:
    """Return a prior `(…, K)` to the power τ, which sums to 1; the prior itself at 1."""
    if tau == 1:
        return prior
    powered = prior.pow(tau)
    return powered / powered.sum(-1, keepdim=True)


class Network(Solar):
    """SoLar with a power of the prior."""

    options: Options

    def marginal(self, prior: Tensor) -> Tensor:
        """Return how much the labels weigh in the pseudo-labels, and in how many samples of each are chosen."""
        return tempered(prior, self.options.tau)


def build(options: Options, setup: Setup) -> SetBaseline:
    base = network_base(options, setup, "after-pl-regularisation", standardised="what views change")
    return SolarBaseline(*base, Network, options, setup)
