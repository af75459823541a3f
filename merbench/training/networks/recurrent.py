"""Layers for rows of different number: they are averaged in windows, and read in order by a GRU or LSTM.

Conventions:
    B sequences of a batch, T rows of the longest, d numbers of a row. Rows are `(B, T, d)` float32; `lengths`, `(B,)`
    int64, are how many of them are real, 0 for a sequence that is missing. Padding comes after the real rows, and is
    zeros in what these layers return; so nothing depends on the other sequences of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from merbench.training.networks.batches import Batch


def real_rows(lengths: Tensor, n_rows: int) -> Tensor:
    """Return which of `n_rows` rows are real, `(B, n_rows)`."""
    return torch.arange(n_rows, device=lengths.device) < lengths[:, None]


def window_means(rows: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the means of every `size` consecutive rows, and how many there are.

    The padding is zeros. The last window of a sequence may have fewer rows, and its mean is that of these. (MERBench
    pads in front, with zeros that count in the first mean.)
    """
    if size == 1:
        return rows, lengths
    size = min(size, rows.shape[1])
    windows = -(-rows.shape[1] // size)
    padded = nn.functional.pad(rows, (0, 0, 0, windows * size - rows.shape[1]))
    counts = (lengths[:, None] - size * torch.arange(windows, device=lengths.device)).clamp(1, size)
    return padded.unflatten(1, (windows, size)).sum(2) / counts[..., None], (lengths + size - 1) // size


def resampled(rows: Tensor, lengths: Tensor, wanted: Tensor) -> Tensor:
    """Return as many rows of every sequence as are wanted, `(B,)`: means of the rows of equal parts of it.

    Part j of n of a sequence of m rows has the rows from ⌊jm/n⌋ to ⌈(j+1)m/n⌉, so that a row is repeated where more are
    wanted than there are. The padding, and a sequence without rows, are zeros.
    """
    n_steps = max(1, int(wanted.max()))
    steps = torch.arange(n_steps, device=rows.device)
    parts, known = wanted.clamp_min(1)[:, None], lengths[:, None]
    starts = torch.minimum(steps * known // parts, known)
    ends = torch.minimum(((steps + 1) * known + parts - 1) // parts, known)
    sums = nn.functional.pad(rows.double().cumsum(1), (0, 0, 1, 0))
    index = [place[..., None].expand(-1, -1, rows.shape[2]) for place in (starts, ends)]
    means = (sums.gather(1, index[1]) - sums.gather(1, index[0])) / (ends - starts).clamp_min(1)[..., None]
    return means.to(rows.dtype).masked_fill(~real_rows(wanted, n_steps)[..., None], 0)


def aligned(batch: Batch, to: str = "", window: int = 1) -> tuple[dict[str, Tensor], Tensor]:
    """Return all features with equally many rows of a sample, by `resampled`, and how many rows these are, `(B,)`.

    Args:
        batch: sequences.
        to: the feature whose number of rows the others get; empty takes, in every sample, the feature with the fewest
            rows of those that have more than one (vectors are repeated).
        window: how many consecutive rows of every feature are averaged before.
    """
    means = {name: window_means(rows, batch.lengths[name], window) for name, rows in batch.inputs.items()}
    lengths = torch.stack([own for _, own in means.values()])
    if to:
        wanted = torch.where(means[to][1] > 0, means[to][1], lengths.amax(0))
    else:
        most = lengths.amax(0)
        wanted = torch.where(lengths > 1, lengths, most.clamp_min(1)).amin(0)
        wanted = torch.where(most > 0, wanted, 0)
    return {name: resampled(rows, own, wanted) for name, (rows, own) in means.items()}, wanted


class Recurrent(nn.Module):
    """The states of a GRU or LSTM of one layer after every row, `(B, T, h)`; `(B, T, 2 h)` of two directions.

    Forwards, torch's own layer reads the padding after the real rows, where it does not matter; backwards, it would
    read it before them. So real rows are reversed before they are read, and so are their states after that. (Packed
    sequences have the same effect and take longer.)

    Args:
        n_in: numbers of a row.
        n_hidden: width h of a state.
        backwards: what reads the rows from the last to the first: `none`, a cell of its `own`, or the `same` cell that
            reads them forwards.
        cell: `torch.nn.GRU` (Cho et al. 2014) or `torch.nn.LSTM` (Hochreiter and Schmidhuber 1997).
    """

    def __init__(
        self, n_in: int, n_hidden: int, *, backwards: str = "none", cell: type[nn.GRU | nn.LSTM] = nn.GRU
    ) -> None:
        super().__init__()
        if backwards not in ("none", "own", "same"):
            raise ValueError(f"no cell '{backwards}'")
        self.forwards = cell(n_in, n_hidden, batch_first=True)
        self.backwards = cell(n_in, n_hidden, batch_first=True) if backwards == "own" else None
        self.one_direction = backwards == "none"

    def forward(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """Return the states of rows."""
        states: Tensor
        # Without padding there is nothing to keep apart; on a device, the question would make the CPU wait for it.
        padded = lengths.device.type != "cpu" or bool((lengths < rows.shape[1]).any())
        if self.one_direction:
            states = self.forwards(rows)[0]
        else:
            last_first = reversed_rows(rows, lengths) if padded else rows.flip(1)
            if self.backwards is None:
                ahead, back = self.forwards(torch.cat([rows, last_first]))[0].chunk(2)
            else:
                ahead, back = self.forwards(rows)[0], self.backwards(last_first)[0]
            states = torch.cat([ahead, reversed_rows(back, lengths) if padded else back.flip(1)], -1)
        return states.masked_fill(~real_rows(lengths, rows.shape[1])[..., None], 0) if padded else states


def reversed_rows(rows: Tensor, lengths: Tensor) -> Tensor:
    """Return the real rows in reverse order, and the padding where it was."""
    steps = torch.arange(rows.shape[1], device=rows.device)
    index = torch.where(real_rows(lengths, rows.shape[1]), lengths[:, None] - 1 - steps, steps)
    return rows.gather(1, index[..., None].expand_as(rows))


def last_states(states: Tensor, lengths: Tensor) -> Tensor:
    """Return the state after the last real row, `(B, h)`; zeros for a sequence without rows."""
    index = (lengths - 1).clamp_min(0)[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, index).squeeze(1)
