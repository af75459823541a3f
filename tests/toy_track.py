"""A track of 40 samples on a corpus of its own, and predictions for it with a chosen number of mistakes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow as pa
from made_corpus import made_corpus

from merbench.track import Track, load_track

IDS = [f"s{i:02}" for i in range(40)]
LABELS = ["calm", "glad", "sad"]
ANSWERS = [LABELS[i % 3] for i in range(40)]

DECLARATION = """
id = "NAME"
version = "1.0"
title = "Toy"
corpus = "./corpus"

[splits]
test = { source = "test", hidden = HIDDEN }

[targets.discrete]
type = "categorical"
labels = ["calm", "glad", "sad"]

[[metrics]]
name = "accuracy"
target = "discrete"

[[metrics]]
name = "weighted_f1"
target = "discrete"
MORE
[ranking]
by = ["accuracy", "weighted_f1"]
decimals = 4

[intervals]
method = "METHOD"
"""

VALENCE = """
[targets.valence]
type = "continuous"

[[metrics]]
name = "mse"
target = "valence"
"""


def write_toy_track(
    tracks: Path,
    *,
    name: str = "toy",
    hidden: bool = False,
    answers: Iterable[str] = ANSWERS,
    scored: Collection[str] | None = None,
    valence: bool = False,
    method: str = "percentile",
) -> Track:
    """Write the track into a folder of tracks; `scored` are the ids whose reference is in the corpus."""
    folder = tracks / name
    folder.mkdir(parents=True, exist_ok=True)
    text = (
        DECLARATION.replace("NAME", name)
        .replace("HIDDEN", str(hidden).lower())
        .replace("MORE", VALENCE if valence else "")
        .replace("METHOD", method)
    )
    (folder / "track.toml").write_text(text, encoding="utf-8")
    reference = pa.table(
        {"sample_id": IDS, "discrete": list(answers), **({"valence": [0.0] * len(IDS)} if valence else {})}
    )
    if scored is not None:
        reference = reference.filter(pa.array([sample_id in scored for sample_id in IDS]))
    made_corpus(
        folder / "corpus",
        name="toy",
        samples=pa.table({"sample_id": IDS, "split": ["test"] * len(IDS)}),
        reference=reference if reference.num_rows else None,
        replace=True,
    )
    return load_track(folder)


def predictions(wrong: Iterable[int] = (), valence: str | None = None) -> str:
    """Return a submission that is right but for the samples of these numbers."""
    mistakes = set(wrong)
    lines = ["sample_id,discrete" + (",valence" if valence else "")]
    for i, (sample_id, answer) in enumerate(zip(IDS, ANSWERS, strict=True)):
        given = LABELS[(LABELS.index(answer) + 1) % 3] if i in mistakes else answer
        lines.append(f"{sample_id},{given}" + (f",{valence}" if valence else ""))
    return "\n".join(lines) + "\n"
