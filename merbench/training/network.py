"""Baselines that are a network of torch, trained by the loop of `loop.py`.

Conventions:
    As in `loop.py`. What `make` returns maps a `Batch` to outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from merbench.errors import UsageError, listed
from merbench.track import Track
from merbench.training.batches import Data, Kind, Order
from merbench.training.layers import generator, seed_of
from merbench.training.loop import Learner, Outputs, Value, evaluated, train
from merbench.training.losses import Objective
from merbench.training.optimisation import Schedule
from merbench.training.protocol import CrossFit, Predictions, Setup
from merbench.training.samples import Division, FeatureSet, Rows, TrainingSet
from merbench.training.selection import ranking_value

MOST_FOLDS = 10_000
"""How many folds stored weights may have."""


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """What a network is made for.

    Attributes:
        widths: numbers of a vector or a row, by feature.
        labels: number of labels by target; None for a number.
        rngs: one generator per fold, on the CPU, for the initial values of fold layers; torch's own layers draw from
            torch's generator, which is seeded for every fold.
        noise: generator of dropout in fold layers, on the device.
    """

    widths: Mapping[str, int]
    labels: Mapping[str, int | None]
    rngs: Sequence[torch.Generator]
    noise: torch.Generator


Make = Callable[[Shape], nn.Module]
"""Returns the network of one fold, or with `together` one of fold layers for all of them."""


class NetworkBaseline:
    """A network per fold, each kept at its epoch with the best ranking value on the samples it was not trained on.

    Args:
        make: makes a network.
        schedule: how it is trained.
        setup: seed, folds, device and who follows training.
        kind: what the network is given: `vectors`, `sequences` or `dialogues`.
        together: whether `make` returns one network of fold layers for all folds.
    """

    def __init__(
        self, make: Make, schedule: Schedule, setup: Setup, *, kind: Kind = "vectors", together: bool = False
    ) -> None:
        self.make, self.schedule, self.setup, self.kind, self.together = make, schedule, setup, kind, together
        self.device = setup.device
        self.networks: list[nn.Module] = []
        self.n_folds = 0

    def fit(self, train: TrainingSet) -> None:
        """Learn as `fit_folds` does."""
        self.fit_folds(train)

    def fit_folds(self, train_set: TrainingSet) -> CrossFit:
        """Train one network per division of the training set, and return the result of cross-validation."""
        setup, track = self.setup, train_set.track
        divisions = train_set.divisions(setup.n_folds, setup.seed)
        data = Data(train_set.samples, self.kind, self.device, train_set.targets)
        self._make_networks(data.widths, track, len(divisions))
        learners = [
            self._learner(network, data, divisions, folds, self._losses(track))
            for network, folds in zip(self.networks, self._folds_of_networks(), strict=True)
        ]
        outputs, curve = train(
            learners,
            [division.validate for division in divisions],
            value=lambda rows, outputs: value(track, train_set, rows, outputs),
            setup=setup,
        )
        return CrossFit(probabilities(outputs), curve, str(self.device))

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict with the mean of the outputs of all folds."""
        data, every = Data(test, self.kind, self.device), np.arange(len(test))
        outputs = [
            part
            for network, folds in zip(self.networks, self._folds_of_networks(), strict=True)
            for part in evaluated(network, data, [every] * len(folds), layered=self.together, half=self.schedule.half)
        ]
        return probabilities(
            {name: np.mean([part[name] for part in outputs], axis=0, dtype=np.float32) for name in outputs[0]}
        )

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return parameters and buffers of the networks, with a leading fold dimension."""
        states = [network.state_dict() for network in self.networks]
        return {
            name: np.concatenate([_array(state[name] if self.together else state[name][None]) for state in states])
            for name in states[0]
        }

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        """Take the place of a trained baseline.

        Raises:
            UsageError: the weights are those of another network.
        """
        sizes = {len(values) if values.ndim else 0 for values in weights.values()}
        if len(sizes) != 1 or not 1 <= (n_folds := sizes.pop()) <= MOST_FOLDS:
            raise UsageError("the weights do not have one fold dimension")
        self._make_networks(widths, track, n_folds)
        for network, folds in zip(self.networks, self._folds_of_networks(), strict=True):
            state = network.state_dict()
            own = {name: values if self.together else values[folds[0]] for name, values in weights.items()}
            problems = [name for name in state if name not in own or own[name].shape != tuple(state[name].shape)]
            if problems or set(own) != set(state):
                others = sorted({*problems, *(set(own) - set(state))})
                raise UsageError(
                    f"the weights are those of another network ({len(others)} of {len(state)} arrays differ): "
                    f"{listed(others)}; the options, features and labels must be those of training"
                )
            network.load_state_dict({name: torch.from_numpy(np.array(values)) for name, values in own.items()})

    def _folds_of_networks(self) -> list[range]:
        """Return the folds that every network has."""
        if self.together:
            return [range(self.n_folds)]
        return [range(fold, fold + 1) for fold in range(self.n_folds)]

    def _make_networks(self, widths: Mapping[str, int], track: Track, n_folds: int) -> None:
        self.n_folds, seed = n_folds, self.setup.seed
        labels = {name: len(target.classes) or None for name, target in track.targets.items()}
        noise = generator(self.device, seed, "dropout")
        self.networks = []
        for folds in self._folds_of_networks():
            rngs = [generator("cpu", seed, "initial", fold) for fold in folds]
            with torch.random.fork_rng([]):
                torch.manual_seed(seed_of(seed, "initial", folds[0]))
                self.networks.append(self.make(Shape(widths, labels, rngs, noise)).to(self.device))

    def _learner(
        self, network: nn.Module, data: Data, divisions: Sequence[Division], folds: range, losses: Mapping[str, str]
    ) -> Learner:
        seed, schedule = self.setup.seed, self.schedule
        learned = [divisions[fold].learn for fold in folds]
        order = Order(
            [data.units(rows) for rows in learned],
            schedule.batch_size,
            [generator("cpu", seed, "shuffle", fold) for fold in folds],
        )
        counted = [torch.from_numpy(rows) for rows in learned] if schedule.class_weights == "balanced" else []
        objective = Objective.of(data.targets, losses, counted)
        return Learner(
            network,
            data,
            order,
            objective,
            schedule,
            layered=self.together,
            seed=seed_of(seed, "noise", folds[0]),
        )

    def _losses(self, track: Track) -> dict[str, str]:
        return {name: self.schedule.losses.get(name, target.loss) for name, target in track.targets.items()}


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    return np.asarray(tensor.detach().cpu().numpy())


def value(track: Track, train_set: TrainingSet, rows: Rows, outputs: Outputs) -> Value:
    """Return the track's ranking value of raw outputs for some rows of the training set."""
    reference = {name: values[rows] for name, values in train_set.targets.items()}
    groups = {name: values[rows] for name, values in train_set.groups.items()}
    predicted = probabilities(outputs)
    return ranking_value(track, reference, predicted.answers(track), groups, predicted.outputs)


def probabilities(outputs: Mapping[str, NDArray[np.float32]]) -> Predictions:
    """Return predictions from raw outputs: scores of labels through a softmax, numbers as they are."""
    chances = {}
    for name, output in outputs.items():
        exact = output.astype(np.float64)
        if exact.ndim == 2:
            exact = np.exp(exact - exact.max(1, keepdims=True))
            exact /= exact.sum(1, keepdims=True)
        chances[name] = exact
    return Predictions(chances)
