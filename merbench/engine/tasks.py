"""Units of work and their results, and how an exception travels from the process in which it was raised.

Conventions:
    A unit is named and idempotent: it may be run again after a worker was lost in the middle of it.
    A task is one or several units that travel together.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from merbench.errors import MerbenchError, contained, exception_text, printable

T = TypeVar("T")
R = TypeVar("R")
Unit = tuple[str, T]

ShowProgress = Callable[[str, int, int], None]
"""Called with a text and (done, total) steps."""


def named_progress(progress: ShowProgress | None, name: str) -> ShowProgress | None:
    """Return what shows the steps of a part of the work, whose name comes before every text."""
    return None if progress is None else lambda text, done, total: progress(f"{name}, {text}", done, total)


class WorkerDied(MerbenchError):
    """The process that ran a unit was killed at every attempt: for lack of memory, or by a crash of a library."""

    reason = "its worker process was killed each time it ran; it may need more memory than is available"

    def __init__(self, name: str) -> None:
        super().__init__(f"{printable(name)}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A unit that is done."""

    name: str
    value: R | None = None  # what the function returned; None if it raised
    error: BaseException | None = None  # what it raised, or `WorkerDied`; None if it returned

    def problem(self, *kinds: type[MerbenchError]) -> str:
        """Return why the unit has no value: its worker died, it met a bug, or an error of one of the kinds.

        Any other error is raised: other units would meet it, too.
        """
        match self.error:
            case WorkerDied():
                return self.error.reason
            case MerbenchError() if isinstance(self.error, kinds):
                return str(self.error)
            case Exception() if not isinstance(self.error, MerbenchError):
                return contained(self.error)
        assert self.error is not None
        raise self.error


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception in a form that can be pickled, even if its constructor wants more than its arguments."""

    pickled: bytes  # the exception, or a function that makes it

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Return the form of an exception; one that cannot be pickled becomes a `RuntimeError` with its text.

        The traceback does not travel; it becomes a note of every exception but merbench's own.
        """
        if not isinstance(error, MerbenchError):
            error.add_note("in a worker process:\n" + "".join(traceback.format_exception(error)))
        for form in (error, partial(_rebuilt, type(error), error.args, dict(error.__dict__))):
            with suppress(Exception):
                raised = cls(pickle.dumps(form))
                raised.error()
                return raised
        quoted = RuntimeError(exception_text(error))
        quoted.__notes__ = list(getattr(error, "__notes__", ()))
        return cls(pickle.dumps(quoted))

    def error(self) -> BaseException:
        """Return the exception."""
        form: BaseException | Callable[[], BaseException] = pickle.loads(self.pickled)
        return form if isinstance(form, BaseException) else form()


def _rebuilt(kind: type[BaseException], arguments: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(state)
    return error


@dataclass(slots=True)
class Task(Generic[T]):
    """Units that travel together, and how often a worker died while it ran them."""

    units: Sequence[Unit[T]]
    deaths: int = 0

    @property
    def arguments(self) -> list[T]:
        """What the function is called with, one after the other."""
        return [unit for _, unit in self.units]

    def apart(self, deaths: int) -> list[Task[T]]:
        """Return a task for each unit, with that many more deaths."""
        return [Task([unit], self.deaths + deaths) for unit in self.units]

    def done(self, outcomes: Sequence[Any]) -> Iterator[Done[Any]]:
        """Yield the units with what `run_units` returned for them."""
        for (name, _), outcome in zip(self.units, outcomes, strict=True):
            yield Done(name, error=outcome.error()) if isinstance(outcome, Raised) else Done(name, outcome)

    def failed(self, error: BaseException) -> Iterator[Done[Any]]:
        """Yield the units with an error that is not the function's own."""
        for name, _ in self.units:
            yield Done(name, error=error)


def tasks(units: Iterable[Unit[T]], batch: int) -> Iterator[Task[T]]:
    """Yield tasks of up to `batch` units each, in their order, reading no further than is asked for."""
    remaining = iter(units)
    while together := list(islice(remaining, batch)):
        yield Task(together)


def run_units(function: Callable[[Any], Any], units: Sequence[Any]) -> list[Any]:
    """Return what the function returns for each unit; what it raises is returned as `Raised`."""
    return [_outcome(function, unit) for unit in units]


def _outcome(function: Callable[[Any], Any], unit: Any) -> Any:
    try:
        return function(unit)
    except (Exception, SystemExit) as error:
        return Raised.of(error)
