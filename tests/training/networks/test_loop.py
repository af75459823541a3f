"""The loop equals training each fold by itself with torch's own layers, optimiser and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training import Division, FeatureSet, Setup
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.layers import FoldHidden, FoldLinear, generator
from merbench.training.networks.learner import Learner, Material, Model, Outputs
from merbench.training.networks.loop import train
from merbench.training.networks.losses import Objective
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.order import Order
from merbench.training.protocol import Curve

N_FOLDS, WIDTHS, HIDDEN, N_LABELS = 5, (7, 4), 6, 3
SCHEDULE = Schedule(epochs=4, batch_size=6, learning_rate=0.01, weight_decay=0.01)
SEED = 3


class Layered(nn.Module):
    """Two encoders, their sum, two heads; one set of parameters per fold."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        rngs = [generator("cpu", 0, "initial", fold) for fold in range(N_FOLDS)]
        noise = generator("cpu", "noise")
        self.encoders = nn.ModuleList(FoldHidden(n, HIDDEN, rngs, dropout=dropout, noise=noise) for n in WIDTHS)
        self.labels = FoldLinear(HIDDEN, N_LABELS, rngs)
        self.number = FoldLinear(HIDDEN, 1, rngs)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        inputs = batch.inputs.values()
        total = sum(encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True))
        return {"labels": self.labels(total), "number": self.number(total).squeeze(-1)}


class Alone(nn.Module):
    """The same network for one fold, made of torch's layers, with that fold's initial values."""

    def __init__(self, layered: Layered, fold: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(linear(layer, fold) for layer in layered.encoders)
        self.labels, self.number = linear(layered.labels, fold), linear(layered.number, fold)

    def forward(self, batch: Batch | Sequence[Tensor]) -> dict[str, Tensor]:
        inputs = batch.inputs.values() if isinstance(batch, Batch) else batch
        total = sum(encoder(x).relu() for encoder, x in zip(self.encoders, inputs, strict=True))
        return {"labels": self.labels(total), "number": self.number(total).squeeze(-1)}


def linear(layer: FoldLinear, fold: int) -> nn.Linear:
    made = nn.Linear(*layer.weight.shape[1:])
    made.weight.data = layer.weight.detach()[fold].T.clone()
    made.bias.data = layer.bias.detach()[fold, 0].clone()
    return made


def divisions(folds: np.ndarray) -> list[Division]:
    return [Division(np.flatnonzero(folds != n), np.flatnonzero(folds == n)) for n in range(folds.max() + 1)]


def samples(n: int) -> tuple[FeatureSet, dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(1)
    features = {f"f{width}": rng.standard_normal((n, width)).astype(np.float32) for width in WIDTHS}
    targets = {"labels": rng.integers(0, N_LABELS, n).astype(np.int32), "number": rng.standard_normal(n)}
    return FeatureSet.of_vectors(pa.array([f"s{i:02}" for i in range(n)]), features), targets, rng.permutation(n) % 5


LOSSES = {"labels": "cross_entropy", "number": "squared_error"}


def trained(
    networks: Sequence[nn.Module],
    features: FeatureSet,
    targets: dict[str, np.ndarray],
    folds: np.ndarray,
    schedule: Schedule = SCHEDULE,
    value: Callable[[np.ndarray, Outputs], tuple[float, ...]] | None = None,
    sign: int = 1,
) -> tuple[Outputs, Curve]:
    """Train one network of fold layers, or one per fold; without a value, every epoch is better than the last."""
    data, parts, epochs = Data(features, targets=targets), divisions(folds), iter(range(10_000))
    layered = len(networks) == 1
    learners = [
        Learner(
            network,
            Material(
                data,
                Order(
                    [data.units(parts[fold].learn) for fold in own],
                    schedule.batch_size,
                    [generator("cpu", SEED, "shuffle", fold) for fold in own],
                ),
                Objective.of(data.targets, {name: LOSSES[name] for name in targets}),
            ),
            schedule,
            layered=layered,
            seed=0,
        )
        for network, own in zip(networks, [range(5)] if layered else [[fold] for fold in range(5)], strict=True)
    ]
    every_better = value or (lambda rows, outputs: (next(epochs),))
    return train(learners, [part.validate for part in parts], value=every_better, setup=Setup(), sign=sign)


# Batches of 6. 23 samples: folds train on 18 or 19, so the smaller ones need three full batches and the larger ones a
# fourth of one sample; the smaller ones are spread evenly over four. 22: all need three, the last partly filled with 5
# or 6. 20: all folds alike. By itself, a fold of 18 has three batches of six.
BATCHES = {23: {18: (5, 5, 4, 4), 19: (6, 6, 6, 1)}, 22: {17: (6, 6, 5), 18: (6, 6, 6)}, 20: {16: (6, 6, 4)}}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "layered"), [(23, True), (22, True), (20, True), (22, False), (20, False)])
def test_folds_train_as_each_fold_by_itself(n: int, layered: bool) -> None:
    features, targets, folds = samples(n)
    model = Layered()
    alone = [Alone(model, fold) for fold in range(N_FOLDS)]
    networks = [model] if layered else [Alone(model, fold) for fold in range(N_FOLDS)]
    outputs, curve = trained(networks, features, targets, folds)
    assert curve.best_epoch == (SCHEDULE.epochs,) * N_FOLDS

    inputs = [torch.from_numpy(x) for x in features.features.values()]
    labels, numbers = torch.tensor(targets["labels"]).long(), torch.tensor(targets["number"]).float()
    for fold, network in enumerate(alone):
        members = torch.from_numpy(np.flatnonzero(folds != fold))
        rng = generator("cpu", SEED, "shuffle", fold)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.01)
        for epoch in range(SCHEDULE.epochs):
            losses = []
            for rows in members[torch.randperm(len(members), generator=rng)].split(BATCHES[n][len(members)]):
                output = network([x[rows] for x in inputs])
                loss = nn.functional.cross_entropy(output["labels"], labels[rows])
                loss = loss + nn.functional.mse_loss(output["number"], numbers[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses += [loss.item()] * len(rows)
            assert curve.loss[epoch, fold] == pytest.approx(np.mean(losses), rel=1e-5)
        with torch.no_grad():
            output = network(inputs)
        # float32, some dozen Adam steps: sums in another order differ in the last digits
        held_out = folds == fold
        for name, part in output.items():
            np.testing.assert_allclose(outputs[name][held_out], part.numpy()[held_out], rtol=2e-4, atol=2e-5)
        if layered:
            np.testing.assert_allclose(model.labels.weight.detach()[fold].T, network.labels.weight.detach(), atol=2e-5)


@pytest.mark.parametrize("layered", [True, False])
def test_every_fold_keeps_its_own_best_epoch(layered: bool) -> None:
    features, targets, folds = samples(20)
    wanted = [3, 1, 4, 2, 2]
    seen: list[Outputs] = []

    def value(rows: np.ndarray, outputs: Outputs) -> tuple[float, ...]:
        epoch, fold = divmod(len(seen), N_FOLDS)
        seen.append(outputs)
        return (1.0 if epoch + 1 == wanted[fold] else float("nan") if epoch == 0 else 0.5,)

    model = Layered()
    networks: list[nn.Module] = [model] if layered else [Alone(model, fold) for fold in range(N_FOLDS)]
    kept_outputs, curve = trained(networks, features, targets, folds, value=value)
    assert curve.best_epoch == tuple(wanted)
    assert curve.value.shape == curve.loss.shape == (SCHEDULE.epochs, N_FOLDS)
    every = [np.arange(20)] * (5 if layered else 1)
    models = [Model(network, layered=layered) for network in networks]
    outputs = [part for model in models for part in model.evaluated(Data(features), every)]
    for fold, epoch in enumerate(wanted):
        kept = seen[(epoch - 1) * N_FOLDS + fold]["labels"]
        np.testing.assert_array_equal(kept_outputs["labels"][folds == fold], kept)
        np.testing.assert_allclose(outputs[fold]["labels"][folds == fold], kept, rtol=1e-5, atol=1e-6)


def test_of_equally_good_epochs_the_first_is_kept() -> None:
    features, targets, folds = samples(20)
    _, curve = trained([Layered()], features, targets, folds, value=lambda rows, outputs: (0.0,))
    assert curve.best_epoch == (1,) * N_FOLDS


def test_the_last_epoch_is_kept_of_a_fold_whose_value_is_never_defined() -> None:
    features, targets, folds = samples(20)
    schedule = replace(SCHEDULE, epochs=6, patience=2)
    # fold 1 has no value at all, fold 2 one in its third epoch; the others are best in the first
    values = [[3, 2, 1], [np.nan] * 6, [np.nan, np.nan, 1, 0, np.nan], [3, 2, 1], [3, 2, 1]]
    given = [iter(own) for own in values]
    _, curve = trained(
        [Layered()], features, targets, folds, schedule, lambda rows, _: (float(next(given[folds[rows[0]]])),)
    )
    assert curve.best_epoch == (1, 6, 3, 1, 1)
    np.testing.assert_array_equal(curve.value[:, 2], [np.nan, np.nan, 1, 0, np.nan, np.nan])


def test_values_are_compared_by_what_is_defined_of_them() -> None:
    features, targets, folds = samples(20)
    second = iter(np.repeat([1.0, 3.0, 2.0, 0.0], N_FOLDS))
    _, curve = trained([Layered()], features, targets, folds, value=lambda rows, _: (np.nan, float(next(second))))
    assert curve.best_epoch == (2,) * N_FOLDS


def test_curves_have_values_that_are_better_when_lower_on_their_own_scale() -> None:
    features, targets, folds = samples(20)
    errors = np.array([0.5, 0.3, 0.2, 0.4])
    values = iter(-np.repeat(errors, N_FOLDS))
    _, curve = trained([Layered()], features, targets, folds, value=lambda rows, _: (float(next(values)),), sign=-1)
    np.testing.assert_array_equal(curve.value, np.repeat(errors[:, None], N_FOLDS, 1))
    assert curve.best_epoch == (3,) * N_FOLDS


@pytest.mark.parametrize("only", ["labels", "number"])
def test_a_single_target_has_only_its_own_loss(only: str) -> None:
    features, targets, folds = samples(20)
    model = Layered()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained([model], features, {only: targets[only]}, folds, replace(SCHEDULE, epochs=1, weight_decay=0))
    moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    other = {"labels": "number", "number": "labels"}[only]
    assert {f"{only}.weight", f"{only}.bias"} <= moved
    assert not {name for name in moved if name.startswith(other)}


def test_training_that_diverges_says_what_to_do() -> None:
    features, targets, folds = samples(20)
    targets["number"] = targets["number"] * 1e30
    message = r"training diverged in epoch 1 \(the loss is not finite\); lower the learning"
    with pytest.raises(UsageError, match=message):
        trained([Layered()], features, targets, folds)


def test_accumulated_batches_take_the_step_of_one_large_batch() -> None:
    features, targets, folds = samples(20)  # every fold learns from 16
    losses = []
    for schedule in (
        replace(SCHEDULE, batch_size=8, accumulation=1),
        replace(SCHEDULE, batch_size=4, accumulation=2),
    ):
        model = Layered()
        trained([model], features, targets, folds, schedule)
        losses.append([part.detach() for part in model.parameters()])
    for ours, theirs in zip(*losses, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("layered", [True, False])
def test_a_fold_stops_after_so_many_epochs_without_a_better_one(layered: bool) -> None:
    features, targets, folds = samples(20)
    # by fold, the value of every epoch: better in 1, in 1 and 2, in 1 to 4, and equal ones are not better
    values = [[3, 2, 1, 9, 9], [3, 4, 1, 1, 9], [1, 2, 3, 4, 5], [1, 1, 1, 9, 9], [1, 2, 2, 3, 3]]
    calls = [0] * N_FOLDS

    def value(rows: np.ndarray, outputs: Outputs) -> tuple[float, ...]:
        fold = int(folds[rows[0]])
        calls[fold] += 1
        return (values[fold][calls[fold] - 1],)

    model = Layered()
    networks: list[nn.Module] = [model] if layered else [Alone(model, fold) for fold in range(N_FOLDS)]
    schedule = replace(SCHEDULE, epochs=5, patience=2)
    _, curve = trained(networks, features, targets, folds, schedule, value)
    assert calls == [3, 4, 5, 3, 5]
    assert curve.best_epoch == (1, 2, 5, 1, 4)
    assert np.isnan(curve.value[:, 0]).tolist() == [False, False, False, True, True]
    assert np.isnan(curve.loss[:, 0]).tolist() == [False, False, False, True, True]


def test_training_ends_when_every_fold_has_stopped() -> None:
    features, targets, folds = samples(20)
    schedule = replace(SCHEDULE, epochs=50, patience=3)
    _, curve = trained([Layered()], features, targets, folds, schedule, lambda rows, outputs: (0.0,))
    assert curve.loss.shape == (4, N_FOLDS)


def test_growth_below_min_delta_is_not_better_but_is_kept() -> None:
    features, targets, folds = samples(20)
    values = iter(np.repeat([1.0, 1.05, 1.09, 9.0], N_FOLDS))
    schedule = replace(SCHEDULE, patience=2, min_delta=0.1)
    _, curve = trained([Layered()], features, targets, folds, schedule, lambda rows, outputs: (float(next(values)),))
    assert curve.best_epoch == (3,) * N_FOLDS


def test_the_last_epoch_is_kept_where_the_schedule_says_so() -> None:
    features, targets, folds = samples(20)
    values = iter(range(1000, 0, -1))
    schedule = replace(SCHEDULE, keep="last")
    _, curve = trained([Layered()], features, targets, folds, schedule, lambda rows, outputs: (next(values),))
    assert curve.best_epoch == (SCHEDULE.epochs,) * N_FOLDS


class Short(Alone):
    """A network for which memory is used up by more than three samples, or always."""

    at_most = 3

    def forward(self, batch: Batch | Sequence[Tensor]) -> dict[str, Tensor]:
        assert isinstance(batch, Batch)
        if self.training and len(batch.samples) > self.at_most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(batch)


def test_where_memory_is_used_up_batches_are_halved_once_and_the_result_is_the_same() -> None:
    features, targets, folds = samples(20)
    outputs = [
        trained([kind(Layered(), fold) for fold in range(N_FOLDS)], features, targets, folds)[0]
        for kind in (Alone, Short)
    ]
    for name, wanted in outputs[0].items():
        np.testing.assert_allclose(outputs[1][name], wanted, rtol=1e-3, atol=1e-5)


def test_where_half_batches_do_not_fit_either_training_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    features, targets, folds = samples(20)
    monkeypatch.setattr(Short, "at_most", 1)
    message = "out of memory on cpu, with half batches, too; lower batch_size, which is 6, or use another device"
    with pytest.raises(UsageError, match=message):
        trained([Short(Layered(), fold) for fold in range(N_FOLDS)], features, targets, folds)


class Crowded(Alone):
    """A network that predicts so many samples at once, and no more."""

    at_most = 2

    def forward(self, batch: Batch | Sequence[Tensor]) -> dict[str, Tensor]:
        assert isinstance(batch, Batch)
        if len(batch.samples) > self.at_most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return super().forward(batch)


def test_where_memory_is_used_up_half_as_many_samples_are_predicted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _, _ = samples(20)
    outputs = []
    for kind, at_most in ((Alone, 20), (Crowded, 10)):
        monkeypatch.setattr(Crowded, "at_most", at_most)
        outputs += Model(kind(Layered(), 0), layered=False).evaluated(Data(features), [np.arange(20)])
    for name, wanted in outputs[0].items():
        np.testing.assert_allclose(outputs[1][name], wanted, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(Crowded, "at_most", 9)
    with pytest.raises(UsageError, match="out of memory on cpu, with half batches, too; use another device"):
        Model(Crowded(Layered(), 0), layered=False).evaluated(Data(features), [np.arange(20)])


class Regularised(Alone):
    """A network with a loss of its own: the mean square of its outputs, of real samples only."""

    def forward(self, batch: Batch | Sequence[Tensor]) -> dict[str, Tensor]:
        outputs = super().forward(batch)
        assert isinstance(batch, Batch)
        return outputs, {"size": 1000 * outputs["number"][batch.real].square().mean()}  # type: ignore[return-value]


def test_a_networks_own_losses_are_added() -> None:
    features, targets, folds = samples(20)
    sizes = []
    for kind in (Alone, Regularised):
        networks = [kind(Layered(), fold) for fold in range(N_FOLDS)]
        outputs, _ = trained(networks, features, targets, folds, replace(SCHEDULE, epochs=15))
        sizes.append(np.abs(outputs["number"]).mean())
    assert sizes[1] < sizes[0] / 2


class Endless(Alone):
    """A network with two losses of its own, of which one is not a number."""

    def forward(self, batch: Batch | Sequence[Tensor]) -> dict[str, Tensor]:
        assert isinstance(batch, Batch)
        outputs = super().forward(batch)
        own = {"size": torch.tensor(np.nan if self.training else 0.0), "other": torch.tensor(1.0)}
        return outputs, own  # type: ignore[return-value]


def test_training_names_the_networks_own_loss_that_diverges() -> None:
    features, targets, folds = samples(20)
    with pytest.raises(UsageError, match=r"epoch 1 \(the network's own loss size is not finite\)"):
        trained([Endless(Layered(), fold) for fold in range(N_FOLDS)], features, targets, folds)
