"""Everything that stays the same under all conditions: the settings, the samples, the systems, and their features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import numpy as np
import pyarrow.compute as pc

from merbench.banks.bank import Bank
from merbench.banks.folder import open_bank
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.declaration import MODALITIES
from merbench.engine import ShowProgress
from merbench.errors import UnknownName, UsageError, did_you_mean, listed
from merbench.features.outputs import Recipe
from merbench.files.reading import sha256_bytes
from merbench.robustness.clips import Clips, Measured, filled, read_clips
from merbench.robustness.grid import Condition, Curve, planned
from merbench.robustness.report import Weights
from merbench.robustness.samples import OTHER, FeatureScale, Source, require_texts
from merbench.scoring import Resampling, resampling_of
from merbench.track import Track
from merbench.training import LoadedBaseline, Setup, TrainingSet, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.declaration import Options
from merbench.training.needs import (
    no_features,
    require_answers,
    require_number_of_features,
    require_samples,
    wanted_features,
)
from merbench.training.plan import parts, with_learning
from merbench.training.sequences import Rows
from merbench.training.systems import System, features_of


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


Numbered = Mapping[str, tuple[str, Mapping[str, Sequence[tuple[int | None, Measured]]]]]
"""The measured clips of every split with the numbers of conditions instead of these."""


@dataclass(frozen=True)
class Work:
    """An experiment as other processes get it: what it is made of, and the clips, which were measured before.

    Equal names are of the same experiment, so that a process prepares it once.
    """

    name: str
    track: Track = field(compare=False)
    systems: Sequence[System] = field(compare=False)
    grids: Mapping[str, Sequence[Any]] = field(compare=False)
    settings: Settings = field(compare=False)
    clips: Numbered | None = field(default=None, compare=False, repr=False)

    @classmethod
    def prepared(
        cls,
        track: Track,
        systems: Sequence[System],
        grids: Mapping[str, Sequence[Any]],
        settings: Settings,
        show: ShowProgress,
    ) -> Work:
        """Return an experiment after everything has been checked, and clips have been measured.

        Raises:
            UnknownName: no such baseline, corruption, feature, split or noise bank.
            UsageError: no corruption fits a grid; a baseline does not fit the track; no such column; a group has no
                name, or no others; the modality of a feature is not known; no feature is corrupted; clips or
                transcripts are needed and missing, or cannot be used.
            DeclarationError: a value of a grid, or an option, is not allowed.
            WithheldReference: the references of a split are withheld.
        """
        work = cls(uuid4().hex, track, systems, grids, settings)
        experiment = work._experiment(show)
        clips = {
            split: (
                clips.digest,
                {
                    modality: [(_number(experiment, condition), item) for condition, item in measured.items()]
                    for modality, measured in clips.measured.items()
                },
            )
            for split, clips in experiment.source.clips.items()
        }
        work = replace(work, clips=clips)
        work.__dict__["experiment"] = experiment
        return work

    def __getstate__(self) -> dict[str, Any]:
        track = self.track.model_copy(update={"folder": self.track.folder.absolute()})  # a cluster's work elsewhere
        systems = [
            replace(system, baseline=load_baseline(system.baseline).folder.absolute()) for system in self.systems
        ]
        made = {item.name: getattr(self, item.name) for item in fields(self)}
        return {**made, "track": track, "systems": systems}

    @cached_property
    def experiment(self) -> Experiment:
        """The experiment."""
        return self._experiment(lambda text, done, total: None)

    def _experiment(self, show: ShowProgress) -> Experiment:
        settings = self.settings
        curves = planned(self.track, self.grids, settings.corruption, settings.parameters)
        experiment = _prepared(_as_learned(self.track, settings, curves), curves, self.systems, settings)
        clips = _clips(experiment, show) if self.clips is None else _with_conditions(self.clips, experiment)
        return _with_clips(experiment, clips)


def _number(experiment: Experiment, condition: Condition | None) -> int | None:
    return None if condition is None else experiment.conditions.index(condition)


def _with_conditions(numbered: Numbered, experiment: Experiment) -> dict[str, Clips]:
    known = experiment.conditions
    return {
        split: Clips(
            digest,
            {
                modality: {None if number is None else known[number]: item for number, item in items}
                for modality, items in measured.items()
            },
        )
        for split, (digest, measured) in numbered.items()
    }


def _with_clips(experiment: Experiment, clips: Mapping[str, Clips]) -> Experiment:
    sources = {system.source: replace(system.source, clips=clips) for system in experiment.systems}
    compared = tuple(replace(system, source=sources[system.source]) for system in experiment.compared)
    other = experiment.reference
    reference = None if other is None else replace(other, source=sources[other.source])
    return replace(experiment, compared=compared, reference=reference, source=replace(experiment.source, clips=clips))


def load_systems(track: Track, systems: Sequence[System], relative_to: str | Path | None) -> list[LoadedBaseline]:
    """Return the baselines of systems, the reference last; raise `UsageError` if one does not fit the track."""
    loaded = [load_baseline(system.baseline).resolved(track.id, system.options) for system in systems]
    if relative_to is not None:
        reference = load_baseline(relative_to).resolved(track.id, {})
        if reference.name in (system.name for system in systems):
            raise UsageError(f"'{reference.name}' is compared with itself; name another baseline")
        loaded.append(reference)
    for each in loaded:
        require_answers(each, track)
    return loaded


def _prepared(track: Track, curves: tuple[Curve, ...], systems: Sequence[System], settings: Settings) -> Experiment:
    """Return an experiment without clips, after everything has been checked."""
    loaded = load_systems(track, systems, settings.relative_to)
    test, train = open_candidates(track, settings.split), training_candidates(track)
    if track.training.leave_out is not None and train.ids.equals(test.ids):
        train = test
    _ = test.references  # withheld references are reported before anything is trained
    for name in settings.modalities:
        _require_feature(test, name)
    computed = frozenset(curve.corruption.modality for curve in curves) & set(MODALITIES)
    every = [*systems, *(System(name=each.name, baseline=each.folder) for each in loaded[len(systems) :])]
    names = [
        _names(each, (train, test), _features(settings, system.name), settings, computed)
        for system, each in zip(every, loaded, strict=True)
    ]
    source = _source(test, names, loaded, curves, computed, settings)
    if source.of_clips and not settings.media:
        raise UsageError(f"corrupting {listed(source.of_clips)} needs the clips: --media DIR")
    folds, sources = _Folds(train, test, settings, computed), dict[Any, Source]()
    prepared = []
    for system, each, own in zip(every, loaded, names, strict=True):
        require_samples(each, train, test)
        key = own, each.declaration.columns
        sources.setdefault(key, _of_features(source, *key))
        preset = each.preset(system.preset)
        options = {**preset.options, **system.options}
        prepared.append(
            Prepared(
                system.name,
                each,
                options,
                each.options(track.id, options),
                each.choices(track.id, options),
                own,
                Setup(settings.seed, track.training.folds or preset.folds or each.declaration.folds, settings.device),
                folds.of(each, own),
                sources[key],
            )
        )
    of_clips = [curve for curve in curves if curve.corruption.modality in source.of_clips]
    banks = {name for curve in of_clips for condition in curve.conditions for name in condition.step.banks}
    opened = {name: open_bank(name) for name in sorted(banks)}
    how = resampling_of(test) if settings.intervals and not test.hidden else None
    n, reference = len(systems), prepared[-1] if settings.relative_to is not None else None
    return Experiment(settings, curves, train, test, tuple(prepared[:n]), reference, source, opened, how)


def _features(settings: Settings, system: str) -> Sequence[str] | None:
    """Return the features that a system is to learn from; None if none are asked for."""
    given = settings.features
    return features_of(given, system) if isinstance(given, Mapping) else given


EXTRACTORS = {"audio": "voice", "video": "face", "text": "tfidf-svd"}
"""What features are extracted by that are computed from clips or transcripts, where nothing else is asked for."""


def _recipes(settings: Settings, computed: Collection[str]) -> dict[str, Recipe]:
    """Return what every modality is extracted by; raise `UsageError` if one that is asked for is not computed."""
    if idle := [f"{name}={recipe.source}" for name, recipe in settings.extractors.items() if name not in computed]:
        raise UsageError(f"{listed(idle)}: no feature of that modality is computed: nothing of it is corrupted")
    return {name: settings.extractors.get(name) or Recipe(name, source) for name, source in EXTRACTORS.items()}


def _as_learned(track: Track, settings: Settings, curves: Sequence[Curve]) -> Track:
    """Return the track with `[training]` with what the settings replace; groups are left out of the scored split."""
    given: dict[str, Any] = {"leave_out": settings.leave_out, "folds": settings.folds}
    if settings.weights == "mixed":
        given["corruptions"] = [_mixture(track, curves)]
    left_out = with_learning(track, {key: value for key, value in given.items() if value is not None})
    if left_out.training.leave_out is None or left_out.training.source or left_out.training.corpus:
        return left_out
    return with_learning(left_out, {"source": track.splits[settings.split].source})


def _mixture(track: Track, curves: Sequence[Curve]) -> dict[str, Any]:
    """Return the corruption whose parameter each sample draws from the values of the only curve; raise `UsageError`."""
    if len(curves) > 1:
        raise UsageError(
            f"weights mixed: {len(curves)} curves, and one model learns from samples under the conditions of one; give "
            "one grid and one corruption"
        )
    curve, declared = curves[0], track.training.corruptions
    if curve.corruption.modality != "features" or curve.corruption.scope != "sample":
        raise UsageError(
            f"weights mixed: {curve.step} cannot be drawn for each sample in training; it must be a corruption of "
            "features, and of single samples"
        )
    if declared:
        names = listed([spec.as_step.step_name for spec in declared])
        raise UsageError(f"weights mixed: {track.id} declares corruptions of training samples, {names}; give shared")
    values = [condition.value for condition in curve.conditions]
    step = {} if curve.step == curve.corruption.name else {"step": curve.step}
    return {"name": curve.corruption.name, **step, **curve.declared, curve.parameter: {"choice": values}}


class _Folds:
    """What systems learn from and what they predict: the two splits, or each group and the others.

    A baseline that reads dialogues, learns from samples with some of the references, or from some without, has folds
    of its own.
    """

    def __init__(self, train: Candidates, test: Candidates, settings: Settings, computed: Collection[str]) -> None:
        self.train, self.test, self.settings, self.computed = train, test, settings, computed
        self._made: dict[Any, tuple[Fold, ...]] = {}

    def of(self, loaded: LoadedBaseline, names: tuple[str, ...]) -> tuple[Fold, ...]:
        """Return the folds of a baseline that learns from some features."""
        declared, with_others = loaded.declaration, loaded.declaration.uses_unlabelled
        if with_others and (self.settings.weights == "per-condition" or self.computed):
            raise UsageError(
                f"baseline '{loaded.name}' learns from unlabelled samples, which are not corrupted; give --weights "
                "shared, and a corruption of features"
            )
        read = (names, declared.columns, declared.handles_missing) if with_others else None
        key = declared.handles_unknown, declared.samples == "dialogues", read
        if key not in self._made:
            self._made[key] = self._folds(*key)
        return self._made[key]

    def _folds(self, partial_: bool, dialogues: bool, read: Any) -> tuple[Fold, ...]:
        names, columns, missing = read or ((), (), False)
        labelled = training_set(
            self.train,
            names,
            columns,
            dialogues=dialogues,
            missing=missing,
            unlabelled=read is not None,
            partial=partial_,
        )
        labelled = replace(labelled, track=self.test.track)
        rows = np.asarray(pc.index_in(labelled.samples.ids, value_set=self.train.ids), dtype=np.int64)
        return tuple(
            Fold(rows[part.learned], part.answered, labelled.select(part.learned))
            for part in parts(labelled, self.train, self.test, self.test.track.training.leave_out)
        )


def _require_feature(test: Candidates, name: str) -> None:
    if name not in test.corpus.features:
        raise UnknownName(f"feature of corpus {test.corpus.name}", name, test.corpus.features)


def _names(
    loaded: LoadedBaseline,
    samples: tuple[Candidates, Candidates],
    asked: Sequence[str] | None,
    settings: Settings,
    computed: frozenset[str],
) -> tuple[str, ...]:
    """Return the features of training and test samples to learn from; a computed one replaces those of its modality."""
    train, test = samples
    if not loaded.declaration.uses_features:
        return ()
    wanted = wanted_features(loaded, test, asked, train)
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
    if absent and asked:
        raise UsageError(
            f"corrupting {listed(absent)} changes none of the features {listed(list(asked))}; "
            f"add feature '{absent[0]}', which is computed from the corrupted {absent[0]}"
        )
    for name, modality in modalities.items() if asked else ():
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
    names: Sequence[Sequence[str]],
    loaded: Sequence[LoadedBaseline],
    curves: Sequence[Curve],
    computed: frozenset[str],
    settings: Settings,
) -> Source:
    """Return where the features of all systems come from, without clips."""
    every = tuple(dict.fromkeys(name for own in names for name in own))
    columns = tuple(dict.fromkeys(name for each in loaded for name in each.declaration.columns))
    known = {name: settings.modalities.get(name) or test.corpus.modality(name) for name in every}
    modalities = {name: modality for name, modality in known.items() if modality is not None}
    if "text" in computed:
        require_texts(test)
        if "text" in every and any(curve.corruption.modality == "features" for curve in curves):
            raise UsageError("corruptions of text and of features cannot be combined in one run; make two")
    made = computed & {*every, "text"}
    compared = frozenset(modalities.values()) & set(MODALITIES)
    return Source(every, modalities, made, columns, test.track.seed, _recipes(settings, made), compared=compared)


def _of_features(source: Source, names: Sequence[str], columns: Sequence[str]) -> Source:
    """Return a source of some of the features and columns."""
    modalities = {name: modality for name, modality in source.modalities.items() if name in names}
    computed = source.computed & {*names, "text"}
    return replace(source, names=tuple(names), modalities=modalities, computed=computed, columns=tuple(columns))


def _joint(source: Source, systems: Sequence[Prepared]) -> Source:
    """Return the source of the features of some systems."""
    names = dict.fromkeys(name for system in systems for name in system.names)
    columns = dict.fromkeys(name for system in systems for name in system.loaded.declaration.columns)
    return _of_features(source, tuple(names), tuple(columns))


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
