"""Faces of real clips: how often they are found, how still boxes and meshes are, and what blur and noise change.

Inputs: the talking faces (GRID) and the web clips of the development data (MERBENCH_TEST_DATA), their first 50
pictures; as they are, and under Gaussian blur and Gaussian noise of severities 1 to 5, as merbench corrupts. GRID is
neutral throughout, and no clip has a label of expression: nothing here is an accuracy.

Reported: `found`, the share of pictures with a face of the chosen track; `in place`, the share whose box also overlaps
that of the clean picture by half (intersection over union): a box may be found and be wrong; `meshed`, the share in
which the mesh model sees a face. All other columns are over the pictures that have such rows, and `clips` says in how
many clips there were any: where few are left, these are the easier ones.

Jitter: how far box and mesh move between neighbouring pictures, over the quarter of the pairs of a clip whose luma
changes least around the face (median). Change: distance from the same picture without corruption: of the middle of the
box in its sides, of mesh and irises in sides of the crop (median over pictures of the mean over points); expression:
share of pictures with another label, and mean total variation. Then the time of each step on one core; `--crops
FILE.png` also writes the crops of the picture in the middle of each clip, a column for each condition.

How faces are searched for and followed (`merbench.features.faces.SETTINGS`: the square of 3.5 boxes out of six sizes
from 2 to 5, moved only after a tenth; both detectors in the search) was chosen by jitter and by how many faces were
found under other noise, on six of these fifteen clips. Neither number is of unseen clips.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import PCG64
from numpy.typing import NDArray

from benchmarks.measuring import machine, race, seconds, table
from merbench.corruptions import CORRUPTIONS
from merbench.errors import Inapplicable
from merbench.features.extractor import Face, Output, Picture
from merbench.features.faces import FaceDetector, find_faces, overlaps
from merbench.features.shipped import EXTRACTORS
from merbench.features.weights import weights_folder
from merbench.media.reading import read_video

N_PICTURES = 50
NAMES = ("face-boxes", "face-mesh", "iris", "expression")
CONDITIONS = (("clean", 0), *((name, level) for name in ("gaussian_blur", "gaussian_noise") for level in range(1, 6)))


@dataclass(frozen=True)
class Measured:
    """A clip under one condition."""

    n_pictures: int
    luma: NDArray[np.float64]  # `(n, 32, 32)`: of the crop of every row
    outputs: Mapping[str, Output]
    crop: NDArray[np.uint8] | None  # of the picture in the middle


def pictures(path: Path, name: str, level: int) -> list[Picture]:
    """Return the first pictures of a clip, corrupted."""
    video = read_video(path)
    video = replace(video, frames=islice(video.frames, N_PICTURES))
    if level:
        video = CORRUPTIONS[name](video, PCG64(0), {"severity": level})
    return [Picture(frame.with_planes([plane.copy() for plane in frame.planes])) for frame in video.frames]


def measured(detector: FaceDetector, extractors: Mapping[str, Any], shown: Sequence[Picture]) -> Measured:
    """Return what all face extractors return for a clip."""
    with detector.start() as reader:
        for picture in shown:
            reader.add(picture)
        try:
            faces = list(reader.store("probe"))
        except Inapplicable:
            return Measured(len(shown), np.zeros((0, 32, 32)), {}, None)
    outputs = {}
    for name, extractor in extractors.items():
        try:
            outputs[name] = output_of(extractor, faces)
        except Inapplicable:
            continue
    luma = np.stack([face.rgb.mean(axis=2).reshape(32, 8, 32, 8).mean(axis=(1, 3)) for face in faces])
    return Measured(len(shown), luma, outputs, faces[len(faces) // 2].rgb)


def output_of(extractor: Any, faces: Iterable[Face]) -> Output:
    """Return what an extractor returns for the faces of a clip."""
    reader = extractor.start()
    for face in faces:
        reader.add(face)
    output: Output = reader.output()
    return output


def middles(boxes: NDArray[np.float32]) -> NDArray[Any]:
    """Return x, y of the middles of boxes in their widths and heights, `(n, 2)`, from any fixed point."""
    middle: NDArray[Any] = (boxes[:, :2] + boxes[:, 2:4] / 2) / np.median(boxes[:, 2:4], axis=0)
    return middle


def jitter(clip: Measured) -> list[float]:
    """Return how far box, its side and mesh move where the picture changes least; NaN without such pairs."""
    if len(clip.luma) < 8:
        return [np.nan] * 3
    boxes = clip.outputs["face-boxes"].values
    change = np.abs(np.diff(clip.luma, axis=0)).mean(axis=(1, 2))
    still = change <= np.quantile(change, 0.25)
    moved = np.linalg.norm(np.diff(middles(boxes), axis=0), axis=1)[still]
    grown = np.abs(np.diff(boxes[:, 2] / np.median(boxes[:, 2])))[still]
    points = np.full((len(boxes), 468, 2), np.nan)
    if "face-mesh" in clip.outputs:
        seen = np.isin(_times(clip.outputs["face-boxes"]), _times(clip.outputs["face-mesh"]))
        points[seen] = clip.outputs["face-mesh"].values.reshape(-1, 468, 3)[:, :, :2]
    shifted = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1)[still]
    return [median(values) for values in (moved, grown, shifted)]


def median(values: NDArray[Any]) -> float:
    """Return the median of the values that are numbers; NaN without one."""
    numbers = values[~np.isnan(values)]
    return float(np.median(numbers)) if len(numbers) else np.nan


def shares(clean: Measured, corrupted: Measured) -> list[float]:
    """Return how many pictures of a corrupted clip have a face, a box in place, and a mesh."""
    n = corrupted.n_pictures
    if not len(corrupted.luma):
        return [0, 0, 0, n]
    pairs = zip(*aligned(clean.outputs["face-boxes"], corrupted.outputs["face-boxes"]), strict=True)
    corners = [[np.concatenate([box[:2], box[:2] + box[2:4]]) for box in pair] for pair in pairs]
    in_place = sum(float(overlaps(a, b[None])[0]) >= 0.5 for a, b in corners)
    meshed = len(corrupted.outputs["face-mesh"].values) if "face-mesh" in corrupted.outputs else 0
    return [len(corrupted.luma), in_place, meshed, n]


def change(clean: Measured, corrupted: Measured) -> list[float]:
    """Return how far box, mesh and irises are from those of the clean clip, other labels, and total variation."""
    rows = {name: aligned(clean.outputs[name], corrupted.outputs.get(name)) for name in NAMES}
    if any(len(before) == 0 for before, _ in rows.values()):
        return [np.nan] * 5
    before, after = rows["face-boxes"]
    scale = np.median(before[:, 2:4], axis=0)
    box = np.linalg.norm((before[:, :2] + before[:, 2:4] / 2 - after[:, :2] - after[:, 2:4] / 2) / scale, axis=1)
    far = [
        np.linalg.norm(a.reshape(-1, n, 3)[:, :, :2] - b.reshape(-1, n, 3)[:, :, :2], axis=2).mean(axis=1)
        for n, (a, b) in ((468, rows["face-mesh"]), (152, rows["iris"]))
    ]
    a, b = rows["expression"]
    variation = np.abs(np.exp(a) - np.exp(b)).sum(axis=1) / 2
    return [*(float(np.median(v)) for v in (box, *far)), float((a.argmax(1) != b.argmax(1)).mean()), variation.mean()]


def aligned(clean: Output, corrupted: Output | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the rows of the same times."""
    if corrupted is None:
        return clean.values[:0], clean.values[:0]
    rows = {float(time_s): row for time_s, row in zip(_times(corrupted), corrupted.values, strict=True)}
    both = [(row, rows[time_s]) for time_s, row in zip(_times(clean), clean.values, strict=True) if time_s in rows]
    return np.array([row for row, _ in both]), np.array([row for _, row in both])


def _times(output: Output) -> list[float]:
    assert output.times is not None
    return [float(time_s) for time_s in output.times]


def costs(detector: FaceDetector, extractors: Mapping[str, Any], shown: Sequence[Picture]) -> str:
    """Return a table of the time of each step for one picture."""
    assert all(picture.rgb.size for picture in shown)  # converted before the clock starts

    def find() -> list[Face]:
        with detector.start() as reader:
            for picture in shown:
                reader.add(picture)
            reader.store("probe")
        return []

    find()
    stored = find_faces("probe")
    assert stored is not None
    faces = list(stored)
    contenders: dict[str, Any] = {"found, followed, cropped, stored": find, "read from the cache": lambda: list(stored)}
    for name, extractor in extractors.items():
        contenders[name] = lambda extractor=extractor: output_of(extractor, faces)
    times = race(contenders, rounds=5)
    return table(["step", "a picture"], [[name, seconds(value / len(shown))] for name, value in times.items()])


def sheet(crops: Sequence[Sequence[NDArray[np.uint8] | None]]) -> NDArray[np.uint8]:
    """Return crops at half their size, a row for each clip and a column for each condition."""
    empty = np.zeros((256, 256, 3), np.uint8)
    rows = [np.hstack([(empty if crop is None else crop)[::2, ::2] for crop in row]) for row in crops]
    return np.vstack(rows)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crops", type=Path, help="write the crops into this file")
    arguments = parser.parse_args()
    data = os.environ.get("MERBENCH_TEST_DATA")
    if not data:
        print("skipped: MERBENCH_TEST_DATA names no folder")
        return
    import cv2

    cv2.setNumThreads(1)
    folders = {name: weights_folder(EXTRACTORS[name]) for name in NAMES}
    detector = FaceDetector(folders["face-boxes"])
    extractors = {name: EXTRACTORS[name].make(folders[name]) for name in NAMES}
    with tempfile.TemporaryDirectory() as home:
        os.environ["MERBENCH_HOME"] = home  # of the cache of faces
        report(Path(data) / "data" / "media" / "video", detector, extractors, arguments.crops)


def report(videos: Path, detector: FaceDetector, extractors: Mapping[str, Any], crops_file: Path | None) -> None:
    """Measure the clips, print the tables, and write the crops."""
    import cv2

    crops = []
    for title, folder in (("GRID", "grid"), ("web clips", "other")):
        clips = sorted((videos / folder).iterdir())
        by_clip = []
        for path in clips:
            by_clip.append([measured(detector, extractors, pictures(path, *condition)) for condition in CONDITIONS])
            crops.append([clip.crop for clip in by_clip[-1]])
        rows = []
        for column, (name, level) in enumerate(CONDITIONS):
            *counts, n_pictures = np.sum([shares(clips[0], clips[column]) for clips in by_clip], axis=0)
            each = np.array([jitter(clips[column]) + change(clips[0], clips[column]) for clips in by_clip])
            measurable = each[~np.isnan(each).any(axis=1)]
            texts = [f"{count / n_pictures:.3f}" for count in counts]
            moved = [f"{value:.4f}" for value in measurable.mean(axis=0)]
            rows.append([f"{name} {level}" if level else name, *texts, str(len(measurable)), *moved])
        head = ["", "found", "in place", "meshed", "clips", "jitter: box", "side", "mesh"]
        head += ["change: box", "mesh", "iris", "label", "variation"]
        print(f"\n{title}: {len(clips)} clips, {N_PICTURES} pictures each\n\n{table(head, rows)}")
    print(f"\n{costs(detector, extractors, pictures(clips[0], 'clean', 0))}\n")
    print(machine(["ai-edge-litert", "opencv-python-headless", "numpy", "av"]))
    if crops_file:
        cv2.imwrite(str(crops_file), sheet(crops)[:, :, ::-1])


if __name__ == "__main__":
    main()
