"""Exact claims of ITEACH-Net: how the parameters divide, the encoder of changing emotion, and distillation."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape


def parameters_of_both(model: ModuleType) -> list[int]:
    """Return how many parameters teacher and student have, with features of 512, 1,024 and 1,024 numbers."""
    network = _network(model, {"audio": 512, "text": 1024, "video": 1024})
    counts = [sum(p.numel() for p in part.parameters()) for part in (network.teacher, network.student, network.routers)]
    return [counts[0], counts[1] + counts[2]]


def changes(model: ModuleType) -> list[float]:
    """Return what is added for utterances 1, 3 and 5 whose kernel is the tap in the middle, and for distant ones."""
    context = model.Context(_options(model, hidden=1, heads=1)).eval()
    with torch.no_grad():
        context.taps.fill_(-1e9)[model.TAPS // 2] = 0
        context.linear.weight.fill_(1)
        context.linear.bias.fill_(0)
        small = context(torch.tensor([[[1.0], [3.0], [5.0]]]), torch.ones(1, 3, dtype=torch.bool))
        context.linear.bias.fill_(2)
        far = context(torch.ones(1, 40, 1), torch.ones(1, 40, dtype=torch.bool))
    return [*small.flatten().tolist(), float(far[0, 4, 34]), float(far[0, 4, 35])]


def distillation(model: ModuleType) -> list[float]:
    """Return the loss of distillation of complete dialogues, and whether that of incomplete ones is above 0."""
    network = _network(model, {"audio": 3, "text": 4}, hidden=8, heads=2)
    rows = {"audio": _noise(2, 5, 3), "text": _noise(2, 5, 4)}
    samples, targets = torch.arange(10).view(2, 5), {"emotion": torch.zeros(2, 5, dtype=torch.int64)}
    present = {name: torch.ones(2, 5, dtype=torch.bool) for name in rows}
    batch = Batch(rows, {}, present, samples, samples, targets, 1, rows)
    lacking = {**rows, "text": rows["text"].clone().index_fill_(1, torch.tensor([2]), 0)}
    with torch.no_grad():
        losses = [network(replace(batch, inputs=inputs))[1]["distillation"] for inputs in (rows, lacking)]
    return [float(losses[0]), float(losses[1] > 0)]


def _network(model: ModuleType, widths: dict[str, int], **options: Any) -> Any:
    shape = Shape(widths, {"emotion": 4}, [], generator("cpu", 0), {name: name for name in widths})
    return model.Network(_options(model, **options), shape).eval()


def _options(model: ModuleType, **options: Any) -> Any:
    paper = {"hidden": 128, "heads": 8, "layers": 4, "teacher_layers": 3, "longest": 110}
    return model.Options(**load_baseline("iteach-net").options("", {**paper, "groups": (), **options}))


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
