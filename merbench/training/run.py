"""A track and a baseline go in, a folder comes out: submission, probabilities, run card, training curve; and its score.

==================== =====================================================================================
submission.csv       the answers of the first seed
probabilities.parquet the same with one probability per label: what `merbench ensemble` reads
run.json             the run card: configuration, seeds, versions, digests, scores, wall time
curve.svg, curve.png how the folds of the first seed trained, where the baseline tells
seed-<seed>/         the two files of every seed, where there are several
==================== =====================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from merbench.charts import require_matplotlib, training_curve
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, WithheldReference, json_text, listed
from merbench.files import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.scoring import score
from merbench.targets import names_of_other_types
from merbench.track import Track, load_track
from merbench.training.card import run_card
from merbench.training.data import FeatureSet, Predictions, TrainingSet, feature_set, training_set
from merbench.training.declaration import LoadedBaseline, Options, list_baselines, load_baseline
from merbench.training.device import require_device
from merbench.training.output import CARD, SUBMISSION, require_free, submission_table, write_predictions
from merbench.training.protocol import CrossFit, FoldEnsemble, Setup, silent
from merbench.training.selection import fit, scores, select_options

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One training of a baseline.

    Attributes:
        seed: its seed.
        cross_validated: values by metric key on the training samples, each predicted by a model that did not see it.
        test: values by metric key on the test split, rounded if it is hidden; None where its references are withheld.
        predictions: what it says of the test split.
        found: what cross-validation tells.
    """

    seed: int
    cross_validated: Mapping[str, float]
    test: Mapping[str, float] | None
    predictions: Predictions = field(repr=False)
    found: CrossFit = field(repr=False)


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A baseline that was trained on a track.

    Attributes:
        folder: what was written.
        track: the track.
        baseline: name of the baseline.
        features: the features it learned from.
        options: the options it was trained with, chosen ones among them.
        seeds: one training per seed, in the order asked for.
        report: the score of the submission (the first seed's); None where the references are withheld.
        withheld: why there is no score.
        synthetic: whether the corpus is the synthetic sample.
        label_damage: what was done to the labels it learned from, and what it came to; empty without damage.
        cross_validation: number of folds, how many were asked for, and the column whose values they keep together.
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
    label_damage: Mapping[str, Any] = field(default_factory=dict)
    cross_validation: Mapping[str, Any] = field(default_factory=dict)


def run_baseline(
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

    Everything that is chosen (options, epochs) is chosen by cross-validation on the training split.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        seeds: seeds to train with; None takes what the baseline declares.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        features: features to learn from; None takes what the baseline declares for the track, else all there are.
        options: options that differ from those declared; they are not chosen by cross-validation.
        output: folder to write; None is `runs/<track>/<baseline>`.
        intervals: whether to resample when the submission is scored.
        replace: whether a run that the folder already holds is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, corpus or feature.
        DeclarationError: an option is unknown or of another type.
        MissingExtra: the baseline needs a package that is not installed.
        WithheldReference: the references of the training split are withheld.
        UsageError: the output folder already holds a run or something else, or the device is not available.
    """
    started = time.perf_counter()
    declared = track if isinstance(track, Track) else load_track(track)
    loaded = load_baseline(baseline)
    require_device(device)
    require_answers(loaded, declared)
    chosen = loaded.options(declared.id, options or {})
    folder = Path(output) if output is not None else Path("runs") / declared.id / loaded.name
    require_free(folder, replace=replace)

    test, train = open_candidates(declared, TEST), training_candidates(declared)
    names, columns = _feature_names(loaded, test, features), loaded.declaration.columns
    train_set, test_features = training_set(train, names, columns), feature_set(test, names, columns)

    cross_validation = train_set.described_folds(loaded.declaration.folds if folds is None else folds)
    n_folds: int = cross_validation["n_folds"]

    def setup(seed: int, text: str) -> Setup:
        show = silent if progress is None else partial(progress, text)
        return Setup(seed, n_folds, device, show)

    all_seeds = _distinct(loaded.declaration.seeds if seeds is None else seeds)
    if isinstance(loaded.build(chosen, setup(all_seeds[0], "")), FoldEnsemble):
        require_matplotlib()
    choices = loaded.choices(declared.id, options or {})
    with suitable_threads(train_set.samples.n_values):
        chosen, trials = select_options(loaded, chosen, choices, train_set, setup(all_seeds[0], "selection"))
        runs = [
            _seed_run(loaded, chosen, train_set, test, test_features, setup(seed, f"seed {seed}")) for seed in all_seeds
        ]

    with atomic_folder(folder, replace=True) as beside:
        submissions = _write_runs(beside, test, runs)
        card = run_card(loaded, test, train_set, chosen, trials, runs, submissions, cross_validation)
        card["wall_time_s"] = round(time.perf_counter() - started, 3)
        write_text(beside / CARD, json_text(card))
    report, withheld = _score(test, folder, intervals)
    return BaselineRun(
        folder=folder,
        track=declared,
        baseline=loaded.name,
        features=tuple(names),
        options=chosen,
        seeds=tuple(runs),
        report=report,
        withheld=withheld,
        synthetic=test.corpus.synthetic,
        label_damage=train_set.damage,
        cross_validation=cross_validation,
    )


def require_answers(loaded: LoadedBaseline, track: Track) -> None:
    """Raise `UsageError` when a baseline does not answer every target of a track."""
    known = loaded.declaration.answers
    others = names_of_other_types(track.targets, known)
    if others:
        needed = {target.type for target in track.targets.values()}
        able = [name for name, declared in list_baselines() if needed <= set(declared.answers)]
        raise UsageError(
            f"baseline '{loaded.name}' answers targets of type {listed(known)}; {track.id} declares {listed(others)}; "
            f"baselines for it: {listed(able) or 'none'}"
        )


def training_candidates(track: Track) -> Candidates:
    """Return the candidates of a track's training split; raise `UsageError` where it declares none."""
    if TRAIN not in track.splits:
        raise UsageError(f"{track.id} declares no split '{TRAIN}', which a baseline learns from")
    return open_candidates(track, TRAIN)


def wanted_features(loaded: LoadedBaseline, candidates: Candidates, asked: Sequence[str] | None) -> list[str]:
    """Return the features to learn from: those asked for, else those declared for the track, else all there are."""
    if not loaded.declaration.uses_features:
        return []
    settings = loaded.declaration.tracks.get(candidates.track.id)
    declared = settings.features if settings else None
    return list(dict.fromkeys(asked or declared or candidates.corpus.features))


def _feature_names(loaded: LoadedBaseline, test: Candidates, asked: Sequence[str] | None) -> list[str]:
    names = wanted_features(loaded, test, asked)
    if loaded.declaration.uses_features and not names:
        raise no_features(loaded, test)
    return names


def no_features(loaded: LoadedBaseline, candidates: Candidates) -> UsageError:
    """Return the error that there is nothing to learn from."""
    return UsageError(
        f"corpus '{candidates.corpus.name}' has no features, and baseline '{loaded.name}' learns from them; "
        f"`merbench features text {candidates.corpus.name} --name tfidf-svd` makes some of the transcripts"
    )


def _distinct(seeds: Sequence[Any]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in distinct):
        raise UsageError(f"a seed is a whole number from 0 on, at least one is needed; not {list(seeds)}")
    return distinct


def _seed_run(
    loaded: LoadedBaseline, options: Options, train: TrainingSet, test: Candidates, features: FeatureSet, setup: Setup
) -> SeedRun:
    baseline, found = fit(lambda: loaded.build(options, setup), train, setup)
    predictions = baseline.predict(features)
    cross_validated = scores(train.track, train.targets, found.out_of_fold.answers(train.track), train.groups)
    return SeedRun(setup.seed, cross_validated, _test_scores(test, predictions), predictions, found)


def _test_scores(test: Candidates, predictions: Predictions) -> dict[str, float] | None:
    try:
        report = score(test, submission_table(test, predictions), intervals=False).public()
    except WithheldReference:
        return None
    return {item.key: item.value for item in report.scores if item.value is not None}


def _write_runs(folder: Path, test: Candidates, runs: Sequence[SeedRun]) -> dict[int, str]:
    """Write submissions, probabilities and the curve; return the SHA-256 of every seed's submission file."""
    first = runs[0]
    digests = {first.seed: write_predictions(folder, test, first.predictions)}
    if len(runs) > 1:
        digests = {run.seed: write_predictions(folder / f"seed-{run.seed}", test, run.predictions) for run in runs}
    if first.found.curve is not None:
        curve, by = first.found.curve, test.track.ranked_by[0]
        for name in ("curve.svg", "curve.png"):
            training_curve(folder / name, curve.loss, curve.value, curve.best_epoch, value_name=by)
    return digests


def _score(test: Candidates, folder: Path, intervals: bool) -> tuple[ScoreReport | None, str]:
    try:
        return score(test, folder / SUBMISSION, intervals=intervals), ""
    except WithheldReference as error:
        return None, str(error)
