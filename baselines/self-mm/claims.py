"""What the claims of Self-MM compute: the update of one label, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch


def label_update(model: Any) -> list[float]:
    """Return both shifts, the label that they suggest, and the label of 1.2 after the second epoch."""
    positive, negative, label = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0]), torch.tensor(1.2)
    of_all = model.shift(torch.tensor([0.5, 0.0]), positive, negative)
    own = model.shift(torch.tensor([0.0, 1.0]), positive, negative)
    suggestion = model.suggested(label, own, of_all, 3.0)
    return [float(x) for x in (of_all, own, suggestion, model.updated(label, suggestion, 2))]
