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
from merbench.errors import UsageError, WithheldReference
from merbench.files.reading import arrow_file, sha256_file
from merbench.files.tensors import Arrays, write_tensors
from merbench.files.writing import atomic_path, write_text
from merbench.report import ScoreReport
from merbench.scoring import score
from merbench.training.declaration import LoadedBaseline
from merbench.training.plan import Plan
from merbench.training.protocol import Predictions

if TYPE_CHECKING:
    from merbench.training.results import BaselineRun, Learned, PartRun, SeedRun

SUBMISSION, PROBABILITIES, RECORD = "submission.csv", "probabilities.parquet", "run.json"

MODELS = "models"
"""The folder of a run with the weights of its models."""

SAMPLES = "sample ids "
"""What the names of arrays of ids, stored with the weights of a model, begin with; the use of the samples follows."""

ANSWERED = "answered"
"""Use of the samples that a model answered in the run."""

SCHEMA = "merbench.run/1"
MODEL_SCHEMA = "merbench.model/1"

PACKAGES = {
    "numpy": "numpy",
    "optuna": "optuna",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "scipy": "scipy",
    "torch": "torch",
}
"""Modules whose version is recorded where they were imported, and the distributions that bring them."""


@dataclass(frozen=True, slots=True)
class SeedFiles:
    """What was written of the training with one seed: the digest of its submission, and of each of its models."""

    submission: str
    models: Mapping[str, str]  # by the file's name in the folder of the run, in the order of the parts


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


def write_submission(path: Path, candidates: Candidates, predictions: Predictions) -> None:
    """Write a submission as CSV."""
    table, text = submission_table(candidates, predictions), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    write_text(path, text.getvalue())


def write_predictions(folder: Path, candidates: Candidates, predictions: Predictions) -> str:
    """Write `submission.csv` and `probabilities.parquet` and return the SHA-256 of the former."""
    write_submission(folder / SUBMISSION, candidates, predictions)
    with atomic_path(folder / PROBABILITIES) as temporary, arrow_file(temporary, "wb") as file:
        pq.write_table(probability_table(candidates, predictions), file)
    return sha256_file(folder / SUBMISSION)


def write_model(
    folder: Path, name: str, weights: Arrays, ids: Mapping[str, pa.StringArray], metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Write the weights of a model with the ids of its samples by use.

    Returns the SHA-256 of the file by its name in the folder of the run.
    """
    path = f"{MODELS}/{name}.safetensors"
    samples = {f"{SAMPLES}{use}": np.array(own.to_pylist(), dtype=np.str_) for use, own in ids.items()}
    write_tensors(folder / path, {**weights, **samples}, {"schema": MODEL_SCHEMA, **metadata})
    return {path: sha256_file(folder / path)}


def score_where_known(test: Candidates, submission: Path | pa.Table, intervals: bool) -> tuple[ScoreReport | None, str]:
    """Return the report on a submission; or None and why there is none, where the references are withheld."""
    try:
        return score(test, submission, intervals=intervals), ""
    except WithheldReference as error:
        return None, str(error)


def run_record(
    run: BaselineRun, plan: Plan, files: Mapping[int, SeedFiles], detectors: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Return the record of a run, ready for JSON.

    Args:
        run: the run.
        plan: what it learned from and answered.
        files: what was written of every seed.
        detectors: what was written of detectors of unknown classes.
    """
    track, test, loaded = run.track, plan.test, plan.loaded
    tested = [seed.test for seed in run.seeds if seed.test is not None]
    only = run.parts[0] if len(run.parts) == 1 else None
    trained = [part for seed in run.seeds for part in seed.parts]  # in other processes, or by an interrupted run
    return {
        "schema": SCHEMA,
        "track": {"key": track.key, "fingerprint": track.fingerprint, "content": track.content},
        "corpus": _corpus(test),
        "training": _training(run, plan),
        "baseline": {
            "name": loaded.name,
            "title": loaded.declaration.title,
            "paper": loaded.declaration.paper,
            "files": dict(run.files),
            **_trained_by(loaded, run),
            **({} if run.preset is None else {"preset": run.preset}),
        },
        "features": {name: test.corpus.declaration.content.features[name] for name in run.features},
        "inputs": [{"feature": name, "width": width} for name, width in run.widths.items()],
        "options": dict(run.options),
        "n_folds": run.cross_validation["n_folds"],
        "cross_validation": dict(run.cross_validation),
        "n_train": plan.labelled.n_learned if only is None else only.n_train,
        **({"label_corruption": dict(run.label_corruption)} if run.label_corruption else {}),
        "n_test": len(test),
        "selection": [] if only is None else _trials(only),
        **({} if only is not None else {"parts": [_part(part) for part in run.parts]}),
        "ranking": list(track.ranked_by),
        "runs": [_seed(seed, files[seed.seed]) for seed in run.seeds],
        "cross_validated": mean_and_deviation([seed.cross_validated for seed in run.seeds]),
        "test": mean_and_deviation(tested) if tested else None,
        **({"hold_out": list(run.hold_out), "detectors": list(detectors)} if run.hold_out else {}),
        **({"warnings": list(run.warnings)} if run.warnings else {}),
        "inputs_digest": run.inputs_digest,
        "versions": versions() | {name: number for part in trained for name, number in part.versions.items()},
        "wall_time_s": run.wall_time_s,
    }


def _trained_by(loaded: LoadedBaseline, run: BaselineRun) -> dict[str, Any]:
    """Return the stages of a baseline, and the other baselines that it trains with all of their options."""
    declared, others = loaded.declaration, loaded.trained(run.options).items()
    trains = {name: {"name": other.name, "options": other.options(run.track.id, own)} for name, (other, own) in others}
    return {
        **({"stages": list(declared.stages)} if declared.stages else {}),
        **({"own_loop": True} if declared.own_loop else {}),
        **({"trains": trains} if trains else {}),
    }


def _corpus(candidates: Candidates) -> dict[str, Any]:
    corpus = candidates.corpus
    return {
        "name": corpus.name,
        "version": corpus.version,
        **({} if candidates.hidden else {"digest": corpus.digest}),  # which depends on the references
        "synthetic": corpus.synthetic,
    }


def _training(run: BaselineRun, plan: Plan) -> dict[str, Any]:
    """Return how the baseline learned: `[training]` with its digest, keys that were replaced, another corpus."""
    training, other = run.track.training, plan.train.corpus
    return {
        "digest": training.digest,
        **training.model_dump(mode="json", exclude_defaults=True),
        **({"replaced": sorted(run.learning)} if run.learning else {}),
        **({"corpus": _corpus(plan.train)} if other.folder != plan.test.corpus.folder else {}),
    }


def _part(part: Learned) -> dict[str, Any]:
    return {
        "left_out": part.left_out,
        "n_train": part.n_train,
        "n_test": part.n_test,
        "options": dict(part.options),
        "cross_validation": dict(part.cross_validation),
        "selection": _trials(part),
    }


def _trials(part: Learned) -> list[dict[str, Any]]:
    return [{"options": dict(trial.options), "value": _finite(trial.value)} for trial in part.trials]


def _seed(seed: SeedRun, files: SeedFiles) -> dict[str, Any]:
    def of_part(part: PartRun) -> dict[str, Any]:
        curve = part.fit.curve
        return {
            "device": part.fit.device,
            "cross_validated": dict(part.cross_validated),
            "best_epochs": None if curve is None else list(curve.best_epoch),
            **({"details": dict(part.fit.details)} if part.fit.details else {}),
        }

    parts = [of_part(part) for part in seed.parts]
    return {
        "seed": seed.seed,
        **(parts[0] if len(parts) == 1 else {"parts": parts}),
        "cross_validated": dict(seed.cross_validated),
        "test": None if seed.test is None else dict(seed.test),
        "submission": files.submission,
        **({"models": dict(files.models)} if files.models else {}),
    }


def mean_and_deviation(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (n - 1; None for one run) by metric key."""
    columns = {key: [item[key] for item in values] for key in values[0]}
    return {
        key: {"mean": statistics.fmean(column), "deviation": statistics.stdev(column) if len(column) > 1 else None}
        for key, column in columns.items()
    }


def with_deviation(mean: float | None, deviation: float | None, decimals: int) -> str:
    """Return `"0.6012 ± 0.0103"`, or only the mean of one run; nothing without a mean."""
    return (
        "" if mean is None else f"{mean:.{decimals}f}" + ("" if deviation is None else f" ± {deviation:.{decimals}f}")
    )


def _finite(value: Sequence[float]) -> list[float | None]:
    return [item if abs(item) < float("inf") else None for item in value]


def versions() -> dict[str, str]:
    """Return the versions of merbench, Python, and the packages that a result may depend on, where they were used."""
    used = {name: version(package) for name, package in PACKAGES.items() if name in sys.modules}
    return {"merbench": version("merbench"), "python": platform.python_version(), **used}
