"""Modality dropout around any complete system: in training, whole modalities of samples are dropped."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from merbench.corruptions import Step
from merbench.parameters import Within
from merbench.training import Setup, TrainingSet
from merbench.training.imputation import How, Imputing, ImputingFolds
from merbench.training.samples import FeatureCorruption
from merbench.training.wrapping import BaseOptions, not_complete, wrapped


@dataclass(frozen=True)
class Options(BaseOptions):
    """What is trained, and how often a modality is dropped.

    Attributes:
        base: name or folder of the baseline that is trained.
        base_options: options of the base that differ from those it declares.
        rate: probability of each modality to be dropped, given that a sample keeps at least one.
    """

    rate: Annotated[float, Within(0, 0.99)] = 0.3


class ModalityDropout(Imputing):
    """The base, one model of all samples, of which modalities are dropped once."""

    options: Options

    @property
    def how(self) -> How | None:
        """What is dropped is the mean, unless the base knows what a sample lacks."""
        return None if self.base.declaration.handles_missing else How("mean")

    def as_learned(self, train: TrainingSet) -> TrainingSet:
        """Return samples of which modalities are dropped in training, beyond what the track declares."""
        if not self.options.rate:
            return train
        declared = self.base.declaration
        corruption = train.corruption or FeatureCorruption(
            (),
            train.track.seed,
            train.samples.modalities,
            per_epoch=declared.corrupts_per_epoch,
            absent=declared.handles_missing,
        )
        rates = dict.fromkeys(("audio", "text", "video"), self.options.rate)
        step = Step("imbalanced_missing", rates, "modality-dropout")
        return replace(train, corruption=replace(corruption, learned=(step,)))


class ModalityDropoutOfFolds(ModalityDropout, ImputingFolds):
    """The base, one model per division, of which modalities are dropped again in every epoch."""

    fills_drawn = False  # zeros of standardised features are the mean


def build(options: Options, setup: Setup) -> ModalityDropout:
    return wrapped(ModalityDropoutOfFolds, options, setup, not_complete, "modality-dropout", single=ModalityDropout)
