"""Checks what is asked for, and makes an experiment of it, in this process or in another one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow.compute as pc

from merbench.banks.folder import open_bank
from merbench.corpus.candidates import Candidates, open_candidates
from merbench.corpus.declaration import MODALITIES
from merbench.engine import ShowProgress
from merbench.errors import UnknownName, UsageError, listed
from merbench.features.outputs import Recipe
from merbench.robustness.clips import Clips, Measured, filled, read_clips
from merbench.robustness.experiment import Experiment, Fold, Prepared, Settings, source_of
from merbench.robustness.grid import Condition, Curve, planned
from merbench.robustness.samples import OTHER, Source, require_texts
from merbench.scoring import resampling_of
from merbench.track import Track
from merbench.training import LoadedBaseline, Setup, load_baseline, training_set
from merbench.training.data import training_candidates
from merbench.training.needs import (
    no_features,
    require_answers,
    require_number_of_features,
    require_samples,
    wanted_features,
)
from merbench.training.plan import Part, parts, with_learning
from merbench.training.systems import System, features_of

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
    loaded = []
    for system in systems:
        own = load_baseline(system.baseline)
        loaded.append(own.resolved(track.id, {**own.preset(system.preset).options, **system.options}))
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
        sources.setdefault(key, source_of(source, *key))
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
    names = ("leave_out", "folds", "labelled")
    given: dict[str, Any] = {name: getattr(settings, name) for name in names}
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
        key = declared.handles_unknown, declared.samples == "dialogues", declared.learns_sets, read
        if key not in self._made:
            self._made[key] = self._folds(*key)
        return self._made[key]

    def _folds(self, partial_: bool, dialogues: bool, sets: bool, read: Any) -> tuple[Fold, ...]:
        names, columns, missing = read or ((), (), False)
        labelled = training_set(
            self.train,
            names,
            columns,
            dialogues=dialogues,
            missing=missing,
            unlabelled=read is not None,
            partial=partial_,
            sets=sets,
        )
        labelled, learning = replace(labelled, track=self.test.track), self.test.track.training

        def fold(part: Part) -> Fold:
            own = labelled.select(part.learned).partly_labelled(learning.labelled, unlabelled=read is not None)
            rows = np.asarray(pc.index_in(own.samples.ids, value_set=self.train.ids), dtype=np.int64)
            return Fold(rows, part.answered, own)

        return tuple(map(fold, parts(labelled, self.train, self.test, learning.leave_out)))


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
