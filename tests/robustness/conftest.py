"""A track on a small corpus with vectors of three modalities, frames, transcripts, speakers, and corruptions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Feature
from merbench.robustness import RobustnessReport, Settings, conditions, robustness
from merbench.track import Track, load_track
from merbench.training import TrainingSet

LABELS = ("calm", "glad", "sad")
N_TRAIN, N_TEST = 60, 36
SPEAKERS = ("ada", "ben", "cleo")

WORDS = {"calm": "the quiet garden rests", "glad": "what a bright happy day", "sad": "all of it is lost again"}

DECLARATION = """
id = "small"
version = "1.0"
title = "Small"
corpus = "./corpus"
seed = 11
splits = { train = "train", test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }
targets.valence = { type = "continuous", range = [-2.0, 2.0] }
metrics = [
    { name = "weighted_f1", target = "discrete", weight = 1.0 },
    { name = "mse", target = "valence", weight = -0.25 },
    { name = "accuracy", target = "discrete" },
]
ranking = { by = ["overall", "weighted_f1"] }
"""

FEATURE_NOISE = '[[corruptions]]\nname = "feature_noise"\nsnr_db = { integers = [5, 10] }\nfactor = 1\n'

CorruptedTrack = Callable[..., Track]


FIXED = {"scale": "each", "C": 0.1, "alpha": 10.0}


def scored(
    track: str | Track,
    grids: dict[str, Any],
    baseline: str | Path = "logistic",
    *,
    output: str | Path = "out",
    charts: bool = False,
    **settings: Any,
) -> RobustnessReport:
    """Run a baseline with fixed options under a grid, without intervals and charts unless they are asked for."""
    given = Settings(**{"options": FIXED if baseline == "logistic" else {}, "intervals": False, **settings})
    with nullcontext() if charts else patch("merbench.robustness.run.condition_curve"):
        return robustness(track, baseline, grids, given, output=output, replace=True)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSet]:
    """Return the training sets that systems are fitted on, which grows as they are."""
    seen: list[TrainingSet] = []
    fit = conditions._fitted

    def spy(system: Any, train: TrainingSet) -> Any:
        seen.append(train)
        return fit(system, train)

    monkeypatch.setattr(conditions, "_fitted", spy)
    return seen


def values(report: RobustnessReport, name: str = "weighted_f1") -> list[float | None]:
    """Return one metric of clean samples, then under every condition."""
    rows = [report.clean, *(row for curve in report.curves for row in curve.rows)]
    return [next(score.value for score in row.scores if score.name == name) for row in rows]


def ids() -> list[str]:
    return [f"s{i:03}" for i in range(N_TRAIN + N_TEST)]


def vectors() -> dict[str, Feature]:
    """Return two vectors and a sequence of frames of every sample, each of which depends on its class."""
    rng, names = np.random.default_rng(7), ids()
    codes = classes()
    centres = rng.normal(0, 1, (3, 12))
    frames = [centres[code][None, :4] + rng.normal(0, 4.0, (3 + i % 4, 4)) for i, code in enumerate(codes)]
    return {
        "audio": Feature.from_vectors(names, centres[codes][:, 4:8] + rng.normal(0, 2.0, (len(names), 4))),
        "video": Feature.from_vectors(names, centres[codes][:, 8:] + rng.normal(0, 2.0, (len(names), 4))),
        "text-frames": Feature.from_frames(names, frames),
    }


def classes() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 3, N_TRAIN + N_TEST)


def write_track(
    folder: Path,
    corruptions: str = "",
    *,
    features: dict[str, Feature] | None = None,
    withheld: bool = False,
    media: dict[str, str] | None = None,
    dialogues: bool = False,
) -> Track:
    names, codes = ids(), classes()
    valence = (codes - 1.0 + np.random.default_rng(5).normal(0, 0.2, len(names))).clip(-2, 2)
    n_held = N_TRAIN if withheld else len(names)
    columns = {
        "sample_id": names,
        "split": ["train"] * N_TRAIN + ["test"] * N_TEST,
        "speaker": [SPEAKERS[i % 3] for i in range(len(names))],
        "transcript": [f"{WORDS[LABELS[code]]} {'again' if i % 5 else 'now'}" for i, code in enumerate(codes)],
    }
    if media is not None:
        columns["media"] = [media.get(name) for name in names]  # type: ignore[misc]
    if dialogues:  # of four utterances each
        columns |= {
            "dialogue": [f"d{i // 4}" for i in range(len(names))],
            "position": [i % 4 for i in range(len(names))],
        }
    made_corpus(
        folder / "corpus",
        name="small",
        samples=pa.table(columns),
        reference=pa.table(
            {
                "sample_id": names[:n_held],
                "discrete": [LABELS[code] for code in codes[:n_held]],
                "valence": valence[:n_held],
            }
        ),
        features=vectors() if features is None else features,
    )
    (folder / "track.toml").write_text(DECLARATION + corruptions, encoding="utf-8")
    return load_track(folder)


@pytest.fixture
def corrupted_track(tmp_path: Path) -> CorruptedTrack:
    """Return a function that writes the track with the corruptions that it is given."""

    def write(corruptions: str = FEATURE_NOISE, name: str = "one", **arguments: object) -> Track:
        return write_track(tmp_path / "tracks" / name / "small", corruptions, **arguments)  # type: ignore[arg-type]

    return write
