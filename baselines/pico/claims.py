"""Exact claims of PiCO, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.contrast import contrastive_loss, moved_prototypes


def contrast(model: Any) -> list[float]:
    """Return the contrast of (1, 0), (.6, .8) and (0, 1) with labels 0, 0, 1 at temperature .5, and the mean of two.

    The similarities are .6, 0 and .8, twice that after the temperature: log(1 + e^-1.2) and log(1 + e^.4); the third
    has no other sample of its label.
    """
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]], dtype=torch.float64)
    labels, others = torch.tensor([0, 0, 1]), ~torch.eye(3, dtype=torch.bool)
    each, has = contrastive_loss(x, x, others & (labels[:, None] == labels), others, 0.5)
    return [*each.tolist(), float(each[has].mean())]


def prototypes(model: Any) -> list[float]:
    """Return the first prototype, (1, 0), after two embeddings (0, 1), momentum .5, and the second, which has none.

    .5 · (.5 · (1, 0) + .5 · (0, 1)) + .5 · (0, 1) = (.25, .75), of length √.625.
    """
    before = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    embeddings = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    counted = torch.tensor([True, True, False])
    return [float(x) for x in moved_prototypes(before, embeddings, torch.tensor([0, 0, 1]), counted, 0.5).flatten()]
