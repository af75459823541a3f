"""Samples without references in training, next to those of a batch, and what follows a step of the optimiser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor

from merbench.corruptions import Step
from merbench.errors import UsageError
from merbench.training import FeatureSet, Setup
from merbench.training.networks import checkpoints
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.layers import generator
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.order import UnlabelledOrder
from merbench.training.networks.scaling import Kind
from merbench.training.samples import FeatureCorruption
from tests.training.networks.test_checkpoints import LONG, Epochs, Interrupted
from tests.training.networks.test_network import KINDS, Layered, Recurrent, training_set

N_UNLABELLED = 30


def others(kind: Kind) -> FeatureSet:
    """Return samples without references: the first ones of another set, with ids and values of their own."""
    samples = training_set(kind).samples.select(np.arange(N_UNLABELLED))
    values = {name: replace(part, values=part.values + 5) for name, part in samples.sequences.items()}
    return replace(samples, ids=pa.array([f"u{i:02}" for i in range(N_UNLABELLED)]), sequences=values)


class Semi(torch.nn.Module):
    """A network with a loss of unlabelled samples, a mean of its parameters, and what it saw."""

    seen: ClassVar[list[tuple[int, Batch]]] = []

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layered = len(shape.rngs) > 1
        self.network: Any = Layered(shape) if self.layered else Recurrent(shape)
        for name, parameter in self.network.named_parameters():
            self.register_buffer(f"mean_{name.replace('.', '_')}", parameter.detach().clone())

    def stepped(self, step: int) -> None:
        for name, parameter in self.network.named_parameters():
            getattr(self, f"mean_{name.replace('.', '_')}").lerp_(parameter.detach(), 1 / step)

    def forward(self, batch: Batch) -> Any:
        outputs = self.network(batch)
        assert (batch.unlabelled is not None) == self.training
        if batch.unlabelled is None:
            return outputs
        assert not batch.unlabelled.targets and batch.unlabelled.epoch == batch.epoch > 0
        copied = {name: x.clone() for name, x in batch.unlabelled.inputs.items()}  # the next batch has the same memory
        self.seen.append((batch.epoch, replace(batch.unlabelled, inputs=copied)))
        noisy = {name: x + torch.randn_like(x) for name, x in batch.unlabelled.inputs.items()}
        loss: Tensor = self.network(replace(batch.unlabelled, inputs=noisy, complete={}))["valence"].square()
        real = batch.unlabelled.real
        dims = tuple(range(int(self.layered), real.ndim))
        return outputs, {"consistency": (loss * real).sum(dims) / real.sum(dims)}


def baseline(kind: Kind, log: Epochs, state: Path | None = None, ratio: int = 2) -> NetworkBaseline:
    made = NetworkBaseline(
        Semi, LONG, Setup(0, 3, "cpu", log=log, state=state), kind=kind, together=kind == "vectors", standardise=True
    )
    made.unlabelled = ratio
    Semi.seen = []
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_draws_the_same_unlabelled_samples(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS", 0.0)
    train = replace(training_set(kind), unlabelled=others(kind))
    through = baseline(kind, Epochs())
    wanted = through.fit_folds(train)
    with pytest.raises(Interrupted):
        baseline(kind, Epochs(3), tmp_path).fit(train)
    log = Epochs()
    resumed = baseline(kind, log, tmp_path)
    result = resumed.fit_folds(train)
    assert {name: part.tobytes() for name, part in resumed.weights().items()} == {
        name: part.tobytes() for name, part in through.weights().items()
    }
    assert wanted.curve is not None and result.curve is not None
    np.testing.assert_array_equal(result.curve.loss, wanted.curve.loss)
    assert all(value > 0 for value in np.ravel([epoch["consistency"] for epoch in log.values]) if value == value)
    with pytest.raises(UsageError, match=r"the state of another training; what differs: unlabelled"):
        baseline(kind, Epochs(), tmp_path, ratio=1).fit(train)


@pytest.mark.parametrize(("n_members", "n", "n_steps"), [(30, 8, 10), (30, 30, 3), (5, 8, 4), (1, 1, 3)])
def test_no_sample_is_in_a_step_twice_and_all_have_their_turn(n_members: int, n: int, n_steps: int) -> None:
    samples = FeatureSet.of_vectors(
        pa.array([f"{i:02}" for i in range(n_members)]), {"x": np.zeros((n_members, 1), np.float32)}
    )
    order = UnlabelledOrder(Data(samples), n, [generator("cpu", 0), generator("cpu", 1)])
    size = min(n, n_members)
    epochs = [torch.stack(list(order.epoch(n_steps))) for _ in range(3)]
    for steps in epochs:
        assert steps.shape == (n_steps, 2, size)
        for fold in steps.transpose(0, 1):
            assert all(len(set(step.tolist())) == size for step in fold)
            in_a_pass = fold[: n_members // size].flatten().tolist()
            assert len(set(in_a_pass)) == len(in_a_pass)
    if n_members > 1 and size < n_members:
        assert not torch.equal(epochs[0], epochs[1]) and not torch.equal(epochs[0][:, 0], epochs[0][:, 1])


@pytest.mark.parametrize("corrupted", [False, True])
def test_they_are_scaled_and_corrupted_as_those_that_are_learned_from(corrupted: bool) -> None:
    train = replace(training_set("vectors"), unlabelled=others("vectors"))
    if corrupted:
        train = replace(
            train,
            corruption=FeatureCorruption(
                (Step("modality_absence", {"modality": "audio", "rate": 0.5}),), 1, {"x": "audio"}, per_epoch=True
            ),
        )
    made = baseline("vectors", Epochs())
    made.fit_folds(train)
    assert made.scaling is not None and train.unlabelled is not None
    values, n_removed = torch.from_numpy(train.unlabelled.features["x"]), []
    for _, batch in Semi.seen:
        assert batch.samples.shape == (3, 16)
        for fold, rows in enumerate(batch.samples):
            scaled = (values[rows] - made.scaling.means["x"][fold]) / made.scaling.deviations["x"][fold]
            present = batch.present["x"][fold]
            torch.testing.assert_close(batch.inputs["x"][fold], scaled * present[:, None])
            n_removed.append(int((~present).sum()))
    assert (sum(n_removed) > 0) == corrupted


def test_without_unlabelled_samples_it_does_not_train() -> None:
    with pytest.raises(UsageError, match=r"mer2023-multi: \[training\] leaves no unlabelled samples to learn from"):
        baseline("vectors", Epochs()).fit(training_set("vectors"))
