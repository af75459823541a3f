"""Exact claims of the regularisation of pseudo-labels, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.long_tails import sinkhorn


def tempered(model: Any) -> list[float]:
    """Return the prior (.64, .25, .11) to the power .5, whose roots .8, .5 and .331662 sum to 1.631662, and to 1."""
    prior = torch.tensor([0.64, 0.25, 0.11], dtype=torch.float64)
    return [float(x) for tau in (0.5, 1.0) for x in model.tempered(prior, tau)]


def mass_of_first(model: Any) -> list[float]:
    """Return how much of four samples is pseudo-labelled as the first label: 4 · .75 at τ = 1, and 4 · .5 at τ = 0."""
    rows = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.7, 0.3], [0.2, 0.8]], dtype=torch.float64)
    prior = torch.tensor([0.75, 0.25], dtype=torch.float64)
    moved = (sinkhorn(rows, model.tempered(prior, tau), 3.0, steps=10_000, tolerance=0.0) for tau in (1.0, 0.0))
    return [float(shares[:, 0].sum()) for shares in moved]
