"""A small corpus of every type of column and both kinds of feature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_corpus import made_corpus

from merbench.corpus import Corpus, Feature


@pytest.fixture
def parts() -> dict[str, Any]:
    """Return what `made_corpus` takes, rows in no order."""
    ids = ["c", "a", "d", "b"]
    return {
        "name": "small",
        "source": 'a "quoted" source\twith\x7fcontrol characters',
        "licence": "CC0-1.0",
        "language": "en",
        "samples": pa.table(
            {
                "sample_id": ids,
                "split": ["test", "train", "test", "train"],
                "speaker": pa.array(["s1", "s1", None, "s2"]).dictionary_encode(),
                "position": pa.array([1, None, 3, 4], pa.int16()),
                "loudness": pa.array([0.5, -0.0, None, 2.0], pa.float32()),
                "clean": [True, False, None, True],
                "words": [["x", "y"], [], None, ["z"]],
                "transcript": ["çz", "", "b\nc", "d"],
            }
        ),
        "reference": pa.table(
            {"sample_id": ["b", "d", "a"], "discrete": ["sad", None, "happy"], "valence": [1.5, None, None]}
        ),
        "features": {
            "text": Feature.from_vectors(ids, [[3, 3], [1, 1], [4, 4], [2, 2]]),
            "audio.frames": Feature.from_frames(["d", "a"], [np.full((2, 3), 4.0), np.full((0, 3), 1.0)]),
        },
    }


@pytest.fixture
def corpus(tmp_path: Path, parts: dict[str, Any]) -> Corpus:
    return made_corpus(tmp_path / "small", **parts)
