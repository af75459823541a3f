"""Exact claims of NMER: the divergence of latent variables, and the noise that it is trained and tested with."""

from __future__ import annotations

import math
from typing import Any

import torch

from merbench.corruptions.features import alpha_bar


def divergences(model: Any) -> list[float]:
    """Return the divergence of latent variables of mean (1, 1) and of mean (0, 0), of variance 1."""
    return [float(model.divergence(torch.full((3, 2), mean), torch.zeros(3, 2))) for mean in (1.0, 0.0)]


def noise(model: Any) -> list[float]:
    """Return what is left of a feature, and how much noise is added, at steps 0, 5, 10, 20, 30, 50 and 99 of 100."""
    left = alpha_bar("scaled_linear")
    return [value for t in (0, 5, 10, 20, 30, 50, 99) for value in (math.sqrt(left[t]), math.sqrt(1 - left[t]))]
