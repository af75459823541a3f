"""What a baseline returned goes in, float64 arrays of the right shape come out, or one message with all that is wrong.

Conventions:
    Nothing is repaired: a value that is not finite would score as if it were an answer, and probabilities that do not
    sum to 1 could be averaged with no other run. They are checked as those of a submission are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, did_you_mean, problem_lines
from merbench.targets.target import value_type
from merbench.track import Track
from merbench.training.data import Predictions
from merbench.training.protocol import CrossFit, Curve

Floats = NDArray[np.float64]


def checked_predictions(where: str, said: Any, track: Track, ids: pa.StringArray) -> Predictions:
    """Return what was predicted of some samples, with arrays for the track's labels and numbers alone.

    Args:
        where: who returned it, for the message.
        said: what was returned.
        track: the track.
        ids: the samples.

    Raises:
        UsageError: it is not of the form that `Predictions` describes; all problems are listed.
    """
    if not isinstance(said, Predictions) or not all(isinstance(part, Mapping) for part in (said.outputs, said.sets)):
        raise UsageError(
            f"{where} returned {value_type(said)}; needed is merbench.training.Predictions of one array per target"
        )
    outputs, problems = dict[str, Floats](), list[Problem]()
    for name, target in track.targets.items():
        answers: Mapping[str, Any] = said.outputs if target.loss else said.sets
        if name not in answers:
            others = [other for other in map(str, answers) if other not in track.targets]
            message = f"is missing; needed is every target of the track{did_you_mean(name, others)}"
            problems.append(Problem("E202", message, column=name))
            continue
        output, wrong = target.checked_output(answers[name], ids)
        if target.loss:
            outputs[name] = output
        problems += (Problem(code, message, column=name) for code, message in wrong)
    if problems:
        raise UsageError(*problem_lines(where, problems))
    return replace(said, outputs=outputs)


def checked_cross_fit(where: str, said: Any, track: Track, ids: pa.StringArray) -> CrossFit:
    """Return what cross-validation told of the training samples; see `checked_predictions`."""
    if not isinstance(said, CrossFit):
        raise UsageError(f"{where} returned {value_type(said)}; needed is a merbench.training.CrossFit")
    if not isinstance(said.device, str):
        raise UsageError(f"{where}: device is {value_type(said.device)}; needed is its name, a text")
    if said.curve is not None:
        _check_curve(where, said.curve)
    return replace(said, out_of_fold=checked_predictions(f"{where}, out_of_fold", said.out_of_fold, track, ids))


def _check_curve(where: str, curve: Any) -> None:
    if not isinstance(curve, Curve):
        raise UsageError(f"{where}: curve is {value_type(curve)}; needed is a merbench.training.Curve, or None")
    shapes, n_folds = [np.shape(curve.loss), np.shape(curve.value)], len(curve.best_epoch)
    if shapes[0] != shapes[1] or shapes[0][1:] != (n_folds,):
        raise UsageError(
            f"{where}: curve has loss {shapes[0]}, value {shapes[1]} and {n_folds} best epochs; "
            "needed are (epochs, folds) twice and one best epoch per fold"
        )
