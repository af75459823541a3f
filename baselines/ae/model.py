"""An autoencoder of concatenated encodings reconstructs what a sample lacks (AE, as in Lian et al. 2023).

Conventions:
    As in `merbench.training.networks.autoencoders`, where the network is.
"""

from __future__ import annotations

from functools import partial

from merbench.training import Setup
from merbench.training.networks.autoencoders import Autoencoder, Options, Reconstruction
from merbench.training.networks.network import NetworkBaseline, Shape


class Network(Reconstruction):
    """Encoders, one autoencoder, decoders of the features, and a classifier.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__(options, shape, lambda width: Autoencoder(width, options.layers))


def build(options: Options, setup: Setup) -> NetworkBaseline:
    return NetworkBaseline(partial(Network, options), options, setup, standardise=True)
