"""Cascaded residual autoencoders reconstruct what a sample lacks (CRA, Tran et al. 2017), as in Lian et al. 2023.

Conventions:
    As in `merbench.training.networks.autoencoders`, where the network is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.autoencoders import Options as Reconstructing
from merbench.training.networks.autoencoders import Reconstruction, ResidualAutoencoder
from merbench.training.networks.network import NetworkBaseline, Shape


@dataclass(frozen=True, kw_only=True)
class Options(Reconstructing):
    """Those of a network that reconstructs features, and how long the cascade is.

    Attributes:
        blocks: autoencoders that follow one another.
    """

    blocks: Annotated[int, Within(1, 64)]


class Network(Reconstruction):
    """Encoders, a cascade of autoencoders, decoders of the features, and a classifier.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__(options, shape, lambda width: ResidualAutoencoder(width, options.layers, options.blocks))


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=True)
