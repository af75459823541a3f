"""Scoring a CSV submission with every check, compared with the ways in which organizers do it today.

Inputs: a corpus and a track made for this run (six classes in the shares of MER 2023's test2, valence in [-5, 5]), and
a submission as pandas would write it, its rows shuffled. All contenders compute weighted F1, MSE and the overall score,
and must agree to 1e-9. Files lie in the page cache. In one process the track that was named last stays open while its
files do not change; the row "opened again" is what the first submission costs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from sklearn.metrics import f1_score, mean_squared_error

import merbench
from benchmarks.measuring import machine, race, seconds, table
from merbench.corpus import Contents, Metadata, write_corpus
from merbench.corpus.candidates import Candidates

LABELS = ["neutral", "angry", "happy", "sad", "worried", "surprise"]
SHARES = np.array([123, 98, 87, 40, 52, 12]) / 412
TRACK = f"""\
id = "bench"
version = "1.0"
title = "Benchmark"
corpus = "./corpus"
[splits]
test = "test"
[targets.discrete]
type = "categorical"
labels = {LABELS}
[targets.valence]
type = "continuous"
range = [-5.0, 5.0]
[[metrics]]
name = "weighted_f1"
target = "discrete"
weight = 1.0
[[metrics]]
name = "mse"
target = "valence"
weight = -0.25
[ranking]
by = ["overall"]
[submission]
max_bytes = 400_000_000
"""

Scores = tuple[float, float, float]


def make_inputs(folder: Path, n: int) -> None:
    """Write a track with its corpus, the references as a CSV for the peers, and a submission."""
    rng = np.random.default_rng(2023)
    ids = np.array([f"sample_{i:08d}" for i in range(n)])
    codes = rng.choice(len(LABELS), n, p=SHARES)
    valence = np.clip(rng.normal(0, 2, n), -5, 5).round(3)
    guesses = np.where(rng.random(n) < 0.7, codes, rng.integers(0, len(LABELS), n))
    labels = np.array(LABELS)
    columns = {"sample_id": ids, "discrete": labels[codes], "valence": valence}
    answers = {"sample_id": ids, "discrete": labels[guesses], "valence": np.clip(valence + rng.normal(0, 1, n), -5, 5)}
    track = folder / "bench"
    track.mkdir()
    (track / "track.toml").write_text(TRACK, encoding="utf-8")
    write_corpus(
        track / "corpus",
        Metadata(name="bench", version="1.0", source="made up", licence="none", synthetic=True),
        Contents(pa.table({"sample_id": ids, "split": ["test"] * n}), pa.table(columns)),
    )
    pd.DataFrame(columns).to_csv(folder / "reference.csv", index=False)
    order = rng.permutation(n)
    pd.DataFrame(answers).iloc[order].to_csv(folder / "submission.csv", index=False)


def with_merbench(folder: Path, *, intervals: bool) -> Scores:
    """Open track, candidates and references, check the submission, score it."""
    return of_report(merbench.score(folder / "bench", folder / "submission.csv", intervals=intervals))


def opened_again(folder: Path) -> Scores:
    """Read and verify track, candidates and references from disk, then check and score the submission."""
    candidates = merbench.open_candidates(merbench.load_track(folder / "bench"))
    return with_open_candidates(folder, candidates)


def with_open_candidates(folder: Path, candidates: Candidates) -> Scores:
    """Check and score the submission; track, candidates and references are open already."""
    return of_report(merbench.score(candidates, folder / "submission.csv", intervals=False))


def of_report(report: merbench.ScoreReport) -> Scores:
    """Return the three values of a report."""
    f1, mse, overall = (report[name].value for name in ("weighted_f1", "mse", "overall"))
    assert f1 is not None and mse is not None and overall is not None
    return f1, mse, overall


def row_by_row(folder: Path) -> Scores:
    """Score as a challenge's released script does: a dictionary per file from `iterrows`, a loop over its names."""
    tables = []
    for name in ("reference.csv", "submission.csv"):
        rows: dict[str, dict[str, object]] = {}
        for _, row in pd.read_csv(folder / name).iterrows():
            rows[row["sample_id"]] = {"discrete": row["discrete"], "valence": row["valence"]}
        tables.append(rows)
    reference, submission = tables
    assert len(reference) == len(submission)
    emotions: tuple[list[int], list[int]] = ([], [])
    valences: tuple[list[object], list[object]] = ([], [])
    codes: dict[object, int] = {label: code for code, label in enumerate(LABELS)}
    for name in reference:
        for side, rows in enumerate((reference, submission)):
            emotions[side].append(codes[rows[name]["discrete"]])
            valences[side].append(rows[name]["valence"])
    return of_sklearn(*emotions, *valences)


def merged(folder: Path) -> Scores:
    """Score as a careful pandas user does: one merge, then scikit-learn."""
    both = pd.merge(
        pd.read_csv(folder / "reference.csv"), pd.read_csv(folder / "submission.csv"), on="sample_id", validate="1:1"
    )
    return of_sklearn(both["discrete_x"], both["discrete_y"], both["valence_x"], both["valence_y"])


def of_sklearn(emotion: object, answer: object, valence: object, guess: object) -> Scores:
    """Return the three values by scikit-learn."""
    f1 = float(f1_score(emotion, answer, average="weighted"))
    mse = float(mean_squared_error(valence, guess))
    return f1, mse, f1 - 0.25 * mse


def bare_read(folder: Path) -> pa.Table:
    """Merely read the submission with Arrow: no check, no score."""
    return pyarrow.csv.read_csv(folder / "submission.csv")


def peak_megabytes(folder: Path) -> float:
    """Return the peak memory of a fresh process that scores the submission, libraries included."""
    code = (
        "import resource, sys, merbench\n"
        f"merbench.score({str(folder / 'bench')!r}, {str(folder / 'submission.csv')!r}, intervals=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == 'darwin' else 1e3))"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def require_agreement(contenders: dict[str, Callable[[], Scores]]) -> None:
    """Stop the benchmark where two contenders do not compute the same."""
    values = {name: contender() for name, contender in contenders.items()}
    first = next(iter(values.values()))
    for name, value in values.items():
        if not np.allclose(value, first, rtol=0, atol=1e-9):
            raise SystemExit(f"{name} computes {value}, not {first}")


def small(folder: Path) -> str:
    """Return the table of 20,000 rows."""
    make_inputs(folder, 20_000)
    candidates = merbench.open_candidates(merbench.load_track(folder / "bench"))
    ours = "merbench, all checks"
    contenders: dict[str, Callable[[], Scores]] = {
        ours: partial(with_merbench, folder, intervals=False),
        "merbench, opened again": partial(opened_again, folder),
        "merbench, candidates and references open": partial(with_open_candidates, folder, candidates),
        "merbench, 1,000 resamples": partial(with_merbench, folder, intervals=True),
        "rows one by one (iterrows, scikit-learn)": partial(row_by_row, folder),
        "pandas merge + scikit-learn": partial(merged, folder),
    }
    require_agreement(contenders)
    times = race({**contenders, "bare read with Arrow": partial(bare_read, folder)}, rounds=15)
    read = times["bare read with Arrow"]
    rows = [(name, seconds(t), f"{t / times[ours]:.2f}×", f"{t / read:.1f}×") for name, t in times.items()]
    return "20,000 rows\n\n" + table(["", "median", "of merbench", "of the bare read"], rows)


def large(folder: Path) -> str:
    """Return the table of 1,000,000 rows."""
    make_inputs(folder, 1_000_000)
    candidates = merbench.open_candidates(merbench.load_track(folder / "bench"))
    _ = candidates.references
    times = race(
        {
            "merbench, all checks": partial(with_merbench, folder, intervals=False),
            "merbench, opened again": partial(opened_again, folder),
            "merbench, candidates and references open": partial(with_open_candidates, folder, candidates),
            "bare read with Arrow": partial(bare_read, folder),
        },
        rounds=5,
    )
    read = times["bare read with Arrow"]
    rows = [(name, seconds(t), f"{t / read:.1f}×") for name, t in times.items()]
    peak = f"Peak memory of a fresh process, libraries included: {peak_megabytes(folder):,.0f} MB."
    return "1,000,000 rows\n\n" + table(["", "median", "of the bare read"], rows) + "\n\n" + peak


def of_methods(folder: Path) -> str:
    """Return the table of the default intervals next to percentile ones, from the file to the report."""
    rows = []
    for n in (400, 834, 5_000, 20_000):
        own = folder / str(n)
        own.mkdir()
        make_inputs(own, n)
        arguments = own / "bench", own / "submission.csv"
        times = race(
            {method: partial(merbench.score, *arguments, method=method) for method in ("percentile", "default")},
            rounds=15,
        )
        ratio = times["default"] / times["percentile"]
        rows.append([f"{n:,}", *(seconds(time) for time in times.values()), f"{ratio:.2f}×"])
    return "1,000 resamples\n\n" + table(["rows", "percentile", "default", "of percentile"], rows)


def main() -> None:
    """Print the tables."""
    print(machine(["numpy", "pandas", "pyarrow", "scikit-learn"]), end="\n\n")
    for part in (small, of_methods, large):
        with tempfile.TemporaryDirectory() as folder:
            print(part(Path(folder)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
