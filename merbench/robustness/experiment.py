"""Everything that stays the same under all conditions: the settings, the samples, the systems, and their features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow.compute as pc

from merbench.banks.bank import Bank
from merbench.banks.folder import open_bank
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.declaration import MODALITIES
from merbench.engine import ShowProgress
from merbench.errors import UnknownName, UsageError, did_you_mean, listed
from merbench.features.outputs import Recipe
from merbench.robustness.clips import Clips, filled, read_clips
from merbench.robustness.grid import Condition, Curve
from merbench.robustness.samples import OTHER, FeatureScale, Source, require_texts
from merbench.scoring import Resampling, resampling_of
from merbench.track import Track
from merbench.training import LoadedBaseline, Setup, TrainingSet, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.declaration import Options
from merbench.training.needs import no_features, require_answers, require_number_of_features, wanted_features
from merbench.training.plan import parts, with_learning
from merbench.training.sequences import Rows

Weights = Literal["shared", "per-condition"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a baseline is scored under grids of conditions.

    Attributes:
        corruption: a corruption, or a step of the track, or several: there is a curve for each one that has a grid's
            parameter. Without any, a grid belongs to the corruption that the track declares with the parameter.
        parameters: values of other parameters: `NAME` for all corruptions that have it, `CORRUPTION.NAME` for one; the
            others are as the track declares them.
        weights: `shared`: one model, trained on clean samples, for all conditions; `per-condition`: one model for each
            condition, trained on samples corrupted in the same way.
        media: folders of clips; the last one that has a sample's clip is used.
        extractors: `audio`, `video`, `text` -> what extracts the features that are computed from clips or transcripts;
            others are extracted by `voice`, `face` and `tfidf-svd`.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        modalities: feature -> `audio`, `video`, `text`, or `other`, which is never corrupted; others have the modality
            that their name begins with.
        feature_scale: the scale on which features are corrupted: `standardised`, each dimension centred and divided by
            its standard deviation in the training data, or `stored`. Training uses the stored features either way.
        leave_out: a corpus column; samples of each of its values are predicted by a model of the others; None takes
            what the track declares.
        split: the split that is corrupted and scored.
        relative_to: a second baseline, under the same conditions, as the reference of corruption errors.
        options: options of the baseline; those given are not selected by cross-validation.
        seed: seed of the training.
        folds: number of folds of cross-validation; None takes what the baseline declares.
        device: `auto`, `cpu`, `cuda`, …
        workers: number of processes that read clips.
        engine: `local`, or the address of a Dask cluster.
        intervals: whether to resample; a hidden split has no intervals.
    """

    corruption: str | Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    weights: Weights = "shared"
    media: Sequence[str | Path] = ()
    extractors: Mapping[str, Recipe] = field(default_factory=dict)
    features: Sequence[str] | None = None
    modalities: Mapping[str, str] = field(default_factory=dict)
    feature_scale: FeatureScale = "standardised"
    leave_out: str | None = None
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
class System:
    """A baseline with its options, those that cross-validation selects, the features it learns from, and its setup."""

    loaded: LoadedBaseline
    options: Options
    choices: Mapping[str, Sequence[Any]]
    names: tuple[str, ...]
    setup: Setup


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, rows to predict, and the training set without features."""

    learned: Rows
    predicted: Rows
    labelled: TrainingSet = field(repr=False)


@dataclass(frozen=True, eq=False)
class Experiment:
    """Everything that stays the same under all conditions."""

    settings: Settings
    curves: tuple[Curve, ...]
    train: Candidates  # the split to learn from; `test` itself where groups are left out
    test: Candidates  # the split that is corrupted and scored
    folds: tuple[Fold, ...]  # one, or one for each group that is left out
    systems: tuple[System, ...]  # the baseline, and the one it is compared with
    source: Source
    banks: Mapping[str, Bank]  # every noise bank in use, by name
    how: Resampling | None  # how scores are resampled, as `merbench score` does by default; None without intervals

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

    @property
    def conditions(self) -> list[Condition]:
        """The conditions of all curves, in their order."""
        return [condition for curve in self.curves for condition in curve.conditions]


def load_systems(track: Track, baseline: str | Path, relative_to: str | Path | None) -> list[LoadedBaseline]:
    """Return the baseline, and the one it is compared with; raise `UsageError` if one does not fit the track."""
    loaded = [load_baseline(name) for name in (baseline, relative_to) if name is not None]
    if len({system.name for system in loaded}) < len(loaded):
        raise UsageError(f"'{loaded[0].name}' is compared with itself; name another baseline")
    for system in loaded:
        require_answers(system, track)
    return loaded


def prepared(
    track: Track, curves: tuple[Curve, ...], loaded: Sequence[LoadedBaseline], settings: Settings, show: ShowProgress
) -> Experiment:
    """Return an experiment with its samples, systems and features, after everything has been checked.

    Raises:
        UnknownName: no such feature, split or noise bank.
        UsageError: no such column; a group has no name, or no others; the modality of a feature is not known;
            no feature is corrupted; clips or transcripts are needed and missing, or cannot be used.
        DeclarationError: an option is not allowed.
        WithheldReference: the references of a split are withheld.
    """
    track = _as_learned(track, settings)
    test, train = open_candidates(track, settings.split), training_candidates(track)
    if track.training.leave_out is not None and train.ids.equals(test.ids):
        train = test
    folds = _folds(train, test, track.training.leave_out)
    for name in settings.modalities:
        _require_feature(test, name)
    computed = frozenset(curve.corruption.modality for curve in curves) & set(MODALITIES)
    systems = tuple(
        System(
            system,
            system.options(track.id, options),
            system.choices(track.id, options),
            _names(system, (train, test), settings, computed),
            Setup(settings.seed, track.training.folds or system.declaration.folds, settings.device),
        )
        for system, options in zip(loaded, (settings.options, {}), strict=False)
    )
    source = _source(test, systems, curves, computed, settings)
    if source.of_clips and not settings.media:
        raise UsageError(f"corrupting {listed(source.of_clips)} needs the clips: --media DIR")
    of_clips = [curve for curve in curves if curve.corruption.modality in source.of_clips]
    names = {name for curve in of_clips for condition in curve.conditions for name in condition.step.banks}
    banks = {name: open_bank(name) for name in sorted(names)}
    how = resampling_of(test) if settings.intervals and not test.hidden else None
    experiment = Experiment(settings, curves, train, test, folds, systems, source, banks, how)
    return replace(experiment, source=replace(source, clips=_clips(experiment, show)))


EXTRACTORS = {"audio": "voice", "video": "face", "text": "tfidf-svd"}
"""What features are extracted by that are computed from clips or transcripts, where nothing else is asked for."""


def _recipes(settings: Settings, computed: Collection[str]) -> dict[str, Recipe]:
    """Return what every modality is extracted by; raise `UsageError` if one that is asked for is not computed."""
    if idle := [f"{name}={recipe.source}" for name, recipe in settings.extractors.items() if name not in computed]:
        raise UsageError(f"{listed(idle)}: no feature of that modality is computed: nothing of it is corrupted")
    return {name: settings.extractors.get(name) or Recipe(name, source) for name, source in EXTRACTORS.items()}


def _as_learned(track: Track, settings: Settings) -> Track:
    """Return the track with `[training]` with what the settings replace; groups are left out of the scored split."""
    given = {"leave_out": settings.leave_out, "folds": settings.folds}
    left_out = with_learning(track, {key: value for key, value in given.items() if value is not None})
    if left_out.training.leave_out is None or left_out.training.source or left_out.training.corpus:
        return left_out
    return with_learning(left_out, {"source": track.splits[settings.split].source})


def _folds(train: Candidates, test: Candidates, leave_out: str | None) -> tuple[Fold, ...]:
    """Return what systems learn from and what they predict: the two splits, or each group and the others."""
    labelled = training_set(train, ())
    rows = np.asarray(pc.index_in(labelled.samples.ids, value_set=train.ids), dtype=np.int64)
    _ = test.references  # withheld references are reported before anything is trained
    return tuple(
        Fold(rows[part.learned], part.answered, labelled.select(part.learned))
        for part in parts(labelled, train, test, leave_out)
    )


def _require_feature(test: Candidates, name: str) -> None:
    if name not in test.corpus.features:
        raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)


def _names(
    loaded: LoadedBaseline, samples: tuple[Candidates, Candidates], settings: Settings, computed: frozenset[str]
) -> tuple[str, ...]:
    """Return the features of training and test samples to learn from; a computed one replaces those of its modality."""
    train, test = samples
    if not loaded.declaration.uses_features:
        return ()
    wanted = wanted_features(loaded, test, settings.features, train)
    for name in wanted:
        if name not in computed:
            _require_feature(test, name)
    modalities = {name: settings.modalities.get(name) or test.corpus.modality(name) for name in wanted}
    if unknown := [name for name, modality in modalities.items() if modality is None]:
        raise UsageError(
            f"the modality of {listed(unknown)} is not known from its name; give --feature-of MODALITY={unknown[0]} "
            f"(one of {', '.join(MODALITIES)}, or {OTHER}, which is never corrupted)"
        )
    absent = [name for name in MODALITIES if name in computed and name not in modalities.values()]
    if absent and settings.features:
        raise UsageError(
            f"corrupting {listed(absent)} changes none of the features {listed(list(settings.features))}; "
            f"add feature '{absent[0]}', which is computed from the corrupted {absent[0]}"
        )
    for name, modality in modalities.items() if settings.features else ():
        recipe, record = settings.extractors.get(str(modality)), test.corpus.declaration.extracted.get(name)
        if recipe is None or name == modality or modality not in computed:
            continue
        if record is None or record.extractor != recipe.extractor.name:
            raise UsageError(
                f"feature '{name}' would be replaced by what '{recipe.source}' computes from the corrupted {modality}; "
                f"name '{modality}' instead of it"
            )
    names = [str(modality) if modality in computed else name for name, modality in modalities.items()]
    if not names and not absent:
        raise no_features(loaded, test)
    names = list(dict.fromkeys([*names, *absent]))
    require_number_of_features(loaded, test.track, names)
    return tuple(names)


def _source(
    test: Candidates,
    systems: Sequence[System],
    curves: Sequence[Curve],
    computed: frozenset[str],
    settings: Settings,
) -> Source:
    """Return where the features of all systems come from, without clips."""
    names = tuple(dict.fromkeys(name for system in systems for name in system.names))
    columns = tuple(dict.fromkeys(name for system in systems for name in system.loaded.declaration.columns))
    known = {name: settings.modalities.get(name) or test.corpus.modality(name) for name in names}
    modalities = {name: modality for name, modality in known.items() if modality is not None}
    if "text" in computed:
        require_texts(test)
        if "text" in names and any(curve.corruption.modality == "features" for curve in curves):
            raise UsageError("corruptions of text and of features cannot be combined in one run; make two")
    made = computed & {*names, "text"}
    return Source(names, modalities, made, columns, test.track.seed, _recipes(settings, made))


def _clips(experiment: Experiment, show: ShowProgress) -> dict[str, Clips]:
    """Return the measured clips of both splits, where features are computed from them."""
    settings, train, test = experiment.settings, experiment.train, experiment.test
    if not experiment.source.of_clips:
        return {}

    def clips(candidates: Candidates, *, corrupted: bool) -> Clips:
        return read_clips(
            candidates,
            [Path(folder) for folder in settings.media],
            {
                modality: [
                    condition
                    for curve in experiment.curves
                    if corrupted and curve.corruption.modality == modality
                    for condition in curve.conditions
                ]
                for modality in experiment.source.of_clips
            },
            experiment.banks,
            experiment.source.recipes,
            workers=settings.workers,
            engine=settings.engine,
            progress=partial(show, f"clips of {candidates.split}"),
        )

    by_split = {test.split: clips(test, corrupted=True)}
    if train is not test:
        by_split[train.split] = clips(train, corrupted=settings.weights == "per-condition")
    return {split: filled(measured, by_split[train.split]) for split, measured in by_split.items()}
