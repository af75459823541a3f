"""The models of a run: their options are selected, then they are trained, in this process or in several.

Conventions:
    A part is its number in the plan. A unit of work is the selection of a part, or the training of a part with a seed;
    its result depends on nothing else, so that any number of processes gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from merbench.engine import ShowProgress, is_shared, run_here_or_apart, suitable_threads
from merbench.errors import UsageError
from merbench.track import Track
from merbench.training.declaration import LoadedBaseline, Options, Preset, load_baseline
from merbench.training.history import Epochs, OpenLog
from merbench.training.output import ANSWERED, versions
from merbench.training.plan import Plan, make_plan
from merbench.training.protocol import CrossFit, Progress, Setup, Storable, silent
from merbench.training.pseudo_labels import against_hidden
from merbench.training.results import Learned, PartRun
from merbench.training.resume import Unfinished, inputs_digest
from merbench.training.samples import FeatureSet, TrainingSet
from merbench.training.selection import Trial, fit, select_options, validated_scores

T = TypeVar("T")
R = TypeVar("R")

Selected = tuple[dict[str, Any], list[Trial]]
"""The options that were selected for a part, and all trials."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a baseline is trained and scored.

    Attributes:
        preset: a preset of the baseline, such as `paper`.
        learning: keys of the track's `[training]` that differ in this run, such as `{"folds": 3}`.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        seeds: seeds to train with; None takes what the preset or the baseline declares.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        options: options that differ from those declared; they are not selected by cross-validation.
        part_options: the same for the models of single parts, by the value that is left out; None is all samples.
        hold_out: classes that are not learned: the run answers how known every sample looks, and is scored by the
            track `ood-emotion`, which is written with it.
        detectors: with classes that are held out, which detectors score how known samples look, by name, with settings
            such as `knn:k=20`; none are all that the baseline allows.
        intervals: whether to resample when the submission is scored.
        workers: processes on this machine, between which the trainings of seeds and parts are shared.
        engine: `local`, or `dask://host:port`.
    """

    preset: str | None = None
    learning: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    seeds: Sequence[int] | None = None
    features: Sequence[str] | None = None
    options: Options = field(default_factory=dict)
    part_options: Mapping[str | None, Options] = field(default_factory=dict)
    hold_out: Sequence[str] = ()
    detectors: Sequence[str] = ()
    intervals: bool = True
    workers: int = 1
    engine: str = "local"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"the number of workers must be at least 1, not {self.workers}")
        if self.detectors and not self.hold_out:
            raise UsageError("detectors score classes that are held out; name these, too: --hold-out CLASS, or each")


@dataclass(frozen=True, eq=False)
class Trainings:
    """What is trained, and how. Another process gets the fields, and reads the rest itself."""

    track: Track  # as it is learned
    baseline: str | Path
    settings: RunSettings

    def __getstate__(self) -> dict[str, Any]:
        track = self.track.model_copy(update={"folder": self.track.folder.absolute()})  # a cluster's work elsewhere
        return {"track": track, "baseline": self.loaded.folder.absolute(), "settings": self.settings}

    @cached_property
    def loaded(self) -> LoadedBaseline:
        """The baseline."""
        own = load_baseline(self.baseline)
        return own.resolved(self.track.id, {**own.preset(self.settings.preset).options, **self.settings.options})

    @property
    def _preset(self) -> Preset:
        return self.loaded.preset(self.settings.preset)

    @property
    def fixed(self) -> dict[str, Any]:
        """The options that a preset or the settings give."""
        return {**self._preset.options, **self.settings.options}

    @cached_property
    def options(self) -> dict[str, Any]:
        """The options before selection."""
        return self.loaded.options(self.track.id, self.fixed)

    @cached_property
    def choices(self) -> dict[str, tuple[Any, ...]]:
        """The options that are selected, and from which values."""
        return self.loaded.choices(self.track.id, self.fixed)

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds, each once; raise `UsageError` where they are none."""
        given = self.settings.seeds
        seeds: Sequence[Any] = (self._preset.seeds or self.loaded.declaration.seeds) if given is None else given
        distinct = list(dict.fromkeys(seeds))
        if not distinct or not all(isinstance(seed, int) and seed >= 0 for seed in distinct):
            raise UsageError(f"seeds must be integers of at least 0, one or more, not {list(seeds)}")
        return distinct

    @property
    def n_folds(self) -> int:
        """How many folds are wanted."""
        declared = self._preset.folds or self.track.training.folds or self.loaded.declaration.folds
        return self.settings.learning.get("folds") or declared

    @cached_property
    def plan(self) -> Plan:
        """What is learned from, and what is answered."""
        return make_plan(self.track, self.loaded, self.settings.features)

    @cached_property
    def train(self) -> TrainingSet:
        """All samples to learn from."""
        return self.plan.training_set()

    @cached_property
    def test(self) -> FeatureSet:
        """All samples to answer."""
        return self.plan.test_set()

    def learned(self, part: int) -> TrainingSet:
        """Return what a part learns from; not of all parts at once, since each pools features again."""
        uses = self.loaded.declaration.uses_unlabelled
        return self._with_every_label(part).partly_labelled(self.track.training.labelled, unlabelled=uses)

    def _with_every_label(self, part: int) -> TrainingSet:
        own = self.plan.parts[part]
        return self.train if own.left_out is None else self.train.select(own.learned)

    def answered(self, part: int) -> FeatureSet:
        """Return what a part answers."""
        own = self.plan.parts[part]
        return self.test if own.left_out is None else self.test.select(own.answered)

    def choices_of(self, part: int) -> dict[str, tuple[Any, ...]]:
        """Return the options that are selected for a part, and from which values."""
        own = self._options_of(part)
        return {name: values for name, values in self.choices.items() if name not in own}

    def _options_of(self, part: int) -> Options:
        return self.settings.part_options.get(self.plan.parts[part].left_out, {})

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of the files of the baseline by name, and of those of another one that it trains."""
        selected = [{name: value} for name, values in self.choices.items() for value in values]
        others = [{**self.options, **options} for options in (*selected, *self.settings.part_options.values())]
        return self.loaded.files(self.options, *others)

    @property
    def digest(self) -> str:
        """SHA-256 of what the models depend on, besides seed and part."""
        how = {
            "baseline": self.files,
            "options": self.options,
            "choices": {name: list(values) for name, values in self.choices.items()},
            "selected_with": self.seeds[0] if self.choices else None,
            "of_parts": [[value, dict(options)] for value, options in self.settings.part_options.items()],
            "n_folds": self.n_folds,
            "device": self.settings.device,
        }
        if self.settings.hold_out:
            how["hold_out"] = [list(self.settings.hold_out), list(self.settings.detectors)]
        return inputs_digest(self.plan, how)

    def name(self, what: str, part: int) -> str:
        """Return the name of a unit of work, for people."""
        left_out = self.plan.parts[part].left_out
        return what if left_out is None else f"{what}, {self.track.training.leave_out} {left_out}"

    def log_name(self, seed: int, part: int) -> str:
        """Return the name of the log of a training."""
        of_part = "" if len(self.plan.parts) == 1 else f"/part-{part}"
        return f"{self.track.id}/{self.loaded.name}/seed-{seed}{of_part}"

    def _setup(self, seed: int, train: TrainingSet, show: Progress) -> Setup:
        return Setup(seed, train.n_folds(self.n_folds), self.settings.device, show)

    def select(self, state: Unfinished, part: int, show: Progress = silent) -> Selected:
        """Return the options of a part, selected with the first seed, and all trials; each is kept when it is done."""
        train, options = self.learned(part), {**self.options, **self._options_of(part)}
        setup = self._setup(self.seeds[0], train, show)
        with suitable_threads(self.train.samples.n_values):
            chosen, trials = select_options(
                self.loaded,
                options,
                self.choices_of(part),
                train,
                setup,
                before=state.trials(part),
                keep=partial(state.keep_trials, part),
            )
        if trials:
            state.keep_trials(part, trials, chosen)
        return chosen, trials

    def fit(
        self, state: Unfinished, unit: tuple[int, int, Options], show: Progress = silent, log: OpenLog | None = None
    ) -> PartRun:
        """Train a part with a seed and with options; return what it resulted in, which is kept."""
        seed, part, options = unit
        train, loaded = self.learned(part), self.loaded
        epochs = Epochs() if log is None else Epochs(log(self.log_name(seed, part)))
        setup = replace(self._setup(seed, train, show), log=epochs, state=state.of_part(seed, part))
        with suitable_threads(self.train.samples.n_values):
            baseline, result = fit(partial(loaded.build, options), train, setup)
            weights = baseline.weights() if isinstance(baseline, Storable) else None
            scores = validated_scores(train, result.out_of_fold)
            predictions = baseline.predict(self.answered(part))
        result = self._compared(result, train, part)
        fitted = PartRun(scores, predictions, result, weights, epochs.arrays(), versions())
        state.keep_trained(seed, part, fitted)
        return fitted

    def _compared(self, result: CrossFit, train: TrainingSet, part: int) -> CrossFit:
        """Return a result whose details have how often pseudo-labels are right, where `labelled` hides the labels."""
        shown = against_hidden(result.pseudo_labels, train, self._with_every_label(part))
        if not shown:
            return result
        diagnostics = {**result.details.get("diagnostics", {}), **shown}
        return replace(result, details={**result.details, "diagnostics": diagnostics})


@dataclass(frozen=True)
class Watched:
    """Who follows the work: called with a text and (done, total) steps; opens a log of every training."""

    progress: ShowProgress | None = None
    log: OpenLog | None = None

    def show(self, text: str) -> Progress:
        """Return what shows the steps of a unit of work."""
        return silent if self.progress is None else partial(self.progress, text)


def selected_parts(trainings: Trainings, state: Unfinished, watched: Watched) -> tuple[Learned, ...]:
    """Return what every part learns from, with the options that are selected on it; those selected before are read."""
    units, selected = dict[str, int](), dict[int, Selected]()
    for n in range(len(trainings.plan.parts)):
        if not trainings.choices_of(n):
            selected[n] = trainings.select(state, n)
        elif (before := state.selected(n)) is not None:
            selected[n] = before
        else:
            units[trainings.name("selection", n)] = n

    def here(name: str) -> Selected:
        return trainings.select(state, units[name], watched.show(name))

    apart = partial(Trainings.select, trainings, state)
    for name, value in _values(units, here, apart, trainings.settings, watched.show("selection")):
        selected[units[name]] = value
    return tuple(_learned(trainings, n, *selected[n]) for n in range(len(selected)))


def _learned(trainings: Trainings, n: int, options: Options, trials: Sequence[Trial]) -> Learned:
    part, train = trainings.plan.parts[n], trainings.learned(n)
    folds = train.described_folds(trainings.n_folds)
    answered = {} if part.left_out is None else {ANSWERED: trainings.plan.test.ids.take(pa.array(part.answered))}
    ids = {**train.ids_by_use, **answered}
    return Learned(part.left_out, train.n_learned, len(part.answered), options, tuple(trials), folds, ids)


def trained_parts(
    trainings: Trainings, parts: Sequence[Learned], state: Unfinished, watched: Watched
) -> tuple[dict[tuple[int, int], PartRun], int]:
    """Return what every training resulted in, by seed and part, and how many of them an interrupted run had done."""
    fits, units = dict[tuple[int, int], PartRun](), dict[str, tuple[int, int, Options]]()
    for seed in trainings.seeds:
        for n, part in enumerate(parts):
            if (before := state.trained(seed, n)) is None:
                units[trainings.name(f"seed {seed}", n)] = seed, n, part.options
            else:
                fits[seed, n] = before
    n_resumed = len(fits)

    def here(name: str) -> PartRun:
        return trainings.fit(state, units[name], watched.show(name), watched.log)

    apart, show = partial(Trainings.fit, trainings, state), watched.show("models")
    done = _values(
        units, here, apart, trainings.settings, lambda done, _: show(n_resumed + done, n_resumed + len(units))
    )
    shared = is_shared(len(units), trainings.settings.workers, trainings.settings.engine)
    for name, value in done:
        seed, n, _ = units[name]
        fits[seed, n] = value
        if shared and watched.log is not None:
            _replay(watched.log, trainings.log_name(seed, n), value)
    return fits, n_resumed


def _values(
    units: Mapping[str, T],
    here: Callable[[str], R],
    apart: Callable[[T], R],
    settings: RunSettings,
    show: Progress,
) -> Iterator[tuple[str, R]]:
    """Yield name and value of every unit as it is done: by `here` in this process, by `apart` in others."""
    shared = is_shared(len(units), settings.workers, settings.engine)
    if shared:
        show(0, len(units))
    with closing(run_here_or_apart(here, apart, units, settings.workers, settings.engine)) as finished:
        for n, done in enumerate(finished, start=1):
            if done.error is not None:
                raise done.error
            assert done.value is not None
            if shared:
                show(n, len(units))
            yield done.name, done.value


def _replay(log: OpenLog, name: str, fitted: PartRun) -> None:
    """Give a log the epochs of a training that another process did."""
    opened = log(name)
    for epoch in range(len(next(iter(fitted.history.values()), ()))):
        opened.epoch(epoch + 1, {name: values[epoch] for name, values in fitted.history.items()})
