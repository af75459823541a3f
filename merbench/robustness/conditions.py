"""An experiment goes in, what its systems score under each condition comes out: trained, asked, scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from merbench.engine import ShowProgress, suitable_threads
from merbench.report import ScoreReport
from merbench.robustness.experiment import Experiment, Fold, System
from merbench.robustness.grid import Condition
from merbench.robustness.samples import Given, Standard, text_features, texts_of
from merbench.robustness.summary import Outcome
from merbench.scoring import align, bootstrap, score
from merbench.scoring.uncertainty import is_single
from merbench.submission import read_submission
from merbench.training import Baseline, FeatureSet, Predictions, TrainingSet
from merbench.training.declaration import Options
from merbench.training.output import submission_table
from merbench.training.selection import select_options, with_folds_of


@dataclass(frozen=True, eq=False)
class Row:
    """The scores of all systems under one condition, in their order, and how the first was trained.

    Without outcomes and report, `error` is what the condition raised.
    """

    condition: Condition | None
    outcomes: tuple[Outcome, ...] = ()
    realised: Mapping[str, float] = field(default_factory=dict)
    options: tuple[Options, ...] = ()
    report: ScoreReport | None = None
    changed: bool = False
    error: Exception | None = None


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A trained baseline, and the options it was trained with."""

    baseline: Baseline
    options: Options


def scored_rows(experiment: Experiment, show: ShowProgress) -> Iterator[Row]:
    """Yield the undamaged row, then one for each condition; one that fails does not stop the others."""
    source, train, test = experiment.source, experiment.samples.train, experiment.samples.test
    conditions, shared = experiment.conditions, experiment.weights == "shared"
    standard = _standard(experiment)
    undamaged = source.given(test, None)
    learned = undamaged if train is test else source.given(train, None)
    kept: dict[System, list[_Fitted]] = {}

    def row(condition: Condition | None) -> Row:
        asked = undamaged if condition is None else source.given(test, condition, standard)
        like = _learned_under(experiment, condition, learned, asked, standard)
        scored = []
        for system in experiment.systems:
            fitted = kept.get(system) if shared else None
            predictions, kept[system] = _predictions(experiment, system, learned, like, asked, fitted)
            scored.append(_outcome(experiment, predictions))
        outcomes, reports = zip(*scored, strict=True)
        return Row(
            condition,
            outcomes,
            asked.realised,
            _distinct([one.options for one in kept[experiment.systems[0]]]),
            reports[0],
            condition is not None and _differ(undamaged, asked),
        )

    show("conditions", 0, 1 + len(conditions))
    yield row(None)
    for n, condition in enumerate(conditions, start=1):
        show("conditions", n, 1 + len(conditions))
        try:
            scored = row(condition)
        except Exception as error:
            scored = Row(condition, error=error)
        yield scored
    show("conditions", 1 + len(conditions), 1 + len(conditions))


def _standard(experiment: Experiment) -> Standard | None:
    """Return the scale on which test samples are corrupted: for each one, that of its model's training data."""
    if not experiment.standardises:
        return None
    samples = experiment.samples
    fold = np.zeros(len(samples.test), dtype=np.int64)
    for n, one in enumerate(samples.folds):
        fold[one.asked] = n
    return Standard([experiment.source.scales(samples.train, one.learned) for one in samples.folds], fold)


def _learned_under(
    experiment: Experiment, condition: Condition | None, learned: Given, asked: Given, standard: Standard | None
) -> Callable[[int], Given]:
    """Return the training data of each fold: undamaged samples, or samples corrupted alike on the fold's scale."""
    samples = experiment.samples
    if condition is None or experiment.weights == "shared":
        return lambda fold: learned
    if samples.train is samples.test and (standard is None or condition.step.corruption.modality != "features"):
        return lambda fold: asked
    same = np.zeros(len(samples.train), dtype=np.int64)

    @lru_cache(maxsize=1)  # two systems share their training data
    def under(fold: int) -> Given:
        own = None if standard is None else Standard([standard.scales[fold]], same)
        return experiment.source.given(samples.train, condition, own)

    return under


def _distinct(options: Sequence[Options]) -> tuple[Options, ...]:
    return tuple(one for i, one in enumerate(options) if one not in options[:i])


def _differ(one: Given, other: Given) -> bool:
    features = any(not np.array_equal(one.features[name], other.features[name]) for name in one.features)
    return features or any(not one.columns[name].equals(other.columns[name]) for name in one.columns)


def _predictions(
    experiment: Experiment,
    system: System,
    undamaged: Given,
    like: Callable[[int], Given],
    asked: Given,
    fitted: Sequence[_Fitted] | None,
) -> tuple[Predictions, list[_Fitted]]:
    """Return what a system says of all candidates, and its models: those given, else newly trained ones."""
    parts, models = [], []
    for n, fold in enumerate(experiment.samples.folds):
        samples, test = _feature_sets(experiment, system, fold, undamaged, like(n), asked)
        train = replace(fold.labelled, samples=samples)
        with suitable_threads(samples.n_values):
            model = fitted[n] if fitted else _fitted(system, train)
            parts.append((fold.asked, model.baseline.predict(test)))
        models.append(model)
    return Predictions.gathered(parts), models


def _feature_sets(
    experiment: Experiment, system: System, fold: Fold, undamaged: Given, learned: Given, asked: Given
) -> tuple[FeatureSet, FeatureSet]:
    source, columns = experiment.source, system.loaded.declaration.columns
    samples = source.feature_set(experiment.samples.train, learned, fold.learned, system.names, columns)
    test = source.feature_set(experiment.samples.test, asked, fold.asked, system.names, columns)
    if "text" not in source.made or "text" not in system.names:
        return samples, test
    parts = [texts_of(learned, fold.learned), texts_of(asked, fold.asked)]
    _, *vectors = text_features(texts_of(undamaged, fold.learned), *parts)
    first, second = (
        replace(one, features={name: {**one.features, "text": text}[name] for name in system.names})
        for one, text in zip((samples, test), vectors, strict=True)
    )
    return first, second


def _fitted(system: System, train: TrainingSet) -> _Fitted:
    setup = with_folds_of(system.setup, train)
    options, _ = select_options(system.loaded, system.options, system.choices, train, setup)
    baseline = system.loaded.build(options, setup)
    baseline.fit(train)
    return _Fitted(baseline, options)


def _outcome(experiment: Experiment, predictions: Predictions) -> tuple[Outcome, ScoreReport]:
    test, how = experiment.samples.test, experiment.how
    read = read_submission(submission_table(test, predictions), test)
    report = score(test, read, intervals=how is not None).public()
    if how is None:
        return Outcome(report.scores, {}), report
    aligned = align(read)
    if is_single(aligned.n, how.clusters):
        return Outcome(report.scores, {}), report
    draws = bootstrap(aligned, how)[0]
    return Outcome(report.scores, {item.key: draws[item.key] for item in report.scores}), report
