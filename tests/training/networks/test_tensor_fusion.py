"""The linear layer over the tensor of encodings, next to torch's own layers over the tensor in memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from merbench.training.networks import tensor_fusion
from merbench.training.networks.tensor_fusion import TensorLinear, tensor_of


def test_the_tensor_is_the_outer_product_of_encodings_after_a_one() -> None:
    encodings = [torch.randn(2, 3, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    tensor = tensor_of(encodings)
    a, v, t = (np.hstack([np.ones((2, 1)), x.numpy()]) for x in encodings)
    expected = np.stack(
        [np.multiply.outer(np.multiply.outer(*pair), t[i]) for i, pair in enumerate(zip(a, v, strict=True))]
    )
    np.testing.assert_allclose(tensor.numpy(), expected.reshape(2, 64), rtol=1e-6)


@pytest.mark.parametrize("n_features", [1, 2, 3, 4])
def test_any_number_of_modalities_has_a_tensor(n_features: int) -> None:
    tensor = tensor_of([torch.ones(5, 2)] * n_features)
    assert tensor.shape == (5, 3**n_features)


def tensor_linear(n_modalities: int, n_out: int, dropout: float) -> TensorLinear:
    torch.manual_seed(0)
    return TensorLinear(n_modalities, 4, n_out, dropout).double()


@pytest.mark.parametrize("part", [1, 60, 1 << 17])  # entries of a batch at once: columns one by one, some, all
@pytest.mark.parametrize("n_modalities", [1, 2, 3])
def test_what_is_computed_in_parts_is_a_linear_layer_over_the_tensor(
    monkeypatch: pytest.MonkeyPatch, n_modalities: int, part: int
) -> None:
    layer = tensor_linear(n_modalities, 3, 0.0)
    monkeypatch.setattr(tensor_fusion, "PART", part)
    encodings = [torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(n_modalities)]
    plain = torch.nn.functional.linear(tensor_of(encodings), layer.weight.T, layer.bias)
    upstream = torch.randn(5, 3, dtype=torch.float64)
    leaves = [*encodings, layer.weight, layer.bias]
    expected = torch.autograd.grad(plain, leaves, upstream)
    for times in (1, 2):  # gradients are added to what is there, as in accumulated batches
        output = layer(encodings)
        output.backward(upstream)
        torch.testing.assert_close(output, plain)
        for leaf, gradient in zip(leaves, expected, strict=True):
            torch.testing.assert_close(leaf.grad, times * gradient)


def test_dropped_entries_have_no_gradient_and_the_others_are_scaled() -> None:
    layer = tensor_linear(3, 125, 0.3)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(125))  # so that the output is what dropout leaves of the tensor
        layer.bias.zero_()
    encodings = [torch.rand(400, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    tensor = tensor_of(encodings)
    output = layer(encodings)
    kept = (output != 0).double()
    torch.testing.assert_close(output, tensor * kept / 0.7, rtol=1e-5, atol=0)  # the rate is a multiple of 2^-16
    assert abs(float(kept.mean()) - 0.7) < 0.01  # 50,000 entries: five standard deviations
    output.sum().backward()
    for encoding, expected in zip(encodings, torch.autograd.grad((tensor * kept).sum() / 0.7, encodings), strict=True):
        torch.testing.assert_close(encoding.grad, expected, rtol=1e-5, atol=0)


def test_weights_that_are_frozen_have_no_gradient_and_encodings_the_same() -> None:
    layer = tensor_linear(2, 3, 0.0)
    encodings = [torch.rand(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    expected = torch.autograd.grad(layer(encodings).sum(), encodings)
    layer.weight.requires_grad_(False)
    layer(encodings).sum().backward()
    assert layer.weight.grad is None
    for encoding, gradient in zip(encodings, expected, strict=True):
        torch.testing.assert_close(encoding.grad, gradient)


def test_with_automatic_types_it_is_nearly_the_same() -> None:
    layer = tensor_linear(2, 3, 0.3).float().eval()
    encodings = [torch.rand(5, 4) for _ in range(2)]
    exact = layer(encodings)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer([x.bfloat16() for x in encodings]).float(), exact, rtol=0.05, atol=0.05)
