"""Exact claims of EMT-DLFR."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from merbench.training import load_baseline
from merbench.training.networks.attention import Steps
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.losses import loss_of_targets
from merbench.training.networks.network import Shape

WIDTHS = {"audio": 5, "video": 2, "text": 3}


def core_parameters(model: ModuleType) -> list[int]:
    """Return the parameters of a promotion, of the pooling and of both at h = 128, and of both at h = 32."""
    wide, narrow = (model.Exchange(3, _options(model, hidden=width)) for width in (128, 32))
    return [_count(wide.promotion), _count(wide.pool), _count(wide), _count(narrow)]


def attention_products(model: ModuleType) -> list[float]:
    """Return the products of attention between tokens and 50 steps of three features in three layers at h = 128.

    And how often as many there are with 100 steps, and the same of attention of steps and tokens to themselves.
    """
    exchange = model.Exchange(3, _options(model, hidden=128, layers=3)).eval()
    counts = {"cross": list[float](), "own": list[float]()}
    for n_steps in (50, 100):
        tokens, steps = torch.zeros(1, 3, 128), [Steps(torch.zeros(1, n_steps, 128), torch.tensor([n_steps]))] * 3
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            exchange(tokens, steps, [torch.tensor([n_steps])] * 3)
        for name, own in counts.items():
            of_module = counter.get_flop_counts()[f"Exchange.promotion.{name}"]
            own.append(of_module[torch.ops.aten.bmm] / 2)
    cross, own = counts["cross"], counts["own"]
    return [cross[0], cross[1] / cross[0], own[0], own[1]]


@torch.no_grad()
def difference_of_views(model: ModuleType) -> list[float]:
    """Return how the outputs of both views differ, and their losses of the task, where nothing is missing."""
    network = _network(model).eval()
    batch = _batch(removed=0)
    given, complete = (network.view(rows, batch.lengths, batch.lengths) for rows in (batch.inputs, batch.complete))
    differences = [float((given.outputs[name] - own).abs().max()) for name, own in complete.outputs.items()]
    losses = [loss_of_targets(view.outputs, batch.targets, network.losses, batch.real) for view in (given, complete)]
    return [max(differences), float(losses[0] - losses[1])]


def slopes_of_reconstruction(model: ModuleType) -> list[float]:
    """Return how many entries of the targets the reconstruction depends on: those removed, and any other."""
    network, batch = _network(model).eval(), _batch(removed=2)
    targets = {name: rows.clone().requires_grad_() for name, rows in batch.complete.items()}
    given = network.view(batch.inputs, batch.complete_lengths, batch.lengths)
    own = Batch(batch.inputs, batch.lengths, batch.present, batch.samples, complete=targets)
    network.error(given, own).backward()
    counts = [0, 0]
    for name, rows in targets.items():
        assert rows.grad is not None
        removed = batch.removed(name)[..., None].expand_as(rows)
        counts[0] += int((rows.grad[removed] != 0).sum())
        counts[1] += int((rows.grad[~removed] != 0).sum())
    return [float(count) for count in counts]


def _batch(removed: int) -> Batch:
    """Return four samples of six steps, of which so many are removed from every feature of every sample."""
    complete = {name: _noise(4, 6, width) for name, width in WIDTHS.items()}
    inputs = {name: rows.clone() for name, rows in complete.items()}
    for rows in inputs.values():
        rows[:, :removed] = 0
    lengths = dict.fromkeys(WIDTHS, torch.full((4,), 6))
    present = dict.fromkeys(WIDTHS, torch.ones(4, dtype=torch.bool))
    targets = {"discrete": torch.tensor([0, 2, 1, 1]), "valence": _noise(4)}
    return Batch(inputs, lengths, present, torch.arange(4), targets=targets, epoch=1, complete=complete)


def _network(model: ModuleType) -> Any:
    shape = Shape(WIDTHS, {"discrete": 3, "valence": None}, [generator("cpu", 0)], generator("cpu", 1))
    return model.Network(_options(model, hidden=8, heads=2), shape)


def _options(model: ModuleType, **options: Any) -> Any:
    return model.Options(**load_baseline("emt-dlfr").options("", options))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))
