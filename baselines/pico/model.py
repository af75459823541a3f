"""PiCO (Wang et al., ICLR 2022) on vectors: contrast and prototypes tell the labels of a set apart.

Everything is in `merbench.training.networks.contrast`, of which IRNet and ALIM are made, too.
"""

from __future__ import annotations

from dataclasses import dataclass

from merbench.training import Setup
from merbench.training.networks.around import network_base
from merbench.training.networks.contrast import Contrastive, ContrastOptions
from merbench.training.networks.label_sets import SetBaseline


@dataclass(frozen=True, kw_only=True)
class Options(ContrastOptions):
    """Those of `ContrastOptions`."""


def build(options: Options, setup: Setup) -> SetBaseline:
    return SetBaseline(
        *network_base(options, setup, "pico", standardised="what views change"), Contrastive, options, setup
    )
