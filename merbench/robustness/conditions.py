"""Trains the systems of an experiment, and scores them under each condition, in this process or in several.

Conventions:
    A condition is its number: 0 are clean samples; the conditions of all curves follow. A unit of work is a system with
    conditions that it answers with the same models: all of them, or one where each has models of its own. Its result
    depends on nothing else, so that any number of processes gives the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from merbench.corpus.declaration import MODALITIES
from merbench.corruptions.batches import removes_modalities
from merbench.engine import Raised, ShowProgress, is_shared, run_here_or_apart, suitable_threads
from merbench.report import Score, ScoreReport
from merbench.robustness.experiment import Experiment, Fold, Prepared
from merbench.robustness.preparation import Work
from merbench.robustness.samples import Inputs, Scales, Standard
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

_MOST_BYTES = 1 << 28
"""How many bytes of features stay in memory for the next system, or the next condition."""

_FEWEST_KEPT = 4
"""Clean and corrupted inputs of two splits stay in any case: a system needs them at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a system scores under one condition, or why it has no scores."""

    scores: tuple[Score, ...] = ()
    # by metric, the same values of resampled samples; empty without intervals
    draws: Mapping[str, Values] = field(default_factory=dict)
    realised: Mapping[str, float] = field(default_factory=dict)
    options: tuple[Mapping[str, Any], ...] = ()  # those it was trained with
    changed: bool = False  # whether any input differs from that of clean samples
    report: ScoreReport | None = None  # of clean samples only
    raised: Exception | Raised | None = None

    @property
    def error(self) -> Exception | None:
        """Why there are no scores."""
        raised = self.raised.error() if isinstance(self.raised, Raised) else self.raised
        assert raised is None or isinstance(raised, Exception)
        return raised


class _Unit(NamedTuple):
    """A system by its place, and conditions that it answers with the same models."""

    place: int
    numbers: tuple[int, ...]


def outcomes(work: Work, show: ShowProgress) -> list[dict[int, Outcome]]:
    """Return the outcomes of every system of an experiment by the number of the condition.

    A condition that fails does not stop the others. A system that cannot be scored on clean samples has only that
    outcome; where it is the only one, or others are compared with it, what it met is raised.
    """
    experiment, settings = work.experiment, work.settings
    systems, n = experiment.systems, 1 + len(experiment.conditions)
    numbers = [(number,) for number in range(n)] if settings.weights == "per-condition" else [tuple(range(n))]
    units = {f"{system.name}, {own[0]}": _Unit(place, own) for own in numbers for place, system in enumerate(systems)}
    if is_shared(len(units), settings.workers, settings.engine):  # the longest first
        units = dict(sorted(units.items(), key=lambda item: -systems[item[1].place].cost))
    made: list[dict[int, Outcome]] = [{} for _ in systems]
    trials, total = _Trials(experiment), n * len(systems)

    def here(name: str) -> dict[int, Outcome]:
        unit, results = units[name], dict[int, Outcome]()
        before = sum(map(len, made))
        if (clean := made[unit.place].get(0)) is not None and clean.raised is not None:
            return results
        for number, outcome in trials.outcomes(systems[unit.place], unit.numbers):
            results[number] = outcome
            show("conditions", before + len(results), total)
        return results

    show("conditions", 0, total)
    apart = partial(_outcomes_apart, work)
    with closing(run_here_or_apart(here, apart, units, settings.workers, settings.engine)) as finished:
        for done in finished:
            unit = units[done.name]
            if done.error is not None and not isinstance(done.error, Exception):
                raise done.error
            failed = {} if done.error is None else dict.fromkeys(unit.numbers, Outcome(raised=done.error))
            made[unit.place] |= done.value or failed
            clean = made[unit.place].get(0)
            if clean is not None and clean.error is not None and experiment.needs(systems[unit.place]):
                raise clean.error
            show("conditions", sum(map(len, made)), total)
    return made


def _outcomes_apart(work: Work, unit: _Unit) -> dict[int, Outcome]:
    """Return the outcomes of a unit in a form that can be pickled; runs in another process."""
    trials = _trials(work)
    results = dict(trials.outcomes(trials.experiment.systems[unit.place], unit.numbers))
    return {
        number: outcome if outcome.error is None else replace(outcome, raised=Raised.of(outcome.error))
        for number, outcome in results.items()
    }


@lru_cache(maxsize=1)
def _trials(work: Work) -> _Trials:
    return _Trials(work.experiment)


class _Trials:
    """Trains the systems of an experiment and scores them; what several of them are given is made once."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self._kept: dict[tuple[Any, ...], Inputs] = {}
        self._scales: dict[tuple[Any, ...], Scales] = {}

    def outcomes(self, system: Prepared, numbers: Sequence[int]) -> Iterator[tuple[int, Outcome]]:
        """Yield a system's outcome under each condition, all answered by the same models; none after a failed clean."""
        models: list[_Fitted] = []
        for number in numbers:
            try:
                outcome = self._outcome(system, number, models)
            except Exception as error:
                outcome = Outcome(raised=error)
            yield number, outcome
            if number == 0 and outcome.raised is not None:
                return

    def _outcome(self, system: Prepared, number: int, models: list[_Fitted]) -> Outcome:
        given, parts = self._test_inputs(system, number), []
        for n, fold in enumerate(system.folds):
            samples, asked = self._feature_sets(system, number, n)
            with suitable_threads(samples.n_values):
                if len(models) == n:
                    drawn = self._drawn(system, number, fold)
                    models.append(_fitted(system, replace(fold.labelled, samples=samples, corruption=drawn)))
                parts.append((fold.predicted, models[n].baseline.predict(asked)))
        read = read_submission(
            submission_table(self.experiment.test, Predictions.gathered(parts)), self.experiment.test
        )
        report, draws = score_and_draws(read, self.experiment.how)
        public, options = report.public(), [model.options for model in models]
        return Outcome(
            scores=public.scores,
            draws={score.key: draws[score.key] for score in report.scores if draws},
            realised=given.realised,
            options=tuple(item for i, item in enumerate(options) if item not in options[:i]),
            changed=number > 0 and self._test_inputs(system, 0).differs(given),
            report=None if number else public,
        )

    def _inputs(self, system: Prepared, split: str, number: int, fold: int | None) -> Inputs:
        """Return the inputs of a split under a condition, on the scale of a fold, or of each sample's own (None)."""
        experiment = self.experiment
        key = (system.source, system.learned_rows, split, number, fold)
        made = self._kept.pop(key, None)
        if made is None:
            candidates = experiment.test if split == "test" else experiment.train
            condition = experiment.conditions[number - 1] if number else None
            standard = None if condition is None else self._standard(system, len(candidates), fold)
            made = system.source.inputs(candidates, condition, standard)
        self._kept[key] = made  # the last one is the latest
        sizes = [inputs.n_bytes for inputs in self._kept.values()]
        while len(self._kept) > _FEWEST_KEPT and sum(sizes) > _MOST_BYTES:
            del self._kept[next(iter(self._kept))], sizes[0]
        return made

    def _test_inputs(self, system: Prepared, number: int) -> Inputs:
        return self._inputs(system, "test", number, None)

    def _training_inputs(self, system: Prepared, number: int, fold: int) -> Inputs:
        """Return what a fold learns from: clean, or corrupted like the test samples, on the fold's scale."""
        experiment = self.experiment
        is_clean = number == 0 or experiment.settings.weights != "per-condition"
        if is_clean or self._drawn(system, number, system.folds[fold]) is not None:
            return self._clean_training_inputs(system)
        of_features = experiment.conditions[number - 1].step.corruption.modality == "features"
        if experiment.train is experiment.test and not (experiment.standardises and of_features):
            return self._test_inputs(system, number)
        return self._inputs(system, "train", number, fold)

    def _clean_training_inputs(self, system: Prepared) -> Inputs:
        is_test = self.experiment.train is self.experiment.test
        return self._inputs(system, "test" if is_test else "train", 0, None)

    def _standard(self, system: Prepared, n: int, fold: int | None) -> Standard | None:
        """Return the scale on which samples are corrupted: for test samples, that of their model's training data."""
        if not self.experiment.standardises:
            return None
        folds = range(len(system.folds)) if fold is None else [fold]
        of_row = np.zeros(n, dtype=np.int64)
        for number in folds if fold is None else ():
            of_row[system.folds[number].predicted] = number
        return Standard([self._scale(system, number) for number in folds], of_row)

    def _scale(self, system: Prepared, fold: int) -> Scales:
        key = (system.source, system.learned_rows, fold)
        if key not in self._scales:
            self._scales[key] = system.source.scales(self.experiment.train, system.folds[fold].learned)
        return self._scales[key]

    def _drawn(self, system: Prepared, number: int, fold: Fold) -> FeatureCorruption | None:
        """Return what is done to the features that a system learns from, beyond what its training inputs have.

        With one model for all conditions, this is what the track declares for training. With a model for each, a
        baseline that draws for every epoch draws what its condition does to features, of which it learns the complete
        ones, too. Noise in frames cannot be drawn for their mean, which is all that a baseline of vectors is given.
        """
        experiment, source, declared = self.experiment, system.source, fold.labelled.corruption
        modalities = {name: modality for name, modality in source.modalities.items() if modality in MODALITIES}
        if experiment.settings.weights != "per-condition":
            return None if declared is None else replace(declared, modalities=modalities)
        per_epoch = system.loaded.declaration.corrupts_per_epoch and experiment.standardises
        step = experiment.conditions[number - 1].step if number else None
        if step is None or step.corruption.modality != "features" or not per_epoch:
            return None
        if not removes_modalities(step) and self._pools(system, modalities):
            return None
        return FeatureCorruption((step,), source.seed, modalities)

    def _pools(self, system: Prepared, names: Collection[str]) -> bool:
        """Return whether a system is given the mean of the rows of one of some features."""
        features = self._clean_training_inputs(system).features
        has_rows = any(features[name].lengths.max(initial=0) > 1 for name in names if name in features)
        return has_rows and system.loaded.declaration.samples != "sequences"

    def _feature_sets(self, system: Prepared, number: int, fold: int) -> tuple[FeatureSet, FeatureSet]:
        """Return what a system learns from and what it answers under a condition."""
        experiment, source, part = self.experiment, system.source, system.folds[fold]
        learned, given = self._training_inputs(system, number, fold), self._test_inputs(system, number)
        declared, names = system.loaded.declaration, system.names
        sets = (
            source.feature_set(experiment.train, learned, part.learned, names, declared),
            source.feature_set(experiment.test, given, part.predicted, names, declared),
        )
        if "text" not in source.computed or "text" not in names:
            return sets
        clean = self._clean_training_inputs(system)
        vectors = source.text_features(
            clean.texts(part.learned), learned.texts(part.learned), given.texts(part.predicted)
        )
        first, second = (
            replace(each, sequences=_with_text(each, text, names)) for each, text in zip(sets, vectors, strict=True)
        )
        return first, second


def _with_text(samples: FeatureSet, text: Vectors, names: Sequence[str]) -> dict[str, Sequences]:
    """Return the features of a system, in its order, with the vectors of texts among them."""
    every = {**samples.sequences, "text": Sequences.of_vectors(text)}
    return {name: every[name] for name in names}


class _Fitted(NamedTuple):
    """A trained baseline, and the options it was trained with."""

    baseline: Baseline
    options: Options


def _fitted(system: Prepared, train: TrainingSet) -> _Fitted:
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
