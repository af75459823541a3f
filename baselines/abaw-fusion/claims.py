"""What the hand values of `baseline.toml` are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import torch


@dataclass(frozen=True)
class Weights:
    """The options that the loss of labels depends on."""

    divergence: float
    scale: float = 0.9
    focus: float = 2.0
    label_smoothing: float = 0.0


def losses(model: ModuleType) -> list[float]:
    """Return the focal loss and the divergence of scores (0, 0) of the first of two labels."""
    scores, shares = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    return [float(model.focal_loss(scores, shares, Weights(divergence))) for divergence in (0.0, 1.0)]
