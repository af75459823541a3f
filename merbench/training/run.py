"""Trains a baseline on a track and scores it; averages several runs. `baselines/README.md` lists the files of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.charts import require_matplotlib, training_curve
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.devices import require_device
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, WithheldReference, json_text, listed, plural
from merbench.files.paths import require_apart
from merbench.files.reading import sha256_file
from merbench.files.tensors import Arrays
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.scoring import score
from merbench.submission import read_submission
from merbench.targets import names_of_other_types
from merbench.track import Track, load_track
from merbench.training.data import feature_set, training_candidates, training_set
from merbench.training.declaration import LoadedBaseline, Options, list_baselines, load_baseline
from merbench.training.output import (
    PROBABILITIES,
    RECORD,
    SUBMISSION,
    SeedFiles,
    require_free,
    run_record,
    submission_table,
    write_model,
    write_predictions,
)
from merbench.training.protocol import (
    CrossFit,
    FoldEnsemble,
    Predictions,
    Setup,
    Storable,
    silent,
)
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.selection import fit, select_options, validated_scores

TEST = "test"

ENSEMBLE_SCHEMA = "merbench.ensemble/1"


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One training of a baseline."""

    seed: int
    # values by metric key on the training samples, each predicted by a model that did not see it
    cross_validated: Mapping[str, float]
    # values by metric key on the test split, rounded if it is hidden; None if its references are withheld
    test: Mapping[str, float] | None
    predictions: Predictions = field(repr=False)  # its answers for the test split
    fit: CrossFit = field(repr=False)  # the result of cross-validation
    weights: Arrays | None = field(default=None, repr=False)  # of the model; None if it cannot be stored


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A baseline that was trained on a track.

    Attributes:
        folder: what was written.
        track: the track.
        baseline: name of the baseline.
        features: the features it learned from.
        options: the options it was trained with, selected ones among them.
        seeds: one training per seed, in the order given.
        report: the score of the submission (the first seed's); None if the references are withheld.
        withheld: why there is no score.
        synthetic: whether the corpus is the synthetic sample.
        label_corruption: how the labels it learned from were corrupted; empty if they were not.
        cross_validation: number of folds, how many were asked for, and the column whose values they keep together.
        n_train: number of samples it learned from.
        widths: numbers per row of every feature.
        wall_time_s: how long training and selection took.
    """

    folder: Path
    track: Track
    baseline: str
    features: tuple[str, ...]
    options: Options
    seeds: tuple[SeedRun, ...]
    report: ScoreReport | None
    withheld: str = ""
    synthetic: bool = False
    label_corruption: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)
    n_train: int = 0
    widths: Mapping[str, int] = field(default_factory=dict)
    wall_time_s: float = 0.0


def run_baseline(  # noqa: PLR0913
    track: str | Path | Track,
    baseline: str | Path = "attention",
    *,
    device: str = "auto",
    seeds: Sequence[int] | None = None,
    folds: int | None = None,
    features: Sequence[str] | None = None,
    options: Options | None = None,
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> BaselineRun:
    """Train a baseline on a track's training split, write its submission for the test split, and score it.

    Options and epochs are selected by cross-validation on the training split.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        seeds: seeds to train with; None takes what the baseline declares.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        options: options that differ from those declared; they are not selected by cross-validation.
        output: folder to write; None is `runs/<track>/<baseline>`.
        intervals: whether to resample when the submission is scored.
        replace: whether a run that the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, corpus or feature.
        DeclarationError: an option is unknown or of another type.
        MissingExtra: the baseline needs a package that is not installed.
        WithheldReference: the references of the training split are withheld.
        UsageError: the output folder is not empty, or the device is not available.
    """
    started = time.perf_counter()
    declared = track if isinstance(track, Track) else load_track(track)
    loaded = load_baseline(baseline)
    require_device(device)
    require_answers(loaded, declared)
    given = loaded.options(declared.id, options or {})
    folder = Path(output) if output is not None else Path("runs") / declared.id / loaded.name
    require_free(folder, replace=replace)

    test, train_candidates = open_candidates(declared, TEST), training_candidates(declared)
    names, columns = wanted_features(loaded, test, features), loaded.declaration.columns
    if loaded.declaration.uses_features and not names:
        raise no_features(loaded, test)
    reads, unlabelled = loaded.declaration.reads, loaded.declaration.uses_unlabelled
    train = training_set(train_candidates, names, columns, **reads, unlabelled=unlabelled)
    test_features = feature_set(test, names, columns, **reads)
    cross_validation = train.described_folds(loaded.declaration.folds if folds is None else folds)

    def setup(seed: int, text: str) -> Setup:
        show = silent if progress is None else partial(progress, text)
        return Setup(seed, cross_validation["n_folds"], device, show)

    all_seeds = _distinct(loaded.declaration.seeds if seeds is None else seeds)
    if isinstance(loaded.build(given, setup(all_seeds[0], "")), FoldEnsemble):
        require_matplotlib()
    choices = loaded.choices(declared.id, options or {})
    with suitable_threads(train.samples.n_values):
        chosen, trials = select_options(loaded, given, choices, train, setup(all_seeds[0], "selection"))
        runs = [_seed_run(loaded, chosen, train, test_features, setup(seed, f"seed {seed}")) for seed in all_seeds]
    wall_time_s = round(time.perf_counter() - started, 3)

    with atomic_folder(folder, replace=True) as temporary:
        about = {"track": declared.key, "baseline": loaded.name, "files": loaded.digests, "options": chosen}
        files = _write_runs(temporary, test, runs, about)
        report, withheld = _scored(test, temporary / SUBMISSION, intervals)
        tests = [report, *(_scored(test, submission_table(test, run.predictions), False)[0] for run in runs[1:])]
        run = BaselineRun(
            folder=folder,
            track=declared,
            baseline=loaded.name,
            features=tuple(names),
            options=chosen,
            seeds=tuple(replaced(run, test=_values(part)) for run, part in zip(runs, tests, strict=True)),
            report=None if report is None else replaced(report, source=str(folder / SUBMISSION)),
            withheld=withheld,
            synthetic=test.corpus.synthetic,
            label_corruption=train.label_corruption,
            cross_validation=cross_validation,
            n_train=len(train),
            widths=train.samples.widths,
            wall_time_s=wall_time_s,
        )
        write_text(temporary / RECORD, json_text(run_record(run, loaded, test, trials, files)))
    return run


def require_answers(loaded: LoadedBaseline, track: Track) -> None:
    """Raise `UsageError` when a baseline does not answer every target of a track."""
    answers = loaded.declaration.answers
    if others := names_of_other_types(track.targets, answers):
        baselines = list_baselines()
        able = [name for name, known in baselines if not names_of_other_types(track.targets, known.answers)]
        raise UsageError(
            f"baseline '{loaded.name}' answers targets of type {listed(answers)}; "
            f"{track.id} declares {listed(others)}; baselines for it: {listed(able) or 'none'}"
        )


def wanted_features(loaded: LoadedBaseline, candidates: Candidates, asked: Sequence[str] | None) -> list[str]:
    """Return the features to learn from: those asked for, else those declared for the track, else all."""
    if not loaded.declaration.uses_features:
        return []
    settings = loaded.declaration.tracks.get(candidates.track.id)
    declared = settings.features if settings else None
    corpus, samples = candidates.corpus, loaded.declaration.samples
    available = corpus.default_sequences if samples == "sequences" else corpus.default_features
    return list(dict.fromkeys(asked or declared or available))


def no_features(loaded: LoadedBaseline, candidates: Candidates) -> UsageError:
    """Return the error that there is nothing to learn from."""
    has_texts = "transcript" in candidates.samples.column_names
    remedy = "--with tfidf-svd` computes some from the transcripts"
    if not has_texts:
        remedy = "--with voice --media DIR` computes some from the clips"
    return UsageError(
        f"corpus '{candidates.corpus.name}' has no features, and baseline '{loaded.name}' learns from them; "
        f"`merbench extract {candidates.corpus.name} {remedy}"
    )


def _distinct(seeds: Sequence[Any]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in distinct):
        raise UsageError(f"seeds must be integers of at least 0, one or more, not {list(seeds)}")
    return distinct


def _seed_run(loaded: LoadedBaseline, options: Options, train: TrainingSet, test: FeatureSet, setup: Setup) -> SeedRun:
    baseline, result = fit(partial(loaded.build, options), train, setup)
    predictions = baseline.predict(test)
    cross_validated = validated_scores(train, result.out_of_fold)
    weights = baseline.weights() if isinstance(baseline, Storable) else None
    return SeedRun(setup.seed, cross_validated, None, predictions, result, weights)


def _write_runs(
    folder: Path, test: Candidates, runs: Sequence[SeedRun], about: Mapping[str, Any]
) -> dict[int, SeedFiles]:
    """Write submissions, probabilities, models and the curve; return what was written of every seed."""
    first = runs[0]
    digests = {first.seed: write_predictions(folder, test, first.predictions)}
    if len(runs) > 1:
        digests = {run.seed: write_predictions(folder / f"seed-{run.seed}", test, run.predictions) for run in runs}
    if (curve := first.fit.curve) is not None:
        for name in ("curve.svg", "curve.png"):
            training_curve(folder / name, curve.loss, curve.value, curve.best_epoch, value_name=test.track.ranked_by[0])
    models = {run.seed: write_model(folder, run.seed, run.weights, about) for run in runs if run.weights is not None}
    return {seed: SeedFiles(digest, models.get(seed, {})) for seed, digest in digests.items()}


def _scored(test: Candidates, submission: Path | pa.Table, intervals: bool) -> tuple[ScoreReport | None, str]:
    """Return the report on a submission, or why there is none."""
    try:
        return score(test, submission, intervals=intervals), ""
    except WithheldReference as error:
        return None, str(error)


def _values(report: ScoreReport | None) -> dict[str, float] | None:
    if report is None:
        return None
    return {item.key: item.value for item in report.public().scores if item.value is not None}


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
    return Ensemble(folder, len(runs), *_scored(candidates, folder / SUBMISSION, intervals))


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
