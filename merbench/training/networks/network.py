"""Baselines that are a network of torch, trained by the loop of `loop.py`.

Conventions:
    As in `learner.py`. What `make` returns maps a `Batch` to outputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from merbench.corpus.candidates import ids_digest
from merbench.devices import deterministic
from merbench.errors import UnknownName, UsageError, listed
from merbench.track import Track
from merbench.training.missing import Draws
from merbench.training.networks.batches import Data, DrawnCorruption
from merbench.training.networks.checkpoints import Checkpoint, training_signature
from merbench.training.networks.layers import generator, seed_of
from merbench.training.networks.learner import (
    Diagnosed,
    Labels,
    Learner,
    Material,
    Model,
    Outputs,
    Remembers,
    Value,
    array,
)
from merbench.training.networks.loop import train as trained
from merbench.training.networks.losses import Objective
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.order import Order, UnlabelledOrder
from merbench.training.networks.scaling import Kind, Scaling
from merbench.training.protocol import CrossFit, Curve, Predictions, Setup
from merbench.training.samples import Division, FeatureSet, TrainingSet
from merbench.training.selection import ranking_signs, ranking_value
from merbench.training.sequences import Rows, Windows

MOST_FOLDS = 10_000
"""How many folds stored weights may have."""

REMEMBERED = "remembered."
"""What the names of buffers begin with that are about single samples."""


@dataclass(frozen=True, eq=False, slots=True)
class Shape:
    """What a network is made for.

    Attributes:
        widths: numbers of a vector or a row, by feature.
        labels: number of labels by target; None for a number.
        rngs: one generator per fold, on the CPU, for the initial values of fold layers; torch's own layers draw from
            torch's generator, which is seeded for every fold.
        noise: generator of dropout in fold layers, on the device.
        modalities: `audio`, `video` or `text`, by feature, where it is known; empty where stored weights are restored.
        several: the targets of which several labels may apply at once.
    """

    widths: Mapping[str, int]
    labels: Mapping[str, int | None]
    rngs: Sequence[torch.Generator]
    noise: torch.Generator
    modalities: Mapping[str, str] = field(default_factory=dict)
    several: frozenset[str] = frozenset()


WATCHING: ContextVar[Callable[[NetworkBaseline, FeatureSet], None] | None] = ContextVar("WATCHING", default=None)
"""Called with networks that predict, and what they are given: by whatever baseline they are a part of."""

Make = Callable[[Shape], nn.Module]
"""Returns the network of one fold, or with `together` one of fold layers for all of them."""


class NetworkBaseline:
    """A network per fold, each kept at its epoch with the best ranking value on the samples it was not trained on.

    Args:
        make: makes a network.
        schedule: how it is trained.
        setup: seed, folds, device, who follows training, and where its state is stored.
        kind: what the network is given: `vectors`, `sequences` or `dialogues`.
        together: whether `make` returns one network of fold layers for all folds.
        standardise: whether features are standardised with the moments of what a fold learns from.
        numbers: the loss of targets that are numbers, unless `losses` of the schedule names another; empty: their own.

    Attributes:
        unlabelled: how many samples without references `Batch.unlabelled` has for each one of a full batch; set it
            before training where networks learn from such.
        windows: parts that dialogues are cut into, set before training; None leaves them whole.

    Raises:
        UnknownName: no such kind.
    """

    unlabelled = 0
    windows: Windows | None = None

    def __init__(
        self,
        make: Make,
        schedule: Schedule,
        setup: Setup,
        *,
        kind: Kind = "vectors",
        together: bool = False,
        standardise: bool = False,
        numbers: str = "",
    ) -> None:
        if kind not in get_args(Kind):
            raise UnknownName("kind of samples", kind, get_args(Kind))
        self.make, self.schedule, self.setup, self.kind = make, schedule, setup, kind
        self.together, self.standardise, self.numbers = together, standardise, numbers
        self.device = setup.device
        self.networks: list[nn.Module] = []
        self.labels: Labels = {}
        self.track: Track | None = None
        self.scaling: Scaling | None = None
        self.n_folds = 0

    def fit(self, train: TrainingSet) -> None:
        """Learn as `fit_folds` does."""
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Train one network per division of the training set, and return the result of cross-validation."""
        setup, track = self.setup, train.track
        divisions = train.divisions(setup.n_folds, setup.seed)
        learned = [division.learn for division in divisions]
        noise = self._make_networks(train.samples.widths, track, len(divisions), train.samples.modalities)
        if self.standardise:
            self.scaling = Scaling.of(train.samples, self.kind, learned).each(lambda part: part.to(self.device))
        data = Data(train.samples, self.kind, self.device, train.targets, train.sets, self.windows)
        self._remember(data, learned)
        corruption = self._corruption(train, train.samples, learned)
        others = list(self._unlabelled(train, learned))
        if unknown := [name for name in self.schedule.losses if name not in track.targets]:
            raise UnknownName("target", unknown[0], track.targets, "losses are given by target")
        own = {
            name: target.loss if self.labels[name] else self.numbers or target.loss
            for name, target in track.targets.items()
        }
        losses = {**own, **self.schedule.losses}
        samples = [(data, corruption), *others]
        learners = [
            self._learner(
                network,
                self._material([self._corrupted(*each, folds) for each in samples], losses, learned, folds),
                seed_of(setup.seed, "noise", folds[0]),
                noise,
            )
            for network, folds in zip(self.networks, self._folds_of_networks(), strict=True)
        ]
        with deterministic(self.device):
            outputs, curve = trained(
                learners,
                [division.validate for division in divisions],
                value=partial(value, train),
                measure=partial(self.epoch_measures, train),
                setup=setup,
                sign=ranking_signs(track)[0][1],
                checkpoint=self._checkpoint(train, divisions),
            )
            diagnostics = self._diagnostics(learners, divisions)
        notes = [*dict.fromkeys(note for learner in learners for note in learner.notes), *undefined(track, curve)]
        details = {"diagnostics": diagnostics} if diagnostics else {}
        return CrossFit(probabilities(outputs, track), curve, str(self.device), tuple(notes), details)

    def predict(self, test: FeatureSet) -> Predictions:
        """Predict with the mean of the outputs of all folds."""
        if (watch := WATCHING.get()) is not None:
            watch(self, test)
        outputs = self.outputs(test)
        return probabilities(
            {name: np.mean([part[name] for part in outputs], axis=0, dtype=np.float32) for name in outputs[0]},
            self.track,
        )

    def outputs(self, test: FeatureSet, around: Callable[[nn.Module], nn.Module] | None = None) -> list[Outputs]:
        """Return the raw outputs of every fold; those of a module around each network, which may return others."""
        data, every = Data(test, self.kind, self.device, windows=self.windows), np.arange(len(test))
        outputs: list[Outputs] = []
        with deterministic(self.device):
            for network, folds in zip(self.networks, self._folds_of_networks(), strict=True):
                model = Model(
                    network if around is None else around(network),
                    layered=self.together,
                    half=self.schedule.half,
                    scaling=self._scaling_of(folds),
                    labels=self.labels if around is None else None,
                )
                outputs += model.evaluated(data, [every] * len(folds))
        return outputs

    def epoch_measures(self, train: TrainingSet, fold: int, rows: Rows, outputs: Outputs) -> Mapping[str, float]:
        """Return what is logged of an epoch of a fold besides losses and value; nothing may depend on it.

        Args:
            train: what is learned from.
            fold: number of the fold.
            rows: those that the epoch is selected on.
            outputs: the raw outputs for these.
        """
        return {}

    def measured(self, labels: Labels) -> list[str]:
        """Return the names of diagnostics that `fit_folds` adds to those of the network, by the targets of a track."""
        return []

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return parameters and buffers of the networks and moments of features, with a leading fold dimension."""
        states = [network.state_dict() for network in self.networks]
        weights = {
            f"network.{name}": np.concatenate(
                [array(state[name] if self.together else state[name][None]) for state in states]
            )
            for name in states[0]
            if not name.startswith(REMEMBERED)
        }
        if self.scaling is not None:
            weights |= {name: array(part) for name, part in self.scaling.stored().items()}
        return weights

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        """Restore a trained baseline from its weights.

        Raises:
            UsageError: the weights are those of another network.
        """
        sizes = {len(values) if values.ndim else 0 for values in weights.values()}
        if len(sizes) != 1 or not 1 <= (n_folds := sizes.pop()) <= MOST_FOLDS:
            raise UsageError("the weights do not have one fold dimension")
        # One fold shows what every array has to be; as many as a stranger's file asks for are only made after that.
        self._make_networks(widths, track, 1)
        wanted = {name: values[0] for name, values in self.weights().items()}
        if self.standardise:
            moments = ((moment, name) for moment in ("mean", "deviation") for name in widths)
            wanted |= {f"{moment}.{name}": np.empty(widths[name], np.float32) for moment, name in moments}
        names = dict.fromkeys([*wanted, *weights])
        others = [
            name
            for name in names
            if name not in weights
            or name not in wanted
            or (weights[name].shape[1:], weights[name].dtype) != (wanted[name].shape, wanted[name].dtype)
        ]
        if others:
            raise UsageError(
                f"the weights are those of another network ({len(others)} of {len(names)} arrays differ): "
                f"{listed(others)}; the options, features and labels must be those of training"
            )
        self._make_networks(widths, track, n_folds)
        tensors = {name: torch.from_numpy(np.array(values)).to(self.device) for name, values in weights.items()}
        for network, folds in zip(self.networks, self._folds_of_networks(), strict=True):
            network.load_state_dict(
                {
                    name: tensors[f"network.{name}"] if self.together else tensors[f"network.{name}"][folds[0]]
                    for name in network.state_dict()
                }
            )
        if self.standardise:
            self.scaling = Scaling(
                {name: tensors[f"mean.{name}"] for name in widths},
                {name: tensors[f"deviation.{name}"] for name in widths},
            )

    def _folds_of_networks(self) -> list[range]:
        """Return the folds that every network has."""
        if self.together:
            return [range(self.n_folds)]
        return [range(fold, fold + 1) for fold in range(self.n_folds)]

    def _scaling_of(self, folds: range) -> Scaling | None:
        return None if self.scaling is None else self._of_folds(self.scaling, folds)

    def _of_folds(self, scaling: Scaling, folds: range) -> Scaling:
        return scaling if self.together else scaling.each(lambda part: part[folds[0]])

    def _diagnostics(self, learners: Sequence[Learner], divisions: Sequence[Division]) -> dict[str, list[float]]:
        """Return the networks' diagnostics, by name and fold, of the samples that their epoch was selected on."""
        shown: dict[str, list[float]] = {}
        if self.together or not isinstance(self.networks[0], Diagnosed):
            return shown
        for learner, division in zip(learners, divisions, strict=True):
            for name, mean in learner.diagnosed(division.validate).items():
                shown.setdefault(name, []).append(mean)
        return shown

    def _remember(self, data: Data, learned: Sequence[Rows]) -> None:
        """Let networks make buffers for the samples that they learn from, where they keep something about these."""
        for network, rows in zip(self.networks, learned, strict=False):
            if isinstance(network, Remembers):
                network.remember(data.n, data.targets, torch.from_numpy(rows).to(self.device))

    def _make_networks(
        self, widths: Mapping[str, int], track: Track, n_folds: int, modalities: Mapping[str, str] | None = None
    ) -> list[torch.Generator]:
        """Make the networks, with initial values from the seed, and return the generator of their dropout."""
        self.n_folds, self.scaling, seed = n_folds, None, self.setup.seed
        self.track = track
        self.labels = {name: target.n_scores or None for name, target in track.targets.items()}
        several = frozenset(name for name, target in track.targets.items() if target.label_columns)
        noise = generator(self.device, seed, "dropout")
        self.networks = []
        for folds in self._folds_of_networks():
            rngs = [generator("cpu", seed, "initial", fold) for fold in folds]
            with torch.random.fork_rng([]):
                torch.manual_seed(seed_of(seed, "initial", folds[0]))
                shape = Shape(widths, self.labels, rngs, noise, modalities or {}, several)
                self.networks.append(self.make(shape).to(self.device))
        return [noise] if self.together else []

    def _learner(self, network: nn.Module, material: Material, seed: int, noise: Sequence[torch.Generator]) -> Learner:
        return Learner(network, material, self.schedule, layered=self.together, seed=seed, noise=noise)

    def _material(
        self, samples: Sequence[Data], losses: Mapping[str, str], learned: Sequence[Rows], folds: range
    ) -> Material:
        """Return what some folds learn from; unlabelled samples, where there are some, are next to the others."""
        (data, *others), own = samples, [learned[fold] for fold in folds]
        rngs, unlabelled = (
            [generator("cpu", self.setup.seed, what, fold) for fold in folds] for what in ("shuffle", "unlabelled")
        )
        n = self.unlabelled * self.schedule.batch_size
        balanced = [torch.from_numpy(rows) for rows in own] if self.schedule.class_weights == "balanced" else []
        return Material(
            data,
            Order([data.units(rows, learned=True) for rows in own], self.schedule.batch_size, rngs),
            Objective.of(data.targets, losses, balanced),
            self._scaling_of(folds),
            self.labels,
            UnlabelledOrder(others[0], n, unlabelled) if others else None,
        )

    def _unlabelled(self, train: TrainingSet, learned: Sequence[Rows]) -> Iterator[tuple[Data, DrawnCorruption | None]]:
        """Yield the samples without references, if networks learn from such, and what is done to them."""
        if not self.unlabelled:
            return
        if train.unlabelled is None or not len(train.unlabelled):
            raise UsageError(
                f"{train.track.id}: [training] leaves no unlabelled samples to learn from; it names splits that have "
                "them, `unlabelled`, or which share keeps its labels, `labelled`"
            )
        yield (
            Data(train.unlabelled, self.kind, self.device, windows=self.windows),
            self._corruption(train, train.unlabelled, learned),
        )

    def _corruption(self, train: TrainingSet, samples: FeatureSet, learned: Sequence[Rows]) -> DrawnCorruption | None:
        """Return what is drawn for the features, and, where a network does not standardise, the scale of every fold."""
        if train.corruption is None:
            return None
        draws = Draws(train.corruption, samples, self.setup.seed)
        if self.standardise:
            return DrawnCorruption(draws)
        return DrawnCorruption(
            draws, Scaling.of(train.samples, self.kind, learned).each(lambda part: part.to(self.device))
        )

    def _corrupted(self, data: Data, corruption: DrawnCorruption | None, folds: range) -> Data:
        """Return the same samples as the folds of one network are given them."""
        if corruption is None:
            return data
        scale = None if corruption.scale is None else self._of_folds(corruption.scale, folds)
        return data.corrupted(DrawnCorruption(corruption.draws, scale))

    def _checkpoint(self, train: TrainingSet, divisions: Sequence[Division]) -> Checkpoint | None:
        if self.setup.state is None:
            return None
        schedule = asdict(self.schedule)
        initial = hashlib.sha256()
        for network in self.networks:
            for name, part in network.state_dict().items():
                initial.update(name.encode() + array(part).tobytes())
        signature = training_signature(train, divisions) | {
            "seed": self.setup.seed,
            "schedule": json.loads(json.dumps(schedule)),
            "network": initial.hexdigest(),
            "kind": [self.kind, self.standardise],
            **({} if self.windows is None else {"windows": asdict(self.windows)}),
            "device": self.device.type,
            "torch": torch.__version__,
        }
        if self.unlabelled and train.unlabelled is not None:
            signature["unlabelled"] = [self.unlabelled, ids_digest(train.unlabelled.ids)]
        return Checkpoint(self.setup.state, signature)


def value(train: TrainingSet, rows: Rows, outputs: Outputs) -> Value:
    """Return the track's ranking value of raw outputs for some rows of the training set, where references are known."""
    reference = {name: values[rows] for name, values in train.targets.items()}
    groups = {name: values[rows] for name, values in train.groups.items()}
    predicted = probabilities(outputs, train.track)
    return ranking_value(train.track, reference, predicted.answers(train.track), groups, predicted.outputs)


def undefined(track: Track, curve: Curve) -> Iterator[str]:
    """Yield a note where the first ranking value of a fold is defined in no epoch."""
    folds = np.flatnonzero(~np.isfinite(curve.value).any(0)).tolist()
    if folds:
        yield (
            f"{track.ranked_by[0]} is not defined on the validation samples of {len(folds)} of {len(curve.best_epoch)} "
            f"folds: {listed([str(fold + 1) for fold in folds])}; the epochs kept of them, "
            f"{listed([str(curve.best_epoch[fold]) for fold in folds])}, are not selected by it"
        )


def probabilities(outputs: Mapping[str, NDArray[np.float32]], track: Track | None = None) -> Predictions:
    """Return predictions from raw outputs: scores of labels through a softmax, numbers as they are.

    Scores of several labels, which a track declares, go through a sigmoid each.
    """
    several = {} if track is None else {name: target.label_columns for name, target in track.targets.items()}
    chances = {}
    for name, output in outputs.items():
        exact = output.astype(np.float64)
        if several.get(name):
            exact = np.exp(-np.logaddexp(0, -exact))
        elif exact.ndim == 2:
            exact = np.exp(exact - exact.max(1, keepdims=True))
            exact /= exact.sum(1, keepdims=True)
        chances[name] = exact
    return Predictions(chances)
