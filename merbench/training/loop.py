"""The loop that trains networks: one of fold layers for all folds, or one of ordinary layers per fold.

The folds of ordinary networks are trained in turns, an epoch each, so that curves, early stopping, checkpoints and
pruning are the same for both. A fold's numbers depend only on (seed, fold), never on the other folds: the sum of their
losses has for each fold the gradient of its own loss, and Adam works element by element.

Conventions:
    As in `batches.py` and `losses.py`. A network maps a `Batch` to a dict of outputs by target, `(…, B[, L], K)` scores
    of labels or `(…, B[, L])` numbers; or to a pair of this dict and a dict of losses of its own by name, `(…)` each,
    which are added in training. `…` is F for a network of fold layers, and nothing for any other. All parameters and
    buffers of a network of fold layers have the leading dimension F.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training.batches import Data, Order, blocks
from merbench.training.losses import Objective
from merbench.training.optimisation import Schedule, clip, optimiser
from merbench.training.protocol import Curve, Setup
from merbench.training.samples import Rows

Value = tuple[float, ...]
Outputs = dict[str, NDArray[np.float32]]
ValueOf = Callable[[Rows, Outputs], Value]
"""The ranking value, higher is better, of outputs for some rows."""


class Learner:
    """A network, what it learns from, and the best epoch so far of every fold that it has.

    Args:
        network: it is trained in place.
        data: samples and references.
        order: the batches of its folds.
        objective: the losses.
        schedule: how it is trained.
        layered: whether the network is of fold layers.
        seed: of what the network draws from torch's own generators.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        order: Order,
        objective: Objective,
        schedule: Schedule,
        *,
        layered: bool,
        seed: int,
    ) -> None:
        self.network, self.data, self.order, self.objective = network, data, order, objective
        self.schedule, self.layered = schedule, layered
        self.n_folds = len(order.members)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = optimiser(network, schedule)
        self.steps = 0
        with torch.random.fork_rng(_cuda(data.device)):
            torch.manual_seed(seed)
            self.randomness = _randomness(data.device)
        self.kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.values: list[Value] = [(-math.inf,)] * self.n_folds
        self.epochs = [0] * self.n_folds

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Run a block with the learner's own states of torch's generators."""
        with torch.random.fork_rng(_cuda(self.data.device)):
            torch.set_rng_state(self.randomness[0])
            if self.data.device.type == "cuda":
                torch.cuda.set_rng_state(self.randomness[1], self.data.device)
            yield
            self.randomness = _randomness(self.data.device)

    def epoch(self) -> dict[str, NDArray[np.float64]]:
        """Train one epoch and return mean losses, `(F,)` each: `loss`, the sum, and the network's own by name."""
        self.network.train()
        losses: list[dict[str, Tensor]] = []
        counts: list[Tensor] = []
        steps: list[Tensor] = []
        with self.own_randomness():
            for step, rows in enumerate(self.order.epoch(self.data.device)):
                steps.append(rows)
                counts.append((rows >= 0).flatten(1).sum(1))
                if len(steps) == self.schedule.accumulation or step + 1 == len(self.order):
                    losses += self._step(steps)
                    steps = []
        shares = torch.stack(counts).double()
        shares /= shares.sum(0)
        means = {name: (torch.stack([part[name] for part in losses]).double() * shares).sum(0) for name in losses[0]}
        return {name: mean.cpu().numpy() for name, mean in means.items()}

    def _step(self, steps: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """Take one step of the optimiser by the mean of the gradients of some batches; return the losses of each."""
        self.optimiser.zero_grad(set_to_none=True)
        losses = []
        for rows in steps:
            parts = self._losses(rows)
            (sum(parts.values(), torch.zeros((), device=rows.device)).sum() / len(steps)).backward()
            losses.append({name: part.detach() for name, part in parts.items()})
        clip(self.parameters, self.schedule, layered=self.layered)
        factor = self.schedule.rate(self.steps, -(-len(self.order) // self.schedule.accumulation))
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.optimiser.step()
        self.steps += 1
        return losses

    def _losses(self, rows: Tensor) -> dict[str, Tensor]:
        outputs, own = applied(self.network, self.data, rows, layered=self.layered, half=self.schedule.half)
        return {"loss": self.objective.loss(outputs, rows, self.objective.weights(rows)), **own}

    def keep(self, fold: int, epoch: int, value: Value) -> bool:
        """Keep this epoch of a fold where its value is better than before, and return whether it is."""
        if value <= self.values[fold] and self.epochs[fold]:
            return False
        self.values[fold], self.epochs[fold] = value, epoch
        for name, tensor in self.network.state_dict().items():
            if self.layered:
                self.kept[name][fold] = tensor[fold]
            else:
                self.kept[name].copy_(tensor)
        return True


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _randomness(device: torch.device) -> list[Tensor]:
    """Return the states of torch's generators that a network may use."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state(own) for own in _cuda(device))]


def applied(
    network: nn.Module, data: Data, rows: Tensor, *, layered: bool, half: bool = False
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return a network's outputs for samples `(F, …)`, `(F, …[, K])` each, and its own losses, `(F,)` each."""
    batch = data.batch(rows if layered else rows[0])
    with torch.autocast(data.device.type, torch.bfloat16, enabled=half and data.device.type == "cuda"):
        returned = network(batch)
    outputs, own = returned if isinstance(returned, tuple) else (returned, {})
    if layered:
        return outputs, own
    return {name: part[None] for name, part in outputs.items()}, {name: part[None] for name, part in own.items()}


def evaluated(
    network: nn.Module, data: Data, rows: Sequence[Rows], *, layered: bool, half: bool = False
) -> list[Outputs]:
    """Return, for every fold, the outputs of its network for its rows, `(v, K)` or `(v,)` per target."""
    network.eval()
    outputs: list[Outputs] = [{} for _ in rows]
    places = [np.empty(data.n, dtype=np.int64) for _ in rows]
    for place, part in zip(places, rows, strict=True):
        place[part] = np.arange(len(part))
    with torch.no_grad():
        for block in blocks(data, rows):
            returned, _ = applied(network, data, block, layered=layered, half=half)
            samples = block.cpu().numpy()
            for name, tensor in returned.items():
                values = tensor.float().cpu().numpy()
                for fold, part in enumerate(rows):
                    real = samples[fold] >= 0
                    shape = (len(part), *values.shape[samples.ndim :])
                    own = outputs[fold].setdefault(name, np.empty(shape, np.float32))
                    own[places[fold][samples[fold][real]]] = values[fold][real]
    return outputs


def train(
    learners: Sequence[Learner], validated: Sequence[Rows], *, value: ValueOf, setup: Setup
) -> tuple[Outputs, Curve]:
    """Train all folds and leave in every network the parameters of the epoch that is kept.

    Args:
        learners: one for all folds, or one per fold.
        validated: the rows that the epoch of every fold is selected on.
        value: ranking value of outputs for some rows; compared lexicographically, NaN is worst.
        setup: where progress and the values of epochs go.

    Returns:
        The kept networks' outputs for the validated rows, in the order of the rows; and how training went.

    Raises:
        UsageError: the loss is no longer finite.
    """
    schedule, n_folds = learners[0].schedule, len(validated)
    losses, values = np.zeros((2, schedule.epochs, n_folds))
    kept: list[Outputs] = [{} for _ in range(n_folds)]
    for epoch in range(schedule.epochs):
        first = 0
        for learner in learners:
            folds = range(first, first + learner.n_folds)
            first += learner.n_folds
            logged = learner.epoch()
            losses[epoch, folds] = logged["loss"]
            require_finite(losses[epoch, folds], epoch, schedule)
            rows = [validated[fold] for fold in folds]
            outputs = evaluated(learner.network, learner.data, rows, layered=learner.layered, half=schedule.half)
            for own, fold in enumerate(folds):
                reached = tuple(-math.inf if math.isnan(item) else item for item in value(rows[own], outputs[own]))
                values[epoch, fold] = reached[0]
                if learner.keep(own, epoch + 1, reached):
                    kept[fold] = outputs[own]
        setup.log.epoch(epoch + 1, {"loss": losses[epoch], "value": values[epoch]})
        setup.progress(epoch + 1, schedule.epochs)
    for learner in learners:
        learner.network.load_state_dict(learner.kept)
    order = np.argsort(np.concatenate(validated))
    joined = {name: np.concatenate([part[name] for part in kept])[order] for name in kept[0]}
    return joined, Curve(losses, values, tuple(best for learner in learners for best in learner.epochs))


def require_finite(losses: NDArray[np.float64], epoch: int, schedule: Schedule) -> None:
    """Raise `UsageError` when a loss is not finite."""
    if not np.isfinite(losses).all():
        raise UsageError(
            f"training diverged in epoch {epoch + 1} (the loss is not finite); "
            f"lower the learning rate, which is {schedule.learning_rate:g}"
        )
