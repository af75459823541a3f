"""Colours: what is done on planes is what would be done to red, green and blue."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest

from merbench.corruptions import Frame
from tests.corruptions.video.conftest import (
    corrupted_one,
    laid_out,
    made_frame,
    planes_of_444,
    rgb_of_444,
    values_of,
)

EXACT = [
    {"matrix": matrix, "full_range": full_range}
    for matrix, full_range in itertools.product(("bt601", "bt709", "bt2020"), (False, True))
]


def colours(depth: int = 12, **about: object) -> Frame:
    """Return a frame of 8 x 8 x 8 colours within the range."""
    levels = np.linspace(0.05, 0.95, 8)
    picture = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(16, 32, 3)
    like = Frame((), depth=depth, **about)  # type: ignore[arg-type]
    values = np.rint(planes_of_444(picture, like)).astype(np.uint16 if depth > 8 else np.uint8)
    return like.with_planes([laid_out(values[:, :, i]) for i in range(3)])


@pytest.mark.parametrize("about", EXACT)
@pytest.mark.parametrize("amount", [0.5, -0.3])
def test_brightness_raises_the_value_and_keeps_hue_and_saturation(amount: float, about: dict[str, object]) -> None:
    frame = colours(**about)
    result = rgb_of_444(corrupted_one("brightness", frame, amount=amount)).reshape(-1, 3)
    for before, after in zip(np.clip(rgb_of_444(frame), 0, 1).reshape(-1, 3)[::7], result[::7], strict=True):
        hue, strength, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, strength, min(max(value + amount, 0), 1))
        assert after == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("about", EXACT)
def test_contrast_draws_channels_to_their_means(about: dict[str, object]) -> None:
    frame = colours(**about)
    before = rgb_of_444(frame)
    mean = before.mean(axis=(0, 1))
    result = rgb_of_444(corrupted_one("contrast", frame, factor=0.3))
    assert np.abs(result - (mean + 0.3 * (before - mean))).max() < 0.001


def test_no_saturation_leaves_grey_of_the_same_luma() -> None:
    frame = made_frame(8, 8)
    out = corrupted_one("saturation", frame, factor=0)
    assert values_of([out])[0] == [frame.planes[0].tolist(), [[128] * 4] * 4, [[128] * 4] * 4]


@pytest.mark.parametrize("about", EXACT)
def test_saturation_moves_colours_away_from_grey(about: dict[str, object]) -> None:
    frame = colours(**about)
    before = rgb_of_444(frame)
    weights = planes_of_444(np.eye(3)[None], Frame((), full_range=True, matrix=str(about["matrix"])))[0, :, 0] / 255
    luma = (before @ weights)[:, :, None]
    result = rgb_of_444(corrupted_one("saturation", frame, factor=0.4))
    assert np.abs(result - (luma + 0.4 * (before - luma))).max() < 0.001


def test_colours_too_strong_are_clipped_where_the_plane_ends() -> None:
    frame = made_frame(2, 2, subsampling=(1, 1))
    frame.planes[1][...] = [[100, 200], [128, 127]]
    out = corrupted_one("saturation", frame, factor=4)
    assert out.planes[1].tolist() == [[16, 255], [128, 124]]


@pytest.mark.parametrize(("order", "about"), list(zip(["bgr", "grb", "rbg", "gbr", "brg"], EXACT, strict=False)))
def test_channels_trade_places(order: str, about: dict[str, object]) -> None:
    frame = colours(**about)
    result = rgb_of_444(corrupted_one("channel_swap", frame, order=order))
    expected = rgb_of_444(frame)[:, :, ["rgb".index(channel) for channel in order]]
    assert np.abs(result - expected).max() < 0.001


@pytest.mark.parametrize("about", EXACT)
def test_inversion_is_the_complement(about: dict[str, object]) -> None:
    frame = colours(**about)
    result = rgb_of_444(corrupted_one("inversion", frame))
    assert np.abs(result - (1 - rgb_of_444(frame))).max() < 0.002
