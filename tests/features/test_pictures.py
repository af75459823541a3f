"""The vector of pictures against arithmetic, and against pictures that are turned, dimmed, deeper or larger."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np
import pytest

from merbench.corruptions.signals import Frame, Video
from merbench.errors import MissingExtra
from merbench.features import pictures
from merbench.features.pictures import N_CELLS, REGIONS, picture_vector


def video(lumas: Iterable[np.ndarray], **given: object) -> Video:
    frames = [Frame((luma,), time_s=number / 25, **given) for number, luma in enumerate(lumas)]  # type: ignore[arg-type]
    return Video(iter(frames), len(frames) / 25)


_MEASURES = ("mean", "contrast", "across", "down", "movement", "dark_share", "dark_row", "dark_height", "bend", "tilt")
_STATISTICS = ("mean", "deviation")


def picture_dimensions() -> tuple[str, ...]:
    """Return the name of each dimension of a `picture_vector`, such as `mouth.bend.deviation`."""
    by_frame = ("brightness", "contrast", *(f"{region}.{measure}" for region in REGIONS for measure in _MEASURES))
    cells = [f"cell_{row}_{column}.mean" for row in range(N_CELLS) for column in range(N_CELLS)]
    return (*(f"{name}.{statistic}" for statistic in _STATISTICS for name in by_frame), *cells)


def named(clip: Video) -> dict[str, float]:
    return dict(zip(picture_dimensions(), picture_vector(clip).tolist(), strict=True))


def scene(seed: int = 0, height: int = 128, width: int = 128) -> np.ndarray:
    """Return smooth luma between 60 and 180."""
    rows, columns = np.linspace(0, 6, height)[:, None] + seed, np.linspace(0, 9, width)[None, :]
    return np.rint(120 + 35 * np.sin(rows) + 25 * np.cos(columns + rows)).astype(np.uint8)


def scaled_scene(seed: int = 0) -> np.ndarray:
    """Return a scene's means of 2 × 2 values, to mean 0 and deviation 1."""
    means = scene(seed).reshape(64, 2, 64, 2).mean(axis=(1, 3))
    return np.asarray((means - means.mean()) / means.std())


def face(mouth: int = 0, opening: int = 2) -> np.ndarray:
    """Return 64 × 64 grey with a dark mouth, its corners `mouth` rows above its middle."""
    luma = np.full((64, 64), 180, np.uint8)
    for column in range(16, 48):
        middle = 47 + mouth // 2 - round(mouth * ((column - 31.5) / 16) ** 2)
        luma[middle - opening : middle + opening + 1, column] = 30
    return luma


def test_every_number_has_a_name_of_its_own() -> None:
    names = picture_dimensions()
    vector = picture_vector(video([scene()]))
    assert vector.shape == (len(names),) == (140,)
    assert vector.dtype == np.float32
    assert len(set(names)) == len(names)
    assert (names[0], names[-1]) == ("brightness.mean", "cell_5_5.mean")


@pytest.mark.parametrize(
    "lumas",
    [[], [np.full((1, 1), 90, np.uint8)], [np.full((1, 7), 90, np.uint8)] * 3, [scene(height=201, width=5)]],
    ids=range(4),
)
def test_whatever_the_pictures_the_numbers_are_finite(lumas: list[np.ndarray]) -> None:
    assert np.isfinite(picture_vector(video(lumas))).all()


def test_one_grey_is_a_brightness_and_nothing_else() -> None:
    values = named(video([np.full((50, 70), 126, np.uint8)] * 3))
    assert values.pop("brightness.mean") == pytest.approx((126 - 16) / 219)
    middle = {name for name in values if name.endswith("dark_row.mean")}  # of no darkness: the middle
    assert all(value == pytest.approx(0.5 if name in middle else 0, abs=1e-6) for name, value in values.items())
    assert named(video([np.full((9, 9), 51, np.uint8)], full_range=True))["brightness.mean"] == pytest.approx(0.2)


def test_a_dimmer_and_flatter_picture_gives_the_same_numbers_but_for_two() -> None:
    bright = picture_vector(video([scene(0), scene(1)]))
    # half the contrast, rounded to integers: an error of up to half a step, a fiftieth of the deviation
    dim = picture_vector(video([np.rint(scene(seed) / 2.0 + 20).astype(np.uint8) for seed in (0, 1)]))
    names = np.array(picture_dimensions())
    level = np.isin(names, [f"{a}.{b}" for a in ("brightness", "contrast") for b in ("mean", "deviation")])
    np.testing.assert_allclose(dim[~level], bright[~level], atol=0.03)
    # in fractions of limited range: dim = bright / 2 + (20 + 8 - 16) / 219
    assert dim[0] == pytest.approx(bright[0] / 2 + 12 / 219, abs=2e-3)
    assert dim[1] == pytest.approx(bright[1] / 2, rel=0.02)


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (270, 3)])
def test_pictures_are_measured_as_a_player_shows_them(rotation: int, turns: int) -> None:
    upright = face(mouth=6)
    stored = np.rot90(upright, turns)  # against the clock; a player turns it back, clockwise
    np.testing.assert_allclose(
        picture_vector(video([stored], rotation=rotation)), picture_vector(video([upright])), atol=1e-5
    )


def test_depth_changes_nothing() -> None:
    deep = [scene().astype(np.uint16) * 4]
    np.testing.assert_allclose(picture_vector(video(deep, depth=10)), picture_vector(video([scene()])), atol=1e-5)


def test_a_centred_square_is_taken_and_colour_is_ignored() -> None:
    wide = np.zeros((128, 200), np.uint8)
    wide[:, 36:164] = scene()
    frame = Frame((wide, np.full((64, 100), 7, np.uint8), np.full((64, 100), 250, np.uint8)))
    assert np.array_equal(picture_vector(Video(iter([frame]), 0.04)), picture_vector(video([scene()])))


def test_movement_is_the_mean_difference_from_the_frame_before() -> None:
    values = named(video([scene(0), scene(2), scene(0)]))
    change = np.abs(scaled_scene(0) - scaled_scene(2))
    # the first frame has none; the two others the same: 2/3 of it
    assert values["all.movement.mean"] == pytest.approx(2 / 3 * change.mean(), rel=1e-4)
    region = change[40:55, 12:52].mean()
    assert values["mouth.movement.mean"] == pytest.approx(2 / 3 * region, rel=1e-4)
    # deviation of (0, m, m): m * sqrt(2) / 3
    assert values["mouth.movement.deviation"] == pytest.approx(region * 2**0.5 / 3, rel=1e-4)


def test_a_smile_bends_upwards_and_a_frown_downwards() -> None:
    bends = [named(video([face(mouth)]))["mouth.bend.mean"] for mouth in (-6, -3, 0, 3, 6)]
    assert bends == sorted(bends)
    assert bends[2] == pytest.approx(0, abs=1e-6)
    assert bends[4] > 0.1
    assert bends[0] < -0.1


def test_an_open_mouth_is_dark_and_high() -> None:
    # 32 of 40 columns, 5 or 9 of 15 rows
    closed, opened = (named(video([face(0, opening)])) for opening in (2, 4))
    assert closed["mouth.dark_share.mean"] == pytest.approx(32 * 5 / (40 * 15))
    assert opened["mouth.dark_share.mean"] == pytest.approx(32 * 9 / (40 * 15))
    assert opened["mouth.dark_row.mean"] == pytest.approx(7.5 / 15)
    # the deviation of 5 rows in a line is sqrt((25 - 1) / 12)
    assert closed["mouth.dark_height.mean"] == pytest.approx(2**0.5 / 15, rel=1e-3)


def test_a_leaning_face_tilts() -> None:
    leaning = np.full((64, 64), 180, np.uint8)
    for column in range(12, 52):
        leaning[44 + (column - 12) // 8, column] = 30
    assert named(video([leaning]))["mouth.tilt.mean"] > 0.1
    assert named(video([leaning[:, ::-1]]))["mouth.tilt.mean"] < -0.1


def test_stripes_have_edges_only_across_them() -> None:
    stripes = np.tile(np.repeat(np.array([80, 160], np.uint8), 8), (64, 4))
    values = named(video([stripes]))
    assert values["all.down.mean"] == 0
    # deviation 1 means steps of 2; 7 of 63 neighbours differ
    assert values["all.across.mean"] == pytest.approx(2 * 7 / 63, rel=1e-4)


def test_cells_are_means_of_the_square() -> None:
    values = picture_vector(video([scene(0), scene(1)]))[-36:].reshape(6, 6)
    mean = (scaled_scene(0) + scaled_scene(1)) / 2
    bounds = [0, 10, 21, 32, 42, 53, 64]  # multiples of 64 / 6, rounded down
    for row in range(6):
        for column in range(6):
            cell = mean[bounds[row] : bounds[row + 1], bounds[column] : bounds[column + 1]]
            assert values[row, column] == pytest.approx(cell.mean(), abs=1e-5)


def test_a_long_clip_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    lumas = [scene(seed) for seed in range(7)]
    expected = picture_vector(video(lumas))
    monkeypatch.setattr(pictures, "_BLOCK", 3)
    np.testing.assert_allclose(picture_vector(video(lumas)), expected, atol=1e-5)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    message = r"^a feature of pictures \(OpenCV\) needs the extra 'media': pip install 'merbench\[media\]'$"
    with pytest.raises(MissingExtra, match=message):
        picture_vector(video([scene()]))
