"""Exact claims of MISA: the losses of two small spaces, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

A = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
B = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]])


def difference_loss(model: Any) -> float:
    return float(model.difference(A, B))


def moment_distance(model: Any) -> float:
    return float(model.moment_distance(A, B))
