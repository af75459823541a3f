"""What models predict for unlabelled samples and keep of it, and how often that is right where labels are only hidden.

A baseline is not given the labels that `labelled` of `[training]` hides. It returns what it predicted, and the run
compares.

Conventions:
    F models, one per division; n unlabelled samples. Labels are codes; -1 is one that is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.training.samples import TrainingSet, known_of

KEPT = ("kept", "accuracy", "accuracy_of_kept", "gain_of_kept")
"""What is shown by target and fold: the share that is kept, the accuracy of all, and of what is kept, the difference.

Without a suffix, the accuracies are those of validation samples, and the share is that of all unlabelled samples.
"""

HIDDEN = tuple(f"{what}_unlabelled" for what in KEPT)
"""The same for unlabelled samples whose labels are hidden, against these labels."""


@dataclass(frozen=True, eq=False, slots=True)
class PseudoLabels:
    """What the models of all divisions predict of one target for `TrainingSet.unlabelled`, and what of it they keep."""

    labels: NDArray[np.int64]  # `(F, n)` the most probable label
    kept: NDArray[np.bool_]  # `(F, n)` whether the model is sure enough of it


def codes_of(references: NDArray[Any]) -> NDArray[np.int64]:
    """Return the labels of `(n,)` codes, or the largest shares of a `(n, K)` distribution; -1 where not known."""
    codes = references.argmax(1) if references.ndim == 2 else references
    return np.where(known_of(references), codes, -1).astype(np.int64)


def of_kept(right: NDArray[np.bool_], kept: NDArray[np.bool_]) -> tuple[float, float, float | None, float | None]:
    """Return the values of `KEPT` for `(n,)` predictions, n > 0; the last two are None where nothing is kept."""
    accuracy = float(right.mean())
    if not kept.any():
        return 0.0, accuracy, None, None
    own = float(right[kept].mean())
    return float(kept.mean()), accuracy, own, own - accuracy


def against_hidden(
    predicted: Mapping[str, PseudoLabels], given: TrainingSet, every: TrainingSet
) -> dict[str, list[float | None]]:
    """Return the values of `HIDDEN`, by name and target, of every model; none for targets of which nothing is hidden.

    Args:
        predicted: by target, for the unlabelled samples of `given`.
        given: what the baseline learned from.
        every: the same before labels were hidden; the labels are those that would be learned from, as the track
            corrupts them.
    """
    shown: dict[str, list[float | None]] = {}
    if not predicted or given.unlabelled is None:
        return shown
    places = np.asarray(pc.index_in(given.unlabelled.ids, value_set=every.samples.ids).fill_null(-1), dtype=np.int64)
    hidden = np.flatnonzero(places >= 0)
    for name, own in predicted.items() if len(hidden) else ():
        references = codes_of(every.targets[name][places[hidden]])
        rows, codes = hidden[references >= 0], references[references >= 0]
        for labels, kept in zip(own.labels, own.kept, strict=True) if len(rows) else ():
            for what, value in zip(HIDDEN, of_kept(labels[rows] == codes, kept[rows]), strict=True):
                shown.setdefault(f"{what}.{name}", []).append(value)
    return shown
