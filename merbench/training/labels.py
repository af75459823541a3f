"""The references of a training split go in, those that a baseline learns from come out: damaged as the track declares.

Conventions:
    Rows are those of the split that hold a reference of every target, in the order of sorted ids. Other splits are
    never damaged: a track that declares it is refused when it is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corruptions import Step, generator
from merbench.corruptions.labels import Labels
from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.targets import Target
from merbench.track import Track


@dataclass(frozen=True, eq=False)
class LearnedLabels:
    """What a baseline learns from.

    Attributes:
        rows: which rows are kept.
        values: their references by target, labels damaged.
        damage: `<step>.<name>` -> what was declared, and what the damage came to; empty without damage.
    """

    rows: NDArray[np.int64]
    values: dict[str, Values]
    damage: dict[str, Any] = field(default_factory=dict)


def damaged_labels(track: Track, split: str, values: Mapping[str, Values]) -> LearnedLabels:
    """Return the references of a split with the labels damaged as the track declares.

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
        return LearnedLabels(np.arange(n), dict(values))
    name, target = _categorical(track, steps)
    codes = values[name]
    assert isinstance(codes, np.ndarray)
    labels = Labels.of(codes, target.classes)
    damage: dict[str, Any] = {}
    for step in steps:
        rng = generator(track.seed, step.step_name, "")
        drawn = step.draws(track.seed, "", rng)
        before, labels = labels, step.corruption(labels, rng, drawn)
        found = drawn | step.corruption.measure(before, labels, drawn)
        damage |= {f"{step.step_name}.{key}": value for key, value in found.items()}
        if labels.candidates is not None:
            raise UsageError(
                f"{track.id}: {step.step_name} gives each training sample a set of labels, and a baseline learns from "
                "one; `merbench.corruptions.labels` makes the sets for those who do"
            )
    kept = {key: column[labels.rows] for key, column in values.items()}
    return LearnedLabels(labels.rows, {**kept, name: labels.codes}, damage)


def _categorical(track: Track, steps: tuple[Step, ...]) -> tuple[str, Target]:
    fitting = [(name, target) for name, target in track.targets.items() if target.takes_label_noise]
    if len(fitting) != 1:
        names = listed([name for name, _ in fitting]) or "none"
        raise UsageError(
            f"{track.id}: {steps[0].step_name} damages the labels of one categorical target; the track has {names}"
        )
    return fitting[0]
