"""Exact claims of detectors: values of one sample with three features and three classes, and counted passes.

f = (1, 0, 2), W = diag(1, 1, 1/2), b = 0, so that the logits are (1, 0, 1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Heads
from merbench.training.unknown import detectors
from merbench.training.unknown.observation import FEATURES, LOGITS, Probe

FEATURE = np.array([[1.0, 0.0, 2.0]])
LAYER = detectors.Layer(np.diag([1.0, 1.0, 0.5]), np.zeros(3))
SCORES = LAYER.logits(FEATURE)
IN_ONE_PASS = ("after-rg", "vra", "vra-plus", "vra-plus-plus")


def of_logits(model: Any) -> list[float]:
    return [float(score(SCORES)[0]) for score in (detectors.msp, detectors.max_logit, detectors.energy)]


def gradient_norm(model: Any) -> float:
    return float(detectors.gradient_norm(FEATURE, SCORES)[0])


def react(model: Any) -> float:
    return float(detectors.react(FEATURE, LAYER, 1.5)[0])


def after_rg(model: Any) -> float:
    return float(detectors.clipped_norm_with_energy(FEATURE, SCORES, 1.5)[0])


def vra(model: Any) -> list[float]:
    plain, plus = (float(detectors.vra(FEATURE, LAYER, 0.5, 1.5, added)[0]) for added in (0.0, 0.6))
    return [plain, plus, plain - 0.01 * float(detectors.squared_distances_from(FEATURE, 4.0)[0])]


def ash(model: Any) -> list[float]:
    kept = [detectors.shaped(FEATURE, 65, form) for form in ("p", "s", "b")]
    return [float(detectors.energy(LAYER.logits(each))[0]) for each in kept]


def dice(model: Any) -> float:
    sparse = detectors.sparse(LAYER, np.array([0.5, 1.0, 1.0]), 90)
    return float(detectors.energy(sparse.logits(FEATURE))[0])


def mahalanobis(model: Any) -> float:
    corners = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    features, codes = np.vstack([corners, corners + 4]), np.repeat([0, 1], 4)
    return float(detectors.ClassMeans.of(features, codes).distances(np.array([[1.0, 2.0]]))[0])


def neighbour(model: Any) -> float:
    stored = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    return float(detectors.neighbour_distances(np.array([[3.0, 4.0]]), stored, 2)[0])


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.heads = nn.Linear(4, 6), Heads(6, {"discrete": 3})

    def forward(self, batch: Batch) -> Any:
        return self.heads(self.layer(batch.inputs["text"]).relu())


def _passes(name: str) -> list[float]:
    """Return how often each of eight samples passes a network, forward and backward, until all have a score."""
    chosen = detectors.detector(name)
    batch = Batch({"text": torch.randn(8, 4)}, {}, {"text": torch.ones(8, dtype=torch.bool)}, torch.arange(8))
    probe = Probe(_Network(), "discrete", chosen.epsilon)
    with torch.no_grad():
        seen = {key: values.numpy() for key, values in probe(batch).items()}
    known = detectors.Known(seen[FEATURES], np.arange(8) % 3, probe.layers(1)[0])
    assert chosen.fitted(known)(seen[FEATURES], seen[LOGITS]).shape == (8,)
    return [probe.forward_passes / 8, probe.backward_passes / 8]


def passes(model: Any) -> list[float]:
    return [count for name in IN_ONE_PASS for count in _passes(name)]


def passes_of_odin(model: Any) -> list[float]:
    return _passes("odin:epsilon=0.0014")
