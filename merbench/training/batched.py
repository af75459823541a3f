"""Trains all folds of a model together, with parameters per fold, and keeps the best epoch of each fold.

Every layer contains its parameters for all folds in one tensor and applies them by one batched product, and one
optimiser step updates them all. The folds share nothing else: the loss is a sum of per-fold means, so a fold's
gradient is the one it would have by itself, and Adam works element by element.

Conventions:
    F folds, n samples, B rows of a batch. The data set is in memory: features are `(n, d)` float32 tensors, targets
    `(n,)` int64 codes or float32 numbers, all on the model's device. A model maps a list of `(F, B, d)` inputs to a
    dict of outputs, one per target: `(F, B, K)` scores of labels, or `(F, B)` numbers.
    Folds may differ in size. A batch is padded to the widest fold, padded rows have weight 0, and every real row of a
    fold has weight 1 / (real rows of that fold in this batch): each fold sees each of its samples exactly once an
    epoch, in batches whose loss is the mean over real samples. All folds take equally many steps: where one sample
    decides whether a fold needs another step, its last batch is shortened by the one row that the step needs.
    Shuffles and initial values come from generators on the CPU, one per fold, that depend only on (seed, fold).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from merbench.errors import UsageError
from merbench.training.protocol import Curve, Progress, silent
from merbench.training.samples import Division

Outputs = dict[str, Tensor]
Rows = NDArray[np.int64]
Value = tuple[float, ...]

ROWS_AT_ONCE = 4096
"""How many rows of a fold are evaluated at once; bounds the memory of predicting."""


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """Return a generator whose stream depends only on the key."""
    text = "|".join(str(part) for part in key)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
    return torch.Generator(device=device).manual_seed(number)


class _Affine(torch.autograd.Function):
    """`x @ weight + bias` per fold; the gradient of `weight` is written into memory that is kept between steps.

    A fresh gradient of several megabytes at every step costs more in page faults than the product that fills it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: nn.Parameter, bias: Tensor, memory: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.weight, ctx.memory = weight, memory
        return torch.baddbmm(bias, x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *_affine_gradients(ctx, x, weight, gradient), None


class _Hidden(torch.autograd.Function):
    """`_Affine`, then ReLU, then dropout, in one node of the graph: its output shows where gradients pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: nn.Parameter, bias: Tensor, memory: Tensor, kept: Tensor, scale: float
    ) -> Tensor:
        output = torch.baddbmm(bias, x, weight).clamp_min_(0).mul_(kept).mul_(scale)
        ctx.save_for_backward(x, weight, output)
        ctx.weight, ctx.memory, ctx.scale = weight, memory, scale
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, output = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, output, 0).mul_(ctx.scale)
        return *_affine_gradients(ctx, x, weight, gradient), None, None, None


def _affine_gradients(ctx: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> tuple[Tensor | None, None, Tensor]:
    """Return the gradients of (x, weight, bias); that of weight is stored instead, as autograd would add it."""
    if ctx.weight.grad is None:
        ctx.weight.grad = torch.bmm(x.mT, gradient, out=ctx.memory)
    else:
        ctx.weight.grad.baddbmm_(x.mT, gradient)
    along_x = torch.bmm(gradient, weight.mT) if ctx.needs_input_grad[0] else None
    return along_x, None, gradient.sum(1, keepdim=True)


_affine: Callable[..., Tensor] = _Affine.apply
_hidden: Callable[..., Tensor] = _Hidden.apply


class FoldLinear(nn.Module):
    """One linear layer per fold: `(F, B, n_in)` to `(F, B, n_out)`.

    Initial values are those of `torch.nn.Linear`: uniform in ±1/√n_in, weights and biases.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        rngs: one generator per fold, on the CPU, for the initial values.
    """

    memory: Tensor

    def __init__(self, n_in: int, n_out: int, rngs: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        weights = [torch.empty(n_in, n_out).uniform_(-bound, bound, generator=rng) for rng in rngs]
        biases = [torch.empty(1, n_out).uniform_(-bound, bound, generator=rng) for rng in rngs]
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.stack(biases))
        self.register_buffer("memory", torch.empty_like(self.weight), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        return _affine(x, self.weight, self.bias, self.memory)


class FoldHidden(FoldLinear):
    """A linear layer per fold, ReLU, and dropout from an explicit generator.

    Sixteen random bits decide one entry, which is several times faster than `bernoulli_`; the rate is the nearest
    multiple of 2^-16.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        rngs: as in `FoldLinear`.
        dropout: share of the entries that are dropped in training.
        noise: generator of the dropped entries, on the device of training.
    """

    def __init__(
        self, n_in: int, n_out: int, rngs: Sequence[torch.Generator], *, dropout: float, noise: torch.Generator
    ) -> None:
        super().__init__(n_in, n_out, rngs)
        self.threshold = round(dropout * 65536)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's activations."""
        if not self.training:
            return torch.baddbmm(self.bias, x, self.weight).relu_()
        # Ones and zeros written as floats: comparing into booleans first takes six times as long on a CPU.
        kept = torch.ge(self._words(x), self.threshold - 32768, out=x.new_empty(*x.shape[:-1], self.bias.shape[-1]))
        scale = 65536 / (65536 - self.threshold)
        return _hidden(x, self.weight, self.bias, self.memory, kept, scale)

    def _words(self, x: Tensor) -> Tensor:
        """Return one random signed 16-bit word for every entry of the output."""
        shape = (*x.shape[:-1], self.bias.shape[-1])
        bits = torch.empty(-(-math.prod(shape) // 4), dtype=torch.int64, device=x.device)
        return bits.random_(-(2**63), None, generator=self.noise).view(torch.int16)[: math.prod(shape)].view(shape)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train; weight decay is added to the gradient, as `torch.optim.Adam` does."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class _Batches:
    """The padded rows of every step of an epoch: which rows, and how much each weighs."""

    rows: Tensor  # (F, steps, width) int64, filled in every epoch
    weights: Tensor  # (F, steps, width) float32
    widths: list[int]
    slots: list[Tensor]
    members: list[Tensor]
    rngs: list[torch.Generator]

    @classmethod
    def of(cls, members: list[Tensor], batch_size: int, rngs: list[torch.Generator]) -> _Batches:
        """Return the batches of folds that train on these rows."""
        steps = -(-max(map(len, members)) // batch_size)
        if min(map(len, members)) < steps:
            raise UsageError(f"{min(map(len, members))} training samples in a fold are too few")
        counts = torch.zeros(len(members), steps, dtype=torch.int64)
        slots = []
        for fold, rows in enumerate(members):
            starts = torch.tensor([min(k * batch_size, len(rows) - (steps - k)) for k in range(steps)])
            counts[fold] = torch.diff(starts, append=torch.tensor([len(rows)]))
            slots.append(torch.cat([k * batch_size + torch.arange(n) for k, n in enumerate(counts[fold].tolist())]))
        real = torch.arange(batch_size) < counts[..., None]
        return cls(
            rows=torch.zeros(len(members), steps, batch_size, dtype=torch.int64),
            weights=real / counts[..., None],
            widths=counts.max(0).values.tolist(),
            slots=slots,
            members=members,
            rngs=rngs,
        )

    def shuffled(self, device: torch.device) -> list[Tensor]:
        """Return the rows of every step of the next epoch, `(F, width)` each."""
        table = self.rows.flatten(1)
        for fold, (slots, members, rng) in enumerate(zip(self.slots, self.members, self.rngs, strict=True)):
            table[fold, slots] = members[torch.randperm(len(members), generator=rng)]
        moved = self.rows.to(device)
        return [moved[:, step, :width] for step, width in enumerate(self.widths)]


class FoldData:
    """The data set on a device, with one buffer per feature that batches are gathered into.

    Args:
        features: one `(n, d)` tensor per input of the model.
        targets: the references of every target.
        losses: by target, the name of its loss, one of `LOSSES`.
    """

    def __init__(self, features: Sequence[Tensor], targets: Mapping[str, Tensor], losses: Mapping[str, str]) -> None:
        self.features, self.targets, self.losses = list(features), dict(targets), dict(losses)
        self.buffers = [x.new_empty(0, x.shape[1]) for x in self.features]

    def inputs(self, rows: Tensor) -> list[Tensor]:
        """Return the features of `(F, B)` rows; the buffers are overwritten by the next call."""
        flat = rows.reshape(-1)
        if len(self.buffers[0]) < len(flat):
            self.buffers = [x.new_empty(len(flat), x.shape[1]) for x in self.features]
        parts = [buffer[: len(flat)] for buffer in self.buffers]
        for x, part in zip(self.features, parts, strict=True):
            torch.index_select(x, 0, flat, out=part)
        return [part.view(*rows.shape, -1) for part in parts]

    def loss(self, outputs: Outputs, rows: Tensor, weights: Tensor) -> Tensor:
        """Return the `(F,)` loss: the sum over targets of weighted means over rows."""
        total = weights.new_zeros(len(weights))
        for name, values in self.targets.items():
            each = LOSSES[self.losses[name]](outputs[name], values[rows])
            total = total + (each.view_as(weights) * weights).sum(1)
        return total


def _cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    # Codes `(F, B)` or shares `(F, B, K)`: PyTorch takes either.
    return nn.functional.cross_entropy(output.flatten(0, 1), labels.flatten(0, 1), reduction="none")


def _squared_error(output: Tensor, numbers: Tensor) -> Tensor:
    return (output - numbers).square()


LOSSES = {"cross_entropy": _cross_entropy, "squared_error": _squared_error}
"""The losses that kinds of target name: functions of outputs and references, one value per row."""


class _Best:
    """The best epoch so far of every fold: its number, ranking value, parameters and outputs."""

    def __init__(self, model: nn.Module, n_folds: int, n: int) -> None:
        self.parameters = list(model.parameters())
        self.copies = [parameter.detach().clone() for parameter in self.parameters]
        self.values: list[Value] = [(-math.inf,)] * n_folds
        self.epochs = [0] * n_folds
        self.n = n
        self.outputs: dict[str, NDArray[np.float32]] = {}

    def update(
        self, fold: int, epoch: int, value: Value, rows: Rows, outputs: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Keep this epoch of a fold where its value is better than before."""
        if value <= self.values[fold] and self.epochs[fold]:
            return
        self.values[fold], self.epochs[fold] = value, epoch
        for parameter, copy in zip(self.parameters, self.copies, strict=True):
            copy[fold] = parameter.detach()[fold]
        for name, part in outputs.items():
            self.outputs.setdefault(name, np.empty((self.n, *part.shape[1:]), np.float32))[rows] = part

    def restore(self) -> None:
        """Put the kept parameters back into the model."""
        with torch.no_grad():
            for parameter, copy in zip(self.parameters, self.copies, strict=True):
                parameter.copy_(copy)


def train_folds(
    model: nn.Module,
    data: FoldData,
    divisions: Sequence[Division],
    schedule: Schedule,
    *,
    value: Callable[[Rows, dict[str, NDArray[np.float32]]], Value],
    progress: Progress = silent,
) -> tuple[dict[str, NDArray[np.float32]], Curve]:
    """Train all folds of a model together and leave in it, for every fold, the parameters of its best epoch.

    Args:
        model: see the module's conventions; it is trained in place.
        data: features and targets.
        divisions: the rows that each fold learns from, and those that its epoch is selected on.
        schedule: epochs, batch size, learning rate, weight decay, seed of the shuffles.
        value: ranking value, higher is better, of outputs for some rows; compared lexicographically, NaN is worst.
        progress: called after every epoch with (done, total).

    Returns:
        The kept models' outputs for the rows that epochs were selected on, in the order of the rows, `(v, K)` or
        `(v,)` per target; and how training went.

    Raises:
        UsageError: the loss is no longer finite.
    """
    n_folds, device = len(divisions), data.features[0].device
    held_out = [division.validate for division in divisions]
    members = [torch.from_numpy(division.learn) for division in divisions]
    rngs = [generator("cpu", schedule.seed, "shuffle", fold) for fold in range(n_folds)]
    batches = _Batches.of(members, schedule.batch_size, rngs)
    weights = [batches.weights[:, step, :width].to(device) for step, width in enumerate(batches.widths)]
    shares = torch.stack([(part > 0).sum(1) for part in weights]).double()
    shares /= shares.sum(0)
    best = _Best(model, n_folds, len(data.features[0]))
    optimiser = torch.optim.Adam(
        best.parameters, lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    losses, values = np.zeros((2, schedule.epochs, n_folds))
    for epoch in range(schedule.epochs):
        losses[epoch] = _epoch(model, data, optimiser, zip(batches.shuffled(device), weights, strict=True), shares)
        if not np.isfinite(losses[epoch]).all():
            raise UsageError(
                f"training diverged in epoch {epoch + 1} (the loss is not finite); "
                f"lower the learning rate, which is {schedule.learning_rate:g}"
            )
        outputs = _held_out_outputs(model, data, held_out)
        for fold, rows in enumerate(held_out):
            reached = tuple(-math.inf if math.isnan(item) else item for item in value(rows, outputs[fold]))
            values[epoch, fold] = reached[0]
            best.update(fold, epoch + 1, reached, rows, outputs[fold])
        progress(epoch + 1, schedule.epochs)
    best.restore()
    validated = np.sort(np.concatenate(held_out))
    return {name: part[validated] for name, part in best.outputs.items()}, Curve(losses, values, tuple(best.epochs))


def _epoch(
    model: nn.Module,
    data: FoldData,
    optimiser: torch.optim.Optimizer,
    batches: Iterable[tuple[Tensor, Tensor]],
    shares: Tensor,
) -> NDArray[np.float64]:
    """Train one epoch and return the `(F,)` mean loss."""
    model.train()
    steps: list[Tensor] = []
    for rows, weight in batches:
        loss = data.loss(model(data.inputs(rows)), rows, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        optimiser.step()
        steps.append(loss.detach())
    return np.asarray((torch.stack(steps).double() * shares).sum(0).cpu().numpy())


def predict_folds(model: nn.Module, features: Sequence[Tensor], n_folds: int) -> dict[str, NDArray[np.float32]]:
    """Return the mean of the folds' outputs for every sample: `(n, K)` or `(n,)` per target."""
    everything = [np.arange(len(features[0]))] * n_folds
    outputs = _held_out_outputs(model, FoldData(features, {}, {}), everything)
    return {name: np.mean([part[name] for part in outputs], axis=0, dtype=np.float32) for name in outputs[0]}


def _held_out_outputs(model: nn.Module, data: FoldData, rows: Sequence[Rows]) -> list[dict[str, NDArray[np.float32]]]:
    """Return, for every fold, its model's outputs for its rows; shorter folds are padded with rows of their own."""
    device = data.features[0].device
    longest = max(map(len, rows))
    padded = torch.from_numpy(np.stack([np.resize(part, longest) for part in rows])).to(device)
    model.eval()
    with torch.no_grad():
        blocks = [model(data.inputs(part)) for part in padded.split(ROWS_AT_ONCE, dim=1)]
        joined = {name: torch.cat([block[name] for block in blocks], 1).cpu().numpy() for name in blocks[0]}
    return [{name: part[fold, : len(rows[fold])] for name, part in joined.items()} for fold in range(len(rows))]
