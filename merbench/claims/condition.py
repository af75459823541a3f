"""Claims under a condition: the models of kept runs answer test samples whose features are corrupted.

The corruption is drawn as `merbench robustness` draws it: its random numbers depend on the track's seed, the step and
the sample, and features are corrupted on the scale of the training samples. Nothing is trained again.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from merbench.corruptions import CORRUPTIONS, Step, check_parameters
from merbench.errors import UnknownName, UsageError
from merbench.robustness.grid import Condition
from merbench.robustness.samples import Source, Standard
from merbench.submission import Submission, read_submission
from merbench.training.claim import Claim, Place
from merbench.training.output import submission_table
from merbench.training.plan import Plan
from merbench.training.records import StoredRun
from merbench.training.samples import FeatureSet
from merbench.training.stored_models import open_models


def step_of(claim: Claim, place: Place) -> Step | None:
    """Return the corruption of a place; None without one.

    Raises:
        UnknownName: no such corruption of features.
        UsageError: a parameter is not allowed, or the claim is not about a difference of scores.
    """
    if not place.condition:
        return None
    if getattr(claim, "is_over_seeds", False):
        raise UsageError("a condition is for differences of a metric, and not for numbers and diagnostics")
    parameters = dict(place.condition)
    name, known = parameters.pop("corruption", ""), [each for each in CORRUPTIONS if _of_features(each)]
    if name not in known:
        raise UnknownName("corruption of features", str(name), known)
    if messages := check_parameters(name, parameters):
        raise UsageError(f"{name}: {'; '.join(messages)}")
    return Step(name, parameters)


def _of_features(name: str) -> bool:
    return CORRUPTIONS[name].modality == "features"


def require_vectors(plan: Plan) -> None:
    """Raise `UsageError` unless a baseline learns from vectors, and one of them has a modality."""
    if plan.loaded.declaration.samples != "vectors":
        raise UsageError(f"a condition is for baselines that learn from vectors, and not for '{plan.loaded.name}'")
    if not any(map(plan.test.corpus.modality, plan.features)):
        raise UsageError(f"{plan.track.id}: none of the features has a known modality, so nothing is corrupted")


def corrupted_submissions(run: StoredRun, plan: Plan, step: Step, device: str) -> list[Submission]:
    """Return what the models of a run answer under a condition, one submission a seed."""
    samples = _corrupted(plan, step)
    submissions = []
    for each in run.record.runs:
        models = open_models(run.folder, seed=each.seed, baseline=plan.loaded.folder, device=device)
        submissions.append(read_submission(submission_table(plan.test, models.predict(samples)), plan.test))
    return submissions


def _corrupted(plan: Plan, step: Step) -> FeatureSet:
    """Return the test samples of a plan with a step applied, on the scale of what answers each of them learned from."""
    test, train, declared = plan.test, plan.train, plan.loaded.declaration
    known = {name: test.corpus.modality(name) for name in plan.features}
    modalities = {name: modality for name, modality in known.items() if modality is not None}
    source = Source(plan.features, modalities, frozenset(), declared.columns, plan.track.seed, {})
    learned = np.asarray(pc.index_in(plan.labelled.samples.ids, value_set=train.ids), dtype=np.int64)
    answered_by = np.zeros(len(test), dtype=np.int64)
    for n, part in enumerate(plan.parts):
        answered_by[part.answered] = n
    scales = [source.scales(train, learned[part.learned]) for part in plan.parts]
    inputs = source.inputs(test, Condition(None, step), Standard(scales, answered_by))
    return source.feature_set(test, inputs, np.arange(len(test)), plan.features, declared)
