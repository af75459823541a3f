from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.track import load_track
from merbench.training import FeatureSet, Sequences, Setup, TrainingSet, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.diffusion import ScoreNetwork, score_errors
from merbench.training.samples import FeatureCorruption
from tests.baselines.networks import network_of

WIDTHS = {"audio": 5, "text": 3, "video": 4}
LABELS = {"discrete": 3, "valence": None, "only": 1}
SMALL = {"hidden": 8, "heads": 2, "length": 4, "layers": 1, "steps": 9, "time_features": 6, "blocks": 1, "dropout": 0.0}

model = load_baseline("imder").module


def rows(lengths: dict[str, list[int]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return padded sequences of these lengths, and the lengths."""
    rng = torch.Generator().manual_seed(0)
    inputs = {}
    for name, own in lengths.items():
        inputs[name] = torch.zeros(len(own), max(1, *own), WIDTHS[name])
        for part, length in zip(inputs[name], own, strict=True):
            part[:length] = torch.randn(length, WIDTHS[name], generator=rng)
    return inputs, {name: torch.tensor(own) for name, own in lengths.items()}


def batch(missing: dict[str, list[int]], features: tuple[str, ...] = ("audio", "text", "video")) -> Batch:
    """Return four samples in training, some of whose features were removed."""
    complete, lengths = rows({name: [3, 1, 6, 4] for name in features})
    inputs, left = dict(complete), dict(lengths)
    for name, places in missing.items():
        inputs[name] = complete[name].index_fill(0, torch.tensor(places), 0)
        left[name] = lengths[name].index_fill(0, torch.tensor(places), 0)
    zeros = torch.zeros(4)
    targets = {"discrete": zeros.long(), "valence": zeros, "only": zeros.long()}
    present = {name: own > 0 for name, own in left.items()}
    return Batch(inputs, left, present, torch.arange(4), None, targets, 1, complete, lengths)


def predicted(given: Batch, places: list[int]) -> Batch:
    """Return some samples of a batch where they are predicted."""
    inputs, lengths = ({name: x[places] for name, x in part.items()} for part in (given.inputs, given.lengths))
    return Batch(inputs, lengths, {name: x > 0 for name, x in lengths.items()}, given.samples[places])


def taught(features: tuple[str, ...] = ("audio", "text", "video"), **options: Any) -> tuple[Any, nn.Module]:
    widths = {name: WIDTHS[name] for name in features}
    network = network_of("imder", widths, LABELS, **{**SMALL, **options})
    torch.manual_seed(1)
    teacher = model.Frame(network.options, model.Shape(widths, LABELS, [], torch.Generator())).eval()
    network.learn_from(teacher)
    network.learned.fill_(True)
    return network, teacher


SOME = {"audio": [0, 3], "text": [1, 3]}


def test_of_complete_features_it_begins_as_mult_and_nothing_is_drawn() -> None:
    network, teacher = taught()
    outputs, losses = network(batch({}))
    assert all(torch.equal(values, teacher(batch({}))[name]) for name, values in outputs.items())
    assert losses == {"score": 0, "reconstruction": 0}


@pytest.mark.parametrize("features", [("audio", "text"), ("audio", "text", "video")])
def test_the_samples_next_to_it_change_nothing(features: tuple[str, ...]) -> None:
    network, _ = taught(features)
    given = batch({"audio": [0, 3], "text": [1]}, features)
    every = network(predicted(given, [0, 1, 2, 3]))
    for place in range(4):
        for name, values in network(predicted(given, [place])).items():
            torch.testing.assert_close(values[0], every[name][place], rtol=1e-4, atol=1e-5)


def test_what_is_missing_is_drawn_anew_in_training_only() -> None:
    network, _ = taught()
    given = batch(SOME)
    assert torch.equal(network(given)[0]["valence"], network(given)[0]["valence"])
    network.train()
    first, second = (network(given)[0]["valence"] for _ in range(2))
    assert torch.equal(first[2:3], second[2:3])  # complete
    assert (first != second)[[0, 1, 3]].all()


def test_a_feature_that_training_never_removed_is_zeros() -> None:
    network, teacher = taught()
    network.learned.fill_(False)
    given = batch(SOME)
    network.train()(batch({"audio": [1]}))
    assert network.learned.tolist() == [True, False, False]
    network.eval()
    wanted, outputs = teacher(given)["valence"], network(given)[0]["valence"]
    assert torch.equal(outputs[[1, 2]], wanted[[1, 2]])  # samples that have the audio
    assert (outputs != wanted)[[0, 3]].all()


def test_the_noise_of_predictions_differs_between_trained_networks() -> None:
    network, _ = taught()
    given = batch(SOME)
    before = network(given)[0]["valence"]
    network.seed += 1
    after = network(given)[0]["valence"]
    assert (before != after)[[0, 1, 3]].all()
    assert before[2] == after[2]  # complete


def test_without_generation_what_is_missing_is_zeros() -> None:
    network, teacher = taught(generated=False)
    given = batch(SOME)
    outputs = network(given)
    assert all(torch.equal(values, teacher(given)[name]) for name, values in outputs.items())
    assert not [name for name, _ in network.named_parameters() if name.startswith(("scores", "refinements"))]


def test_embeddings_stay_and_all_else_learns() -> None:
    network, _ = taught(dropout=0.1)
    network.train()
    outputs, losses = network(batch({**SOME, "video": [2]}))
    torch.stack([*(x.square().sum() for x in outputs.values()), *losses.values()]).sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {f"embeddings.{n}.weight" for n in range(3)}
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_losses_are_means_over_samples_of_what_was_removed() -> None:
    network, _ = taught()
    network.scores = nn.ModuleList(Nothing() for _ in range(3))
    given = batch({"audio": [0, 3]})
    losses = network(given)[1]
    embedded = network.embedded(given.inputs, given.lengths)
    condition = network.condition(0, embedded, torch.stack([*given.present.values()]))[[0, 3]]
    wanted = network.embedded(given.complete, given.complete_lengths)[0][[0, 3]]
    gaps = (network.made(0, condition) - wanted).square().mean((1, 2))
    torch.testing.assert_close(losses["reconstruction"], 0.1 * gaps.sum() / 4)
    # a score of 0 leaves the squares of the noise: 8 · 4 numbers of a sample, of mean 1 and deviation √2
    errors = score_errors(Nothing(), torch.zeros(4000, 8, 4), torch.zeros(4000, 8, 4), 25.0)
    assert float(errors.mean()) == pytest.approx(32, rel=0.02)
    assert 0 < float(losses["score"]) < 0.1 * 2 * 100 / 4


class Nothing(nn.Module):
    def forward(self, x: Tensor, condition: Tensor, times: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_a_feature_is_drawn_from_the_only_other_one_or_from_a_map_of_several() -> None:
    network, _ = taught()
    given = batch({"text": [0, 1], "video": [1]})
    embedded = network.embedded(given.inputs, given.lengths)
    condition = network.condition(1, embedded, torch.stack([*given.present.values()]))
    torch.testing.assert_close(condition[1], embedded[0][1])
    several = network.conditions[1](torch.cat([embedded[0], embedded[2]], 1))
    torch.testing.assert_close(condition[0], several[0])


def test_draws_of_zeros_are_as_close_as_zeros_and_a_single_feature_does_not_count() -> None:
    network, _ = taught()
    given = predicted(batch({}), [0, 1, 2, 3])
    assert network.diagnostics(given)["reconstruction"] != 0
    for refinement in network.refinements:
        nn.init.zeros_(refinement.narrow.weight)
        nn.init.zeros_(refinement.narrow.bias)
    assert network.diagnostics(given)["reconstruction"] == 0
    alone = batch({"text": [0, 1, 2, 3], "video": [0, 1, 2, 3]})
    assert taught()[0].diagnostics(predicted(alone, [0, 1, 2, 3]))["reconstruction"] == 0
    assert taught(generated=False)[0].diagnostics(given) == {}


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_score_has_the_shape_of_what_it_is_of(length: int, levels: int) -> None:
    score = ScoreNetwork(8, levels, heads=2, of_time=6, sigma=25.0)
    x, condition = torch.randn(2, 3, 8, length)
    assert score(x, condition, torch.tensor([0.1, 0.5, 1.0])).shape == x.shape


@pytest.mark.parametrize("missing", [{"audio": [0, 1, 2, 3]}, {"audio": [0, 1], "text": [0, 1]}])
def test_gradients_are_finite_where_a_feature_is_always_missing_or_all_are(missing: dict[str, list[int]]) -> None:
    network, _ = taught(("audio", "text"))
    given = batch(missing, ("audio", "text"))
    equal = {name: torch.zeros_like(x) for name, x in given.complete.items()}
    outputs, losses = network.train()(replace(given, complete=equal, inputs=equal))
    torch.stack([*(x.square().sum() for x in outputs.values()), *losses.values()]).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": 10}, "hidden: 10 is not divisible by heads, which is 4"), ({"time_features": 5}, "5 is odd")],
)
def test_widths_that_cannot_be_divided_are_refused(options: dict[str, int], message: str) -> None:
    loaded = load_baseline("imder")
    with pytest.raises(UsageError, match=message):
        loaded.build({**loaded.options("", {}), **options}, Setup(device_name="cpu"))


def test_it_learns_from_incomplete_sequences_and_its_stored_weights_predict_the_same() -> None:
    rng, loaded = np.random.default_rng(0), load_baseline("imder")
    codes, lengths = rng.integers(0, 6, 24).astype(np.int32), np.array([1, 2, 3] * 8)
    sequences = {
        name: Sequences(
            rng.standard_normal((lengths.sum(), WIDTHS[name])).astype(np.float32), np.cumsum(lengths) - lengths, lengths
        )
        for name in ("audio", "text")
    }
    samples = FeatureSet(pa.array([f"s{i:02}" for i in range(24)]), sequences)
    steps = (Step("gcnet_missing", {"rate": 0.5}),)
    corruption = FeatureCorruption(steps, 1, {"audio": "audio", "text": "text"}, per_epoch=True)
    targets = {"discrete": codes, "valence": rng.standard_normal(24)}
    track = load_track("mer2023-multi")
    train = TrainingSet(track, samples, targets, corruption=corruption)
    options = loaded.options("any", {**SMALL, "epochs": 1, "batch_size": 8})
    fitted, restored = (loaded.build(options, Setup(n_folds=2, device_name="cpu")) for _ in range(2))
    fitted.fit(train)
    restored.restore(fitted.weights(), track, samples.widths)
    for target, values in fitted.predict(samples).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(samples).outputs[target], values)
