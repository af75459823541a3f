from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from merbench.corpus.candidates import open_candidates
from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.training import Setup, Storable, feature_set, load_baseline, training_set
from merbench.training.networks.batches import Batch
from merbench.training.samples import FeatureCorruption
from tests.baselines.networks import batch_of, network_of
from tests.training.conftest import SmallTrack

WIDTHS = {"audio": 5, "video": 3, "text": 4}
LABELS = {"discrete": 3, "valence": None, "only": 1}
SMALL = {"hidden": 8, "latent": 3, "feed_forward": 6, "layers": 1, "heads": 2, "dropout": 0.0}

model = load_baseline("nmer").module


def taught(widths: dict[str, int] = WIDTHS, **options: Any) -> Any:
    network = network_of("nmer", widths, LABELS, **SMALL, **options)
    torch.manual_seed(1)
    network.learn_from(model.Teacher(network.options, shape(widths)))
    return network


def shape(widths: dict[str, int]) -> Any:
    return model.Shape(widths, LABELS, [], torch.Generator())


def training_batch(n: int = 6, widths: dict[str, int] = WIDTHS) -> Batch:
    batch = batch_of(widths, n)
    targets = {
        "discrete": torch.zeros(n, dtype=torch.int64),
        "valence": torch.zeros(n),
        "only": torch.zeros(n, dtype=torch.int64),
    }
    noisy = {name: x + 1 for name, x in batch.inputs.items()}
    return replace(batch, inputs=noisy, complete=batch.inputs, targets=targets, epoch=1)


def complete(batch: Batch) -> Batch:
    return replace(batch, inputs=batch.complete)


def test_it_begins_as_the_teacher_so_that_nothing_is_to_be_recovered_of_complete_features() -> None:
    network = taught(recovery=False)
    outputs, losses = network(complete(training_batch()))
    assert losses == {"invariance": 0}
    assert network(training_batch())[1]["invariance"] > 1e-6
    specific, _ = network.remembered(training_batch().complete)
    expected = network.classifier(specific)
    assert all(torch.equal(outputs[name], expected[name]) for name in LABELS)


@pytest.mark.parametrize("name", ["invariance", "reconstruction", "divergence"])
def test_a_loss_grows_with_its_weight(name: str) -> None:
    once, thrice = (taught(**{name: weight}) for weight in (1.0, 3.0))
    torch.testing.assert_close(thrice(training_batch())[1][name], 3 * once(training_batch())[1][name])
    assert name not in taught(**{name: 0.0})(training_batch())[1]


def test_the_teacher_is_compared_on_complete_features_and_has_no_gradient() -> None:
    network, batch = taught().train(), training_batch()
    specific, invariant = network.remembered(batch.complete)
    own = network.spaces(batch.inputs)[1]
    loss = network(batch)[1]["invariance"]
    torch.testing.assert_close(loss, (own - invariant).square().mean())
    loss.backward()
    assert not any(parameter.requires_grad for parameter in network.remembered.parameters())
    assert not specific.requires_grad


def test_recovery_of_the_teachers_vectors_is_closer_than_zeros_by_all_of_their_error() -> None:
    network, batch = taught(), batch_of(WIDTHS)
    specific = network.teacher(batch.inputs)[0]
    del network.recovery
    network.recovery = lambda *own: (specific, None, None)
    errors = []
    for n, name in enumerate(WIDTHS):
        hidden = network.teacher({**batch.inputs, name: torch.zeros_like(batch.inputs[name])})[0]
        errors.append((hidden - specific)[:, 8 * n : 8 * n + 8].square().mean())  # h = 8
    torch.testing.assert_close(network.diagnostics(batch)["reconstruction"], torch.stack(errors).mean())
    assert taught(recovery=False).diagnostics(batch) == {}


def test_latent_variables_are_drawn_in_training_only() -> None:
    network, batch = taught(), training_batch()
    assert torch.equal(network(batch)[0]["valence"], network(batch)[0]["valence"])
    network.train()
    assert not torch.equal(network(batch)[0]["valence"], network(batch)[0]["valence"])


def test_the_samples_next_to_it_change_nothing() -> None:
    network, batch = taught(), batch_of(WIDTHS)
    every = network(batch)
    single = network(
        replace(batch, inputs={name: x[2:3] for name, x in batch.inputs.items()}, samples=batch.samples[2:3])
    )
    for name, values in single.items():
        torch.testing.assert_close(values, every[name][2:3], rtol=1e-5, atol=1e-5)


def test_padding_is_no_part_of_the_losses() -> None:
    network, batch = taught(), training_batch()
    padded = replace(batch, samples=torch.tensor([0, 1, -1, 3, 4, -1]))
    rows = padded.real
    real = replace(
        batch,
        inputs={name: x[rows] for name, x in batch.inputs.items()},
        complete={name: x[rows] for name, x in batch.complete.items()},
        samples=torch.arange(4),
    )
    for name, loss in network(real)[1].items():
        torch.testing.assert_close(network(padded)[1][name], loss)
        assert not torch.isclose(network(batch)[1][name], loss, rtol=1e-6, atol=0)


def total(returned: tuple[dict[str, Tensor], dict[str, Tensor]]) -> Tensor:
    outputs, losses = returned
    return torch.stack([*(x.square().sum() for x in outputs.values()), *losses.values()]).sum()


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("features", [["audio"], ["audio", "video", "text"]])
def test_gradients_of_identical_rows_are_finite(n: int, features: list[str]) -> None:
    widths = {name: WIDTHS[name] for name in features}
    batch = training_batch(n, widths)
    rows = {name: x[:1].expand_as(x) for name, x in batch.complete.items()}
    equal = replace(batch, inputs=rows, complete=rows)
    network = taught(widths).train()
    torch.manual_seed(0)
    teacher = model.Teacher(network.options, shape(widths)).train()
    returned = teacher(equal)
    for own, given in (
        (network, network(equal)),
        (teacher, returned if isinstance(returned, tuple) else (returned, {})),
    ):
        total(given).backward()
        gradients = [parameter.grad for parameter in own.parameters() if parameter.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)


def test_the_heads_divide_what_the_transformer_reads() -> None:
    with pytest.raises(UsageError, match="heads: 7 do not divide 48"):
        network_of("nmer", WIDTHS, LABELS, **{**SMALL, "heads": 7})


def test_it_learns_under_noise_and_its_stored_weights_predict_the_same(small_track: SmallTrack) -> None:
    track, loaded = small_track(), load_baseline("nmer")
    patterns = {"pattern": {"choice": ["a", "v"]}, "absent": "noise", "t": {"integers": [0, 99]}}
    train = training_set(open_candidates(track, "train"), ["quiet", "loud"])
    modalities = {"quiet": "audio", "loud": "video"}
    train = replace(
        train, corruption=FeatureCorruption((Step("modality_pattern", patterns),), 1, modalities, per_epoch=True)
    )
    test = feature_set(open_candidates(track), ["quiet", "loud"])
    options = loaded.options("small", {**SMALL, "epochs": 2, "batch_size": 16})
    fitted, restored = (loaded.build(options, Setup(n_folds=2, device_name="cpu")) for _ in range(2))
    fitted.fit(train)
    assert isinstance(fitted, Storable) and isinstance(restored, Storable)
    assert not any("remembered" in name for name in fitted.weights())
    restored.restore(fitted.weights(), track, test.widths)
    for target, values in fitted.predict(test).outputs.items():
        assert np.ptp(values, axis=0).max() > 0
        np.testing.assert_array_equal(restored.predict(test).outputs[target], values)
