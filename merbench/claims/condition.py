"""Claims under a condition: samples whose features are corrupted are answered by models of kept runs.

The corruption of a test sample depends on the track's seed, the step and the sample's id, and features are corrupted on
the scale of what is learned from, as in `merbench robustness`. Weights are shared, and nothing more is trained, or a
run is trained for every value of the condition, on features that are corrupted in the same way, or one for all values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pyarrow.compute as pc

from merbench.corruptions import CORRUPTIONS, Step, check_parameters
from merbench.corruptions.batches import removes_modalities
from merbench.errors import UnknownName, UsageError, listed
from merbench.submission import Submission, read_submission
from merbench.training.claim import Claim, Monotone, Place, Side, Weights
from merbench.training.data import feature_set
from merbench.training.missing import Draws, corrupted
from merbench.training.output import submission_table
from merbench.training.plan import Plan
from merbench.training.records import StoredRun
from merbench.training.samples import FeatureCorruption, FeatureSet
from merbench.training.stored_models import open_models
from merbench.training.unknown.detectors import DETECTORS, detector
from merbench.training.unknown.scores import FIRST

RATE, PATTERN, HOLD_OUT = "rate", "pattern", "hold_out"


@dataclass(frozen=True)
class Condition:
    """What is done to the features of test samples: nothing, or a corruption with one or several values of a parameter.

    Classes that are held out in turn are the values of `hold_out`, without a step.

    Attributes:
        steps: the corruption with every value; None where it changes nothing.
        parameter: the one with several values; empty without one.
        values: its values.
        weights: whether every value has a model of its own.
    """

    steps: tuple[Step | None, ...] = (None,)
    parameter: str = ""
    values: tuple[Any, ...] = (None,)
    weights: Weights = "shared"

    @property
    def is_area(self) -> bool:
        """Whether values are summed up by the area under the line over rates (AUILC), and not by their mean."""
        are_numbers = all(isinstance(value, int | float) for value in self.values)
        return self.parameter == RATE and len(self.values) > 1 and are_numbers

    @property
    def summed(self) -> tuple[float, ...]:
        """The weights of the values in a mean, or in the area by trapezoids."""
        n = len(self.values)
        if not self.is_area:
            return (1 / n,) * n
        order = np.argsort(self.values, kind="stable")
        steps = np.diff(np.asarray(self.values, dtype=np.float64)[order])
        sums = np.zeros(n)
        sums[order] = (np.append(steps, 0) + np.append(0, steps)) / 2
        return tuple(sums.tolist())

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The places of two values, of which the first is to be better: it keeps more, or is before the next."""
        places = range(len(self.values))
        if self.parameter != PATTERN:
            return list(pairwise(places))
        kept = [set(value) for value in self.values]
        above = [(i, j) for i in places for j in places if kept[j] < kept[i]]
        return [(i, j) for i, j in above if not any(kept[j] < other < kept[i] for other in kept)]

    def learning(self, place: Place, side: Side, step: Step | None) -> dict[str, Any]:
        """Return the keys of `[training]` that differ for what answers a value of the condition."""
        own, weights = {**learning_of(place), **side.training}, side.weights or self.weights
        if weights == "mixed" and (first := next(filter(None, self.steps), None)) is not None and self.parameter:
            step = Step(first.name, {**first.parameters, self.parameter: {"choice": list(self.values)}})
        if weights != "shared":
            own["corruptions"] = [] if step is None else [{"name": step.name, **step.parameters}]
        return own


def learning_of(place: Place) -> dict[str, Any]:
    """Return the keys of `[training]` that differ at a place."""
    return {**({} if place.folds is None else {"folds": place.folds}), **place.training}


def condition_of(claim: Claim, place: Place) -> Condition:
    """Return the condition of a place.

    Raises:
        UnknownName: no such corruption of features.
        UsageError: a parameter is not allowed; the claim is not about a difference of scores, or needs several values.
    """
    sides = [side for name in ("system", "control") if (side := getattr(claim, name, None)) is not None]
    if place.hold_out:
        return _held_out(claim, place, sides)
    if detectors := [side.detector for side in sides if side.detector]:
        raise UsageError(f"detector {listed(detectors)} needs classes that are held out: `hold_out` of the place")
    if place.condition and getattr(claim, "is_over_seeds", False):
        raise UsageError("a condition is for differences of a metric, and not for numbers and diagnostics")
    condition = _declared(place) if place.condition else Condition()
    if not place.condition and any(side.weights for side in sides):
        raise UsageError("weights of a side need a condition")
    if any("corruptions" in side.training and side.weights not in (None, "shared") for side in sides):
        raise UsageError("weights other than 'shared' are trained under the condition, and not under other corruptions")
    if isinstance(claim, Monotone) and not condition.pairs:
        raise UsageError(
            "a monotone claim needs several values of one parameter, such as rate = [0.1, 0.3], or of the pattern, one "
            "of which has a modality more than another"
        )
    return condition


def _held_out(claim: Claim, place: Place, sides: Sequence[Side]) -> Condition:
    """Return the classes of a place that are held out in turn, as the values of a condition that changes nothing."""
    if place.condition or isinstance(claim, Monotone) or getattr(claim, "is_over_seeds", False):
        raise UsageError("classes are held out for differences of a metric, without a condition")
    if len(set(place.hold_out)) < len(place.hold_out):
        raise UsageError(f"hold_out: a class is named twice: {listed(list(place.hold_out))}")
    for side in sides:
        detector(side.detector or FIRST)
    return Condition((None,) * len(place.hold_out), HOLD_OUT, place.hold_out)


def detectors_of(claim: Claim) -> list[str]:
    """Return the detectors that runs have to compute for a claim; none are all, among which those without settings are.

    Both sides need the same, so that they are of one run where nothing else differs.
    """
    sides = [side for name in ("system", "control") if (side := getattr(claim, name, None)) is not None]
    names = [side.detector or FIRST for side in sides]
    return [] if set(names) <= set(DETECTORS) else sorted(set(names))


def _declared(place: Place) -> Condition:
    parameters = dict(place.condition)
    name, weights = parameters.pop("corruption", ""), parameters.pop("weights", "shared")
    known = [each for each in CORRUPTIONS if CORRUPTIONS[each].modality == "features"]
    if name not in known:
        raise UnknownName("corruption of features", str(name), known)
    if weights not in get_args(Weights):
        raise UnknownName("weights", str(weights), get_args(Weights))
    varied = [key for key, value in parameters.items() if isinstance(value, list)]
    if len(varied) > 1:
        raise UsageError(f"one parameter may have several values, and not {listed(varied)}")
    parameter = varied[0] if varied else ""
    values = tuple(parameters[parameter]) if varied else (None,)
    if not values or any(value in values[:n] for n, value in enumerate(values)):
        raise UsageError(f"{parameter}: needs one value or more, each once")
    steps = [Step(name, {**parameters, **({parameter: value} if varied else {})}) for value in values]
    messages = dict.fromkeys(message for step in steps for message in check_parameters(name, step.parameters))
    if messages:
        raise UsageError(f"{name}: {'; '.join(messages)}")
    return Condition(tuple(map(_changing, steps)), parameter, values, weights)


def _changing(step: Step) -> Step | None:
    """Return a step, or None where it leaves every sample as it is."""
    is_unchanged = not step.differs and step.corruption.changes_nothing(step.draws(0, ""))
    return None if is_unchanged else step


def require_modalities(plan: Plan) -> None:
    """Raise `UsageError` unless one of the features has a modality."""
    if not any(map(plan.test.corpus.modality, plan.features)):
        raise UsageError(f"{plan.track.id}: none of the features has a known modality, so nothing is corrupted")


def corrupted_submissions(
    run: StoredRun, plan: Plan, step: Step, features: Sequence[str], device: str
) -> Iterator[Submission]:
    """Yield what the models of a run answer under a condition, one submission a seed.

    Args:
        run: the run.
        plan: what it learned from.
        step: the corruption.
        features: those of all systems that are compared, whose samples lack the same modalities.
        device: where the models are computed.
    """
    samples = corrupted_samples(plan, step, features)
    for each in run.record.runs:
        models = open_models(run.folder, seed=each.seed, baseline=plan.loaded.folder, device=device)
        yield read_submission(submission_table(plan.test, models.predict(samples)), plan.test)


def corrupted_samples(plan: Plan, step: Step, features: Sequence[str]) -> FeatureSet:
    """Return the test samples of a plan with a step applied, on the scale of what answers each of them learned from."""
    test, train, declared = plan.test, plan.train, plan.loaded.declaration
    names = list(dict.fromkeys([*plan.features, *(features if removes_modalities(step) else ())]))
    samples = feature_set(test, names, declared.columns, dialogues=declared.samples == "dialogues", missing=True)
    learned = feature_set(train, names, missing=True).sequences
    rows = np.asarray(pc.index_in(plan.labelled.samples.ids, value_set=train.ids), dtype=np.int64)
    moments, of_row = [], np.zeros(len(test), dtype=np.int64)
    for n, part in enumerate(plan.parts):
        of_row[part.answered] = n
        moments.append({name: each.select(rows[part.learned]).moments() for name, each in learned.items()})
    how = FeatureCorruption((step,), plan.track.seed, samples.modalities, absent=declared.handles_missing)
    return corrupted(Draws(how, samples, what="corruption"), samples, moments, of_row).of_features(plan.features)
