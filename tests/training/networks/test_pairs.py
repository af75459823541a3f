"""The contrast of pairs is the direct formula, with and without pairs that are alike, whatever the blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from merbench.training.networks import pairs
from merbench.training.networks.pairs import alike, pair_loss

BLOCKS = pytest.mark.parametrize("values", [1, 130, 1 << 19])  # rows of 40 pairs that are computed at once: 1, 3, all


def embeddings(n: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    first, second = (normalize(torch.randn(n, 6, generator=rng, dtype=dtype), dim=1) for _ in range(2))
    return first.requires_grad_(), second.requires_grad_(), torch.tensor(14.3, dtype=dtype, requires_grad=True)


def direct(first: Tensor, second: Tensor, scale: Tensor, right: Tensor | None = None) -> Tensor:
    """The loss of CLIP's paper, figure 3; with the shares of several right ones as targets."""
    logits = scale * first @ second.T
    if right is None:
        labels = torch.arange(len(first))
        return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2
    shares = [part / part.sum(1, keepdim=True) for part in (right.to(logits), right.T.to(logits))]
    return (cross_entropy(logits, shares[0]) + cross_entropy(logits.T, shares[1])) / 2


@BLOCKS
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_without_pairs_that_are_alike_it_is_the_loss_of_clip(
    monkeypatch: pytest.MonkeyPatch, values: int, dtype: torch.dtype, tolerance: float
) -> None:
    monkeypatch.setattr(pairs, "VALUES_AT_ONCE", values)
    given = embeddings(40, dtype)
    own, wanted = pair_loss(*given), direct(*given)
    assert float(own.detach()) == pytest.approx(float(wanted.detach()), rel=tolerance)
    for a, b in zip(torch.autograd.grad(own, given), torch.autograd.grad(wanted, given), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@BLOCKS
@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9])
def test_pairs_that_are_alike_share_the_target(monkeypatch: pytest.MonkeyPatch, values: int, quantile: float) -> None:
    monkeypatch.setattr(pairs, "VALUES_AT_ONCE", values)
    given = embeddings(40)
    off = ~np.eye(40, dtype=bool)
    both = np.ones((40, 40), dtype=bool)
    for part in given[:2]:
        cosines = np.rint((part @ part.T).detach().numpy() * 100_000)
        both &= cosines > np.quantile(cosines[off], quantile, method="inverted_cdf")
    right = torch.from_numpy(both | ~off)
    assert right.sum() > 40
    assert torch.equal(alike(*given[:2], quantile), right)
    own, wanted = pair_loss(*given, quantile), direct(*given, right)
    assert float(own.detach()) == pytest.approx(float(wanted.detach()), rel=1e-13)
    for a, b in zip(torch.autograd.grad(own, given), torch.autograd.grad(wanted, given), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("n", "temperature"), [(4, 1.0), (7, 0.07)])
def test_of_orthonormal_pairs_it_has_a_closed_form(n: int, temperature: float) -> None:
    # every row has 1 / T once and 0 elsewhere; for 4 pairs and T 1: log(1 + 3 / e) = .743668
    x = torch.eye(n, dtype=torch.float64)
    wanted = math.log(1 + (n - 1) * math.exp(-1 / temperature))
    assert float(pair_loss(x, x, torch.tensor(1 / temperature, dtype=torch.float64))) == pytest.approx(wanted)


def test_both_sides_have_to_be_alike() -> None:
    # captions 0, 1 and 2 are equal, pictures 1, 2 and 3; of six pairs, three have a cosine of 1 on each side
    e = torch.eye(3, dtype=torch.float64)
    captions, pictures = e[[0, 0, 0, 1]], e[[1, 2, 2, 2]]
    right = alike(pictures, captions, 0.4)
    assert right.int().tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
    # similarities are 1 of pair 0 with caption 3, and 0 of all others but of pictures 1, 2, 3 with no caption
    scores = pictures @ captions.T
    assert scores.nonzero().tolist() == [[0, 3]]
    # rows 1 to 3: log 4 each; row 0: log(3 + e); columns 0 to 2: log 4; column 3: log(3 + e); all right ones score 0
    wanted = (3 * math.log(4) + math.log(3 + math.e)) / 4
    assert float(pair_loss(pictures, captions, torch.tensor(1.0, dtype=torch.float64), 0.4)) == pytest.approx(wanted)


def test_cosines_that_equal_the_quantile_do_not_exceed_it() -> None:
    x = normalize(torch.tensor([[1.0, 1e-8], [1.0, 0.0], [1.0, -1e-8], [0.0, 1.0]]), dim=1)
    # the cosines of three of six pairs are 1: from a share of one half on, that is the quantile
    assert torch.equal(alike(x, x, 0.51), torch.eye(4, dtype=torch.bool))
    assert alike(x, x, 0.5).sum() == 4 + 6


@pytest.mark.parametrize("quantile", [1.0, 0.5])
def test_of_one_pair_and_of_none_it_is_0(quantile: float) -> None:
    for n in (0, 1):
        first, second, scale = embeddings(n)
        loss = pair_loss(first, second, scale, quantile)
        loss.backward()  # type: ignore[no-untyped-call]
        assert float(loss.detach()) == 0
        assert first.grad is not None and not first.grad.any()
