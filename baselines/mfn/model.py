"""Memory Fusion Network (Zadeh et al., AAAI 2018): an LSTM per feature, and a memory of interactions of their cells.

At every step, attention over the cells of all LSTMs, before and after the step, determines what is written into a
memory through two gates. The heads read the last states of the LSTMs and the last memory.

Conventions:
    B samples of a batch, T steps, M features, h units of an LSTM, m numbers of the memory. Padding comes after the real
    steps, and the states after a sample's last real step are used. Outputs are `(B, K)` scores or `(B,)` numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from merbench.parameters import Within
from merbench.training import Setup
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import Dropout, Heads, Width
from merbench.training.networks.memory import GatedMemory, TwoLayers
from merbench.training.networks.network import NetworkBaseline, Shape
from merbench.training.networks.optimisation import Schedule
from merbench.training.networks.recurrent import aligned, last_states


@dataclass(frozen=True)
class Options(Schedule):
    """Architecture, and training.

    Attributes:
        hidden: units h of every LSTM, and hidden units of every other network.
        memory: numbers m of the memory; 0 leaves attention and memory out: the paper's "MFN (no mem)".
        window: how many consecutive rows are averaged before features are aligned.
        dropout: share of the hidden units of every network that is dropped in training.
        standardise: whether rows are standardised by what each fold learns from (MERBench: not).
    """

    hidden: Width
    memory: Annotated[int, Within(0, 65_536)]
    window: Annotated[int, Within(1)]
    dropout: Dropout
    standardise: bool


class Cells(nn.Module):
    """The system of LSTMs: one for every feature, each with its own parameters, which take a step together.

    torch's own LSTM returns no cell but the last one. The inputs of all steps are multiplied at once; a step is one
    batched product of all states.

    Args:
        widths: numbers of a row of every feature.
        n_hidden: units h of an LSTM.
    """

    def __init__(self, widths: Iterable[int], n_hidden: int) -> None:
        super().__init__()
        self.n_hidden = n_hidden
        self.lstms = nn.ModuleList(nn.LSTMCell(width, n_hidden) for width in widths)

    def forward(self, features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return states and cells, `(B, T, M h)` each, of rows `(B, T, d)` of every feature."""
        lstms = cast(Sequence[nn.LSTMCell], self.lstms)
        inputs = [
            nn.functional.linear(rows.transpose(0, 1), lstm.weight_ih, lstm.bias_ih + lstm.bias_hh)
            for rows, lstm in zip(features, lstms, strict=True)
        ]
        gates = torch.stack(inputs, 1)  # (T, M, B, 4 h)
        weight = torch.stack([lstm.weight_hh.mT for lstm in lstms])
        state = cell = gates.new_zeros(*gates.shape[1:3], self.n_hidden)
        states, cells = [], []
        for own in gates:
            write, keep, new, show = torch.baddbmm(own, state, weight).chunk(4, -1)
            cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
            state = show.sigmoid() * cell.tanh()
            states.append(state)
            cells.append(cell)
        of_sample = [torch.stack(steps).permute(2, 0, 1, 3).flatten(2) for steps in (states, cells)]
        return of_sample[0], of_sample[1]


class DeltaAttention(nn.Module):
    """The delta-memory attention network: `(B, T, M h)` cells to what is attended to of them, `(B, T, 2 M h)`.

    c* = [c_{t-1}; c_t], from c_0 = 0, times the softmax of D_a(c*) over its own 2 M h numbers.

    Args:
        n_cells: numbers M h of all cells.
        n_hidden: hidden units of D_a.
        dropout: share of these that is dropped in training.
    """

    def __init__(self, n_cells: int, n_hidden: int, dropout: float) -> None:
        super().__init__()
        self.scores = TwoLayers(2 * n_cells, n_hidden, 2 * n_cells, dropout)

    def forward(self, cells: Tensor) -> Tensor:
        """Return the cells before and after every step, weighted."""
        before = nn.functional.pad(cells, (0, 0, 1, 0))[:, :-1]
        both = torch.cat([before, cells], -1)
        attended: Tensor = self.scores(both).softmax(-1) * both
        return attended


class Network(nn.Module):
    """Sequences of any number of features to one output per target.

    A feature that a sample lacks is zeros at every step: the mean of what was learned from, if standardised.

    Args:
        options: the architecture.
        shape: what it is made for.
    """

    def __init__(self, options: Options, shape: Shape) -> None:
        super().__init__()
        n_hidden, dropout = options.hidden, options.dropout
        n_cells, n_features = len(shape.widths) * n_hidden, (n_hidden + 1) // 2
        self.window = options.window
        self.cells = Cells(shape.widths.values(), n_hidden)
        self.attention = DeltaAttention(n_cells, n_hidden, dropout) if options.memory else None
        self.memory = GatedMemory(2 * n_cells, n_hidden, options.memory, dropout) if options.memory else None
        self.output = TwoLayers(n_cells + options.memory, n_hidden, n_features, dropout)
        self.heads = Heads(n_features, shape.labels)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for a batch of sequences."""
        rows, lengths = aligned(batch, window=self.window)
        states, cells = self.cells(list(rows.values()))
        last = [last_states(states, lengths)]
        if self.attention is not None and self.memory is not None:
            last.append(last_states(self.memory(self.attention(cells)), lengths))
        outputs: dict[str, Tensor] = self.heads(self.output(torch.cat(last, -1)))
        return outputs


def build(options: Options, setup: Setup) -> NetworkBaseline:
    make = partial(Network, options)
    return NetworkBaseline(make, options, setup, kind="sequences", standardise=options.standardise)
