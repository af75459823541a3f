from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.track import load_track
from merbench.training import Dialogues, FeatureSet, Sequences, Setup, TrainingSet, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.samples import FeatureCorruption
from tests.baselines.networks import network_of

WIDTHS = {"audio": 5, "text": 3, "video": 4}
LABELS = {"discrete": 3, "valence": None, "only": 1}
SMALL = {"hidden": 8, "heads": 2, "longest": 4, "groups": ()}
LENGTHS = [4, 1, 6]

model = load_baseline("iteach-net").module


def batch(order: list[int], widths: dict[str, int] = WIDTHS) -> Batch:
    longest = max(LENGTHS[i] for i in order)
    samples = torch.full((len(order), longest), -1)
    inputs = {name: torch.zeros(len(order), longest, width) for name, width in widths.items()}
    for place, i in enumerate(order):
        samples[place, : LENGTHS[i]] = 10 * i + torch.arange(LENGTHS[i])
        for width, (name, rows) in enumerate(inputs.items()):
            rng = torch.Generator().manual_seed(10 * i + width)
            rows[place, : LENGTHS[i]] = torch.randn(LENGTHS[i], widths[name], generator=rng)
    return Batch(inputs, {}, dict.fromkeys(widths, samples >= 0), samples, samples.clamp(-1, 0))


def training(given: Batch) -> Batch:
    zeros = torch.zeros(given.samples.shape)
    targets = {"discrete": zeros.long(), "valence": zeros, "only": zeros.long()}
    lacking = {name: x.clone() for name, x in given.inputs.items()}
    next(iter(lacking.values()))[:, ::2] = 0
    return replace(given, inputs=lacking, complete=given.inputs, targets=targets, epoch=1)


@pytest.mark.parametrize("options", [{}, {"mixed": False}, {"context": False}])
def test_the_dialogues_next_to_it_and_padding_change_nothing(options: dict[str, Any]) -> None:
    network = network_of("iteach-net", WIDTHS, LABELS, **SMALL, **options)
    every = network(batch([0, 1, 2]))
    for number, length in enumerate(LENGTHS):
        for name, values in network(batch([number])).items():
            torch.testing.assert_close(values[0], every[name][number, :length], rtol=1e-5, atol=1e-5)


def test_utterances_depend_on_their_whole_dialogue() -> None:
    network, given = network_of("iteach-net", WIDTHS, LABELS, **{**SMALL, "longest": 6}), batch([2])
    other = {
        name: x.clone().index_add_(1, torch.tensor([5]), torch.ones(1, 1, x.shape[2]))
        for name, x in given.inputs.items()
    }
    moved = (network(given)["valence"] - network(replace(given, inputs=other))["valence"]).abs()
    assert (moved > 1e-6).all()


def test_a_long_dialogue_is_mixed_over_time_in_parts() -> None:
    layer, rng = model.OverTime(3).eval(), torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 5, generator=rng)
    parts = [layer(x[:, :3]), layer(x[:, 3:6]), layer(x[:, 6:])]
    torch.testing.assert_close(layer(x), torch.cat(parts, 1))
    filled = torch.cat([x[:, 6:], torch.zeros(2, 2, 5)], 1)
    torch.testing.assert_close(layer(filled)[:, :1], parts[2])


def test_a_router_that_is_sure_has_the_mixer_of_its_choice() -> None:
    network, given = network_of("iteach-net", WIDTHS, LABELS, **{**SMALL, "layers": 1}), batch([0])
    attention = network_of("iteach-net", WIDTHS, LABELS, **{**SMALL, "layers": 1}, mixed=False)
    for router in network.routers:
        torch.nn.init.zeros_(router.weight)
        router.bias.data = torch.tensor([1e4, 0.0, 0.0, 0.0])
    own = {name: values for name, values in network.student.state_dict().items() if "over_time" not in name}
    attention.student.load_state_dict(own)
    assert torch.equal(network(given)["valence"], attention(given)["valence"])


def test_pooling_has_neighbours_that_are_real_only() -> None:
    x = torch.tensor([[[1.0], [-2.0], [-6.0], [9.0], [9.0]]])
    mean, largest = model.pooled(x, torch.tensor([[True, True, True, False, False]]))
    # by hand: (1 - 2) / 2, (1 - 2 - 6) / 3, (-2 - 6) / 2, and zeros for padding
    torch.testing.assert_close(mean[0, :, 0], torch.tensor([-0.5, -7 / 3, -4.0, 0.0, 0.0]))
    torch.testing.assert_close(largest[0, :, 0], torch.tensor([1.0, 1.0, -2.0, 0.0, 0.0]))


def test_means_of_intervals_end_at_a_distance() -> None:
    means = model.interval_means(torch.arange(40.0)[None])
    assert float(means[0, 3, 33]) == 18  # (3 + 33) / 2
    assert float(means[0, 33, 3]) == 18
    assert float(means[0, 3, 34]) == 0


def test_distillation_counts_what_is_missing_and_weighs_the_last_states_most() -> None:
    states = [torch.full((1, 3, 2), value) for value in (1.0, 2.0, 3.0, 4.0)]
    targets = [torch.zeros(1, 3, 2) for _ in range(3)]
    which = torch.tensor([[True, False, True]])
    # .5 · 4² + .1 · 3² + .05 · 2²
    assert float(model.distance(states, targets, which)) == pytest.approx(8 + 0.9 + 0.2)
    assert float(model.distance(states, targets, which & False)) == 0
    assert float(model.distance(states[:1], targets, which)) == 0.5


def test_the_teacher_is_given_complete_dialogues_and_gets_no_gradient_from_distillation() -> None:
    network, given = network_of("iteach-net", WIDTHS, LABELS, **SMALL), training(batch([0, 1, 2]))
    _, losses = network(given)
    complete = network(replace(given, inputs=given.complete))[1]
    assert losses["teacher"] == complete["teacher"]
    assert complete["distillation"] == 0 < losses["distillation"]
    losses["distillation"].backward()
    assert all(parameter.grad is None for parameter in network.teacher.parameters())
    assert any(parameter.grad is not None for parameter in network.student.parameters())
    assert set(network_of("iteach-net", WIDTHS, LABELS, **SMALL, distillation=0.0)(given)[1]) == {"teacher"}


def test_the_main_modality_is_text_where_it_is_known() -> None:
    options = network_of("iteach-net", WIDTHS, LABELS, **SMALL).options
    named = {name: name for name in WIDTHS}
    places = [
        int(model.Network(options, model.Shape(WIDTHS, LABELS, [], torch.Generator(), m)).main) for m in (named, {})
    ]
    assert places == [1, 0]


@pytest.mark.parametrize("features", [["audio"], ["audio", "text", "video"]])
@pytest.mark.parametrize("order", [[1], [0, 1, 2]])
def test_gradients_of_equal_utterances_are_finite(features: list[str], order: list[int]) -> None:
    widths = {name: WIDTHS[name] for name in features}
    network, given = network_of("iteach-net", widths, LABELS, **SMALL).train(), training(batch(order, widths))
    equal = {name: torch.zeros_like(x) for name, x in given.inputs.items()}
    outputs, losses = network(replace(given, inputs=equal))
    values: list[Tensor] = [*(x[given.real].square().sum() for x in outputs.values()), *losses.values()]
    torch.stack(values).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_a_dialogue_of_a_thousand_utterances_is_answered() -> None:
    network = network_of("iteach-net", {"text": 3}, {"valence": None}, **SMALL)
    samples = torch.arange(1000)[None]
    given = Batch({"text": torch.ones(1, 1000, 3)}, {}, {"text": samples >= 0}, samples, samples * 0)
    with torch.no_grad():
        assert network(given)["valence"].isfinite().all()


def test_the_heads_divide_the_width() -> None:
    with pytest.raises(UsageError, match="hidden: 10 is not divisible by heads, which is 8"):
        loaded = load_baseline("iteach-net")
        loaded.build({**loaded.options("", {}), "hidden": 10}, Setup(device_name="cpu"))


def test_it_learns_from_incomplete_dialogues_and_its_stored_weights_predict_the_same() -> None:
    rng, loaded = np.random.default_rng(0), load_baseline("iteach-net")
    codes = rng.integers(0, 6, 40).astype(np.int32)
    features = {name: (rng.standard_normal((40, w)) + codes[:, None]).astype(np.float32) for name, w in WIDTHS.items()}
    place = np.arange(40)
    samples = FeatureSet(
        pa.array([f"s{i:02}" for i in range(40)]),
        {name: Sequences.of_vectors(values) for name, values in features.items()},
        dialogues=Dialogues(place // 4, place % 4, place % 2),
        modalities={name: name for name in WIDTHS},
    )
    corruption = FeatureCorruption(
        (Step("gcnet_missing", {"rate": 0.5}),), 1, {name: name for name in WIDTHS}, per_epoch=True
    )
    targets = {"discrete": codes, "valence": rng.standard_normal(40)}
    track = load_track("mer2023-multi")
    train = TrainingSet(track, samples, targets, clusters={"dialogue": place // 4}, corruption=corruption)
    options = loaded.options("any", {"hidden": 8, "heads": 2, "longest": 4, "epochs": 2, "batch_size": 4})
    fitted, restored = (loaded.build(options, Setup(n_folds=2, device_name="cpu")) for _ in range(2))
    fitted.fit(train)
    restored.restore(fitted.weights(), track, samples.widths)
    assert restored.weights()["network.main"].tolist() == [1, 1]  # text
    for target, values in fitted.predict(samples).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(samples).outputs[target], values)
