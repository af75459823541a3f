"""The memory fusion network, and what Graph-MFN has in common with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.track import load_track
from merbench.training import FeatureSet, Sequences, Setup, Storable, TrainingSet, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.memory import GatedMemory, TwoLayers
from tests.baselines.networks import network_of

NAMES = ["mfn", "graph-mfn"]
WIDTHS = {"audio": 5, "text": 3, "video": 2}
LABELS = {"discrete": 3, "valence": None}
LENGTHS = {"audio": [8, 3, 1, 0, 4], "text": [4, 3, 1, 0, 0], "video": [5, 3, 1, 0, 9]}
"""Of the last but one sample nothing is there, of the last one no text."""


def network(name: str, widths: dict[str, int], labels: dict[str, int | None] = LABELS, **options: object) -> Any:
    return network_of(name, widths, labels, **{"hidden": 8, "memory": 6, **options})


def random(*shape: int) -> Tensor:
    """Return numbers that are the same for the same shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(hash(shape) % 1000))


def batch(order: list[int], widths: dict[str, int] = WIDTHS) -> Batch:
    inputs, lengths = {}, {}
    for name, width in widths.items():
        every = [random(length, width) for length in LENGTHS[name]]
        padded = nn.utils.rnn.pad_sequence([every[i] for i in order], batch_first=True)
        inputs[name] = padded if padded.shape[1] else padded.new_zeros(len(order), 1, width)
        lengths[name] = torch.tensor(LENGTHS[name])[order]
    return Batch(inputs, lengths, {name: own > 0 for name, own in lengths.items()}, torch.tensor(order))


def mlp(layers: TwoLayers, x: Tensor) -> Tensor:
    first, last = layers.first, layers.last
    return last.weight @ (first.weight @ x + first.bias).relu() + last.bias


def test_the_memory_after_two_steps_is_that_worked_out_by_hand() -> None:
    memory = GatedMemory(1, 1, 1, 0.0)
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.fill_(0)
        for layers, of_attended, of_memory, outer, bias in (
            (memory.proposal, 1.0, None, 2.0, 0.0),  # tanh(2 a)
            (memory.retain, 1.0, 1.0, 1.0, -1.0),  # σ(relu(a + u) - 1)
            (memory.update, 1.0, -1.0, 1.0, 0.0),  # σ(relu(a - u))
        ):
            weights = [of_attended] if of_memory is None else [of_attended, of_memory]
            layers.first.weight.copy_(torch.tensor([weights]))
            layers.last.weight.fill_(outer)
            layers.last.bias.fill_(bias)
        ours = memory(torch.tensor([[[0.5], [1.0]]]))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    first = sigmoid(0.5) * math.tanh(1)
    second = sigmoid(1 + first - 1) * first + sigmoid(1 - first) * math.tanh(2)
    assert ours.flatten().tolist() == pytest.approx([first, second], abs=1e-6)


def test_hidden_units_of_the_gates_are_dropped_in_training_only() -> None:
    memory, attended = GatedMemory(2, 16, 3, 0.5), random(1, 4, 2)
    memory.proposal.dropout.p = 0.0
    assert not torch.equal(memory(attended), memory(attended))
    memory.eval()
    assert torch.equal(memory(attended), memory(attended))


def test_a_sample_is_answered_step_by_step() -> None:
    model = network("mfn", {"audio": 5, "video": 2}, hidden=4)
    rows = {name: random(3, width) for name, width in {"audio": 5, "video": 2}.items()}
    three = dict.fromkeys(rows, torch.tensor([3]))
    outputs = model(Batch({name: own[None] for name, own in rows.items()}, three, {}, torch.tensor([0])))

    states, cells, memory = [torch.zeros(4)] * 2, [torch.zeros(4)] * 2, torch.zeros(6)
    for step in range(3):
        before = torch.cat(cells)
        pairs = [
            lstm(own[step], (state, cell))
            for lstm, own, state, cell in zip(model.cells.lstms, rows.values(), states, cells, strict=True)
        ]
        states, cells = [state for state, _ in pairs], [cell for _, cell in pairs]
        both = torch.cat([before, *cells])
        scores = mlp(model.attention.scores, both).exp()
        attended = scores / scores.sum() * both
        retain, update = (
            1 / (1 + (-mlp(layers, torch.cat([attended, memory]))).exp())
            for layers in (model.memory.retain, model.memory.update)
        )
        memory = retain * memory + update * mlp(model.memory.proposal, attended).tanh()
    fused = mlp(model.output, torch.cat([*states, memory]))
    for output, head in zip((outputs["discrete"], outputs["valence"][:, None]), model.heads.layers, strict=True):
        torch.testing.assert_close(output[0], head(fused), rtol=1e-5, atol=1e-6)


def test_without_a_memory_the_last_states_are_fused() -> None:
    model = network("mfn", WIDTHS, memory=0)
    rows = {name: random(3, width) for name, width in WIDTHS.items()}
    inputs = {name: own[None] for name, own in rows.items()}
    outputs = model(Batch(inputs, dict.fromkeys(rows, torch.tensor([3])), {}, torch.tensor([0])))
    last = []
    for lstm, own in zip(model.cells.lstms, rows.values(), strict=True):
        pair = None
        for row in own:
            pair = lstm(row, pair)
        last.append(pair[0])
    torch.testing.assert_close(outputs["valence"], model.heads.layers[1](mlp(model.output, torch.cat(last))))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("window", [1, 2])
def test_padding_and_the_samples_next_to_it_change_nothing(name: str, window: int) -> None:
    model = network(name, WIDTHS, window=window)
    every = model(batch([0, 1, 2, 3, 4]))
    for order in ([4, 3, 2, 1, 0], [0], [2], [3], [4], [1, 0]):
        for target, values in model(batch(order)).items():
            torch.testing.assert_close(values, every[target][order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_averaged_in_windows(name: str) -> None:
    rows = {feature: random(1, 3, width) for feature, width in WIDTHS.items()}

    def outputs(window: int) -> Tensor:
        inputs = {feature: own.repeat_interleave(window, 1) for feature, own in rows.items()}
        lengths = dict.fromkeys(rows, torch.tensor([3 * window]))
        valence: Tensor = network(name, WIDTHS, window=window)(Batch(inputs, lengths, {}, torch.tensor([0])))["valence"]
        return valence

    torch.testing.assert_close(outputs(2), outputs(1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_features", [1, 2, 3])
def test_it_learns_from_any_of_its_features_and_from_what_teaches_nothing(name: str, n_features: int) -> None:
    widths = dict(list(WIDTHS.items())[:n_features])
    model = network(name, widths, {"only": 1, "valence": None}, hidden=1, memory=1).train()
    equal = {feature: torch.ones(2, 1, width) for feature, width in widths.items()}
    ones = dict.fromkeys(widths, torch.ones(2, dtype=torch.int64))
    for own in (batch([3], widths), batch([2], widths), Batch(equal, ones, {}, torch.arange(2))):
        outputs = model(own)
        assert outputs["only"].shape == (len(own.samples), 1)
        assert outputs["valence"].shape == (len(own.samples),)
        model.zero_grad()
        sum(output.square().sum() for output in outputs.values()).backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_only(name: str) -> None:
    model, fixed = network(name, WIDTHS, dropout=0.5), batch([0, 1])
    assert torch.equal(model(fixed)["valence"], model(fixed)["valence"])
    model.train()
    assert not torch.equal(model(fixed)["valence"], model(fixed)["valence"])


def samples(n: int) -> tuple[FeatureSet, np.ndarray]:
    """Return samples of two steps whose label is whether two features have the same sign."""
    signs = np.random.default_rng(0).choice([-1, 1], (2, n))
    sequences = {
        name: Sequences(own.repeat(2).astype(np.float32)[:, None], 2 * np.arange(n), np.full(n, 2))
        for name, own in zip(("audio", "text"), signs, strict=True)
    }
    labels = (signs[0] == signs[1]).astype(np.int32)
    return FeatureSet(pa.array([f"{i:03}" for i in range(n)]), sequences), labels


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_learns_from_both_features_and_predicts_the_same_when_it_is_restored(name: str) -> None:
    every, labels = samples(160)
    track = load_track("mer2023-semi")
    loaded = load_baseline(name)
    options = loaded.options(
        "any", {"hidden": 12, "memory": 12, "epochs": 30, "batch_size": 8, "learning_rate": 0.01, "dropout": 0.0}
    )
    fitted, restored = (loaded.build(options, Setup(0, 2, "cpu")) for _ in range(2))
    result = fitted.fit_folds(TrainingSet(track, every, {"discrete": labels}))
    # by one of the features, half of the answers are right
    assert (result.out_of_fold.outputs["discrete"].argmax(1) == labels).mean() > 0.9
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    restored.restore(fitted.weights(), track, {"audio": 1, "text": 1})
    predicted, again = fitted.predict(every).outputs["discrete"], restored.predict(every).outputs["discrete"]
    np.testing.assert_array_equal(again, predicted)
