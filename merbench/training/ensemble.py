"""Averages the probabilities and values of several runs of a track into a submission."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError, json_text, listed, plural
from merbench.files.paths import require_apart
from merbench.files.reading import sha256_file
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.submission import read_submission
from merbench.targets import names_of_other_types
from merbench.track import Track, load_track
from merbench.training.data import TEST
from merbench.training.output import (
    PROBABILITIES,
    RECORD,
    SUBMISSION,
    require_free,
    score_where_known,
    write_predictions,
)
from merbench.training.protocol import Predictions

ENSEMBLE_SCHEMA = "merbench.ensemble/1"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several runs that were averaged: what was written, and its score or why there is none."""

    folder: Path
    n_runs: int
    report: ScoreReport | None
    withheld: str = ""


def ensemble(
    track: str | Path | Track,
    runs: Sequence[str | Path],
    *,
    weights: Sequence[float] | None = None,
    split: str = TEST,
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
) -> Ensemble:
    """Average the probabilities and values of several runs of a track into a submission, and score it.

    Args:
        track: a name, a folder, or a loaded track.
        runs: folders of runs, or submissions with probabilities.
        weights: one positive number per run, of any sum; None gives all the same weight.
        split: split of the track.
        output: folder to write; None is `runs/<track>/ensemble`.
        intervals: whether to resample when the submission is scored.
        replace: whether a run that the folder already contains is replaced.

    Raises:
        UsageError: there are fewer than two runs; the output folder already has a run, or is or contains one of these;
            weights do not fit; a run has only labels; the runs of a target cannot be averaged.
        InvalidSubmission: a run does not fit the track; all problems are listed.
    """
    declared = track if isinstance(track, Track) else load_track(track)
    averageable = {target.type for target in declared.targets.values() if target.in_ensembles}
    if others := names_of_other_types(declared.targets, averageable):
        raise UsageError(
            f"{declared.id} declares {listed(others)}; an ensemble averages only probabilities and numbers"
        )
    folder = Path(output) if output is not None else Path("runs") / declared.id / "ensemble"
    require_apart(folder, runs, "one of the runs")
    require_free(folder, replace=replace)
    shares = _shares(len(runs), weights)
    candidates = open_candidates(declared, split)
    paths = [_run_file(Path(run)) for run in runs]
    parts = [_outputs(path, candidates) for path in paths]
    mean = {
        name: np.sum([share * part[name] for share, part in zip(shares, parts, strict=True)], axis=0)
        for name in parts[0]
    }
    with atomic_folder(folder, replace=True) as temporary:
        digest = write_predictions(temporary, candidates, Predictions(mean))
        averaged = [
            {"run": Path(run).name, "weight": share, "digest": sha256_file(path)}
            for run, share, path in zip(runs, shares, paths, strict=True)
        ]
        record = {"track": declared.key, "split": split, "runs": averaged, "submission": digest}
        write_text(temporary / RECORD, json_text({"schema": ENSEMBLE_SCHEMA, **record}))
    return Ensemble(folder, len(runs), *score_where_known(candidates, folder / SUBMISSION, intervals))


def _shares(n_runs: int, weights: Sequence[float] | None) -> list[float]:
    if n_runs < 2:
        raise UsageError(f"an ensemble needs at least two runs, not {n_runs}")
    if not weights:
        return [1 / n_runs] * n_runs
    if len(weights) != n_runs or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UsageError(f"{plural(n_runs, 'run')} need as many weights above 0, not {list(weights)}")
    return [weight / math.fsum(weights) for weight in weights]


def _run_file(run: Path) -> Path:
    if run.is_dir() and not (run / PROBABILITIES).is_file():
        raise UsageError(f"{run}: no {PROBABILITIES} in this folder; name the file with probabilities itself")
    return run / PROBABILITIES if run.is_dir() else run


def _outputs(path: Path, candidates: Candidates) -> dict[str, NDArray[np.float64]]:
    """Return the probabilities and values of a run, for all candidates."""
    submission = read_submission(path, candidates)
    only_labels = [
        name
        for name, target in candidates.track.targets.items()
        if target.probability_columns() and name not in submission.probabilities
    ]
    if only_labels:
        raise UsageError(
            f"{path}: {', '.join(only_labels)} has only labels; averaging needs a probability column p_<label> for each"
        )
    if submission.n_rows - submission.n_extra < len(candidates):
        raise UsageError(f"{path}: answers for some candidates are missing; averaging needs all {len(candidates):,}")
    return {name: np.asarray(submission.probabilities.get(name, values)) for name, values in submission.values.items()}
