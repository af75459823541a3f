from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from tests.baselines.networks import network_of, require_restored
from tests.training.conftest import SmallTrack

WIDTHS = {"audio": 5, "video": 2, "text": 3}
LENGTHS = {"audio": [3, 9, 0, 1, 0], "video": [6, 0, 2, 1, 0], "text": [4, 5, 0, 2, 0]}
LABELS = {"discrete": 3, "valence": None, "only": 1}
SMALL = {"hidden": 8, "heads": 2, "layers": 2, "recurrent": 6, "encoding": 4, "units": 8}

model = load_baseline("emt-dlfr").module


def batch(lengths: dict[str, list[int]] = LENGTHS, *, constant: bool = False) -> Batch:
    rng = torch.Generator().manual_seed(0)
    rows = {name: [torch.randn(n, WIDTHS[name], generator=rng) for n in own] for name, own in lengths.items()}
    if constant:
        rows = {name: [torch.ones_like(part) for part in own] for name, own in rows.items()}
    inputs = {name: nn.utils.rnn.pad_sequence(own, batch_first=True) for name, own in rows.items()}
    inputs = {name: own if own.shape[1] else nn.functional.pad(own, (0, 0, 0, 1)) for name, own in inputs.items()}
    n_rows = {name: torch.tensor(own) for name, own in lengths.items()}
    n = len(next(iter(lengths.values())))
    return Batch(inputs, n_rows, {name: own > 0 for name, own in n_rows.items()}, torch.arange(n))


def in_training(given: Batch, removed: dict[str, list[tuple[int, int]]] | None = None) -> Batch:
    """Return a batch with references, from which some steps, pairs of sample and row, were removed."""
    inputs, lengths = {name: rows.clone() for name, rows in given.inputs.items()}, dict(given.lengths)
    for name, places in (removed or {}).items():
        for sample, row in places:
            inputs[name][sample, row] = 0
        lengths[name] = lengths[name] * inputs[name].flatten(1).any(1)
    n = len(given.samples)
    targets = {"discrete": torch.arange(n) % 3, "valence": torch.linspace(-1, 1, n), "only": torch.zeros(n).long()}
    present = {name: own > 0 for name, own in lengths.items()}
    return replace(
        given,
        inputs=inputs,
        lengths=lengths,
        present=present,
        targets=targets,
        epoch=1,
        complete=given.inputs,
        complete_lengths=given.lengths,
    )


def total(returned: tuple[dict[str, Tensor], dict[str, Tensor]]) -> Tensor:
    outputs, losses = returned
    return torch.stack([*(x.square().sum() for x in outputs.values()), *losses.values()]).sum()


def part(given: Batch, n: int) -> Batch:
    inputs = {name: rows[[n], : max(1, given.lengths[name][n])] for name, rows in given.inputs.items()}
    lengths = {name: own[[n]] for name, own in given.lengths.items()}
    return Batch(inputs, lengths, {name: own > 0 for name, own in lengths.items()}, torch.tensor([0]))


@pytest.mark.parametrize("window", [1, 2])
def test_the_samples_next_to_it_change_nothing(window: int) -> None:
    network, given = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL, window=window), batch()
    every = network(given)
    for n in range(5):
        for name, values in network(part(given, n)).items():
            torch.testing.assert_close(values, every[name][[n]], rtol=1e-5, atol=1e-5)
            assert values.isfinite().all()


@pytest.mark.parametrize("features", [["audio"], ["audio", "text"], ["audio", "video", "text"]])
@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("constant", [True, False])
def test_any_number_of_features_samples_and_targets_has_finite_gradients(
    features: list[str], n: int, constant: bool
) -> None:
    widths = {name: WIDTHS[name] for name in features}
    network = network_of("emt-dlfr", widths, LABELS, **SMALL).train()
    given = in_training(batch({name: LENGTHS[name][:n] for name in features}, constant=constant), {"audio": [(0, 1)]})
    outputs, losses = network(given)
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "discrete": (n, 3),
        "valence": (n,),
        "only": (n, 1),
    }
    loss = total((outputs, losses))
    loss.backward()
    assert loss.isfinite() and set(losses) == {"complete_view", "attraction", "reconstruction"}
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_views_of_a_complete_sample_agree_as_much_as_with_themselves_and_nothing_is_reconstructed() -> None:
    network, given = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL), in_training(batch())
    outputs, losses = network(given)
    assert losses["reconstruction"] == 0
    codes, numbers = given.targets["discrete"], given.targets["valence"]
    wanted = nn.functional.cross_entropy(outputs["discrete"], codes) + (outputs["valence"] - numbers).abs().mean()
    torch.testing.assert_close(losses["complete_view"], wanted)  # a single label has no loss
    network.options = replace(network.options, attraction=2.0)
    torch.testing.assert_close(network(given)[1]["attraction"], 2 * losses["attraction"])


def test_the_disagreement_of_views_by_hand() -> None:
    agreement = model.Agreement(2, 2)
    for layer in (agreement.projector[0], agreement.predictor[0], agreement.predictor[3]):
        nn.init.eye_(layer.weight)
    for layer in (agreement.projector[0], agreement.predictor[3]):
        nn.init.zeros_(layer.bias)
    a = torch.tensor([[3.0, -5], [1, 5]])
    # Normalised over two samples, every column is (1, -1) or (-1, 1): a is (1, -1), (-1, 1). So is what is predicted,
    # before ReLU: (1, 0), (0, 1). Its cosine with a itself is 1 / √2, and with -a, -1 / √2.
    agreement.requires_grad_(False)
    assert float(agreement(a, a)) == pytest.approx(-(0.5**0.5), abs=1e-4)
    assert float(agreement(a, -a)) == pytest.approx(0.5**0.5, abs=1e-4)
    assert float(agreement(a[:1], a[:1])) == 0
    b = torch.randn(2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    a.requires_grad_()
    agreement.predictor = nn.Linear(2, 2)
    nn.init.zeros_(agreement.predictor.weight)  # a constant prediction: whatever is left is the side of the target
    agreement(a, b).backward()
    assert a.grad is not None and not a.grad.any() and b.grad is not None and not b.grad.any()


def test_only_removed_steps_are_reconstructed_and_the_error_is_their_mean() -> None:
    network, given = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL), batch()
    removed = in_training(given, {"audio": [(0, 1), (1, 8)], "video": [(2, 0)]})
    for layer in network.reconstructions:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    losses = network(removed)[1]
    losses = {name: loss.detach() for name, loss in losses.items()}

    def smooth(rows: Tensor) -> float:
        return float(torch.where(rows.abs() < 1, rows.square() / 2, rows.abs() - 0.5).mean())

    audio, video = given.inputs["audio"], given.inputs["video"]
    wanted = smooth(torch.cat([audio[0, 1], audio[1, 8]])) + smooth(video[2, 0])
    assert float(losses["reconstruction"]) == pytest.approx(wanted, rel=1e-5)


def test_a_feature_of_which_nothing_is_left_gives_nothing_and_is_reconstructed() -> None:
    network = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL)
    lengths = {"audio": [3, 2], "video": [2, 4], "text": [4, 2]}
    given = batch(lengths)
    gone = {"text": [(n, row) for n, length in enumerate(lengths["text"]) for row in range(length)]}
    outputs, losses = network(in_training(given, gone))
    without = replace(
        batch({**lengths, "text": [0, 0]}), inputs={**given.inputs, "text": torch.zeros(2, 1, WIDTHS["text"])}
    )
    for name, values in network(without).items():  # what it answers where the feature is missing
        torch.testing.assert_close(outputs[name], values)
    assert losses["reconstruction"] > 0
    losses["reconstruction"].backward()
    assert network.reconstructions[2].weight.grad.any() and not network.reconstructions[0].weight.grad.any()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())


def test_without_weights_there_is_one_view() -> None:
    given = in_training(batch(), {"audio": [(0, 1)]})
    outputs, losses = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL, attraction=0.0, reconstruction=0.0)(given)
    assert losses == {}
    for name, values in network_of("emt-dlfr", WIDTHS, LABELS, **SMALL)(given)[0].items():
        assert torch.equal(values, outputs[name])


def test_padding_is_no_part_of_the_losses() -> None:
    network, given = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL), in_training(batch(), {"audio": [(0, 1)]})
    padded = replace(given, samples=torch.tensor([0, 1, 2, -1, -1]))
    first = in_training(batch({name: own[:3] for name, own in LENGTHS.items()}), {"audio": [(0, 1)]})
    short = {name: rows[:3] for name, rows in given.targets.items()}
    inputs = {name: rows[:3] for name, rows in given.inputs.items()}
    complete = {name: rows[:3] for name, rows in given.complete.items()}
    first = replace(first, inputs=inputs, complete=complete, targets=short)
    for name, loss in network(first)[1].items():
        torch.testing.assert_close(network(padded)[1][name], loss)


def test_references_that_are_not_known_have_no_loss_of_the_complete_view() -> None:
    network, given = network_of("emt-dlfr", WIDTHS, LABELS, **SMALL), in_training(batch())
    unknown = {"discrete": torch.full((5,), -1), "valence": torch.full((5,), torch.nan), "only": torch.full((5,), -1)}
    assert network(replace(given, targets=unknown))[1]["complete_view"] == 0


def test_tokens_attend_to_steps_and_steps_to_tokens_of_the_same_layer_at_once() -> None:
    exchange = model.Exchange(2, network_of("emt-dlfr", WIDTHS, LABELS, **{**SMALL, "layers": 1}).options).double()
    rng = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 2, 8, generator=rng, dtype=torch.float64)
    values = [torch.randn(1, n, 8, generator=rng, dtype=torch.float64) for n in (3, 4)]
    lengths = [torch.tensor([3]), torch.tensor([4])]

    def steps(first: Tensor, second: Tensor) -> list[Tensor]:
        own = [model.Steps(part, n) for part, n in zip((first, second), lengths, strict=True)]
        return exchange(tokens, own, lengths)[1]

    slopes: Any = torch.autograd.functional.jacobian(lambda a, b: tuple(steps(a, b)), tuple(values))
    # In one layer, the steps of a feature depend on tokens, and on their own; those of the other come a layer later.
    assert slopes[0][0].any() and slopes[1][1].any() and not slopes[0][1].any() and not slopes[1][0].any()
    exchange.layers = 2
    slopes = torch.autograd.functional.jacobian(lambda a, b: tuple(steps(a, b)), tuple(values))
    assert slopes[0][1].any() and slopes[1][0].any()


def test_the_heads_divide_the_width() -> None:
    with pytest.raises(UsageError, match="hidden: 10 is not divisible by heads, which is 4"):
        load_baseline("emt-dlfr").build(load_baseline("emt-dlfr").options("", {"hidden": 10}), Setup(device_name="cpu"))


def test_it_learns_and_its_stored_weights_predict_the_same(small_track: SmallTrack) -> None:
    require_restored("emt-dlfr", small_track(), **SMALL)
