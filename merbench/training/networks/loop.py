"""The loop that trains networks: one of fold layers for all folds, or one of ordinary layers per fold.

The folds of ordinary networks are trained in turns, an epoch each, so that curves, early stopping, checkpoints and
pruning are the same for both. The numbers of ordinary networks depend only on (seed, fold). Fold layers share no
parameters either, the sum of the losses has for each fold the gradient of its own loss, and Adam works element by
element; but all folds take equally many steps (see `order.py`), and what dropout drops is drawn for all at once. Folds
that were stopped early are no longer counted, though fold layers still compute them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from merbench.engine import interrupted_afterwards
from merbench.errors import UsageError, listed
from merbench.training.networks.checkpoints import Checkpoint, History
from merbench.training.networks.learner import Learner, Outputs, Value
from merbench.training.networks.optimisation import Schedule
from merbench.training.protocol import Curve, Setup
from merbench.training.sequences import Rows

ValueOf = Callable[[Rows, Outputs], Value]
"""The ranking values, higher is better, of outputs for some rows."""

Measure = Callable[[int, Rows, Outputs], Mapping[str, float]]
"""Further values of a fold by name: called with its number, the rows its epoch is selected on, and their outputs."""


def train(
    learners: Sequence[Learner],
    validated: Sequence[Rows],
    *,
    value: ValueOf,
    setup: Setup,
    measure: Measure = lambda fold, rows, outputs: {},
    sign: int = 1,
    checkpoint: Checkpoint | None = None,
) -> tuple[Outputs, Curve]:
    """Train all folds and leave in every network the parameters of the epoch that is kept.

    Args:
        learners: one for all folds, or one per fold.
        validated: the rows that the epoch of every fold is selected on.
        value: ranking values of outputs for some rows; compared lexicographically, NaN is worst.
        setup: where progress and the values of epochs go.
        measure: what is logged of every epoch and fold, besides losses and value; nothing depends on it.
        sign: -1 where the first value is negated, since lower is better; logs and curves have it on its own scale.
        checkpoint: where the state of training is stored, from time to time and when it is interrupted, which is after
            the epoch, and from where it goes on; None stores nothing.

    Returns:
        The kept networks' outputs for the validated rows, in the order of the rows; and how training went.

    Raises:
        UsageError: the loss is no longer finite, or memory is used up.
    """
    schedule = learners[0].schedule
    history: History = [] if checkpoint is None else checkpoint.read(learners)
    for n, values in enumerate(history):
        setup.log.epoch(n + 1, values)
    while len(history) < schedule.epochs and any(any(learner.trains) for learner in learners):
        before = len(history)
        try:
            with interrupted_afterwards():  # in the middle of an epoch there is no state to go on from
                history.append(_epoch(learners, validated, before + 1, value, measure, sign))
                setup.log.epoch(len(history), history[-1])
                setup.progress(len(history), schedule.epochs)
        except KeyboardInterrupt:
            if checkpoint is not None and len(history) > before:
                checkpoint.write(learners, history)
            raise
        if checkpoint is not None:
            checkpoint.write_if_due(learners, history)
    if checkpoint is not None and checkpoint.path.exists():
        checkpoint.write(learners, history)
    if len(history) < schedule.epochs:
        setup.progress(schedule.epochs, schedule.epochs)
    for learner in learners:
        learner.finish()
    order = np.argsort(np.concatenate(validated))
    kept = [outputs for learner in learners for outputs in learner.outputs]
    joined = {name: np.concatenate([part[name] for part in kept])[order] for name in kept[0]}
    best = tuple(epoch for learner in learners for epoch in learner.epochs)
    loss, first_value = (np.stack([values[name] for values in history]) for name in ("loss", "value"))
    return joined, Curve(loss, first_value, best)


def _epoch(
    learners: Sequence[Learner],
    validated: Sequence[Rows],
    epoch: int,
    value: ValueOf,
    measure: Measure,
    sign: int,
) -> dict[str, NDArray[np.float64]]:
    """Train every fold for an epoch, keep the better ones, and return the values of the epoch."""
    logged: dict[str, NDArray[np.float64]] = {"loss": np.full(len(validated), np.nan)}
    logged["value"] = logged["loss"].copy()
    starts = accumulate((learner.n_folds for learner in learners), initial=0)
    for learner, start in zip(learners, starts, strict=False):
        trained = learner.trains
        if not any(trained):
            continue
        losses = learner.epoch(epoch)
        require_finite({name: means[trained] for name, means in losses.items()}, epoch, learner.schedule)
        rows = validated[start : start + learner.n_folds]
        outputs = learner.validated(rows)
        for own in np.flatnonzero(trained).tolist():
            fold = start + own
            reached = tuple(-math.inf if math.isnan(item) else item for item in value(rows[own], outputs[own]))
            learner.keep(own, epoch, reached, outputs[own])
            logged["value"][fold] = sign * reached[0] if math.isfinite(reached[0]) else np.nan
            shown = {name: float(means[own]) for name, means in losses.items()}
            shown.update(measure(fold, rows[own], outputs[own]))
            for name, item in shown.items():
                logged.setdefault(name, np.full(len(validated), np.nan))[fold] = item
    return logged


def require_finite(losses: Mapping[str, NDArray[np.float64]], epoch: int, schedule: Schedule) -> None:
    """Raise `UsageError` when a loss is not finite: that of the targets, or one of the network's own."""
    wrong = [name for name, means in losses.items() if not np.isfinite(means).all()]
    if wrong:
        which = "the loss" if "loss" in wrong else f"the network's own loss {listed(wrong)}"
        raise UsageError(
            f"training diverged in epoch {epoch} ({which} is not finite); "
            f"lower the learning rate, which is {schedule.learning_rate:g}"
        )
