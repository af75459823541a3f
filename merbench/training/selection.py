"""A baseline and a training set go in, cross-validated predictions and the options they choose come out.

Nothing here sees the test split. Values are the track's own: its metrics, combined and compared as its ranking says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from merbench.errors import UsageError
from merbench.metrics.lists import Values
from merbench.scoring import Aligned, Grouping, evaluate
from merbench.track import OVERALL, MetricSpec, Track
from merbench.training.data import Names, Predictions, TrainingSet
from merbench.training.declaration import LoadedBaseline, Options
from merbench.training.protocol import Baseline, CrossFit, FoldEnsemble, Setup, silent

Columns = Mapping[str, Values]
Value = tuple[float, ...]


def scores(
    track: Track, reference: Columns, answers: Columns, groups: Mapping[str, Names] | None = None
) -> dict[str, float]:
    """Return the plain value of every metric, and of the overall score where the track has one, by key.

    Args:
        track: the track.
        reference: references by target.
        answers: answers by target.
        groups: by column that a metric is taken `per`, the value of every sample. Where it is not given, or has no
            sample of a value that counts for a share, the metric is taken over all samples.
    """
    encoded = {name: np.unique(values, return_inverse=True) for name, values in (groups or {}).items()}
    levels = {name: tuple(map(str, names)) for name, (names, _) in encoded.items()}
    metrics = tuple(_taken(spec, levels) for spec in track.metrics)
    groupings = {name: Grouping(name, levels[name], codes) for name, (_, codes) in encoded.items()}
    aligned = Aligned(track.model_copy(update={"metrics": metrics}), reference, answers, groupings=groupings)
    values = evaluate(aligned, np.ones((1, aligned.n), dtype=np.uint8))
    keys = {spec.key: taken.key for spec, taken in zip(track.metrics, metrics, strict=True)}
    overall = {OVERALL: OVERALL} if OVERALL in values else {}
    return {key: float(values[taken][0]) for key, taken in {**keys, **overall}.items()}


def _taken(spec: MetricSpec, levels: Mapping[str, Sequence[str]]) -> MetricSpec:
    """Return a metric as it can be computed: `per` its column, or over all samples."""
    known = spec.per is None or (spec.per in levels and set(spec.shares or ()) <= set(levels[spec.per]))
    return spec if known else spec.model_copy(update={"per": None, "aggregate": "mean", "shares": None})


def ranking_value(
    track: Track, reference: Columns, answers: Columns, groups: Mapping[str, Names] | None = None
) -> Value:
    """Return the values of the track's ranking keys, with signs such that higher is better, in the order of comparison.

    The arguments are those of `scores`; `groups` is `TrainingSet.groups` of the same samples.
    """
    found = scores(track, reference, answers, groups)
    signs = {track.metric_label(spec): (spec.key, 1 if spec.metric.higher_is_better else -1) for spec in track.metrics}
    keys = [signs.get(name, (name, 1)) for name in track.ranked_by]
    return tuple(sign * found[key] if math.isfinite(found[key]) else -math.inf for key, sign in keys)


def with_folds_of(setup: Setup, train: TrainingSet) -> Setup:
    """Return a setup with no more folds than a training set has clusters."""
    return replace(setup, n_folds=train.n_folds(setup.n_folds))


def cross_validate(build: Callable[[], Baseline], train: TrainingSet, setup: Setup) -> Predictions:
    """Return what baselines that were fitted without a sample's fold predict of it, for every sample."""
    baseline = build()
    if isinstance(baseline, FoldEnsemble):
        return baseline.fit_folds(train).out_of_fold
    folds = train.folds(setup.n_folds, setup.seed)
    parts = []
    for fold in range(setup.n_folds):
        rows, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        part = build()
        part.fit(train.select(others))
        parts.append((rows, part.predict(train.samples.select(rows))))
        setup.progress(fold + 1, setup.n_folds)
    return Predictions.gathered(parts)


def fit(build: Callable[[], Baseline], train: TrainingSet, setup: Setup) -> tuple[Baseline, CrossFit]:
    """Return a baseline fitted on the training set, and what cross-validation tells of it."""
    baseline = build()
    if isinstance(baseline, FoldEnsemble):
        return baseline, baseline.fit_folds(train)
    found = CrossFit(cross_validate(build, train, setup))
    baseline.fit(train)
    return baseline, found


@dataclass(frozen=True, slots=True)
class Trial:
    """Options that were tried, and their cross-validated ranking value."""

    options: Options
    value: Value


def select_options(
    loaded: LoadedBaseline, options: Options, choices: Mapping[str, Sequence[Any]], train: TrainingSet, setup: Setup
) -> tuple[dict[str, Any], list[Trial]]:
    """Return the options chosen by cross-validation on the training set, and all that was tried.

    Options are chosen one after the other, in the order declared, each with the others as they stand. Of equals the
    value that stands is kept, else the first: an option that changes nothing stays as it was.
    """
    chosen, trials = dict(options), list[Trial]()
    done, total = 0, sum(map(len, choices.values()))
    for name, values in choices.items():
        if name not in chosen:
            raise UsageError(f"baseline '{loaded.name}': select.{name} is not among its defaults")
        found = []
        for value in values:
            tried = {**chosen, name: value}
            known = next((trial for trial in trials if trial.options == tried), None)
            found.append(known or _trial(loaded, tried, train, replace(setup, progress=silent)))
            trials += [found[-1]] if known is None else []
            done += 1
            setup.progress(done, total)
        standing = chosen
        chosen = dict(max(found, key=lambda trial: (trial.value, trial.options == standing)).options)
    return chosen, trials


def _trial(loaded: LoadedBaseline, options: Options, train: TrainingSet, setup: Setup) -> Trial:
    predictions = cross_validate(lambda: loaded.build(options, setup), train, setup)
    return Trial(options, ranking_value(train.track, train.targets, predictions.answers(train.track), train.groups))
