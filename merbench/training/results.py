"""What a run of a baseline results in: what its models learned from, what they answered, and what that scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from merbench.files.tensors import Arrays
from merbench.report import ScoreReport
from merbench.track import Track
from merbench.training.declaration import Options
from merbench.training.history import Values
from merbench.training.protocol import CrossFit, Predictions
from merbench.training.selection import Trial

if TYPE_CHECKING:
    from merbench.training.unknown.report import UnknownReport


@dataclass(frozen=True, eq=False)
class PartRun:
    """What a model learned and answered: one of a seed's, or the only one."""

    # values by metric key on the samples that options and epochs are selected on, each predicted without it
    cross_validated: Mapping[str, float]
    predictions: Predictions = field(repr=False)  # its answers for the samples of the part
    fit: CrossFit = field(repr=False)  # the result of cross-validation
    weights: Arrays | None = field(default=None, repr=False)  # of the model; None if it cannot be stored
    history: Values = field(default_factory=dict, repr=False)  # of its epochs by name, `(epochs, folds)`
    versions: Mapping[str, str] = field(default_factory=dict, repr=False)  # of the packages it was trained with


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One training of a baseline: one model, or one for each value that is left out."""

    seed: int
    cross_validated: Mapping[str, float]  # values by metric key, the mean over the parts
    # values by metric key on the test split, rounded if it is hidden; None if its references are withheld
    test: Mapping[str, float] | None
    predictions: Predictions = field(repr=False)  # its answers for the test split
    parts: tuple[PartRun, ...] = field(repr=False)  # in the order of the plan


@dataclass(frozen=True, eq=False)
class Learned:
    """What the models of a part learn from, with all seeds.

    Attributes:
        left_out: the value whose samples are answered; None if all samples are answered by one model.
        n_train: number of samples that are learned from, without a development set.
        n_test: number of samples that are answered.
        options: the options, selected ones among them.
        trials: what selection tried.
        cross_validation: how the samples are divided; see `TrainingSet.described_folds`.
        ids: of these samples by use: those of `TrainingSet.ids_by_use`, and `answered` where a value is left out.
    """

    left_out: str | None
    n_train: int
    n_test: int
    options: Options
    trials: tuple[Trial, ...]
    cross_validation: Mapping[str, Any]
    ids: Mapping[str, pa.StringArray] = field(repr=False)


@dataclass(frozen=True, eq=False)
class BaselineRun:
    """A baseline that was trained on a track.

    Attributes:
        folder: what was written.
        track: the track, with `[training]` as it was in this run.
        baseline: name of the baseline.
        features: the features it learned from.
        seeds: one training per seed, in the order given.
        parts: what is learned from, once for all samples or once for each value that is left out.
        report: the score of the submission (the first seed's); None if the references are withheld.
        withheld: why there is no score.
        synthetic: whether the corpus is the synthetic sample.
        label_corruption: how the labels it learned from were corrupted; empty if they were not.
        learning: keys of `[training]` that were replaced in this run.
        preset: the preset of the baseline it was run with; None without.
        warnings: what a reader of the scores must know.
        widths: numbers per row of every feature.
        files: SHA-256 of the baseline's files, by name.
        hold_out: classes that were not learned, whose samples are to look unknown.
        unknown: how well detectors find them; None if none were held out, or references are withheld.
        inputs_digest: SHA-256 of what the models depend on, besides their seeds.
        n_resumed: models that an interrupted run had trained.
        wall_time_s: how long training and selection took.
    """

    folder: Path
    track: Track
    baseline: str
    features: tuple[str, ...]
    seeds: tuple[SeedRun, ...]
    parts: tuple[Learned, ...]
    report: ScoreReport | None = None
    withheld: str = ""
    synthetic: bool = False
    label_corruption: Mapping[str, Any] = field(default_factory=dict)
    learning: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    warnings: tuple[str, ...] = ()
    widths: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    hold_out: tuple[str, ...] = ()
    unknown: UnknownReport | None = None
    inputs_digest: str = ""
    n_resumed: int = 0
    wall_time_s: float = 0.0

    @property
    def options(self) -> Options:
        """The options it was trained with; of several parts, those of the first one."""
        return self.parts[0].options

    @property
    def cross_validation(self) -> Mapping[str, Any]:
        """How the samples are divided for selection; of several parts, those of the first one."""
        return self.parts[0].cross_validation
