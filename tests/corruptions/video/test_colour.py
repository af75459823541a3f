"""Colours: what is done on planes is what would be done to red, green and blue."""

from __future__ import annotations

import colorsys
import itertools

import numpy as np
import pytest

from merbench.corruptions import Frame
from tests.corruptions.video.conftest import (
    FORMATS,
    damaged_one,
    laid_out,
    made_frame,
    planes_of_444,
    psnr,
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
@pytest.mark.parametrize("amount", [0.1, 0.5, -0.3, 1])
def test_brightness_raises_the_value_and_keeps_hue_and_saturation(amount: float, about: dict[str, object]) -> None:
    frame = colours(**about)
    found = rgb_of_444(damaged_one("brightness", frame, amount=amount)).reshape(-1, 3)
    for before, after in zip(np.clip(rgb_of_444(frame), 0, 1).reshape(-1, 3)[::7], found[::7], strict=True):
        hue, strength, value = colorsys.rgb_to_hsv(*before)
        expected = colorsys.hsv_to_rgb(hue, strength, min(max(value + amount, 0), 1))
        assert after == pytest.approx(expected, abs=0.002)


def test_black_brightens_to_grey() -> None:
    frame = made_frame(4, 4, subsampling=(1, 1), full_range=True)
    for plane, value in zip(frame.planes, (0, 128, 128), strict=True):
        plane[...] = value
    out = damaged_one("brightness", frame, amount=0.4)
    assert {int(value) for value in out.planes[0].ravel()} == {102}
    assert values_of([out])[0][1:] == values_of([frame])[0][1:]


@pytest.mark.parametrize("about", EXACT)
def test_contrast_draws_channels_to_their_means(about: dict[str, object]) -> None:
    frame = colours(**about)
    before = rgb_of_444(frame)
    mean = before.mean(axis=(0, 1))
    found = rgb_of_444(damaged_one("contrast", frame, factor=0.3))
    assert np.abs(found - (mean + 0.3 * (before - mean))).max() < 0.001


@pytest.mark.parametrize("name", FORMATS)
def test_no_contrast_leaves_one_colour(name: str) -> None:
    out = damaged_one("contrast", made_frame(9, 7, **FORMATS[name]), factor=0)
    assert all(np.ptp(plane) == 0 for plane in out.planes)


def test_contrast_of_one_colour_is_that_colour() -> None:
    frame = made_frame(5, 5, low=0.3, high=0.3)
    assert values_of([damaged_one("contrast", frame, factor=0.05)]) == values_of([frame])


def test_no_saturation_leaves_grey_of_the_same_luma() -> None:
    frame = made_frame(8, 8)
    out = damaged_one("saturation", frame, factor=0)
    assert values_of([out])[0] == [frame.planes[0].tolist(), [[128] * 4] * 4, [[128] * 4] * 4]


@pytest.mark.parametrize("about", EXACT)
def test_saturation_moves_colours_away_from_grey(about: dict[str, object]) -> None:
    frame = colours(**about)
    before = rgb_of_444(frame)
    weights = planes_of_444(np.eye(3)[None], Frame((), full_range=True, matrix=str(about["matrix"])))[0, :, 0] / 255
    luma = (before @ weights)[:, :, None]
    found = rgb_of_444(damaged_one("saturation", frame, factor=0.4))
    assert np.abs(found - (luma + 0.4 * (before - luma))).max() < 0.001


def test_colours_too_strong_are_clipped_where_the_plane_ends() -> None:
    frame = made_frame(2, 2, subsampling=(1, 1))
    frame.planes[1][...] = [[100, 200], [128, 127]]
    out = damaged_one("saturation", frame, factor=4)
    assert out.planes[1].tolist() == [[16, 255], [128, 124]]


@pytest.mark.parametrize("about", EXACT)
@pytest.mark.parametrize("order", ["bgr", "grb", "rbg", "gbr", "brg"])
def test_channels_trade_places(order: str, about: dict[str, object]) -> None:
    frame = colours(**about)
    found = rgb_of_444(damaged_one("channel_swap", frame, order=order))
    expected = rgb_of_444(frame)[:, :, ["rgb".index(channel) for channel in order]]
    assert np.abs(found - expected).max() < 0.001


def test_swapping_twice_gives_subsampled_pictures_back() -> None:
    y, x = np.mgrid[:48, :64]
    picture = 0.5 + 0.3 * np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], -1)
    like = Frame(())
    values = np.rint(planes_of_444(picture, like)).astype(np.uint8)
    frame = like.with_planes([laid_out(values[:, :, 0]), laid_out(values[::2, ::2, 1]), laid_out(values[::2, ::2, 2])])
    back = damaged_one("channel_swap", damaged_one("channel_swap", frame, order="bgr"), order="bgr")
    assert min(psnr(plane, known) for plane, known in zip(back.planes, frame.planes, strict=True)) > 38


def test_luma_alone_has_no_colours_to_change() -> None:
    frame = made_frame(4, 4, subsampling=None)
    for name, declared in [("channel_swap", {}), ("saturation", {"factor": 0})]:
        assert values_of([damaged_one(name, frame, **declared)]) == values_of([frame])


@pytest.mark.parametrize("about", EXACT)
def test_inversion_is_the_complement(about: dict[str, object]) -> None:
    frame = colours(**about)
    found = rgb_of_444(damaged_one("inversion", frame))
    assert np.abs(found - (1 - rgb_of_444(frame))).max() < 0.002


def test_inversion_of_8_bits() -> None:
    frame = made_frame(1, 4, subsampling=(1, 1))
    frame.planes[0][...] = [16, 235, 100, 255]
    frame.planes[1][...] = [128, 0, 16, 255]
    out = damaged_one("inversion", frame)
    # 16 + 235 - 255 lies below 0, 256 - 0 above 255
    assert out.planes[0].tolist() == [[235, 16, 151, 0]]
    assert out.planes[1].tolist() == [[128, 255, 240, 1]]
