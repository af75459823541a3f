"""Networks of clips, and batches of pictures and sound for them, without a corpus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

from merbench.training import Setup, load_baseline
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import Shape
from merbench.training.networks.pretrained import encoder_weights, read_weights

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


Shapes = dict[str, tuple[int, ...]]


def layer(name: str, n_out: int, *n_in: int) -> Shapes:
    """Return names and shapes of a layer of the released code: of a normalisation without `n_in`."""
    return {f"{name}.weight": (n_out, *n_in), f"{name}.bias": (n_out,)}


def patch_embedding(d: int, prefix: str = "", kernel: tuple[int, ...] = (3, 2, 16, 16)) -> Shapes:
    """Return those of the convolution that makes tokens."""
    return layer(f"{prefix}patch_embed.proj", d, *kernel)


def attention(name: str, d: int, **inputs: int) -> Shapes:
    """Return those of an attention with layers of queries, keys and values, by how many of these each makes."""
    packed = {f"{name}.{part}.weight": (n * d, d) for part, n in inputs.items()}
    return packed | {f"{name}.q_bias": (d,), f"{name}.v_bias": (d,)} | layer(f"{name}.proj", d, d)


def block(name: str, d: int) -> Shapes:
    """Return those of a block of a transformer."""
    units = layer(f"{name}mlp.fc1", 4 * d, d) | layer(f"{name}mlp.fc2", d, 4 * d)
    return layer(f"{name}norm1", d) | attention(f"{name}attn", d, qkv=3) | layer(f"{name}norm2", d) | units


def cross_block(name: str, d: int) -> Shapes:
    """Return those of a block that attends to a context first."""
    norms = layer(f"{name}cross_norm1", d) | layer(f"{name}cross_norm2", d)
    return block(name, d) | norms | attention(f"{name}cross_attn", d, q=1, kv=2)


def stored(path: Path, shapes: Shapes) -> dict[str, torch.Tensor]:
    """Write random arrays of these shapes as the released code does, and return them."""
    rng = torch.Generator().manual_seed(0)
    arrays = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    torch.save({"model": arrays, "epoch": 49}, path)
    return arrays


def loaded_weights(name: str, path: Path, encoder: torch.nn.Module, **given: Any) -> dict[str, torch.Tensor]:
    """Return the weights of an encoder from a released file, as training loads them."""
    built = load_baseline(name).module.build(options_of(name, **given), Setup(device_name="cpu"))
    arrays, is_own = read_weights(path)
    assert not is_own
    weights = encoder_weights(encoder.state_dict(), arrays, str(path), built.released.fitting(arrays))
    encoder.load_state_dict(weights)
    return weights
