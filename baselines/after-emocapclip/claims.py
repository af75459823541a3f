"""Exact claims: the contrast against its formula, and two values of it worked out by hand."""

from __future__ import annotations

from types import ModuleType

import torch
from torch.nn.functional import cross_entropy, normalize

from merbench.training.networks.pairs import pair_loss


def off(model: ModuleType) -> list[float]:
    """Return by how much the loss, and its gradients of both sides and the temperature, differ from CLIP's at most."""
    rng = torch.Generator().manual_seed(0)
    first, second = (
        normalize(torch.randn(1000, 32, generator=rng, dtype=torch.float64), dim=1).requires_grad_() for _ in range(2)
    )
    log_scale = torch.tensor(0.07, dtype=torch.float64).log().neg().requires_grad_()
    scores, labels = log_scale.exp() * first @ second.T, torch.arange(1000)
    wanted = (cross_entropy(scores, labels) + cross_entropy(scores.T, labels)) / 2
    own, inputs = pair_loss(first, second, log_scale.exp(), 1.0), (first, second, log_scale)
    gradients = zip(torch.autograd.grad(own, inputs), torch.autograd.grad(wanted, inputs), strict=True)
    return [float((own - wanted).detach().abs()), *(float((a - b).abs().max()) for a, b in gradients)]


def orthonormal(model: ModuleType) -> float:
    """Return the loss of four orthonormal pairs at temperature 1."""
    x = torch.eye(4, dtype=torch.float64)
    return float(pair_loss(x, x, torch.tensor(1.0, dtype=torch.float64)))


def guided(model: ModuleType) -> float:
    """Return the loss of four pairs, two of which are alike, at temperature 1.

    Captions 0, 1, 2 are equal, pictures 1, 2, 3 are, and picture 0 is as caption 3: all other cosines are 0.
    Only pairs 1 and 2 are alike on both sides. Rows 1 to 3 and columns 0 to 2 have log 4, the others log(3 + e).
    """
    e = torch.eye(3, dtype=torch.float64)
    return float(pair_loss(e[[1, 2, 2, 2]], e[[0, 0, 0, 1]], torch.tensor(1.0, dtype=torch.float64), 0.4))
