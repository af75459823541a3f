"""A metric over a million frames with clusters drawn again, compared with merely reading the file of predictions.

Inputs: 1,000,000 frames of 200 videos of unequal length, valence and one of eight expressions each; ids match already.
Timed: CCC and unweighted average recall, their plain values and 1,000 resamples of the videos, against reading the CSV
that contains the predictions: as merbench does, in one thread and keeping the lines of rows, and merely with Arrow.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from benchmarks.measuring import machine, race, seconds, table
from merbench.metrics import METRICS
from merbench.metrics.sums import Clustered
from merbench.resampling import poisson_weights
from merbench.submission.columns import read_sheet
from merbench.submission.content import Budget
from merbench.track import SubmissionRules

N, N_VIDEOS, N_RESAMPLES, N_LABELS = 1_000_000, 200, 1_000, 8
WANTED = {"id": pa.string(), "valence": pa.float64(), "expression": pa.string()}
BUDGET = Budget(file_bytes=1 << 30, unpacked_bytes=1 << 30, rows=2 * N, columns=10)
RULES = SubmissionRules(id="id")
CCC, UAR = METRICS["ccc"], METRICS["unweighted_average_recall"]


def frames() -> tuple[dict[str, Any], dict[str, Any], np.ndarray]:
    """Return references, predictions, and the video of every frame."""
    rng = np.random.default_rng(6)
    videos = np.sort(rng.choice(N_VIDEOS, N, p=rng.dirichlet(np.full(N_VIDEOS, 4.0))))
    valence = np.tanh(rng.normal(0, 0.4, N_VIDEOS)[videos] + rng.normal(0, 0.3, N))
    expression = rng.integers(0, N_LABELS, N).astype(np.int32)
    guesses = np.where(rng.random(N) < 0.5, expression, rng.integers(0, N_LABELS, N)).astype(np.int32)
    reference = {"valence": valence, "expression": expression}
    return reference, {"valence": valence + rng.normal(0, 0.2, N), "expression": guesses}, videos


def scored(reference: dict[str, Any], prediction: dict[str, Any], videos: np.ndarray) -> list[np.ndarray]:
    """Return the plain values of both metrics, then their resamples."""
    found = []
    for weights in (np.ones((1, N), np.uint8), *poisson_weights("frames", N, N_RESAMPLES, clusters=videos)):
        assert len(weights) == 1 or isinstance(weights, Clustered)
        found.append(CCC(reference["valence"], prediction["valence"], weights))
        found.append(UAR(reference["expression"], prediction["expression"], weights, n_labels=N_LABELS))
    return found


def main() -> None:
    """Print the table."""
    reference, prediction, videos = frames()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.csv"
        ids = [f"video_{video:03d}/{frame:07d}" for frame, video in enumerate(videos)]
        labels = pa.array([f"expression {code}" for code in range(N_LABELS)]).take(pa.array(prediction["expression"]))
        pa.csv.write_csv(pa.table({"id": ids, "valence": prediction["valence"], "expression": labels}), path)
        times = race(
            {
                "CCC and UAR, with 1,000 resamples of 200 videos": lambda: scored(reference, prediction, videos),
                "the same, resamples alone": lambda: scored_alone(reference, prediction, videos),
                "bare read of the CSV with Arrow, two threads": lambda: pa.csv.read_csv(path),
                "read of the CSV as merbench reads it": lambda: read_sheet(path, WANTED, RULES, BUDGET),
            },
            rounds=7,
        )
    read = times["read of the CSV as merbench reads it"]
    print(f"{N:,} frames of {N_VIDEOS} videos\n" + machine(["numpy", "pyarrow"]) + "\n")
    print(table(["", "median", "of the read"], [(name, seconds(t), f"{t / read:.2f}×") for name, t in times.items()]))


def scored_alone(reference: dict[str, Any], prediction: dict[str, Any], videos: np.ndarray) -> None:
    """Score the resamples, without the plain values."""
    for weights in poisson_weights("frames", N, N_RESAMPLES, clusters=videos):
        CCC(reference["valence"], prediction["valence"], weights)
        UAR(reference["expression"], prediction["expression"], weights, n_labels=N_LABELS)


if __name__ == "__main__":
    main()
