"""What holds for every corruption of pictures: a frame out for each frame in, of its size, written in place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from merbench.corruptions import CORRUPTIONS, Frame, Video, check_parameters, generator
from tests.corruptions.video.conftest import (
    FORMATS,
    SIZES,
    applied,
    copied,
    damaged,
    damaged_one,
    made_frame,
    padding_of,
    values_of,
)

DECLARED: dict[str, list[dict[str, Any]]] = {
    "pyramid_blur": [{"factor": 2}, {"factor": 16}],
    "gaussian_blur": [{"sigma": 2.5}, {"severity": 5}],
    "motion_blur": [{"radius": 4, "sigma": 3, "angle": 30}, {"severity": 1}],
    "defocus_blur": [{"radius": 2.5}],
    "gaussian_noise": [{"severity": 3}],
    "speckle_noise": [{"severity": 3}],
    "shot_noise": [{"severity": 3}],
    "impulse_noise": [{"severity": 3}],
    "brightness": [{"severity": 3}, {"amount": -0.3}],
    "contrast": [{"severity": 3}],
    "saturation": [{"factor": 0.5}, {"factor": 3}],
    "channel_swap": [{}, {"order": "gbr"}],
    "inversion": [{}],
    "jpeg": [{"severity": 3}],
    "pixelate": [{"severity": 5}],
    "low_resolution": [{"factor": 2.5}, {"height": 3, "enlarge": "linear"}],
    "occlusion_box": [{"x": 0.1, "y": 0.2, "width": 0.5, "height": 0.6}],
    "occlusion_half": [{"side": "lower"}],
    "occlusion_face": [{"box": (0.25, 0.25, 0.5, 0.5), "fill": "black"}],
    "blank": [{}],
    "frame_drop": [{"rate": 0.5}],
    "frame_freeze": [{}],
    "low_frame_rate": [{"rate_hz": 2}],
}
CASES = [
    pytest.param(name, declared, id=f"{name} {declared}") for name, given in DECLARED.items() for declared in given
]

NOTHING: list[tuple[str, dict[str, Any]]] = [
    ("pyramid_blur", {"factor": 1}),
    ("gaussian_blur", {"sigma": 0}),
    ("motion_blur", {"radius": 0, "sigma": 3}),
    ("motion_blur", {"radius": 3, "sigma": 0}),
    ("defocus_blur", {"radius": 0}),
    ("gaussian_noise", {"sigma": 0}),
    ("speckle_noise", {"sigma": 0}),
    ("impulse_noise", {"fraction": 0}),
    ("brightness", {"amount": 0}),
    ("contrast", {"factor": 1}),
    ("saturation", {"factor": 1}),
    ("pixelate", {"scale": 1}),
    ("low_resolution", {}),
    ("occlusion_box", {"x": 0.5, "y": 0.5, "width": 0, "height": 0.5}),
    ("frame_drop", {"rate": 0}),
]


def a_clip(n: int, height: int, width: int, **about: Any) -> list[Frame]:
    return [made_frame(height, width, seed=i, time_s=i / 10, **about) for i in range(n)]


def test_every_corruption_of_pictures_stands_here() -> None:
    assert DECLARED.keys() == {name for name in CORRUPTIONS if CORRUPTIONS[name].modality == "video"}


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_declarations_are_allowed(name: str, declared: dict[str, Any]) -> None:
    as_declared = {key: "face_box" if isinstance(value, tuple) else value for key, value in declared.items()}
    assert check_parameters(name, as_declared) == []


@pytest.mark.parametrize("name", DECLARED)
def test_tabled_values_are_allowed(name: str) -> None:
    corruption = CORRUPTIONS[name]
    for parameter, values in corruption.severities.items():
        assert len(values) == 5
        assert all(corruption.parameters[parameter].allows(value) for value in values)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize(("name", "declared"), CASES)
def test_any_size_and_format_stays_what_it_is(name: str, declared: dict[str, Any], format_name: str) -> None:
    for height, width in SIZES:
        frames = a_clip(3, height, width, **FORMATS[format_name])
        out = damaged(name, frames, **declared)
        for frame, known in zip(out, frames, strict=True):
            assert [(p.shape, p.dtype) for p in frame.planes] == [(p.shape, p.dtype) for p in known.planes]
            assert max(int(plane.max()) for plane in frame.planes) < 1 << frame.depth
            assert frame.with_planes(()).time_s == known.time_s
            assert (frame.depth, frame.rotation) == (known.depth, known.rotation)


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_frames_are_edited_in_place_and_nothing_between_rows_is_touched(name: str, declared: dict[str, Any]) -> None:
    for about in FORMATS.values():
        frames = [copied(frame) for frame in a_clip(3, 18, 22, **about)]
        planes = [frame.planes for frame in frames]
        between = [[padding_of(plane).copy() for plane in of_frame] for of_frame in planes]
        corruption, rng = CORRUPTIONS[name], generator(0, name, "a")
        given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
        out = list(applied(corruption, iter(frames), rng, {**corruption.draw(given, rng), **declared}))
        for frame, known, filler in zip(out, planes, between, strict=True):
            assert all(plane is given_plane for plane, given_plane in zip(frame.planes, known, strict=True))
            assert all(np.array_equal(padding_of(p), f) for p, f in zip(frame.planes, filler, strict=True))


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_how_planes_lie_in_memory_changes_nothing(name: str, declared: dict[str, Any]) -> None:
    frames = a_clip(3, 19, 26)
    corruption = CORRUPTIONS[name]
    packed = [frame.with_planes([plane.copy() for plane in frame.planes]) for frame in frames]
    rng = generator(0, name, "a")
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    out = applied(corruption, iter(packed), rng, {**corruption.draw(given, rng), **declared})
    assert values_of(out) == values_of(damaged(name, frames, **declared))


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_a_frame_comes_out_before_the_next_is_taken(name: str, declared: dict[str, Any]) -> None:
    taken = 0

    def counted() -> Iterator[Frame]:
        nonlocal taken
        for frame in a_clip(4, 8, 8):
            taken += 1
            yield frame

    corruption, rng = CORRUPTIONS[name], generator(0, name, "a")
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    out = applied(corruption, counted(), rng, {**corruption.draw(given, rng), **declared})
    for n, _ in enumerate(out, start=1):
        assert taken == n
    assert taken == 4


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_who_damages_a_frame_that_came_out_damages_no_other(name: str, declared: dict[str, Any]) -> None:
    expected = values_of(damaged(name, a_clip(4, 8, 8), **declared))
    corruption, rng = CORRUPTIONS[name], generator(0, name, "a")
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    found = []
    for frame in applied(corruption, iter(a_clip(4, 8, 8)), rng, {**corruption.draw(given, rng), **declared}):
        found += values_of([frame])
        for plane in frame.planes:
            plane[...] = 3
    assert found == expected


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_no_frames_give_no_frames(name: str, declared: dict[str, Any]) -> None:
    assert damaged(name, [], **declared) == []


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_sizes_may_change_within_a_clip(name: str, declared: dict[str, Any]) -> None:
    frames = [made_frame(8, 12), made_frame(6, 10), made_frame(6, 10, depth=10), made_frame(8, 12, subsampling=None)]
    out = damaged(name, frames, **declared)
    assert [[p.shape for p in frame.planes] for frame in out] == [[p.shape for p in frame.planes] for frame in frames]


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_only_the_window_is_damaged(name: str, declared: dict[str, Any]) -> None:
    frames = a_clip(6, 12, 12)
    corruption, rng = CORRUPTIONS[name], generator(0, name, "a")
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    parameters = {**corruption.draw({**given, "start_s": 0.2, "end_s": 0.5}, rng), **declared}
    out = list(corruption(Video(map(copied, frames), 0.6), rng, parameters).frames)
    assert values_of(out[:2] + out[5:]) == values_of(frames[:2] + frames[5:])
    inside = values_of(damaged(name, frames[2:5], **declared))
    assert values_of(out[2:5]) == inside


@pytest.mark.parametrize(("name", "declared"), NOTHING)
def test_parameters_that_leave_a_clip_leave_every_bit(name: str, declared: dict[str, Any]) -> None:
    corruption = CORRUPTIONS[name]
    assert corruption.changes_nothing(corruption.draw(declared, generator(0, name, "a")))
    for about in FORMATS.values():
        frame = made_frame(9, 11, **about)
        assert values_of([damaged_one(name, frame, **declared)]) == values_of([frame])


@pytest.mark.parametrize(("name", "declared"), CASES)
def test_other_parameters_do_not_leave_it(name: str, declared: dict[str, Any]) -> None:
    corruption = CORRUPTIONS[name]
    given = {key: value for key, value in declared.items() if not isinstance(value, tuple)}
    assert not corruption.changes_nothing(corruption.draw(given, generator(0, name, "a")))
