"""MMIN begins from a teacher on complete features, and imagines the encodings of what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from tests.baselines.networks import network_of
from tests.baselines.test_ae import LABELS, WIDTHS, lacking
from tests.training.conftest import SmallTrack
from tests.training.test_missing import small

SMALL: dict[str, Any] = {"hidden": 8, "embedding": 4, "layers": [6, 3], "blocks": 2}

module = load_baseline("mmin").module


def taught(**options: Any) -> tuple[Any, Any]:
    """Return a network, and the teacher that it begins from."""
    network = network_of("mmin", WIDTHS, LABELS, **SMALL, **options)
    rng = generator("cpu", 1)
    torch.manual_seed(1)
    teacher = module.Teacher(network.options, Shape(WIDTHS, LABELS, [rng], rng))
    network.learn_from(teacher)
    return network, teacher


def test_it_begins_with_the_encoders_of_its_teacher_which_stay_as_they_were() -> None:
    network, teacher = taught(teacher_dropout=0.5)
    before = {name: part.clone() for name, part in teacher.encoders.state_dict().items()}
    batch = lacking()
    assert all(torch.equal(part, before[name]) for name, part in network.encoders.state_dict().items())
    network.train()
    optimiser = torch.optim.SGD([part for part in network.parameters() if part.requires_grad], lr=0.1)
    for _ in range(2):
        outputs, losses = network(batch)
        optimiser.zero_grad()
        (sum(losses.values()) + outputs["valence"].square().mean()).backward()
        optimiser.step()
    kept = network.remembered.state_dict()
    assert all(torch.equal(kept[f"trained.{name}"], part) for name, part in before.items())
    assert not torch.equal(network.encoders[0][0].weight, before["0.0.weight"])
    # the same in training as in evaluation: no entry is dropped
    assert torch.equal(network.remembered(batch.complete), network.remembered(batch.complete))


@pytest.mark.parametrize("missing", WIDTHS)
def test_only_the_imagined_encoding_of_what_is_missing_is_compared(missing: str) -> None:
    network, _ = taught()
    batch, place = lacking(missing=missing), list(WIDTHS).index(missing)
    imagined = network.imagination(network.encoders(batch.inputs))[0]
    wanted = network.remembered(batch.complete)  # complete ones, of which only those of the missing feature count
    own = slice(4 * place, 4 * place + 4)
    error = (imagined - wanted)[::2, own].square().sum() / (6 * 12)
    torch.testing.assert_close(network(batch)[1]["imagination"], 4 * error)


def test_the_cycle_is_compared_with_the_encodings_that_were_given_and_does_not_move_them() -> None:
    network, _ = taught(imagination=0.0)
    batch = lacking()
    encoded = network.encoders(batch.inputs)
    again = network.cycle(network.imagination(encoded)[0])[0]
    torch.testing.assert_close(network(batch)[1]["cycle"], 2 * (again - encoded).square().mean())
    nn.init.zeros_(network.cycle.transition[-1].weight)
    network.zero_grad()
    network(batch)[1]["cycle"].backward()  # what it makes no longer depends on what it was given
    assert not any(part.grad.any() for part in network.encoders.parameters() if part.grad is not None)


def test_padding_is_no_part_of_the_losses() -> None:
    network, _ = taught()
    batch = lacking(6)
    padded = replace(batch, samples=torch.tensor([0, 1, 2, 3, -1, -1]))
    parts = ("inputs", "present", "targets", "complete")
    first: Batch = replace(
        batch,
        samples=torch.arange(4),
        **{part: {name: x[:4] for name, x in getattr(batch, part).items()} for part in parts},
    )
    for name, loss in network(first)[1].items():
        torch.testing.assert_close(network(padded)[1][name], loss)


def test_a_fold_has_the_teacher_of_its_own_samples(small_track: SmallTrack) -> None:
    train, test = small(small_track, {"name": "gcnet_missing", "rate": 0.5})
    train = replace(train, corruption=replace(train.corruption, per_epoch=True))
    loaded = load_baseline("mmin")
    options = loaded.options("small", {**SMALL, "epochs": 2, "batch_size": 8})
    baseline: Any = loaded.build(options, Setup(n_folds=2, device_name="cpu"))
    result = baseline.fit_folds(train)
    # two stages of two epochs, on half of the 60 samples in each of two folds
    assert result.sample_epochs == 2 * 2 * 60
    assert not any("remembered" in name for name in baseline.weights())
    first, second = (network.remembered.state_dict() for network in baseline.built.networks)
    assert not torch.equal(first["trained.0.0.weight"], second["trained.0.0.weight"])
    assert np.isfinite(result.details["diagnostics"]["explained"]).all()
    restored: Any = loaded.build(options, Setup(device_name="cpu"))
    restored.restore(baseline.weights(), train.track, test.widths)
    for name, values in baseline.predict(test).outputs.items():
        np.testing.assert_array_equal(restored.predict(test).outputs[name], values)
