"""The attention baseline with all folds in one batched pass against a DataLoader fold by fold, and its own lower bound.

Inputs: 3,373 samples of three modalities, 1,024 numbers each, in memory: noise around centres of six classes, so that
there is something to learn; a valence that follows the class. Five folds, batches of 32, Adam.

Peer: the same network, made of torch's layers, trained fold by fold from a Dataset that returns one sample at a time,
as released code does; it predicts the fold left out after every epoch and keeps the best one by scikit-learn's weighted
F1 minus a quarter of the MSE. Both sides leave out what released code does besides: reading files, and predicting the
test sets after every epoch. Lower bound: the matrix products of the same steps on the same shapes, forwards and
backwards, into memory allocated before, and the steps of the optimiser; nothing else.

An epoch takes as long as any other, so a few are enough to compare; `--epochs 100` trains to the end (half an hour).
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, mean_squared_error
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from benchmarks.measuring import machine, race, seconds, table
from merbench.metrics.lists import Values
from merbench.track import load_track
from merbench.training import FeatureSet, FoldEnsemble, Setup, TrainingSet, load_baseline, random_folds
from merbench.training.networks.layers import FoldLinear, generator
from merbench.training.networks.network import Shape
from merbench.training.selection import ranking_value

N, WIDTH, N_FOLDS, BATCH, EPOCHS = 3373, 1024, 5, 32, 100
MODALITIES = ("audio", "text", "video")
SHARES = np.array([123, 98, 87, 40, 52, 12]) / 412
VALENCE = np.array([0.0, -1.5, 1.8, -1.2, -0.8, 0.4])
ATTENTION = load_baseline("attention")
OPTIONS = ATTENTION.options("mer2023-multi", {"patience": 0})


def training_data() -> TrainingSet:
    """Return the inputs: each modality is weak by itself, together they are right two times out of three or so."""
    rng = np.random.default_rng(0)
    classes = rng.choice(6, N, p=SHARES).astype(np.int32)
    features = {
        name: (0.05 * rng.standard_normal((6, WIDTH))[classes] + rng.standard_normal((N, WIDTH))).astype(np.float32)
        for name in MODALITIES
    }
    valence = VALENCE[classes] + 0.8 * rng.standard_normal(N)
    targets: dict[str, NDArray[Any]] = {"discrete": classes, "valence": valence}
    ids = pa.array([f"sample_{i:08d}" for i in range(N)])
    return TrainingSet(load_track("mer2023-multi"), FeatureSet.of_vectors(ids, features), targets)


class Samples(Dataset[tuple[Tensor, ...]]):
    """One sample at a time, from memory."""

    def __init__(self, train: TrainingSet) -> None:
        self.features = [torch.from_numpy(x) for x in train.features.values()]
        self.labels = torch.tensor(train.targets["discrete"], dtype=torch.int64)
        self.values = torch.tensor(train.targets["valence"], dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return *(x[index] for x in self.features), self.labels[index], self.values[index]


class Peer(nn.Module):
    """The network of one fold, of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        last = OPTIONS["hidden"][-1]
        self.encoders = nn.ModuleList(self.encoder(WIDTH) for _ in MODALITIES)
        self.attention = nn.Sequential(*self.encoder(last * len(MODALITIES)), nn.Linear(last, len(MODALITIES)))
        self.labels, self.value = nn.Linear(last, 6), nn.Linear(last, 1)

    def encoder(self, width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for n_out in OPTIONS["hidden"]:
            layers += [nn.Linear(width, n_out), nn.ReLU(), nn.Dropout(OPTIONS["dropout"])]
            width = n_out
        return nn.Sequential(*layers)

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        encoded = [encoder(x) for encoder, x in zip(self.encoders, inputs, strict=True)]
        weights = self.attention(torch.cat(encoded, 1))
        fused = torch.matmul(torch.stack(encoded, 2), weights.unsqueeze(2)).squeeze(2)
        return self.labels(fused), self.value(fused).squeeze(1)


def fold_by_fold(train: TrainingSet, epochs: int, seed: int) -> float:
    """Train the peer and return its cross-validated score."""
    torch.manual_seed(seed)
    samples, folds = Samples(train), random_folds(N, N_FOLDS, seed)
    answers: dict[str, NDArray[Any]] = {"discrete": np.empty(N, np.int32), "valence": np.empty(N)}
    for fold in range(N_FOLDS):
        held_out = np.flatnonzero(folds == fold)
        sampler = SubsetRandomSampler(np.flatnonzero(folds != fold).tolist())
        loader = DataLoader(samples, batch_size=BATCH, sampler=sampler)
        left_out = DataLoader(samples, batch_size=BATCH, sampler=held_out.tolist())
        model = Peer()
        optimiser = torch.optim.Adam(
            model.parameters(), lr=OPTIONS["learning_rate"], weight_decay=OPTIONS["weight_decay"]
        )
        best = -math.inf
        for _ in range(epochs):
            model.train()
            for *features, labels, values in loader:
                scores, numbers = model(features)
                loss = nn.functional.cross_entropy(scores, labels) + nn.functional.mse_loss(numbers, values)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            model.eval()
            with torch.no_grad():
                parts = [model(features) for *features, _, _ in left_out]
            codes = torch.cat([scores for scores, _ in parts]).argmax(1).numpy()
            numbers = torch.cat([numbers for _, numbers in parts]).numpy().astype(np.float64)
            f1 = f1_score(train.targets["discrete"][held_out], codes, average="weighted")
            value = f1 - 0.25 * mean_squared_error(train.targets["valence"][held_out], numbers)
            if value > best:
                best = value
                answers["discrete"][held_out], answers["valence"][held_out] = codes, numbers.clip(-5, 5)
    return overall(train, answers)


def batched(train: TrainingSet, epochs: int, seed: int) -> float:
    """Train the baseline and return its cross-validated score."""
    baseline = ATTENTION.build({**OPTIONS, "epochs": epochs}, Setup(seed, N_FOLDS, "cpu"))
    assert isinstance(baseline, FoldEnsemble)
    return overall(train, baseline.fit_folds(train).out_of_fold.answers(train.track))


def overall(train: TrainingSet, answers: Mapping[str, Values]) -> float:
    """Return the track's overall score of out-of-fold answers."""
    return ranking_value(train.track, train.targets, answers)[0]


class Floor:
    """The matrix products of an epoch on their own, and the optimiser's steps on their own."""

    def __init__(self) -> None:
        rngs = [generator("cpu", fold) for fold in range(N_FOLDS)]
        options = ATTENTION.module.Options(**OPTIONS)
        inputs, labels = dict.fromkeys(MODALITIES, WIDTH), {"discrete": 6, "valence": None}
        model = ATTENTION.module.Network(options, Shape(inputs, labels, rngs, generator("cpu", "noise")))
        self.layers = [layer for layer in model.modules() if isinstance(layer, FoldLinear)]
        self.first = {encoder[0] for encoder in model.encoders}  # their inputs need no gradient
        for layer in self.layers:
            layer.weight.grad, layer.bias.grad = torch.zeros_like(layer.weight), torch.zeros_like(layer.bias)
        self.optimiser = torch.optim.Adam(
            model.parameters(), lr=OPTIONS["learning_rate"], weight_decay=OPTIONS["weight_decay"], fused=True
        )
        largest, held_out = N - N // N_FOLDS, -(-N // N_FOLDS)
        widths = [min(BATCH, largest - start) for start in range(0, largest, BATCH)]
        self.steps = [self.buffers(width) for width in dict.fromkeys(widths)]
        self.n_steps = {width: widths.count(width) for width in dict.fromkeys(widths)}
        self.evaluation = self.buffers(held_out)

    def buffers(self, width: int) -> dict[FoldLinear, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Return input, output and their gradients for every layer."""
        return {
            layer: (
                torch.randn(N_FOLDS, width, layer.weight.shape[1]),
                torch.empty(N_FOLDS, width, layer.weight.shape[2]),
                torch.randn(N_FOLDS, width, layer.weight.shape[2]),
                torch.empty(N_FOLDS, width, layer.weight.shape[1]),
            )
            for layer in self.layers
        }

    @torch.no_grad()
    def products(self, epochs: int) -> None:
        """Multiply as an epoch does: forwards, backwards, and forwards for the samples left out."""
        for _ in range(epochs):
            for buffers, n_steps in zip(self.steps, self.n_steps.values(), strict=True):
                for _ in range(n_steps):
                    for layer, (x, y, _, _) in buffers.items():
                        torch.baddbmm(layer.bias, x, layer.weight, out=y)
                    for layer, (x, _, dy, dx) in buffers.items():
                        torch.bmm(x.mT, dy, out=layer.memory.like(layer.weight))
                        if layer not in self.first:
                            torch.bmm(dy, layer.weight.mT, out=dx)
            for layer, (x, y, _, _) in self.evaluation.items():
                torch.baddbmm(layer.bias, x, layer.weight, out=y)

    def optimise(self, epochs: int) -> None:
        """Take the optimiser's steps."""
        for _ in range(epochs * sum(self.n_steps.values())):
            self.optimiser.step()


def counted(run: Callable[[TrainingSet, int, int], float], train: TrainingSet, epochs: int) -> Iterator[float]:
    """Yield the score of one training after the other, each with the next seed."""
    for seed in count():
        yield run(train, epochs, seed)


def main() -> None:
    """Print the table of times and the cross-validated scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5, help="epochs of every training")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each side that count, one seed each")
    arguments = parser.parse_args()
    epochs, rounds = arguments.epochs, arguments.rounds

    train, floor = training_data(), Floor()
    scores: dict[str, list[float]] = {"batched": [], "fold by fold": []}
    sides = {"batched": counted(batched, train, epochs), "fold by fold": counted(fold_by_fold, train, epochs)}
    times = race(
        {
            "batched": lambda: scores["batched"].append(next(sides["batched"])),
            "fold by fold": lambda: scores["fold by fold"].append(next(sides["fold by fold"])),
            "products": lambda: floor.products(epochs),
            "optimiser": lambda: floor.optimise(epochs),
        },
        rounds,
    )
    bound = times["products"] + times["optimiser"]
    rows = [
        ("merbench, all folds batched", times["batched"]),
        ("DataLoader, fold by fold", times["fold by fold"]),
        ("bare matrix products", times["products"]),
        ("optimiser's steps (fused Adam)", times["optimiser"]),
        ("lower bound: both", bound),
    ]
    print(
        f"{N:,} × {len(MODALITIES)} × {WIDTH:,} features, {N_FOLDS} folds, {epochs} epochs; median of {rounds} rounds"
    )
    print(machine(["torch", "numpy", "scikit-learn"]) + f", {torch.get_num_threads()} threads\n")
    cells = [
        (name, seconds(time / epochs), seconds(time / epochs * EPOCHS), f"{time / times['batched']:.2f}")
        for name, time in rows
    ]
    print(table(("", "an epoch", f"{EPOCHS} epochs", "merbench = 1"), cells))
    print(f"\nmerbench is {times['batched'] / bound:.2f} × its lower bound; ", end="")
    print(f"the peer takes {times['fold by fold'] / times['batched']:.2f} × as long.")
    counted_scores = {name: values[1:] for name, values in scores.items()}  # the first round does not count
    means = {name: statistics.fmean(values) for name, values in counted_scores.items()}
    print(f"Cross-validated overall score over {rounds} seeds: ", end="")
    print(", ".join(f"{name} {mean:.4f}" for name, mean in means.items()), end="; ")
    print(f"difference {means['batched'] - means['fold by fold']:+.4f}.")


if __name__ == "__main__":
    main()
