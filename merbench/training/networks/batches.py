"""What a network is given: batches of vectors, padded sequences or dialogues.

Conventions:
    n samples, F folds, B samples or dialogues of a batch, L samples of a dialogue, T rows of a sequence, d numbers of a
    row. A network of fold layers is given a leading dimension F, one of ordinary layers is not. Rows of the data set
    are int64, -1 where there is only padding. Padding is zeros, and always after the values.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from merbench.errors import UsageError
from merbench.training.missing import Draws, Lengths
from merbench.training.networks.scaling import Kind, Scaling, mapped, vectors_of
from merbench.training.samples import FeatureSet
from merbench.training.sequences import Rows, Sequences, Windows

ROWS_OF_A_PIECE, VALUES_OF_A_PIECE = 1 << 17, 1 << 26
"""How many padded rows of sequences, and values of them, are trained on at once, unless a sequence has more."""


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
        targets: in training, the references of every target, `(…, B[, L][, K])`, those of padding are arbitrary; empty
            where an epoch is selected, or samples are predicted.
        epoch: the epoch in training, from 1; 0 where an epoch is selected, or samples are predicted.
        complete: in training, the inputs before `[[training.corruptions]]`; where a sample lacks the feature itself,
            zeros or what fills it; else, and where nothing is corrupted, `inputs`.
        complete_lengths: in training, `lengths` before that; else, and where nothing is corrupted, `lengths`.
        unlabelled: in training, as many samples without references as the network asked for; else None.
        sets: in training, by target whose labels are sets, which may be the right one, `(…, B[, L], K)`, bool; the
            target is one of them, drawn at random. Those of padding are arbitrary.
    """

    inputs: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    samples: Tensor
    speaker: Tensor | None = None
    targets: Mapping[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    complete: Mapping[str, Tensor] = field(default_factory=dict)
    complete_lengths: Mapping[str, Tensor] = field(default_factory=dict)
    unlabelled: Batch | None = None
    sets: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.complete:
            object.__setattr__(self, "complete", self.inputs)
        if not self.complete_lengths:
            object.__setattr__(self, "complete_lengths", self.lengths)

    @property
    def real(self) -> Tensor:
        """Which samples are not padding."""
        return self.samples >= 0

    def removed(self, name: str) -> Tensor:
        """Return which vectors or rows of a feature corruption changed in training: `(…, B)`, `(…, B, L)`, `(…, B, T)`.

        This is exact where features are standardised; else rounding changes others, too.
        """
        return (self.complete[name] != self.inputs[name]).any(-1)


@dataclass(eq=False, slots=True)
class _Stored:
    """The rows of a feature, on the device of the network, or in memory or a mapped file where they are too many."""

    values: Tensor  # (m, d)
    starts: Tensor | None  # (n,); None where row i is that of sample i
    lengths: Tensor  # (n,) on the device of the network
    complete: bool  # whether every sample has a row
    buffer: Tensor  # memory that vectors are gathered into

    @classmethod
    def of(cls, sequences: Sequences, device: torch.device) -> _Stored:
        place = _place(sequences, device)
        if place.type != "cpu":
            sequences = _compact(sequences)
        lengths = sequences.lengths
        starts = np.where(lengths > 0, sequences.starts, 0)
        values = sequences.values if len(sequences.values) else np.zeros((1, sequences.width), np.float32)
        same = len(values) == len(starts) and bool((starts == np.arange(len(starts))).all())
        moved = mapped(values).to(place)
        return cls(
            moved,
            None if same else torch.from_numpy(starts).to(place),
            torch.from_numpy(lengths).to(device),
            bool((lengths > 0).all()),
            moved.new_empty(0, moved.shape[1]),
        )

    def vectors(self, rows: Tensor) -> Tensor:
        """Return the `(…, d)` vectors of samples `(…)`; the next call may write over them."""
        flat = rows.reshape(-1).to(self.values.device)
        if len(self.buffer) < len(flat):
            self.buffer = self.values.new_empty(len(flat), self.values.shape[1])
        part = self.buffer[: len(flat)]
        torch.index_select(self.values, 0, flat if self.starts is None else self.starts[flat], out=part)
        return part.view(*rows.shape, -1).to(rows.device).float()

    def padded(self, rows: Tensor, real: Tensor) -> Tensor:
        """Return the `(…, T, d)` rows of samples `(…)`; those that are not `real`, `(…, T)`, are arbitrary."""
        own = rows.to(self.values.device)
        starts = own if self.starts is None else self.starts[own]
        steps = torch.arange(real.shape[-1], device=own.device)
        index = torch.where(real.to(own.device), starts[..., None] + steps, 0)
        # Pixels are moved as bytes.
        return self.values.index_select(0, index.reshape(-1)).view(*index.shape, -1).to(rows.device).float()


def _place(sequences: Sequences, device: torch.device) -> torch.device:
    """Return where a feature is stored: on the device, unless it needs more than half of the memory that is free."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if sequences.values.itemsize * sequences.n_values < free / 2 else torch.device("cpu")


def _compact(sequences: Sequences) -> Sequences:
    """Return the rows of these samples only, in their order."""
    if not len(sequences) or int(sequences.lengths.sum()) == len(sequences.values):
        return sequences
    values = np.concatenate([sequences.of(row) for row in range(len(sequences))])
    return Sequences(values, np.cumsum(sequences.lengths) - sequences.lengths, sequences.lengths)


@dataclass(eq=False, slots=True)
class DrawnCorruption:
    """What training draws for the features, and, where a network does not standardise, the scale for it, `([F, ]d)`."""

    draws: Draws
    scale: Scaling | None = None

    @property
    def fills(self) -> bool:
        """Whether what samples lack is filled."""
        return self.draws.corruption.filling is not None

    def apply(self, inputs: Mapping[str, Tensor], rows: Tensor, lengths: Lengths, epoch: int) -> dict[str, Rows]:
        """Corrupt features in place and return how many rows of them are left, `(…)` each.

        A missing modality is zeros, and has no rows. Without a scale of the network it is the mean, and has its rows.

        Args:
            inputs: by feature, `(…, d)` or `(…, T, d)`; `…` begins with F where the scale has folds.
            rows: of the data set, `(…)`.
            lengths: by feature, how many rows are real, `(…)`.
            epoch: the epoch, or 0 for samples that an epoch is selected on.
        """
        given = {}
        for name, values in inputs.items():
            scaled = values if self.scale is None else self.scale.apply(name, values)
            given[name] = scaled.flatten(0, rows.ndim - 1).cpu().numpy()
        own = {name: part.reshape(-1) for name, part in lengths.items()}
        changed, left = self.draws.corrupted(epoch, rows.cpu().numpy().reshape(-1), given, own)
        for name, values in inputs.items():
            after = torch.from_numpy(changed[name]).to(values.device).view(values.shape)
            values.copy_(after if self.scale is None else self.scale.undo(name, after))
        is_left = self.scale is None or self.fills
        return {name: (left if is_left else own)[name].reshape(rows.shape) for name in inputs}


class Data:
    """Samples on a device, from which batches are made.

    Args:
        samples: the samples.
        kind: what a batch has of them; vectors are taken from sequences as means.
        device: where the network is.
        targets: the references of every target; none where only outputs are wanted.
        sets: by target, the `(n, K)` labels that may be the right one, where labels are sets.
        windows: parts that dialogues are cut into; None leaves them whole.
    """

    def __init__(
        self,
        samples: FeatureSet,
        kind: Kind = "vectors",
        device: torch.device | str = "cpu",
        targets: Mapping[str, NDArray[Any]] | None = None,
        sets: Mapping[str, NDArray[np.bool_]] | None = None,
        windows: Windows | None = None,
    ) -> None:
        self.kind: Kind = kind
        self.windows = windows
        self.corruption: DrawnCorruption | None = None
        self.device = torch.device(device)
        self.dialogues = samples.dialogues if kind == "dialogues" else None
        if kind == "dialogues" and self.dialogues is None:
            raise UsageError("the samples have no dialogues; a network of dialogues needs the column 'dialogue'")
        sequences = samples.sequences if kind == "sequences" else vectors_of(samples)
        self.stored = {name: _Stored.of(part, self.device) for name, part in sequences.items()}
        self.targets = {name: _references(values).to(self.device) for name, values in (targets or {}).items()}
        self.sets = {name: torch.from_numpy(mask).to(self.device) for name, mask in (sets or {}).items()}
        lengths = [part.lengths for part in sequences.values()] if kind == "sequences" else []
        self.costs = np.sum(lengths, axis=0) if lengths else None
        self.speaker = None if self.dialogues is None else torch.from_numpy(self.dialogues.speaker).to(self.device)
        self.n = len(samples)

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per row, by feature."""
        return {name: stored.values.shape[1] for name, stored in self.stored.items()}

    def corrupted(self, corruption: DrawnCorruption) -> Data:
        """Return the same samples, stored once, to whose features something is done."""
        other = copy.copy(self)
        other.corruption = corruption
        return other

    def units(self, rows: Rows, *, learned: bool = False) -> tuple[Tensor, Tensor | None]:
        """Return what batches are made of, and how long each is; None where all are alike.

        These are the samples `(U,)`, or the dialogues of these samples, or windows of them, `(U, L)`; windows only
        overlap where they are `learned` from.
        """
        if self.dialogues is None:
            return torch.from_numpy(rows), None if self.costs is None else torch.from_numpy(self.costs[rows])
        parts = self.dialogues.select(rows).units()
        if self.windows is not None:
            parts = [window for part in parts for window in self.windows.cut(part, learned=learned)]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        table = np.full((len(parts), lengths.max(initial=1)), -1, dtype=np.int64)
        for line, part in zip(table, parts, strict=True):
            line[: len(part)] = rows[part]
        return torch.from_numpy(table), torch.from_numpy(lengths)

    def pieces(self, rows: Tensor) -> int:
        """Return in how many pieces a batch of samples `(F, B)` is computed, so that none has too many padded rows."""
        if self.kind != "sequences":
            return 1
        safe, padded, values = rows.clamp_min(0), 0, 0
        for stored in self.stored.values():
            longest = int(stored.lengths[safe].max())
            padded, values = padded + longest, values + longest * stored.values.shape[1]
        most = max(padded / ROWS_OF_A_PIECE, values / VALUES_OF_A_PIECE)
        return max(1, min(rows.shape[1], math.ceil(most * rows.numel())))

    def batch(self, rows: Tensor, scaling: Scaling | None = None, epoch: int = 0) -> Batch:
        """Return a batch on the device.

        Args:
            rows: samples `(…, B)` or dialogues `(…, B, L)`.
            scaling: standardises the features; None leaves them as they are.
            epoch: the epoch, from 1, whose corruptions features have, with references; 0: those of samples that one is
                selected on, without references.
        """
        real, safe = rows >= 0, rows.clamp_min(0)
        inputs, lengths, masks = dict[str, Tensor](), dict[str, Tensor](), dict[str, Tensor]()
        steps = dict[str, Tensor]()
        for name, stored in self.stored.items():
            if self.kind == "sequences":
                lengths[name] = stored.lengths[safe].masked_fill_(~real, 0)
                steps[name] = torch.arange(max(1, int(lengths[name].max())), device=rows.device)
                masks[name] = steps[name] < lengths[name][..., None]
                inputs[name] = stored.padded(safe, masks[name])
            else:
                masks[name] = real if stored.complete else real & (stored.lengths[safe] > 0)
                inputs[name] = stored.vectors(safe)
            if scaling is not None:
                inputs[name] = scaling.apply(name, inputs[name])
        complete, complete_lengths = dict[str, Tensor](), dict[str, Tensor]()
        if self.corruption is not None:
            if epoch:
                complete_lengths = dict(lengths)
                complete = {name: part.masked_fill(~masks[name][..., None], 0) for name, part in inputs.items()}
            before = {name: stored.lengths[safe].cpu().numpy() for name, stored in self.stored.items()}
            for name, rest in self.corruption.apply(inputs, safe, before, epoch).items():
                left = torch.from_numpy(rest).to(rows.device).masked_fill_(~real, 0)
                mask = steps[name] < left[..., None] if lengths else left > 0
                if epoch and self.corruption.fills:
                    filled = (mask & ~masks[name])[..., None]  # what the sample lacks itself, as its rows are the first
                    complete[name] = torch.where(filled, inputs[name], complete[name])
                    complete_lengths |= {name: complete_lengths[name].maximum(left)} if lengths else {}
                masks[name] = mask
                lengths |= {name: left} if lengths else {}
        present = {name: lengths[name] > 0 for name in lengths} or masks
        for name, mask in masks.items():
            if lengths or self.dialogues is not None or not self.stored[name].complete:
                inputs[name].masked_fill_(~mask[..., None], 0)
        speaker = None if self.speaker is None else self.speaker[safe].masked_fill_(~real, -1)
        targets, sets = (
            {name: values[safe] for name, values in part.items()} if epoch else {} for part in (self.targets, self.sets)
        )
        return Batch(inputs, lengths, present, rows, speaker, targets, epoch, complete, complete_lengths, sets=sets)


def _references(values: NDArray[Any]) -> Tensor:
    """Return codes as int64, numbers and shares as float32."""
    return torch.tensor(values, dtype=torch.int64 if values.dtype.kind == "i" else torch.float32)
