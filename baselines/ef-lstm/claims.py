"""Exact claims of EF-LSTM: its states after one and two rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from merbench.training.networks.batches import Batch
from merbench.training.networks.network import Shape


def of_one_row(model: Any) -> float:
    """Return the largest difference between the output for one row and that of a perceptron with the same weights."""
    rng = torch.Generator().manual_seed(0)
    network = made(model, {"audio": 3, "text": 2}, hidden=4, layers=3)
    for parameter in network.parameters():
        parameter.uniform_(-1, 1, generator=rng)
    rows = {"audio": torch.randn(6, 1, 3, generator=rng), "text": torch.randn(6, 1, 2, generator=rng)}
    state = torch.cat([rows["audio"], rows["text"]], -1).squeeze(1)
    for layer in range(3):
        weights, own = (getattr(network.lstm, f"{name}_l{layer}") for name in ("weight_ih", "bias_ih"))
        gates = state @ weights.T + own + getattr(network.lstm, f"bias_hh_l{layer}")
        into, _, candidate, out = gates.chunk(4, 1)  # torch's order: input, forget, candidate, output
        state = out.sigmoid() * (into.sigmoid() * candidate.tanh()).tanh()
    (head,) = network.heads.layers
    return float((network(batch(rows))["valence"] - head(network.linear(state).relu()).squeeze(1)).abs().max())


def after_two_rows(model: Any) -> list[float]:
    """Return the state of one unit with all weights 1 and no biases after the row 1, and after the rows 1 and 2.

    Gates and candidate all have the argument z = x + h. After the first row z = 1, c = σ(1) tanh(1) = 0.556770, and
    h = σ(1) tanh(c) = 0.369606. After the second z = 2.369606, c = σ(z) (0.556770 + tanh(z)) = 1.407779, and
    h = σ(z) tanh(c) = 0.811163.
    """
    network = made(model, {"audio": 1}, hidden=1, layers=1)
    for name, parameter in network.named_parameters():
        parameter.fill_(0.0 if "bias" in name else 1.0)
    rows = torch.tensor([[1.0], [2.0]])[None]
    return [float(network(batch({"audio": rows[:, :n]}))["valence"]) for n in (1, 2)]


def made(model: Any, widths: dict[str, int], *, hidden: int, layers: int) -> Any:
    """Return the network of a number, whose parameters can be written to."""
    architecture = {"hidden": hidden, "layers": layers, "window": 1, "align_to": "", "dropout": 0.0}
    options = model.Options(**architecture, standardise=False, epochs=1, batch_size=1, learning_rate=1.0)
    shape = Shape(widths, {"valence": None}, [torch.Generator()], torch.Generator())
    return model.Network(options, shape).requires_grad_(False).eval()


def batch(rows: dict[str, Tensor]) -> Batch:
    """Return samples whose rows `(B, T, d)` are all real."""
    n, n_rows = next(iter(rows.values())).shape[:2]
    lengths = {name: torch.full((n,), n_rows) for name in rows}
    return Batch(rows, lengths, {name: part > 0 for name, part in lengths.items()}, torch.arange(n))
