"""Baselines whose architecture is searched first (DARTS, first order), then trained from scratch.

The samples that are learned from are divided into halves, which keep groups together as folds do. Before every step of
the weights on the one half, the alphas take a step along the gradient of the loss of the other half, at the present
weights (Liu et al. 2019, arXiv:1806.09055, first order); the network is in evaluation then. Nothing else is seen: not
the samples that epochs are selected on where there is a development set, and never a test sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.track import Track
from merbench.training.architecture.cells import alphas_of, cells_of, weight_parameters
from merbench.training.architecture.space import (
    Genotype,
    Space,
    decoded,
    parse_genotype,
    permuted,
    random_genotypes,
    read_genotype,
)
from merbench.training.history import Epochs
from merbench.training.networks.checkpoints import Checkpoint
from merbench.training.networks.layers import generator, seed_of
from merbench.training.networks.learner import Arrays, Learner, Losses, Material, Step
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Rate, Schedule
from merbench.training.networks.order import Order
from merbench.training.networks.scaling import Kind
from merbench.training.protocol import CrossFit, Curve, Setup
from merbench.training.samples import Division, TrainingSet

SEARCHED, RANDOM, PERMUTED = KINDS = ("searched", "random", "permuted")
"""What `genotype` may be besides a file: searched first, drawn at random, or decoded from permuted alphas."""

GENOTYPE, SEARCH = "genotype", "search"
"""The buffer of a network with its genotype, and the folder of the state of a search."""


@dataclass(frozen=True, kw_only=True)
class SearchedSchedule(Schedule):
    """How a network is searched and trained: the options that every baseline of this kind has.

    Attributes:
        genotype: the architecture: a file of `merbench search`; `searched` searches it first, with the seed of the
            training; `random` draws it with that seed, `permuted` decodes it from permuted alphas: the controls.
        search_epochs: epochs of the search, each of both halves.
        architecture_rate: learning rate of the alphas.
        architecture_decay: weight decay of the alphas.
    """

    genotype: str
    search_epochs: Annotated[int, Within(1)]
    architecture_rate: Rate
    architecture_decay: Annotated[float, Within(0)]


class MakeNetwork(Protocol):
    """Makes the network of a genotype; without one, the network that is searched. Either has one `Cells`."""

    def __call__(self, shape: Shape, genotype: Genotype | None) -> nn.Module:
        """Return it."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search led to."""

    genotype: Genotype
    alphas: Mapping[str, NDArray[np.float64]] = field(repr=False)
    curve: Curve  # of the weights' half the loss, of the other half the ranking value
    sample_epochs: int  # samples of both halves, times epochs


class SearchedBaseline(NetworkBaseline):
    """A network per fold whose architecture, the same for all folds, is searched, drawn or read before.

    Args:
        network: makes a network.
        space: returns the space, from the width of every feature.
        options: how it is searched and trained.
        setup: seed, folds, device, who follows training, and where its state is stored.
        kind: what the network is given: `vectors`, `sequences` or `dialogues`.
        standardise: whether features are standardised with the moments of what a fold learns from.
    """

    def __init__(
        self,
        network: MakeNetwork,
        space: Callable[[Mapping[str, int]], Space],
        options: SearchedSchedule,
        setup: Setup,
        *,
        kind: Kind = "vectors",
        standardise: bool = True,
    ) -> None:
        super().__init__(self._made, options, setup, kind=kind, standardise=standardise)
        self.network, self.space, self.options = network, space, options
        self.genotype: Genotype | None = None

    def _made(self, shape: Shape) -> nn.Module:
        """Return a network that has its genotype's TOML in a buffer, so that stored weights are complete."""
        made = self.network(shape, self.genotype)
        if self.genotype is not None:
            text = self.genotype.toml(self.space(shape.widths)).encode()
            made.register_buffer(GENOTYPE, torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy()))
        return made

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Find the architecture, train it with every fold, and return the result of cross-validation.

        Raises:
            UsageError: the genotype is not one of this space; all problems are listed.
        """
        given, space, named = self.setup, self.space(train.samples.widths), self.options.genotype
        found: Found | None = None
        if named in (SEARCHED, PERMUTED):
            total = self.options.search_epochs + self.schedule.epochs
            self.setup = replace(given, progress=lambda done, _: given.progress(done, total))
            try:
                found = self.search(train)
            finally:
                self.setup = given
            alphas = found.alphas if named == SEARCHED else permuted(found.alphas, given.seed)
            self.genotype = decoded(space, alphas)
            before = self.options.search_epochs
            self.setup = replace(given, progress=lambda done, _: given.progress(before + done, total))
        elif named == RANDOM:
            self.genotype = random_genotypes(space, 1, given.seed)[0]
        else:
            self.genotype = read_genotype(named, space)
        epochs = Epochs(self.setup.log)
        self.setup = replace(self.setup, log=epochs)
        try:
            result = super().fit_folds(train)
        finally:
            self.setup = given
        details: dict[str, Any] = {**result.details, GENOTYPE: self.genotype.toml(space)}
        if found is None:
            return replace(result, details=details)
        note = (
            "the architecture was searched on all samples that are learned from: where these are cross-validated, "
            "values are too good; those of `merbench search` are not"
        )
        details[SEARCH] = {
            "loss": found.curve.loss[:, 0].tolist(),
            "value": [float(value) if np.isfinite(value) else None for value in found.curve.value[:, 0]],
            "alphas": {name: values.tolist() for name, values in found.alphas.items()},
        }
        trained = np.isfinite(epochs.arrays()["loss"]).sum(0)
        learned = [len(division.learn) for division in train.divisions(given.n_folds, given.seed)]
        return replace(
            result,
            notes=result.notes if train.development is not None else (*result.notes, note),
            details=details,
            sample_epochs=found.sample_epochs + int(trained @ np.array(learned)),
        )

    def search(self, train: TrainingSet) -> Found:
        """Search the architecture on the samples that are learned from."""
        space = self.space(train.samples.widths)
        part = replace(train.select(train.learned), selection="folds", development=None)
        halves = part.divisions(2, self.setup.seed)[0]
        mixed = _Mixture(self, space, halves)
        result = mixed.fit_folds(part.of_division(halves))
        assert result.curve is not None
        alphas = alphas_of(mixed.networks[0])
        return Found(decoded(space, alphas), alphas, result.curve, len(part) * self.options.search_epochs)

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        """Restore a trained baseline from its weights, the genotype among them; raise `UsageError` for others."""
        stored = weights.get(f"network.{GENOTYPE}", np.empty(0))
        if stored.ndim != 2 or not len(stored) or stored.dtype != np.uint8:
            raise UsageError("the weights have no genotype: they are those of another network")
        self.genotype = parse_genotype("genotype of the weights", stored[0].tobytes(), self.space(widths))
        super().restore(weights, track, widths)


class _Mixture(NetworkBaseline):
    """The network of all operations, which is searched; its folds are one division into halves."""

    def __init__(self, of: SearchedBaseline, space: Space, halves: Division) -> None:
        options = of.options
        schedule = replace(options, epochs=options.search_epochs, patience=0, keep="last")
        setup = replace(of.setup.part(SEARCH), n_folds=1, log=Epochs())
        super().__init__(
            lambda shape: of.network(shape, None), schedule, setup, kind=of.kind, standardise=of.standardise
        )
        self.space, self.options, self.halves = space, options, halves

    def _learner(
        self, network: nn.Module, material: Material, seed: int, noise: Sequence[torch.Generator]
    ) -> AlternatingLearner:
        rng = generator("cpu", self.setup.seed, "architecture", 0)
        units = [material.data.units(self.validated)]
        other = replace(material, order=Order(units, self.schedule.batch_size, [rng]))
        schedule = Schedule(
            epochs=self.schedule.epochs,
            batch_size=self.schedule.batch_size,
            learning_rate=self.options.architecture_rate,
            weight_decay=self.options.architecture_decay,
        )
        return AlternatingLearner(network, material, self.schedule, other, schedule, seed=seed)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        """Search."""
        self.validated = train.validated
        return super().fit_folds(train)

    def _checkpoint(self, train: TrainingSet, divisions: Sequence[Division]) -> Checkpoint | None:
        checkpoint = super()._checkpoint(train, divisions)
        if checkpoint is not None:
            checkpoint.signature["space"] = str(self.space)
            checkpoint.signature["architecture"] = [self.options.architecture_rate, self.options.architecture_decay]
        return checkpoint


class AlternatingLearner(Learner):
    """A learner of the weights of a network, before each of whose steps the alphas take one on other samples.

    Args:
        network: has `Cells` without a genotype; it is trained in place.
        material: what the weights learn from.
        schedule: how they are trained.
        others: what the alphas learn from.
        schedule_of_alphas: how they are trained.
        seed: of what the network draws from torch's own generators.
    """

    def __init__(
        self,
        network: nn.Module,
        material: Material,
        schedule: Schedule,
        others: Material,
        schedule_of_alphas: Schedule,
        *,
        seed: int,
    ) -> None:
        self.weights, self.alphas = [*weight_parameters(network)], [*cells_of(network).alphas.parameters()]
        if not self.alphas:
            raise UsageError("there is nothing to search: every cell of the space has one form only")
        with only_trained(self.weights, self.alphas):
            super().__init__(network, material, schedule, layered=False, seed=seed)
        with only_trained(self.alphas, self.weights):
            self.architecture = Learner(
                network, others, schedule_of_alphas, layered=False, seed=seed_of(seed, "alphas")
            )
        self._others: Iterator[Tensor] = iter(())

    def epoch(self, epoch: int) -> dict[str, NDArray[np.float64]]:
        """Train an epoch of the weights, and return its mean losses."""
        self._others = iter(())
        return super().epoch(epoch)

    def _step(self, steps: Sequence[Step], epoch: int, pieces: int) -> list[Losses]:
        rows = next(self._others, None)
        if rows is None:
            self._others = self.architecture.order.epoch(self.data.device)
            rows = next(self._others)
        self.network.eval()
        with only_trained(self.alphas, self.weights):
            self.architecture._step([(rows, None)], epoch, pieces)
        self.network.train()
        with only_trained(self.weights, self.alphas):
            return super()._step(steps, epoch, pieces)

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return everything that the next epochs depend on."""
        arrays, counters = super().state()
        further, counted = self.architecture.state()
        own = {name: part for name, part in further.items() if name.startswith(("optimiser.", "generator."))}
        return {**arrays, **{f"alphas {name}": part for name, part in own.items()}}, {**counters, "alphas": counted}

    def load(self, arrays: Arrays, counters: Mapping[str, Any]) -> None:
        """Go on from a state of the same search."""
        own = {name.removeprefix("alphas "): part for name, part in arrays.items() if name.startswith("alphas ")}
        rest = {name: part for name, part in arrays.items() if not name.startswith("alphas ")}
        shared = {name: part for name, part in rest.items() if not name.startswith(("optimiser.", "generator."))}
        super().load(rest, counters)
        self.architecture.load({**shared, **own}, counters["alphas"])


@contextmanager
def only_trained(trained: Sequence[nn.Parameter], others: Sequence[nn.Parameter]) -> Iterator[None]:
    """Compute gradients of some parameters only while the block runs."""
    for parameter in others:
        parameter.requires_grad_(False)
        parameter.grad = None  # those of the step before are no part of this one, and of what is clipped
    for parameter in trained:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in (*trained, *others):
            parameter.requires_grad_(True)
