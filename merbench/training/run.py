"""Trains a baseline on a track and scores it. `baselines/README.md` lists the files of a run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from merbench.charts import require_matplotlib, training_curve
from merbench.corpus.candidates import Candidates
from merbench.devices import require_device
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import UsageError, json_text
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.track import Track, load_track
from merbench.training.declaration import LoadedBaseline, Options, load_baseline
from merbench.training.history import Epochs, OpenLog, TrainingHistory, joined, write_history
from merbench.training.hold_out import KNOWN_TRACK, kebab, known_scores, without_classes, write_known_track
from merbench.training.output import (
    ANSWERED,
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
from merbench.training.protocol import FoldEnsemble, Predictions, Setup, Storable, silent
from merbench.training.results import BaselineRun, Learned, PartRun, SeedRun
from merbench.training.resume import Unfinished, inputs_digest, unfinished
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.selection import fit, select_options, validated_scores


@dataclass(frozen=True, eq=False)
class _Training:
    """A plan and how it is carried out."""

    plan: Plan
    options: Options  # before selection
    choices: Mapping[str, Sequence[Any]]  # what is selected
    part_options: Mapping[str | None, Options]  # that differ in a part
    seeds: Sequence[int]
    n_folds: int  # how many are wanted
    device: str
    progress: ShowProgress | None
    log: OpenLog | None

    @property
    def files(self) -> dict[str, str]:
        """SHA-256 of the files of its baseline by name, and of those of another one that this trains."""
        selected = [{name: value} for name, values in self.choices.items() for value in values]
        others = [{**self.options, **options} for options in (*selected, *self.part_options.values())]
        return self.plan.loaded.files(self.options, *others)

    @property
    def digest(self) -> str:
        """SHA-256 of what its models depend on, besides seed and part."""
        how = {
            "baseline": self.files,
            "options": dict(self.options),
            "choices": {name: list(values) for name, values in self.choices.items()},
            "selected_with": self.seeds[0] if self.choices else None,
            "of_parts": [[value, dict(options)] for value, options in self.part_options.items()],
            "n_folds": self.n_folds,
            "device": self.device,
        }
        return inputs_digest(self.plan, how)

    def setup(self, what: str, part: Part, seed: int, n_folds: int) -> Setup:
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
    hold_out: Sequence[str] = (),
    output: str | Path | None = None,
    intervals: bool = True,
    replace: bool = False,
    progress: ShowProgress | None = None,
    log: OpenLog | None = None,
) -> BaselineRun:
    """Train a baseline as a track declares it, write its submission for the test split, and score it.

    Options and epochs are selected on training samples. Where the track leaves out the values of a column in turn, one
    model is trained for each of them, and the submission has the answers of all. What an interrupted run had trained is
    not trained again.

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
        hold_out: classes that are not learned: the run answers how known every sample looks, and is scored by the
            track `ood-emotion`, which is written with it.
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
    original = with_learning(track if isinstance(track, Track) else load_track(track), learning or {})
    declared = without_classes(original, hold_out) if hold_out else original
    loaded = load_baseline(baseline)
    chosen = loaded.preset(preset)
    require_device(device)
    fixed = {**chosen.options, **(options or {})}
    given = loaded.options(declared.id, fixed)
    folder = Path(output) if output is not None else default_folder(declared, loaded.name, hold_out)
    require_free(folder, replace=replace)
    training = _Training(
        make_plan(declared, loaded, features),
        given,
        loaded.choices(declared.id, fixed),
        part_options or {},
        _distinct((chosen.seeds or loaded.declaration.seeds) if seeds is None else seeds),
        (learning or {}).get("folds") or chosen.folds or declared.training.folds or loaded.declaration.folds,
        device,
        progress,
        log,
    )
    if isinstance(loaded.build(given, Setup(training.seeds[0])), FoldEnsemble):
        require_matplotlib()
    with unfinished(folder, training.digest) as state:
        run = replaced(
            _trained(training, state),
            folder=folder,
            learning=learning or {},
            preset=preset,
            hold_out=tuple(hold_out),
            wall_time_s=round(time.perf_counter() - started, 3),
        )
        return _written(run, training.plan, original, intervals=intervals)


def default_folder(track: Track, baseline: str, hold_out: Sequence[str] = ()) -> Path:
    """Return the folder of a run where none is named: `runs/<track>/<baseline>`, and the classes that are held out."""
    without = f"-without-{'-'.join(map(kebab, hold_out))}" if hold_out else ""
    return Path("runs") / track.id / f"{baseline}{without}"


def _distinct(seeds: Sequence[Any]) -> list[int]:
    distinct = list(dict.fromkeys(seeds))
    if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in distinct):
        raise UsageError(f"seeds must be integers of at least 0, one or more, not {list(seeds)}")
    return distinct


def _trained(training: _Training, state: Unfinished) -> BaselineRun:
    """Return what was learned and answered, with every seed; what an interrupted run has finished is read."""
    plan = training.plan
    train, test = plan.training_set(), plan.test_set()

    def samples(part: Part) -> tuple[TrainingSet, FeatureSet]:
        """Return what a part learns from and answers; not of all parts at once, since each pools features anew."""
        if part.left_out is None:
            return train, test
        return train.select(part.learned), test.select(part.answered)

    with suitable_threads(train.samples.n_values):
        parts = tuple(_selected(training, state, n, samples(part)[0]) for n, part in enumerate(plan.parts))
        runs = []
        for seed in training.seeds:
            fits = []
            for n, part in enumerate(plan.parts):
                if (fitted := state.trained(seed, n)) is None:
                    setup = training.setup(f"seed {seed}", part, seed, parts[n].cross_validation["n_folds"])
                    epochs = training.epochs(seed, n)
                    setup = replaced(setup, state=state.of_part(seed, n), log=epochs)
                    fitted = _part_run(plan.loaded, parts[n].options, *samples(part), setup)
                    fitted = replaced(fitted, history=epochs.arrays())
                    state.keep_trained(seed, n, fitted)
                fits.append(fitted)
            runs.append(_seed_run(seed, plan.parts, fits))
    return BaselineRun(
        folder=Path(),
        track=plan.track,
        baseline=plan.loaded.name,
        features=plan.features,
        seeds=tuple(runs),
        parts=parts,
        synthetic=plan.test.corpus.synthetic,
        label_corruption=train.label_corruption,
        warnings=(
            *plan.warnings,
            *dict.fromkeys(note for run in runs for part in run.parts for note in part.fit.notes),
        ),
        widths=train.samples.widths,
        files=training.files,
        n_resumed=state.n_resumed,
    )


def _selected(training: _Training, state: Unfinished, n: int, train: TrainingSet) -> Learned:
    """Return what a part learns from, with the options that are selected on it with the first seed."""
    part, folds = training.plan.parts[n], train.described_folds(training.n_folds)
    if (selected := state.selected(n)) is None:
        setup = training.setup("selection", part, training.seeds[0], folds["n_folds"])
        own = training.part_options.get(part.left_out, {})
        choices = {name: values for name, values in training.choices.items() if name not in own}
        selected = select_options(training.plan.loaded, {**training.options, **own}, choices, train, setup)
        state.keep_selected(n, *selected)
    options, trials = selected
    ids = {**train.ids_by_use, ANSWERED: training.plan.test.ids.take(pa.array(part.answered))}
    return Learned(part.left_out, len(train.learned), len(part.answered), options, tuple(trials), folds, ids)


def _written(run: BaselineRun, plan: Plan, original: Track, *, intervals: bool) -> BaselineRun:
    """Write a run into its folder, score every seed's submission once, and return the run with its scores."""
    with atomic_folder(run.folder, replace=True) as temporary:
        candidates, seeds = plan.test, run.seeds
        if run.hold_out:
            candidates = write_known_track(temporary / KNOWN_TRACK, replaced(plan.test, track=original), run.hold_out)
            seeds = tuple(replaced(seed, predictions=known_scores(seed.predictions)) for seed in seeds)
        files = _write_runs(temporary, candidates, run, seeds)
        report, withheld = score_where_known(candidates, temporary / SUBMISSION, intervals)
        others = (submission_table(candidates, seed.predictions) for seed in seeds[1:])
        reports = [report, *(score_where_known(candidates, table, False)[0] for table in others)]
        run = replaced(
            run,
            seeds=tuple(replaced(seed, test=_values(own)) for seed, own in zip(seeds, reports, strict=True)),
            report=None if report is None else replaced(report, source=str(run.folder / SUBMISSION)),
            withheld=withheld,
        )
        write_text(temporary / RECORD, json_text(run_record(run, plan, files)))
    return run


def _part_run(loaded: LoadedBaseline, options: Options, train: TrainingSet, test: FeatureSet, setup: Setup) -> PartRun:
    baseline, result = fit(partial(loaded.build, options), train, setup)
    weights = baseline.weights() if isinstance(baseline, Storable) else None
    return PartRun(validated_scores(train, result.out_of_fold), baseline.predict(test), result, weights)


def _seed_run(seed: int, parts: Sequence[Part], fits: Sequence[PartRun]) -> SeedRun:
    answered = [part.answered for part in parts]
    predictions = Predictions.gathered(list(zip(answered, (fit.predictions for fit in fits), strict=True)))
    mean = {key: fmean(fit.cross_validated[key] for fit in fits) for key in fits[0].cross_validated}
    return SeedRun(seed, mean, None, predictions, tuple(fits))


def _write_runs(
    folder: Path, candidates: Candidates, run: BaselineRun, seeds: Sequence[SeedRun]
) -> dict[int, SeedFiles]:
    """Write submissions, probabilities, models and the curve; return what was written of every seed."""
    first = seeds[0]
    digests = {first.seed: write_predictions(folder, candidates, first.predictions)}
    if len(seeds) > 1:
        for seed in seeds:
            digests[seed.seed] = write_predictions(folder / f"seed-{seed.seed}", candidates, seed.predictions)
    of_parts = [(seed, learned, part) for seed in seeds for learned, part in zip(run.parts, seed.parts, strict=True)]
    write_history(folder, [TrainingHistory(seed.seed, own.left_out, part.history) for seed, own, part in of_parts])
    if curves := [part.fit.curve for part in first.parts if part.fit.curve is not None]:
        curve, ranking = joined(curves), run.track.ranked_by[0]
        for name in ("curve.svg", "curve.png"):
            training_curve(folder / name, curve.loss, curve.value, curve.best_epoch, value_name=ranking)
    return {seed.seed: SeedFiles(digests[seed.seed], _write_models(folder, run, seed)) for seed in seeds}


def _write_models(folder: Path, run: BaselineRun, seed: SeedRun) -> dict[str, str]:
    """Write the models of a seed, one per part; return their digests by the names of the files."""
    digests: dict[str, str] = {}
    about = {"track": run.track.key, "baseline": run.baseline, "files": run.files, "seed": seed.seed}
    for n, (learned, part) in enumerate(zip(run.parts, seed.parts, strict=True)):
        if part.weights is not None:
            name = f"seed-{seed.seed}" if len(run.parts) == 1 else f"seed-{seed.seed}-{n}"
            metadata = {**about, "options": dict(learned.options), "left_out": learned.left_out}
            digests |= write_model(folder, name, part.weights, learned.ids, metadata)
    return digests


def _values(report: ScoreReport | None) -> dict[str, float] | None:
    if report is None:
        return None
    return {item.key: item.value for item in report.public().scores if item.value is not None}
