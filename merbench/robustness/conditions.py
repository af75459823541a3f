"""Trains the systems of an experiment, and scores them under each condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from merbench.corpus.declaration import MODALITIES
from merbench.corruptions.batches import removes_modalities
from merbench.engine import ShowProgress, suitable_threads
from merbench.errors import contained, in_a_line
from merbench.report import ScoreReport
from merbench.robustness.experiment import Experiment, Fold, System
from merbench.robustness.grid import Condition
from merbench.robustness.report import ConditionRow
from merbench.robustness.samples import Inputs, Standard
from merbench.robustness.summary import Values
from merbench.scoring import score_and_draws
from merbench.submission import read_submission
from merbench.training import Baseline, FeatureSet, FoldEnsemble, Predictions, Sequences, TrainingSet
from merbench.training.declaration import Options
from merbench.training.missing import frozen
from merbench.training.output import submission_table
from merbench.training.samples import FeatureCorruption
from merbench.training.selection import select_options, with_folds_of
from merbench.training.sequences import Vectors


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores under one condition."""

    row: ConditionRow
    # by system and metric, the same values of resampled samples; empty without intervals
    draws: tuple[Mapping[str, Values], ...] = ()
    report: ScoreReport | None = None  # the full report on the first system; None if the condition failed
    changed: bool = False
    error: Exception | None = None  # why the condition failed


class _Fitted(NamedTuple):
    """A trained baseline, and the options it was trained with."""

    baseline: Baseline
    options: Options


def scored_conditions(experiment: Experiment, show: ShowProgress) -> Iterator[Scored]:
    """Yield the scores of clean samples, then of each condition; one that fails does not stop the others."""
    source, train, test = experiment.source, experiment.train, experiment.test
    conditions, shared = experiment.conditions, experiment.settings.weights == "shared"
    standard = _standard(experiment)
    clean = source.inputs(test, None)
    clean_train = clean if train is test else source.inputs(train, None)
    models: dict[System, list[_Fitted]] = {}

    def scored(condition: Condition | None) -> Scored:
        given = clean if condition is None else source.inputs(test, condition, standard)
        learned = _training_inputs(experiment, condition, clean_train, given, standard)
        results = []
        for system in experiment.systems:
            if system not in models or not shared:
                models[system] = []
            parts = []
            for n, fold in enumerate(experiment.folds):
                drawn = _drawn(experiment, system, fold, condition)
                taught = learned(n) if drawn is None or shared else clean_train
                samples, asked = _feature_sets(experiment, system, fold, (clean_train, taught, given))
                with suitable_threads(samples.n_values):
                    if len(models[system]) == n:
                        models[system].append(
                            _fitted(system, replace(fold.labelled, samples=samples, corruption=drawn))
                        )
                    parts.append((fold.predicted, models[system][n].baseline.predict(asked)))
            results.append(_score(experiment, Predictions.gathered(parts)))
        reports, draws = zip(*results, strict=True)
        options = [model.options for model in models[experiment.systems[0]]]
        row = ConditionRow(
            None if condition is None else condition.value,
            reports[0].scores,
            reports[1].scores if len(reports) > 1 else (),
            given.realised,
            tuple(item for i, item in enumerate(options) if item not in options[:i]),
        )
        return Scored(row, draws, reports[0], condition is not None and clean.differs(given))

    show("conditions", 0, 1 + len(conditions))
    yield scored(None)
    for n, condition in enumerate(conditions, start=1):
        show("conditions", n, 1 + len(conditions))
        try:
            result = scored(condition)
        except Exception as error:
            problem = in_a_line(contained(error))
            result = Scored(ConditionRow(condition.value, (), problem=problem), error=error)
        yield result
    show("conditions", 1 + len(conditions), 1 + len(conditions))


def _standard(experiment: Experiment) -> Standard | None:
    """Return the scale on which test samples are corrupted: for each one, that of its model's training data."""
    if not experiment.standardises:
        return None
    fold = np.zeros(len(experiment.test), dtype=np.int64)
    for n, part in enumerate(experiment.folds):
        fold[part.predicted] = n
    scales = [experiment.source.scales(experiment.train, part.learned) for part in experiment.folds]
    return Standard(scales, fold)


def _training_inputs(
    experiment: Experiment, condition: Condition | None, clean: Inputs, given: Inputs, standard: Standard | None
) -> Callable[[int], Inputs]:
    """Return the training data of each fold: clean, or corrupted like the test samples, on the fold's scale."""
    train = experiment.train
    if condition is None or experiment.settings.weights == "shared":
        return lambda fold: clean
    if train is experiment.test and (standard is None or condition.step.corruption.modality != "features"):
        return lambda fold: given
    first = np.zeros(len(train), dtype=np.int64)

    @lru_cache(maxsize=1)  # two systems share their training data
    def corrupted(fold: int) -> Inputs:
        own = None if standard is None else Standard([standard.scales[fold]], first)
        return experiment.source.inputs(train, condition, own)

    return corrupted


def _drawn(experiment: Experiment, system: System, fold: Fold, condition: Condition | None) -> FeatureCorruption | None:
    """Return what is done to the features that a system learns from, beyond what its training inputs have.

    With shared weights, this is what the track declares for training. With weights of each condition, a baseline that
    draws for every epoch draws which modalities are missing itself.
    """
    source, declared = experiment.source, fold.labelled.corruption
    modalities = {name: modality for name, modality in source.modalities.items() if modality in MODALITIES}
    if experiment.settings.weights == "shared":
        return None if declared is None else replace(declared, modalities=modalities)
    per_epoch = system.loaded.declaration.corrupts_per_epoch and experiment.standardises
    if condition is None or not per_epoch or not removes_modalities(condition.step):
        return None
    return FeatureCorruption((condition.step,), source.seed, modalities)


def _feature_sets(
    experiment: Experiment, system: System, fold: Fold, inputs: tuple[Inputs, Inputs, Inputs]
) -> tuple[FeatureSet, FeatureSet]:
    """Return a system's training data and test data, from clean training, training and test inputs."""
    clean, learned, given = inputs
    source, names, declared = experiment.source, system.names, system.loaded.declaration
    sets = (
        source.feature_set(experiment.train, learned, fold.learned, names, declared),
        source.feature_set(experiment.test, given, fold.predicted, names, declared),
    )
    if "text" not in source.computed or "text" not in system.names:
        return sets
    vectors = source.text_features(clean.texts(fold.learned), learned.texts(fold.learned), given.texts(fold.predicted))
    first, second = (
        replace(part, sequences=_with_text(part, text, system.names)) for part, text in zip(sets, vectors, strict=True)
    )
    return first, second


def _with_text(samples: FeatureSet, text: Vectors, names: Sequence[str]) -> dict[str, Sequences]:
    """Return the features of a system, in its order, with the vectors of texts among them."""
    every = {**samples.sequences, "text": Sequences.of_vectors(text)}
    return {name: every[name] for name in names}


def _fitted(system: System, train: TrainingSet) -> _Fitted:
    if train.corruption is not None:
        declared = system.loaded.declaration
        per_epoch, absent = declared.corrupts_per_epoch, declared.handles_missing
        train = replace(train, corruption=replace(train.corruption, per_epoch=per_epoch, absent=absent))
    setup = with_folds_of(system.setup, train)
    options, _ = select_options(system.loaded, system.options, system.choices, train, setup)
    baseline = system.loaded.build(options, setup)
    # An ensemble selects the epochs of its models on the development set; another baseline does not learn from it.
    train = frozen(train)
    baseline.fit(train if isinstance(baseline, FoldEnsemble) else train.select(train.learned))
    return _Fitted(baseline, options)


def _score(experiment: Experiment, predictions: Predictions) -> tuple[ScoreReport, dict[str, Values]]:
    read = read_submission(submission_table(experiment.test, predictions), experiment.test)
    report, draws = score_and_draws(read, experiment.how)
    return report.public(), {score.key: draws[score.key] for score in report.scores if draws}
