"""Losses equal those of torch, or values by hand; padding and references that are not known have no part in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from merbench.errors import UsageError
from merbench.training.networks.losses import Objective, balanced_weights, ccc, mean_loss, moment_distance

F, B, K = 2, 5, 3


def outputs() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(F, B, K, generator=rng), torch.randn(F, B, generator=rng)


def test_ccc_of_the_whole_batch_by_hand() -> None:
    # y (0, 1, 2, 3), p (1, 2, 3, 5): means 1.5 and 2.75, variances 1.25 and 2.1875, covariance 1.625:
    # 2 · 1.625 / (1.25 + 2.1875 + 1.5625) = 0.65
    numbers, output = torch.tensor([[0.0, 1, 2, 3]]), torch.tensor([[1.0, 2, 3, 5]])
    assert ccc(output, numbers, torch.full((1, 4), 0.25)).item() == pytest.approx(1 - 0.65, abs=1e-6)
    constant = torch.full((1, 4), 0.5, requires_grad=True)
    loss = ccc(constant, numbers, torch.full((1, 4), 0.25))
    assert loss.item() == pytest.approx(1, abs=1e-6)
    loss.sum().backward()
    assert constant.grad is not None
    assert constant.grad.abs().max() > 0.1


def test_ccc_has_no_part_of_padding() -> None:
    _, output = outputs()
    numbers = torch.randn(F, B, generator=torch.Generator().manual_seed(1))
    weights = torch.tensor([[1 / 3, 1 / 3, 1 / 3, 0, 0], [0.2] * 5])
    losses = ccc(output, numbers, weights)
    for fold, n in enumerate((3, 5)):
        own = output[fold, :n].double().numpy()[None], numbers[fold, :n].double().numpy()[None]
        centred = own[0] - own[0].mean(), own[1] - own[1].mean()
        gap = (own[0].mean() - own[1].mean()) ** 2
        wanted = 2 * (centred[0] * centred[1]).mean() / (own[0].var() + own[1].var() + gap)
        assert losses[fold].item() == pytest.approx(1 - wanted, abs=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_objective_of_padded_folds_is_torch_on_the_real_samples(balanced: bool) -> None:
    rng = torch.Generator().manual_seed(2)
    labels, numbers = torch.randint(0, K, (20,), generator=rng), torch.randn(20, generator=rng)
    shares = torch.rand(20, K, generator=rng).softmax(1)
    references = {"labels": labels, "numbers": numbers, "errors": numbers, "shares": shares}
    losses = {
        "labels": "cross_entropy",
        "numbers": "squared_error",
        "errors": "absolute_error",
        "shares": "cross_entropy",
    }
    learned = [torch.arange(12), torch.arange(8, 20)]
    objective = Objective.of(references, losses, learned if balanced else [])
    rows = torch.tensor([[3, 7, 11, -1, -1], [8, 19, 10, 13, 9]])
    scores, values = outputs()
    given = {"labels": scores, "numbers": values, "errors": values, "shares": scores}
    total = objective.loss(given, rows, objective.weights(rows))
    for fold, n in enumerate((3, 5)):
        own = rows[fold, :n]
        weight, soft = None, torch.ones(n)
        if balanced:
            weight = balanced_weights(labels[learned[fold]], K)
            soft = shares[own] @ balanced_weights(shares[learned[fold]], K)
        wanted = nn.functional.cross_entropy(scores[fold, :n], labels[own], weight=weight)
        wanted += nn.functional.mse_loss(values[fold, :n], numbers[own])
        wanted += nn.functional.l1_loss(values[fold, :n], numbers[own])
        each = nn.functional.cross_entropy(scores[fold, :n], shares[own], reduction="none")
        wanted += (each * soft).sum() / soft.sum()
        assert total[fold].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(torch.tensor(labels), 3), wanted, rtol=1e-6)
    assert balanced_weights(torch.tensor([0, 0, 2, -1]), 3).tolist() == pytest.approx([0.5, 0, 1])


def test_references_that_are_not_known_have_no_part() -> None:
    references = {"labels": torch.tensor([0, -1, 2, 1]), "numbers": torch.tensor([1.0, 2.0, float("nan"), 0.5])}
    objective = Objective.of(references, {"labels": "cross_entropy", "numbers": "squared_error"})
    scores = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(3), requires_grad=True)
    values = torch.zeros(1, 4, requires_grad=True)
    rows = torch.tensor([[0, 1, 2, 3]])
    loss = objective.loss({"labels": scores, "numbers": values}, rows, objective.weights(rows))
    known = [0, 2, 3]
    wanted = nn.functional.cross_entropy(scores[0, known], references["labels"][known])
    wanted = wanted + torch.tensor([1.0, 4.0, 0.25]).mean()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    loss.sum().backward()
    assert scores.grad is not None
    assert values.grad is not None
    assert scores.grad[0, 1].tolist() == [0, 0, 0]
    assert values.grad[0, 2].item() == 0
    # a batch in which nothing is known has no loss, and no gradient that is not a number
    only = torch.tensor([[1]])
    weights = objective.weights(only)
    assert weights["labels"].item() == 0
    assert objective.loss({"labels": scores[:, :1], "numbers": values[:, :1]}, only, weights).isfinite().all()


def test_a_dialogue_counts_as_many_times_as_it_has_samples() -> None:
    objective = Objective.of({"numbers": torch.arange(5.0)}, {"numbers": "squared_error"})
    rows = torch.tensor([[[0, 1, 2, 3], [4, -1, -1, -1]]])
    loss = objective.loss({"numbers": torch.zeros(1, 2, 4)}, rows, objective.weights(rows))
    assert loss.item() == pytest.approx((0 + 1 + 4 + 9 + 16) / 5)


@pytest.mark.parametrize(
    ("references", "loss", "allowed"),
    [
        (torch.tensor([0, 1]), "ccc", "cross_entropy"),
        (torch.tensor([0.5, 1.0]), "cross_entropy", "squared_error, absolute_error, ccc"),
        (torch.tensor([0.5, 1.0]), "mse", "squared_error, absolute_error, ccc"),
    ],
)
def test_a_loss_that_a_target_cannot_have_is_refused(references: torch.Tensor, loss: str, allowed: str) -> None:
    with pytest.raises(UsageError, match=f"target 'x' cannot have the loss '{loss}'; allowed: {allowed}"):
        Objective.of({"x": references}, {"x": loss})


def test_the_mean_loss_of_a_network_of_its_own_leaves_padding_and_what_is_not_known_out() -> None:
    real = torch.tensor([True, True, True, False])
    numbers = torch.tensor([1.0, float("nan"), -3.0, 9.0])
    output = torch.zeros(4, requires_grad=True)
    loss = mean_loss("absolute_error", output, numbers, real)
    assert loss.item() == 2  # (1 + 3) / 2
    loss.backward()
    assert output.grad is not None and output.grad.tolist() == [-0.5, 0, 0.5, 0]
    scores, codes = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([2, 0, -1, 1])
    wanted = nn.functional.cross_entropy(scores[:2], codes[:2])
    assert mean_loss("cross_entropy", scores, codes, real).item() == pytest.approx(wanted.item())
    assert mean_loss("cross_entropy", scores, torch.full((4,), -1), real).item() == 0


def test_distances_of_moments_by_hand() -> None:
    a, b = torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[0.0, 1], [1, 1], [2, 0]])
    # means (2/3, 2/3) and (1, 2/3); variances (2/9, 2/9) and (2/3, 2/9); third moments (-2/27, -2/27) and (0, -2/27)
    assert moment_distance(a, b, 3).item() == pytest.approx(1 / 3 + 4 / 9 + 2 / 27, abs=1e-6)
    own = a.clone().requires_grad_()
    moment_distance(own, a, 3).backward()
    assert own.grad is not None and not own.grad.any()


def test_of_several_labels_those_that_are_known_count() -> None:
    # sample 0 knows its first and last label, sample 2 none: the loss is the mean of the means of samples 0 and 1
    references = torch.tensor([[1, -1, 0], [0, 1, 1], [-1, -1, -1]])
    scores = torch.tensor([[0.5, 9.0, -1.0], [1.0, 0.0, 2.0], [3.0, 3.0, 3.0]], requires_grad=True)
    objective = Objective.of({"units": references}, {"units": "binary_cross_entropy"})
    rows = torch.tensor([[0, 1, 2, -1]])
    outputs = torch.cat([scores, torch.zeros(1, 3)])[None]
    loss = objective.loss({"units": outputs}, rows, objective.weights(rows))
    bce = nn.functional.binary_cross_entropy_with_logits
    first = bce(scores[0, [0, 2]], torch.tensor([1.0, 0.0]))
    wanted = (first + bce(scores[1], torch.tensor([0.0, 1, 1]))) / 2
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    real = torch.ones(3, dtype=torch.bool)
    assert mean_loss("binary_cross_entropy", scores, references, real).item() == pytest.approx(wanted.item(), rel=1e-6)
    loss.sum().backward()
    assert scores.grad is not None and scores.grad[2].abs().sum() == 0 and scores.grad[0, 1] == 0
    with pytest.raises(UsageError, match=r"target 'units' cannot have the loss 'cross_entropy'; allowed: binary_cross"):
        Objective.of({"units": references}, {"units": "cross_entropy"})
