"""Timing: which frame is shown when, while counts and times stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corruptions import CORRUPTIONS, Frame, Video, generator
from merbench.corruptions.drawing import uniforms
from tests.corruptions.video.conftest import damaged, laid_out


def numbered(times: list[float], size: tuple[int, int] = (3, 4)) -> list[Frame]:
    """Return frames that hold their own number in every value."""
    return [Frame((laid_out(np.full(size, i, np.uint8)),), time_s=time) for i, time in enumerate(times)]


def shown(frames: list[Frame]) -> list[int]:
    assert all(np.ptp(frame.planes[0]) == 0 for frame in frames)
    return [int(frame.planes[0][0, 0]) for frame in frames]


def test_times_stay() -> None:
    times = [0.0, 0.03, 0.1, 0.11, 0.5]
    for name, declared in [("frame_drop", {"rate": 0.5}), ("frame_freeze", {}), ("low_frame_rate", {"rate_hz": 5})]:
        assert [frame.time_s for frame in damaged(name, numbered(times), **declared)] == times


@given(seed=st.integers(0, 1000), rate=st.floats(0, 1), n=st.integers(1, 30))
def test_each_frame_but_the_first_is_lost_with_the_probability_of_its_draw(seed: int, rate: float, n: int) -> None:
    out = damaged("frame_drop", numbered([0.0] * n), seed=seed, rate=rate)
    draws = uniforms(generator(seed, "frame_drop", "a"), n)
    expected = []
    for i in range(n):
        expected.append(i if i == 0 or draws[i] >= rate else expected[-1])
    assert shown(out) == expected


def test_about_as_many_are_lost_as_declared() -> None:
    n = 2000
    frames = [Frame((np.full((1, 1), i, np.uint16),), depth=16) for i in range(n)]
    lost = sum(value != i for i, value in enumerate(shown(damaged("frame_drop", frames, rate=0.3))))
    # 4 deviations of a binomial share: 4 * sqrt(0.3 * 0.7 / 2000) = 0.041
    assert lost / n == pytest.approx(0.3, abs=0.041)


def test_all_but_the_first_may_be_lost() -> None:
    assert shown(damaged("frame_drop", numbered([0.0] * 5), rate=1)) == [0] * 5


def test_the_frames_that_are_lost_are_the_same_on_every_machine() -> None:
    assert shown(damaged("frame_drop", numbered([0.0] * 12), seed=2023, rate=0.5)) == [
        0,
        0,
        2,
        3,
        4,
        5,
        5,
        5,
        5,
        9,
        10,
        10,
    ]


def test_a_frozen_picture_is_the_first() -> None:
    assert shown(damaged("frame_freeze", numbered([0.0] * 4))) == [0, 0, 0, 0]


def test_a_window_says_when_the_picture_freezes() -> None:
    video = Video(iter(numbered([i / 10 for i in range(8)])), 0.8)
    parameters = {"start_s": 0.25, "end_s": 0.6}
    out = list(CORRUPTIONS["frame_freeze"](video, generator(0, "frame_freeze", "a"), parameters).frames)
    assert shown(out) == [0, 1, 2, 3, 3, 3, 6, 7]


def test_a_low_frame_rate_shows_the_first_frame_of_each_period() -> None:
    # periods of 0.2 s begin at 0, 0.2, 0.4: with frames of 25 a second at frames 0, 5, 10
    times = [i / 25 for i in range(12)]
    assert shown(damaged("low_frame_rate", numbered(times), rate_hz=5)) == [0] * 5 + [5] * 5 + [10] * 2


def test_periods_are_counted_from_the_beginning_whatever_the_times() -> None:
    times = [0.05, 0.3, 0.31, 0.9, 0.95, 1.6]
    # periods of 0.5 s: 0, 0, 0, 1, 1, 3
    assert shown(damaged("low_frame_rate", numbered(times), rate_hz=2)) == [0, 0, 0, 3, 3, 5]


@pytest.mark.parametrize("rate_hz", [23.976, 24, 25, 29.97, 30, 50, 60])
def test_the_clips_own_rate_changes_nothing(rate_hz: float) -> None:
    # times as a container with a time base of 1/90,000 s stores them
    n = 250
    frames = [Frame((np.full((1, 1), i, np.uint8),), time_s=round(i / rate_hz * 90_000) / 90_000) for i in range(n)]
    out = shown(damaged("low_frame_rate", frames, rate_hz=rate_hz))
    assert out == list(range(n))


def test_a_frame_of_another_size_is_shown() -> None:
    frames = [*numbered([0.0] * 2), Frame((np.full((5, 5), 9, np.uint8),)), Frame((np.full((5, 5), 8, np.uint8),))]
    out = damaged("frame_freeze", frames)
    assert shown(out) == [0, 0, 9, 9]
    assert [frame.planes[0].shape for frame in out] == [(3, 4), (3, 4), (5, 5), (5, 5)]
