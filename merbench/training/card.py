"""A run goes in, its card comes out: what was trained on what, with which versions, and what it scored."""

from __future__ import annotations

import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from merbench.corpus.candidates import Candidates
from merbench.files import sha256_file
from merbench.training.data import TrainingSet
from merbench.training.declaration import LoadedBaseline, Options
from merbench.training.selection import Trial

if TYPE_CHECKING:
    from merbench.training.run import SeedRun

SCHEMA = "merbench.run/1"

PACKAGES = {"numpy": "numpy", "pyarrow": "pyarrow", "sklearn": "scikit-learn", "scipy": "scipy", "torch": "torch"}
"""Modules whose version is recorded where they were imported, and the distributions that bring them."""


def run_card(
    loaded: LoadedBaseline,
    test: Candidates,
    train: TrainingSet,
    options: Options,
    trials: Sequence[Trial],
    runs: Sequence[SeedRun],
    submissions: Mapping[int, str],
    cross_validation: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the card of a run, ready for JSON; `submissions` are digests of the seeds' submission files."""
    track, corpus = test.track, test.corpus
    tested = [run.test for run in runs if run.test is not None]
    return {
        "schema": SCHEMA,
        "track": {"key": track.key, "fingerprint": track.fingerprint},
        "corpus": {
            "name": corpus.name,
            "version": corpus.version,
            **({} if test.hidden else {"digest": corpus.digest}),  # which follows the references
            "synthetic": corpus.synthetic,
        },
        "baseline": {
            "name": loaded.name,
            "title": loaded.declaration.title,
            "paper": loaded.declaration.paper,
            "files": {name: sha256_file(loaded.folder / name) for name in ("baseline.toml", "model.py")},
        },
        "features": {name: corpus.declaration.content.features[name] for name in train.features},
        "options": dict(options),
        "n_folds": cross_validation["n_folds"],
        "cross_validation": dict(cross_validation),
        "n_train": len(train),
        **({"label_damage": dict(train.damage)} if train.damage else {}),
        "n_test": len(test),
        "selection": [{"options": dict(trial.options), "value": _finite(trial.value)} for trial in trials],
        "ranking": list(track.ranked_by),
        "runs": [_run(run, submissions[run.seed]) for run in runs],
        "cross_validated": mean_and_deviation([run.cross_validated for run in runs]),
        "test": mean_and_deviation(tested) if tested else None,
        "versions": _versions(),
    }


def mean_and_deviation(values: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (n - 1; None for one run) by metric key."""
    found: dict[str, dict[str, float | None]] = {}
    for key in values[0]:
        column = [item[key] for item in values]
        found[key] = {
            "mean": statistics.fmean(column),
            "deviation": statistics.stdev(column) if len(column) > 1 else None,
        }
    return found


def _run(run: SeedRun, submission: str) -> dict[str, Any]:
    curve = run.found.curve
    return {
        "seed": run.seed,
        "device": run.found.device,
        "cross_validated": dict(run.cross_validated),
        "test": None if run.test is None else dict(run.test),
        "best_epochs": None if curve is None else list(curve.best_epoch),
        "submission": submission,
    }


def _finite(value: Sequence[float]) -> list[float | None]:
    return [item if abs(item) < float("inf") else None for item in value]


def _versions() -> dict[str, str]:
    used = {name: version(package) for name, package in PACKAGES.items() if name in sys.modules}
    return {"merbench": version("merbench"), "python": platform.python_version(), **used}
