"""Exact claims of the memory fusion network."""

from __future__ import annotations

from types import ModuleType

import torch


def memory_of_two_steps(model: ModuleType) -> list[float]:
    """Return the memory of one number after a_1 = 0.5 and a_2 = 1, of networks with one hidden unit.

    The proposal is tanh(2 a), g_1 = σ(relu(a + u) - 1) and g_2 = σ(relu(a - u)):
    u_1 = σ(0.5) tanh(1) = 0.622459 · 0.761594 = 0.474061;
    u_2 = σ(0.474061) u_1 + σ(0.525939) tanh(2) = 0.616344 · 0.474061 + 0.628535 · 0.964028 = 0.898111.
    """
    memory = model.GatedMemory(1, 1, 1, 0.0).eval()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.fill_(0)
        memory.proposal.first.weight.fill_(1)
        memory.proposal.last.weight.fill_(2)
        memory.retain.first.weight.fill_(1)
        memory.retain.last.weight.fill_(1)
        memory.retain.last.bias.fill_(-1)
        memory.update.first.weight.copy_(torch.tensor([[1.0, -1.0]]))
        memory.update.last.weight.fill_(1)
        values: list[float] = memory(torch.tensor([[[0.5], [1.0]]])).flatten().tolist()
    return values


def difference_to_torch_cells(model: ModuleType) -> float:
    """Return the largest difference of states and cells to those of torch's own cells, of three features in 5 steps."""
    rng = torch.Generator().manual_seed(0)
    widths, steps = (3, 1, 5), range(5)
    features = [torch.randn(2, len(steps), width, generator=rng) for width in widths]
    cells = model.Cells(widths, 4)
    with torch.no_grad():
        for parameter in cells.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
        ours = cells(features)
        wanted: list[list[torch.Tensor]] = [[], []]
        for lstm, rows in zip(cells.lstms, features, strict=True):
            pair = None
            for step in steps:
                pair = lstm(rows[:, step], pair)
                for own, value in zip(wanted, pair, strict=True):
                    own.append(value)
        # of every feature five steps: (M, T, B, h) to (B, T, M h)
        theirs = [torch.stack(own).unflatten(0, (3, 5)).permute(2, 1, 0, 3).flatten(2) for own in wanted]
        return max(float((own - value).abs().max()) for own, value in zip(ours, theirs, strict=True))
