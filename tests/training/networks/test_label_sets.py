"""Losses of sets of labels by hand, and what a network remembers of its samples.

Hand values: z = (2, 1, 0, -1), a set of the labels 0 and 1, confidences (.5, .5); e^z = 7.389056, 2.718282, 1, .367879
with the sum 11.475217, so that p = (.643914, .236883, .087144, .032059) and -log p = (.440190, 1.440190, 2.440190, …).
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from merbench.training.networks.batches import Batch
from merbench.training.networks.label_sets import (
    SetNetwork,
    adjusted_scores,
    cc_loss,
    confidences,
    estimated_prior,
    exp_loss,
    gce_loss,
    leveraged_loss,
    outside_confidences,
    sce_loss,
    shared,
    weighted_cross_entropy,
)

Z = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
SET = torch.tensor([True, True, False, False])
Q = torch.tensor([0.5, 0.5, 0, 0], dtype=torch.float64)
OWN = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64)
P = [math.exp(z) / 11.475217 for z in (2, 1, 0, -1)]


def test_losses_are_those_of_hand_arithmetic() -> None:
    equal, by_p = (outside_confidences(Z, SET, equal=equal) for equal in (True, False))
    sigma = [1 / (1 + math.exp(-z)) for z in (2, 1, 0, -1)]
    outside = [p / (P[2] + P[3]) for p in P[2:]]
    lowered = [-math.log(1 - p) for p in P]
    hand = {
        cc_loss(Z, SET): 0.126928,  # -log(.643914 + .236883)
        weighted_cross_entropy(Z, Q): 0.940190,  # (.440190 + 1.440190) / 2
        exp_loss(Z, SET): 0.414453,  # exp(-.880797)
        leveraged_loss(Z, Q, equal, (1.0, 1.0), sigmoid=False): 0.971130,
        leveraged_loss(Z, Q, by_p, (1.0, 2.0), sigmoid=False): 0.940190
        + 2 * sum(w * loss for w, loss in zip(outside, lowered[2:], strict=True)),
        leveraged_loss(Z, Q, by_p, (1.0, 2.0), sigmoid=True): (2 - sigma[0] - sigma[1]) / 2
        + 2 * sum(w * s for w, s in zip(outside, sigma[2:], strict=True)),
        sce_loss(Z, Q, 0.0, 1.0): 1.708421,  # -.880797 log .5 - .119203 log 1e-4
        sce_loss(Z, Q, 0.1, 1.0): 1.802440,  # .1 · .940190 + 1.708421
        sce_loss(Z, Q, 0.1, 1.0, floor_all=True): 1.802499,  # with 1e-4 (2.440190 + 3.440190) in the cross-entropy
        sce_loss(Z, Q, 6.0, 1.0, floor_all=True): 7.353088,
        gce_loss(Z, Q, 0.7): 0.643059,
        gce_loss(Z, OWN, 0.7): 0.378832,  # (1 - .643914^.7) / .7
    }
    for loss, value in hand.items():
        assert float(loss) == pytest.approx(value, abs=1e-6)
    torch.testing.assert_close(
        confidences(Z, SET), torch.tensor([0.731059, 0.268941, 0, 0], dtype=torch.float64), atol=1e-6, rtol=0
    )
    # prior (.7, .2, .08, .02), label 1, τ 1: softmax of z + log prior is p · prior / Σ
    prior = torch.tensor([0.7, 0.2, 0.08, 0.02], dtype=torch.float64)
    second = torch.tensor([0, 1.0, 0, 0], dtype=torch.float64)
    assert float(weighted_cross_entropy(adjusted_scores(Z, prior, 1.0), second)) == pytest.approx(2.367874, abs=1e-6)


@pytest.mark.parametrize("own", range(4))
def test_of_a_set_of_one_label_losses_are_cross_entropy_to_the_bit(own: int) -> None:
    scores = torch.randn(7, 4, generator=torch.Generator().manual_seed(own))
    sets = (torch.arange(4) == own).expand(7, 4)
    wanted = nn.functional.cross_entropy(scores, torch.full((7,), own), reduction="none")
    q = confidences(scores, sets)
    assert torch.equal(q, sets.float()) and torch.equal(shared(sets), sets.float())
    assert torch.equal(cc_loss(scores, sets), wanted)
    assert torch.equal(weighted_cross_entropy(scores, q), wanted)
    assert torch.equal(sce_loss(scores, q, 1.0, 0.0), wanted)
    prior = torch.tensor([0.4, 0.3, 0.2, 0.1])
    assert torch.equal(weighted_cross_entropy(adjusted_scores(scores, prior, 0.0), q), wanted)


def test_a_set_of_all_labels_gives_cc_no_gradient_and_rc_that_of_uniform_shares() -> None:
    scores = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    sets = torch.ones(3, 4, dtype=torch.bool)
    loss = cc_loss(scores, sets).sum()
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.item() == 0 and not gradient.any()
    (of_rc,) = torch.autograd.grad(weighted_cross_entropy(scores, shared(sets)).sum(), scores)
    torch.testing.assert_close(of_rc, scores.softmax(-1) - 0.25)


def test_losses_are_finite_with_gradients_at_extreme_scores_and_for_padding() -> None:
    scores = torch.tensor([[200.0, -200, 0, 0], [-200, 200, 0, 0], [1, 2, 3, 4]], requires_grad=True)
    sets = torch.tensor([[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)
    q, others = shared(sets), outside_confidences(scores, sets, equal=False)
    assert not others[2].any()
    losses = [
        cc_loss(scores, sets),
        weighted_cross_entropy(scores, q),
        exp_loss(scores, sets),
        leveraged_loss(scores, q, others, (1.0, 2.0), sigmoid=False),
        leveraged_loss(scores, q, others, (1.0, 2.0), sigmoid=True),
        sce_loss(scores, q, 0.1, 1.0),
        gce_loss(scores, q, 0.7),
    ]
    for loss in losses:
        assert loss.isfinite().all()
        (gradient,) = torch.autograd.grad(loss.sum(), scores, retain_graph=True)
        assert gradient.isfinite().all()


def test_the_prior_is_the_share_of_labels_and_none_is_without_a_sample() -> None:
    q = torch.tensor([[[1.0, 0, 0], [0.5, 0.5, 0], [1, 0, 0], [0, 0, 0], [0.5, 0.5, 0]]])
    assert estimated_prior(q)[0, 0].tolist() == [0.75, 0.25, 0.25]


class Keeps(SetNetwork):
    """The buffers by themselves."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.remembered, self.labels = nn.Module(), {"discrete": 3}


@pytest.mark.parametrize("layered", [True, False])
def test_every_fold_remembers_its_own_samples_and_padding_writes_nothing(layered: bool) -> None:
    network = Keeps()
    sets = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    learned = [torch.tensor([0, 2, 3]), torch.tensor([1, 2])] if layered else [torch.tensor([0, 2, 3])]
    network.remember_sets({"discrete": sets}, learned, layered=layered)
    q = network.all_confidences("discrete")
    first = q[0] if layered else q
    torch.testing.assert_close(first, torch.tensor([[0.5, 0.5, 0], [0, 0, 0], [1 / 3] * 3, [0, 0, 0]]))
    assert network.targets == ["discrete"]
    samples = torch.tensor([[2, 0], [1, -1]]) if layered else torch.tensor([2, -1])
    batch = Batch({}, {}, {}, samples)
    values = torch.eye(3)[torch.tensor([[0, 1], [2, 0]] if layered else [0, 1])]
    network.store(q, batch, values)
    if layered:
        assert q[0].tolist() == [[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]
        torch.testing.assert_close(q[1], torch.tensor([[0, 0, 0], [0, 0, 1], [1 / 3] * 3, [0, 0, 0]]))
        assert network.of_batch(q, batch)[1].tolist() == [[0, 0, 1], [0, 0, 0]]
    else:
        torch.testing.assert_close(q, torch.tensor([[0.5, 0.5, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]]))
