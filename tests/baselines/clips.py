"""Networks of clips, and batches of pictures and sound for them, without a corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import TypeAdapter

from merbench.training import load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape

SIZE = 64
"""Side of the pictures."""


class Returning(torch.nn.Module):
    """A module in the place of another one, which returns what a function does."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Any, **named: Any) -> Any:
        """Return it."""
        return self.function(*given, **named)


def options_of(name: str, **given: Any) -> Any:
    """Return the options of a baseline: its defaults, with others in their place."""
    loaded = load_baseline(name)
    return TypeAdapter(loaded.module.Options).validate_python(loaded.options("", given))


def shape_of(labels: Mapping[str, int | None], widths: Mapping[str, int] | None = None) -> Shape:
    """Return what a network is made for; one feature of pictures by default, named `crops`."""
    return Shape(widths or {"crops": 3 * SIZE**2}, labels, [generator("cpu", 0)], generator("cpu", "noise"))


def clip_batch(*names: str, bands: int = 128, n: int = 3) -> Batch:
    """Return a batch of clips: pictures of the first feature, rows of sound of the second, if there is one."""
    rng = torch.Generator().manual_seed(0)
    pictures = torch.randint(256, (n, 20, 3 * SIZE**2), generator=rng).float()
    inputs = dict(zip(names, (pictures, torch.randn(n, 320, bands, generator=rng) - 5), strict=False))
    lengths = {name: torch.full((n,), rows.shape[1]) for name, rows in inputs.items()}
    return Batch(inputs, lengths, {name: torch.ones(n, dtype=torch.bool) for name in inputs}, torch.arange(n))
