"""Trains a baseline on a track and scores it. `baselines/README.md` lists the files of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from merbench.charts import require_matplotlib, training_curve
from merbench.devices import require_device
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, json_text
from merbench.files.tensors import Arrays
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.track import Track, load_track
from merbench.training.declaration import LoadedBaseline, Options, load_baseline
from merbench.training.history import Epochs, OpenLog, TrainingHistory, Values, write_history
from merbench.training.output import (
    RECORD,
    SUBMISSION,
    SeedFiles,
    require_free,
    run_record,
    score_where_known,
    submission_table,
    write_model,
    write_predictions,
)
from merbench.training.plan import Part, Plan, make_plan, with_learning
from merbench.training.protocol import CrossFit, FoldEnsemble, Predictions, Setup, Storable, silent
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.selection import Trial, fit, select_options, validated_scores


@dataclass(frozen=True, eq=False)
class PartRun:
    """What a model learned and answered: one of a seed's, or the only one."""

    # values by metric key on the samples that options and epochs are selected on, each predicted without it
    cross_validated: Mapping[str, float]
    predictions: Predictions = field(repr=False)  # its answers for the samples of the part
    fit: CrossFit = field(repr=False)  # the result of cross-validation
    weights: Arrays | None = field(default=None, repr=False)  # of the model; None if it cannot be stored
    history: Values = field(default_factory=dict, repr=False)  # of its epochs by name, `(epochs, folds)`


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One training of a baseline: one model, or one for each value that is left out."""

    seed: int
    cross_validated: Mapping[str, float]  # values by metric key, the mean over the parts
    # values by metric key on the test split, rounded if it is hidden; None if its references are withheld
    test: Mapping[str, float] | None
    predictions: Predictions = field(repr=False)  # its answers for the test split
    parts: tuple[PartRun, ...] = field(repr=False)  # in the order of the plan


@dataclass(frozen=True, eq=False)
class Learned:
    """What the models of a part learn from, with all seeds.

    Attributes:
        left_out: the value whose samples are answered; None if all samples are answered by one model.
        n_train: number of samples that are learned from, without a development set.
        n_test: number of samples that are answered.
        options: the options, selected ones among them.
        trials: what selection tried.
        cross_validation: how the samples are divided; see `TrainingSet.described_folds`.
    """

    left_out: str | None
    n_train: int
    n_test: int
    options: Options
    trials: tuple[Trial, ...]
    cross_validation: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A baseline that was trained on a track.

    Attributes:
        folder: what was written.
        track: the track, with `[training]` as it was in this run.
        baseline: name of the baseline.
        features: the features it learned from.
        seeds: one training per seed, in the order given.
        parts: what is learned from, once for all samples or once for each value that is left out.
        report: the score of the submission (the first seed's); None if the references are withheld.
        withheld: why there is no score.
        synthetic: whether the corpus is the synthetic sample.
        label_corruption: how the labels it learned from were corrupted; empty if they were not.
        learning: keys of `[training]` that were replaced in this run.
        preset: the preset of the baseline it was run with; None without.
        warnings: what a reader of the scores must know.
        widths: numbers per row of every feature.
        wall_time_s: how long training and selection took.
    """

    folder: Path
    track: Track
    baseline: str
    features: tuple[str, ...]
    seeds: tuple[SeedRun, ...]
    parts: tuple[Learned, ...]
    report: ScoreReport | None
    withheld: str = ""
    synthetic: bool = False
    label_corruption: Mapping[str, Any] = field(default_factory=dict)
    learning: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    warnings: tuple[str, ...] = ()
    widths: Mapping[str, int] = field(default_factory=dict)
    wall_time_s: float = 0.0

    @property
    def options(self) -> Options:
        """The options it was trained with; of several parts, those of the first one."""
        return self.parts[0].options

    @property
    def cross_validation(self) -> Mapping[str, Any]:
        """How the samples are divided for selection; of several parts, those of the first one."""
        return self.parts[0].cross_validation


@dataclass(frozen=True, eq=False)
class _Training:
    """A plan and how it is carried out."""

    plan: Plan
    options: Options  # before selection
    part_options: Mapping[str | None, Options]  # that differ in a part
    choices: Mapping[str, Sequence[Any]]  # what is selected
    seeds: Sequence[int]
    n_folds: int  # how many are wanted
    device: str
    progress: ShowProgress | None
    log: OpenLog | None

    def setup(self, seed: int, what: str, part: Part, n_folds: int) -> Setup:
        """Return the setup of one training; progress is shown under what it is, and the part's value."""
        of_part = "" if part.left_out is None else f", {self.plan.track.training.leave_out} {part.left_out}"
        show = silent if self.progress is None else partial(self.progress, f"{what}{of_part}")
        return Setup(seed, n_folds, self.device, show)

    def epochs(self, seed: int, part: int) -> Epochs:
        """Return what keeps the epochs of the training of a part, and passes them on."""
        of_part = "" if len(self.plan.parts) == 1 else f"/part-{part}"
        name = f"{self.plan.track.id}/{self.plan.loaded.name}/seed-{seed}{of_part}"
        return Epochs() if self.log is None else Epochs(self.log(name))


def run_baseline(  # noqa: PLR0913
    track: str | Path | Track,
    baseline: str | Path = "attention",
    *,
    preset: str | None = None,
    learning: Mapping[str, Any] | None = None,
    device: str = "auto",
    seeds: Sequence[int] | None = None,
    features: Sequence[str] | None = None,
    options: Options | None = None,
    part_options: Mapping[str | None, Options] | None = None,
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
    progress: ShowProgress | None = None,
    log: OpenLog | None = None,
) -> BaselineRun:
    """Train a baseline as a track declares it, write its submission for the test split, and score it.

    Options and epochs are selected on training samples. Where the track leaves out the values of a column in turn, one
    model is trained for each of them, and the submission has the answers of all.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        preset: a preset of the baseline, such as `paper`.
        learning: keys of the track's `[training]` that differ in this run, such as `{"folds": 3}`.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        seeds: seeds to train with; None takes what the preset or the baseline declares.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        options: options that differ from those declared; they are not selected by cross-validation.
        part_options: the same for the models of single parts, by the value that is left out; None is all samples.
        output: folder to write; None is `runs/<track>/<baseline>`.
        intervals: whether to resample when the submission is scored.
        replace: whether a run that the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.
        log: opens a log of every training, such as `TensorBoard(folder)`; the run keeps its `history.parquet` anyway.

    Raises:
        UnknownName: no such track, baseline, preset, corpus or feature.
        DeclarationError: an option, or a key of `[training]`, is unknown or of another type.
        MissingExtra: the baseline needs a package that is not installed.
        WithheldReference: the references of the training samples are withheld.
        UsageError: there is nothing to learn from, the output folder is not empty, or the device is not available.
    """
    started = time.perf_counter()
    declared = with_learning(track if isinstance(track, Track) else load_track(track), learning or {})
    loaded = load_baseline(baseline)
    chosen = loaded.preset(preset)
    require_device(device)
    fixed = {**chosen.options, **(options or {})}
    given = loaded.options(declared.id, fixed)
    folder = Path(output) if output is not None else Path("runs") / declared.id / loaded.name
    require_free(folder, replace=replace)
    plan = make_plan(declared, loaded, features)
    training = _Training(
        plan,
        given,
        part_options or {},
        loaded.choices(declared.id, fixed),
        _distinct((chosen.seeds or loaded.declaration.seeds) if seeds is None else seeds),
        (learning or {}).get("folds") or chosen.folds or declared.training.folds or loaded.declaration.folds,
        device,
        progress,
        log,
    )
    train, parts, seed_runs = _trained(training)
    wall_time_s = round(time.perf_counter() - started, 3)

    with atomic_folder(folder, replace=True) as temporary:
        files = _write_runs(temporary, plan, parts, seed_runs)
        report, withheld = score_where_known(plan.test, temporary / SUBMISSION, intervals)
        others = (submission_table(plan.test, run.predictions) for run in seed_runs[1:])
        reports = [report, *(score_where_known(plan.test, table, False)[0] for table in others)]
        run = BaselineRun(
            folder=folder,
            track=declared,
            baseline=loaded.name,
            features=plan.features,
            seeds=tuple(replaced(run, test=_values(own)) for run, own in zip(seed_runs, reports, strict=True)),
            parts=parts,
            report=None if report is None else replaced(report, source=str(folder / SUBMISSION)),
            withheld=withheld,
            synthetic=plan.test.corpus.synthetic,
            label_corruption=train.label_corruption,
            learning=learning or {},
            preset=preset,
            warnings=tuple(plan.warnings),
            widths=train.samples.widths,
            wall_time_s=wall_time_s,
        )
        write_text(temporary / RECORD, json_text(run_record(run, plan, files)))
    return run


def _distinct(seeds: Sequence[Any]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in distinct):
        raise UsageError(f"seeds must be integers of at least 0, one or more, not {list(seeds)}")
    return distinct


def _trained(training: _Training) -> tuple[TrainingSet, tuple[Learned, ...], list[SeedRun]]:
    """Return the training set, what every part learned from, and the training with every seed."""
    plan = training.plan
    train, test = plan.training_set(), plan.test_set()
    if isinstance(plan.loaded.build(training.options, Setup(training.seeds[0])), FoldEnsemble):
        require_matplotlib()
    of_parts = [(part, train.select(part.learned), test.select(part.answered)) for part in plan.parts]
    with suitable_threads(train.samples.n_values):
        parts = tuple(_selected(training, part, own, len(answered)) for part, own, answered in of_parts)
        runs = []
        for seed in training.seeds:
            fits = []
            for n, (learned, (part, own, answered)) in enumerate(zip(parts, of_parts, strict=True)):
                setup = training.setup(seed, f"seed {seed}", part, learned.cross_validation["n_folds"])
                epochs = training.epochs(seed, n)
                fitted = _part_run(plan.loaded, learned.options, own, answered, replaced(setup, log=epochs))
                fits.append(replaced(fitted, history=epochs.arrays()))
            runs.append(_seed_run(seed, plan.parts, fits))
    return train, parts, runs


def _selected(training: _Training, part: Part, train: TrainingSet, n_test: int) -> Learned:
    """Return what a part learns from, with the options that are selected on it with the first seed."""
    folds = train.described_folds(training.n_folds)
    setup = training.setup(training.seeds[0], "selection", part, folds["n_folds"])
    own = training.part_options.get(part.left_out, {})
    choices = {name: values for name, values in training.choices.items() if name not in own}
    options, trials = select_options(training.plan.loaded, {**training.options, **own}, choices, train, setup)
    return Learned(part.left_out, len(train.learned), n_test, options, tuple(trials), folds)


def _part_run(loaded: LoadedBaseline, options: Options, train: TrainingSet, test: FeatureSet, setup: Setup) -> PartRun:
    baseline, result = fit(partial(loaded.build, options), train, setup)
    weights = baseline.weights() if isinstance(baseline, Storable) else None
    return PartRun(validated_scores(train, result.out_of_fold), baseline.predict(test), result, weights)


def _seed_run(seed: int, parts: Sequence[Part], fits: Sequence[PartRun]) -> SeedRun:
    answered = [part.answered for part in parts]
    predictions = Predictions.gathered(list(zip(answered, (fit.predictions for fit in fits), strict=True)))
    mean = {key: fmean(fit.cross_validated[key] for fit in fits) for key in fits[0].cross_validated}
    return SeedRun(seed, mean, None, predictions, tuple(fits))


def _write_runs(folder: Path, plan: Plan, parts: Sequence[Learned], runs: Sequence[SeedRun]) -> dict[int, SeedFiles]:
    """Write submissions, probabilities, models and the curve; return what was written of every seed."""
    first = runs[0]
    digests = {first.seed: write_predictions(folder, plan.test, first.predictions)}
    if len(runs) > 1:
        digests = {run.seed: write_predictions(folder / f"seed-{run.seed}", plan.test, run.predictions) for run in runs}
    of_parts = [(run, learned, part) for run in runs for learned, part in zip(parts, run.parts, strict=True)]
    write_history(folder, [TrainingHistory(run.seed, own.left_out, part.history) for run, own, part in of_parts])
    if (curve := first.parts[0].fit.curve) is not None:
        ranking = plan.track.ranked_by[0]
        for name in ("curve.svg", "curve.png"):
            training_curve(folder / name, curve.loss, curve.value, curve.best_epoch, value_name=ranking)
    return {run.seed: SeedFiles(digests[run.seed], _write_models(folder, plan, parts, run)) for run in runs}


def _write_models(folder: Path, plan: Plan, parts: Sequence[Learned], run: SeedRun) -> dict[str, str]:
    """Write the models of a seed, one per part; return their digests by the names of the files."""
    digests: dict[str, str] = {}
    about = {"track": plan.track.key, "baseline": plan.loaded.name, "files": plan.loaded.digests, "seed": run.seed}
    for n, (learned, part) in enumerate(zip(parts, run.parts, strict=True)):
        if part.weights is not None:
            name = f"seed-{run.seed}" if len(parts) == 1 else f"seed-{run.seed}-{n}"
            metadata = {**about, "options": dict(learned.options), "left_out": learned.left_out}
            digests |= write_model(folder, name, part.weights, metadata)
    return digests


def _values(report: ScoreReport | None) -> dict[str, float] | None:
    if report is None:
        return None
    return {item.key: item.value for item in report.public().scores if item.value is not None}
