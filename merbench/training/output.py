"""Writes what a run leaves in its folder: submission, probabilities, and the run record.

The run record says what was trained on what, with which versions, and what it scored.
"""

from __future__ import annotations

import csv
import io
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from merbench.corpus.candidates import Candidates
from merbench.errors import UsageError
from merbench.files.reading import arrow_file, sha256_file
from merbench.files.tensors import Arrays, write_tensors
from merbench.files.writing import atomic_path, write_text
from merbench.training.declaration import LoadedBaseline
from merbench.training.protocol import Predictions
from merbench.training.selection import Trial

if TYPE_CHECKING:
    from merbench.training.run import BaselineRun

SUBMISSION, PROBABILITIES, RECORD = "submission.csv", "probabilities.parquet", "run.json"

MODELS = "models"
"""The folder of a run with the weights of its models."""

SCHEMA = "merbench.run/1"
MODEL_SCHEMA = "merbench.model/1"

PACKAGES = {"numpy": "numpy", "pyarrow": "pyarrow", "sklearn": "scikit-learn", "scipy": "scipy", "torch": "torch"}
"""Modules whose version is recorded where they were imported, and the distributions that bring them."""


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """What was written of the training with one seed: the digest of its submission, and of each of its models."""

    submission: str
    models: Mapping[str, str]  # by the file's name in the folder of the run


def require_free(folder: Path, record: str = RECORD, *, replace: bool) -> None:
    """Raise `UsageError` unless `folder` is empty, or has the `record` of a run, and a run may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / record).is_file():
        raise UsageError(f"{folder}: is not empty and has no {record}; only a run is replaced by a run")
    if not replace:
        raise UsageError(f"{folder}: already contains a run; --force replaces it, --output names another folder")


def submission_table(candidates: Candidates, predictions: Predictions) -> pa.Table:
    """Return the submission: ids, sorted, and the columns of every target.

    A track that asks for several views of a sample gets as many equal rows, with the probabilities that it averages; a
    track that scores probabilities gets these.
    """
    if candidates.track.submission.views is not None or candidates.track.scored_by_probabilities:
        return probability_table(candidates, predictions)
    return _answers(candidates, predictions)


def probability_table(candidates: Candidates, predictions: Predictions) -> pa.Table:
    """Return the submission with one column `p_<label>` added for every label whose name no other target shares."""
    table, views = _answers(candidates, predictions), candidates.track.submission.views
    for name, columns in candidates.track.probability_columns.items():
        for code, column in enumerate(columns):
            table = table.append_column(column, pa.array(predictions.outputs[name][:, code]))
    return table if views is None else table.take(pa.array(np.repeat(np.arange(table.num_rows), views)))


def _answers(candidates: Candidates, predictions: Predictions) -> pa.Table:
    columns: dict[str, Any] = {candidates.track.submission.id: candidates.ids}
    for name, values in predictions.answers(candidates.track).items():
        columns |= candidates.track.targets[name].written_columns(name, values)
    return pa.table(columns)


def write_predictions(folder: Path, candidates: Candidates, predictions: Predictions) -> str:
    """Write `submission.csv` and `probabilities.parquet` and return the SHA-256 of the former."""
    table, text = submission_table(candidates, predictions), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    write_text(folder / SUBMISSION, text.getvalue())
    with atomic_path(folder / PROBABILITIES) as temporary, arrow_file(temporary, "wb") as file:
        pq.write_table(probability_table(candidates, predictions), file)
    return sha256_file(folder / SUBMISSION)


def write_model(folder: Path, seed: int, weights: Arrays, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Write the weights of a seed's model, and return the SHA-256 of the file by its name in the folder."""
    name = f"{MODELS}/seed-{seed}.safetensors"
    write_tensors(folder / name, weights, {"schema": MODEL_SCHEMA, "seed": seed, **metadata})
    return {name: sha256_file(folder / name)}


def run_record(
    run: BaselineRun, loaded: LoadedBaseline, test: Candidates, trials: Sequence[Trial], files: Mapping[int, SeedFiles]
) -> dict[str, Any]:
    """Return the record of a run, ready for JSON; `files` are what was written of every seed."""
    track, corpus = test.track, test.corpus
    tested = [seed.test for seed in run.seeds if seed.test is not None]
    return {
        "schema": SCHEMA,
        "track": {"key": track.key, "fingerprint": track.fingerprint, "content": track.content},
        "corpus": {
            "name": corpus.name,
            "version": corpus.version,
            **({} if test.hidden else {"digest": corpus.digest}),  # which depends on the references
            "synthetic": corpus.synthetic,
        },
        "baseline": {
            "name": loaded.name,
            "title": loaded.declaration.title,
            "paper": loaded.declaration.paper,
            "files": loaded.digests,
        },
        "features": {name: corpus.declaration.content.features[name] for name in run.features},
        "widths": dict(run.widths),
        "options": dict(run.options),
        "n_folds": run.cross_validation["n_folds"],
        "cross_validation": dict(run.cross_validation),
        "n_train": run.n_train,
        **({"label_corruption": dict(run.label_corruption)} if run.label_corruption else {}),
        "n_test": len(test),
        "selection": [{"options": dict(trial.options), "value": _finite(trial.value)} for trial in trials],
        "ranking": list(track.ranked_by),
        "runs": [
            {
                "seed": seed.seed,
                "device": seed.fit.device,
                "cross_validated": dict(seed.cross_validated),
                "test": None if seed.test is None else dict(seed.test),
                "best_epochs": None if seed.fit.curve is None else list(seed.fit.curve.best_epoch),
                "submission": files[seed.seed].submission,
                **({"models": dict(files[seed.seed].models)} if files[seed.seed].models else {}),
            }
            for seed in run.seeds
        ],
        "cross_validated": mean_and_deviation([seed.cross_validated for seed in run.seeds]),
        "test": mean_and_deviation(tested) if tested else None,
        "versions": _versions(),
        "wall_time_s": run.wall_time_s,
    }


def mean_and_deviation(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (n - 1; None for one run) by metric key."""
    columns = {key: [item[key] for item in values] for key in values[0]}
    return {
        key: {"mean": statistics.fmean(column), "deviation": statistics.stdev(column) if len(column) > 1 else None}
        for key, column in columns.items()
    }


def _finite(value: Sequence[float]) -> list[float | None]:
    return [item if abs(item) < float("inf") else None for item in value]


def _versions() -> dict[str, str]:
    used = {name: version(package) for name, package in PACKAGES.items() if name in sys.modules}
    return {"merbench": version("merbench"), "python": platform.python_version(), **used}
