"""Exact claims of IRNet, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.label_sets import sce_loss
from merbench.training.networks.noisy_sets import reaches_plateau


def ratio(model: Any) -> list[float]:
    """Return k: of the first, q' = 1 / 9, so k = (1 / 90) / (8 / 9 · .9) = 1 / 72; of the last, q' = .36."""
    return [
        model.automatic_ratio(q, eta, n_labels)
        for q, eta, n_labels in ((0.1, 0.1, 10), (0.3, 0.3, 10), (0.5, 0.3, 10), (0.3, 0.3, 6))
    ]


def thresholds(model: Any) -> list[float]:
    """Return released thresholds, of a q and η as they are in the table."""
    runs = (("cifar-10", 0.3, 0.3), ("cifar-10", 0.1, 0.1), ("cifar-100", 0.05, 0.2), ("kmnist", 0.3, 0.1))
    return [model.released_threshold(*run) for run in runs]


def correction(model: Any) -> list[float]:
    """Return whether a label is missing by two thresholds, which, and new confidences without and with removal.

    .5 - .2 is .3. The confidences (1, 0, 0) become (1, .5, 0) / 1.5; where the first label leaves, (0, .5, 0) / .5.
    """
    scores = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
    sets, q = torch.tensor([[True, False, False]]), torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    (found, label), (other, _) = (model.lacking(scores, sets, torch.tensor(limit)) for limit in (0.25, 0.35))
    shares = [model.corrected(sets, q, scores, label, removes=removes)[1] for removes in (False, True)]
    return [float(x) for part in (found, other, label, *shares) for x in part.flatten()]


def plateau(model: Any) -> list[bool]:
    """Return whether .1, .3, .5, .5, .3, .3 have a plateau after every epoch, with a window of 4, two to each side.

    After the fifth the last smoothed values are (.5 + .5 + .3) / 3 and (.3 + .5 + .5 + .3) / 4, .4333 above .4; after
    the sixth (.5 + .3 + .3) / 3 and (.5 + .5 + .3 + .3) / 4, .3667 below .4.
    """
    values = [0.1, 0.3, 0.5, 0.5, 0.3, 0.3]
    return [reaches_plateau(values[: n + 1], 4) for n in range(len(values))]


def symmetric_loss(model: Any) -> float:
    """Return 6 · .940778 + 1.708421, of cross-entropy with a floor of 1e-4 and its reverse."""
    scores = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    halves = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)
    return float(sce_loss(scores, halves, 6.0, 1.0, floor_all=True))
