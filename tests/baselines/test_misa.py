from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from merbench.errors import UsageError
from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from tests.baselines.networks import batch_of, network_of

WIDTHS = {"audio": 5, "video": 3, "text": 4}
LABELS = {"discrete": 3, "valence": None}
SMALL = {"hidden": 8, "feed_forward": 16}
EVERY_LOSS = {"similarity": 0.5, "difference": 0.25, "reconstruction": 2.0}

model = load_baseline("misa").module


def training_batch(n: int, widths: dict[str, int] = WIDTHS) -> Batch:
    targets = {"discrete": torch.zeros(n, dtype=torch.int64), "valence": torch.zeros(n)}
    return replace(batch_of(widths, n), targets=targets, epoch=1)


def identical(batch: Batch) -> Batch:
    return replace(batch, inputs={name: x[:1].expand_as(x) for name, x in batch.inputs.items()})


def test_without_weights_it_is_a_plain_network() -> None:
    none = dict.fromkeys(EVERY_LOSS, 0.0)
    outputs, own = network_of("misa", WIDTHS, LABELS, **SMALL, **none)(training_batch(6))
    assert own == {}
    weighted, losses = network_of("misa", WIDTHS, LABELS, **SMALL, **EVERY_LOSS)(training_batch(6))
    assert set(losses) == set(EVERY_LOSS)
    assert all(torch.equal(outputs[name], weighted[name]) for name in LABELS)


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_a_loss_grows_with_its_weight(name: str) -> None:
    once, thrice = (network_of("misa", WIDTHS, LABELS, **SMALL, **{name: weight}) for weight in (1.0, 3.0))
    torch.testing.assert_close(thrice(training_batch(6))[1][name], 3 * once(training_batch(6))[1][name])


def test_moment_distances_of_spaces_that_are_known() -> None:
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0.0, -4.0])  # √(3² + 4²) = 5, and all central moments stay
    torch.testing.assert_close(model.moment_distance(rows, rows + shift), torch.tensor(5.0), rtol=1e-5, atol=0)
    # ±1 against ±2 in one column: the moments differ by 4 - 1 and 16 - 1; those of odd orders are 0
    signs = torch.tensor([[1.0], [-1.0]])
    assert float(model.moment_distance(signs, 2 * signs)) == pytest.approx(3 + 15)
    assert float(model.mean_distance([rows])) == 0
    # the mean over three pairs: 5, 0 and 5
    assert float(model.mean_distance([rows, rows + shift, rows])) == pytest.approx(10 / 3, rel=1e-5)


def test_columns_that_vary_with_each_other_overlap_and_others_do_not() -> None:
    # Centred, unit rows: AᵀB is (1 · 1) · 4 for the same column, and 0 for a column that is orthogonal to it.
    first, second = torch.tensor([[1.0, 1.0, -1.0, -1.0], [1.0, -1.0, 1.0, -1.0]])[..., None]
    assert float(model.difference(first, first)) == pytest.approx(16, rel=1e-5)
    assert float(model.difference(first, second)) == 0
    # private with shared: 16 + 0; private with private: 0
    assert float(model.overlap([first, second], [first, first])) == pytest.approx(16, rel=1e-5)


def total(returned: tuple[dict[str, Tensor], dict[str, Tensor]]) -> Tensor:
    outputs, losses = returned
    return torch.stack([*(x.square().sum() for x in outputs.values()), *losses.values()]).sum()


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("features", [["audio"], ["audio", "video"], ["audio", "video", "text"]])
def test_gradients_of_identical_rows_are_finite(n: int, features: list[str]) -> None:
    widths = {name: WIDTHS[name] for name in features}
    network = network_of("misa", widths, LABELS, **SMALL, **EVERY_LOSS).train()
    loss = total(network(identical(training_batch(n, widths))))
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_padding_is_no_part_of_the_losses() -> None:
    network, batch = network_of("misa", WIDTHS, LABELS, **SMALL, **EVERY_LOSS), training_batch(6)
    padded = replace(batch, samples=torch.tensor([0, 1, -1, 3, 4, -1]))
    real = replace(batch, inputs={name: x[padded.real] for name, x in batch.inputs.items()}, samples=torch.arange(4))
    for name, loss in network(real)[1].items():
        torch.testing.assert_close(network(padded)[1][name], loss)
        assert not torch.isclose(network(batch)[1][name], loss)


def test_private_spaces_that_are_the_shared_one_are_as_close() -> None:
    network = network_of("misa", WIDTHS, LABELS, **SMALL)
    assert network.diagnostics(batch_of(WIDTHS))["shared_closer"] != 0
    for layer in network.private:
        layer.load_state_dict(network.shared.state_dict())
    shown = network.diagnostics(batch_of(WIDTHS))
    assert shown["shared_closer"] == 0
    assert shown["private_distance"] == shown["shared_distance"] > 0
    assert network_of("misa", {"text": 4}, LABELS, **SMALL).diagnostics(batch_of({"text": 4})) == {}


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(UsageError, match="hidden: 7 is odd"):
        network_of("misa", WIDTHS, LABELS, hidden=7)
