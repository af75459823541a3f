"""Exact claims of FixMatch: its loss, worked out by hand."""

from __future__ import annotations

from typing import Any

import torch

from merbench.training.networks.matching import matching_loss, sure_labels


def loss(model: Any) -> float:
    """Return the loss of two samples, of which the first is sure: ln(1 + e) / 2.

    Of two labels, the weak view of the first has the probabilities 0.98 and 0.02, of the second a half each. The strong
    view of both has the scores 0 and 1, so that label 0 has the cross-entropy ln(1 + e); the mean is over both samples.
    """
    weak = torch.tensor([[0.98, 0.02], [0.5, 0.5]]).log()
    labels, sure = sure_labels(weak, torch.tensor([0.95, 0.95]))
    strong = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    return float(matching_loss(strong, labels, sure, torch.ones(2, dtype=torch.bool)))
