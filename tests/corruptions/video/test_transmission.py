"""JPEG, large pixels and low resolution against their definitions; lost and frozen frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import Frame, generator
from merbench.corruptions.drawing import uniforms
from tests.corruptions.video.conftest import (
    corrupted,
    corrupted_one,
    laid_out,
    made_frame,
    planes_of_444,
    psnr,
    rgb_of_444,
    values_of,
)


def waves(height: int, width: int, **about: object) -> Frame:
    y, x = np.mgrid[:height, :width]
    picture = 0.5 + 0.3 * np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], -1)
    like = Frame((), **about)  # type: ignore[arg-type]
    values = np.rint(planes_of_444(picture, like)).astype(np.uint8 if like.depth == 8 else np.uint16)
    return like.with_planes([laid_out(values[:, :, i]) for i in range(3)])


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize(("severity", "quality"), [(1, 25), (2, 18), (3, 15), (4, 10), (5, 7)])
def test_jpeg_does_what_the_coder_does(severity: int, quality: int, depth: int) -> None:
    frame = waves(48, 64, depth=depth)
    before = np.rint(255 * np.clip(rgb_of_444(frame), 0, 1)).astype(np.uint8)
    _, data = cv2.imencode(".jpg", before[:, :, ::-1].copy(), [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]
    result = rgb_of_444(corrupted_one("jpeg", frame, severity=severity)) * 255
    # planes round to a whole value, and red and blue are up to 2.02 times a colour difference
    assert np.abs(result - expected).max() < 3.5
    assert psnr(expected, result) > 48


def test_jpeg_of_a_frame_of_luma() -> None:
    luma = waves(48, 64, full_range=True).planes[0]
    out = corrupted_one("jpeg", Frame((laid_out(luma),), full_range=True), quality=10)
    _, data = cv2.imencode(".jpg", luma.copy(), [cv2.IMWRITE_JPEG_QUALITY, 10])
    assert np.array_equal(out.planes[0], cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))


def test_large_pixels_are_means_of_blocks() -> None:
    frame = made_frame(12, 16)
    out = corrupted_one("pixelate", frame, scale=0.25)
    # 4 x 3 large pixels of 4 x 4; colour differences have as many, of 2 x 2
    for plane, known, side in zip(out.planes, frame.planes, (4, 2, 2), strict=True):
        height, width = known.shape
        means = known.reshape(height // side, side, width // side, side).mean(axis=(1, 3))
        assert np.abs(plane - np.kron(means, np.ones((side, side)))).max() <= 0.5


def test_large_pixels_of_no_whole_size_lie_side_by_side() -> None:
    # 5 large pixels over 8: borders at 1.6, 3.2, 4.8, 6.4; a pixel shows the one that its centre lies in
    frame = made_frame(1, 8, subsampling=None)
    frame.planes[0][0] = [0, 10, 20, 30, 40, 50, 60, 70]
    out = corrupted_one("pixelate", frame, scale=0.7)
    means = [
        (0 * 1 + 10 * 0.6) / 1.6,
        (10 * 0.4 + 20 * 1 + 30 * 0.2) / 1.6,
        (30 * 0.8 + 40 * 0.8) / 1.6,
        (40 * 0.2 + 50 * 1 + 60 * 0.4) / 1.6,
        (60 * 0.6 + 70 * 1) / 1.6,
    ]
    shown = [0, 0, 1, 2, 2, 3, 4, 4]
    assert out.planes[0][0].tolist() == pytest.approx([means[i] for i in shown], abs=0.51)


@pytest.mark.parametrize("enlarge", ["cubic", "linear"])
def test_low_resolution_keeps_what_is_smooth_and_loses_what_is_fine(enlarge: str) -> None:
    y, x = np.mgrid[:64, :96]
    smooth = 128 + 60 * np.sin(x / 25) * np.cos(y / 31)
    fine = 40.0 * ((x + y) % 2) - 20
    for texture, lost in ((0, False), (fine, True)):
        frame = Frame((laid_out(np.rint(smooth + texture).astype(np.uint8)),))
        out = corrupted_one("low_resolution", frame, factor=4, enlarge=enlarge)
        inner = (slice(8, -8), slice(8, -8))
        assert psnr(smooth[inner], out.planes[0][inner]) > 42
        assert (psnr(frame.planes[0], out.planes[0]) < 25) == lost


def test_low_resolution_by_rows_is_that_of_the_picture_shown() -> None:
    frame = made_frame(64, 96, rotation=90)
    assert values_of([corrupted_one("low_resolution", frame, height=24)]) == values_of(
        [corrupted_one("low_resolution", frame, factor=4)]
    )
    assert values_of([corrupted_one("low_resolution", frame, height=96)]) == values_of([frame])
    assert values_of([corrupted_one("low_resolution", frame, height=200)]) == values_of([frame])


def test_subsampled_planes_are_subsampled_at_the_low_resolution() -> None:
    frame = made_frame(16, 16)
    out = corrupted_one("low_resolution", frame, factor=16, enlarge="linear")
    for plane, known in zip(out.planes, frame.planes, strict=True):
        assert np.ptp(plane) == 0
        assert plane[0, 0] == pytest.approx(known.mean(), abs=0.5)


def test_smooth_enlarging_stays_within_the_depth() -> None:
    frame = made_frame(32, 32, depth=10, subsampling=None)
    frame.planes[0][...] = np.where(np.arange(32) % 16 < 8, 0, 1023)
    out = corrupted_one("low_resolution", frame, factor=2)
    assert out.planes[0].max() == 1023
    assert out.planes[0].min() == 0


def numbered(times: list[float], size: tuple[int, int] = (3, 4)) -> list[Frame]:
    """Return frames that hold their own number in every value."""
    return [Frame((laid_out(np.full(size, i, np.uint8)),), time_s=time) for i, time in enumerate(times)]


def shown(frames: list[Frame]) -> list[int]:
    assert all(np.ptp(frame.planes[0]) == 0 for frame in frames)
    return [int(frame.planes[0][0, 0]) for frame in frames]


@given(seed=st.integers(0, 1000), rate=st.floats(0, 1), n=st.integers(1, 30))
def test_each_frame_but_the_first_is_lost_with_the_probability_of_its_draw(seed: int, rate: float, n: int) -> None:
    out = corrupted("frame_drop", numbered([0.0] * n), seed=seed, rate=rate)
    draws = uniforms(generator(seed, "frame_drop", "a"), n)
    expected = []
    for i in range(n):
        expected.append(i if i == 0 or draws[i] >= rate else expected[-1])
    assert shown(out) == expected


def test_a_frozen_picture_is_the_first() -> None:
    assert shown(corrupted("frame_freeze", numbered([0.0] * 4))) == [0, 0, 0, 0]


def test_a_low_frame_rate_shows_the_first_frame_of_each_period() -> None:
    # periods of 0.2 s begin at 0, 0.2, 0.4: with frames of 25 a second at frames 0, 5, 10
    times = [i / 25 for i in range(12)]
    assert shown(corrupted("low_frame_rate", numbered(times), rate_hz=5)) == [0] * 5 + [5] * 5 + [10] * 2


def test_a_frame_of_another_size_is_shown() -> None:
    frames = [*numbered([0.0] * 2), Frame((np.full((5, 5), 9, np.uint8),)), Frame((np.full((5, 5), 8, np.uint8),))]
    out = corrupted("frame_freeze", frames)
    assert shown(out) == [0, 0, 9, 9]
    assert [frame.planes[0].shape for frame in out] == [(3, 4), (3, 4), (5, 5), (5, 5)]
