"""Attention of steps to steps: torch's own layer, who sees whom, pieces, and features that are lacking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import merbench.training.networks.attention as attention
from merbench.training.networks.attention import Attention, Layer, Stack, Steps, Style, sinusoids


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
def test_without_a_mask_a_layer_is_torchs_own() -> None:
    layer = Layer(8, Style(heads=2)).double().eval()
    for parameter in layer.parameters():
        parameter.copy_(noise(*parameter.shape))
    peer = nn.TransformerEncoderLayer(8, 2, 32, batch_first=True, norm_first=True).double().eval()
    own = [
        (peer.norm1, layer.before_attention),
        (peer.self_attn.out_proj, layer.attention.output),
        (peer.norm2, layer.units[0]),
        (peer.linear1, layer.units[1]),
        (peer.linear2, layer.units[4]),
    ]
    for to, of in own:
        to.load_state_dict(of.state_dict())
    peer.self_attn.in_proj_weight.copy_(layer.attention.inputs.weight)
    peer.self_attn.in_proj_bias.copy_(layer.attention.inputs.bias)
    steps = Steps(noise(3, 6, 8), torch.tensor([6, 2, 4]))
    padding = torch.arange(6) >= steps.lengths[:, None]
    wanted = peer(steps.values, src_key_padding_mask=padding)
    np.testing.assert_allclose(layer(steps, None).values[~padding], wanted[~padding], atol=1e-12)


def test_a_causal_step_sees_steps_up_to_its_place_and_the_difference_of_lengths() -> None:
    layer = Attention(4, Style(heads=2, causal=True)).double().eval()
    lengths = torch.tensor([3, 5, 4]), torch.tensor([5, 3, 4])
    values, target = noise(3, 5, 4), Steps(noise(3, 5, 4), lengths[0])
    slopes = torch.autograd.functional.jacobian(lambda own: layer(target, Steps(own, lengths[1])), values)
    depends = slopes.ne(0).any(-1).any(2)
    seen = [int(depends[n, step].sum()) for n in range(3) for step in range(int(lengths[0][n]))]
    # of 5 steps, 3 see 3, 4 and 5; of 3 steps, 5 see 3 at most; of 4 steps, 4 see 1, 2, 3, 4
    assert seen == [3, 4, 5, 3, 3, 3, 3, 3, 1, 2, 3, 4]


@pytest.mark.parametrize("causal", [True, False])
def test_pieces_and_padding_change_nothing(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    stack = Stack(4, 2, Style(heads=2, causal=causal, positions=True)).double()
    target, source = Steps(noise(3, 6, 4), torch.tensor([6, 2, 1])), Steps(noise(3, 5, 4), torch.tensor([5, 0, 2]))
    wanted = stack(target, source)
    monkeypatch.setattr(attention, "SCORES_AT_ONCE", 40)
    np.testing.assert_allclose(stack(target, source).detach(), wanted.detach(), atol=1e-12)
    other = Steps(source.values + 9 * (torch.arange(5) >= source.lengths[:, None])[..., None], source.lengths)
    np.testing.assert_allclose(stack(target, other).detach(), wanted.detach(), atol=1e-12)
    stack(target, source).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in stack.parameters())


def test_nothing_comes_from_a_source_without_steps() -> None:
    layer = Attention(4, Style(heads=2)).double()
    nn.init.ones_(layer.output.bias)
    taken = layer(Steps(noise(2, 3, 4), torch.tensor([3, 3])), Steps(noise(2, 3, 4), torch.tensor([3, 0])))
    assert taken[0].ne(0).all() and not taken[1].any()


def test_positions_are_sines_and_cosines_from_the_first() -> None:
    # of i and of i / 10000^(2 / 4) = i / 100
    angles = np.array([[0, 0, 0, 0], [1, 1, 0.01, 0.01]])
    wanted = np.where([1, 0, 1, 0], np.sin(angles), np.cos(angles))
    np.testing.assert_allclose(sinusoids(2, 4, first=0), wanted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(sinusoids(2, 4, first=1)[0], wanted[1], rtol=1e-6)
