"""How known the test samples of a run look to every detector, fitted on what its models learned from.

Every fold of a model has features, logits and a last layer of its own: a detector is fitted on the training samples of
a fold, scores the test samples by its network, and the scores of the folds are averaged. A baseline without such a
layer has the largest probability of its answers, `msp`, and no other detector.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from merbench.errors import UsageError, listed
from merbench.training.hold_out import SCORE, known_scores
from merbench.training.protocol import Baseline, Setup, Storable
from merbench.training.results import BaselineRun
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.trainings import Trainings
from merbench.training.unknown.detectors import DETECTORS, Detector, Known, NoLastLayer, Scores, detector

if TYPE_CHECKING:
    from merbench.training.unknown.observation import Observed

FIRST = "msp"
"""The detector that every network has, and that others are compared with."""


def wanted(names: Sequence[str]) -> list[Detector]:
    """Return the detectors of some names with settings, `msp` first; all of them if none is named.

    Raises:
        UnknownName: there is no such detector.
        UsageError: a setting is unknown or not allowed, or a detector is named twice.
    """
    chosen = [detector(name) for name in names] or list(DETECTORS.values())
    labels = [each.label for each in chosen]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise UsageError(f"a detector is named twice: {listed(twice)}")
    return [DETECTORS[FIRST], *(each for each in chosen if each.label != FIRST)]


@dataclass(frozen=True, eq=False)
class Detected:
    """How known samples look to a detector.

    Attributes:
        detector: the detector.
        scores: `(n,)`, the mean over folds.
        forward: forward passes of a sample through the network of a fold, counted.
        backward: backward passes, counted; both are 0 where answers are all there is.
    """

    detector: Detector
    scores: Scores = field(repr=False)
    forward: float = 0.0
    backward: float = 0.0


def detected(
    baseline: Baseline, train: TrainingSet, setup: Setup, test: FeatureSet, detectors: Sequence[Detector]
) -> list[Detected]:
    """Return how known test samples look to every detector.

    Args:
        baseline: a fitted or restored baseline.
        train: what it learned from; of one target of labels.
        setup: with the seed and the number of folds that it was trained with.
        test: n samples.
        detectors: the detectors.

    Raises:
        NoLastLayer: the baseline has no last linear layer.
    """
    if "torch" not in sys.modules:
        raise NoLastLayer("it is not a network")
    from merbench.training.unknown.observation import observed

    [target] = train.track.targets
    codes = train.targets[target]
    learned = [division.learn for division in train.divisions(setup.n_folds, setup.seed)]
    plain = observed(baseline, test, target)
    moved: dict[tuple[float, float], list[Observed]] = {}
    for each in detectors:
        if each.epsilon:
            how = each.epsilon, each.values["temperature"]
            moved[how] = moved.get(how) or observed(baseline, test, target, *how)
    of_training = observed(baseline, train.samples, target)
    if not len(plain) == len(of_training) == len(learned):
        raise NoLastLayer(f"it predicts with {len(plain)} networks after {len(learned)} divisions")
    known = []
    for own, rows in zip(of_training, learned, strict=True):
        rows = rows[codes[rows] >= 0]
        known.append(Known(own.features[rows], codes[rows], own.layer))
    results = []
    for each in detectors:
        seen = moved[each.epsilon, each.values["temperature"]] if each.epsilon else plain
        scores = [each.fitted(own)(part.features, part.logits) for own, part in zip(known, seen, strict=True)]
        results.append(Detected(each, np.mean(scores, axis=0), seen[0].forward, seen[0].backward))
    return results


@dataclass(frozen=True, eq=False)
class RunDetected:
    """How known the test samples of a run look.

    Attributes:
        seeds: for every seed of the run, all detectors.
        remark: why there is only one; empty where all were asked for and computed.
    """

    seeds: tuple[tuple[Detected, ...], ...]
    remark: str = ""


def detected_by_run(trainings: Trainings, run: BaselineRun) -> RunDetected:
    """Return how known the test samples of a run look to the detectors that its settings name, or to all.

    Raises:
        UsageError: a detector is named that the baseline, which has no last linear layer, does not allow.
    """
    names, detectors = trainings.settings.detectors, wanted(trainings.settings.detectors)
    try:
        return RunDetected(tuple(_of_seed(trainings, run, n, detectors) for n in range(len(run.seeds))))
    except NoLastLayer as error:
        why = f"baseline '{run.baseline}' has no last linear layer: {error}"
        if others := [each.label for each in detectors[1:]] if names else []:
            raise UsageError(f"{why}; only {FIRST} can be computed, and not {listed(others)}") from error
    only = (tuple([Detected(DETECTORS[FIRST], known_scores(seed.predictions).outputs[SCORE])]) for seed in run.seeds)
    return RunDetected(tuple(only), f"{why}; only {FIRST} of its answers is computed")


def _of_seed(trainings: Trainings, run: BaselineRun, n: int, detectors: Sequence[Detector]) -> tuple[Detected, ...]:
    """Return how known the samples look to the models of a seed, each answering those of its part."""
    plan, seed = trainings.plan, run.seeds[n]
    by_part = []
    for number, (learned, part) in enumerate(zip(run.parts, seed.parts, strict=True)):
        train = trainings.learned(number)
        setup = Setup(seed.seed, train.n_folds(trainings.n_folds), trainings.settings.device)
        baseline = trainings.loaded.build(learned.options, setup)
        if part.weights is None or not isinstance(baseline, Storable):
            raise NoLastLayer("it does not store its models")
        baseline.restore(part.weights, train.track, train.samples.widths)
        by_part.append(detected(baseline, train, setup, trainings.answered(number), detectors))
    order = np.argsort(np.concatenate([part.answered for part in plan.parts]))
    return tuple(
        replace(of_parts[0], scores=np.concatenate([each.scores for each in of_parts])[order])
        for of_parts in zip(*by_part, strict=True)
    )
