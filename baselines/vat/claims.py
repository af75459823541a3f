"""Exact claims of virtual adversarial training: its divergence, and the length of a move."""

from __future__ import annotations

from typing import Any

import torch


def divergence(model: Any) -> float:
    """Return KL(uniform ‖ softmax(1, 0, 0))."""
    answers, moved = {"label": torch.zeros(1, 3)}, {"label": torch.tensor([[1.0, 0.0, 0.0]])}
    return float(model.divergence(answers, moved, {"label": 3}))


def lengths(model: Any) -> list[float]:
    """Return the lengths over both features of the moves (3; 4) and (0; 0) that are made 6 long: 6 and 0."""
    move = model.of_length({"a": torch.tensor([[3.0], [0.0]]), "b": torch.tensor([[4.0], [0.0]])}, 6.0)
    return [float(x) for x in torch.cat(list(move.values()), -1).norm(dim=-1)]
