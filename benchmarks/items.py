"""Items over 200 systems and 20,000 samples: missed by all, discrimination, contradicted references.

Inputs: made for this run; labels of six classes, numbers, and sets of words. Reading the submissions is left out: see
`scoring.py`.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measuring import machine, table
from merbench.corpus import Contents, Metadata, write_corpus
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.scoring import items
from merbench.submission import Submission, read_submission
from merbench.track import load_track

N_SYSTEMS, N = 200, 20_000
LABELS = ["neutral", "angry", "happy", "sad", "worried", "surprise"]
TRACK = f"""\
id = "bench"
version = "1.0"
title = "Benchmark"
corpus = "./corpus"
splits = {{ test = "test" }}
ranking.by = ["accuracy"]
metrics = [
  {{ name = "accuracy", target = "discrete" }},
  {{ name = "ccc", target = "valence" }},
  {{ name = "set_f1", target = "words" }},
]
[targets]
discrete = {{ type = "categorical", labels = {LABELS} }}
valence = {{ type = "continuous" }}
words = {{ type = "label_set" }}
"""


def make_candidates(folder: Path) -> Candidates:
    rng = np.random.default_rng(1)
    ids = [f"sample_{i:06d}" for i in range(N)]
    samples = pa.table({"sample_id": ids, "split": ["test"] * N})
    metadata = Metadata(name="bench", version="1.0", source="made up", licence="none", synthetic=True)
    reference = answers(ids, rng.integers(0, 6, N), rng.normal(size=N))
    write_corpus(folder / "corpus", metadata, Contents(samples, reference))
    (folder / "track.toml").write_text(TRACK, encoding="utf-8")
    return open_candidates(load_track(folder))


def answers(ids: list[str], codes: np.ndarray, numbers: np.ndarray) -> pa.Table:
    words = [[LABELS[code], LABELS[code - 1]] for code in codes.tolist()]
    labels = [LABELS[code] for code in codes.tolist()]
    return pa.table({"sample_id": ids, "discrete": labels, "valence": numbers, "words": words})


def systems(candidates: Candidates) -> dict[str, Submission]:
    ids, read = candidates.ids.to_pylist(), {}
    codes, numbers = (np.asarray(candidates.references.values[name]) for name in ("discrete", "valence"))
    for seed in range(N_SYSTEMS):
        rng = np.random.default_rng(seed)
        wrong = rng.random(N) > 0.4 + 0.5 * seed / N_SYSTEMS
        given = np.where(wrong, rng.integers(0, 6, N), codes)
        read[f"system {seed}"] = read_submission(answers(ids, given, 0.7 * numbers + rng.normal(size=N)), candidates)
    return read


def main() -> None:
    print(machine(["numpy", "pyarrow"]))
    with tempfile.TemporaryDirectory() as folder:
        candidates = make_candidates(Path(folder) / "bench")
        read = systems(candidates)
        rows = []
        for target in candidates.track.targets:
            times = []
            for _ in range(3):
                start = time.perf_counter()
                items(candidates, read, target=target)
                times.append(time.perf_counter() - start)
            tracemalloc.start()
            items(candidates, read, target=target)
            rows.append([target, f"{sorted(times)[1]:.2f} s", f"{tracemalloc.get_traced_memory()[1] / 1e6:,.0f} MB"])
            tracemalloc.stop()
    print(table(["target", "time", "memory at most"], rows))


if __name__ == "__main__":
    main()
