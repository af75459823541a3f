"""Planes: subsampling is read off their sizes, and boxes of the picture shown are found in the picture stored."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import Frame
from merbench.corruptions.video.pictures import cv2, fill_box, luma_range, pixels, shown_size, subsampling
from merbench.errors import MissingExtra
from tests.corruptions.video.conftest import FORMATS, made_frame


@pytest.mark.parametrize("size", [(24, 32), (17, 23), (8, 8), (5, 7)])
@pytest.mark.parametrize("name", FORMATS)
def test_subsampling_is_read_off_the_sizes_of_planes(name: str, size: tuple[int, int]) -> None:
    ratios = FORMATS[name]["subsampling"]
    assert subsampling(made_frame(*size, **FORMATS[name])) == [(1, 1), *([ratios] * 2 if ratios else [])]


def test_a_side_of_one_pixel_is_not_subsampled() -> None:
    assert subsampling(made_frame(1, 9)) == [(1, 1), (1, 2), (1, 2)]


def test_black_and_white_are_those_of_range_and_depth() -> None:
    plane = (np.zeros((1, 1), np.uint8),)
    assert luma_range(Frame(plane)) == (16, 235)
    assert luma_range(Frame(plane, full_range=True)) == (0, 255)
    assert luma_range(Frame(plane, depth=10)) == (64, 940)


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


def test_importing_corruptions_imports_no_opencv() -> None:
    code = "import sys, merbench.corruptions; assert not {'cv2', 'av', 'scipy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
