"""Guards a baseline: its own code is blamed for exceptions, and what it returns is checked.

Conventions:
    Errors that merbench raises on purpose pass unchanged. Every other exception becomes a `UsageError` with the
    innermost line of the baseline's own files, caused by that exception: `MERBENCH_TRACEBACK=1` shows the traceback.
    What is returned is not repaired: a value that is not finite would be scored like an answer, and probabilities that
    do not sum to 1 could not be averaged with another run. They are checked like those of a submission.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, did_you_mean, json_text, listed, problem_lines
from merbench.own_code import OwnCode
from merbench.targets.target import value_type
from merbench.track import Track
from merbench.training.protocol import Baseline, CrossFit, Curve, FoldEnsemble, Predictions, Storable
from merbench.training.pseudo_labels import PseudoLabels
from merbench.training.samples import FeatureSet, TrainingSet


def guarded(code: OwnCode, built: Any) -> Baseline:
    """Return what `build` returned, guarded; raise `UsageError` if it is not a baseline."""
    missing = [name for name in ("fit", "predict") if not callable(getattr(built, name, None))]
    if missing:
        raise UsageError(
            f"{code.path}: build returned {value_type(built)} without {' and '.join(missing)}; "
            "a baseline has fit(train) and predict(test)"
        )
    kinds = ((Storable, _GuardedWeights), (FoldEnsemble, _GuardedFolds))
    methods = tuple(guard for protocol, guard in kinds if isinstance(built, protocol))
    guard: type[_Guarded] = type("Guarded", methods or (_Guarded,), {})
    return guard(code, built)


class _Guarded:
    def __init__(self, code: OwnCode, built: Any) -> None:
        self.code, self.built = code, built
        self.track: Track | None = None

    def fit(self, train: TrainingSet) -> None:
        self.track = train.track
        with self.code.blamed("failed in fit"):
            self.built.fit(train)

    def predict(self, test: FeatureSet) -> Predictions:
        if self.track is None:
            raise UsageError(f"{self.code.owner} was not fitted: fit comes before predict")
        with self.code.blamed("failed in predict"):
            returned = self.built.predict(test)
        return checked_predictions(f"{self.code.owner}, predict", returned, self.track, test.ids)


class _GuardedFolds(_Guarded):
    def fit_folds(self, train: TrainingSet) -> CrossFit:
        self.track = train.track
        with self.code.blamed("failed in fit_folds"):
            returned = self.built.fit_folds(train)
        validated = train.samples.ids.take(pa.array(train.validated))
        where, n_unlabelled = f"{self.code.owner}, fit_folds", len(train.unlabelled or ())
        return checked_cross_fit(where, returned, train.track, validated, n_unlabelled)


class _GuardedWeights(_Guarded):
    def weights(self) -> dict[str, NDArray[Any]]:
        with self.code.blamed("failed in weights"):
            returned = self.built.weights()
        where = f"{self.code.owner}, weights"
        if not isinstance(returned, Mapping):
            raise UsageError(f"{where} returned {value_type(returned)}; needed: one array for each name")
        others = [
            f"{name} is {value_type(values)}"
            for name, values in returned.items()
            if not (isinstance(values, np.ndarray) and values.dtype.kind in "biufU")
        ]
        if others:
            raise UsageError(f"{where}: {listed(others)}; allowed: NumPy arrays of numbers, or of texts")
        return dict(returned)

    def restore(self, weights: Mapping[str, NDArray[Any]], track: Track, widths: Mapping[str, int]) -> None:
        self.track = track
        with self.code.blamed("failed in restore"):
            self.built.restore(weights, track, widths)


def checked_predictions(where: str, returned: Any, track: Track, ids: pa.StringArray) -> Predictions:
    """Return predictions for some samples, with float64 arrays for the track's labels and numbers.

    Raises:
        UsageError: they do not have the form that `Predictions` describes; all problems are listed.
    """
    if not isinstance(returned, Predictions) or not all(
        isinstance(part, Mapping) for part in (returned.outputs, returned.sets)
    ):
        raise UsageError(
            f"{where} returned {value_type(returned)}; needed: merbench.training.Predictions of one array per target"
        )
    outputs, problems = dict[str, NDArray[np.float64]](), list[Problem]()
    for name, target in track.targets.items():
        answers: Mapping[str, Any] = returned.outputs if target.loss else returned.sets
        if name not in answers:
            others = [other for other in map(str, answers) if other not in track.targets]
            message = f"is missing; needed: every target of the track{did_you_mean(name, others)}"
            problems.append(Problem("E202", message, column=name))
            continue
        output, wrong = target.checked_output(answers[name], ids)
        if target.loss:
            outputs[name] = output
        problems += (Problem(code, message, column=name) for code, message in wrong)
    if problems:
        raise UsageError(*problem_lines(where, problems))
    return replace(returned, outputs=outputs)


def checked_cross_fit(where: str, returned: Any, track: Track, ids: pa.StringArray, n_unlabelled: int = 0) -> CrossFit:
    """Return the result of cross-validation on the samples of these ids; see `checked_predictions`."""
    if not isinstance(returned, CrossFit):
        raise UsageError(f"{where} returned {value_type(returned)}; needed: a merbench.training.CrossFit")
    if not isinstance(returned.device, str):
        raise UsageError(f"{where}: device is {value_type(returned.device)}; needed: its name, a string")
    if returned.curve is not None:
        _check_curve(where, returned.curve)
    if not isinstance(returned.details, Mapping):
        raise UsageError(f"{where}: details is {value_type(returned.details)}; needed: a dict of values of JSON")
    try:
        json_text(returned.details)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: details cannot be written as JSON: {error}") from error
    _check_pseudo_labels(where, returned.pseudo_labels, track, n_unlabelled)
    out_of_fold = checked_predictions(f"{where}, out_of_fold", returned.out_of_fold, track, ids)
    return replace(returned, out_of_fold=out_of_fold)


def _check_curve(where: str, curve: Any) -> None:
    if not isinstance(curve, Curve):
        raise UsageError(f"{where}: curve is {value_type(curve)}; needed: a merbench.training.Curve, or None")
    shapes, n_folds = [np.shape(curve.loss), np.shape(curve.value)], len(curve.best_epoch)
    if shapes[0] != shapes[1] or shapes[0][1:] != (n_folds,):
        raise UsageError(
            f"{where}: curve has loss {shapes[0]}, value {shapes[1]} and {n_folds} best epochs; "
            "needed: (epochs, folds) twice and one best epoch per fold"
        )


def _check_pseudo_labels(where: str, predicted: Any, track: Track, n: int) -> None:
    needed = f"needed: by target with labels, merbench.training.PseudoLabels of labels and kept, (models, {n:,}) each"
    if not isinstance(predicted, Mapping):
        raise UsageError(f"{where}: pseudo_labels is {value_type(predicted)}; {needed}")
    with_labels, others = [name for name, target in track.targets.items() if target.classes], list[str]()
    for name, own in predicted.items():
        if name not in with_labels:
            others.append(f"{name} is not a target with labels{did_you_mean(name, with_labels)}")
        elif not isinstance(own, PseudoLabels):
            others.append(f"{name} is {value_type(own)}")
        elif np.shape(own.labels) != np.shape(own.kept) or np.shape(own.labels)[1:] != (n,):
            others.append(f"{name} has labels {np.shape(own.labels)} and kept {np.shape(own.kept)}")
    if others:
        raise UsageError(f"{where}: pseudo_labels: {'; '.join(others)}; {needed}")
