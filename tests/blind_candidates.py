"""Candidates whose references nobody may look at, and rows that answer them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from merbench.corpus.candidates import Candidates
from merbench.track import Track, parse_track

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
TARGETS: dict[str, Any] = {
    "discrete": {"type": "categorical", "labels": list(LABELS)},
    "valence": {"type": "continuous", "range": [-5.0, 5.0]},
}


class BlindCandidates(Candidates):
    """Candidates for code that must never read a reference."""

    @property
    def references(self) -> NoReturn:
        raise AssertionError("a reference was read")


def small_track(folder: Path, targets: dict[str, Any], rules: dict[str, Any]) -> Track:
    metric = {
        "categorical": {"name": "accuracy", "weight": 1.0},
        "continuous": {"name": "mse", "weight": -0.25},
        "label_set": {"name": "set_recall", "weight": 1.0},
        "ranked": {"name": "first_accuracy", "weight": 1.0},
        "segments": {"name": "segment_f1", "weight": 1.0, "label": "fake"},
    }
    return parse_track(
        {
            "id": folder.name,
            "version": "1.0",
            "title": "A track",
            "corpus": "none",
            "splits": {"test": "test"},
            "targets": targets,
            "metrics": [{"target": name, **metric[target["type"]]} for name, target in targets.items()],
            "ranking": {"by": ["overall"]},
            "submission": rules,
        },
        folder,
    )


def sample_ids(n: int) -> list[str]:
    return [f"sample_{i:08d}" for i in range(n)]


def csv_rows(n: int) -> list[str]:
    """Return a right answer per candidate: the labels in turn, valence 0, 0.1, … 4.9 in turn"""
    return [f"{name},{LABELS[i % 6]},{i % 50 / 10}" for i, name in enumerate(sample_ids(n))]


def csv_text(rows: list[str], header: str = "sample_id,discrete,valence") -> str:
    return "\n".join([header, *rows]) + "\n"


def blind_candidates(folder: Path, ids: list[str], targets: dict[str, Any] | None = None, **rules: Any) -> Candidates:
    """Return candidates of a track whose id is the folder's name."""
    column = pa.array(sorted(ids), pa.string())
    track = small_track(folder, targets or TARGETS, rules)
    return BlindCandidates(track, "test", None, column, pa.table({"sample_id": column}))  # type: ignore[arg-type]
