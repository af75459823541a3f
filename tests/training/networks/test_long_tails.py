"""Sinkhorn, the choice of samples, mixes, and the steps of SoLar."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.label_sets import confidences
from merbench.training.networks.layers import generator
from merbench.training.networks.long_tails import chosen_samples, sinkhorn
from merbench.training.networks.network import Shape
from merbench.training.networks.semi_supervised import Mix

WIDTHS = {"loud": 6, "quiet": 4}
N = 9
QUICK = {"hidden": 8, "epochs": 4, "batch_size": 4, "standardise": True}


def made_up(n: int, k: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return probabilities within sets, and a prior, in float64."""
    rng = torch.Generator().manual_seed(seed)
    sets = torch.rand(n, k, generator=rng) < 0.6
    sets[torch.arange(n), torch.arange(n) % k] = True
    scores = torch.randn(n, k, generator=rng, dtype=torch.float64)
    prior = 3.0 ** -torch.arange(k, dtype=torch.float64)
    return scores.softmax(-1) * sets, prior / prior.sum()


def converged(matrix: Tensor, prior: Tensor, power: float) -> Tensor:
    return sinkhorn(matrix, prior, power, steps=20_000, tolerance=0.0)


def test_sinkhorn_has_the_marginals_and_is_the_matrix_with_scaled_rows_and_columns() -> None:
    matrix, prior = made_up(200, 5)
    shares = converged(matrix, prior, 3.0)
    torch.testing.assert_close(shares.sum(1), torch.ones(200, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(shares.mean(0), prior, atol=1e-9, rtol=0)
    assert torch.equal(shares > 0, matrix > 0)
    # there is one matrix diag(u) M^3 diag(v) with these marginals: log Q - 3 log M is a term of the row and of the column
    rest = (shares.log() - 3 * matrix.log()).numpy()
    full = (matrix > 0).all(1).numpy()
    assert full.sum() > 5
    centred = rest[full] - rest[full].mean(1, keepdims=True)
    np.testing.assert_allclose(centred, np.broadcast_to(centred[:1], centred.shape), atol=1e-9)
    single = sinkhorn(matrix.float(), prior.float(), 3.0, tolerance=0.0)
    torch.testing.assert_close(single.double(), sinkhorn(matrix, prior, 3.0, tolerance=0.0), atol=1e-5, rtol=0)


def test_sinkhorn_of_folds_is_that_of_each_and_padding_and_the_scale_of_rows_change_nothing() -> None:
    (first, prior), (second, _) = made_up(30, 4), made_up(30, 4, 1)
    second[20:] = 0
    both = sinkhorn(torch.stack([first, second]), torch.stack([prior, prior.flip(0)]), 2.0, tolerance=0.0)
    torch.testing.assert_close(both[0], sinkhorn(first, prior, 2.0, tolerance=0.0))
    torch.testing.assert_close(both[1, :20], sinkhorn(second[:20], prior.flip(0), 2.0, tolerance=0.0))
    assert not both[1, 20:].any()
    scales = torch.rand(30, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(sinkhorn(first * scales, prior, 2.0), sinkhorn(first, prior, 2.0))


def test_steps_end_when_the_tenth_changes_little() -> None:
    matrix, prior = made_up(50, 4)
    matrix = matrix.clamp_min(0.3)  # converges fast
    ten = sinkhorn(matrix, prior, 1.0, steps=10, tolerance=0.0)
    assert torch.equal(sinkhorn(matrix, prior, 1.0, tolerance=1.0), ten)
    assert not torch.equal(sinkhorn(matrix, prior, 1.0, tolerance=0.0), ten)


def test_a_label_that_no_row_has_gives_finite_shares_within_the_sets() -> None:
    matrix, prior = made_up(40, 4)
    matrix[:, 0] = 0  # which the prior gives two thirds to
    whole = made_up(40, 4, 1)[0]
    shares = sinkhorn(torch.stack([matrix, whole]), prior.expand(2, -1), 3.0)
    assert shares.isfinite().all() and not shares[0, :, 0].any()
    assert torch.equal(shares[0] > 0, matrix > 0)
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 40, dtype=torch.float64))
    torch.testing.assert_close(shares[1], sinkhorn(whole, prior, 3.0, tolerance=0.0), atol=1e-3, rtol=0)
    every = sinkhorn(torch.eye(4)[torch.zeros(6, dtype=torch.long)], torch.full((4,), 0.25), 3.0)
    assert torch.equal(every, torch.eye(4)[torch.zeros(6, dtype=torch.long)])  # one class left


def test_extreme_predictions_give_finite_shares() -> None:
    matrix = torch.tensor([[1.0, 1e-38], [1e-30, 1e-38], [1e-38, 1.0], [0.0, 1.0], [1e-20, 0.0]])
    shares = sinkhorn(matrix, torch.tensor([0.9, 0.1]), 3.0)
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(5))


def test_the_chosen_are_the_lowest_losses_of_each_label() -> None:
    losses = torch.tensor([[0.5, 0.1, 0.3, 0.2, 0.4, 0.9, 0.0, 0.3]])
    labels = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 0]])
    known = torch.tensor([[True] * 7 + [False]])
    prior = torch.tensor([[0.8, 0.1, 0.1]])
    # seven samples: ⌈.4 · 7 · .8⌉ = 3 of label 0, and ⌈.28⌉ = 1 of label 1
    chosen = chosen_samples(losses, labels, prior, 0.4, known)
    assert chosen[0].nonzero().flatten().tolist() == [1, 2, 3, 6]
    # at a share of 0 one of each; of equal losses the first ones
    assert chosen_samples(losses, labels, prior, 0.0, known)[0].nonzero().flatten().tolist() == [1, 6]
    equal = chosen_samples(torch.zeros_like(losses), labels, prior, 0.4, known)
    assert equal[0].nonzero().flatten().tolist() == [0, 1, 2, 5]


def test_mixes_are_of_chosen_samples_in_another_order() -> None:
    torch.manual_seed(0)
    chosen = torch.tensor([[True, False, True, True, False], [False, True, False, False, False]])
    mix = Mix.drawn(chosen, 4.0)
    assert 0.5 <= mix.weight < 1
    for fold, partner in zip(chosen, mix.partner, strict=True):
        own = fold.nonzero().flatten().tolist()
        assert sorted(partner[fold].tolist()) == own
    orders = {tuple(Mix.drawn(chosen, 4.0).partner[0].tolist()) for _ in range(200)}
    assert len(orders) == 6 * 2  # all orders of three, and of the two others
    x = torch.arange(10.0).view(2, 5, 1)
    torch.testing.assert_close(mix.of(x)[1, 1], x[1, 1])  # the only one is mixed with itself
    wanted = mix.weight * x[0, 0] + (1 - mix.weight) * x[0, mix.partner[0, 0]]
    torch.testing.assert_close(mix.of(x)[0, 0], wanted)
    has = torch.tensor([[True, False, False, True, False]] * 2)
    batch = mix.of_batch(Batch({"loud": x}, {}, {"loud": has}, torch.arange(5).expand(2, 5)))
    assert torch.equal(batch.present["loud"], has | has.gather(-1, mix.partner))
    weights = [Mix.drawn(chosen, 4.0).weight for _ in range(2000)]
    # the mean of max(l, 1 - l) under Beta(4, 4) is 1/2 + E|l - 1/2| = .5 + 35/256
    assert np.mean(weights) == pytest.approx(0.5 + 35 / 256, abs=0.01)


def network_of(base: str, name: str = "solar", **options: Any) -> Any:
    """Return the network of one or two folds, of three labels, with sets of nine samples."""
    loaded = load_baseline(name)
    own = {"base": base, "base_options": {**QUICK, "epochs": 3} if base == "misa" else QUICK, **options}
    guarded: Any = loaded.build(loaded.options("any", own), Setup(device_name="cpu"))
    built = guarded.built
    folds = 2 if built.together else 1
    torch.manual_seed(0)
    shape = Shape(WIDTHS, {"label": 3}, [generator("cpu", n) for n in range(folds)], generator("cpu", "noise"))
    network = built.make(shape)
    sets = torch.ones(N, 3, dtype=torch.bool).tril(1)[torch.arange(N)]
    network.remember_sets({"label": sets}, [torch.arange(N)] * folds, layered=built.together)
    return network.train()


def batch_of(network: Any, rows: list[int], epoch: int) -> Batch:
    folds = [2] if network.all_sets("label").ndim == 3 else []
    samples = torch.tensor(rows).expand(*folds, -1)
    rng = torch.Generator().manual_seed(len(rows))
    inputs = {name: torch.randn(*samples.shape, width, generator=rng) for name, width in WIDTHS.items()}
    return Batch(inputs, {}, {name: samples >= 0 for name in WIDTHS}, samples, epoch=epoch)


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_the_first_epoch_learns_by_the_sets_and_a_queue_keeps_predictions_without_padding(base: str) -> None:
    network = network_of(base, queue=2)  # of batches of 4: eight places
    before = network.all_confidences("label").clone()
    outputs, losses = network(batch_of(network, [0, 1, 2, -1], 1))
    if base == "lf-dnn":  # the other one has losses of its own
        log_p = outputs["label"].log_softmax(-1)[..., :3, :]
        torch.testing.assert_close(losses["loss"], -(before[..., :3, :] * log_p).sum(-1).mean(-1))
    queue = network.remembered.queue
    now = confidences(outputs["label"], network.all_sets("label")[..., :4, :])
    torch.testing.assert_close(queue[..., :3, :], now[..., :3, :].detach())
    assert not queue[..., 3:, :].any() and (network.remembered.place == 4).all()
    network(batch_of(network, [3, 4, 5, 6], 1))
    network(batch_of(network, [7, 8], 1))
    assert (network.remembered.place == 2).all()
    assert (queue.sum(-1)[..., [0, 1, 2, 4, 5, 6, 7]] > 0).all() and not queue[..., 3, :].any()


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_the_prior_moves_once_an_epoch_by_the_most_confident_labels(base: str) -> None:
    network = network_of(base, prior_momentum=0.75)
    torch.testing.assert_close(network.remembered.prior, torch.full_like(network.remembered.prior, 1 / 3))
    network(batch_of(network, [0, 1, 2, 3], 1))
    q = network.all_confidences("label")
    q.zero_()
    q[..., [0, 1, 2, 3], 0] = 1.0
    q[..., [4], 2] = 1.0  # the other four have no set
    network(batch_of(network, [5, 6, -1, -1], 2))
    network(batch_of(network, [0, 1], 2))
    # .75 / 3 + .25 · (4/5, 0, 1/5)
    wanted = torch.tensor([0.45, 0.25, 0.30]).expand_as(network.remembered.prior)
    torch.testing.assert_close(network.remembered.prior, wanted)


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
@pytest.mark.parametrize("name", ["solar", "after-pl-regularisation", "records"])
def test_losses_and_gradients_are_finite_also_of_padding_and_of_a_batch_of_one(base: str, name: str) -> None:
    network = network_of(base, name)
    for epoch, rows in ((1, [0, 1, 2]), (2, [3, -1, -1]), (2, [4]), (3, [5, 6, 7, 8])):
        _, losses = network(batch_of(network, rows, epoch))
        total = torch.stack([loss.sum() for loss in losses.values()]).sum()
        network.zero_grad()
        total.backward()
        gradients = [part.grad for part in network.parameters() if part.grad is not None]
        assert total.isfinite() and gradients and all(part.isfinite().all() for part in gradients)


def test_the_running_mean_of_records_is_a_weighted_mean_from_the_first_batch_on() -> None:
    network = network_of("lf-dnn", "records", momentum=0.9)
    first, second = torch.randn(2, 3, network.width), torch.randn(2, 3, network.width)
    real = torch.tensor([[True, True, False]] * 2)
    network.bias(first, real)
    bias = network.bias(second, real)["label"]
    mean = (0.9 * 0.1 * first[:, :2].mean(1) + 0.1 * second[:, :2].mean(1)) / (1 - 0.9**2)
    wanted = network.network.heads(mean[:, None])["label"].softmax(-1)
    torch.testing.assert_close(bias, wanted)
    network.bias(torch.full((2, 3, network.width), math.nan).masked_fill(~real[..., None], 0), real & False)
    torch.testing.assert_close(network.remembered.counted, torch.full((2, 1, 1), 2.0))
