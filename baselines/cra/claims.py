"""Exact claims of cascaded residual autoencoders."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training.networks.autoencoders import ResidualAutoencoder


@torch.no_grad()
def cascade(model: ModuleType) -> list[float]:
    """Return the codes of two blocks, and the reconstruction, of the number 2, with all weights 1 and all biases 0."""
    autoencoder = ResidualAutoencoder(1, (1,), n_blocks=2)
    for name, parameter in autoencoder.named_parameters():
        parameter.fill_(1.0 if name.endswith("weight") else 0.0)
    reconstruction, codes = autoencoder(torch.tensor([[2.0]]))
    return [*codes.flatten().tolist(), float(reconstruction)]
