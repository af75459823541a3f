from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from made_corpus import made_corpus

TRACK = """
id = "mine"
version = "1.0"
title = "Mine"
corpus = "./corpus"
splits = {{ train = "train", test = "test" }}
ranking.by = ["overall"]
metrics = [{{ name = "{metric}", target = "{name}", weight = 1.0 }}]
targets.{name} = {target}
submission.missing_ids = "{missing}"
"""

KINDS = {
    "label": ("emotion", "accuracy", '{ type = "categorical", labels = ["happy", "sad", "angry"] }', "happy"),
    "ranking": ("emotion", "first_accuracy", '{ type = "ranked", labels = ["happy", "sad", "angry"], out_of_vocabulary = "wrong" }', "happy"),
    "words": ("openset", "set_jaccard", '{ type = "label_set" }', ["happy"]),
    "number": ("valence", "ccc", '{ type = "continuous", range = [-3.0, 3.0] }', 1.5),
    "choice": ("better", "accuracy", '{ type = "preference", same = "class" }', "a2"),
}  # fmt: skip

Made = Callable[..., Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a data home of its own, and no proxy between it and its server."""
    monkeypatch.setenv("MERBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Return a function that writes a track of one target, of a form of answer, with n samples, and four to learn from."""

    def make(form: str = "label", n: int = 6, *, texts: Sequence[str] | None = None, missing: str = "error") -> Path:
        name, metric, target, reference = KINDS[form]
        ids = [f"s{i:04}" for i in range(n)] + [f"t{i}" for i in range(4)]
        samples: dict[str, Any] = {
            "sample_id": ids,
            "split": ["test"] * n + ["train"] * 4,
            "transcript": [*(texts or [f"words of {i}" for i in range(n)]), *(f"example {i}" for i in range(4))],
        }
        if form == "choice":
            samples |= {"a1": [f"one of {id_}" for id_ in ids], "a2": [f"two of {id_}" for id_ in ids]}
        made_corpus(
            tmp_path / "mine" / "corpus",
            name="mine",
            replace=True,
            samples=pa.table(samples),
            reference=pa.table({"sample_id": ids, name: [reference] * len(ids)}),
        )
        (tmp_path / "mine" / "track.toml").write_text(
            TRACK.format(name=name, metric=metric, target=target, missing=missing)
        )
        return tmp_path / "mine"

    return make
