"""A track, a baseline and a grid go in, a folder comes out: what the system scores as the damage grows.

==================== ======================================================================
robustness.json      the report: every value, interval, condition, version, digest
robustness.md        the same as tables
curve-<name>.svg     how the first ranking value falls along one parameter, with intervals
curve-<name>.png     the same
==================== ======================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc

from merbench.banks.home import open_bank
from merbench.charts import Line, condition_curve, require_matplotlib
from merbench.corpus.candidates import Candidates, candidate_column, open_candidates
from merbench.engine import require_engine
from merbench.errors import UnknownName, UsageError, did_you_mean, listed
from merbench.files import atomic_folder, write_text
from merbench.report import Score, ScoreReport
from merbench.robustness.clips import Clips, read_clips
from merbench.robustness.grid import Condition, Curve, planned
from merbench.robustness.report import (
    ConditionRow,
    CurveReport,
    RobustnessReport,
    numbers_of,
    scores_by_key,
    shown,
)
from merbench.robustness.samples import (
    MODALITIES,
    OTHER,
    Given,
    Source,
    modality_of,
    require_texts,
    text_features,
    texts_of,
)
from merbench.robustness.summary import Outcome, Outcomes, is_missing_rate, mean_errors, summaries
from merbench.scoring import Resampling, bootstrap, resampling_of, score, scored_pair
from merbench.scoring.uncertainty import clusters_of, stream_name
from merbench.submission import read_submission
from merbench.track import Track, load_track
from merbench.training import Baseline, FeatureSet, LoadedBaseline, Predictions, Setup, TrainingSet, load_baseline
from merbench.training.data import Rows, answered
from merbench.training.declaration import Options
from merbench.training.device import require_device
from merbench.training.output import require_free, submission_table
from merbench.training.protocol import silent
from merbench.training.run import no_features, require_answers, training_candidates, wanted_features
from merbench.training.selection import select_options

Weights = Literal["shared", "per-condition"]

JSON, MARKDOWN = "robustness.json", "robustness.md"

ShowProgress = Callable[[str, int, int], None]
"""Called with a text and (done, total) steps."""


@dataclass(frozen=True, eq=False)
class _System:
    """A baseline with what it learns from and what was fixed of its options."""

    loaded: LoadedBaseline
    options: Options
    choices: Mapping[str, Sequence[Any]]
    names: tuple[str, ...]
    setup: Setup


@dataclass(frozen=True, eq=False)
class _Fold:
    """Rows to learn from, with their references, and rows to predict."""

    learned: Rows
    asked: Rows
    targets: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A trained baseline, and the options it was trained with."""

    baseline: Baseline
    options: Options


@dataclass(frozen=True, eq=False)
class _Experiment:
    """Everything that stays the same under all conditions."""

    source: Source
    train: Candidates
    test: Candidates
    folds: tuple[_Fold, ...]
    systems: tuple[_System, ...]
    how: Resampling | None


def robustness(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    grids: Mapping[str, Sequence[Any]] | None = None,
    *,
    corruption: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    weights: Weights = "shared",
    media: Sequence[str | Path] = (),
    features: Sequence[str] | None = None,
    modalities: Mapping[str, str] | None = None,
    leave_out: str | None = None,
    split: str = "test",
    relative_to: str | Path | None = None,
    options: Options | None = None,
    seed: int = 0,
    folds: int | None = None,
    device: str = "auto",
    output: str | Path | None = None,
    workers: int = 1,
    engine: str = "local",
    intervals: bool = True,
    progress: ShowProgress | None = None,
) -> RobustnessReport:
    """Score one system under a grid of conditions: a corruption, with each value of one of its parameters.

    Damage goes where the corruption's modality says. Of features, it is applied to the vectors that the corpus holds;
    of text, to the transcripts, of which a text feature is made anew, fitted on undamaged training texts; of audio and
    video, to the clips in `media`, of which merbench's own features are taken. Other features stay as they are stored.
    Draws come from (seed of the track, step, sample) alone. What is chosen is chosen by cross-validation on what is
    learned from: once on undamaged samples for shared weights, else for each condition.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        grids: parameter -> its values; several are curves one after the other.
        corruption: a corruption, or a step of the track; None takes the one that the track declares with the parameter.
        parameters: values of the other parameters; the track's hold where nothing is said.
        weights: `shared`: one model, trained on undamaged samples, under all conditions; `per-condition`: one model for
            each, trained on samples that were damaged alike.
        media: folders of clips; the last one that has a sample's clip gives it.
        features: features to learn from; None takes what the baseline declares for the track, else all there are.
        modalities: feature -> `audio`, `video`, `text`, or `other`, which nothing damages; None takes the one that its
            name begins with.
        leave_out: a corpus column whose values are left out in turn: each is predicted by a model of the others.
        split: the split that is damaged and scored.
        relative_to: a second baseline, under the same conditions, to take corruption errors relative to.
        options: options of the baseline that differ from those declared; they are not chosen by cross-validation.
        seed: seed of the training.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        device: `auto`, `cpu`, `cuda`, …
        output: folder to write; None is `runs/<track>/robustness-<baseline>`. A run that is there already is replaced.
        workers: number of processes that read clips.
        engine: `local`, or the address of a Dask cluster.
        intervals: whether to resample.
        progress: called with a text and (done, total) steps; None shows nothing.

    Raises:
        UnknownName: no such track, baseline, corruption, corpus or feature.
        DeclarationError: a value of a grid, or an option, is not allowed.
        UsageError: nothing fits a grid; clips are asked for and not given, or cannot be used; the output folder holds
            something else.
        Inapplicable: a sample cannot be damaged so.
        WithheldReference: the references of the split, or of the training split, are withheld.
        MissingExtra: a package that is needed is not installed.
    """
    declared = track if isinstance(track, Track) else load_track(track)
    curves = planned(declared, grids or {}, corruption, parameters)
    _require_allowed(weights, seed, workers)
    require_engine(engine)
    require_device(device)
    require_matplotlib()
    loaded = [load_baseline(name) for name in (baseline, relative_to) if name is not None]
    if len({one.name for one in loaded}) < len(loaded):
        raise UsageError(f"'{loaded[0].name}' is compared with itself; name another baseline")
    for one in loaded:
        require_answers(one, declared)
    folder = Path(output) if output is not None else default_folder(declared.id, loaded[0].name)
    require_free(folder, JSON)
    show = progress or (lambda text, done, total: None)

    test = open_candidates(declared, split)
    train = test if leave_out is not None else training_candidates(declared)
    fold_list = _folds(train, test, leave_out)
    made = frozenset(curve.corruption.modality for curve in curves) & set(MODALITIES)
    mapped = _mapped(test, modalities or {})

    def system(one: LoadedBaseline, fixed: Options) -> _System:
        n_folds = one.declaration.folds if folds is None else folds
        return _System(
            one,
            one.options(declared.id, fixed),
            one.choices(declared.id, fixed),
            _names(one, test, features, made, mapped),
            Setup(seed, n_folds, device, silent),
        )

    systems = (system(loaded[0], options or {}), *(system(one, {}) for one in loaded[1:]))
    source = _source(test, systems, curves, made, mapped)
    if of_clips := source.made & {"audio", "video"}:
        read = partial(_clips, curves, of_clips, _folders(media, of_clips), workers=workers, engine=engine, show=show)
        clips = {test.split: read(test, damaged=True)}
        if train is not test:
            clips[train.split] = read(train, damaged=weights == "per-condition")
        source = replace(source, clips=clips)
    experiment = _Experiment(
        source=source,
        train=train,
        test=test,
        folds=fold_list,
        systems=systems,
        how=resampling_of(declared, None, None, None, None, 0) if intervals else None,
    )
    report = _report(experiment, curves, weights, leave_out or "", show)
    with atomic_folder(folder, replace=True) as beside:
        _write(beside, report, declared.ranked_by[0])
    return report


def default_folder(track_id: str, baseline: str) -> Path:
    """Return the folder that is written where none is named."""
    return Path("runs") / track_id / f"robustness-{baseline}"


def _require_allowed(weights: str, seed: int, workers: int) -> None:
    known = ("shared", "per-condition")
    if weights not in known:
        raise UsageError(f"weights are one of {', '.join(known)}, not '{weights}'{did_you_mean(weights, known)}")
    if seed < 0:
        raise UsageError(f"a seed is a whole number from 0 on, not {seed}")
    if workers < 1:
        raise UsageError(f"the number of workers is at least 1, not {workers}")


def _folds(train: Candidates, test: Candidates, leave_out: str | None) -> tuple[_Fold, ...]:
    """Return what is learned from and what is asked: of the two splits, or of each group and the others."""
    rows, targets = answered(train)
    _ = test.references  # told before anything is trained
    everything = np.arange(len(test), dtype=np.int64)
    if leave_out is None:
        return (_Fold(rows, everything, targets),)
    groups = np.array(_groups(test, leave_out))
    folds = []
    for group in sorted(set(groups.tolist())):
        others = np.flatnonzero(groups[rows] != group)
        if not len(others):
            raise UsageError(f"without '{group}' of '{leave_out}' no sample with references is left to learn from")
        folds.append(
            _Fold(
                rows[others],
                np.flatnonzero(groups == group),
                {name: values[others] for name, values in targets.items()},
            )
        )
    return tuple(folds)


def _groups(test: Candidates, column: str) -> list[str]:
    values = candidate_column(test, column, "whose values are left out in turn").to_pylist()
    without = [name for name, value in zip(test.ids.to_pylist(), values, strict=True) if value is None]
    if without:
        raise UsageError(
            f"corpus '{test.corpus.name}': column '{column}' says nothing of {len(without):,} of {len(test):,} samples "
            f"of split '{test.split}': {listed(without)}"
        )
    groups = [str(value) for value in values]
    if len(set(groups)) < 2:
        raise UsageError(f"column '{column}' holds one value alone in split '{test.split}'; there are no others")
    return groups


def _mapped(test: Candidates, modalities: Mapping[str, str]) -> dict[str, str]:
    for name, modality in modalities.items():
        if modality not in (*MODALITIES, OTHER):
            raise UsageError(
                f"a feature is of {', '.join(MODALITIES)} or {OTHER}, not of '{modality}'"
                f"{did_you_mean(modality, MODALITIES)}"
            )
        if name not in test.corpus.features:
            raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)
    return dict(modalities)


def _names(
    loaded: LoadedBaseline,
    test: Candidates,
    asked: Sequence[str] | None,
    made: frozenset[str],
    mapped: Mapping[str, str],
) -> tuple[str, ...]:
    """Return the features to learn from; one that is made anew stands in place of those of its modality."""
    if not loaded.declaration.uses_features:
        return ()
    wanted = wanted_features(loaded, test, asked)
    for name in wanted:
        if name not in test.corpus.features and name not in made:
            raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)
    kinds = [modality_of(name, mapped) for name in wanted]
    unknown = [name for name, kind in zip(wanted, kinds, strict=True) if kind is None]
    if unknown:
        raise UsageError(
            f"the modality of {listed(unknown)} is not known by name; say of which one each is, "
            f"{', '.join(MODALITIES)} or {OTHER}, which nothing damages: --feature-of audio={unknown[0]}"
        )
    absent = [modality for modality in MODALITIES if modality in made and modality not in kinds]
    if absent and asked:
        raise UsageError(
            f"damage to {listed(absent)} changes none of the features {listed(list(asked))}; "
            f"ask for feature '{absent[0]}', too, which is made anew"
        )
    names = [kind if kind in made else name for name, kind in zip(wanted, kinds, strict=True)]
    if not (found := tuple(dict.fromkeys([*(name for name in names if name), *absent]))):
        raise no_features(loaded, test)
    return found


def _source(
    test: Candidates,
    systems: Sequence[_System],
    curves: Sequence[Curve],
    made: frozenset[str],
    mapped: Mapping[str, str],
) -> Source:
    names = tuple(dict.fromkeys(name for system in systems for name in system.names))
    columns = tuple(dict.fromkeys(name for system in systems for name in system.loaded.declaration.columns))
    kinds = {name: kind for name in names if (kind := modality_of(name, mapped)) is not None}
    of_features = [curve for curve in curves if curve.corruption.modality == "features"]
    if "text" in made:
        require_texts(test)
        if of_features and "text" in names:
            raise UsageError("curves of damaged text and of damaged features do not go into one run; make two")
    read = made & {*names, "text"}
    return Source(names, kinds, read, columns, test.track.seed)


def _folders(media: Sequence[str | Path], modalities: frozenset[str]) -> list[Path]:
    if not media:
        raise UsageError(f"damage to {listed(sorted(modalities))} needs the clips; say where they are: --media DIR")
    return [Path(folder) for folder in media]


def _clips(
    curves: Sequence[Curve],
    modalities: frozenset[str],
    folders: Sequence[Path],
    candidates: Candidates,
    *,
    damaged: bool,
    workers: int,
    engine: str,
    show: ShowProgress,
) -> Clips:
    conditions = {
        modality: [
            condition
            for curve in curves
            if damaged and curve.corruption.modality == modality
            for condition in curve.conditions
        ]
        for modality in sorted(modalities)
    }
    for condition in (condition for group in conditions.values() for condition in group):
        for bank in sorted(condition.step.banks):
            open_bank(bank)
    return read_clips(
        candidates,
        folders,
        conditions,
        seed=candidates.track.seed,
        workers=workers,
        engine=engine,
        progress=partial(show, f"clips of {candidates.split}"),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    """What all systems scored under one condition, in their order, and how the first of them was trained."""

    condition: Condition | None
    outcomes: tuple[Outcome, ...]
    realised: Mapping[str, float]
    options: tuple[Options, ...]
    report: ScoreReport
    changed: bool


def _rows(experiment: _Experiment, conditions: Sequence[Condition], shared: bool, show: ShowProgress) -> Iterator[_Row]:
    """Yield the undamaged row, then one for each condition."""
    source, train, test = experiment.source, experiment.train, experiment.test
    undamaged = source.given(test, None)
    learned = undamaged if train is test else source.given(train, None)
    kept: dict[_System, list[_Fitted]] = {}
    for n, condition in enumerate((None, *conditions)):
        show("conditions", n, 1 + len(conditions))
        asked = undamaged if condition is None else source.given(test, condition)
        like = learned
        if condition is not None and not shared:
            like = asked if train is test else source.given(train, condition)
        said = []
        for system in experiment.systems:
            fitted = kept.get(system) if shared else None
            predictions, kept[system] = _predictions(experiment, system, learned, like, asked, fitted)
            said.append(_outcome(experiment, predictions))
        outcomes, reports = zip(*said, strict=True)
        yield _Row(
            condition,
            outcomes,
            asked.realised,
            _distinct([one.options for one in kept[experiment.systems[0]]]),
            reports[0],
            condition is not None and _differ(undamaged, asked),
        )
    show("conditions", 1 + len(conditions), 1 + len(conditions))


def _distinct(options: Sequence[Options]) -> tuple[Options, ...]:
    return tuple(one for i, one in enumerate(options) if one not in options[:i])


def _differ(one: Given, other: Given) -> bool:
    features = any(not np.array_equal(one.features[name], other.features[name]) for name in one.features)
    return features or any(not one.columns[name].equals(other.columns[name]) for name in one.columns)


def _predictions(
    experiment: _Experiment,
    system: _System,
    undamaged: Given,
    learned: Given,
    asked: Given,
    fitted: Sequence[_Fitted] | None,
) -> tuple[Predictions, list[_Fitted]]:
    """Return what a system says of all candidates, and its models: those given, else newly trained ones."""
    parts, models = [], []
    for n, fold in enumerate(experiment.folds):
        samples, test = _feature_sets(experiment, system, fold, undamaged, learned, asked)
        model = fitted[n] if fitted else _fitted(system, TrainingSet(experiment.test.track, samples, fold.targets))
        parts.append((fold.asked, model.baseline.predict(test)))
        models.append(model)
    return Predictions.gathered(parts), models


def _feature_sets(
    experiment: _Experiment, system: _System, fold: _Fold, undamaged: Given, learned: Given, asked: Given
) -> tuple[FeatureSet, FeatureSet]:
    source, columns = experiment.source, system.loaded.declaration.columns
    samples = source.feature_set(experiment.train, learned, fold.learned, system.names, columns)
    test = source.feature_set(experiment.test, asked, fold.asked, system.names, columns)
    if "text" not in source.made or "text" not in system.names:
        return samples, test
    parts = [texts_of(learned, fold.learned), texts_of(asked, fold.asked)]
    _, *vectors = text_features(texts_of(undamaged, fold.learned), *parts)
    first, second = (
        replace(one, features={name: {**one.features, "text": text}[name] for name in system.names})
        for one, text in zip((samples, test), vectors, strict=True)
    )
    return first, second


def _fitted(system: _System, train: TrainingSet) -> _Fitted:
    options, _ = select_options(system.loaded, system.options, system.choices, train, system.setup)
    baseline = system.loaded.build(options, system.setup)
    baseline.fit(train)
    return _Fitted(baseline, options)


def _outcome(experiment: _Experiment, predictions: Predictions) -> tuple[Outcome, ScoreReport]:
    test, how = experiment.test, experiment.how
    read = read_submission(submission_table(test, predictions), test)
    report = score(test, read, intervals=how is not None)
    if how is None:
        return Outcome(report.scores, {}), report
    pair, clusters = scored_pair(read), clusters_of(test, how)
    if pair.n < 2 or (clusters is not None and clusters.max() < 1):
        return Outcome(report.scores, {}), report
    draws = bootstrap(pair, how.n_resamples, clusters, stream_name(test, how.seed))[0]
    return Outcome(report.scores, {item.key: draws[item.key] for item in report.scores}), report


def _report(
    experiment: _Experiment, curves: Sequence[Curve], weights: Weights, leave_out: str, show: ShowProgress
) -> RobustnessReport:
    test, track = experiment.test, experiment.test.track
    conditions = [condition for curve in curves for condition in curve.conditions]
    undamaged, *rows = _rows(experiment, conditions, weights == "shared", show)
    found, notes = [], [*_notes(experiment, curves)]
    remaining = iter(rows)
    for curve in curves:
        own = [next(remaining) for _ in curve.conditions]
        found.append(_curve_report(experiment, curve, undamaged, own))
        if not any(row.changed for row in own):
            notes.append(f"no sample is changed by {curve.step} in what is learned from: its curve is flat")
    systems = [system.loaded.name for system in experiment.systems]
    first = undamaged.report
    return RobustnessReport(
        track=track.key,
        title=track.title,
        corpus=test.corpus.name,
        split=test.split,
        synthetic=test.corpus.synthetic,
        baseline=systems[0],
        relative_to=systems[1] if len(systems) > 1 else "",
        weights=weights,
        leave_out=leave_out,
        features=experiment.systems[0].names,
        seed=experiment.systems[0].setup.seed,
        signature=_signature(experiment, curves, weights, leave_out, first.signature),
        digests=_digests(experiment),
        counts={
            "candidates": len(test),
            "scored": first.counts["scored"],
            "trained": max(len(fold.learned) for fold in experiment.folds),
        },
        undamaged=_condition_row(None, undamaged),
        curves=tuple(found),
        mean_errors=mean_errors([curve.summary for curve in found]) if len(systems) > 1 else (),
        uncertainty=first.uncertainty,
        notes=(*notes, *(str(warning) for warning in first.warnings)),
        decimals=track.ranking.decimals,
    )


def _curve_report(experiment: _Experiment, curve: Curve, undamaged: _Row, rows: Sequence[_Row]) -> CurveReport:
    systems = [
        Outcomes(undamaged.outcomes[i], tuple(row.outcomes[i] for row in rows)) for i in range(len(experiment.systems))
    ]
    shown_rows = tuple(
        _condition_row(condition.value, row) for condition, row in zip(curve.conditions, rows, strict=True)
    )
    rates = numbers_of(shown_rows) if is_missing_rate(curve.corruption.modality, curve.parameter) else None
    return CurveReport(
        parameter=curve.parameter,
        unit=curve.corruption.declarable[curve.parameter].unit,
        step=curve.step,
        corruption=curve.corruption.name,
        modality=curve.corruption.modality,
        declared=curve.declared,
        rows=shown_rows,
        summary=summaries(
            experiment.test.track, rates, systems[0], systems[1] if len(systems) > 1 else None, experiment.how
        ),
    )


def _condition_row(value: Any, row: _Row) -> ConditionRow:
    others: tuple[Score, ...] = row.outcomes[1].scores if len(row.outcomes) > 1 else ()
    return ConditionRow(value, row.outcomes[0].scores, others, row.realised, row.options)


def _notes(experiment: _Experiment, curves: Sequence[Curve]) -> Iterator[str]:
    test = experiment.test
    held = test.corpus.samples()
    held = held.filter(pc.is_in(held["sample_id"], value_set=test.ids))
    stored = [name for name in held.column_names if held[name].null_count < len(held)]
    steps = dict.fromkeys(spec.step_name for spec in test.track.corruptions)
    before = [step for step in steps if any(name.startswith(f"{step}.") for name in stored)]
    of_corpus = [name for name in experiment.source.names if name not in experiment.source.made]
    if before and of_corpus:
        yield (
            f"the corpus holds features of split '{test.split}' that {listed(before)} damaged already: "
            "what is called undamaged is as it is stored, and the grid's damage comes on top"
        )
    if test.hidden:
        yield "the organizer's view of a hidden split: only a part of the candidates is scored"


def _signature(experiment: _Experiment, curves: Sequence[Curve], weights: Weights, leave_out: str, scored: str) -> str:
    system = experiment.systems[0]
    parts = [
        *(f"curve:{curve.signature}" for curve in curves),
        f"baseline:{system.loaded.name}",
        f"features:{'+'.join(system.names) or 'none'}",
        *([f"made:{'+'.join(sorted(experiment.source.made))}"] if experiment.source.made else []),
        f"weights:{weights}",
        f"leave_out:{leave_out or 'none'}",
        f"damage_seed:{experiment.source.seed}",
        f"training_seed:{system.setup.seed}",
        *(f"relative_to:{other.loaded.name}" for other in experiment.systems[1:]),
    ]
    return "|".join([scored, *parts])


def _digests(experiment: _Experiment) -> dict[str, str]:
    test, source = experiment.test, experiment.source
    features = test.corpus.declaration.content.features
    return {
        "track": test.track.fingerprint,
        "corpus": test.corpus.digest,
        "references": test.references.digest,
        **{f"feature {name}": features[name] for name in source.names if name not in source.made},
        **{f"clips of {split}": clips.digest for split, clips in source.clips.items()},
    }


def _write(folder: Path, report: RobustnessReport, ranked_by: str) -> None:
    write_text(folder / JSON, report.to_json())
    write_text(folder / MARKDOWN, report.to_markdown())
    for curve in report.curves:
        for suffix in ("svg", "png"):
            _draw(folder / f"curve-{curve.parameter}.{suffix}", report, curve, ranked_by)


def _draw(path: Path, report: RobustnessReport, curve: CurveReport, ranked_by: str) -> None:
    ranked = next(score for score in report.undamaged.scores if score.name == ranked_by)
    systems = {report.baseline: False, **({report.relative_to: True} if report.relative_to else {})}
    lines = []
    for name, relative in systems.items():
        scores = list(scores_by_key(curve.rows, ranked.key, relative=relative))
        undamaged = next(scores_by_key([report.undamaged], ranked.key, relative=relative))
        lines.append(
            Line(
                name,
                [_number(item.value) for item in scores],
                [_number(item.low) for item in scores],
                [_number(item.high) for item in scores],
                _number(undamaged.value),
            )
        )
    numbers = numbers_of(curve.rows)
    condition_curve(
        path,
        numbers if numbers is not None else [shown(row.value) for row in curve.rows],
        lines,
        x_name=f"{curve.parameter} of {curve.step}" + (f", {curve.unit}" if curve.unit else ""),
        y_name=ranked.name,
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
