"""Searches a baseline's options on the training data of a track, then scores the best beside the default ones, once.

Trials read no reference of a test sample: their values are those of selection, on what is learned from. Where groups
are left out in turn, every part has a search of its own among the samples that its model learns from.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from merbench.charts import require_matplotlib
from merbench.devices import require_device
from merbench.engine import Done, ShowProgress, WorkerDied, require_engine, run, suitable_threads
from merbench.errors import MerbenchError, MissingExtra, UsageError, plural
from merbench.files.writing import exclusive, is_locked, require_alone
from merbench.track import Track, load_track
from merbench.training.declaration import LoadedBaseline, Options, load_baseline
from merbench.training.plan import Plan, with_learning
from merbench.training.protocol import Setup
from merbench.training.samples import TrainingSet
from merbench.training.selection import cross_fit, ranking_signs, validated_value
from merbench.training.trainings import RunSettings, Trainings
from merbench.training.tuning.report import TuningReport
from merbench.training.tuning.search import JOURNAL, LOCKS, SamplerName, Space

if TYPE_CHECKING:
    from merbench.training.tuning.study import Result, Study, Taken

JSON, MARKDOWN = "tuning.json", "tuning.md"


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How options are searched.

    Attributes:
        trials: number of draws; where groups are left out, of every part.
        sampler: how options are drawn.
        seed: of the draws, and of the training of every trial.
        pruning: whether a trial is stopped whose validation value is below the median of the others.
        search: options that are searched elsewhere than the baseline declares: a list of values, or a range.
        options: options that differ from those declared, and are not searched.
        preset: a preset of the baseline, whose options, folds and space are taken.
        learning: keys of `[training]` of the track that are replaced.
        features: features to learn from; None takes what the baseline declares for the track, else all.
        runs: how often the best options and the default ones are trained in the end, with seeds 0, 1, 2, …; once where
            another seed gives the same answers.
        device: `auto` (CUDA where there is one), `cpu`, `cuda`, `cuda:1`, …
        workers: processes on this machine.
        engine: `local`, or `dask://host:port`.
    """

    trials: int = 50
    sampler: SamplerName = "random"
    seed: int = 0
    pruning: bool = False
    search: Mapping[str, Any] = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    preset: str | None = None
    learning: Mapping[str, Any] = field(default_factory=dict)
    features: Sequence[str] | None = None
    runs: int = 6
    device: str = "auto"
    workers: int = 1
    engine: str = "local"

    def of_runs(self, part_options: Mapping[str | None, Options] | None = None) -> RunSettings:
        """Return how options are trained in the end: the default ones, or those of parts, by the value left out."""
        return RunSettings(
            preset=self.preset,
            learning=self.learning,
            device=self.device,
            seeds=range(self.runs),
            features=self.features,
            options=self.options,
            part_options=part_options or {},
            intervals=False,
            workers=self.workers,
            engine=self.engine,
        )


def tune(
    track: str | Path | Track,
    baseline: str | Path = "attention",
    settings: SearchSettings | None = None,
    *,
    output: str | Path | None = None,
    replace: bool = False,
    progress: ShowProgress | None = None,
) -> TuningReport | None:
    """Search a baseline's options, and write what the best ones are worth next to the default ones.

    A search that was interrupted goes on, and several processes may share one: each takes the next draw that nobody
    has. The last of them trains the best options and the default ones with several seeds, and scores both.

    Args:
        track: a name, a folder, or a loaded track.
        baseline: a name, or a folder.
        settings: everything else; None takes the defaults.
        output: folder to write; None is `runs/<track>/tuning-<baseline>`.
        replace: whether a search that the folder already contains is begun again, unless a process takes part in it.
        progress: called with a text and (done, total) steps; None shows nothing.

    Returns:
        The report; None where another process still trains one of the draws, or scores the search.

    Raises:
        UnknownName: no such track, baseline, preset, corpus or feature.
        DeclarationError: an option, or where it is searched, is unknown or not allowed.
        MissingExtra: a package that is needed is not installed.
        UsageError: there is nothing to search; every trial failed; the folder has something else than a search.
        IntegrityError: the folder has a search with other inputs, or its journal is not one.
        WithheldReference: the references of the training samples are withheld.
    """
    settings = settings or SearchSettings()
    declared = with_learning(track if isinstance(track, Track) else load_track(track), settings.learning)
    require_optuna()
    require_engine(settings.engine)
    require_device(settings.device)
    require_matplotlib()
    loaded = load_baseline(baseline)
    loaded = loaded.resolved(declared.id, {**loaded.preset(settings.preset).options, **settings.options})
    if not loaded.declaration.uses_seed:
        settings = dataclasses.replace(settings, runs=1)
    folder = Path(output) if output is not None else default_folder(declared.id, loaded.name)
    trials = Trials.of(declared, loaded, settings, folder)
    _require_search(folder)
    with _taking_part(folder, replace=replace):
        try:
            return _searched(trials, progress)
        except KeyboardInterrupt:
            n = sum(len(trials.study(part).records()) for part in range(len(trials.plan.parts)))
            print(f"kept in {folder}: {plural(n, 'trial')}; the same command goes on", file=sys.stderr)
            raise


def _searched(trials: Trials, progress: ShowProgress | None) -> TuningReport | None:
    started, parts = time.perf_counter(), range(len(trials.plan.parts))
    for part in parts:
        trials.study(part).require_inputs(trials.inputs(part))
    run_trials(trials, progress or (lambda text, done, total: None))
    wall_time_s = round(time.perf_counter() - started, 3)
    if any(trials.study(part).running() for part in parts):
        return None
    from merbench.training.tuning.result import finished

    with (trials.folder / LOCKS / "finish").open("ab") as file:
        try:
            require_alone(file.fileno(), "another process scores this search")
        except UsageError:
            return None
        return finished(trials, wall_time_s, progress)


def default_folder(track_id: str, baseline: str) -> Path:
    """Return the folder that is written by default."""
    return Path("runs") / track_id / f"tuning-{baseline}"


def require_optuna() -> None:
    """Raise `MissingExtra` without Optuna."""
    if find_spec("optuna") is None:
        raise MissingExtra("a search of options (optuna)", "tuning")


def _require_search(folder: Path) -> None:
    """Raise `UsageError` unless a folder is empty, or has a search."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder")
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= {LOCKS}:
        return
    if not (folder / JOURNAL).is_file():
        raise UsageError(f"{folder}: is not empty and has no {JOURNAL}; --output names another folder")


@contextmanager
def _taking_part(folder: Path, *, replace: bool) -> Iterator[None]:
    """Hold a lock of this process in a search while the block runs; first remove the search if it is replaced.

    Raises:
        UsageError: a search is to be replaced in which another process takes part.
    """
    locks = folder / LOCKS
    with ExitStack() as own:
        with exclusive(locks / "folder"):  # no process joins a search that is being removed
            if replace:
                _remove_search(folder)
            number = next(n for n in count() if not is_locked(locks / f"process-{n}"))
            own.enter_context(exclusive(locks / f"process-{number}"))
        yield


def _remove_search(folder: Path) -> None:
    locks = folder / LOCKS
    if any(is_locked(path) for path in locks.iterdir() if path.name != "folder"):
        raise UsageError(f"{folder}: another process searches here; stop it first, or name another folder by --output")
    for path in folder.iterdir():
        if path != locks:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


class _Stopped(MerbenchError):
    """A trial was stopped early."""


@dataclass(frozen=True)
class Trials:
    """What every trial needs. Calling it with the number of a part takes one draw there, in whichever process."""

    defaults: Trainings  # those of the default options, as `run-baseline` makes them
    space: Space
    settings: SearchSettings
    folder: Path

    @classmethod
    def of(cls, track: Track, loaded: LoadedBaseline, settings: SearchSettings, folder: Path) -> Trials:
        """Return the trials of a baseline on a track; raise `UsageError` if there is nothing to search."""
        defaults = Trainings(track, loaded.folder, settings.of_runs())
        space = loaded.space(defaults.fixed, loaded.preset(settings.preset), settings.search)
        _ = defaults.options, defaults.plan  # checked before anything is made
        return cls(defaults, space, settings, folder)

    def __getstate__(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}  # nothing that was read
        return fields | {"folder": self.folder.absolute()}

    @property
    def track(self) -> Track:
        """The track, with `[training]` as it is searched."""
        return self.defaults.track

    @property
    def loaded(self) -> LoadedBaseline:
        """The baseline."""
        return self.defaults.loaded

    @property
    def options(self) -> Options:
        """The default options, of those that are searched, too."""
        return self.defaults.options

    @property
    def fixed(self) -> dict[str, Any]:
        """The options that are not searched."""
        return {name: value for name, value in self.options.items() if name not in self.space}

    @property
    def _alternatives(self) -> list[Options]:
        """The options with one of those that are searched changed, for each of its values."""
        return [{**self.options, name: value} for name, item in self.space.items() for value in item.examples]

    @property
    def plan(self) -> Plan:
        """What is learned from, and what is answered."""
        return self.defaults.plan

    @cached_property
    def _studies(self) -> dict[int, Study]:
        return {}

    def study(self, part: int) -> Study:
        """Return the draws of a part."""
        from merbench.training.tuning.study import Study

        if part not in self._studies:
            name, how = self.plan.parts[part].left_out or "", self.settings
            self._studies[part] = Study(self.folder, name, self.space, how.sampler, how.seed)
        return self._studies[part]

    def inputs(self, part: int) -> dict[str, Any]:
        """Return everything that the trials of a part depend on, ready for JSON."""
        plan, content = self.plan, self.plan.train.corpus.declaration.content
        return {
            "track": f"{self.track.key} {self.track.fingerprint}",
            "training": self.track.training.digest,
            "corpus": f"{plan.train.corpus.name} {plan.train.corpus.version}",
            "references": plan.train.references.digest,
            "features": {name: content.features[name] for name in plan.features},
            "baseline": self.loaded.name,
            "files": self.loaded.files(self.options, *self._alternatives),
            "options": self.fixed,
            "search": {name: str(searched) for name, searched in self.space.items()},
            "sampler": self.settings.sampler,
            "seed": self.settings.seed,
            "pruning": self.settings.pruning,
            "folds": self.defaults.learned(part).described_folds(self.defaults.n_folds),
        }

    def __call__(self, part: int) -> int | None:
        """Train one draw of a part and return its number; None if there is none left."""
        study = self.study(part)
        with study.take(self.settings.trials) as taken:
            if taken is None:
                return None
            study.finish(taken, self._result(study, self.defaults.learned(part), taken))
            return taken.draw

    def _result(self, study: Study, train: TrainingSet, taken: Taken) -> Result:
        """Return what a draw gives: what an earlier one with the same options gave, or a training."""
        from merbench.training.tuning.study import Result

        for record in study.records():
            if record.options == taken.options and record.state == "complete":
                return record.result
        n_folds = train.n_folds(self.defaults.n_folds)
        log = _TrialLog(taken if self.settings.pruning else None, ranking_signs(train.track)[0][1])
        setup = Setup(self.settings.seed, n_folds, self.settings.device, log=log)
        value, problem, sample_epochs = None, "", None
        try:
            with suitable_threads(train.samples.n_values):
                result = cross_fit(partial(self.loaded.build, {**self.options, **taken.options}), train, setup)
                value, sample_epochs = validated_value(train, result.out_of_fold), result.sample_epochs
        except _Stopped:
            pass
        except MissingExtra:  # other draws would miss it, too
            raise
        except UsageError as error:
            problem = str(error)
        if value is not None and not np.isfinite(value[0]):
            value, problem = None, "its value is not defined"
        if sample_epochs is None:
            learned = [len(division.learn) for division in train.divisions(n_folds, self.settings.seed)]
            trainings = log.n_trainings / len(learned) if log.epochs else 1.0
            sample_epochs = round(trainings * sum(learned))
        return Result(value, problem, sample_epochs, log.epochs)


class _TrialLog:
    """Counts the epochs of a trial, and stops it where its validation value is worse than the median of others."""

    def __init__(self, taken: Taken | None, sign: int) -> None:
        self.taken, self.sign = taken, sign
        self.epochs = 0
        self.n_trainings = 0  # epochs, each counted as often as folds train in it
        self.best: NDArray[np.float64] | None = None  # the best value so far of every fold, which its model would have

    def epoch(self, epoch: int, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Take the values of an epoch; of folds that do not train they are not finite."""
        self.epochs = max(self.epochs, epoch)  # folds that train one after the other begin again at 1
        self.n_trainings += int(np.isfinite(values["loss"]).sum())
        value = self.sign * values["value"]
        self.best = value if self.best is None else np.fmax(self.best, value)
        mean = float(self.best.mean())
        if self.taken is not None and np.isfinite(mean) and self.taken.should_stop(epoch, mean):
            raise _Stopped("stopped early")


def run_trials(trials: Trials, show: ShowProgress) -> None:
    """Train all draws that nobody has taken; one that kills its process each time has failed.

    Raises:
        UsageError: there are more trials than are asked for.
    """
    settings, parts = trials.settings, range(len(trials.plan.parts))
    records = {part: trials.study(part).records() for part in parts}
    if any(len(own) > settings.trials for own in records.values()):
        n = max(map(len, records.values()))
        raise UsageError(f"{trials.folder}: has {n:,} trials, {settings.trials:,} are asked for; ask for {n:,} or more")
    units = [(f"trial {n}", part) for part in parts for n in range(len(records[part]), settings.trials)]
    total = settings.trials * len(parts)
    show("trials", total - len(units), total)
    for n, done in enumerate(_done(trials, units), total - len(units) + 1):
        if isinstance(done.error, WorkerDied):
            for part in parts:
                trials.study(part).fail_abandoned(done.error.reason)
        elif done.error is not None:
            raise done.error
        show("trials", n, total)


def _done(trials: Trials, units: Sequence[tuple[str, int]]) -> Iterator[Done[int | None]]:
    settings = trials.settings
    if settings.workers == 1 and require_engine(settings.engine) is None:
        for name, part in units:  # here an interrupt ends a trial at once
            yield Done(name, trials(part))
        return
    with closing(run(trials, units, workers=settings.workers, engine=settings.engine)) as finished:
        yield from finished
