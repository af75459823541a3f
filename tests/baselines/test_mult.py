from __future__ import annotations

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
LENGTHS = {"audio": [3, 9, 0, 1, 0], "video": [6, 0, 2, 1, 0], "text": [4, 0, 0, 2, 0]}
LABELS = {"discrete": 3, "valence": None, "only": 1}
SMALL = {"hidden": 8, "heads": 2, "layers": 1}


def batch(sequences: dict[str, list[Tensor]]) -> Batch:
    inputs = {name: nn.utils.rnn.pad_sequence(rows, batch_first=True) for name, rows in sequences.items()}
    inputs = {name: rows if rows.shape[1] else nn.functional.pad(rows, (0, 0, 0, 1)) for name, rows in inputs.items()}
    lengths = {name: torch.tensor([len(part) for part in rows]) for name, rows in sequences.items()}
    n = len(next(iter(sequences.values())))
    return Batch(inputs, lengths, {name: part > 0 for name, part in lengths.items()}, torch.arange(n))


def sequences(lengths: dict[str, list[int]] = LENGTHS) -> dict[str, list[Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return {name: [torch.randn(n, WIDTHS[name], generator=rng) for n in own] for name, own in lengths.items()}


def close(outputs: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, values in outputs.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"kernel": 3, "window": 2}, {"positions": True}, {"causal": False}])
def test_the_samples_next_to_it_change_nothing(options: dict[str, Any]) -> None:
    model, given = network_of("mult", WIDTHS, LABELS, **SMALL, **options), sequences()
    every = model(batch(given))
    for n in range(5):
        single = model(batch({name: [rows[n]] for name, rows in given.items()}))
        close(single, {name: values[[n]] for name, values in every.items()})
        assert all(values.isfinite().all() for values in single.values())


@pytest.mark.parametrize("features", [["audio"], ["audio", "text"], ["audio", "video", "text"]])
def test_any_number_of_features_and_targets(features: list[str]) -> None:
    model = network_of("mult", {name: WIDTHS[name] for name in features}, LABELS, **SMALL).train()
    outputs = model(batch({name: sequences()[name] for name in features}))
    assert {name: tuple(values.shape) for name, values in outputs.items()} == {
        "discrete": (5, 3),
        "valence": (5,),
        "only": (5, 1),
    }
    sum(values.square().sum() for values in outputs.values()).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("n", [1, 4])
def test_gradients_of_identical_constant_rows_are_finite(n: int) -> None:
    model = network_of("mult", WIDTHS, LABELS, **SMALL).train()
    outputs = model(batch({name: [torch.zeros(3, width)] * n for name, width in WIDTHS.items()}))
    sum(values.square().sum() for values in outputs.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_feature_that_samples_lack_gives_nothing() -> None:
    model = network_of("mult", WIDTHS, LABELS, **SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1)  # biases begin at 0, with which zeros would give nothing anyway
    given = sequences({"audio": [3, 2], "video": [2, 4], "text": [0, 0]})
    model(batch(given))["valence"].sum().backward()
    slopes = {
        name: float(parameter.grad.abs().max()) for name, parameter in model.named_parameters() if "heads" not in name
    }
    attention = [
        f"targets.{target}.pairs.1.layers.0.{part}" for target in (0, 1) for part in ("attention", "before_attention")
    ]
    of_text = "embeddings.2", "targets.2", *attention
    assert {name for name, slope in slopes.items() if not slope} == {
        name for name in slopes if name.startswith(of_text)
    }


def test_fewer_rows_than_the_kernel_are_filled_with_zeros() -> None:
    model, given = network_of("mult", WIDTHS, LABELS, **SMALL, kernel=3), sequences()
    filled = {
        name: [nn.functional.pad(part, (0, 0, 0, max(0, 3 - len(part)))) if len(part) else part for part in rows]
        for name, rows in given.items()
    }
    close(model(batch(given)), model(batch(filled)))


def test_without_a_mask_only_positions_show_the_order_of_what_is_attended_to() -> None:
    given = sequences({name: [4] for name in WIDTHS})
    turned = {**given, "text": [given["text"][0][[2, 0, 1, 3]]]}  # the last step, which is read out, stays
    for positions in (False, True):
        model = network_of("mult", WIDTHS, LABELS, **SMALL, causal=False, positions=positions)
        change = (model(batch(given))["valence"] - model(batch(turned))["valence"]).abs().max()
        assert (change > 1e-3) == positions


@pytest.mark.parametrize("scores", [64, 300])
def test_attention_in_pieces_is_the_same(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    given, results = batch(sequences()), []
    for at_once in (1 << 22, scores):
        model = network_of("mult", WIDTHS, LABELS, **SMALL, dropout=0.0)
        monkeypatch.setattr("merbench.training.networks.attention.SCORES_AT_ONCE", at_once)
        outputs = model.train()(given)
        sum(values.square().sum() for values in outputs.values()).backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        results.append({**outputs, **gradients})
    close(*results)


def test_memory_is_bounded_at_ten_thousand_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def attention(queries: Tensor, keys: Tensor, *arguments: Any, **named: Any) -> Tensor:
        sizes.append(queries.shape[0] * queries.shape[1] * queries.shape[2] * keys.shape[2])
        return queries

    model = network_of("mult", {"audio": 5}, LABELS, **SMALL)
    monkeypatch.setattr("merbench.training.networks.attention.scaled_dot_product_attention", attention)
    model(batch({"audio": [torch.zeros(10_000, 5)] * 2}))
    # two samples, two heads, three layers of self-attention
    assert sum(sizes) == 2 * 2 * 3 * 10_000**2
    assert max(sizes) <= 1 << 22


def test_the_heads_divide_the_width() -> None:
    with pytest.raises(UsageError, match="hidden: 10 is not divisible by heads, which is 4"):
        load_baseline("mult").build({**load_baseline("mult").options("", {}), "hidden": 10}, Setup(device_name="cpu"))


def test_dropout_acts_only_in_training() -> None:
    model, given = network_of("mult", WIDTHS, LABELS, **SMALL, attention_dropout=0.5, dropout=0.0), batch(sequences())
    assert torch.equal(model(given)["valence"], model(given)["valence"])
    model.train()
    assert not torch.equal(model(given)["valence"], model(given)["valence"])


def test_it_learns_and_its_stored_weights_predict_the_same(small_track: SmallTrack) -> None:
    require_restored("mult", small_track(), **SMALL)
