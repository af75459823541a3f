"""Exact claims of Low-rank Multimodal Fusion."""

from __future__ import annotations

from types import ModuleType

import torch

from merbench.training import load_baseline
from merbench.training.networks.layers import generator


@torch.no_grad()
def by_hand(model: ModuleType) -> float:
    """Return the output for encodings 2, 3 and 0.5 with factors, weights and bias of which it is known by hand."""
    fusion = model.LowRankFusion(3, 1, 1, 2, [generator("cpu", 0)]).double()
    # [1, z] W of two ranks: (1 + 2 · .5, 2), (.5 + 3 · .5, 1), (.5 · 2, 1 + .5); their products are 4 and 3
    factors = ([1, 0], [0.5, 1]), ([0.5, 1], [0.5, 0]), ([0, 1], [2, 1])
    for layer, (bias, weight) in zip(fusion.factors, factors, strict=True):
        layer.bias.copy_(torch.tensor([[bias]]))
        layer.weight.copy_(torch.tensor([[weight]]))
    fusion.weights.copy_(torch.tensor([1, -1]).view(1, 1, 2, 1))
    fusion.bias.fill_(0.1)
    encodings = [torch.tensor([[[z]]], dtype=torch.float64) for z in (2, 3, 0.5)]
    return float(fusion(encodings))


@torch.no_grad()
def difference_to_tensor_fusion(model: ModuleType) -> float:
    """Return the largest difference to TFN's layer with the sum of the factors' outer products as its weights.

    All numbers are integers, so nothing is rounded.
    """
    n_in, n_out, rank, rng = 3, 2, 4, torch.Generator().manual_seed(0)
    fusion = model.LowRankFusion(3, n_in, n_out, rank, [rng]).double()
    for parameter in fusion.parameters():
        parameter.copy_(torch.randint(-5, 6, parameter.shape, generator=rng))
    encodings = [torch.randint(-5, 6, (6, n_in), generator=rng).double() for _ in range(3)]
    # by modality, the factors of [1, z]: place, rank, output
    factors = [torch.cat([layer.bias[0], layer.weight[0]]).unflatten(1, (rank, n_out)) for layer in fusion.factors]
    weight = torch.einsum("r,iro,jro,kro->ijko", fusion.weights.flatten(), *factors).flatten(0, 2)
    tensor_fusion = load_baseline("tfn").module.TensorLinear(3, n_in, n_out, 0.0).double()
    tensor_fusion.weight.copy_(weight)
    tensor_fusion.bias.copy_(fusion.bias.flatten())
    return float((fusion([z[None] for z in encodings]) - tensor_fusion(encodings)).abs().max())
