"""The contrast, prototypes and queue of PiCO, by hand and step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.contrast import contrastive_loss, moved_prototypes
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

WIDTHS = {"loud": 6, "quiet": 4}
N = 9


def test_the_contrast_is_that_of_a_loop() -> None:
    rng = torch.Generator().manual_seed(0)
    anchors = nn.functional.normalize(torch.randn(4, 5, generator=rng), dim=-1)
    others = nn.functional.normalize(torch.randn(7, 5, generator=rng), dim=-1)
    counted = torch.rand(4, 7, generator=rng) < 0.7
    positive = counted & (torch.rand(4, 7, generator=rng) < 0.5)
    positive[2] = False
    each, has = contrastive_loss(anchors, others, positive, counted, 0.3)
    for i in range(4):
        terms = [float((anchors[i] @ others[j] / 0.3).exp()) for j in range(7) if counted[i, j]]
        wanted = [-np.log(float((anchors[i] @ others[j] / 0.3).exp()) / sum(terms)) for j in range(7) if positive[i, j]]
        assert bool(has[i]) == bool(wanted)
        assert each[i].item() == pytest.approx(np.mean(wanted) if wanted else 0.0, abs=1e-5)


def test_an_anchor_with_nothing_to_compare_has_no_loss_and_finite_gradients() -> None:
    anchors = nn.functional.normalize(torch.ones(2, 3), dim=-1).requires_grad_()
    nothing = torch.zeros(2, 4, dtype=torch.bool)
    each, has = contrastive_loss(anchors, torch.ones(4, 3), nothing, nothing, 0.1)
    assert not has.any() and not each.any()
    (gradient,) = torch.autograd.grad(each.sum(), anchors)
    assert gradient.isfinite().all() and not gradient.any()


def test_prototypes_move_as_one_after_the_other() -> None:
    rng = torch.Generator().manual_seed(1)
    before = nn.functional.normalize(torch.randn(2, 3, 5, generator=rng), dim=-1)
    embeddings = nn.functional.normalize(torch.randn(2, 8, 5, generator=rng), dim=-1)
    labels = torch.randint(0, 2, (2, 8), generator=rng)
    counted = torch.rand(2, 8, generator=rng) < 0.8
    moved = moved_prototypes(before, embeddings, labels, counted, 0.9)
    for fold in range(2):
        wanted = before[fold].clone()
        for x, label, counts in zip(embeddings[fold], labels[fold].tolist(), counted[fold].tolist(), strict=True):
            if counts:
                wanted[label] = 0.9 * wanted[label] + 0.1 * x
        torch.testing.assert_close(moved[fold], nn.functional.normalize(wanted, dim=-1))
    assert torch.equal(moved[:, 2], before[:, 2])  # no sample has the third label


def network_of(base: str, **options: Any) -> Any:
    """Return the network of one or two folds, of three labels, with sets of nine samples."""
    loaded = load_baseline("pico")
    own = {
        "queue": 5,
        "width": 4,
        "base": base,
        "base_options": {"hidden": 8, "epochs": 4, "standardise": True},
        **options,
    }
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
    folds = [2] if network.prototypes.ndim == 3 else []
    samples = torch.tensor(rows).expand(*folds, -1)
    rng = torch.Generator().manual_seed(len(rows))
    inputs = {name: torch.randn(*samples.shape, width, generator=rng) for name, width in WIDTHS.items()}
    return Batch(inputs, {}, {name: samples >= 0 for name in WIDTHS}, samples, epoch=epoch)


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_a_queue_keeps_the_last_keys_with_their_labels_and_no_padding(base: str) -> None:
    network = network_of(base)
    network(batch_of(network, [0, 1, 2], 1))
    labels = network.remembered.queue_labels
    assert (labels[..., :3] >= 0).all() and (labels[..., 3:] == -1).all()
    first = network.remembered.queue.clone()
    network(batch_of(network, [3, 4, -1], 1))
    labels = network.remembered.queue_labels
    # places 3, 4, and then 0, which padding takes
    assert (labels[..., [1, 2, 3, 4]] >= 0).all() and (labels[..., 0] == -1).all()
    assert torch.equal(network.remembered.queue[..., 1:3, :], first[..., 1:3, :])
    assert (network.remembered.place == 1).all()
    lengths = network.remembered.queue[..., 1:, :].norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_prototypes_renew_confidences_within_the_sets_from_their_epoch_on(base: str) -> None:
    network = network_of(base, prototype_epoch=2, first_share=0.95, last_share=0.8)
    before = network.all_confidences("label").clone()
    network(batch_of(network, [0, 1, 2, 3], 1))
    assert torch.equal(network.all_confidences("label"), before)
    network(batch_of(network, [0, 1, 2, 3], 2))
    q, sets = network.all_confidences("label"), network.all_sets("label")
    torch.testing.assert_close(q.sum(-1), torch.ones_like(q.sum(-1)))
    assert not q[~sets].any()
    # one label of each has 1 - φ more; φ of the second of four epochs is .95 - .15 / 4
    gained = (q - network.past_share(2) * before)[..., :4, :].amax(-1)
    assert network.past_share(2) == pytest.approx(0.9125)
    torch.testing.assert_close(gained, torch.full_like(gained, 0.0875))
    assert torch.equal(q[..., 4:, :], before[..., 4:, :])  # those of the batch only


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_the_key_encoder_follows_with_momentum_and_has_no_gradient(base: str) -> None:
    network = network_of(base, momentum=0.75)
    start = {name: part.clone() for name, part in network.key_network.named_parameters()}
    _, losses = network(batch_of(network, [0, 1, 2], 2))
    torch.stack([loss.sum() for loss in losses.values()]).sum().backward()
    assert all(part.grad is None for part in network.key_network.parameters())
    assert any(part.grad is not None and part.grad.any() for part in network.projection.parameters())
    with torch.no_grad():
        for part in network.network.parameters():
            part.add_(1.0)
    network.stepped(1)
    for name, part in network.key_network.named_parameters():
        torch.testing.assert_close(part, start[name] + 0.25, atol=1e-5, rtol=1e-5)


def test_before_the_prototypes_a_view_is_drawn_to_its_own_other_view_only() -> None:
    network = network_of("lf-dnn", prototype_epoch=3)
    network(batch_of(network, [0, 1, 2], 1))
    batch = batch_of(network, [3, 4, -1], 1)
    outputs, _, query = network.embedded(batch)
    seen = network._seen(batch, outputs["label"], query, query)
    positive, counted = network._pairs(seen)
    # three weak views, three keys, and a queue of five places, of which three are filled
    assert positive[0].int().tolist() == [[0, 0, 0, 1, 0, 0] + [0] * 5, [0, 0, 0, 0, 1, 0] + [0] * 5, [0] * 11]
    assert counted[0, 0].int().tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0]
    later = network._pairs(network._seen(batch_of(network, [3, 4, -1], 3), outputs["label"], query, query))
    # all but itself and padding
    assert later[1][0, 0].int().tolist() == [0, 1, 0, 1, 1, 0, 1, 1, 1, 0, 0]
    assert later[1][0, 1].int().tolist() == [1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0]
    assert not (later[0] & ~later[1]).any() and later[0][0, 0, 3] and later[0][0, 1, 4]
