"""What a network is given: batches of vectors, padded sequences or dialogues, in an order that depends only on a seed.

Conventions:
    n samples, F folds, B samples or dialogues of a batch, L samples of a dialogue, T rows of a sequence, d numbers of a
    row. A network of fold layers is given a leading dimension F, one of ordinary layers is not. Rows of the data set
    are int64, -1 where there is only padding. Padding is zeros, and always after the values.
    Every fold sees each of its samples exactly once an epoch. Folds may differ in size. All take equally many steps:
    where one sample decides whether a fold needs another step, its last batch is shortened by the one that it needs.
    Where samples differ in length, a batch has samples of similar length: a shuffled epoch is cut into pools of a few
    batches, a pool is sorted by length and cut into batches, and these are shuffled.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merbench.errors import UsageError
from merbench.training.samples import FeatureSet, Rows, Sequences

Kind = Literal["vectors", "sequences", "dialogues"]
"""A vector per sample and feature; its rows; or dialogues of samples with vectors."""

ROWS_AT_ONCE = 4096
"""How many samples of a fold are evaluated at once; bounds the memory of predicting."""

FRAMES_AT_ONCE = 1 << 15
"""How many padded rows of sequences are evaluated at once, unless a sequence is longer."""

BATCHES_OF_A_POOL = 8
"""How many batches are sorted by length together: more pad less, fewer mix better."""


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """Some samples, or some dialogues; `…` is F for a network of fold layers, and nothing for any other.

    Attributes:
        inputs: by feature, vectors `(…, B, d)`, sequences `(…, B, T, d)`, or the vectors of dialogues `(…, B, L, d)`.
        lengths: by feature, how many rows of a sequence are real, `(…, B)`; empty unless there are sequences.
        present: by feature, which samples have it, `(…, B)` or `(…, B, L)`; the others have zeros.
        samples: rows of the data set, `(…, B)` or `(…, B, L)`, -1 where there is only padding.
        speaker: code of the speaker within the dialogue, `(…, B, L)`, -1 where there is only padding; None unless there
            are dialogues.
        targets: in training, the references of every target, `(…, B[, L][, K])`; those of padding are arbitrary.
    """

    inputs: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    samples: Tensor
    speaker: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def real(self) -> Tensor:
        """Which samples are not padding."""
        return self.samples >= 0


@dataclass(eq=False, slots=True)
class _Stored:
    """The rows of a feature on a device."""

    values: Tensor  # (m, d)
    starts: Tensor | None  # (n,); None where row i is that of sample i
    lengths: Tensor  # (n,)
    complete: bool  # whether every sample has a row
    buffer: Tensor  # memory that vectors are gathered into

    @classmethod
    def of(cls, sequences: Sequences, device: torch.device) -> _Stored:
        lengths = sequences.lengths
        starts = np.where(lengths > 0, sequences.starts, 0)
        values = sequences.values if len(sequences.values) else np.zeros((1, sequences.width), np.float32)
        same = len(values) == len(starts) and (starts == np.arange(len(starts))).all()
        moved = _tensor(values).to(device)
        return cls(
            moved,
            None if same else torch.from_numpy(starts).to(device),
            torch.from_numpy(lengths).to(device),
            bool((lengths > 0).all()),
            moved.new_empty(0, moved.shape[1]),
        )

    def vectors(self, rows: Tensor) -> Tensor:
        """Return the `(len(rows), d)` vectors of samples; the buffer is overwritten by the next call."""
        if len(self.buffer) < len(rows):
            self.buffer = self.values.new_empty(len(rows), self.values.shape[1])
        part = self.buffer[: len(rows)]
        return torch.index_select(self.values, 0, rows if self.starts is None else self.starts[rows], out=part)

    def padded(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the `(…, T, d)` rows of samples, of which `lengths` are real; others are zeros."""
        steps = torch.arange(max(1, int(lengths.max())), device=rows.device)
        real = steps < lengths[..., None]
        starts = rows if self.starts is None else self.starts[rows]
        index = torch.where(real, starts[..., None] + steps, 0)
        values = self.values.index_select(0, index.reshape(-1)).view(*index.shape, -1)
        return values.masked_fill_(~real[..., None], 0)


def _tensor(values: NDArray[Any]) -> Tensor:
    """Return an array as a tensor; one mapped from a file stays there, though torch warns that it is read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(np.ascontiguousarray(values))


class Data:
    """Samples on a device, from which batches are made.

    Args:
        samples: the samples.
        kind: what a batch has of them; vectors are taken from sequences as means.
        device: where the network is.
        targets: the references of every target; none where only outputs are wanted.
    """

    def __init__(
        self,
        samples: FeatureSet,
        kind: Kind = "vectors",
        device: torch.device | str = "cpu",
        targets: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.device = torch.device(device)
        self.dialogues = samples.dialogues if kind == "dialogues" else None
        if kind == "dialogues" and self.dialogues is None:
            raise UsageError("the samples have no dialogues; a network of dialogues needs the column 'dialogue'")
        sequences = samples.sequences
        if kind != "sequences" and any((part.lengths > 1).any() for part in sequences.values()):
            present = {name: part.lengths.clip(max=1) for name, part in sequences.items()}
            sequences = {
                name: Sequences(vectors, np.arange(len(vectors)), present[name])
                for name, vectors in samples.features.items()
            }
        self.stored = {name: _Stored.of(part, self.device) for name, part in sequences.items()}
        self.targets = {name: _references(values).to(self.device) for name, values in (targets or {}).items()}
        lengths = [part.lengths for part in sequences.values()] if kind == "sequences" else []
        self.costs = np.sum(lengths, axis=0) if lengths else None
        self.speaker = None if self.dialogues is None else torch.from_numpy(self.dialogues.speaker).to(self.device)
        self.n = len(samples)

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per row, by feature."""
        return {name: stored.values.shape[1] for name, stored in self.stored.items()}

    def units(self, rows: Rows) -> tuple[Tensor, Tensor | None]:
        """Return what batches are made of, and how long each is; None where all are alike.

        These are the samples `(U,)`, or the dialogues of these samples, `(U, L)`.
        """
        if self.dialogues is None:
            return torch.from_numpy(rows), None if self.costs is None else torch.from_numpy(self.costs[rows])
        parts = self.dialogues.select(rows).units()
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        table = np.full((len(parts), lengths.max(initial=1)), -1, dtype=np.int64)
        for line, part in zip(table, parts, strict=True):
            line[: len(part)] = rows[part]
        return torch.from_numpy(table), torch.from_numpy(lengths)

    def batch(self, rows: Tensor) -> Batch:
        """Return the batch of samples `(…, B)` or dialogues `(…, B, L)`, on the device."""
        real, safe = rows >= 0, rows.clamp_min(0)
        inputs, lengths, present = {}, {}, {}
        flat = safe.reshape(-1)
        for name, stored in self.stored.items():
            if self.kind == "sequences":
                lengths[name] = stored.lengths[safe].masked_fill_(~real, 0)
                inputs[name] = stored.padded(safe, lengths[name])
                present[name] = lengths[name] > 0
                continue
            inputs[name] = stored.vectors(flat).view(*rows.shape, -1)
            present[name] = real if stored.complete else real & (stored.lengths[safe] > 0)
            if self.dialogues is not None or not stored.complete:
                inputs[name] = inputs[name].masked_fill_(~present[name][..., None], 0)
        speaker = None if self.speaker is None else self.speaker[safe].masked_fill_(~real, -1)
        return Batch(
            inputs, lengths, present, rows, speaker, {name: values[safe] for name, values in self.targets.items()}
        )


def _references(values: NDArray[Any]) -> Tensor:
    """Return codes as int64, numbers and shares as float32."""
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind == "i" else torch.float32)


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
            raise UsageError(f"{min(sizes)} training samples in a fold are too few")
        counts = torch.zeros(len(sizes), steps, dtype=torch.int64)
        self.slots = []
        for fold, size in enumerate(sizes):
            starts = torch.tensor([min(k * batch_size, size - (steps - k)) for k in range(steps)])
            counts[fold] = torch.diff(starts, append=torch.tensor([size]))
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
        pools = order.split(BATCHES_OF_A_POOL * self.batch_size)
        order = torch.cat([pool[torch.argsort(costs[pool], stable=True)] for pool in pools])
        batches = order.split(self.counts[fold].tolist())
        full = [batch for batch in batches if len(batch) == self.batch_size]
        others = [batch for batch in batches if len(batch) < self.batch_size]
        return torch.cat([*(full[i] for i in torch.randperm(len(full), generator=rng).tolist()), *others])


def _longest(rows: Tensor) -> int:
    """Return the number of samples of the longest dialogue."""
    return int((rows >= 0).sum(-1).max())


def blocks(data: Data, rows: Sequence[Rows], at_once: int = ROWS_AT_ONCE) -> Iterator[Tensor]:
    """Yield batches of all rows of every fold, of similar length, and of bounded size, as `Order.epoch` does."""
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
    start = 0
    while start < most:
        n = min(at_once, max(1, FRAMES_AT_ONCE // max(1, int(lengths[start]))))
        block = table[:, start : start + (n if orders[0] is not None else at_once)].to(data.device)
        yield block if block.ndim == 2 else block[..., : max(1, _longest(block))]
        start += block.shape[1]
