"""Pictures of frames: the colours that standards give, and changes that leave alone what does not change."""

from __future__ import annotations

import numpy as np
import pytest

from merbench.corruptions.video.pictures import from_rgb, rgb, rgb8, with_change
from tests.corruptions.video.conftest import (
    FORMATS,
    SIZES,
    copied,
    encoding,
    made_frame,
    padding_of,
    planes_of_444,
    psnr,
    rgb_of_444,
    scales,
    values_of,
)

NOT_SUBSAMPLED = [
    {"matrix": matrix, "depth": depth, "full_range": full_range}
    for matrix in ("bt601", "bt709", "bt2020")
    for depth in (8, 10)
    for full_range in (False, True)
]


@pytest.mark.parametrize("about", NOT_SUBSAMPLED)
def test_colours_are_those_of_matrix_depth_and_range(about: dict[str, object]) -> None:
    frame = made_frame(16, 16, subsampling=(1, 1), **about)  # type: ignore[arg-type]
    expected = np.clip(rgb_of_444(frame), 0, 1)
    assert np.abs(rgb(frame) - expected).max() < 1e-5
    assert np.abs(rgb8(frame) - 255 * expected).max() <= 0.502


def test_primary_colours_are_the_known_ones() -> None:
    # BT.601, 8 bits, limited range: red is (81, 90, 240), green (145, 54, 34), blue (41, 240, 110)
    frame = made_frame(1, 3, subsampling=(1, 1))
    for plane, values in zip(frame.planes, [(81, 145, 41), (90, 54, 240), (240, 34, 110)], strict=True):
        plane[0] = values
    assert rgb8(frame)[0].tolist() == pytest.approx(np.eye(3, dtype=int) * 255, abs=2)


def test_luma_alone_is_a_picture_of_one_channel() -> None:
    frame = made_frame(5, 4, subsampling=None)
    frame.planes[0][0] = (16, 235, 0, 255)
    assert rgb(frame).shape == (5, 4, 1)
    assert rgb(frame)[0, :, 0].tolist() == [0, 1, 0, 1]


def test_colour_differences_lie_in_the_middle_of_the_pixels_they_stand_for() -> None:
    frame = made_frame(2, 4, low=0.5, high=0.5)
    frame.planes[2][0] = (128, 148)
    frame.planes[0][...] = 126
    red = rgb(frame)[0, :, 0] * 255
    # values at 0.5 and 2.5 of 0..3, so pixel 1 has 3/4 of the first and 1/4 of the second: 128 + 5; red is 1.402 times
    # the difference on a scale of 224 for 255
    expected = (126 - 16) * 255 / 219 + 1.402 * np.array([0, 5, 15, 20]) * 255 / 224
    assert red == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_no_change_keeps_every_bit(name: str, size: tuple[int, int]) -> None:
    frame = made_frame(*size, **FORMATS[name])
    before = values_of([frame])
    out = with_change(frame, np.zeros_like(rgb(frame)))
    assert values_of([out]) == before


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_change_of_grey_moves_luma_by_it_and_colours_not_at_all(name: str, size: tuple[int, int]) -> None:
    frame = made_frame(*size, low=0.2, high=0.5, **FORMATS[name])
    change = np.full_like(rgb(frame), 0.25)
    out = with_change(copied(frame), change)
    luma = 0.25 * scales(frame)[1][0]
    assert np.abs(out.planes[0] - (frame.planes[0] + luma)).max() <= 0.51
    for plane, known in zip(out.planes[1:], frame.planes[1:], strict=True):
        assert np.array_equal(plane, known)


@pytest.mark.parametrize("about", NOT_SUBSAMPLED)
def test_a_change_of_colour_moves_planes_by_the_matrix(about: dict[str, object]) -> None:
    frame = made_frame(6, 6, subsampling=(1, 1), low=0.4, high=0.6, **about)  # type: ignore[arg-type]
    change = np.random.default_rng(1).uniform(-0.2, 0.2, (6, 6, 3)).astype(np.float32)
    out = with_change(copied(frame), change)
    expected = np.stack(frame.planes, -1) + (change @ encoding(frame.matrix).T) * scales(frame)[1]
    assert np.abs(np.stack(out.planes, -1) - expected).max() <= 0.51


def test_a_change_is_written_into_the_planes_themselves() -> None:
    frame = made_frame(9, 7)
    planes = frame.planes
    before = [padding_of(plane).copy() for plane in planes]
    out = with_change(frame, np.full((9, 7, 3), 0.1, np.float32))
    assert all(plane is known for plane, known in zip(out.planes, planes, strict=True))
    assert all(np.array_equal(padding_of(plane), known) for plane, known in zip(planes, before, strict=True))


@pytest.mark.parametrize(("depth", "top"), [(8, 255), (10, 1023), (12, 4095), (16, 65535)])
def test_a_change_stays_within_the_depth(depth: int, top: int) -> None:
    frame = made_frame(4, 4, depth=depth)
    for step, end in ((2.0, top), (-2.0, 0)):
        out = with_change(copied(frame), np.full((4, 4, 3), step, np.float32))
        assert np.all(out.planes[0] == end)


def test_bringing_back_the_change_alone_beats_the_way_to_rgb_and_back() -> None:
    frame = made_frame(48, 64, low=0.3, high=0.7, seed=3)
    change = np.zeros_like(rgb(frame))
    change[:4] = 0.1
    changed = with_change(copied(frame), change)
    there_and_back = from_rgb(frame, rgb8(frame).astype(np.float32) / np.float32(255))
    below = slice(8, None)
    for plane, back, known in zip(changed.planes, there_and_back.planes, frame.planes, strict=True):
        assert np.array_equal(plane[below], known[below])
        assert psnr(known[below], back[below]) < 75
    assert psnr(frame.planes[1], there_and_back.planes[1]) < 30


@pytest.mark.parametrize("about", NOT_SUBSAMPLED)
def test_any_picture_becomes_planes(about: dict[str, object]) -> None:
    frame = made_frame(2, 2, subsampling=(1, 1), **about)  # type: ignore[arg-type]
    picture = np.random.default_rng(2).uniform(0, 1, (5, 7, 3)).astype(np.float32)
    out = from_rgb(frame, picture)
    assert out.planes[0].dtype == frame.planes[0].dtype
    assert np.abs(np.stack(out.planes, -1) - planes_of_444(picture, frame)).max() <= 0.51


def test_odd_pictures_are_reduced_by_what_there_is_at_the_edge() -> None:
    frame = made_frame(3, 3, low=0.5, high=0.5)
    change = np.zeros((3, 3, 3), np.float32)
    change[2, 2] = (0.4, 0, 0)
    out = with_change(copied(frame), change)
    # Cr moves by 0.5 * 0.4 * 224 = 44.8 where the only pixel that a value stands for changes
    assert (out.planes[2].astype(int) - frame.planes[2]).tolist() == [[0, 0], [0, 45]]
