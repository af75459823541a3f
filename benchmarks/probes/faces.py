"""Faces of real clips: how often they are found, how still boxes and meshes are, and what blur and noise change.

Inputs: the talking faces (GRID) and the web clips of the development data (MERBENCH_TEST_DATA), their first 50
pictures; as they are, and under Gaussian blur and Gaussian noise of severities 1 to 5, as merbench corrupts. GRID is
neutral throughout, and no clip has a label of expression: nothing here is an accuracy.

Reported: the share of pictures with a face of the chosen track. Jitter: how far box and mesh move between neighbouring
pictures, over the quarter of the pairs of a clip whose luma changes least around the face (median). Change: distance
from the same picture without corruption: of the middle of the box in its sides, of mesh and irises in sides of the crop
(median over pictures of the mean over points); expression: share of pictures with another label, and mean total
variation. Then the time of each step on one core; `--crops FILE.png` also writes the crops of a picture of each clip
and condition.
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
from merbench.features.faces import FaceDetector, find_faces
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
    luma: NDArray[np.float64]  # `(n, 32, 32)`: around the face of every row, in the uncorrupted clip's crops
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
    """Return how far box, its side and mesh move where the picture changes least; NaN without a face."""
    if len(clip.luma) < 8 or "face-mesh" not in clip.outputs:
        return [np.nan] * 3
    boxes = clip.outputs["face-boxes"].values
    mesh = clip.outputs["face-mesh"]
    change = np.abs(np.diff(clip.luma, axis=0)).mean(axis=(1, 2))
    still = change <= np.quantile(change, 0.25)
    moved = np.linalg.norm(np.diff(middles(boxes), axis=0), axis=1)[still]
    grown = np.abs(np.diff(boxes[:, 2] / np.median(boxes[:, 2])))[still]
    points = mesh.values.reshape(-1, 468, 3)[:, :, :2]
    kept = still if len(points) == len(boxes) else np.ones(len(points) - 1, bool)
    shifted = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1)[kept]
    return [float(np.median(values)) for values in (moved, grown, shifted)]


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
            here = [clips[column] for clips in by_clip]
            rate = sum(len(clip.luma) for clip in here) / sum(clip.n_pictures for clip in here)
            means = np.nanmean([jitter(clips[column]) + change(clips[0], clips[column]) for clips in by_clip], axis=0)
            rows.append([f"{name} {level}" if level else name, f"{rate:.3f}", *(f"{value:.4f}" for value in means)])
        head = ["", "found", "jitter: box", "side", "mesh", "change: box", "mesh", "iris", "label", "variation"]
        print(f"\n{title}: {len(clips)} clips, {N_PICTURES} pictures each\n\n{table(head, rows)}")
    print(f"\n{costs(detector, extractors, pictures(clips[0], 'clean', 0))}\n")
    print(machine(["ai-edge-litert", "opencv-python-headless", "numpy", "av"]))
    if crops_file:
        cv2.imwrite(str(crops_file), sheet(crops)[:, :, ::-1])


if __name__ == "__main__":
    main()
