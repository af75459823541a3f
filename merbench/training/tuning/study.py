"""Trials of a search, kept in a journal that several processes share and that outlives each of them.

Conventions:
    A study is one search in one part of a track's data. Its trials are numbered draws 0, 1, 2, …; a process takes the
    first draw that nobody has, and holds a lock file while it trains. A draw whose process ended without a result is
    taken again. Optuna keeps the journal and draws the options; nothing of it leaves this module.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from pydantic import TypeAdapter

from merbench.errors import IntegrityError
from merbench.files.journal import cut_unfinished_line, journal_lines, require_same_run
from merbench.files.reading import sha256_bytes
from merbench.files.writing import exclusive, is_locked
from merbench.training.tuning.search import JOURNAL, LOCKS, SamplerName, Searched, Space

_DRAW, _INPUTS, _RESULT = "draw", "inputs", "result"

_FEWEST_TRIALS, _FIRST_EPOCH = 5, 10
"""A trial is stopped early only if so many are complete, and not before this epoch."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial gave."""

    # the values of the track's ranking keys on the samples that options are selected on, negated where lower is better;
    # None if there are none
    value: tuple[float, ...] | None
    problem: str = ""  # why there is no value; empty if it was only stopped early
    # samples that were learned from, times epochs, summed over the folds
    sample_epochs: int = 0
    epochs: int = 0  # how many epochs were reported; 0 of a baseline without epochs


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A draw that has ended."""

    draw: int
    options: Mapping[str, Any]  # those that are searched
    result: Result

    @property
    def state(self) -> Literal["complete", "pruned", "failed"]:
        """Whether it has a value, was stopped early, or failed."""
        return "complete" if self.result.value is not None else "failed" if self.result.problem else "pruned"


@dataclass(frozen=True)
class Taken:
    """A draw that this process trains: its options, and how it is followed."""

    draw: int
    options: Mapping[str, Any]
    trial: optuna.Trial = field(repr=False)

    def should_stop(self, epoch: int, value: float) -> bool:
        """Report the validation value of an epoch, and return whether it is below the median of other trials."""
        with _quiet():
            self.trial.report(value, epoch)
            return self.trial.should_prune()


_RESULTS = TypeAdapter(Result)


class Study:
    """A search: see the module's conventions.

    Args:
        folder: of the journal and the locks.
        part: the part of the data; empty if there is only one.
        space: where options are searched.
        sampler: how options are drawn.
        seed: seed of the draws.

    Raises:
        IntegrityError: the journal is not one.
    """

    def __init__(self, folder: Path, part: str, space: Space, sampler: SamplerName, seed: int) -> None:
        self.folder, self.space = folder, space
        with _quiet(), self._alone():
            self._storage = _storage(folder)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=f"part {part}" if part else "study",
                direction="maximize",
                sampler=_Seeded(sampler, f"{seed}\0{part}"),
                pruner=optuna.pruners.MedianPruner(_FEWEST_TRIALS, _FIRST_EPOCH),
                load_if_exists=True,
            )

    def require_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Store what the search depends on; raise `IntegrityError` if something else is stored."""
        stored = json.loads(json.dumps(inputs))
        with _quiet(), self._alone():
            previous = self._study.user_attrs.get(_INPUTS)
            if previous is None:
                self._study.set_user_attr(_INPUTS, stored)
                return
        remedy = "--force begins again, --output names another folder"
        require_same_run(self.folder, previous, stored, first=("track", "baseline", "corpus"), remedy=remedy)

    @contextmanager
    def take(self, n_trials: int) -> Iterator[Taken | None]:
        """Yield the first of `n_trials` draws that nobody has, locked until the block ends; None if there is none."""
        with ExitStack() as lock:
            with _quiet(), self._alone():
                taken = self._taken(n_trials, lock)
            yield taken

    def _taken(self, n_trials: int, lock: ExitStack) -> Taken | None:
        gone = {record.draw for record in self.records()} | self.running()
        draw = next((draw for draw in range(n_trials) if draw not in gone), None)
        if draw is None:
            return None
        for lost in self._trials(TrialState.RUNNING):
            if _draw(lost) == draw:  # its process was killed
                self._study.tell(lost.number, state=TrialState.FAIL)
        if not self._trials(TrialState.WAITING):  # there is one where a process was killed between these two lines
            self._study.enqueue_trial({}, user_attrs={_DRAW: draw})
        trial = self._study.ask({name: _distribution(searched) for name, searched in self.space.items()})
        draw = int(trial.user_attrs[_DRAW])
        lock.enter_context(exclusive(self._lock_of(draw)))
        return Taken(draw, self._options(trial.params), trial)

    def running(self) -> set[int]:
        """Return the draws that a living process trains."""
        return {draw for draw in map(_draw, self._trials(TrialState.RUNNING)) if is_locked(self._lock_of(draw))}

    def fail_abandoned(self, problem: str) -> None:
        """Store that the draws have failed whose processes ended without a result."""
        with _quiet(), self._alone():
            running = self.running()
            for trial in self._trials(TrialState.RUNNING):
                if _draw(trial) not in running:
                    result = asdict(Result(None, problem))
                    self._storage.set_trial_user_attr(trial._trial_id, _RESULT, result)
                    self._study.tell(trial.number, state=TrialState.FAIL)

    def finish(self, taken: Taken, result: Result) -> None:
        """Store the result of a draw."""
        state = (
            TrialState.FAIL if result.problem else TrialState.PRUNED if result.value is None else TrialState.COMPLETE
        )
        with _quiet(), self._alone():
            taken.trial.set_user_attr(_RESULT, asdict(result))
            values = None if result.value is None else result.value[0]
            self._study.tell(taken.trial, values, state)

    def records(self) -> list[TrialRecord]:
        """Return the draws that have ended, in their order; raise `IntegrityError` if one is not of merbench."""
        ended = self._trials(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        try:
            # By draw: a process may have been killed after it stored a result and before it ended the trial.
            records = {
                _draw(trial): TrialRecord(_draw(trial), self._options(trial.params), _RESULTS.validate_python(stored))
                for trial in ended
                if (stored := trial.user_attrs.get(_RESULT)) is not None
            }
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{self.folder / JOURNAL}: a trial is not one of merbench; {_remedy(self.folder)}"
            ) from error
        return [records[draw] for draw in sorted(records)]

    def importances(self) -> dict[str, float]:
        """Return the share of each option in the variance of the value, the largest first (fANOVA, Hutter, 2014).

        Empty where there are too few complete trials, or all have the same value.
        """
        values = {record.result.value[0] for record in self.records() if record.result.value is not None}
        if len(values) < _FEWEST_TRIALS:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        with _quiet():
            return dict(optuna.importance.get_param_importances(self._study, evaluator=evaluator))

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)

    def _options(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: searched.rounded(drawn[name]) if searched.values is None else json.loads(drawn[name])
            for name, searched in self.space.items()
            if name in drawn
        }

    def _alone(self) -> AbstractContextManager[None]:
        return exclusive(self.folder / LOCKS / "study")

    def _lock_of(self, draw: int) -> Path:
        return self.folder / LOCKS / f"{self._study.study_name.replace(' ', '-')}-{draw}"


def _storage(folder: Path) -> JournalStorage:
    """Return the journal of a folder, checked as a file of a stranger: bounded, and of lines that Optuna wrote."""
    path = folder / JOURNAL
    lines = journal_lines(path, lambda row: isinstance(row.get("op_code"), int))
    for _ in lines:
        pass
    try:
        return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))
    except Exception as error:
        raise IntegrityError(f"{path}: is not the journal of a search; {_remedy(folder)}") from error


def _remedy(folder: Path) -> str:
    return f"remove {folder} and start again"


def _distribution(searched: Searched) -> BaseDistribution:
    """Return the distribution of an option; values of a list are their JSON, since Optuna takes only plain ones."""
    if searched.values is not None:
        return CategoricalDistribution(list(dict.fromkeys(map(json.dumps, searched.values))))
    assert searched.low is not None and searched.high is not None
    if searched.is_whole:
        return IntDistribution(int(searched.low), int(searched.high), log=searched.log, step=int(searched.step or 1))
    return FloatDistribution(searched.low, searched.high, log=searched.log, step=searched.step)


def _draw(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[_DRAW])


class _Lock(JournalFileOpenLock):
    """A lock that the system frees when a process is killed; a line that such a process cut off is removed."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._lock = ExitStack()

    def acquire(self) -> bool:
        self._lock.enter_context(exclusive(self._journal.parent / LOCKS / "journal"))
        cut_unfinished_line(self._journal)
        return True

    def release(self) -> None:
        self._lock.close()


class _Seeded(BaseSampler):
    """A sampler whose draws depend only on a key, the number of the draw, the option, and results of earlier trials.

    Random draws depend on no results: they are the same whoever makes them, and in which order.
    """

    def __init__(self, name: SamplerName, key: str) -> None:
        self._name, self._key = name, key

    def _of(self, trial: FrozenTrial, option: str = "") -> BaseSampler:
        seed = int(sha256_bytes(f"{self._key}\0{_draw(trial)}\0{option}".encode())[:8], 16)
        return RandomSampler(seed) if self._name == "random" else TPESampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._of(trial, param_name).sample_independent(study, trial, param_name, param_distribution)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from writing to standard error, and from warning of what is experimental."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)
