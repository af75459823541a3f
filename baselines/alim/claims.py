"""Exact claims of ALIM, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from merbench.training.networks.label_sets import confidences
from merbench.training.networks.noisy_sets import set_margins

CHANCES = torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64)
SETS = torch.tensor([[False, True, True]])


def importance(model: Any) -> list[float]:
    """Return λ of five margins: ⌊2.5⌋ is 2, the third; ⌊3.5⌋ is 3, the fourth, which is above 1."""
    margins = np.array([3.0, 0.2, 1.2, 0.5, 0.8])
    return [model.automatic_importance(margins, eta) for eta in (0.5, 0.7, 0.0)]


def weights(model: Any) -> list[float]:
    """Return .5 · .4, .3 and .2, over .7."""
    shares: torch.Tensor = model.weighted(CHANCES.log(), SETS, torch.tensor(0.4, dtype=torch.float64))
    return shares.flatten().tolist()


def margin(model: Any) -> float:
    """Return .3 / (.5 + 1e-9)."""
    return float(set_margins(CHANCES, SETS))


def identities(model: Any) -> list[float]:
    """Return what differs from the confidences in the sets at λ of 0, and from the softmax at 1."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(64, 6, generator=rng)
    sets = torch.rand(64, 6, generator=rng) < 0.4  # some are empty, and some have all labels
    pairs = ((0.0, confidences(scores, sets)), (1.0, scores.softmax(-1)))
    given = [(model.weighted(scores, sets, torch.tensor(own)), wanted) for own, wanted in pairs]
    return [float((shares - wanted).abs().max()) for shares, wanted in given]
