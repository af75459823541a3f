"""Blurs: pyramids against a float64 pyramid of the RGB picture, kernels against SciPy and against their definition."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from merbench.corruptions import Frame
from merbench.errors import Inapplicable
from tests.corruptions.video.conftest import (
    FORMATS,
    corrupted_one,
    laid_out,
    made_frame,
    planes_of_444,
    psnr,
    rgb_of_444,
    values_of,
)

Values = NDArray[np.float64]

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def filtered(values: Values, kernel: Values, axis: int) -> Values:
    """Return what a kernel makes of an axis that goes on mirrored about its outermost values."""
    return ndimage.correlate1d(values, kernel, axis, mode="mirror")


def halved(values: Values) -> Values:
    for axis in (0, 1):
        values = filtered(values, BINOMIAL, axis)
    return values[::2, ::2]


def enlarged(values: Values, size: tuple[int, int]) -> Values:
    """Return twice the size, cut to an odd one as OpenCV does it."""
    spread = np.zeros((2 * values.shape[0], 2 * values.shape[1], *values.shape[2:]))
    spread[::2, ::2] = values
    for axis in (0, 1):
        spread = filtered(spread, 2 * BINOMIAL, axis)
    return spread[: size[0], : size[1]]


def pyramid(values: Values, n_levels: int) -> Values:
    """Return the blur by a pyramid in float64 (Burt and Adelson 1983)."""
    if n_levels == 0:
        return values
    return enlarged(pyramid(halved(values), n_levels - 1), values.shape[:2])


def smooth_and_noisy(height: int, width: int, seed: int = 0) -> Values:
    """Return a picture in red, green and blue of waves and noise, well within the range."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 9 + y / 23), np.cos(x / 17 - y / 11), np.sin(x / 31 + 1) * np.cos(y / 13)], -1)
    return 0.5 + 0.15 * waves + draws.normal(0, 0.03, (height, width, 3))


def reduced(plane: Values, ratio: tuple[int, int]) -> Values:
    """Return the means over blocks, the last of which may be smaller."""
    for axis, n in enumerate(ratio):
        starts = np.arange(0, plane.shape[axis], n)
        sums = np.add.reduceat(plane, starts, axis)
        lengths = np.diff(starts, append=plane.shape[axis])
        plane = sums / (lengths[:, None] if axis == 0 else lengths)
    return plane


def frame_of(picture: Values, ratio: tuple[int, int], **about: Any) -> Frame:
    like = Frame((), **about)
    values = planes_of_444(picture, like)
    planes = [values[:, :, 0], reduced(values[:, :, 1], ratio), reduced(values[:, :, 2], ratio)]
    kind = np.uint8 if like.depth == 8 else np.uint16
    return like.with_planes([laid_out(np.rint(plane).astype(kind)) for plane in planes])


def rgb_pyramid(frame: Frame, ratio: tuple[int, int], n_levels: int) -> list[Values]:
    """Return the planes of the float64 pyramid of the frame's RGB picture, colour differences enlarged bilinearly."""
    height, width = frame.planes[0].shape
    place_y, place_x = ((np.arange(n) + 0.5) / r - 0.5 for n, r in zip((height, width), ratio, strict=True))
    places = np.meshgrid(place_y, place_x, indexing="ij")
    full = [
        frame.planes[0].astype(float),
        *(ndimage.map_coordinates(plane.astype(float), places, order=1, mode="nearest") for plane in frame.planes[1:]),
    ]
    blurred = pyramid(rgb_of_444(frame.with_planes(full)), n_levels)  # type: ignore[arg-type]
    values = planes_of_444(blurred, frame)
    return [values[:, :, 0], reduced(values[:, :, 1], ratio), reduced(values[:, :, 2], ratio)]


COLOUR_FORMATS = [name for name in FORMATS if FORMATS[name]["subsampling"]]


@pytest.mark.parametrize(("factor", "size"), [(2, (144, 176)), (16, (97, 131))])
@pytest.mark.parametrize("name", COLOUR_FORMATS)
def test_a_pyramid_on_planes_is_that_of_the_rgb_picture(name: str, size: tuple[int, int], factor: int) -> None:
    about = {key: value for key, value in FORMATS[name].items() if key != "subsampling"}
    ratio = FORMATS[name]["subsampling"]
    frame = frame_of(smooth_and_noisy(*size), ratio, **about)
    out = corrupted_one("pyramid_blur", frame, factor=factor)
    expected = rgb_pyramid(frame, ratio, int(math.log2(factor)))
    top = (1 << frame.depth) - 1
    assert psnr(expected[0], out.planes[0], top) >= 50
    assert min(psnr(plane, result, top) for plane, result in zip(expected[1:], out.planes[1:], strict=True)) >= 40


@pytest.mark.real_data
@pytest.mark.parametrize("factor", [2, 4])
def test_a_pyramid_on_real_frames_is_that_of_the_rgb_picture(test_data: Path, factor: int) -> None:
    import av

    clips = sorted((test_data / "data" / "media" / "video").rglob("*.mp*"))[::5]
    assert clips
    for clip in clips:
        with av.open(str(clip)) as container:
            picture = next(container.decode(video=0)).reformat(format="yuv420p").to_ndarray()
        height, width = picture.shape[0] * 2 // 3, picture.shape[1]
        luma, rest = picture[:height], picture[height:].reshape(2, height // 2, width // 2)
        frame = Frame((laid_out(luma), laid_out(rest[0]), laid_out(rest[1])))
        out = corrupted_one("pyramid_blur", frame, factor=factor)
        expected = rgb_pyramid(frame, (2, 2), factor // 2)
        assert psnr(expected[0], out.planes[0]) >= 50
        assert min(psnr(expected[i], out.planes[i]) for i in (1, 2)) >= 40


def test_the_released_generator_makes_frames_larger() -> None:
    frame = made_frame(590, 590)
    assert [plane.shape for plane in corrupted_one("pyramid_blur", frame, factor=4, variant="mer2023").planes] == [
        (592, 592),
        (296, 296),
        (296, 296),
    ]
    assert corrupted_one("pyramid_blur", frame, factor=4).planes[0].shape == (590, 590)


@pytest.mark.parametrize("about", [{}, {"full_range": True, "matrix": "bt709"}, {"depth": 10}])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_the_released_generator_works_on_8_bit_rgb(factor: int, about: dict[str, Any]) -> None:
    import cv2

    frame = frame_of(smooth_and_noisy(48, 64), (1, 1), **about)
    picture = np.rint(255 * np.clip(rgb_of_444(frame), 0, 1)).astype(np.uint8)
    for _ in range(factor // 2):
        picture = cv2.pyrDown(picture)
    for _ in range(factor // 2):
        picture = cv2.pyrUp(picture)
    out = corrupted_one("pyramid_blur", frame, factor=factor, variant="mer2023")
    expected = planes_of_444(picture / 255, frame)
    assert np.abs(np.stack(out.planes, -1) - expected).max() <= 0.51 + 2 * (frame.depth - 8)


def test_the_way_to_rgb_and_back_costs_quality_even_at_factor_1() -> None:
    from merbench.corruptions import CORRUPTIONS

    frame = made_frame(48, 64)
    out = corrupted_one("pyramid_blur", frame, factor=1, variant="mer2023")
    assert psnr(frame.planes[0], out.planes[0]) < 45
    assert not CORRUPTIONS["pyramid_blur"].changes_nothing({"factor": 1, "variant": "mer2023"})


def test_the_released_generator_blurs_a_frame_of_luma() -> None:
    out = corrupted_one("pyramid_blur", made_frame(1, 7, subsampling=None), factor=2, variant="mer2023")
    assert [plane.shape for plane in out.planes] == [(2, 8)]


def test_the_released_generator_needs_more_than_one_row_of_colour() -> None:
    message = "^pyramid_blur: variant mer2023 does not apply to pictures one pixel high or wide$"
    with pytest.raises(Inapplicable, match=message):
        corrupted_one("pyramid_blur", made_frame(1, 8), factor=2, variant="mer2023")


@pytest.mark.parametrize("sigma", [0.3, 7])
@pytest.mark.parametrize("depth", [8, 10])
def test_gaussian_blur_is_that_of_scipy(sigma: float, depth: int) -> None:
    frame = made_frame(60, 80, depth=depth)
    out = corrupted_one("gaussian_blur", frame, sigma=sigma)
    # the kernel is cut off at 3 deviations here, at 8 there; OpenCV rounds the weights for 8 bits to 1/256
    for plane, known, ratio in zip(out.planes, frame.planes, (1, 2, 2), strict=True):
        expected = ndimage.gaussian_filter(known.astype(float), sigma / ratio, mode="mirror", truncate=8)
        assert np.abs(plane - expected).max() <= 2.5 * 2 ** (depth - 8)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gaussian_blur", {"sigma": 3}),
        ("motion_blur", {"radius": 15, "sigma": 8, "angle": 0}),
        ("defocus_blur", {"radius": 6}),
    ],
)
def test_severities_are_for_224_rows(name: str, values: dict[str, float]) -> None:
    # at 448 rows of the picture shown, all sizes are doubled
    frame = made_frame(64, 448, rotation=90, seed=5)
    twice = {key: 2 * value for key, value in values.items()}
    assert values_of([corrupted_one(name, frame, severity=3)]) == values_of([corrupted_one(name, frame, **twice)])


def a_point(height: int, width: int, **about: Any) -> Frame:
    frame = made_frame(height, width, high=0, subsampling=None, depth=16, **about)
    frame.planes[0][height // 2, width // 2] = 60000
    return frame


def test_motion_blur_fades_along_its_line() -> None:
    # a pixel takes from those to its right, so that a point is smeared to the left
    out = corrupted_one("motion_blur", a_point(11, 41), radius=5, sigma=3)
    weights = np.exp(-(np.arange(11) ** 2) / 18)
    expected = np.zeros(41)
    expected[10:21] = (60000 * weights / weights.sum())[::-1]
    assert np.abs(out.planes[0][5] - expected).max() <= 0.51
    assert not out.planes[0][[4, 6]].any()


@pytest.mark.parametrize(("angle", "down", "right"), [(0, 0, 1), (90, 1, 0), (180, 0, -1), (-90, -1, 0), (45, 1, 1)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_angles_are_those_of_the_picture_shown(angle: float, down: int, right: int, rotation: int) -> None:
    out = corrupted_one("motion_blur", a_point(41, 41, rotation=rotation), radius=6, sigma=4, angle=angle)
    shown = np.rot90(out.planes[0], -rotation // 90).astype(float)
    y, x = np.mgrid[-20:21, -20:21]
    mean_y, mean_x = (float((shown * place).sum() / shown.sum()) for place in (y, x))
    length = math.hypot(mean_y, mean_x)
    assert length > 2
    expected = [part / math.hypot(down, right) for part in (down, right)]
    assert [-mean_y / length, -mean_x / length] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("radius", [1.5, 3, 7.25])
def test_defocus_makes_a_point_a_disk(radius: float) -> None:
    out = corrupted_one("defocus_blur", a_point(31, 31), radius=radius).planes[0].astype(float)
    y, x = np.mgrid[-15:16, -15:16]
    distance = np.hypot(y, x)
    inside, outside = out[distance < radius - 0.75], out[distance > radius + 0.75]
    assert np.ptp(inside) == 0
    assert not outside.any()
    # the disk has the area pi r^2, over which the point is spread evenly
    assert inside[0] == pytest.approx(60000 / (math.pi * radius**2), rel=0.02)
    # a disk's mean square distance from its middle is r^2 / 2
    assert (out * distance**2).sum() / out.sum() == pytest.approx(radius**2 / 2, rel=0.05)
