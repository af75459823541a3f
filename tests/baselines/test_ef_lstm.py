from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from merbench.corpus.candidates import open_candidates
from merbench.errors import UsageError
from merbench.training import Setup, feature_set, load_baseline
from merbench.training.data import training_candidates, training_set
from merbench.training.networks.batches import Batch
from merbench.training.networks.network import Shape
from tests.training.conftest import SmallTrack

WIDTHS = {"audio": 3, "text": 2}
# The last is padding of the batch; the one before lacks both, and that one has vectors only.
LENGTHS = {"audio": [6, 3, 0, 1, 0, 0], "text": [3, 5, 2, 1, 0, 0]}
SAMPLES = torch.tensor([0, 1, 2, 3, 4, -1])


def network(widths: dict[str, int] = WIDTHS, labels: int | None = 3, **options: Any) -> nn.Module:
    loaded = load_baseline("ef-lstm")
    chosen = loaded.module.Options(**loaded.options("any", {"hidden": 7, **options}))
    torch.manual_seed(0)
    model: nn.Module = loaded.module.Network(
        chosen, Shape(widths, {"label": labels, "value": None}, [], torch.Generator())
    )
    return model.eval()


def rows_of(name: str) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(WIDTHS[name])
    return [torch.randn(length, WIDTHS[name], generator=rng) for length in LENGTHS[name]]


def batch(order: list[int]) -> Batch:
    inputs = {name: nn.utils.rnn.pad_sequence([rows_of(name)[i] for i in order], batch_first=True) for name in WIDTHS}
    inputs = {name: x if x.shape[1] else x.new_zeros(len(order), 1, x.shape[2]) for name, x in inputs.items()}
    lengths = {name: torch.tensor([LENGTHS[name][i] for i in order]) for name in WIDTHS}
    return Batch(inputs, lengths, {name: part > 0 for name, part in lengths.items()}, SAMPLES[order])


def test_each_sample_is_read_by_itself_with_its_features_side_by_side() -> None:
    model = network(layers=3)
    audio, text = rows_of("audio"), rows_of("text")
    joined = [
        torch.cat([audio[0].view(3, 2, 3).mean(1), text[0]], 1),  # six rows as three
        torch.cat([audio[1], torch.stack([text[1][0:2].mean(0), text[1][1:4].mean(0), text[1][3:5].mean(0)])], 1),
        torch.cat([torch.zeros(2, 3), text[2]], 1),
        torch.cat([audio[3], text[3]], 1),
    ]
    outputs = model(batch([0, 1, 2, 3]))
    for sample, rows in enumerate(joined):
        last = model.lstm(rows[None])[0][0, -1]  # torch's own layer, without padding
        fused = model.linear(last).relu()
        for output, head in zip((outputs["label"], outputs["value"][:, None]), model.heads.layers, strict=True):
            torch.testing.assert_close(output[sample], head(fused), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"window": 2}, {"align_to": "audio"}])
def test_the_samples_next_to_it_change_nothing(options: dict[str, Any]) -> None:
    model = network(**options)
    every = model(batch([0, 1, 2, 3, 4, 5]))
    for order in ([5, 4, 3, 2, 1, 0], [0], [2], [4], [3, 0]):
        for name, values in model(batch(order)).items():
            torch.testing.assert_close(values, every[name][order], rtol=1e-5, atol=1e-6)


def test_the_order_of_rows_counts_but_not_that_of_features() -> None:
    model, given = network(), batch([0])
    first = model(given)["value"]
    swapped = Batch({name: x.flip(1) for name, x in given.inputs.items()}, given.lengths, given.present, given.samples)
    assert not torch.isclose(model(swapped)["value"], first)
    other = network({name: WIDTHS[name] for name in ("text", "audio")})
    weights = model.state_dict()
    weights["lstm.weight_ih_l0"] = weights["lstm.weight_ih_l0"][:, [3, 4, 0, 1, 2]]
    other.load_state_dict(weights)
    inputs = {name: given.inputs[name] for name in ("text", "audio")}
    torch.testing.assert_close(other(Batch(inputs, given.lengths, given.present, given.samples))["value"], first)


@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_are_finite_for_identical_rows_missing_features_and_one_label(layers: int) -> None:
    model = network(labels=1, layers=layers).train()
    outputs = model(batch([0, 0, 0, 2, 4, 5]))
    assert outputs["label"].shape == (6, 1)
    sum(values.square().sum() for values in outputs.values()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_feature_to_align_to_that_is_not_read() -> None:
    with pytest.raises(UsageError, match=r"no feature named 'txt'.*did you mean 'text'.*align_to is one that"):
        network(align_to="txt")


def test_a_stored_model_answers_as_it_did(small_track: SmallTrack) -> None:
    track, names = small_track(), ["loud", "quiet"]
    loaded, test = load_baseline("ef-lstm"), feature_set(open_candidates(track), names)
    options = loaded.options("small", {"hidden": 8, "batch_size": 8, "learning_rate": 0.01, "epochs": 5})
    trained, restored = (loaded.build(options, Setup(n_folds=2, device_name="cpu")) for _ in range(2))
    trained.fit(training_set(training_candidates(track), names))
    restored.restore(trained.weights(), track, test.widths)
    for name, values in trained.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[name], values)
