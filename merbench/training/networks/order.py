"""The order of batches: in training one that depends only on a seed and the epoch, else by length.

Conventions:
    F folds, B samples or dialogues of a batch, L samples of a dialogue. Rows of the data set are int64, -1 where there
    is only padding.
    Every fold sees each of its samples exactly once an epoch. Folds may differ in size. All take equally many steps, as
    many as the largest needs. A fold that needs only a few fewer by itself keeps its full batches, and the last steps
    have one of its samples each; one that needs many fewer has its samples spread evenly over all steps.
    Where samples differ in length, a batch has samples of similar length: a shuffled epoch is cut into pools of a few
    batches, a pool is sorted by length and cut into batches, and these are shuffled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from merbench.errors import UsageError
from merbench.training.networks.batches import Data
from merbench.training.sequences import Rows

ROWS_AT_ONCE = 4096
"""How many samples of a fold are evaluated at once."""

BYTES_AT_ONCE = 1 << 25
"""How many bytes of features of all folds are evaluated at once; at least one sample of each."""

FRAMES_AT_ONCE = 1 << 15
"""How many padded rows of sequences are evaluated at once, unless a sequence is longer."""

FEW_STEPS = 0.1
"""The share of the steps that may have a single sample of a fold, so that its other batches stay full."""

BATCHES_OF_A_POOL = 8
"""How many batches are sorted by length together: more pad less, fewer mix better."""


class Order:
    """The batches of an epoch, one fold next to the other, each time in another order.

    Args:
        units: what every fold trains on, as `Data.units` returns it.
        batch_size: samples or dialogues of a batch and fold.
        rngs: one generator per fold, on the CPU.
    """

    def __init__(
        self, units: Sequence[tuple[Tensor, Tensor | None]], batch_size: int, rngs: Sequence[torch.Generator]
    ) -> None:
        self.members = [members for members, _ in units]
        self.costs = [costs for _, costs in units]
        self.rngs = list(rngs)
        self.batch_size = batch_size
        sizes = [len(members) for members in self.members]
        steps = -(-max(sizes) // batch_size)
        if min(sizes) < max(steps, 1):
            what = "dialogues" if self.members[0].ndim == 2 else "training samples"
            raise UsageError(
                f"{min(sizes)} {what} in a fold are too few: every one of its {max(steps, 1)} steps needs one; "
                f"use fewer folds, or a batch_size above {batch_size}"
            )
        counts = torch.zeros(len(sizes), steps, dtype=torch.int64)
        self.slots = []
        for fold, size in enumerate(sizes):
            if steps - -(-size // batch_size) <= FEW_STEPS * steps:
                starts = torch.tensor([min(k * batch_size, size - (steps - k)) for k in range(steps)])
                counts[fold] = torch.diff(starts, append=torch.tensor([size]))
            else:
                counts[fold] = size // steps
                counts[fold, : size % steps] += 1
            self.slots.append(
                torch.cat([k * batch_size + torch.arange(n) for k, n in enumerate(counts[fold].tolist())])
            )
        self.counts = counts
        self.widths: list[int] = counts.max(0).values.tolist()

    def __len__(self) -> int:
        return len(self.widths)

    def epoch(self, device: torch.device) -> Iterator[Tensor]:
        """Yield the rows of every step, `(F, B)` or `(F, B, L)`, on the device."""
        longest = max(members[0].numel() for members in self.members)
        shape = (len(self.members), len(self) * self.batch_size)
        table = torch.full(shape if self.members[0].ndim == 1 else (*shape, longest), -1)
        for fold, (slots, members) in enumerate(zip(self.slots, self.members, strict=True)):
            taken = members[self._shuffled(fold)]
            if table.ndim == 2:
                table[fold, slots] = taken
            else:
                table[fold, slots, : taken.shape[1]] = taken
        moved = table.unflatten(1, (len(self), self.batch_size)).to(device)
        for step, width in enumerate(self.widths):
            rows = moved[:, step, :width]
            yield rows if rows.ndim == 2 else rows[..., : _longest(rows)]

    def _shuffled(self, fold: int) -> Tensor:
        rng, costs, n = self.rngs[fold], self.costs[fold], len(self.members[fold])
        order = torch.randperm(n, generator=rng)
        if costs is None or bool((costs == costs[0]).all()):
            return order
        counts = self.counts[fold].tolist()  # in descending order
        pools = order.split(BATCHES_OF_A_POOL * counts[0])
        order = torch.cat([pool[torch.argsort(costs[pool], stable=True)] for pool in pools])
        batches = order.split(counts)
        alike = [[batch for batch in batches if len(batch) == count] for count in dict.fromkeys(counts)]
        return torch.cat([own[i] for own in alike for i in torch.randperm(len(own), generator=rng).tolist()])


class UnlabelledOrder:
    """The samples without references of every step, one fold next to the other: none is in a step twice.

    Each time that all had their turn, or too few are left for a step, they are shuffled again.

    Args:
        data: the samples.
        n: samples, or dialogues, of a step and fold; all of them where there are fewer.
        rngs: one generator per fold, on the CPU.
    """

    def __init__(self, data: Data, n: int, rngs: Sequence[torch.Generator]) -> None:
        self.data, self.rngs = data, list(rngs)
        self.members, _ = data.units(np.arange(data.n))
        self.n = min(n, len(self.members))

    def epoch(self, n_steps: int) -> Iterator[Tensor]:
        """Yield the rows of every step, `(F, B)` or `(F, B, L)`, on the device of the samples."""
        n_members, of_a_pass = len(self.members), len(self.members) // self.n
        passes = -(-n_steps // of_a_pass)
        orders = [
            torch.cat([torch.randperm(n_members, generator=rng)[: of_a_pass * self.n] for _ in range(passes)])
            for rng in self.rngs
        ]
        rows = self.members[torch.stack(orders)[:, : n_steps * self.n]].to(self.data.device)
        for step in rows.unflatten(1, (n_steps, self.n)).unbind(1):
            yield step if step.ndim == 2 else step[..., : _longest(step)]


def _longest(rows: Tensor) -> int:
    """Return the number of samples of the longest dialogue."""
    return int((rows >= 0).sum(-1).max())


def blocks(data: Data, rows: Sequence[Rows], share: float = 1.0) -> Iterator[Tensor]:
    """Yield batches of all rows of every fold, of similar length, and of bounded size, as `Order.epoch` does.

    Args:
        data: the samples.
        rows: those of every fold.
        share: how large the batches are, of the usual size.
    """
    units = [data.units(part) for part in rows]
    orders = [None if costs is None else torch.argsort(costs, descending=True, stable=True) for _, costs in units]
    members = [part if order is None else part[order] for (part, _), order in zip(units, orders, strict=True)]
    most, longest = max(map(len, members)), max(part[:1].numel() for part in members)
    shape = (len(members), most)
    table = torch.full(shape if members[0].ndim == 1 else (*shape, longest), -1)
    lengths = torch.ones(most, dtype=torch.int64)
    for fold, ((_, costs), order, part) in enumerate(zip(units, orders, members, strict=True)):
        if part.ndim == 1:
            table[fold, : len(part)] = part
        else:
            table[fold, : len(part), : part.shape[1]] = part
        if costs is not None and order is not None:
            lengths[: len(part)] = torch.maximum(lengths[: len(part)], costs[order])
    at_once = BYTES_AT_ONCE // (4 * len(rows) * max(1, sum(data.widths.values())))
    if data.kind != "vectors":
        at_once = min(at_once, FRAMES_AT_ONCE)
    start = 0
    while start < most:
        n = max(1, int(share * min(most, ROWS_AT_ONCE, at_once // max(1, int(lengths[start])))))
        block = table[:, start : start + n].to(data.device)
        yield block if block.ndim == 2 else block[..., : max(1, _longest(block))]
        start += n
