"""Exact claims of RECORDS, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.label_sets import confidences


def bias(model: Any) -> list[float]:
    """Return the bias of a mean with the scores (1, 0, 0, 0), and the confidences of (2, 1, 0, -1) within {0, 1}.

    e / (e + 3) = .475367; 2 - log .475367 and 1 - log .174878 are both 2.743668.
    """
    of_mean = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).softmax(-1)
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    q = confidences(model.unbiased(scores, of_mean), torch.tensor([[True, True, False, False]]))
    return [float(x) for x in torch.cat([of_mean, q]).flatten()]


def two_views(model: Any) -> list[float]:
    """Return the target of two views: √(.64 · .36) is .48 of both labels; √.4 and √.1 are as 2 to 1."""
    weak = torch.tensor([[0.64, 0.36], [0.8, 0.2]], dtype=torch.float64).log()
    strong = torch.tensor([[0.36, 0.64], [0.5, 0.5]], dtype=torch.float64).log()
    target = model.of_two_views(weak, strong, torch.ones(2, 2, dtype=torch.bool))
    return [float(x) for x in target.flatten()]
