"""What a network costs: its parameters, and the multiply-accumulates of one sample.

Conventions:
    The network is that of one fold, on the CPU. widths: numbers of a vector or a row, by feature. labels: number of
    labels by target; None for a number.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from merbench.corpus.declaration import MODALITIES
from merbench.training.networks.batches import Batch
from merbench.training.networks.layers import generator
from merbench.training.networks.network import NetworkBaseline, Shape


@dataclass(frozen=True)
class Size:
    """What a network is made for, and the sample that it is given: `rows` of a sequence by feature, 1 by default."""

    widths: Mapping[str, int]
    labels: Mapping[str, int | None]
    rows: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def repeatable() -> Iterator[None]:
    """Run a block with torch's generator seeded."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        yield


def one_network(baseline: NetworkBaseline, size: Size) -> nn.Module:
    """Return the network of one fold; a feature with the name of a modality is of it."""
    modalities: dict[str, str] = {name: name for name in size.widths if name in MODALITIES}
    rngs, noise = [generator("cpu", 0, "initial", 0)], generator("cpu", 0, "dropout")
    return baseline.make(Shape(size.widths, size.labels, rngs, noise, modalities))


def n_parameters(network: nn.Module) -> int:
    """Return how many numbers the parameters of a network have, including those that are not trained."""
    return sum(parameter.numel() for parameter in network.parameters())


def n_products(baseline: NetworkBaseline, network: nn.Module, size: Size) -> int:
    """Return the multiply-accumulates of the matrix products and convolutions of one sample, forward, without dropout.

    Fused layers, which torch would not count, are switched off; they compute the same.
    """
    network.eval()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # torch looks at settings of devices that are not here
            torch.backends.mkldnn.flags(enabled=False),
        ):
            return products(network, one_sample(baseline, size))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def products(function: Callable[..., Any], *inputs: Any) -> int:
    """Return the multiply-accumulates of the matrix products and convolutions of a function, on the meta device, too.

    torch counts two for each.
    """
    aten = torch.ops.aten  # torch does not count products that are added to a tensor in place
    in_place = {aten.addmm_: _added, aten.baddbmm_: _added}
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False, custom_mapping=in_place) as counter,
    ):
        function(*inputs)
    return int(counter.get_total_flops()) // 2


def _added(added_to: Sequence[int], a: Sequence[int], b: Sequence[int], **_: object) -> int:
    """Return the operations of a matrix product, or of several, of these shapes."""
    return 2 * math.prod(a) * b[-1]


def one_sample(baseline: NetworkBaseline, size: Size) -> Batch:
    """Return a batch of one sample, of zeros."""
    lead = (1, 1) if baseline.together else (1,)
    rows = {name: size.rows.get(name, 1) for name in size.widths}
    inner = {name: () if baseline.kind == "vectors" else (n,) for name, n in rows.items()}
    inputs = {name: torch.zeros(*lead, *inner[name], width) for name, width in size.widths.items()}
    lengths = {name: torch.full(lead, n) for name, n in rows.items()} if baseline.kind == "sequences" else {}
    is_dialogue = baseline.kind == "dialogues"
    samples = torch.zeros(*lead, *((max(rows.values()),) if is_dialogue else ()), dtype=torch.int64)
    present = {name: torch.ones(samples.shape, dtype=torch.bool) for name in size.widths}
    return Batch(inputs, lengths, present, samples, samples if is_dialogue else None)
