"""What a baseline returned goes in, float64 arrays of the right shape come out, or one message with all that is wrong.

Conventions:
    Nothing is repaired: a value that is not finite would score as if it were an answer, and probabilities that do not
    sum to 1 could be averaged with no other run. They are checked as those of a submission are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.errors import Problem, UsageError, did_you_mean, listed, plural, problem_lines
from merbench.metrics.lists import Lists
from merbench.submission.values import LABELS_SHOWN, SUM_TOLERANCE
from merbench.track import CategoricalTarget, ContinuousTarget, PreferenceTarget, Track, TrajectoryTarget
from merbench.training.data import Predictions
from merbench.training.protocol import CrossFit, Curve

Floats = NDArray[np.float64]

Learned = CategoricalTarget | PreferenceTarget | ContinuousTarget | TrajectoryTarget
"""Targets whose answers are arrays of probabilities or numbers."""


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
            f"{where} returned {_kind(said)}; needed is merbench.training.Predictions of one array per target"
        )
    outputs, problems = dict[str, Floats](), list[Problem]()
    for name, target in track.targets.items():
        held: Mapping[str, Any] = said.outputs if isinstance(target, Learned) else said.sets
        if name not in held:
            others = [other for other in map(str, held) if other not in track.targets]
            message = f"is missing; needed is every target of the track{did_you_mean(name, others)}"
            problems.append(Problem("E202", message, column=name))
            continue
        if isinstance(target, Learned):
            outputs[name], wrong = _checked_output(held[name], target, ids)
        else:
            wrong = _set_problems(held[name], len(ids))
        problems += (Problem(code, message, column=name) for code, message in wrong)
    if problems:
        raise UsageError(*problem_lines(where, problems))
    return replace(said, outputs=outputs)


def checked_cross_fit(where: str, said: Any, track: Track, ids: pa.StringArray) -> CrossFit:
    """Return what cross-validation told of the training samples; see `checked_predictions`."""
    if not isinstance(said, CrossFit):
        raise UsageError(f"{where} returned {_kind(said)}; needed is a merbench.training.CrossFit")
    if not isinstance(said.device, str):
        raise UsageError(f"{where}: device is {_kind(said.device)}; needed is its name, a text")
    if said.curve is not None:
        _check_curve(where, said.curve)
    return replace(said, out_of_fold=checked_predictions(f"{where}, out_of_fold", said.out_of_fold, track, ids))


def _check_curve(where: str, curve: Any) -> None:
    if not isinstance(curve, Curve):
        raise UsageError(f"{where}: curve is {_kind(curve)}; needed is a merbench.training.Curve, or None")
    shapes, n_folds = [np.shape(curve.loss), np.shape(curve.value)], len(curve.best_epoch)
    if shapes[0] != shapes[1] or shapes[0][1:] != (n_folds,):
        raise UsageError(
            f"{where}: curve has loss {shapes[0]}, value {shapes[1]} and {n_folds} best epochs; "
            "needed are (epochs, folds) twice and one best epoch per fold"
        )


def _kind(value: Any) -> str:
    return "nothing (None)" if value is None else f"a value of type '{type(value).__name__}'"


def _checked_output(output: Any, target: Learned, ids: pa.StringArray) -> tuple[Floats, list[tuple[str, str]]]:
    """Return an output as float64, and what is wrong with it as pairs of code and message."""
    n, labels = len(ids), target.labels if isinstance(target, CategoricalTarget | PreferenceTarget) else ()
    shape = (n, len(labels)) if labels else (n,)
    needed = (
        f"float probabilities {shape}, one column per declared label: {listed(labels, LABELS_SHOWN)}"
        if labels
        else f"finite numbers {shape}, one per sample"
    )
    try:
        array = np.asarray(output)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; a tensor that tracks gradients
        return np.empty(shape), [("E208", f"{_kind(output)} is no array ({error}); needed are {needed}")]
    if array.dtype.kind not in "biuf":
        held = "text" if array.dtype.kind in "US" else array.dtype.name
        return np.empty(shape), [("E208", f"holds {held} of the shape {array.shape}; needed are {needed}")]
    if array.shape != shape:
        return np.empty(shape), [("E206", f"has the shape {array.shape}; needed are {needed}")]
    numbers = np.asarray(array, dtype=np.float64)
    return numbers, [*(_probability_problems(numbers, ids) if labels else _number_problems(numbers, ids))]


def _set_problems(sets: Any, n: int) -> list[tuple[str, str]]:
    if not isinstance(sets, Lists):
        return [("E208", f"{_kind(sets)}; needed are merbench.metrics.lists.Lists of {n:,} sets, one per sample")]
    return [] if len(sets) == n else [("E206", f"holds {plural(len(sets), 'set')}; needed are {n:,}, one per sample")]


def _number_problems(values: Floats, ids: pa.StringArray) -> Iterator[tuple[str, str]]:
    finite = np.asarray(np.isfinite(values))
    if not finite.all():
        yield "E204", f"NaN or infinite in {_rows(~finite, ids)}; every number must be finite"


def _probability_problems(table: Floats, ids: pa.StringArray) -> Iterator[tuple[str, str]]:
    finite = np.asarray(np.isfinite(table).all(axis=1))
    if not finite.all():
        yield "E209", f"NaN or infinite in {_rows(~finite, ids)}; every probability must be finite"
    negative = finite & (table < 0).any(axis=1)
    if negative.any():
        message = f"below 0 in {_rows(negative, ids)}, as low as {table[negative].min():.6g}"
        yield "E209", f"{message}; probabilities are not: scores go through a softmax first"
    total = np.where(finite & ~negative, np.where(finite[:, None], table, 0.0).sum(axis=1), 1.0)
    off = np.asarray(np.abs(total - 1) > SUM_TOLERANCE)
    if off.any():
        message = f"sum to {total[off][0]:.6g} and the like in {_rows(off, ids)}"
        yield "E209", f"{message}; the probabilities of a row must sum to 1 within {SUM_TOLERANCE:g}"


def _rows(bad: NDArray[np.bool_], ids: pa.StringArray) -> str:
    return f"{bad.sum():,} of {len(bad):,} rows ({listed(ids.filter(pa.array(bad)).to_pylist())})"
