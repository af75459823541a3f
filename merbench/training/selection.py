"""Cross-validates a baseline on a training set, and selects its options.

Nothing here sees the test split. Values are those of the track's own metrics, compared as its ranking declares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError
from merbench.metrics.lists import Values
from merbench.scoring import Aligned, Grouping, evaluate
from merbench.track import OVERALL, MetricSpec, Track
from merbench.training.declaration import LoadedBaseline, Options
from merbench.training.missing import frozen
from merbench.training.protocol import NO_LOG, Baseline, CrossFit, FoldEnsemble, Predictions, Setup, silent
from merbench.training.samples import Names, TrainingSet, known_of

Columns = Mapping[str, Values]
Value = tuple[float, ...]

Build = Callable[[Setup], Baseline]
"""Builds a baseline for one training."""


def scores(
    track: Track,
    reference: Columns,
    answers: Columns,
    groups: Mapping[str, Names] | None = None,
    probabilities: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, float]:
    """Return the plain value of every metric, and of the overall score where the track has one, by key.

    Args:
        track: the track.
        reference: references by target; -1 or NaN where one is not known.
        answers: answers by target.
        groups: by column that a metric is taken `per`, the value of every sample. Without the column, or without a
            sample of a value that has a share, the metric is taken over all samples.
        probabilities: by target, those of its labels, which only some metrics need.
    """
    encoded = {name: np.unique(values, return_inverse=True) for name, values in (groups or {}).items()}
    groupings = {name: Grouping(name, tuple(map(str, levels)), codes) for name, (levels, codes) in encoded.items()}
    metrics = tuple(_computable(spec, groupings) for spec in track.metrics)
    computed = track.model_copy(update={"metrics": metrics})
    known = {name: known_of(values) for name, values in reference.items()}
    counting = {name: mask for name, mask in known.items() if not mask.all()}
    aligned = Aligned(computed, reference, answers, counting, groupings, probabilities=probabilities or {})
    values = evaluate(aligned, np.ones((1, aligned.n), dtype=np.uint8))
    keys = {spec.key: computed.key for spec, computed in zip(track.metrics, metrics, strict=True)}
    overall = {OVERALL: OVERALL} if OVERALL in values else {}
    return {key: float(values[own][0]) for key, own in {**keys, **overall}.items()}


def _computable(spec: MetricSpec, groupings: Mapping[str, Grouping]) -> MetricSpec:
    if spec.per is None or (spec.per in groupings and set(spec.shares or ()) <= set(groupings[spec.per].names)):
        return spec
    return spec.model_copy(update={"per": None, "aggregate": "mean", "shares": None})


def ranking_value(
    track: Track,
    reference: Columns,
    answers: Columns,
    groups: Mapping[str, Names] | None = None,
    probabilities: Mapping[str, NDArray[np.float64]] | None = None,
) -> Value:
    """Return the values of the track's ranking keys, in the order of comparison, negated where lower is better.

    The arguments are those of `scores`; `groups` is `TrainingSet.groups` of the same samples.
    """
    values = scores(track, reference, answers, groups, probabilities)
    keys = ranking_signs(track)
    return tuple(sign * values[key] if math.isfinite(values[key]) else -math.inf for key, sign in keys)


def ranking_signs(track: Track) -> list[tuple[str, int]]:
    """Return the keys of what ranks, in the order of comparison, each with -1 if lower is better, else 1."""
    signs = {track.metric_label(spec): (spec.key, 1 if spec.metric.higher_is_better else -1) for spec in track.metrics}
    return [signs.get(name, (name, 1)) for name in track.ranked_by]


def with_folds_of(setup: Setup, train: TrainingSet) -> Setup:
    """Return a setup with no more folds than a training set has clusters."""
    return replace(setup, n_folds=train.n_folds(setup.n_folds))


def cross_validate(build: Build, train: TrainingSet, setup: Setup) -> Predictions:
    """Return predictions for the rows `train.validated` by baselines that were fitted without the sample's fold."""
    return cross_fit(build, train, setup).out_of_fold


def cross_fit(build: Build, train: TrainingSet, setup: Setup) -> CrossFit:
    """Return the result of cross-validation only."""
    baseline = build(setup)
    if isinstance(baseline, FoldEnsemble):
        return baseline.fit_folds(frozen(train, of_folds=True))
    parts = []
    divisions = train.divisions(setup.n_folds, setup.seed)
    for n, division in enumerate(divisions):
        model = build(replace(setup.part(f"fold-{n}"), progress=silent, log=NO_LOG))
        part = frozen(train.of_division(division))
        model.fit(part.select(part.learned))
        parts.append((division.validate, model.predict(part.samples.select(part.validated))))
        setup.progress(n + 1, len(divisions))
    return CrossFit(Predictions.gathered(parts))


def fit(build: Build, train: TrainingSet, setup: Setup) -> tuple[Baseline, CrossFit]:
    """Return a baseline fitted on the training set, and the result of cross-validation."""
    baseline = build(setup)
    if isinstance(baseline, FoldEnsemble):
        return baseline, baseline.fit_folds(frozen(train, of_folds=True))
    every = frozen(train)
    result = None if train.development is not None else cross_fit(build, train, setup)
    baseline.fit(every.select(every.learned))
    if result is None:  # the model that answers is the one that is validated
        result = CrossFit(baseline.predict(every.samples.select(every.validated)))
    return baseline, result


def validated_scores(train: TrainingSet, predictions: Predictions) -> dict[str, float]:
    """Return the plain value of every metric of predictions for the rows `train.validated`."""
    validated = train.select(train.validated)
    answers = predictions.answers(train.track)
    return scores(train.track, validated.targets, answers, validated.groups, predictions.outputs)


@dataclass(frozen=True, slots=True)
class Trial:
    """Options that were tried, and their cross-validated ranking value."""

    options: Options
    value: Value


def select_options(
    loaded: LoadedBaseline,
    options: Options,
    choices: Mapping[str, Sequence[Any]],
    train: TrainingSet,
    setup: Setup,
    *,
    before: Sequence[Trial] = (),
    keep: Callable[[Sequence[Trial]], None] = lambda trials: None,
) -> tuple[dict[str, Any], list[Trial]]:
    """Return the options selected by cross-validation on the training set, and all trials.

    Options are selected one after the other, in the order declared, each with the current values of the others. Of
    equally good values the current one is kept, else the first: an option without effect stays as it was.

    Args:
        loaded: the baseline.
        options: the options before selection.
        choices: the options that are selected, and from which values.
        train: what is learned from.
        setup: seed, folds, device, and who follows the trials.
        before: trials of a selection that was interrupted, which are not made again.
        keep: given all trials after each.
    """
    chosen, trials = dict(options), list[Trial]()
    done, total = 0, sum(map(len, choices.values()))
    for name, values in choices.items():
        if name not in chosen:
            raise UsageError(f"baseline '{loaded.name}': select.{name} is not among its defaults")
        candidates = []
        for value in values:
            tried = {**chosen, name: value}
            trial = next((trial for trial in trials if trial.options == tried), None)
            if trial is None:
                trial = next((trial for trial in before if trial.options == tried), None)
                trial = trial or evaluated(loaded, tried, train, replace(setup, progress=silent))
                trials.append(trial)
                keep(trials)
            candidates.append(trial)
            done += 1
            setup.progress(done, total)
        current = chosen
        chosen = dict(max(candidates, key=lambda trial: (trial.value, trial.options == current)).options)
    return chosen, trials


def evaluated(loaded: LoadedBaseline, options: Options, train: TrainingSet, setup: Setup) -> Trial:
    """Return some options with the ranking value of predictions for the rows `train.validated`."""
    return Trial(options, validated_value(train, cross_validate(partial(loaded.build, options), train, setup)))


def validated_value(train: TrainingSet, predictions: Predictions) -> Value:
    """Return the ranking value of predictions for the rows `train.validated`."""
    answers, validated = predictions.answers(train.track), train.select(train.validated)
    return ranking_value(train.track, validated.targets, answers, validated.groups, predictions.outputs)
