"""Everything that stays the same under all conditions: the settings, the samples, the systems, and their features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from merbench.banks.bank import Bank
from merbench.corpus.candidates import Candidates
from merbench.corpus.declaration import MODALITIES
from merbench.errors import UsageError, did_you_mean
from merbench.features.outputs import Recipe
from merbench.files.reading import sha256_bytes
from merbench.robustness.grid import Condition, Curve
from merbench.robustness.report import Weights
from merbench.robustness.samples import OTHER, FeatureScale, Source
from merbench.scoring import Resampling
from merbench.training import LoadedBaseline, Setup, TrainingSet
from merbench.training.declaration import Options
from merbench.training.sequences import Rows


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a baseline is scored under grids of conditions.

    Attributes:
        corruption: a corruption, or a step of the track, or several: there is a curve for each one that has a grid's
            parameter. Without any, a grid belongs to the corruption that the track declares with the parameter.
        parameters: values of other parameters: `NAME` for all corruptions that have it, `CORRUPTION.NAME` for one; the
            others are as the track declares them.
        weights: `shared`: one model, trained on clean samples, for all conditions; `per-condition`: one model for each
            condition, trained on samples corrupted in the same way; `mixed`: one model for all conditions of the only
            curve, trained on samples each of which is corrupted under one that is drawn.
        media: folders of clips; the last one that has a sample's clip is used.
        extractors: `audio`, `video`, `text` -> what extracts the features that are computed from clips or transcripts;
            others are extracted by `voice`, `face` and `tfidf-svd`.
        features: features to learn from, or those of single systems by their names (of all others under the empty
            text); None takes what the baseline declares for the track, else all.
        modalities: feature -> `audio`, `video`, `text`, or `other`, which is never corrupted; others have the modality
            that their name begins with.
        feature_scale: the scale on which features are corrupted: `standardised`, each dimension centred and divided by
            its standard deviation in the training data, or `stored`. Training uses the stored features either way.
        leave_out: a corpus column; samples of each of its values are predicted by a model of the others; None takes
            what the track declares.
        labelled: the share of the samples to learn from that keep their labels; None takes what the track declares.
        split: the split that is corrupted and scored.
        relative_to: a second baseline, under the same conditions, as the reference of corruption errors.
        options: options of the baseline, or of all systems that have them; those given are not selected by
            cross-validation.
        seed: seed of the training.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        device: `auto`, `cpu`, `cuda`, …
        workers: number of processes that read clips, and that train the systems and conditions.
        engine: `local`, or the address of a Dask cluster.
        intervals: whether to resample; a hidden split has no intervals.
    """

    corruption: str | Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: Weights = "shared"
    media: Sequence[str | Path] = ()
    extractors: Mapping[str, Recipe] = field(default_factory=dict)
    features: Sequence[str] | Mapping[str, Sequence[str]] | None = None
    modalities: Mapping[str, str] = field(default_factory=dict)
    feature_scale: FeatureScale = "standardised"
    leave_out: str | None = None
    labelled: float | None = None
    split: str = "test"
    relative_to: str | Path | None = None
    options: Options = field(default_factory=dict)
    seed: int = 0
    folds: int | None = None
    device: str = "auto"
    workers: int = 1
    engine: str = "local"
    intervals: bool = True

    def __post_init__(self) -> None:
        _require_one_of("weights", self.weights, get_args(Weights))
        _require_one_of("the feature scale", self.feature_scale, get_args(FeatureScale))
        for name, modality in self.modalities.items():
            _require_one_of(f"the modality of feature '{name}'", modality, (*MODALITIES, OTHER))
        for modality, recipe in self.extractors.items():
            _require_one_of("what an extractor is for", modality, MODALITIES)
            recipe.require_options()
            if recipe.extractor.modality != modality:
                raise UsageError(
                    f"{modality}={recipe.source}: an extractor of {recipe.extractor.modality}, not of {modality}"
                )
        if self.seed < 0:
            raise UsageError(f"the seed must be an integer of at least 0, not {self.seed}")
        if self.workers < 1:
            raise UsageError(f"the number of workers must be at least 1, not {self.workers}")


def _require_one_of(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{what} must be one of {', '.join(allowed)}, not '{value}'{did_you_mean(value, allowed)}")


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, rows to predict, and the training set without features."""

    learned: Rows
    predicted: Rows
    labelled: TrainingSet = field(repr=False)


@dataclass(frozen=True, eq=False)
class Prepared:
    """A system with what it is trained on and with.

    Attributes:
        name: its name in the report.
        loaded: the baseline.
        given: the options that it is given.
        options: all of its options.
        choices: those that cross-validation selects, and from which values.
        names: the features it learns from.
        setup: how it is trained.
        folds: one, or one for each group that is left out.
        source: where its features come from; systems with the same features share one.
    """

    name: str
    loaded: LoadedBaseline
    given: Options
    options: Options
    choices: Mapping[str, Sequence[Any]]
    names: tuple[str, ...]
    setup: Setup
    folds: tuple[Fold, ...]
    source: Source = field(repr=False)

    @cached_property
    def learned_rows(self) -> str:
        """SHA-256 of what its folds learn from, on which the scale of corrupted features depends."""
        return sha256_bytes(b"".join(fold.learned.tobytes() + b"|" for fold in self.folds))

    @property
    def cost(self) -> int:
        """How long its training takes, in no unit: an estimate from data, epochs and trials, not from the model."""
        epochs = self.options.get("epochs", 1)
        trials = 1 + self.setup.n_folds * sum(map(len, self.choices.values()))
        n_learned = sum(len(fold.learned) for fold in self.folds)
        return (epochs if isinstance(epochs, int) else 1) * trials * n_learned * max(1, len(self.names))


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that stays the same under all conditions."""

    settings: Settings
    curves: tuple[Curve, ...]
    train: Candidates  # the split to learn from; `test` itself where groups are left out
    test: Candidates  # the split that is corrupted and scored
    compared: tuple[Prepared, ...]  # the system, or several that are compared
    reference: Prepared | None  # the system that corruption errors are relative to
    source: Source  # where the features of all systems come from
    banks: Mapping[str, Bank]  # every noise bank in use, by name
    how: Resampling | None  # how scores are resampled, as `merbench score` does by default; None without intervals

    @property
    def systems(self) -> tuple[Prepared, ...]:
        """All systems, the reference last."""
        return self.compared if self.reference is None else (*self.compared, self.reference)

    def needs(self, system: Prepared) -> bool:
        """Return whether nothing can be reported without a system."""
        return system is self.reference or len(self.compared) == 1

    def of(self, system: Prepared) -> Experiment:
        """Return the experiment on one of the systems, with the reference if there is one."""
        others = [system] if self.reference is None else [system, self.reference]
        return replace(self, compared=(system,), source=_joint(self.source, others))

    @property
    def of_features(self) -> bool:
        """Whether a curve corrupts features."""
        return any(curve.corruption.modality == "features" for curve in self.curves)

    @property
    def leave_out(self) -> str | None:
        """The corpus column whose values are left out in turn; None where a training split is used."""
        return self.test.track.training.leave_out

    @property
    def standardises(self) -> bool:
        """Whether features are standardised before they are corrupted."""
        return self.settings.feature_scale == "standardised" and self.of_features

    @cached_property
    def conditions(self) -> list[Condition]:
        """The conditions of all curves, in their order."""
        return [condition for curve in self.curves for condition in curve.conditions]


def source_of(source: Source, names: Sequence[str], columns: Sequence[str]) -> Source:
    """Return a source of some of the features and columns."""
    modalities = {name: modality for name, modality in source.modalities.items() if name in names}
    computed = source.computed & {*names, "text"}
    return replace(source, names=tuple(names), modalities=modalities, computed=computed, columns=tuple(columns))


def _joint(source: Source, systems: Sequence[Prepared]) -> Source:
    """Return the source of the features of some systems."""
    names = dict.fromkeys(name for system in systems for name in system.names)
    columns = dict.fromkeys(name for system in systems for name in system.loaded.declaration.columns)
    return source_of(source, tuple(names), tuple(columns))
