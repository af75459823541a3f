"""What IRNet and ALIM do with sets that lack the right label, by hand and step by step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from merbench.errors import UsageError
from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.contrast import Seen
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from merbench.training.networks.noisy_sets import estimated_eta, reaches_plateau, set_margins

WIDTHS = {"loud": 6, "quiet": 4}
SETS = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)


def network_of(name: str, base: str = "lf-dnn", **options: Any) -> Any:
    """Return the network of one or two folds, of four labels, with `SETS`; the last sample is not learned from."""
    loaded = load_baseline(name)
    own = {"queue": 4, "width": 3, "base": base, **options}
    own["base_options"] = {"hidden": 8, "epochs": 12, "standardise": True}
    guarded: Any = loaded.build(loaded.options("any", own), Setup(device_name="cpu"))
    built = guarded.built
    folds = 2 if built.together else 1
    torch.manual_seed(0)
    shape = Shape(WIDTHS, {"label": 4}, [generator("cpu", n) for n in range(folds)], generator("cpu", "noise"))
    network = built.make(shape)
    network.remember_sets({"label": SETS}, [torch.arange(4)] * folds, layered=built.together)
    return network.train()


def batch_of(network: Any, rows: list[int], epoch: int) -> Batch:
    folds = [2] if network.prototypes.ndim == 3 else []
    samples = torch.tensor(rows).expand(*folds, -1)
    rng = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(*samples.shape, width, generator=rng) for name, width in WIDTHS.items()}
    return Batch(inputs, {}, {name: samples >= 0 for name in WIDTHS}, samples, epoch=epoch)


def seen_of(network: Any, nearest: list[list[float]], rows: list[int], epoch: int) -> Seen:
    batch = batch_of(network, rows, epoch)
    chances = torch.tensor(nearest[: len(rows)]).expand(*batch.samples.shape, 4)
    sets = network.of_batch(network.all_sets("label"), batch)
    return Seen(batch, chances.log(), sets, chances, chances, chances, chances.argmax(-1))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_eta_is_the_weight_of_the_lower_gaussian_as_scikit_learn_fits_it(share: float) -> None:
    rng = np.random.default_rng(0)
    is_noisy = rng.random(2000) < share
    x = np.where(is_noisy, rng.normal(-1.5, 0.8, 2000), rng.normal(1.5, 0.8, 2000))
    fitted = GaussianMixture(2, covariance_type="tied", tol=1e-9, max_iter=1000, random_state=0).fit(x[:, None])
    wanted = fitted.weights_[fitted.means_[:, 0].argmin()]
    assert estimated_eta(np.exp(x)) == pytest.approx(wanted, abs=1e-3)
    assert wanted == pytest.approx(share, abs=0.03)


def test_eta_of_nothing_or_of_equal_margins_is_0() -> None:
    assert estimated_eta(np.empty(0)) == estimated_eta(np.full(9, 0.3)) == estimated_eta(np.array([0.5])) == 0
    assert 0 <= estimated_eta(np.array([0.0, 1e9, 1.0])) <= 1


def test_a_plateau_needs_a_whole_window_of_values_that_are_defined() -> None:
    assert not reaches_plateau([0.5] * 5, 6) and reaches_plateau([0.5] * 6, 6)
    assert not reaches_plateau([0.5] * 5 + [math.nan], 6)
    assert not reaches_plateau([0.1 * n for n in range(20)], 6)
    # a window of 20 compares with two epochs before; (.5 · 10 + 0) / 11 and .5: a fall by a single bad epoch counts
    assert reaches_plateau([0.5] * 30 + [0.0], 20)


def test_a_margin_is_that_of_a_set_with_the_labels_outside() -> None:
    chances = torch.tensor([[0.4, 0.1, 0.2, 0.3]]).expand(4, 4)
    wanted = [0.4 / 0.3, 0.4 / 0.3, 0.3 / 0.4, 0.4 / 1e-9]
    np.testing.assert_allclose(set_margins(chances, SETS[:4]), wanted, rtol=1e-5)


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_values_of_validation_decide_the_start_of_every_fold(base: str) -> None:
    network = network_of("irnet", base, plateau_window=3)
    folds = network.remembered.started.numel()
    for epoch, value in enumerate([0.1, 0.2, 0.3, 0.3, 0.1], 1):
        for fold in range(folds):
            network.validated(fold, epoch, value + fold * epoch)  # the second fold grows for ever
    # the mean of .3 and .3 is above that of .2, .3 and .3; that of .3 and .1 is below that of .3, .3 and .1
    assert network.remembered.started.flatten().tolist() == [6.0, 0.0][:folds]
    network(batch_of(network, [0, 1], 5))
    assert not network.is_started.any()
    network(batch_of(network, [0, 1], 6))
    assert network.is_started.flatten().tolist() == [True, False][:folds]
    fixed = network_of("irnet", base, start_epoch=3, plateau_window=3)
    for epoch in (1, 2, 3):
        fixed.validated(0, epoch, 0.5)
        fixed(batch_of(fixed, [0, 1], epoch))
        assert fixed.is_started.all() == (epoch == 3)


def corrected(
    network: Any,
    others: list[list[float]],
    rows: list[int],
    monkeypatch: pytest.MonkeyPatch,
    started: list[bool] | None = None,
) -> None:
    """Correct sets of which this view finds the last label outside, while the other view has these probabilities."""
    network(batch_of(network, rows, 2))
    if started:
        network.is_started = torch.tensor(started)
    first = [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.2], *[[0.1, 0.2, 0.3, 0.4]] * 2]
    seen = seen_of(network, first, rows, 2)
    chances = torch.tensor(others[: len(rows)])
    # with the unit matrix for prototypes, softmax(log p) is p
    network.remembered.prototypes = torch.eye(4).expand(*network.prototypes.shape[:-2], 4, 4)
    query = chances.log().expand(*seen.scores.shape)
    monkeypatch.setattr(network, "embedded", lambda batch: ({"label": query}, {}, query))
    network.after(seen)


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
@pytest.mark.parametrize("test", ["prototypes", "automatic"])
def test_a_set_is_corrected_where_all_views_miss_the_same_label(
    base: str, test: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of("irnet", base, start_epoch=2, test=test, thresholds="own", eta=0.3, prototype_epoch=9)
    # the first misses the last label twice; the second view of the second one another; the third misses the first one
    others = [[0.1, 0.2, 0.2, 0.5], [0.1, 0.2, 0.5, 0.2], [0.7, 0.1, 0.1, 0.1], *[[0.1, 0.2, 0.3, 0.4]] * 2]
    corrected(network, others, [0, 1, 2, 3, 4], monkeypatch)
    sets, q = network.all_sets("label"), network.all_confidences("label")
    wanted = SETS.clone()
    if test == "prototypes":
        wanted[0, 3] = True
    # sets of 2, 1, 2 and 4 labels: q is (9 / 4 - 1) / 3 = .4167, q' is .5167, k is .4581; .2 / .4 is not below it
    assert network.q[0] == pytest.approx(1.25 / 3)
    wanted[2, 0] = True  # .2 / .5 and .1 / .7 are
    assert (sets == wanted).all()
    # halves, and .5 for the new label: a third each
    torch.testing.assert_close(q[..., 2, :], torch.tensor([1 / 3, 0, 1 / 3, 1 / 3]).expand(*q.shape[:-2], 4))
    torch.testing.assert_close(q[..., 1, :], torch.tensor([1.0, 0, 0, 0]).expand(*q.shape[:-2], 4))
    assert not q[..., 4, :].any() and not sets[..., 4, :].any()


def test_the_weakest_label_leaves_and_padding_and_believed_sets_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [[0.1, 0.2, 0.2, 0.5]] * 4
    network = network_of("irnet", start_epoch=2, thresholds="own", removes=True, prototype_epoch=9)
    corrected(network, others, [0, 1, -1, -1], monkeypatch)
    sets, q = network.all_sets("label")[0], network.all_confidences("label")[0]
    # .1 is below .2: the first label leaves the first set, and the only one leaves the second
    assert sets[:2].int().tolist() == [[0, 1, 0, 1], [0, 0, 0, 1]]
    torch.testing.assert_close(q[:2], torch.tensor([[0, 0.5 / 0.9, 0, 0.4 / 0.9], [0.0, 0, 0, 1]]))
    assert torch.equal(sets[2:], torch.cat([SETS[2:4], torch.zeros(1, 4, dtype=torch.bool)]))
    of_folds = network_of("irnet", start_epoch=2, thresholds="own", prototype_epoch=9)
    corrected(of_folds, others, [0], monkeypatch, started=[False, True])
    assert of_folds.all_sets("label")[:, 0, 3].tolist() == [False, True]
    for options in ({"start_epoch": 9}, {"start_epoch": 2, "corrects": False}, {"start_epoch": 2, "eta": 0.0}):
        other = network_of("irnet", thresholds="own", prototype_epoch=9, test="automatic", **options)
        corrected(other, others, [0, 1, 2, 3], monkeypatch)
        assert (other.all_sets("label")[0, :4] == SETS[:4]).all()


def test_sets_that_say_nothing_have_no_automatic_test() -> None:
    network = network_of("irnet", test="automatic", eta=1.0)
    with pytest.raises(UsageError, match="the automatic test needs η, and q \\+ η / \\(K - 1\\), below 1; η is 1"):
        network(batch_of(network, [0, 1], 1))


@pytest.mark.parametrize("base", ["lf-dnn", "misa"])
def test_lambda_is_the_quantile_of_the_margins_of_the_epoch_before(base: str) -> None:
    network = network_of("alim", base, start_epoch=2, eta=0.5, prototype_temperature=1.0)
    network(batch_of(network, [0, 1], 1))
    assert not network.importance.any()
    # the set of all labels, and the sample that is not learned from, do not count
    first = [[0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.5, 0.2], [0.1, 0.2, 0.3, 0.4], [0.25] * 4]
    network.after(seen_of(network, first, [0, 1, 2, 3, 4], 1))
    network.begin(2)
    assert not network.importance.any()  # it has not started
    network(batch_of(network, [0, 1], 2))
    # .2 / .4, .1 / .4 and .5 / .2: ⌊3 / 2⌋ is 1, the second of them
    assert network.importance.flatten().tolist() == pytest.approx([0.5] * network.importance.numel())
    seen = seen_of(network, first, [0, 1, 2, 3], 2)
    # weighted: (.1, .2, .15, .2), (.1, .1, .15, .2), (.05, .1, .5, .2), …
    assert network.likely(seen.scores, seen.sets).view(-1, 4)[0, 1:].tolist() == [3, 2, 3]
    scaled = network_of("alim", base, start_epoch=2, eta=0.5, prototype_temperature=1.0, variant="scaled")
    scaled(batch_of(scaled, [0, 1], 2))
    scaled.importance = torch.full_like(scaled.importance, 0.5)
    before = scaled.of_batch(scaled.all_confidences("label"), seen.batch)
    past = scaled.past_share(2)
    moved = (scaled.renewed(seen, before) - past * before) / (1 - past)
    wanted = torch.tensor([0.1, 0.1, 0.15, 0.2]) / 0.55
    torch.testing.assert_close(moved[..., 1, :], wanted.expand(*moved.shape[:-2], 4), atol=1e-5, rtol=1e-5)
