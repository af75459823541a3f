"""A network in training: its steps, its outputs, and the best epoch so far of every fold that it has.

Conventions:
    As in `batches.py` and `losses.py`. A network maps a `Batch` to a dict of outputs by target, `(…, B[, L], K)` scores
    of labels or `(…, B[, L])` numbers; or to a pair of this dict and a dict of losses of its own by name, `(…)` each,
    which are added in training; one called `loss` counts as that of the targets. `…` is F for a network of fold layers,
    and nothing for any other. All parameters and buffers of a network of fold layers have the leading dimension F.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.devices import out_of_memory
from merbench.errors import UsageError, listed
from merbench.targets.target import value_type
from merbench.training.networks.batches import Batch, Data
from merbench.training.networks.losses import Objective
from merbench.training.networks.optimisation import Schedule, clip, optimiser
from merbench.training.networks.order import Order, UnlabelledOrder, blocks
from merbench.training.networks.scaling import Scaling
from merbench.training.sequences import Rows

T = TypeVar("T")
Value = tuple[float, ...]
Outputs = dict[str, NDArray[np.float32]]
Losses = dict[str, Tensor]
Arrays = dict[str, NDArray[Any]]
Labels = Mapping[str, int | None]
Step = tuple[Tensor, Tensor | None]


@runtime_checkable
class Remembers(Protocol):
    """A network of one fold that keeps something about every sample it learns from, such as labels that it corrects."""

    def remember(self, n: int, targets: Mapping[str, Tensor], learned: Tensor) -> None:
        """Make buffers for the samples, in a module called `remembered`: checkpoints have them, stored weights do not.

        Args:
            n: how many samples there are; `Batch.samples` are rows of them.
            targets: the references of all samples, by target.
            learned: the rows that are learned from.
        """


@runtime_checkable
class Diagnosed(Protocol):
    """A network of one fold with diagnostics, which show whether it does what it was made for."""

    def diagnostics(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return numbers by name for samples that the network did not learn from."""


@runtime_checkable
class Stepped(Protocol):
    """A network that does something after every step of the optimiser, such as keep a mean of its parameters."""

    def stepped(self, step: int) -> None:
        """Do it; steps are counted from 1, over all epochs."""


@runtime_checkable
class Validated(Protocol):
    """A network that goes by its values on the samples that epochs are selected on."""

    def validated(self, fold: int, epoch: int, value: float) -> None:
        """Take the first ranking value, higher is better, of an epoch, from 1; it is not finite where undefined.

        Args:
            fold: number of the fold of the network, from 0.
            epoch: the epoch.
            value: its value, before the next epoch.
        """


@dataclass(frozen=True, eq=False, slots=True)
class Material:
    """What a network learns from: samples, the batches of its folds, the losses, and how features are standardised.

    `labels` is the number of labels by target, None for a number, if what the network returns is to be checked;
    `unlabelled` are the samples without references of every step, if the network learns from such.
    """

    data: Data
    order: Order
    objective: Objective
    scaling: Scaling | None = None
    labels: Labels = field(default_factory=dict)
    unlabelled: UnlabelledOrder | None = None


def require_outputs(returned: Any, labels: Labels, samples: Sequence[int]) -> None:
    """Raise `UsageError` unless a network returned one output per target, of the right shape, for so many samples."""
    outputs = returned[0] if isinstance(returned, tuple) and len(returned) == 2 else returned
    needed = {name: (*samples, n) if n else (*samples,) for name, n in labels.items()}
    if not isinstance(outputs, Mapping) or not all(isinstance(output, Tensor) for output in outputs.values()):
        raise UsageError(
            f"the network returned {value_type(outputs)}; needed: a dict of one tensor per target, "
            f"{listed([*needed])}, or a pair of it and a dict of losses"
        )
    if set(names := [*outputs]) != set(needed):
        missing = [name for name in needed if name not in outputs]
        problem = f"no output for target '{missing[0]}'" if missing else "outputs for what is no target"
        raise UsageError(f"the network returned {problem}; returned: {listed(names)}; needed: {listed([*needed])}")
    for name, shape in needed.items():
        if (own := tuple(outputs[name].shape)) != shape:
            raise UsageError(f"the network returned the shape {own} for target '{name}'; needed: {shape}")


class Model:
    """A network and how it is applied.

    Args:
        network: the network.
        layered: whether it is of fold layers.
        half: whether products are computed in bfloat16 on CUDA.
        scaling: standardises what it is given.
        labels: number of labels by target, None for a number; without any, what it returns is not checked.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        layered: bool,
        half: bool = False,
        scaling: Scaling | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.network, self.layered, self.half, self.scaling = network, layered, half, scaling
        self.labels = labels or {}
        self.pieces = 1  # parts that a batch is split into

    def batch(self, data: Data, rows: Tensor, epoch: int = 0) -> Batch:
        """Return what the network is given of samples `(F, …)`."""
        return data.batch(rows if self.layered else rows[0], self.scaling, epoch)

    def applied(self, batch: Batch) -> tuple[dict[str, Tensor], Losses]:
        """Return outputs for a batch, `(F, …[, K])` each, and the network's own losses, `(F,)` each."""
        kind = batch.samples.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.half and kind == "cuda"):
            returned = self.network(batch)
        if self.labels:
            require_outputs(returned, self.labels, batch.samples.shape)
        outputs, own = returned if isinstance(returned, tuple) else (returned, {})
        own = {name: loss.float() for name, loss in own.items()}
        if self.layered:
            return outputs, own
        return {name: part[None] for name, part in outputs.items()}, {name: part[None] for name, part in own.items()}

    def evaluated(self, data: Data, rows: Sequence[Rows]) -> list[Outputs]:
        """Return, for every fold, the outputs for its rows, `(v, K)` or `(v,)` per target.

        Raises:
            UsageError: memory is used up, also by half as many samples at once.
        """
        return self._fitting(lambda pieces: self._evaluated(data, rows, 1 / pieces), data.device)

    def _evaluated(self, data: Data, rows: Sequence[Rows], share: float) -> list[Outputs]:
        self.network.eval()
        outputs: list[Outputs] = [{} for _ in rows]
        places = [np.empty(data.n, dtype=np.int64) for _ in rows]
        for place, part in zip(places, rows, strict=True):
            place[part] = np.arange(len(part))
        with torch.no_grad():
            for block in blocks(data, rows, share):
                returned, _ = self.applied(self.batch(data, block))
                samples = block.cpu().numpy()
                for name, tensor in returned.items():
                    values = tensor.float().cpu().numpy()
                    for fold, part in enumerate(rows):
                        real = samples[fold] >= 0
                        shape = (len(part), *values.shape[samples.ndim :])
                        own = outputs[fold].setdefault(name, np.empty(shape, np.float32))
                        own[places[fold][samples[fold][real]]] = values[fold][real]
        return outputs

    def _fitting(self, run: Callable[[int], T], device: torch.device) -> T:
        """Run something with batches in this many pieces; where memory is used up, halve the batches once."""
        try:
            return run(self.pieces)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        self._halve(device)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return self._fitting(run, device)

    def _halve(self, device: torch.device) -> None:
        if self.pieces > 1:
            raise UsageError(f"out of memory on {device}, with half batches, too; {self._remedy}")
        self.pieces = 2

    @property
    def _remedy(self) -> str:
        return "use another device"


class Learner(Model):
    """A network in training.

    Args:
        network: it is trained in place.
        material: what it learns from.
        schedule: how it is trained.
        layered: whether it is of fold layers.
        seed: of what the network draws from torch's own generators.
        noise: other generators that it draws from.
    """

    def __init__(
        self,
        network: nn.Module,
        material: Material,
        schedule: Schedule,
        *,
        layered: bool,
        seed: int,
        noise: Sequence[torch.Generator] = (),
    ) -> None:
        super().__init__(network, layered=layered, half=schedule.half, scaling=material.scaling, labels=material.labels)
        self.data, self.order, self.objective = material.data, material.order, material.objective
        self.schedule, self.noise, self.unlabelled = schedule, list(noise), material.unlabelled
        self.n_folds = len(self.order.members)
        self.optimiser = optimiser(network, schedule)
        self.steps = 0
        self.notes: list[str] = []
        with torch.random.fork_rng(_cuda(self.data.device)):
            torch.manual_seed(seed)
            self.randomness = _randomness(self.data.device)
        self.kept = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        self.outputs: list[Outputs] = [{} for _ in range(self.n_folds)]  # those of the epochs that are kept
        self.values: list[Value] = [(-math.inf,)] * self.n_folds  # those of the epochs that are kept
        self.epochs = [0] * self.n_folds  # the epochs that are kept
        self.goals: list[Value] = [(-math.inf,)] * self.n_folds  # values that the next epochs have to exceed
        self.waited = [0] * self.n_folds  # epochs since a goal was exceeded

    @property
    def trains(self) -> list[bool]:
        """Which folds have not been stopped early."""
        return [not self.schedule.patience or waited < self.schedule.patience for waited in self.waited]

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Run a block with the learner's own states of torch's generators."""
        device = self.data.device
        with torch.random.fork_rng(_cuda(device)):
            torch.set_rng_state(self.randomness[0])
            for own in _cuda(device):
                torch.cuda.set_rng_state(self.randomness[1], own)
            yield
            self.randomness = _randomness(device)

    def epoch(self, epoch: int) -> dict[str, NDArray[np.float64]]:
        """Train an epoch, from 1, and return mean losses, `(F,)` each: `loss` of the targets, and the network's own."""
        self.network.train()
        sums: Losses = {}  # running ones: small tensors that stay would break up the memory of the large ones
        total = torch.zeros(self.n_folds, dtype=torch.float64, device=self.data.device)
        others = repeat(None) if self.unlabelled is None else self.unlabelled.epoch(len(self.order))
        steps: list[Step] = []
        with self.own_randomness():
            for n, rows in enumerate(zip(self.order.epoch(self.data.device), others, strict=False)):
                steps.append(rows)
                if len(steps) < self.schedule.accumulation and n + 1 < len(self.order):
                    continue
                step = partial(self._step, steps, epoch)
                for (own, _), losses in zip(steps, self._fitting(step, self.data.device), strict=True):
                    count = (own >= 0).flatten(1).sum(1)
                    total += count
                    for name, loss in losses.items():
                        sums.setdefault(name, torch.zeros_like(total)).add_(loss * count)
                steps = []
        return {name: (part / total).cpu().numpy() for name, part in sums.items()}

    def validated(self, rows: Sequence[Rows]) -> list[Outputs]:
        """Return, for every fold, the outputs for the rows that its epoch is selected on."""
        return self.evaluated(self.data, rows)

    def diagnosed(self, rows: Rows) -> dict[str, float]:
        """Return the means of the network's diagnostics over some samples."""
        self.network.eval()
        sums: dict[str, float] = {}
        with torch.no_grad():
            for block in blocks(self.data, [rows], 1 / self.pieces):
                shown = cast(Diagnosed, self.network).diagnostics(self.data.batch(block[0], self.scaling))
                share = int((block >= 0).sum()) / len(rows)
                sums = {name: sums.get(name, 0.0) + share * float(value) for name, value in shown.items()}
        return sums

    def _halve(self, device: torch.device) -> None:
        super()._halve(device)
        self.notes.append(f"out of memory on {device}: batches of {self.schedule.batch_size} were computed in halves")
        self.optimiser.zero_grad(set_to_none=True)

    @property
    def _remedy(self) -> str:
        return f"lower batch_size, which is {self.schedule.batch_size}, or {super()._remedy}"

    def _step(self, steps: Sequence[Step], epoch: int, pieces: int) -> list[Losses]:
        """Take one step of the optimiser by the mean of the gradients of some batches; return the losses of each."""
        self.optimiser.zero_grad(set_to_none=True)
        losses = []
        for rows in steps:
            sums: Losses = {}
            for part in self._losses(rows, pieces, epoch):
                total = torch.stack([loss.sum() for loss in part.values()]).sum() / len(steps)
                total.backward()
                sums = {name: sums[name] + loss.detach() if sums else loss.detach() for name, loss in part.items()}
            losses.append(sums)
        clip(self.network.parameters(), self.schedule, layered=self.layered)
        factor = self.schedule.rate(self.steps, -(-len(self.order) // self.schedule.accumulation))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimiser.step()
        self.steps += 1
        if isinstance(self.network, Stepped):
            self.network.stepped(self.steps)
        return losses

    def _losses(self, step: Step, pieces: int, epoch: int) -> Iterator[Losses]:
        """Yield the losses of the pieces of a batch, whose sums are those of the batch."""
        rows, others = step
        weights = self.objective.weights(rows)
        parts_of = [self.data.pieces(rows)]
        if self.unlabelled is not None and others is not None:
            parts_of.append(self.unlabelled.data.pieces(others))
        pieces *= max(parts_of)
        counts = (rows >= 0).flatten(1).sum(1)
        if pieces > 1 and "ccc" in self.objective.losses.values() and _CCC_IN_PIECES not in self.notes:
            self.notes.append(_CCC_IN_PIECES)
        chunks = rows.chunk(pieces, 1)
        drawn = [None] * len(chunks) if others is None else others.tensor_split(len(chunks), 1)
        for n, (piece, further) in enumerate(zip(chunks, drawn, strict=True)):
            own_weights = {name: every.chunk(pieces, 1)[n] for name, every in weights.items()}
            batch = self.batch(self.data, piece, epoch)
            if self.unlabelled is not None and further is not None:
                batch = replace(batch, unlabelled=self.batch(self.unlabelled.data, further, epoch))
            outputs, own = self.applied(batch)
            if pieces > 1:
                share = (piece >= 0).flatten(1).sum(1) / counts
                own = {name: loss * share for name, loss in own.items()}
            loss = self.objective.loss(outputs, piece, own_weights) + own.pop("loss", 0.0)
            yield {"loss": loss, **own}

    def keep(self, fold: int, epoch: int, value: Value, outputs: Outputs) -> None:
        """Keep this epoch of a fold if its value is better than before, and count the epochs since the last better one.

        As long as no value has been defined, there is nothing to compare: the last epoch is kept, and none is counted.
        """
        schedule = self.schedule
        if isinstance(self.network, Validated):
            self.network.validated(fold, epoch, value[0])
        undefined = not any(map(math.isfinite, max(value, self.values[fold])))
        if (value[0] > self.goals[fold][0] + schedule.min_delta) if schedule.min_delta else value > self.goals[fold]:
            self.goals[fold], self.waited[fold] = value, 0
        elif not undefined:
            self.waited[fold] += 1
        if value <= self.values[fold] and not undefined and schedule.keep == "best":
            return
        self.values[fold], self.epochs[fold], self.outputs[fold] = value, epoch, outputs
        for name, tensor in self.network.state_dict().items():
            if self.layered:
                self.kept[name][fold] = tensor[fold]
            else:
                self.kept[name].copy_(tensor)

    def finish(self) -> None:
        """Put the parameters that were kept into the network."""
        self.network.load_state_dict(self.kept)

    @property
    def _generators(self) -> list[torch.Generator]:
        return [*self.order.rngs, *self.noise, *([] if self.unlabelled is None else self.unlabelled.rngs)]

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """Return everything that the next epochs depend on: arrays by name, and what is ready for JSON."""
        arrays = {f"network.{name}": array(tensor) for name, tensor in self.network.state_dict().items()}
        arrays |= {f"kept.{name}": array(tensor) for name, tensor in self.kept.items()}
        for n, slots in self.optimiser.state_dict()["state"].items():
            arrays |= {f"optimiser.{n}.{name}": array(tensor) for name, tensor in slots.items()}
        arrays |= {f"generator.{n}": array(rng.get_state()) for n, rng in enumerate(self._generators)}
        arrays |= {f"randomness.{n}": array(state) for n, state in enumerate(self.randomness)}
        for fold, outputs in enumerate(self.outputs):
            arrays |= {f"outputs.{fold}.{name}": values for name, values in outputs.items()}
        counters = {name: getattr(self, name) for name in _COUNTERS}
        # JSON has no infinity, and other forms of a number are not exact.
        return arrays, counters | {name: [[*map(float.hex, own)] for own in getattr(self, name)] for name in _VALUES}

    def load(self, arrays: Arrays, counters: Mapping[str, Any]) -> None:
        """Go on from a state of the same training; raise `KeyError`, `ValueError` or `RuntimeError` for another."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): torch.from_numpy(np.array(values))
                for name, values in arrays.items()
                if name.startswith(prefix)
            }

        self.network.load_state_dict(part("network."))
        for name, tensor in part("kept.").items():
            self.kept[name].copy_(tensor)
        slots: dict[int, dict[str, Tensor]] = {}
        for key, tensor in part("optimiser.").items():
            place, _, name = key.partition(".")
            slots.setdefault(int(place), {})[name] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": slots})
        for n, rng in enumerate(self._generators):
            rng.set_state(torch.from_numpy(arrays[f"generator.{n}"].copy()))
        self.randomness = [torch.from_numpy(arrays[f"randomness.{n}"].copy()) for n in range(len(self.randomness))]
        for fold in range(self.n_folds):
            prefix = f"outputs.{fold}."
            self.outputs[fold] = {
                name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)
            }
        for counter in _COUNTERS:
            setattr(self, counter, counters[counter])
        self.values, self.goals = ([tuple(map(float.fromhex, own)) for own in counters[key]] for key in _VALUES)


_CCC_IN_PIECES = "batches were too large to be computed at once: their loss 'ccc' is the mean of that of their pieces"

_COUNTERS = ("steps", "pieces", "notes", "epochs", "waited")
_VALUES = ("values", "goals")


def array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor of any device as an array."""
    return np.asarray(tensor.detach().cpu().numpy())


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _randomness(device: torch.device) -> list[Tensor]:
    """Return the states of torch's generators that a network may use."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(own) for own in _cuda(device))]
