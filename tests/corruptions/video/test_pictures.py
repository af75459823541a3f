"""Planes and RGB pictures of frames against colour arithmetic in float64."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from merbench.corruptions.signals import Frame
from merbench.corruptions.video.pictures import (
    cv2,
    fill_box,
    pixels,
    rgb,
    rgb8,
    shown,
    shown_size,
)
from merbench.errors import MissingExtra
from tests.corruptions.video.conftest import (
    made_frame,
    rgb_of_444,
)


def test_sizes_scale_with_the_height_of_the_picture_shown_where_severity_gave_them() -> None:
    frame = made_frame(448, 896, rotation=90)
    assert shown_size(frame) == (896, 448)
    assert pixels(3, frame, None) == 3
    assert pixels(3, frame, 3) == 12


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


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, [[0, 0, 0], [255, 255, 255]]),
        (90, [[255, 0], [255, 0], [255, 0]]),  # clockwise: the upper row is on the right
        (180, [[255, 255, 255], [0, 0, 0]]),
        (270, [[0, 255], [0, 255], [0, 255]]),
    ],
)
def test_a_picture_is_shown_upright_and_in_three_channels(rotation: int, expected: list[list[int]]) -> None:
    frame = Frame((np.array([[16] * 3, [235] * 3], np.uint8),), rotation=rotation)
    scratch: dict[str, object] = {}
    picture = shown(frame, scratch)
    shown(Frame((np.full((2, 3), 100, np.uint8),)), scratch)  # another picture in the same memory
    assert picture.flags.c_contiguous
    assert np.array_equal(picture, np.repeat(np.array(expected)[:, :, None], 3, axis=2))
