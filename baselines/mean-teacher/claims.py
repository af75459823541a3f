"""Exact claims of the mean teacher: its distance, and its running mean."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from merbench.training.networks.semi_supervised import follow, running_weight


def distance(model: Any) -> float:
    """Return the distance of the scores (1, 0, 0) and (0, 0, 0)."""
    return float(model.distance(torch.tensor([1.0, 0.0, 0.0]), torch.zeros(3), 3))


def running_mean(model: Any) -> list[float]:
    """Return the mean from 0 of a parameter that stays 1, after 1, 2 and 3 steps with the weight 0.9: 1 - 0.9^t."""
    mean, student = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(mean.weight)
    nn.init.ones_(student.weight)
    values = []
    for _ in range(3):
        follow(mean, student, 0.9)
        values.append(mean.weight.item())
    return values


def weights(model: Any) -> list[float]:
    """Return the weight of the past after 1, 2, 100 and 1,000 steps, at most 0.99: 0, a half, 0.99 and 0.99."""
    return [running_weight(0.99, step) for step in (1, 2, 100, 1000)]
