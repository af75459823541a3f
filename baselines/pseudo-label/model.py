"""Pseudo-labels by quantiles of confidence per class (MER 2023, Algorithm 1), around any baseline of vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from merbench.errors import UsageError, listed
from merbench.parameters import Described, Within
from merbench.track import Track
from merbench.training import (
    Baseline,
    CrossFit,
    FeatureSet,
    LoadedBaseline,
    Log,
    Predictions,
    Setup,
    Storable,
    TrainingSet,
    list_baselines,
    load_baseline,
)
from merbench.training.history import Epochs, joined
from merbench.training.needs import require_answers
from merbench.training.protocol import NO_LOG, silent
from merbench.training.selection import fit

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What is trained, and which pseudo-labels it is given.

    Attributes:
        base: name or folder of the baseline that is trained twice: one of vectors that answers labels.
        base_options: options of the base that differ from those it declares.
        eta: quantile of the confidence of correct predictions that is the threshold of their class.
    """

    base: str
    base_options: Annotated[Mapping[str, Any], Described("a table of options of the base")] = field(
        default_factory=dict
    )
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
        samples: the unlabelled samples whose predicted labels are kept.
        targets: the answers for these, by target; values of numbers go with the labels.
        thresholds: `(K,)` by target with labels.
        right: by target with labels, which of the division's validation samples are predicted correctly.
        sure: which of these have a confidence above the thresholds.
    """

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
        kept = np.flatnonzero(above(thresholds, predictions.outputs))
        return cls(
            part.unlabelled.select(kept),
            {name: values[kept] for name, values in predictions.answers(part.track).items()},
            thresholds,
            {name: outputs[name].argmax(1) == codes for name, codes in labels.items()},
            above(thresholds, outputs),
        )


class OfDivision:
    """Passes on the log of one division of several: the others' values of the epoch are NaN."""

    def __init__(self, log: Log, n: int, n_divisions: int) -> None:
        self.log, self.n, self.n_divisions = log, n, n_divisions

    def epoch(self, epoch: int, values: Mapping[str, Numbers]) -> None:
        own = np.arange(self.n_divisions) == self.n
        self.log.epoch(epoch, {name: np.where(own, value, np.nan) for name, value in values.items()})


class PseudoLabel:
    """The base, trained once per division on its samples and on the pseudo-labels that a first training is sure of.

    Thresholds and pseudo-labels of a division are those of the model that learned from this division only: it predicts
    the validation samples, whose labels it did not learn from, and the unlabelled ones. One threshold for the models of
    all divisions would keep most of what an overconfident one predicts, and little of the others.
    """

    def __init__(self, base: LoadedBaseline, options: Options, setup: Setup) -> None:
        self.base, self.options, self.setup = base, options, setup
        self.models: list[Baseline] = []
        self.sample_epochs = 0

    def fit(self, train: TrainingSet) -> None:
        self.fit_folds(train)

    def fit_folds(self, train: TrainingSet) -> CrossFit:
        if train.unlabelled is None:
            raise UsageError(
                f"pseudo-label learns from unlabelled samples, and [training] of {train.track.id} declares none"
            )
        require_answers(self.base, train.track)
        divisions = train.divisions(self.setup.n_folds, self.setup.seed)
        per_epoch = self.base.declaration.corrupts_per_epoch
        if train.corruption is not None:  # the base draws, or is given features corrupted once for its division
            train = replace(train, corruption=replace(train.corruption, per_epoch=per_epoch))
        parts = [train.of_division(division) for division in divisions]
        rows = [division.validate for division in divisions]
        self.sample_epochs = 0

        teachers = self.trained(parts, "teacher")
        sure = [
            Sure.of(part, teacher, result, self.options.eta)
            for part, (teacher, result) in zip(parts, teachers, strict=True)
        ]
        enlarged = [part.joined(each.samples, each.targets) for part, each in zip(parts, sure, strict=True)]
        students = self.trained(enlarged, "student")
        self.models, results = [student for student, _ in students], [result for _, result in students]
        curves = [result.curve for result in results if result.curve is not None]
        return CrossFit(
            Predictions.gathered(list(zip(rows, (result.out_of_fold for result in results), strict=True))),
            joined(curves) if curves else None,
            results[0].device,
            tuple(dict.fromkeys(note for _, result in (*teachers, *students) for note in result.notes)),
            described(train, sure),
            self.sample_epochs,
        )

    def trained(self, parts: Sequence[TrainingSet], stage: str) -> list[tuple[Baseline, CrossFit]]:
        """Return the base trained on every part, and its predictions for the part's development set."""
        trained, n_before = [], len(parts) if stage == "student" else 0
        for n, part in enumerate(parts):
            epochs = Epochs(OfDivision(self.setup.log, n, len(parts)) if stage == "student" else NO_LOG)
            setup = replace(
                self.setup.part(f"{stage}-{n}"),
                seed=division_seed(self.setup.seed, n),
                n_folds=1,
                progress=silent,
                log=epochs,
            )
            trained.append(fit(self.built(part.track), part, setup))
            n_epochs = len(next(iter(epochs.arrays().values()), [None]))  # without epochs, samples are seen once
            self.sample_epochs += n_epochs * len(part.learned)
            self.setup.progress(n_before + n + 1, 2 * len(parts))
        return trained

    def built(self, track: Track) -> Callable[[Setup], Baseline]:
        """Return the function that builds the base for a track."""
        return partial(self.base.build, self.base.options(track.id, self.options.base_options))

    def predict(self, test: FeatureSet) -> Predictions:
        parts = [model.predict(test).outputs for model in self.models]
        return Predictions({name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]})


class StorablePseudoLabel(PseudoLabel):
    """The same around a base that can be stored: the arrays of every division's model, by its number."""

    def weights(self) -> dict[str, NDArray[Any]]:
        stored = [model.weights() for model in self.models if isinstance(model, Storable)]
        return {f"{n}.{name}": values for n, own in enumerate(stored) for name, values in own.items()}

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        own: dict[str, dict[str, NDArray[Any]]] = {}
        for name, values in weights.items():
            number, _, rest = name.partition(".")
            own.setdefault(number, {})[rest] = values
        if set(own) != {str(n) for n in range(len(own))}:
            raise UsageError("the weights are not those of models with the numbers 0, 1, 2, …")
        self.models = [self.built(track)(replace(self.setup, n_folds=1)) for _ in own]
        for n, model in enumerate(self.models):
            assert isinstance(model, Storable)
            model.restore(own[str(n)], track, widths)


def division_seed(seed: int, n: int) -> int:
    """Return the seed of a division's training, so that no two divisions begin with the same model."""
    return int.from_bytes(hashlib.sha256(f"pseudo-label|{seed}|{n}".encode()).digest()[:4], "little")


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
    base = load_baseline(options.base)
    declared = base.declaration
    if declared.samples != "vectors" or declared.uses_unlabelled or declared.columns:
        able = [
            other
            for other, each in list_baselines()
            if each.samples == "vectors" and not each.uses_unlabelled and not each.columns and each.uses_features
        ]
        raise UsageError(
            f"pseudo-label: base '{base.name}' is not given one vector per feature only; baselines that are: "
            f"{listed(able)}"
        )
    first = base.build(base.options("", options.base_options), setup)
    kind = StorablePseudoLabel if isinstance(first, Storable) else PseudoLabel
    return kind(base, options, setup)
