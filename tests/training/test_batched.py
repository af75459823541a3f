"""Training all folds in one batched pass equals training each fold by itself with torch's own layers and optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from merbench.devices import chosen_device
from merbench.errors import UsageError
from merbench.training import Division
from merbench.training.batched import (
    FoldData,
    FoldHidden,
    FoldLinear,
    Schedule,
    generator,
    predict_folds,
    train_folds,
)

N_FOLDS, WIDTHS, HIDDEN, N_LABELS = 5, (7, 4), 6, 3
SCHEDULE = Schedule(epochs=4, batch_size=6, learning_rate=0.01, weight_decay=0.01, seed=3)


def initial() -> list[torch.Generator]:
    return [generator("cpu", 0, "initial", fold) for fold in range(N_FOLDS)]


class Batched(nn.Module):
    """Two encoders, their sum, two heads; one set of parameters per fold."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        rngs, noise = initial(), generator("cpu", "noise")
        self.encoders = nn.ModuleList(FoldHidden(n, HIDDEN, rngs, dropout=dropout, noise=noise) for n in WIDTHS)
        self.labels = FoldLinear(HIDDEN, N_LABELS, rngs)
        self.number = FoldLinear(HIDDEN, 1, rngs)

    def forward(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        total = sum(encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True))
        return {"labels": self.labels(total), "number": self.number(total).squeeze(-1)}


class Alone(nn.Module):
    """The same network for one fold, made of torch's layers, with that fold's initial values."""

    def __init__(self, batched: Batched, fold: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(linear(layer, fold) for layer in batched.encoders)
        self.labels, self.number = linear(batched.labels, fold), linear(batched.number, fold)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        total = sum(encoder(x).relu() for encoder, x in zip(self.encoders, inputs, strict=True))
        return self.labels(total), self.number(total).squeeze(-1)


def linear(layer: FoldLinear, fold: int) -> nn.Linear:
    made = nn.Linear(*layer.weight.shape[1:])
    made.weight.data = layer.weight.detach()[fold].T.clone()
    made.bias.data = layer.bias.detach()[fold, 0].clone()
    return made


def divisions(folds: np.ndarray) -> list[Division]:
    return [Division(np.flatnonzero(folds != n), np.flatnonzero(folds == n)) for n in range(folds.max() + 1)]


def fold_data(features: list[Tensor], targets: dict[str, Tensor]) -> FoldData:
    """Return a data set whose codes have the loss of labels, and numbers that of numbers."""
    losses = {name: "squared_error" if x.is_floating_point() else "cross_entropy" for name, x in targets.items()}
    return FoldData(features, targets, losses)


def data(n: int) -> tuple[list[Tensor], dict[str, Tensor], np.ndarray]:
    rng = torch.Generator().manual_seed(1)
    features = [torch.randn(n, width, generator=rng) for width in WIDTHS]
    targets = {"labels": torch.randint(0, N_LABELS, (n,), generator=rng), "number": torch.randn(n, generator=rng)}
    return features, targets, np.random.default_rng(2).permutation(n) % N_FOLDS


# Batches of 6. 23 samples: folds train on 18 or 19, so the smaller ones need three full batches and the larger ones a
# fourth of one sample; the smaller ones give theirs the last sample of the third. 22: all need three, the last partly
# filled with 5 or 6. 20: all folds alike.
BATCHES = {23: {18: (6, 6, 5, 1), 19: (6, 6, 6, 1)}, 22: {17: (6, 6, 5), 18: (6, 6, 6)}, 20: {16: (6, 6, 4)}}


@pytest.mark.slow
@pytest.mark.parametrize("n", BATCHES)
def test_batched_folds_train_as_each_fold_by_itself(n: int) -> None:
    features, targets, folds = data(n)
    model = Batched()
    alone = [Alone(model, fold) for fold in range(N_FOLDS)]
    _, curve = train_folds(
        model, fold_data(features, targets), divisions(folds), SCHEDULE, value=lambda rows, outputs: (0.0,)
    )
    assert curve.best_epoch == (1,) * N_FOLDS  # of equals, the first
    model = Batched()
    epochs = iter(range(1, SCHEDULE.epochs * N_FOLDS + 1))
    data_set = fold_data(features, targets)
    outputs, curve = train_folds(
        model, data_set, divisions(folds), SCHEDULE, value=lambda rows, outputs: (next(epochs),)
    )
    assert curve.best_epoch == (SCHEDULE.epochs,) * N_FOLDS

    for fold, network in enumerate(alone):
        members = torch.from_numpy(np.flatnonzero(folds != fold))
        rng = generator("cpu", 3, "shuffle", fold)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=0.01)
        for epoch in range(SCHEDULE.epochs):
            losses = []
            for rows in members[torch.randperm(len(members), generator=rng)].split(BATCHES[n][len(members)]):
                labels, number = network([x[rows] for x in features])
                loss = nn.functional.cross_entropy(labels, targets["labels"][rows])
                loss = loss + nn.functional.mse_loss(number, targets["number"][rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses += [loss.item()] * len(rows)
            assert curve.loss[epoch, fold] == pytest.approx(np.mean(losses), rel=1e-5)
        with torch.no_grad():
            labels, number = network(features)
        # float32, some dozen Adam steps: sums in another order differ in the last digits
        held_out = folds == fold
        np.testing.assert_allclose(outputs["labels"][held_out], labels.numpy()[held_out], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(outputs["number"][held_out], number.numpy()[held_out], rtol=2e-4, atol=2e-5)
        np.testing.assert_allclose(model.labels.weight.detach()[fold].T, network.labels.weight.detach(), atol=2e-5)


def test_every_fold_keeps_its_own_best_epoch() -> None:
    features, targets, folds = data(20)
    wanted = [3, 1, 4, 2, 2]
    seen: list[dict[str, np.ndarray]] = []

    def value(rows: np.ndarray, outputs: dict[str, np.ndarray]) -> tuple[float, ...]:
        epoch, fold = divmod(len(seen), N_FOLDS)
        seen.append(outputs)
        return (1.0 if epoch + 1 == wanted[fold] else float("nan") if epoch == 0 else 0.5,)

    model = Batched()
    kept_outputs, curve = train_folds(model, fold_data(features, targets), divisions(folds), SCHEDULE, value=value)
    assert curve.best_epoch == tuple(wanted)
    assert curve.value.shape == curve.loss.shape == (SCHEDULE.epochs, N_FOLDS)
    model.eval()
    with torch.no_grad():
        outputs = model([x.expand(N_FOLDS, -1, -1) for x in features])["labels"].numpy()
    for fold, epoch in enumerate(wanted):
        kept = seen[(epoch - 1) * N_FOLDS + fold]["labels"]
        np.testing.assert_array_equal(kept_outputs["labels"][folds == fold], kept)
        np.testing.assert_allclose(outputs[fold, folds == fold], kept, rtol=1e-5, atol=1e-6)


def test_predictions_are_the_mean_of_the_folds_outputs() -> None:
    features, _, _ = data(20)
    model = Batched().eval()
    with torch.no_grad():
        outputs = model([x.expand(N_FOLDS, -1, -1) for x in features])
    predicted = predict_folds(model, features, N_FOLDS)
    np.testing.assert_allclose(predicted["labels"], outputs["labels"].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predicted["number"], outputs["number"].mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("only", ["labels", "number"])
def test_a_single_target_has_only_its_own_loss(only: str) -> None:
    features, targets, folds = data(20)
    model = Batched()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    epochs = iter(range(1000))
    train_folds(
        model,
        fold_data(features, {only: targets[only]}),
        divisions(folds),
        Schedule(1, 6, 0.01, 0.0),
        value=lambda rows, outputs: (next(epochs),),
    )
    moved = {name for name, p in model.named_parameters() if not torch.equal(before[name], p)}
    other = {"labels": "number", "number": "labels"}[only]
    assert {f"{only}.weight", f"{only}.bias"} <= moved
    assert not {name for name in moved if name.startswith(other)}


def test_dropped_entries_are_zero_the_others_scaled_and_gradients_follow() -> None:
    layer = FoldHidden(8, 50_000, [generator("cpu", "a")], dropout=0.3, noise=generator("cpu", "b"))
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    output = layer(x)
    plain = torch.baddbmm(layer.bias, x, layer.weight).relu()
    positive = plain > 0
    kept = output > 0
    assert not (kept & ~positive).any()
    # 100,000 positive entries: the share dropped has a standard error of 0.0015
    assert (1 - kept.sum() / positive.sum()).item() == pytest.approx(0.3, abs=0.006)
    torch.testing.assert_close(output[kept], plain[kept] / 0.7, rtol=1e-5, atol=0)
    output.sum().backward()
    gradients = x.grad, layer.bias.grad, layer.weight.grad
    wanted = torch.autograd.grad((plain * kept / 0.7).sum(), (x, layer.bias, layer.weight))
    for ours, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    layer.eval()
    torch.testing.assert_close(layer(x), plain)


def test_gradients_of_several_passes_add_up() -> None:
    layer = FoldLinear(3, 2, initial())
    x = torch.ones(N_FOLDS, 4, 3)
    layer(x).sum().backward()
    once = layer.weight.grad.clone()
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * once)


def test_training_that_diverges_says_what_to_do() -> None:
    features, targets, folds = data(20)
    targets["number"] = targets["number"] * 1e30
    with pytest.raises(
        UsageError, match=r"training diverged in epoch 1 \(the loss is not finite\); lower the learning"
    ):
        train_folds(
            Batched(), fold_data(features, targets), divisions(folds), SCHEDULE, value=lambda rows, outputs: (0.0,)
        )


def test_devices() -> None:
    assert chosen_device("cpu") == torch.device("cpu")
    assert chosen_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "meta"):
        with pytest.raises(UsageError, match=f"'{name}'.*allowed: auto, cpu, cuda, cuda:<number>"):
            chosen_device(name)
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(UsageError, match=f"device '{absent}' does not exist: .* CUDA devices; use --device cpu"):
        chosen_device(absent)
