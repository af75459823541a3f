"""Training of the LMF and TFN baselines against released code's way of computing the same, and their own lower bounds.

Inputs: samples of three modalities, 1,024 numbers each, in memory, six labels and a number; five folds, batches of 32,
Adam, features as they are; LMF with h 128 and r 4, TFN with h 64 or as `--hidden` says.

An epoch is timed from the end of one to the end of the next, as a logger sees it: all steps of all folds, and the
prediction of the samples left out. Peer: the same networks of torch's layers as released code has them, fold by fold,
the batches taken from memory: LMF multiplies [1, z] by every factor, TFN writes its tensor, what dropout leaves of it
and its gradient into memory. Lower bound: the products of the same steps on the same shapes, forwards and backwards,
into memory allocated before, those that make the tensor included; and the steps of the optimiser, over 17.6 million
parameters of a fold with h = 64; nothing else.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.measuring import machine, seconds, table
from merbench.track import load_track
from merbench.training import FeatureSet, FoldEnsemble, Setup, TrainingSet, load_baseline
from merbench.training.networks.layers import Encoder, FoldLinear, generator
from merbench.training.networks.network import Shape
from merbench.training.networks.tensor_fusion import TensorLinear

WIDTH, N_FOLDS, BATCH = 1024, 5, 32
MODALITIES = ("audio", "video", "text")
LABELS = {"discrete": 6, "valence": None}
BASELINES = {name: load_baseline(name) for name in ("lmf", "tfn")}


def training_data(n: int) -> TrainingSet:
    """Return the inputs: noise, since what is learned changes no time."""
    rng = np.random.default_rng(0)
    features = {name: rng.standard_normal((n, WIDTH)).astype(np.float32) for name in MODALITIES}
    targets = {"discrete": rng.integers(0, 6, n).astype(np.int32), "valence": rng.standard_normal(n)}
    ids = pa.array([f"sample_{i:08d}" for i in range(n)])
    return TrainingSet(load_track("mer2023-multi"), FeatureSet.of_vectors(ids, features), targets)


class Ends:
    """A log of when epochs end."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def epoch(self, epoch: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Take the time."""
        self.times.append(time.perf_counter())


def trained(name: str, options: Mapping[str, Any], train: TrainingSet) -> float:
    """Train a baseline for three epochs, and return the median time of those after the first."""
    loaded, ends = BASELINES[name], Ends()
    chosen = loaded.options("mer2023-multi", {**options, "epochs": 3, "patience": 0, "standardise": False})
    baseline = loaded.build(chosen, Setup(0, N_FOLDS, "cpu", log=ends))
    assert isinstance(baseline, FoldEnsemble)
    baseline.fit_folds(train)
    return float(np.median(np.diff(ends.times)))


class Peer(nn.Module):
    """The network of one fold as released code has it."""

    def __init__(self, name: str, h: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(Encoder(WIDTH, h, dropout) for _ in MODALITIES)
        if name == "lmf":
            n_out = h // 2
            self.factors = nn.ParameterList(0.1 * torch.randn(rank, h + 1, n_out) for _ in MODALITIES)
            self.weights, self.bias = nn.Parameter(torch.randn(1, rank)), nn.Parameter(torch.zeros(1, n_out))
        else:
            n_out, layers = h, [nn.Linear((h + 1) ** 3, h), nn.ReLU(), nn.Linear(h, h), nn.ReLU()]
            self.reading = nn.Sequential(nn.Dropout(dropout), *layers)
        self.labels, self.value = nn.Linear(n_out, 6), nn.Linear(n_out, 1)

    def forward(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the scores of labels, and the numbers."""
        ones = torch.ones(len(inputs[0]), 1)
        encodings = [torch.cat([ones, encoder(x)], 1) for encoder, x in zip(self.encoders, inputs, strict=True)]
        if hasattr(self, "factors"):
            first, second, third = (torch.matmul(z, factor) for z, factor in zip(encodings, self.factors, strict=True))
            fused = torch.matmul(self.weights, (first * second * third).permute(1, 0, 2)).squeeze(1) + self.bias
        else:
            audio, video, text = encodings
            pair = torch.bmm(audio.unsqueeze(2), video.unsqueeze(1)).flatten(1)
            fused = self.reading(torch.bmm(pair.unsqueeze(2), text.unsqueeze(1)).flatten(1))
        return self.labels(fused), self.value(fused).squeeze(1)


class FoldByFold:
    """The training of peers.

    Args:
        make: makes the network of a fold.
        train: the inputs.
        schedule: learning rate and weight decay.
    """

    def __init__(self, make: Callable[[], Peer], train: TrainingSet, schedule: Mapping[str, Any]) -> None:
        self.inputs = [torch.from_numpy(x) for x in train.features.values()]
        self.codes = torch.tensor(train.targets["discrete"], dtype=torch.int64)
        self.values = torch.tensor(train.targets["valence"], dtype=torch.float32)
        self.divisions = [(division.learn, division.validate) for division in train.divisions(N_FOLDS, 0)]
        self.networks = [make() for _ in self.divisions]
        rates = {"lr": schedule["learning_rate"], "weight_decay": schedule["weight_decay"]}
        self.optimisers = [torch.optim.Adam(network.parameters(), **rates) for network in self.networks]

    def epoch(self) -> None:
        """Train an epoch, and predict the samples left out."""
        for network, optimiser, (learn, left_out) in zip(self.networks, self.optimisers, self.divisions, strict=True):
            network.train()
            for rows in torch.from_numpy(learn)[torch.randperm(len(learn))].split(BATCH):
                scores, numbers = network([x[rows] for x in self.inputs])
                loss = nn.functional.cross_entropy(scores, self.codes[rows])
                loss = loss + nn.functional.mse_loss(numbers, self.values[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            network.eval()
            with torch.no_grad():
                for rows in torch.from_numpy(left_out).split(BATCH):
                    network([x[rows] for x in self.inputs])


class Floor:
    """The products of an epoch by themselves, and the optimiser's steps by themselves.

    Args:
        name: the baseline.
        options: its options.
        train: the inputs.
    """

    def __init__(self, name: str, options: Mapping[str, Any], train: TrainingSet) -> None:
        loaded = BASELINES[name]
        chosen = loaded.module.Options(**loaded.options("mer2023-multi", options))
        together = name == "lmf"
        rngs = [generator("cpu", fold) for fold in range(N_FOLDS if together else 1)]
        shape = Shape(dict.fromkeys(MODALITIES, WIDTH), LABELS, rngs, generator("cpu", "noise"))
        networks = [loaded.module.Network(chosen, shape) for _ in range(1 if together else N_FOLDS)]
        divisions = train.divisions(N_FOLDS, 0)
        n_learned, n_left_out = len(divisions[0].learn), len(divisions[0].validate)
        self.steps = [min(BATCH, n_learned - start) for start in range(0, n_learned, BATCH)]
        self.layers = [layers_of(network) for network in networks]
        self.buffers = {
            n: [buffers(layer, n) for layer in self.layers[0]] for n in dict.fromkeys([*self.steps, n_left_out])
        }
        self.n_left_out = n_left_out
        self.optimisers = []
        for network in networks:
            for parameter in network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            rates = {"lr": chosen.learning_rate, "weight_decay": chosen.weight_decay}
            self.optimisers.append(torch.optim.Adam(network.parameters(), **rates, fused=True))

    @torch.no_grad()
    def products(self) -> None:
        """Multiply as an epoch does: forwards, backwards, and forwards for the samples left out."""
        for layers in self.layers:
            for n in self.steps:
                for layer, memory in zip(layers, self.buffers[n], strict=True):
                    forwards(layer, memory)
                for layer, memory in zip(layers, self.buffers[n], strict=True):
                    backwards(layer, memory)
            for layer, memory in zip(layers, self.buffers[self.n_left_out], strict=True):
                forwards(layer, memory)

    def optimise(self) -> None:
        """Take the optimiser's steps."""
        for optimiser in self.optimisers:
            for _ in self.steps:
                optimiser.step()


Layer = tuple[Tensor, Tensor, bool, bool]
"""Weight `(F, n_in, n_out)`, bias `(F, 1, n_out)`, whether the input needs a gradient, and whether it is a tensor."""


def layers_of(network: nn.Module) -> list[Layer]:
    """Return the layers of a network that multiply by a weight."""
    layers: list[Layer] = []
    for layer in network.modules():
        if isinstance(layer, FoldLinear):
            layers.append((layer.weight, layer.bias, layer.weight.shape[1] != WIDTH, False))
        elif isinstance(layer, TensorLinear):
            layers.append((layer.weight[None], layer.bias[None, None], True, True))
        elif isinstance(layer, nn.Linear):
            layers.append((layer.weight.T[None], layer.bias[None, None], layer.in_features != WIDTH, False))
    return layers


def buffers(layer: Layer, n: int) -> dict[str, Tensor]:
    """Return input, output and gradients for n samples; of a tensor, also what it is the product of."""
    weight, _, _, is_tensor = layer
    folds, n_in, n_out = weight.shape
    memory = {
        "x": torch.randn(folds, n, n_in),
        "y": torch.empty(folds, n, n_out),
        "dy": torch.randn(folds, n, n_out),
        "dx": torch.empty(folds, n, n_in),
        "dw": torch.empty(folds, n_in, n_out),
    }
    if is_tensor:
        h = round(n_in ** (1 / 3))
        sizes = {"audio": (n, h, 1), "video": (n, h, 1), "text": (n, 1, h), "pair": (n, 1, h * h)}
        memory |= {name: torch.randn(size) for name, size in sizes.items()}
    return memory


def forwards(layer: Layer, memory: dict[str, Tensor]) -> None:
    """Multiply forwards."""
    if layer[3]:
        pair = memory["pair"]
        torch.mul(memory["video"], memory["text"], out=pair.view(len(pair), -1, memory["text"].shape[2]))
        torch.mul(memory["audio"], pair, out=memory["x"].view(len(pair), -1, pair.shape[2]))
    torch.baddbmm(layer[1], memory["x"], layer[0], out=memory["y"])


def backwards(layer: Layer, memory: dict[str, Tensor]) -> None:
    """Multiply backwards."""
    torch.bmm(memory["x"].mT, memory["dy"], out=memory["dw"])
    if layer[2]:
        torch.bmm(memory["dy"], layer[0].mT, out=memory["dx"])
    if layer[3]:
        pair = memory["pair"]
        gradient = memory["dx"].view(len(pair), -1, pair.shape[2])
        torch.bmm(gradient, pair.mT)
        torch.bmm(memory["audio"].mT, gradient)


def timed(run: Callable[[], object]) -> float:
    """Return how long something takes."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def raced(name: str, options: Mapping[str, Any], n: int, rounds: int) -> Iterator[tuple[str, float]]:
    """Yield the median time of an epoch of each side, all taking turns; the first round does not count."""
    train, floor = training_data(n), Floor(name, options, training_data(n))
    chosen = BASELINES[name].options("mer2023-multi", options)
    make = partial(Peer, name, chosen["hidden"], chosen.get("rank", 0), chosen["dropout"])
    peer = FoldByFold(make, train, chosen)
    sides: dict[str, Callable[[], float]] = {
        "merbench": partial(trained, name, options, train),
        "peer": partial(timed, peer.epoch),
        "products": partial(timed, floor.products),
        "optimiser": partial(timed, floor.optimise),
    }
    times = [{side: run() for side, run in sides.items()} for _ in range(rounds + 1)][1:]
    for side in sides:
        yield side, statistics.median(each[side] for each in times)


def main() -> None:
    """Print the table of times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=64, help="h of TFN")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--system", choices=["lmf", "tfn"], action="append", help="only this one")
    arguments = parser.parse_args()

    systems: dict[str, tuple[dict[str, Any], int]] = {
        "lmf": ({"hidden": 128, "rank": 4}, 3373),
        "tfn": ({"hidden": arguments.hidden}, 400),
    }
    print(machine(["torch", "numpy"]) + f", {torch.get_num_threads()} threads; {N_FOLDS} folds, an epoch\n")
    rows = []
    for name in arguments.system or systems:
        options, n = systems[name]
        times = dict(raced(name, options, n, arguments.rounds))
        bound = times["products"] + times["optimiser"]
        settings = ", ".join(f"{key} {value}" for key, value in options.items())
        parts = [seconds(times[side]) for side in ("merbench", "products", "optimiser", "peer")]
        ratios = [f"{times[side] / bound:.2f}" for side in ("merbench", "peer")]
        rows.append((f"{name}, {settings}, {n:,} samples", *parts, *ratios))
    head = ("", "merbench", "products", "optimiser", "as released", "merbench / bound", "as released / bound")
    print(table(head, rows))


if __name__ == "__main__":
    main()
