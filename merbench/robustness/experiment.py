"""What stays the same under all conditions: the curves, the samples, the systems, and where features come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from merbench.banks.bank import Bank
from merbench.corpus.candidates import Candidates
from merbench.robustness.grid import Condition, Curve
from merbench.robustness.samples import FeatureScale, Source
from merbench.scoring import Resampling
from merbench.training import LoadedBaseline, Setup, TrainingSet
from merbench.training.data import Rows
from merbench.training.declaration import Options

Weights = Literal["shared", "per-condition"]


@dataclass(frozen=True, eq=False)
class System:
    """A baseline with what it learns from and what was fixed of its options.

    Attributes:
        loaded: the baseline.
        options: its options, those fixed and those that are declared.
        choices: options that cross-validation chooses among.
        names: the features it learns from.
        setup: how it is trained.
    """

    loaded: LoadedBaseline
    options: Options
    choices: Mapping[str, Sequence[Any]]
    names: tuple[str, ...]
    setup: Setup


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, all that is known of them except features, and rows to predict."""

    learned: Rows
    asked: Rows
    labelled: TrainingSet = field(repr=False)


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples that are learned from and those that are asked.

    Attributes:
        train: the split that is learned from; that which is asked where groups are left out.
        test: the split that is damaged and scored.
        folds: one, or one for each group that is left out.
        leave_out: the corpus column that holds the groups; empty without.
    """

    train: Candidates
    test: Candidates
    folds: tuple[Fold, ...]
    leave_out: str


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that stays the same under all conditions.

    Attributes:
        curves: the conditions.
        weights: whether one model meets all conditions, or each has its own.
        samples: what is learned from and asked.
        systems: the baseline, and the one it is compared with.
        source: where features come from.
        banks: every noise bank that is drawn from, by name.
        how: how values are resampled; None without intervals.
        feature_scale: the scale on which features are corrupted.
    """

    curves: tuple[Curve, ...]
    weights: Weights
    samples: Samples
    systems: tuple[System, ...]
    source: Source
    banks: Mapping[str, Bank]
    how: Resampling | None
    feature_scale: FeatureScale

    @property
    def standardises(self) -> bool:
        """Whether features are standardised before they are corrupted."""
        return self.feature_scale == "standardised" and self.of_features

    @property
    def of_features(self) -> bool:
        """Whether a curve is of a corruption of features."""
        return any(curve.corruption.modality == "features" for curve in self.curves)

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of all curves, in their order."""
        return [condition for curve in self.curves for condition in curve.conditions]
