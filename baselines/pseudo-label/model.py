"""Pseudo-labels by quantiles of confidence per class (MER 2023, Algorithm 1), around any baseline of vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError
from merbench.parameters import Within
from merbench.training import Baseline, CrossFit, FeatureSet, PseudoLabels, Setup, TrainingSet
from merbench.training.wrapping import BaseOptions, Wrapper, not_of_vectors, wrapped

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Options(BaseOptions):
    """What is trained, and which pseudo-labels it is given.

    Attributes:
        base: name or folder of the baseline that is trained twice: one of vectors that answers labels.
        base_options: options of the base that differ from those it declares.
        eta: quantile of the confidence of correct predictions that is the threshold of their class.
    """

    eta: Annotated[float, Within(0, 1)] = 0.5


def quantiles(codes: Codes, probabilities: Numbers, eta: float) -> Numbers:
    """Return the threshold of every class: the eta-quantile of the confidence of correct predictions of it.

    Args:
        codes: `(n,)` references.
        probabilities: `(n, K)` predictions of a model that did not learn from these samples.
        eta: the quantile; between two samples it is interpolated.

    Returns:
        `(K,)`; infinity for a class without a correct prediction, of which nothing is kept.
    """
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    of_class = [confidence[(predicted == code) & (codes == code)] for code in range(probabilities.shape[1])]
    return np.array([np.quantile(values, eta) if len(values) else np.inf for values in of_class])


def above(thresholds: Mapping[str, Numbers], outputs: Mapping[str, Numbers]) -> NDArray[np.bool_]:
    """Return which samples have, for every target, a confidence above the threshold of the class predicted."""
    each = [outputs[name].max(1) > values[outputs[name].argmax(1)] for name, values in thresholds.items()]
    return np.asarray(np.all(each, axis=0))


@dataclass(frozen=True, eq=False)
class Sure:
    """What a model is sure of.

    Attributes:
        labels: by target with labels, `(n,)` the one that is predicted for every unlabelled sample.
        kept: `(n,)` which of these samples are learned from.
        samples: the unlabelled samples whose predicted labels are kept.
        targets: the answers for these, by target; values of numbers go with the labels.
        thresholds: `(K,)` by target with labels.
        right: by target with labels, which of the division's validation samples are predicted correctly.
        sure: which of these have a confidence above the thresholds.
    """

    labels: Mapping[str, Codes]
    kept: NDArray[np.bool_]
    samples: FeatureSet
    targets: Mapping[str, Any]
    thresholds: Mapping[str, Numbers]
    right: Mapping[str, NDArray[np.bool_]]
    sure: NDArray[np.bool_]

    @classmethod
    def of(cls, part: TrainingSet, teacher: Baseline, result: CrossFit, eta: float) -> Sure:
        """Return the unlabelled samples whose labels a model that was trained on one division is sure of."""
        assert part.unlabelled is not None
        outputs, predictions = result.out_of_fold.outputs, teacher.predict(part.unlabelled)
        validated = part.select(part.validated).targets
        labels = {name: validated[name] for name, target in part.track.targets.items() if target.classes}
        thresholds = {name: quantiles(codes, outputs[name], eta) for name, codes in labels.items()}
        is_kept = above(thresholds, predictions.outputs)
        kept = np.flatnonzero(is_kept)
        return cls(
            {name: predictions.outputs[name].argmax(1) for name in labels},
            is_kept,
            part.unlabelled.select(kept),
            {name: values[kept] for name, values in predictions.answers(part.track).items()},
            thresholds,
            {name: outputs[name].argmax(1) == codes for name, codes in labels.items()},
            above(thresholds, outputs),
        )


class PseudoLabel(Wrapper):
    """The base, trained once per division on its samples and on the pseudo-labels that a first training is sure of.

    Thresholds and pseudo-labels of a division are those of the model that learned from this division only: it predicts
    the validation samples, whose labels it did not learn from, and the unlabelled ones. One threshold for the models of
    all divisions would keep most of what an overconfident one predicts, and little of the others.
    """

    options: Options

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        if train.unlabelled is None:
            raise UsageError(
                f"pseudo-label learns from unlabelled samples, and [training] of {train.track.id} declares none"
            )
        parts, stages = self.divided(train), ("teacher", "student")
        teachers = self.trained(parts, "teacher", stages)
        sure = [
            Sure.of(part, teacher, result, self.options.eta)
            for part, (teacher, result) in zip(parts, teachers, strict=True)
        ]
        enlarged = [part.joined(each.samples, each.targets) for part, each in zip(parts, sure, strict=True)]
        students = self.trained(enlarged, "student", stages)
        result = self.cross_fit(train, students, teachers, described(train, sure))
        kept = np.stack([each.kept for each in sure])
        predicted = {
            name: PseudoLabels(np.stack([each.labels[name] for each in sure]), kept) for name in sure[0].thresholds
        }
        return replace(result, pseudo_labels=predicted)


def described(train: TrainingSet, divisions: Sequence[Sure]) -> dict[str, Any]:
    """Return what the run record says of the pseudo-labels, by target; lists have one value per division.

    `accuracy` is that of predictions for labelled samples by models that did not learn from them: of all, and of those
    whose confidence is above the thresholds, which estimates how many pseudo-labels are right.
    """
    assert train.unlabelled is not None
    sure, targets = np.concatenate([division.sure for division in divisions]), {}
    for name in divisions[0].thresholds:
        labels, right = train.track.targets[name].classes, np.concatenate([each.right[name] for each in divisions])
        kept = [np.bincount(division.targets[name], minlength=len(labels)).tolist() for division in divisions]
        limits = [[float(x) if np.isfinite(x) else None for x in each.thresholds[name]] for each in divisions]
        targets[name] = {
            "thresholds": {
                label: list(values) for label, values in zip(labels, zip(*limits, strict=True), strict=True)
            },
            "kept": dict(zip(labels, zip(*kept, strict=True), strict=True)),
            "accuracy": {"all": float(right.mean()), "kept": float(right[sure].mean()) if sure.any() else None},
        }
    return {
        "n_unlabelled": len(train.unlabelled),
        "n_kept": [len(division.samples) for division in divisions],
        "targets": targets,
    }


def build(options: Options, setup: Setup) -> PseudoLabel:
    return wrapped(PseudoLabel, options, setup, not_of_vectors, "pseudo-label")
