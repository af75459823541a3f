"""Planes and RGB pictures of frames against colour arithmetic in float64."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import Frame
from merbench.corruptions.video.pictures import (
    cv2,
    fill_box,
    from_rgb,
    pixels,
    rgb,
    rgb8,
    shown_size,
    subsampling,
    with_change,
)
from merbench.errors import MissingExtra
from tests.corruptions.video.conftest import (
    FORMATS,
    copied,
    encoding,
    made_frame,
    planes_of_444,
    psnr,
    rgb_of_444,
    scales,
)


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (8, 8), (5, 7)])
@pytest.mark.parametrize("name", FORMATS)
def test_subsampling_is_read_off_the_sizes_of_planes(name: str, size: tuple[int, int]) -> None:
    ratios = FORMATS[name]["subsampling"]
    assert subsampling(made_frame(*size, **FORMATS[name])) == [(1, 1), *([ratios] * 2 if ratios else [])]


def test_sizes_scale_with_the_height_of_the_picture_shown_where_severity_gave_them() -> None:
    frame = made_frame(448, 896, rotation=90)
    assert shown_size(frame) == (896, 448)
    assert pixels(3, frame, None) == 3
    assert pixels(3, frame, 3) == 12


def turned(picture: np.ndarray[Any, Any], rotation: int) -> np.ndarray[Any, Any]:
    """Return a stored picture as a player shows it, which turns it clockwise."""
    return np.rot90(picture, -rotation // 90)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    box=st.tuples(*[st.integers(0, 16).map(lambda n: n / 16)] * 4),
)
def test_a_box_is_filled_where_the_player_shows_it(
    rotation: int, size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    frame = Frame((np.zeros(size, np.uint8),), rotation=rotation)
    fill_box(frame, box, (1,))
    shown = turned(frame.planes[0], rotation)
    x, y, width, height = box
    centre_y, centre_x = ((np.arange(n) + 0.5) / n for n in shown.shape)
    inside_y = (centre_y >= y) & (centre_y < y + height)
    inside_x = (centre_x >= x) & (centre_x < x + width)
    assert np.array_equal(shown, (inside_y[:, None] & inside_x).astype(np.uint8))


def test_a_box_covers_the_colour_differences_of_its_pixels() -> None:
    frame = made_frame(8, 8, high=0)
    fill_box(frame, (3 / 8, 0, 2 / 8, 1), (1, 2, 3))
    assert frame.planes[0][0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert frame.planes[1][0].tolist() == [0, 2, 2, 0]
    assert frame.planes[2][0].tolist() == [0, 3, 3, 0]


def test_a_missing_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without_opencv(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "cv2":
            raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        return known(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_opencv)
    message = r"^corruption of pictures \(opencv\) needs the extra 'media': pip install 'merbench\[media\]'$"
    with pytest.raises(MissingExtra, match=message):
        cv2.blur(np.zeros((2, 2)), (1, 1))


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


def test_a_frame_of_luma_is_a_picture_of_one_channel() -> None:
    frame = made_frame(5, 4, subsampling=None)
    frame.planes[0][0] = (16, 235, 0, 255)
    assert rgb(frame).shape == (5, 4, 1)
    assert rgb(frame)[0, :, 0].tolist() == [0, 1, 0, 1]


def test_colour_differences_are_in_the_middle_of_their_pixels() -> None:
    frame = made_frame(2, 4, low=0.5, high=0.5)
    frame.planes[2][0] = (128, 148)
    frame.planes[0][...] = 126
    red = rgb(frame)[0, :, 0] * 255
    # values at 0.5 and 2.5 of 0..3, so pixel 1 has 3/4 of the first and 1/4 of the second: 128 + 5; red is 1.402 times
    # the difference on a scale of 224 for 255
    expected = (126 - 16) * 255 / 219 + 1.402 * np.array([0, 5, 15, 20]) * 255 / 224
    assert red == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("about", NOT_SUBSAMPLED)
def test_a_change_of_colour_moves_planes_by_the_matrix(about: dict[str, object]) -> None:
    frame = made_frame(6, 6, subsampling=(1, 1), low=0.4, high=0.6, **about)  # type: ignore[arg-type]
    change = np.random.default_rng(1).uniform(-0.2, 0.2, (6, 6, 3)).astype(np.float32)
    out = with_change(copied(frame), change)
    expected = np.stack(frame.planes, -1) + (change @ encoding(frame.matrix).T) * scales(frame)[1]
    assert np.abs(np.stack(out.planes, -1) - expected).max() <= 0.51


def test_applying_the_change_beats_a_conversion_to_rgb_and_back() -> None:
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
