"""FixMatch (Sohn et al., NeurIPS 2020) on vectors, around a network: pseudo-labels above one threshold for all labels.

Of every unlabelled sample there is a weak and a strong view. The label that the network predicts for the weak view is
learned by the strong one if its probability is at least the threshold:

    λ · mean over all unlabelled samples of 1[max p(weak) >= τ] · cross-entropy(argmax p(weak), p(strong))

Views and loss are in `merbench.training.networks.matching`, which FlexMatch shares.
"""

from __future__ import annotations

from dataclasses import dataclass

from merbench.training import Setup
from merbench.training.networks.matching import Matching, MatchingOptions
from merbench.training.networks.semi_supervised import SemiSupervisedBaseline, semi_supervised


@dataclass(frozen=True, kw_only=True)
class Options(MatchingOptions):
    """Those of `MatchingOptions`."""


def build(options: Options, setup: Setup) -> SemiSupervisedBaseline:
    return semi_supervised(Matching, options, setup, "fixmatch")
