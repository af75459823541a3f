"""SoLar (Wang et al., NeurIPS 2022) on vectors: pseudo-labels of sets that are in all as an estimated prior says.

Everything is in `merbench.training.networks.long_tails`, of which `after-pl-regularisation` is made, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.label_sets import SetBaseline
from merbench.training.networks.long_tails import Solar, SolarBaseline, SolarOptions


@dataclass(frozen=True, kw_only=True)
class Options(SolarOptions):
    """Those of `SolarOptions`."""


def build(options: Options, setup: Setup) -> SetBaseline:
    return SolarBaseline(
        *network_base(options, setup, "solar", standardised="what views change"), Solar, options, setup
    )
