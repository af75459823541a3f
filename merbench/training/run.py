"""Trains a baseline on a track and scores it. `baselines/README.md` lists the files of a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace as replaced
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from merbench.charts import require_matplotlib, training_curve
from merbench.corpus.candidates import Candidates
from merbench.devices import require_device
from merbench.engine import ShowProgress, require_engine
from merbench.errors import json_text
from merbench.files.writing import atomic_folder, write_text
from merbench.report import ScoreReport
from merbench.track import Track, load_track
from merbench.training.history import OpenLog, TrainingHistory, joined, write_history
from merbench.training.hold_out import (
    KNOWN_TRACK,
    hold_out_warnings,
    kebab,
    known_scores,
    without_classes,
    write_known_track,
)
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
from merbench.training.plan import Part, divided_groups, with_learning
from merbench.training.protocol import FoldEnsemble, Predictions, Setup
from merbench.training.records import StoredRun, read_run
from merbench.training.results import BaselineRun, PartRun, SeedRun
from merbench.training.resume import Unfinished, unfinished
from merbench.training.trainings import RunSettings, Trainings, Watched, selected_parts, trained_parts
from merbench.training.unknown.runs import report_of, write_detected
from merbench.training.unknown.scores import detected_by_run, wanted

TRANSDUCTIVE = "transductive"
"""How the warning begins that models learn from samples that they answer."""

OF_SETS = (
    "labels to learn from are sets of candidates: options, epochs and cross-validated values, unless of a development "
    "set, go by one label of each set that is drawn at random"
)
"""The warning of a run that learns from sets of labels."""


def run_baseline(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    settings: RunSettings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
    log: OpenLog | None = None,
) -> BaselineRun:
    """Train a baseline as a track declares it, write its submission for the test split, and score it.

    Options and epochs are selected on training samples. Where the track leaves out the values of a column in turn, one
    model is trained for each of them, and the submission has the answers of all. What an interrupted run had trained is
    not trained again. Any number of workers writes the same files.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        settings: everything else; None takes the defaults.
        output: folder to write; None is `runs/<track>/<baseline>`.
        replace: whether a run that the folder already contains is replaced.
        progress: called with a text and (done, total) steps; None shows nothing.
        log: opens a log of every training, such as `TensorBoard(folder)`; the run keeps its `history.parquet` anyway.
            What other processes train is logged when it is trained.

    Raises:
        UnknownName: no such track, baseline, preset, corpus or feature.
        DeclarationError: an option, or a key of `[training]`, is unknown or of another type.
        MissingExtra: the baseline needs a package that is not installed.
        WithheldReference: the references of the training samples are withheld.
        UsageError: there is nothing to learn from, the output folder is not empty, or the device is not available;
            another process trains into the folder.
    """
    started = time.perf_counter()
    settings = settings or RunSettings()
    original = with_learning(track if isinstance(track, Track) else load_track(track), settings.learning)
    declared = without_classes(original, settings.hold_out) if settings.hold_out else original
    wanted(settings.detectors)  # names that do not exist are reported before anything is trained
    trainings = Trainings(declared, baseline, settings)
    loaded = trainings.loaded
    require_engine(settings.engine)
    require_device(settings.device)
    folder = Path(output) if output is not None else default_folder(declared, loaded.name, settings.hold_out)
    options, seeds = trainings.options, trainings.seeds
    require_free(folder, replace=replace)
    _ = trainings.plan  # what cannot be learned is reported first
    unknown_warnings = hold_out_warnings(original, settings.hold_out)
    if isinstance(loaded.build(options, Setup(seeds[0])), FoldEnsemble):
        require_matplotlib()
    with unfinished(folder, trainings.digest) as state:
        run = _trained(trainings, state, Watched(progress, log))
        run = replaced(
            run,
            warnings=(*run.warnings, *unknown_warnings),
            folder=folder,
            learning=settings.learning,
            preset=settings.preset,
            hold_out=tuple(settings.hold_out),
            inputs_digest=trainings.digest,
            wall_time_s=round(time.perf_counter() - started, 3),
        )
        require_free(folder, replace=replace)  # another program may have written meanwhile
        with atomic_folder(folder, replace=replace) as temporary:
            return _written(temporary, run, trainings, original)


def kept_run(
    track: str | Path | Track,
    baseline: str | Path,
    settings: RunSettings,
    *,
    output: Path,
    progress: ShowProgress | None = None,
) -> StoredRun:
    """Return the run in a folder, if it has the same options, seeds, and all other inputs; else run the baseline.

    A run that answers a hidden split is run again: its record has its scores, and does not show if references changed.

    Raises:
        UsageError: the folder has something else than a run. Otherwise as `run_baseline`.
    """
    if (output / RECORD).is_file():
        declared = with_learning(track if isinstance(track, Track) else load_track(track), settings.learning)
        declared = without_classes(declared, settings.hold_out) if settings.hold_out else declared
        trainings = Trainings(declared, baseline, settings)
        if not trainings.plan.test.hidden and (stored := stored_run(trainings, output)) is not None:
            return stored
    run_baseline(track, baseline, settings, output=output, replace=True, progress=progress)
    return read_run(output)


def stored_run(trainings: Trainings, folder: Path) -> StoredRun | None:
    """Return the run in a folder if it has the same options, seeds, and all other inputs; None if it is another one.

    Of a hidden split, only the answers are those that the trainings would give: references of it may have changed.

    Raises:
        UsageError: the folder has no run.
    """
    stored = read_run(folder)
    seeds = [each.seed for each in stored.record.runs]
    is_same = stored.content.get("inputs_digest") == trainings.digest and seeds == trainings.seeds
    return stored if is_same else None


def default_folder(track: Track, baseline: str, hold_out: Sequence[str] = ()) -> Path:
    """Return the folder of a run where none is named: `runs/<track>/<baseline>`, and the classes that are held out."""
    without = f"-without-{'-'.join(map(kebab, hold_out))}" if hold_out else ""
    return Path("runs") / track.id / f"{baseline}{without}"


def _trained(trainings: Trainings, state: Unfinished, watched: Watched) -> BaselineRun:
    """Return what was learned and answered, with every seed; what an interrupted run has finished is read."""
    plan, train = trainings.plan, trainings.train
    parts = selected_parts(trainings, state, watched)
    fits, n_resumed = trained_parts(trainings, parts, state, watched)
    runs = [_seed_run(seed, plan.parts, [fits[seed, n] for n in range(len(parts))]) for seed in trainings.seeds]
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
            *([OF_SETS] if train.sets else []),
            *([] if plan.test.corpus.synthetic else divided_groups([part.cross_validation for part in parts])),
            *transductive([(p.ids.get("unlabelled"), p.ids.get(ANSWERED, plan.test.ids)) for p in parts], plan.test),
            *dict.fromkeys(note for run in runs for part in run.parts for note in part.fit.notes),
        ),
        widths=train.samples.widths,
        files=trainings.files,
        n_resumed=n_resumed,
    )


def transductive(used: Sequence[tuple[pa.StringArray | None, pa.StringArray]], test: Candidates) -> list[str]:
    """Return a warning where models learn from samples that they answer, without references; else nothing.

    Args:
        used: for every model, the ids of the samples that it learns from without references, and of those it answers.
        test: the candidates.
    """
    n = sum(int(pc.sum(pc.is_in(ids, own)).as_py() or 0) for ids, own in used if ids is not None)
    if not n:
        return []
    return [
        f"{TRANSDUCTIVE}: {n:,} of {len(test):,} candidates are learned from without their references, as [training] "
        "of the track declares; scores are not those of new samples"
    ]


def _written(folder: Path, run: BaselineRun, trainings: Trainings, original: Track) -> BaselineRun:
    """Write a run into a folder, score every seed's submission once, and return the run with its scores."""
    plan, intervals = trainings.plan, trainings.settings.intervals
    candidates, seeds, detectors = plan.test, run.seeds, list[dict[str, Any]]()
    found = detected_by_run(trainings, run) if run.hold_out else None
    if found is not None:
        candidates = write_known_track(folder / KNOWN_TRACK, replaced(plan.test, track=original), run.hold_out)
        seeds = tuple(replaced(seed, predictions=known_scores(seed.predictions)) for seed in seeds)
        detectors = write_detected(folder, candidates, run, found)
    files = _write_runs(folder, candidates, run, seeds)
    report, withheld = score_where_known(candidates, folder / SUBMISSION, intervals)
    others = (submission_table(candidates, seed.predictions) for seed in seeds[1:])
    reports = [report, *(score_where_known(candidates, table, False)[0] for table in others)]
    run = replaced(
        run,
        seeds=tuple(replaced(seed, test=_values(own)) for seed, own in zip(seeds, reports, strict=True)),
        report=None if report is None else replaced(report, source=str(run.folder / SUBMISSION)),
        withheld=withheld,
    )
    if found is not None and report is not None:
        run = replaced(run, unknown=report_of(folder, run, detectors, found.remark, intervals))
    write_text(folder / RECORD, json_text(run_record(run, plan, files, detectors)))
    return run


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
