from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from tests.baselines.networks import network_of, require_restored
from tests.baselines.test_emt_dlfr import LABELS, LENGTHS, WIDTHS, batch, in_training, part, total
from tests.training.conftest import SmallTrack

SMALL = {"hidden": 8, "heads": 2, "steps": 6, "time_heads": 2, "gate_hidden": 4, "units": 8}

model = load_baseline("tfr-net").module


def rebuilding(given: Batch) -> Batch:
    return replace(given, epoch=2)


@pytest.mark.parametrize("options", [{}, {"causal": False}, {"gate_layers": 2, "layers": 4}])
def test_the_samples_next_to_it_change_nothing(options: dict[str, object]) -> None:
    network, given = network_of("tfr-net", WIDTHS, LABELS, **SMALL, **options), batch()
    every = network(given)
    for n in range(5):
        for name, values in network(part(given, n)).items():
            torch.testing.assert_close(values, every[name][[n]], rtol=1e-5, atol=1e-5)
            assert values.isfinite().all()


@pytest.mark.parametrize("features", [["audio"], ["audio", "video", "text"]])
@pytest.mark.parametrize(("n", "constant"), [(1, True), (5, True), (1, False), (5, False)])
def test_any_number_of_features_samples_and_targets_has_finite_gradients(
    features: list[str], n: int, constant: bool
) -> None:
    network = network_of("tfr-net", {name: WIDTHS[name] for name in features}, LABELS, **SMALL).train()
    given = batch({name: LENGTHS[name][:n] for name in features}, constant=constant)
    outputs, losses = network(rebuilding(in_training(given, {"audio": [(0, 1)]})))
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "discrete": (n, 3),
        "valence": (n,),
        "only": (n, 1),
    }
    loss = total((outputs, losses))
    loss.backward()
    assert loss.isfinite() and losses["reconstruction"] > 0
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_rows_are_rebuilt_from_the_second_epoch_on_and_only_where_some_were_removed() -> None:
    network, given = network_of("tfr-net", WIDTHS, LABELS, **SMALL), batch()
    removed = in_training(given, {"audio": [(0, 1)]})
    assert network(removed)[1]["reconstruction"] == 0
    assert network(rebuilding(removed))[1]["reconstruction"] > 0
    assert network(rebuilding(in_training(given)))[1]["reconstruction"] == 0
    everywhere = network_of("tfr-net", WIDTHS, LABELS, **SMALL, everywhere=True)
    assert everywhere(rebuilding(in_training(given)))[1]["reconstruction"] > 0
    without = network_of("tfr-net", WIDTHS, LABELS, **SMALL, reconstruction=0.0)
    assert set(without(rebuilding(removed))) == set(LABELS)


@torch.no_grad()
def test_a_feature_that_is_removed_is_fused_in_training_as_one_that_a_sample_lacks() -> None:
    network, given = network_of("tfr-net", WIDTHS, LABELS, **SMALL, dropout=0.0), batch()
    removed, fused = in_training(given, {"audio": [(0, 0), (0, 1), (0, 2)]}), list[Tensor]()
    network.classifier.register_forward_pre_hook(lambda _, inputs: fused.append(inputs[0]))
    network.train()(rebuilding(removed))
    network.eval()(Batch(removed.inputs, removed.lengths, removed.present, removed.samples))
    torch.testing.assert_close(fused[0], fused[1])
    assert not fused[0][0, : SMALL["gate_hidden"]].any()


@torch.no_grad()
def test_the_loss_is_the_sum_over_features_of_the_mean_error_of_removed_rows() -> None:
    network, given = network_of("tfr-net", WIDTHS, LABELS, **SMALL, moments=0.0, reconstruction=3.0), batch()
    for feature in network.features:
        nn.init.zeros_(feature.generator.weight)
        nn.init.zeros_(feature.generator.bias)
    removed = in_training(given, {"audio": [(0, 1), (0, 2)], "video": [(2, 0)]})

    def smooth(rows: Tensor) -> float:
        return float(torch.where(rows.abs() < 1, rows.square() / 2, rows.abs() - 0.5).mean())

    wanted = 3 * (smooth(given.inputs["audio"][0, 1:3]) + smooth(given.inputs["video"][2, 0]))
    assert float(network(rebuilding(removed))[1]["reconstruction"]) == pytest.approx(wanted, rel=1e-5)


def test_a_feature_of_which_nothing_is_left_gives_nothing_and_is_rebuilt() -> None:
    network, lengths = (
        network_of("tfr-net", WIDTHS, LABELS, **SMALL),
        {"audio": [3, 2], "video": [2, 4], "text": [4, 2]},
    )
    given = batch(lengths)
    gone = {"text": [(n, row) for n, length in enumerate(lengths["text"]) for row in range(length)]}
    outputs, losses = network(rebuilding(in_training(given, gone)))
    without = {**given.inputs, "text": torch.zeros(2, 1, WIDTHS["text"])}
    for name, values in network(replace(batch({**lengths, "text": [0, 0]}), inputs=without)).items():
        torch.testing.assert_close(outputs[name], values)
    losses["reconstruction"].backward()
    assert network.features[2].generator.weight.grad.any() and network.features[0].generator.weight.grad is None
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())


def test_padding_is_no_part_of_the_loss() -> None:
    given = rebuilding(in_training(batch(), {"audio": [(0, 1), (1, 2)]}))
    for everywhere in (False, True):
        network = network_of("tfr-net", WIDTHS, LABELS, **SMALL, everywhere=everywhere)
        first = {name: rows[:1] for name, rows in given.inputs.items()}
        alone = Batch(
            first,
            {name: own[:1] for name, own in given.lengths.items()},
            {name: own[:1] for name, own in given.present.items()},
            torch.tensor([0]),
            targets={name: own[:1] for name, own in given.targets.items()},
            epoch=2,
            complete={name: rows[:1] for name, rows in given.complete.items()},
            complete_lengths={name: own[:1] for name, own in given.complete_lengths.items()},
        )
        padded = replace(given, samples=torch.tensor([0, -1, -1, -1, -1]))
        torch.testing.assert_close(network(padded)[1], network(alone)[1])


def test_a_sample_with_more_rows_than_steps_has_means_of_equal_parts() -> None:
    network = network_of("tfr-net", {"audio": 5}, LABELS, **SMALL)
    rows = torch.arange(12.0).repeat(5, 1).T[None]
    averaged = rows.unflatten(1, (6, 2)).mean(2)
    long, short = (
        Batch({"audio": own}, {"audio": torch.tensor([own.shape[1]])}, {"audio": torch.tensor([True])}, torch.arange(1))
        for own in (rows, averaged)
    )
    torch.testing.assert_close(network(long), network(short))


@pytest.mark.parametrize("n_others", [0, 2])
def test_numbers_of_a_step_are_tokens_without_an_order(n_others: int) -> None:
    # The transformer over time has neither positions nor a mask: with its tokens in another order, which the layer
    # that rebuilds undoes, rows are rebuilt the same.
    options = network_of("tfr-net", WIDTHS, LABELS, **SMALL).options
    feature = model.Feature(5, n_others, options).double().eval()
    attended = torch.randn(2, 6, 8 * (1 + n_others), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted, order = feature.rebuilt(attended), torch.randperm(8 * (1 + n_others))
    with torch.no_grad():
        feature.generator.weight.copy_(feature.generator.weight[:, order])
    torch.testing.assert_close(feature.rebuilt(attended[..., order]), wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 10}, "hidden: 10 is not divisible by heads, which is 6"),
        ({"steps": 7}, "steps: 7 is not divisible by time_heads, which is 5"),
        ({"kernel": 2}, "kernel: 2 is even"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options: dict[str, int], message: str) -> None:
    loaded = load_baseline("tfr-net")
    with pytest.raises(UsageError, match=message):
        loaded.build(loaded.options("", options), Setup(device_name="cpu"))


def test_it_learns_and_its_stored_weights_predict_the_same(small_track: SmallTrack) -> None:
    require_restored("tfr-net", small_track(), **SMALL)
