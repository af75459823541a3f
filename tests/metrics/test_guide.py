"""The metrics of `docs/adding-a-metric.md` work as they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transcripts import fenced_blocks

from merbench.metrics import METRICS

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-metric.md"


def test_the_metrics_of_the_guide_give_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(METRICS, "_items", dict(METRICS._items))
    for block in fenced_blocks(PAGE.read_text(encoding="utf-8"), "python"):
        exec(compile(block, str(PAGE), "exec"), {})
    weights = np.array([[1, 1, 1, 1], [0, 1, 2, 1]], np.uint8)
    distances = np.array([0.0, 0.4, 0.5, 3.0])
    # Three of four within a half; then weights 0 + 1 + 2 of 4.
    assert METRICS["within"](np.zeros(4), distances, weights).tolist() == [0.75, 0.75]
    assert METRICS["within"](np.zeros(4), distances, weights, tolerance=0.4).tolist() == [0.5, 0.25]
    reference, prediction = np.array([0, 0, 1, 1], np.int32), np.array([0, 1, 1, -1], np.int32)
    # Accuracies 2/4, then 0 + 2 of 4; guessing among three has 1/3: (1/2 - 1/3) / (2/3).
    above = METRICS["accuracy_above_chance"](reference, prediction, weights, n_labels=3)
    np.testing.assert_allclose(above, [0.25, 0.25], rtol=1e-15)
    # Recalls 1/2 and 1/2; then 0/1 and 2/3.
    assert METRICS["worst_recall"](reference, prediction, weights, n_labels=3).tolist() == [0.5, 0.0]
