"""Exact claims of FlexMatch: its thresholds."""

from __future__ import annotations

from typing import Any

import torch


def thresholds(model: Any) -> list[float]:
    """Return the thresholds of labels of which 0, a quarter, a half and all have been learned, at τ = 0.95."""
    values: list[float] = model.scaled_thresholds(0.95, torch.tensor([0.0, 0.25, 0.5, 1.0])).tolist()
    return values


def learned_shares(model: Any) -> list[float]:
    """Return β of labels with 2 and 1 of 7 samples, where 4 have none yet: 2/4 and 1/4; without these 2/2 and 1/2."""
    labels = torch.tensor([0, 0, 1, -1, -1, -1, -1])
    shares = [model.learned_shares(labels, 2, count_unused=count) for count in (True, False)]
    return [float(share) for own in shares for share in own]
