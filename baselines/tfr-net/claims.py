"""Exact claims of TFR-Net."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

WIDTHS = {"audio": 5, "video": 2, "text": 3}


def loss_of_rebuilt_rows(model: ModuleType) -> float:
    """Return the loss of [[1, 0], [0, 1], [1, 1]] for [[0, 1], [1, 1], [2, 0]], with moments of the weight 5.

    Five entries differ by 1, and each has the smooth absolute error 1/2. The means are (2/3, 2/3) and (1, 2/3), the
    variances (2/9, 2/9) and (2/3, 2/9), the third moments (-2/27, -2/27) and (0, -2/27): the distances are 1/3, 4/9 and
    2/27. There are six entries: (5/2 + 5 · 23/27) / 6.
    """
    rebuilt, rows = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[0.0, 1], [1, 1], [2, 0]])
    return float(model.distance(rebuilt, rows, 5.0))


def slopes_of_reconstruction(model: ModuleType) -> list[float]:
    """Return how many entries of the complete rows the loss depends on: of those removed, and of the others.

    And the same of a loss of all rows.
    """
    counts = list[float]()
    for everywhere in (False, True):
        options = model.Options(**load_baseline("tfr-net").options("", {"everywhere": everywhere}))
        shape = Shape(WIDTHS, {"valence": None}, [generator("cpu", 0)], generator("cpu", 1))
        network, batch = model.Network(options, shape).eval(), _batch()
        targets = {name: rows.clone().requires_grad_() for name, rows in batch.complete.items()}
        own = Batch(batch.inputs, batch.lengths, batch.present, batch.samples, complete=targets)
        network.error(network.attended(batch), own).backward()
        changed = {name: batch.removed(name)[..., None].expand_as(rows) for name, rows in targets.items()}
        for removed in (True, False):
            counts.append(sum(_n_slopes(rows, changed[name] == removed) for name, rows in targets.items()))
    return counts


def _n_slopes(rows: Tensor, places: Tensor) -> int:
    assert rows.grad is not None
    return int((rows.grad[places] != 0).sum())


def _batch() -> Batch:
    """Return four samples of six steps, of which two are removed from every feature of every sample."""
    rng = torch.Generator().manual_seed(0)
    complete = {name: torch.randn(4, 6, width, generator=rng) for name, width in WIDTHS.items()}
    inputs: dict[str, Any] = {name: rows.clone() for name, rows in complete.items()}
    for rows in inputs.values():
        rows[:, 1:3] = 0
    lengths = dict.fromkeys(WIDTHS, torch.full((4,), 6))
    present = dict.fromkeys(WIDTHS, torch.ones(4, dtype=torch.bool))
    return Batch(inputs, lengths, present, torch.arange(4), complete=complete)
