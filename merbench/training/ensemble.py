"""Runs of a track go in, one submission comes out: the weighted mean of their probabilities and values.

Conventions:
    A run is a folder with a `probabilities.parquet`, or any submission that holds probabilities of the labels.
    Weights need not sum to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from merbench.corpus.candidates import Candidates, open_candidates
from merbench.errors import UsageError, WithheldReference, json_text, listed, plural
from merbench.files import atomic_folder, require_apart, sha256_file, write_text
from merbench.report import ScoreReport
from merbench.scoring import score
from merbench.submission import Submission, read_submission
from merbench.track import Track, load_track
from merbench.training.data import Predictions
from merbench.training.output import CARD, PROBABILITIES, SUBMISSION, require_free, write_predictions

SCHEMA = "merbench.ensemble/1"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Several runs that were averaged.

    Attributes:
        folder: what was written.
        n_runs: how many were averaged.
        report: the score of the submission; None where the references are withheld.
        withheld: why there is no score.
    """

    folder: Path
    n_runs: int
    report: ScoreReport | None
    withheld: str = ""


def ensemble(
    track: str | Path | Track,
    runs: Sequence[str | Path],
    *,
    weights: Sequence[float] | None = None,
    split: str = "test",
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
) -> Ensemble:
    """Average several runs of a track into a submission, and score it.

    Args:
        track: a name, a folder, or a loaded track.
        runs: folders of runs, or files with probabilities.
        weights: one positive number per run; None weighs all alike.
        split: split of the track.
        output: folder to write; None is `runs/<track>/ensemble`.
        intervals: whether to resample when the submission is scored.
        replace: whether a run that the folder already holds is replaced.

    Raises:
        UsageError: there are fewer than two runs, the output folder already holds a run, is or holds one of them,
            weights do not fit, a run holds labels only, or a target is of another type than categorical and continuous.
        InvalidSubmission: a run does not fit the track; all problems are listed.
    """
    declared = track if isinstance(track, Track) else load_track(track)
    _require_numbers(declared)
    folder = Path(output) if output is not None else Path("runs") / declared.id / "ensemble"
    require_apart(folder, runs, "one of the runs")
    require_free(folder, replace=replace)
    shares = _shares(len(runs), weights)
    candidates = open_candidates(declared, split)
    paths = [_run_file(Path(run)) for run in runs]
    predictions = average([_read(path, candidates) for path in paths], shares)
    with atomic_folder(folder, replace=True) as beside:
        digest = write_predictions(beside, candidates, predictions)
        parts = [
            {"run": Path(run).name, "weight": share, "digest": sha256_file(path)}
            for run, share, path in zip(runs, shares, paths, strict=True)
        ]
        card = {"schema": SCHEMA, "track": declared.key, "split": split, "runs": parts, "submission": digest}
        write_text(beside / CARD, json_text(card))
    try:
        return Ensemble(folder, len(runs), score(candidates, folder / SUBMISSION, intervals=intervals))
    except WithheldReference as error:
        return Ensemble(folder, len(runs), None, str(error))


def average(runs: Sequence[Predictions], shares: Sequence[float]) -> Predictions:
    """Return the weighted mean of the outputs of runs; shares sum to 1."""
    return Predictions(
        {
            name: np.sum([share * run.outputs[name] for share, run in zip(shares, runs, strict=True)], axis=0)
            for name in runs[0].outputs
        }
    )


def _require_numbers(track: Track) -> None:
    others = [f"{name} ({target.type})" for name, target in track.targets.items() if not target.in_ensembles]
    if others:
        raise UsageError(f"{track.id} declares {listed(others)}; an ensemble averages probabilities and numbers alone")


def _shares(n_runs: int, weights: Sequence[float] | None) -> list[float]:
    if n_runs < 2:
        raise UsageError(f"an ensemble needs two runs or more, not {n_runs}")
    if not weights:
        return [1 / n_runs] * n_runs
    if len(weights) != n_runs or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise UsageError(f"{plural(n_runs, 'run')} need as many weights above 0, not {list(weights)}")
    return [weight / math.fsum(weights) for weight in weights]


def _run_file(run: Path) -> Path:
    if not run.is_dir():
        return run
    if (run / PROBABILITIES).is_file():
        return run / PROBABILITIES
    raise UsageError(f"{run}: there is no {PROBABILITIES} in this folder; name the file with probabilities itself")


def _read(path: Path, candidates: Candidates) -> Predictions:
    submission: Submission = read_submission(path, candidates)
    labels_alone = [
        name
        for name, target in candidates.track.targets.items()
        if target.classes and name not in submission.probabilities
    ]
    if labels_alone:
        raise UsageError(
            f"{path}: {', '.join(labels_alone)} is given as labels alone; averaging needs one probability column "
            "p_<label> per label"
        )
    if submission.n_rows - submission.n_extra < len(candidates):
        raise UsageError(f"{path}: answers for some candidates are missing; averaging needs all {len(candidates):,}")
    return Predictions({name: _output(submission, name) for name in submission.values})


def _output(submission: Submission, name: str) -> NDArray[np.float64]:
    values = submission.values[name]
    assert isinstance(values, np.ndarray)
    return submission.probabilities.get(name, values)
