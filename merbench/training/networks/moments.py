"""What compares or standardises a batch by its moments, so that batches of one row, and of equal rows, are no problem.

Conventions:
    B samples of a batch, h units. Values are `(B, h)` float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def moment_distance(a: Tensor, b: Tensor, n_moments: int = 5) -> Tensor:
    """Return the central moment discrepancy (Zellinger et al. 2017) of two sets of vectors, unscaled: a single number.

    It is the sum of the distances of their means and of their central moments of the orders 2 to `n_moments`. The
    gradient of a distance of 0 is 0 here; a square root of a sum of squares has none.
    """
    means = [x.mean(0) for x in (a, b)]
    centred = [x - mean for x, mean in zip((a, b), means, strict=True)]
    moments = [tuple((x**order).mean(0) for x in centred) for order in range(2, n_moments + 1)]
    return torch.stack([torch.linalg.vector_norm(x - y) for x, y in [tuple(means), *moments]]).sum()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation (Ioffe and Szegedy 2015) that a batch of one row passes by the running moments."""

    def forward(self, input: Tensor) -> Tensor:
        """Return normalised values."""
        if self.training and len(input) > 1:
            return super().forward(input)
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )
