"""What is hidden and what is reconstructed, by counts and by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from merbench.errors import UsageError
from merbench.training.networks.masked import Decoder, targets, tube_mask, window_mask
from merbench.training.networks.video import Grid
from tests.training.networks.test_video import noise, options_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("grid", "share", "hidden"),
    [(Grid(8, 10, 10), 0.9, 90), (Grid(8, 10, 10), 0.75, 75), (Grid(4, 3, 5), 0.9, 13)],  # int(.9 · 15)
)
def test_tubes_hide_the_same_places_at_all_times(grid: Grid, share: float, hidden: int) -> None:
    torch.manual_seed(0)
    mask = tube_mask(20, grid, share, CPU).view(20, grid.times, -1)
    assert bool((mask == mask[:, :1]).all())
    assert (mask.sum(-1) == hidden).all()
    assert len({tuple(row.tolist()) for row in mask[:, 0]}) > 10  # other places of most clips


def test_windows_hide_as_many_places_each() -> None:
    torch.manual_seed(0)
    mask = window_mask(50, Grid(8, 10, 10), 0.9, CPU, (5, 10)).view(50, 8, 10, 10)
    assert (mask[:, :, :5].sum((2, 3)) == 45).all() and (mask[:, :, 5:].sum((2, 3)) == 45).all()
    assert (~mask).sum((1, 2, 3)).unique().tolist() == [80]
    quarters = window_mask(50, Grid(2, 4, 6), 0.5, CPU, (2, 3)).view(50, 2, 4, 6)
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 3), slice(3, 6)):
            assert (quarters[:, :, rows, columns].sum((2, 3)) == 3).all()
    shown = (~quarters).float().mean((0, 1))
    assert float(shown.min()) > 0.3 and float(shown.max()) < 0.7  # every place is hidden as often


@pytest.mark.parametrize(
    ("share", "window", "message"),
    [
        (0.9, (3, 4), r"windows of \(3, 4\) tokens do not divide a picture of \(4, 4\)"),
        (0.01, (4, 4), "masked: 0.01 hides 0 of the 16 tokens of a window"),
        (1.0, (4, 4), "masked: 1 hides 16 of the 16 tokens"),
    ],
)
def test_masks_that_are_impossible_are_refused(share: float, window: tuple[int, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        window_mask(1, Grid(2, 4, 4), share, CPU, window)


@pytest.mark.parametrize("differences", [False, True])
def test_targets_are_standardised_by_token_and_colour(differences: bool) -> None:
    clips = noise(2, 3, 4, 8, 8).abs()
    own = targets(clips, 4, differences=differences).numpy()
    # Token 5 of the second clip: time 1, row 0, column 1.
    tube = clips[1, :, 2:4, 0:4, 4:8].numpy().astype(np.float64)
    flat = tube.reshape(3, -1)
    scaled = (flat - flat.mean(1, keepdims=True)) / (flat.std(1, ddof=1, keepdims=True) + 1e-6)
    scaled = scaled.reshape(3, 2, 4, 4)
    if differences:
        scaled = np.stack([scaled[:, 0], scaled[:, 1] - scaled[:, 0]], 1)
    np.testing.assert_allclose(own[1, 5], scaled.transpose(1, 2, 3, 0).reshape(-1), atol=1e-5)


def test_a_token_of_one_colour_is_zeros() -> None:
    assert not targets(torch.full((1, 3, 2, 4, 4), 0.5), 4, differences=True).any()


@torch.no_grad()
def test_a_decoder_returns_hidden_tokens_in_their_order() -> None:
    options: Any = options_of(decoder_layers=1)
    decoder = Decoder(8, options, Grid(2, 2, 2), 96).eval()
    mask = torch.tensor([[True, False, True, True, False, True, True, True]])
    pixels = decoder(noise(1, 2, 8), mask)
    assert pixels.shape == (1, 6, 96)
    decoder.positions = decoder.positions[torch.tensor([2, 1, 0, 3, 4, 5, 6, 7])]
    swapped = decoder(noise(1, 2, 8), mask)
    torch.testing.assert_close(swapped, pixels[:, [1, 0, 2, 3, 4, 5]])  # positions of the first two are exchanged
