"""The references of a training split go in, those that a baseline learns from come out: damaged as the track declares.

Conventions:
    Rows are those of the split that hold a reference of every target, in the order of sorted ids. Other splits are
    never damaged: a track that declares it is refused when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions import Step, generator
from merbench.corruptions.labels import Labels
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.track import CategoricalTarget, Track


def damaged_labels(
    track: Track, split: str, values: Mapping[str, Values]
) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """Return which rows are kept, and their references with the labels damaged.

    Args:
        track: the track.
        split: name of the split in the track.
        values: references by target.

    Raises:
        UsageError: the track has not exactly one categorical target; a step makes sets of candidates, and no baseline
            learns from those.
    """
    steps = track.steps(split, "labels")
    n = len(next(iter(values.values())))
    if not steps:
        return np.arange(n), dict(values)
    name, target = _categorical(track, steps)
    codes = values[name]
    assert isinstance(codes, np.ndarray)
    labels = Labels.of(codes, target.labels)
    for step in steps:
        rng = generator(track.seed, step.step_name, "")
        labels = step.corruption(labels, rng, step.draws(track.seed, "", rng))
        if labels.candidates is not None:
            raise UsageError(
                f"{track.id}: {step.step_name} gives each training sample a set of labels, and a baseline learns from "
                "one; `merbench.corruptions.labels` makes the sets for those who do"
            )
    kept = {key: column[labels.rows] for key, column in values.items()}
    return labels.rows, {**kept, name: labels.codes}


def _categorical(track: Track, steps: tuple[Step, ...]) -> tuple[str, CategoricalTarget]:
    fitting = [(name, target) for name, target in track.targets.items() if isinstance(target, CategoricalTarget)]
    if len(fitting) != 1:
        names = listed([name for name, _ in fitting]) or "none"
        raise UsageError(
            f"{track.id}: {steps[0].step_name} damages the labels of one categorical target; the track has {names}"
        )
    return fitting[0]
