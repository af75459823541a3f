"""A track of both kinds of target on a small corpus of its own, with two informative features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from made_corpus import made_corpus

from merbench.corpus import Feature
from merbench.track import Track, load_track

torch.set_num_threads(1)  # the models are tiny, and pytest runs one worker per core

LABELS = ("calm", "glad", "sad")
N_TRAIN, N_TEST = 60, 30

DECLARATION = """
id = "small"
version = "1.0"
title = "Small"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.discrete = { type = "categorical", labels = ["calm", "glad", "sad"] }
targets.valence = { type = "continuous", range = [-2.0, 2.0] }
metrics = [
    { name = "weighted_f1", target = "discrete", weight = 1.0 },
    { name = "mse", target = "valence", weight = -0.25 },
]
ranking = { by = ["overall", "weighted_f1"] }
"""

SmallTrack = Callable[..., Track]


@pytest.fixture
def small_track(tmp_path: Path) -> SmallTrack:
    """Return a function that writes the track: with test references in a given order, or without them."""

    def write(
        name: str = "one",
        *,
        test_order: np.ndarray | None = None,
        withheld: bool = False,
        columns: dict[str, list[str | None]] | None = None,
        declaration: str = DECLARATION,
        labels: tuple[str, ...] = LABELS,
        n_dev: int = 0,
    ) -> Track:
        rng = np.random.default_rng(7)
        ids = [f"s{i:03}" for i in range(N_TRAIN + N_TEST)]
        codes = rng.integers(0, 3, len(ids))
        valence = (codes - 1.0 + rng.normal(0, 0.2, len(ids))).clip(-2, 2)
        centres = rng.normal(0, 1, (3, 6))
        features = {
            "loud": Feature.from_vectors(ids, centres[codes] + rng.normal(0, 0.7, (len(ids), 6))),
            "quiet": Feature.from_vectors(ids, centres[codes][:, :4] + rng.normal(0, 1.5, (len(ids), 4))),
        }
        rows = np.arange(len(ids))
        if test_order is not None:
            rows[N_TRAIN:] = N_TRAIN + test_order
        if withheld:
            rows = rows[:N_TRAIN]
        splits = ["dev"] * n_dev + ["train"] * (N_TRAIN - n_dev) + ["test"] * N_TEST
        reference = pa.table(
            {
                "sample_id": ids[: len(rows)],
                "discrete": [labels[code] for code in codes[rows]],
                "valence": valence[rows],
            }
        )
        folder = tmp_path / "tracks" / name / "small"
        made_corpus(
            folder / "corpus",
            name="small",
            samples=pa.table({"sample_id": ids, "split": splits, **(columns or {})}),
            reference=reference,
            features=features,
        )
        (folder / "track.toml").write_text(declaration, encoding="utf-8")
        return load_track(folder)

    return write
