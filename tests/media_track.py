"""A track whose clips are corrupted, and its corpus, in a folder of tracks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from made_corpus import made_corpus

from merbench.corpus.candidates import Candidates, open_candidates

DECLARATION = """
id = "toy-noise"
version = "1.0"
title = "Toy noise"
corpus = "./corpus"
seed = 11

[splits]
test = "test"

[targets.discrete]
type = "categorical"
labels = ["calm", "glad"]
STEPS
[[metrics]]
name = "accuracy"
target = "discrete"

[ranking]
by = ["accuracy"]
"""

NOISE = """
[[corruptions]]
name = "background_noise"
noise = "synthetic/babble"
snr_db = { integers = [5, 10] }
"""

BLUR = """
[[corruptions]]
name = "pyramid_blur"
factor = { choice = [1, 2, 4] }
"""


def write_media_track(folder: Path, ids: Sequence[str], steps: str = NOISE + BLUR, **columns: Sequence[str]) -> Path:
    """Write the track and its corpus into a folder and return it."""
    track = folder / "toy-noise"
    track.mkdir(parents=True, exist_ok=True)
    (track / "track.toml").write_text(DECLARATION.replace("STEPS", steps), encoding="utf-8")
    made_corpus(
        track / "corpus",
        name="toy",
        samples=pa.table({"sample_id": list(ids), "split": ["test"] * len(ids), **columns}),
        reference=pa.table(
            {"sample_id": list(ids), "discrete": ["calm", "glad"] * (len(ids) // 2) + ["calm"] * (len(ids) % 2)}
        ),
        replace=True,
    )
    return track


def media_candidates(
    folder: Path, ids: Sequence[str], steps: str = NOISE + BLUR, **columns: Sequence[str]
) -> Candidates:
    """Return the candidates of such a track."""
    return open_candidates(write_media_track(folder, ids, steps, **columns))
