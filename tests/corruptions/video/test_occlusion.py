"""Occlusion: what is hidden is plain and lies where the player shows it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from merbench.corruptions import Frame
from merbench.errors import Inapplicable
from tests.corruptions.video.conftest import corrupted_one, laid_out, made_frame, values_of


def white(height: int, width: int, rotation: int = 0) -> Frame:
    return Frame((laid_out(np.full((height, width), 235, np.uint8)),), rotation=rotation)


def shown(frame: Frame) -> list[list[int]]:
    picture: list[list[int]] = (np.rot90(frame.planes[0], -frame.rotation // 90) != 235).astype(int).tolist()
    return picture


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_box_hides_its_pixels(rotation: int) -> None:
    turned = rotation in (90, 270)
    frame = white(*((8, 4) if turned else (4, 8)), rotation=rotation)
    out = corrupted_one("occlusion_box", frame, x=0.25, y=0.5, width=0.5, height=0.25)
    assert shown(out) == [[0] * 8, [0] * 8, [0, 0, 1, 1, 1, 1, 0, 0], [0] * 8]


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ("upper", [[1, 1, 1], [0, 0, 0], [0, 0, 0]]),
        ("lower", [[0, 0, 0], [1, 1, 1], [1, 1, 1]]),
        ("left", [[1, 0, 0], [1, 0, 0], [1, 0, 0]]),
        ("right", [[0, 1, 1], [0, 1, 1], [0, 1, 1]]),
    ],
)
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_middle_belongs_to_the_lower_and_the_right_half(
    side: str, expected: list[list[int]], rotation: int
) -> None:
    assert shown(corrupted_one("occlusion_half", white(3, 3, rotation), side=side)) == expected


@pytest.mark.parametrize(
    ("about", "grey", "black", "neutral"),
    [
        # half-way between 16 and 235 is 125.5, between 0 and 255 127.5; 4 times as much in 10 bits
        ({}, 126, 16, 128),
        ({"full_range": True}, 128, 0, 128),
        ({"depth": 10}, 502, 64, 512),
        ({"depth": 10, "full_range": True}, 512, 0, 512),
    ],
)
def test_grey_and_black(about: dict[str, object], grey: int, black: int, neutral: int) -> None:
    frame = made_frame(4, 4, **about)  # type: ignore[arg-type]
    for fill, luma in (("grey", grey), ("black", black)):
        out = corrupted_one("occlusion_box", frame, x=0, y=0, width=1, height=1, fill=fill)
        assert [np.unique(plane).tolist() for plane in out.planes] == [[luma], [neutral], [neutral]]


@pytest.mark.parametrize("box", [(0.25, 0.5, 0.5, 0.25), [0.25, 0.5, 0.5, 0.25], np.array([0.25, 0.5, 0.5, 0.25])])
def test_a_face_is_hidden_by_the_box_of_its_sample(box: object) -> None:
    from merbench.corruptions import CORRUPTIONS, generator

    function = CORRUPTIONS["occlusion_face"].function
    (out,) = function(iter([white(4, 8)]), generator(0, "a", "b"), box=box, fill="grey")
    expected = corrupted_one("occlusion_box", white(4, 8), x=0.25, y=0.5, width=0.5, height=0.25)
    assert values_of([out]) == values_of([expected])


@pytest.mark.parametrize(
    ("box", "shown"),
    [
        ((0.1, 0.2, 0.3, -0.4), "'0.1 0.2 0.3 -0.4'"),
        ((0.1, 0.2, float("nan"), 0.4), "'0.1 0.2 nan 0.4'"),
    ],
)
def test_a_box_without_an_extent_is_refused_before_the_first_frame(box: object, shown: str) -> None:
    from merbench.corruptions import CORRUPTIONS, generator

    function = CORRUPTIONS["occlusion_face"].function
    message = f"{shown} is not a box: four fractions x, y, width and height, the last two above 0"
    with pytest.raises(Inapplicable, match=f"^{re.escape(message)}$"):
        function(iter([]), generator(0, "a", "b"), box=box, fill="grey")
