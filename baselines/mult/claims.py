"""Exact claims of MulT."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from merbench.training import load_baseline
from merbench.training.networks.attention import Attention, Layer, Steps, Style


def layer_parameters(_: ModuleType) -> list[int]:
    """Return how many parameters layers of width 50, 100 and 128 have."""
    layers = (Layer(width, Style(2)) for width in (50, 100, 128))
    return [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers]


def attention_products(model: ModuleType) -> list[float]:
    """Return the multiply-accumulates of attention with 50 steps of three features, and how often as many 100 have.

    They are the products of a batch: all others have a matrix of parameters.
    """
    options = _options(model, hidden=128, heads=8, layers=4)
    targets = [model.Target(2, options).eval() for _ in range(3)]
    counts = []
    for n_steps in (50, 100):
        steps = Steps(torch.zeros(1, n_steps, 128), torch.tensor([n_steps]))
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            for target in targets:
                target(steps, [steps, steps])
        counts.append(counter.get_flop_counts()["Global"][torch.ops.aten.bmm] / 2)
    return [counts[0], counts[1] / counts[0]]


def seen(model: ModuleType) -> list[int]:
    """Return how many steps of the source every step of the target depends on, of three samples of one padded batch."""
    attention = Attention(4, _options(model).style).double().eval()
    n_target, n_source = [3, 5, 4], [5, 3, 4]
    target, source = (Steps(_noise(3, 5, 4), torch.tensor(lengths)) for lengths in (n_target, n_source))
    slopes = torch.autograd.functional.jacobian(
        lambda values: attention(target, Steps(values, source.lengths)), source.values
    )
    depends = slopes.ne(0).any(-1).any(2)  # sample and step of the target, sample and step of the source
    return [int(depends[n, step].sum()) for n, length in enumerate(n_target) for step in range(length)]


@torch.no_grad()
def difference_to_torch(_: ModuleType) -> float:
    """Return the largest difference of a layer without a mask to torch's own with the same parameters."""
    layer = Layer(8, Style(2)).double().eval()
    for parameter in layer.parameters():
        parameter.copy_(_noise(*parameter.shape))
    peer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, norm_first=True).double().eval()
    attention, units = layer.attention, layer.units
    own: list[tuple[Any, Any]] = [
        (peer.norm1, layer.before_attention),
        (peer.self_attn.out_proj, attention.output),
        (peer.norm2, units[0]),
        (peer.linear1, units[1]),
        (peer.linear2, units[4]),
    ]
    for to, of in own:
        to.load_state_dict(of.state_dict())
    peer.self_attn.in_proj_weight.copy_(attention.inputs.weight)
    peer.self_attn.in_proj_bias.copy_(attention.inputs.bias)
    steps = Steps(_noise(3, 6, 8), torch.tensor([6, 2, 4]))
    padding = torch.arange(6) >= steps.lengths[:, None]
    difference = layer(steps, None).values - peer(steps.values, src_key_padding_mask=padding)
    return float(difference[~padding].abs().max())


def _options(model: ModuleType, **options: Any) -> Any:
    return model.Options(**load_baseline("mult").options("", options))


def _noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
