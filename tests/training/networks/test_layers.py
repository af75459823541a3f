"""Layers of all folds: their products, dropped entries and gradients."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from merbench.training.networks.layers import Encoder, FoldHidden, FoldLinear, generator
from merbench.training.networks.tensor_fusion import TensorLinear


def test_dropped_entries_are_zero_the_others_scaled_and_gradients_follow() -> None:
    layer = FoldHidden(8, 50_000, [generator("cpu", "a")], dropout=0.3, noise=generator("cpu", "b"))
    x = torch.randn(1, 4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    output = layer(x)
    plain = torch.baddbmm(layer.bias, x, layer.weight).relu()
    positive = plain > 0
    kept = output > 0
    assert not (kept & ~positive).any()
    # 100,000 positive entries: the share dropped has a standard error of 0.0015
    assert (1 - kept.sum() / positive.sum()).item() == pytest.approx(0.3, abs=0.006)
    torch.testing.assert_close(output[kept], plain[kept] / 0.7, rtol=1e-5, atol=0)
    output.sum().backward()
    gradients = x.grad, layer.bias.grad, layer.weight.grad
    wanted = torch.autograd.grad((plain * kept / 0.7).sum(), (x, layer.bias, layer.weight))
    for ours, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)
    layer.eval()
    torch.testing.assert_close(layer(x), plain)


def test_gradients_of_several_passes_add_up() -> None:
    layer = FoldLinear(3, 2, [generator("cpu", fold) for fold in range(5)])
    x = torch.ones(5, 4, 3)
    layer(x).sum().backward()
    once = layer.weight.grad.clone()
    layer(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * once)


def layers_of_weights() -> list[tuple[nn.Module, Callable[[], Tensor]]]:
    """Return layers that write gradients into memory of their own, and what applies each to an input of ones."""
    rngs, noise = [generator("cpu", 0)], generator("cpu", "noise")
    linear, hidden, tensor = (
        FoldLinear(3, 2, rngs),
        FoldHidden(3, 2, rngs, dropout=0, noise=noise),
        TensorLinear(2, 3, 2, 0.0),
    )
    ones = torch.ones(1, 4, 3)
    return [
        (linear, lambda: linear(ones)),
        (hidden, lambda: hidden(ones)),
        (tensor, lambda: tensor([ones[0], ones[0]])),
    ]


@pytest.mark.parametrize(("layer", "applied"), layers_of_weights(), ids=lambda part: type(part).__name__)
def test_gradients_of_weights_are_those_of_autograd(layer: Any, applied: Callable[[], Tensor]) -> None:
    layer.zero_grad(set_to_none=True)
    once = torch.autograd.grad(applied().sum(), layer.weight)[0]
    assert layer.weight.grad is None  # grad of torch stores nothing
    expected = once.clone()
    assert expected.abs().max() > 0
    twice = torch.autograd.grad((applied() + 2 * applied()).sum(), layer.weight)[0]  # used twice in one graph
    torch.testing.assert_close(once, expected)  # a gradient that is in use is not overwritten
    torch.testing.assert_close(twice, 3 * expected)
    places = set()
    for _ in range(3):
        layer.zero_grad(set_to_none=True)
        applied().sum().backward()
        torch.testing.assert_close(layer.weight.grad, expected)
        places.add(layer.weight.grad.data_ptr())
    assert len(places) == 1  # every step has the same memory
    kept = layer.weight.grad
    layer.weight.requires_grad_(False)
    applied().sum().backward()
    assert layer.weight.grad is kept
    torch.testing.assert_close(kept, expected)
    layer.weight.requires_grad_(True)
    assert list(layer.state_dict()) == ["weight", "bias"] and not list(layer.buffers())
    copy.deepcopy(layer)
    pickle.loads(pickle.dumps(layer.memory))


@pytest.mark.parametrize("training", [True, False])
def test_half_precision_gives_nearly_the_same_outputs_and_gradients(training: bool) -> None:
    # CUDA trains in bfloat16 where a schedule asks for it; the same products on a CPU, which has 8 bits of a number
    x = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for half in (False, True):
        rngs = [generator("cpu", fold) for fold in range(2)]
        hidden = FoldHidden(8, 16, rngs, dropout=0.3, noise=generator("cpu", "noise")).train(training)
        last = FoldLinear(16, 3, rngs)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            output = last(hidden(x))
        output.float().square().sum().backward()
        results.append([output.float(), *(part.grad for part in (*hidden.parameters(), *last.parameters()))])
    assert results[1][0].dtype == torch.float32
    for exact, half_exact in zip(*results, strict=True):
        torch.testing.assert_close(half_exact, exact, rtol=0.05, atol=0.05 * exact.abs().max().item())


def test_the_encoder_of_merbench_has_three_layers_and_drops_entries_of_its_input_only() -> None:
    # n_in h + h, then h² + h twice: 1,024 · 64 + 64 + 2 · (64² + 64)
    assert sum(parameter.numel() for parameter in Encoder(1024, 64, 0.5).parameters()) == 73_920
    torch.manual_seed(0)
    encoder, x = Encoder(5, 4, 0.5), torch.randn(3, 5)

    def layered(x: torch.Tensor) -> torch.Tensor:
        for layer in (layer for layer in encoder if isinstance(layer, nn.Linear)):
            x = (x @ layer.weight.mT + layer.bias).clamp_min(0)
        return x

    torch.manual_seed(1)
    trained = encoder(x)
    torch.manual_seed(1)
    torch.testing.assert_close(trained, layered(nn.functional.dropout(x, 0.5)))
    torch.testing.assert_close(encoder.eval()(x), layered(x))
