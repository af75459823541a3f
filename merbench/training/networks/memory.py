"""What memory fusion networks share: a memory of all features that is written at every step through two gates.

Conventions:
    B samples of a batch, T steps, n numbers of what is attended to at a step, h hidden units, m numbers of a memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwoLayers(nn.Module):
    """A linear layer, ReLU, dropout of the hidden units, and another linear layer."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int, dropout: float) -> None:
        super().__init__()
        self.first, self.dropout = nn.Linear(n_in, n_hidden), nn.Dropout(dropout)
        self.last = nn.Linear(n_hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the second layer."""
        outputs: Tensor = self.last(self.dropout(self.first(x).relu()))
        return outputs


class GatedMemory(nn.Module):
    """The multi-view gated memory (Zadeh et al., AAAI 2018): `(B, T, n)` to the memory after every step, `(B, T, m)`.

    u_t = g_1 ⊙ u_{t-1} + g_2 ⊙ tanh(D_u(a_t)), from u_0 = 0; a_t is what is attended to. As in the authors' code, the
    gates read the memory, too: g_1 (retain) and g_2 (update) are sigmoids of D_1([a_t; u_{t-1}]), D_2([a_t; u_{t-1}]).

    Only what depends on the memory is computed step by step: the two gates as one batched product, with all products of
    a_t and the entries that dropout drops made before.

    Args:
        n_in: numbers n of what is attended to.
        n_hidden: hidden units h of each of the three networks.
        n_memory: numbers m of the memory.
        dropout: share of the hidden units that is dropped in training.
    """

    def __init__(self, n_in: int, n_hidden: int, n_memory: int, dropout: float) -> None:
        super().__init__()
        self.n_memory, self.dropout = n_memory, dropout
        self.proposal = TwoLayers(n_in, n_hidden, n_memory, dropout)
        self.retain = TwoLayers(n_in + n_memory, n_hidden, n_memory, dropout)
        self.update = TwoLayers(n_in + n_memory, n_hidden, n_memory, dropout)

    def forward(self, attended: Tensor) -> Tensor:
        """Return the memory after every step."""
        steps, n_in = attended.transpose(0, 1), attended.shape[2]
        proposals = self.proposal(steps).tanh()
        gates = (self.retain, self.update)
        ahead = [nn.functional.linear(steps, gate.first.weight[:, :n_in], gate.first.bias) for gate in gates]
        hidden = torch.stack(ahead, 1)  # (T, 2, B, h)
        kept = nn.functional.dropout(torch.ones_like(hidden), self.dropout, self.training)
        of_memory = torch.stack([gate.first.weight[:, n_in:].mT for gate in gates])
        weight = torch.stack([gate.last.weight.mT for gate in gates])
        bias = torch.stack([gate.last.bias[None] for gate in gates])

        memory = proposals.new_zeros(len(attended), self.n_memory)
        memories = []
        for own, keep, proposal in zip(hidden, kept, proposals, strict=True):
            units = torch.baddbmm(own, memory.expand(2, -1, -1), of_memory).relu() * keep
            retain, update = torch.baddbmm(bias, units, weight).sigmoid()
            memory = retain * memory + update * proposal
            memories.append(memory)
        return torch.stack(memories, 1)
