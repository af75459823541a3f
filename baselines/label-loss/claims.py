"""Exact claims of the losses of sets of labels, worked out by hand.

The scores are (2, 1, 0, -1), of which a softmax makes (.643914, .236883, .087144, .032059); the set has the first two
labels, with the confidences (.5, .5).
"""

from __future__ import annotations

from typing import Any

import torch

SCORES = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
SET = torch.tensor([True, True, False, False])
HALVES = torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64)


def cc_and_exp(model: Any) -> list[float]:
    """Return -log(.643914 + .236883) and exp(-(.643914 + .236883))."""
    return [float(model.cc_loss(SCORES, SET)), float(model.exp_loss(SCORES, SET))]


def confidences(model: Any) -> list[float]:
    """Return the loss with equal confidences, (.440190 + 1.440190) / 2, and the next: .643914 / .880797, …"""
    renewed = model.confidences(SCORES, SET)
    return [float(model.weighted_cross_entropy(SCORES, HALVES)), *renewed[:2].tolist()]


def leveraged(model: Any) -> float:
    """Return the loss with -log where other labels weigh a quarter: .940190 + (.091177 + .032584) / 4."""
    others = model.outside_confidences(SCORES, SET, equal=True)
    return float(model.leveraged_loss(SCORES, HALVES, others, (1.0, 1.0), sigmoid=False))


def noisy(model: Any) -> list[float]:
    """Return the reverse cross-entropy, that of IRNet with both weights of its code and (6, 1), and two of GCE.

    The reverse one is .880797 · log 2 + .119203 · log 1e4. With a floor of 1e-4 the cross-entropy is .940778. The last
    two are of power .7, with halves, and of the first label: (1 - .643914^.7) / .7.
    """
    first = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    losses = [
        model.sce_loss(SCORES, HALVES, 0.0, 1.0),
        model.sce_loss(SCORES, HALVES, 0.1, 1.0, floor_all=True),
        model.sce_loss(SCORES, HALVES, 6.0, 1.0, floor_all=True),
        model.gce_loss(SCORES, HALVES, 0.7),
        model.gce_loss(SCORES, first, 0.7),
    ]
    return [float(loss) for loss in losses]


def adjusted(model: Any) -> float:
    """Return the cross-entropy of the second label under the prior (.7, .2, .08, .02)."""
    prior = torch.tensor([0.7, 0.2, 0.08, 0.02], dtype=torch.float64)
    second = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    return float(model.weighted_cross_entropy(model.adjusted_scores(SCORES, prior, 1.0), second))


def identities(model: Any) -> list[float]:
    """Return what differs from cross-entropy with sets of one label, and the gradient of a set of all labels."""
    scores = torch.randn(64, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.arange(64) % 6
    sets = labels[:, None] == torch.arange(6)
    wanted = torch.nn.functional.cross_entropy(scores, labels, reduction="none")
    own = model.confidences(scores, sets)
    given = [
        model.cc_loss(scores, sets),
        model.weighted_cross_entropy(scores, own),
        model.sce_loss(scores, own, 1.0, 0.0),
    ]
    every = model.cc_loss(scores, torch.ones_like(sets)).sum()
    (gradient,) = torch.autograd.grad(every, scores)
    return [float((loss - wanted).abs().max().detach()) for loss in given] + [float(gradient.abs().max())]
