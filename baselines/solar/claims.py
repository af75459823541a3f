"""Exact claims of SoLar, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.label_sets import confidences
from merbench.training.networks.long_tails import sinkhorn

ROWS = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)


def pseudo_labels(model: Any) -> list[float]:
    """Return the limit of the pseudo-labels of four rows to the third power with equal labels.

    Of two labels a row is x / (x + w) with the odds x = (m / m')^3 of 3.375, 729, 12.703704 and .015625, and the w for
    which the four sum to 2: 6.455730.
    """
    equal = torch.tensor([0.5, 0.5], dtype=torch.float64)
    return [float(x) for x in sinkhorn(ROWS, equal, 3.0, steps=10_000, tolerance=0.0).flatten()]


def only_rows(model: Any) -> list[float]:
    """Return by row how far the pseudo-labels without steps are from the confidences within the sets."""
    sets = torch.tensor([[True, True], [True, False], [False, True], [True, True]])
    scores = ROWS.log()
    moved = sinkhorn(scores.softmax(-1) * sets, torch.tensor([0.9, 0.1], dtype=torch.float64), 1.0, steps=0)
    return [float(x) for x in (moved - confidences(scores, sets)).abs().amax(-1)]
