"""Layers with the parameters of all folds in one tensor, and the generators of their initial values and dropout.

The folds share no parameter: a fold's gradient is the one it would have by itself, with the same entries dropped. These
are drawn for all folds from one generator.

Conventions:
    F folds, B rows of a batch. Layers map `(F, B, n_in)` to `(F, B, n_out)`. Every parameter has a leading dimension F.
"""

from __future__ import annotations

import hashlib
import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from merbench.errors import UsageError
from merbench.parameters import Described, Within
from merbench.training.networks.batches import Batch

Slot = TypeVar("Slot")

Width = Annotated[int, Within(1, 65_536)]
"""The width of a layer, as an option of a baseline."""

Widths = Annotated[
    tuple[Width, ...], Field(min_length=1), Described("a list of widths, one or more, each an integer in [1, 65536]")
]
"""The widths of layers that follow each other, as an option of a baseline."""

Dropout = Annotated[float, Within(0, 0.99)]
"""The share of units that is dropped in training, as an option of a baseline."""


def generator(device: torch.device | str, *key: int | str) -> torch.Generator:
    """Return a generator whose stream depends only on the key."""
    return torch.Generator(device=device).manual_seed(seed_of(*key))


def seed_of(*key: int | str) -> int:
    """Return a number below 2^63 that depends only on the key."""
    text = "|".join(str(part) for part in key)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


class GradientMemory:
    """Memory for the gradient of a weight on a CPU, taken again at the next step.

    A fresh gradient of several megabytes at every step costs more in page faults than the product that fills it. As
    long as a gradient is in use, as where those of several batches are added, the next one has other memory.
    """

    def __init__(self) -> None:
        self._buffer: Tensor | None = None
        self._in_use: Callable[[], object | None] = lambda: None

    def like(self, weight: Tensor) -> Tensor:
        """Return a tensor of the weight's shape and type, with arbitrary values."""
        if weight.device.type != "cpu" or weight.dtype not in (torch.float32, torch.float64):
            return torch.empty_like(weight)  # the allocator of a device takes the same memory again by itself
        buffer = self._buffer
        if buffer is None or self._in_use() is not None or (buffer.shape, buffer.dtype) != (weight.shape, weight.dtype):
            self._buffer = buffer = torch.empty_like(weight)
        array = buffer.numpy()
        self._in_use = weakref.ref(array)  # the tensor that is returned keeps the array, not the reference to it
        return torch.from_numpy(array)

    def __reduce__(self) -> tuple[type[GradientMemory], tuple[()]]:
        return type(self), ()


class _Affine(torch.autograd.Function):
    """`x @ weight + bias` per fold; the gradient of `weight` is written into memory that is kept between steps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, memory: GradientMemory) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.memory = memory
        return torch.baddbmm(bias, x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return *_affine_gradients(ctx, x, weight, gradient), None


class _Hidden(torch.autograd.Function):
    """`_Affine`, then ReLU, then dropout, in one node of the graph: its output shows where gradients pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, memory: GradientMemory, kept: Tensor | None, scale: float
    ) -> Tensor:
        output = torch.baddbmm(bias, x, weight).clamp_min_(0)
        if kept is not None:
            output.mul_(kept).mul_(scale)
        ctx.save_for_backward(x, weight, output)
        ctx.memory, ctx.scale = memory, scale
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, output = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradient, output, 0)
        if ctx.scale != 1:
            gradient.mul_(ctx.scale)
        return *_affine_gradients(ctx, x, weight, gradient), None, None, None


def _affine_gradients(ctx: Any, x: Tensor, weight: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of (x, weight, bias), None where one is not needed."""
    needs_x, needs_weight, needs_bias, *_ = ctx.needs_input_grad
    along_x = torch.bmm(gradient, weight.mT) if needs_x else None
    along_weight = torch.bmm(x.mT, gradient, out=ctx.memory.like(weight)) if needs_weight else None
    return along_x, along_weight, gradient.sum(1, keepdim=True) if needs_bias else None


_affine: Callable[..., Tensor] = _Affine.apply
_hidden: Callable[..., Tensor] = _Hidden.apply


class FoldLinear(nn.Module):
    """One linear layer per fold: `(F, B, n_in)` to `(F, B, n_out)`.

    Initial values are those of `torch.nn.Linear`: uniform in ±1/√n_in, weights and biases.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        rngs: one generator per fold, on the CPU, for the initial values.
    """

    def __init__(self, n_in: int, n_out: int, rngs: Sequence[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        weights = [torch.empty(n_in, n_out).uniform_(-bound, bound, generator=rng) for rng in rngs]
        biases = [torch.empty(1, n_out).uniform_(-bound, bound, generator=rng) for rng in rngs]
        self.weight = nn.Parameter(torch.stack(weights))
        self.bias = nn.Parameter(torch.stack(biases))
        self.memory = GradientMemory()

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's outputs."""
        if torch.is_autocast_enabled(x.device.type):  # half precision: autograd keeps track of the types
            return torch.baddbmm(self.bias, x, self.weight)
        return _affine(x, self.weight, self.bias, self.memory)


def random_words(n: int, device: torch.device, noise: torch.Generator | None = None) -> Tensor:
    """Return n words of sixteen random bits, of a generator or of torch's own one."""
    bits = torch.empty(-(-n // 4), dtype=torch.int64, device=device)
    return bits.random_(-(2**63), None, generator=noise).view(torch.int16)[:n]


def kept_entries(words: Tensor, dropped: int, out: Tensor) -> Tensor:
    """Write a 1 for every entry that is kept, and a 0 for every other: for `dropped` of the 65,536 words there are."""
    # Ones and zeros written as floats: comparing into booleans first takes six times as long on a CPU.
    return torch.ge(words, dropped - 32768, out=out)


class FoldDropout(nn.Module):
    """Dropout from an explicit generator: `(F, B, n)` to the same shape.

    Sixteen random bits decide one entry, which is several times faster than `bernoulli_`; the rate is the nearest
    multiple of 2^-16.

    Args:
        dropout: share of the entries that are dropped in training.
        noise: generator of the dropped entries, on the device of training; None: torch's own, for ordinary networks.
    """

    def __init__(self, dropout: float, noise: torch.Generator | None) -> None:
        super().__init__()
        self.threshold = round(dropout * 65536)
        self.scale = 65536 / (65536 - self.threshold)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        """Return what is kept, scaled."""
        kept = self.kept(x, x.shape)
        return x if kept is None else kept.mul_(self.scale).mul_(x)

    def kept(self, x: Tensor, shape: Sequence[int]) -> Tensor | None:
        """Return a 1 for every entry that is kept, and a 0 for every other; None where all are."""
        if not self.training or not self.threshold:
            return None
        words = random_words(math.prod(shape), x.device, self.noise).view(shape)
        return kept_entries(words, self.threshold, x.new_empty(shape))


class FoldHidden(FoldLinear):
    """A linear layer per fold, ReLU, and dropout, in one node of the graph.

    Args:
        n_in: width of the input.
        n_out: width of the output.
        rngs: as in `FoldLinear`.
        dropout: share of the entries that are dropped in training.
        noise: generator of the dropped entries, on the device of training.
    """

    def __init__(
        self, n_in: int, n_out: int, rngs: Sequence[torch.Generator], *, dropout: float, noise: torch.Generator
    ) -> None:
        super().__init__(n_in, n_out, rngs)
        self.dropout = FoldDropout(dropout, noise)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's activations."""
        if not self.training:
            return torch.baddbmm(self.bias, x, self.weight).relu_()
        kept = self.dropout.kept(x, (*x.shape[:-1], self.bias.shape[-1]))
        scale = 1.0 if kept is None else self.dropout.scale
        if torch.is_autocast_enabled(x.device.type):
            hidden = torch.baddbmm(self.bias, x, self.weight).relu()
            return hidden if kept is None else hidden * kept * scale
        return _hidden(x, self.weight, self.bias, self.memory, kept, scale)


class FoldEncoder(nn.Sequential):
    """The same as `Encoder`, of fold layers: `(F, B, n_in)` to `(F, B, h)`.

    Args:
        n_in: width of the input.
        n_hidden: width h of every layer.
        dropout: share of the input that is dropped in training.
        rngs: as in `FoldLinear`.
        noise: generator of the dropped entries, on the device of training.
    """

    def __init__(
        self, n_in: int, n_hidden: int, dropout: float, rngs: Sequence[torch.Generator], noise: torch.Generator
    ) -> None:
        layers = [FoldHidden(width, n_hidden, rngs, dropout=0, noise=noise) for width in (n_in, n_hidden, n_hidden)]
        super().__init__(FoldDropout(dropout, noise), *layers)


class Encoder(nn.Sequential):
    """The encoder of vectors in MERBench (arXiv:2401.03429): dropout of the input, then three linear layers with ReLU.

    Its `n_in h + h + 2 (h² + h)` parameters are torch's own layers: `(B, n_in)` to `(B, h)`.

    Args:
        n_in: width of the input.
        n_hidden: width h of every layer.
        dropout: share of the input that is dropped in training.
    """

    def __init__(self, n_in: int, n_hidden: int, dropout: float) -> None:
        widths = (n_in, n_hidden, n_hidden, n_hidden)
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        super().__init__(nn.Dropout(dropout), *layers)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation (Ioffe and Szegedy 2015), `(B, h)`, that a batch of one row passes by the running moments."""

    def forward(self, x: Tensor) -> Tensor:
        """Return normalised values."""
        if self.training and len(x) > 1:
            return super().forward(x)
        moments = self.running_mean, self.running_var
        return nn.functional.batch_norm(x, *moments, self.weight, self.bias, training=False, eps=self.eps)


def slots(features: list[Slot]) -> list[Slot]:
    """Return what every slot of attention is for; a single feature fills three, as in MER's unimodal runs."""
    return features * 3 if len(features) == 1 else features


class Heads(nn.Module):
    """One linear layer per target: `(…, n_in)` to `(…, K)` scores of labels, or `(…)` numbers.

    Args:
        n_in: width of the input.
        labels: number of labels by target; None for a number.
        linear: makes a layer of a width of input and output.
    """

    def __init__(
        self, n_in: int, labels: Mapping[str, int | None], linear: Callable[[int, int], nn.Module] = nn.Linear
    ) -> None:
        super().__init__()
        self.labels = dict(labels)
        self.layers = nn.ModuleList(linear(n_in, n_labels or 1) for n_labels in self.labels.values())

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs for every target."""
        outputs = zip(self.labels.items(), [layer(x) for layer in self.layers], strict=True)
        return {name: output if n_labels else output.squeeze(-1) for (name, n_labels), output in outputs}


def read_by_heads(network: Any, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Return the outputs of a network for a batch, its own losses, and the vectors that its `heads` read."""
    read: list[Tensor] = []
    handle = network.heads.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        returned = network(batch)
    finally:
        handle.remove()
    outputs, own = returned if isinstance(returned, tuple) else (returned, {})
    return outputs, own, read[0]


def heads_width(network: Any, why: str) -> int:
    """Return how many numbers the `heads` of a network read.

    Args:
        network: of a base.
        why: what these are needed for.

    Raises:
        UsageError: it has no vector that heads read.
    """
    heads = getattr(network, "heads", None)
    if not isinstance(heads, Heads):
        raise UsageError(f"the base has no vector that its heads read, {why}")
    layer: Any = heads.layers[0]
    return int(layer.weight.shape[1])  # of layers of both kinds
