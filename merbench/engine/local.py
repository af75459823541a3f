"""Units of work in this process, or in local worker processes that may die and are not missed.

When a worker dies, the executor cannot tell which unit it held, and all of its workers end. So every unit in flight is
under suspicion: those suspected once are run again among others, those suspected twice run alone, one after the other,
in a pool of one, and which of them is to blame shows.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any, Generic, TypeVar

from merbench.engine.tasks import Done, Task, Unit, WorkerDied, tasks
from merbench.engine.worker import GRACE_S, initialise, run_task
from merbench.errors import UsageError

T = TypeVar("T")
R = TypeVar("R")

_MAX_DEATHS = 3
_IN_FLIGHT = 2
"""Tasks that are under way for each worker: the one it holds, and the next."""

_ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ),
    "1",
)


def run_here(function: Callable[[T], R], units: Iterable[Unit[T]]) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run one after the other in this process.

    An interrupt ends the unit that is under way, and then everything.
    """
    for name, unit in units:
        with _interrupted_afterwards():
            try:
                done = Done(name, function(unit))
            except (Exception, SystemExit) as error:
                done = Done(name, error=error)
        yield done


@contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the end of the block where an interrupt came meanwhile; a second one at once.

    Libraries that call back, such as FFmpeg for the bytes of a file, take an exception that is raised there for damage
    of the file.
    """
    before = signal.getsignal(signal.SIGINT)
    is_ours = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler
    if not is_ours:
        yield
        return
    came: list[int] = []

    def note(number: int, _: object) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def run_in_processes(
    function: Callable[[T], R], units: Iterable[Unit[T]], workers: int, batch: int
) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run in worker processes, which end when the generator does.

    Each worker computes in one thread. See `merbench.engine.run` for the arguments.
    """
    payload = pickle.dumps(function)
    with _pool(payload, workers) as crowd, _pool(payload, 1) as alone:
        fresh, again, suspects = tasks(units, batch), deque[Task[T]](), deque[Task[T]]()
        while True:
            while not crowd.is_full and (task := again.popleft() if again else next(fresh, None)) is not None:
                crowd.submit(task)
            if not crowd.in_flight:
                return
            for task, outcome in crowd.completed():
                match outcome:
                    case list():
                        yield from task.done(outcome)
                    case BrokenProcessPool():
                        for single in task.apart(deaths=1):
                            (again if single.deaths < _MAX_DEATHS - 1 else suspects).append(single)
                    case _ if len(task.units) == 1:
                        yield from task.failed(outcome)
                    case _:
                        again += task.apart(deaths=0)
            while suspects:
                yield from _run_alone(alone, suspects.popleft())


def _run_alone(alone: _Pool[T], task: Task[T]) -> Iterator[Done[Any]]:
    while task.deaths < _MAX_DEATHS:
        alone.submit(task)
        ((_, outcome),) = alone.completed()
        if isinstance(outcome, list):
            return (yield from task.done(outcome))
        if not isinstance(outcome, BrokenProcessPool):
            return (yield from task.failed(outcome))
        task.deaths += 1
    yield from task.failed(WorkerDied(task.units[0][0]))


class _Pool(Generic[T]):
    """An executor that is made when it is needed, and made anew after a worker died."""

    def __init__(self, payload: bytes, workers: int) -> None:
        self.payload = payload
        self.workers = workers
        self.in_flight: dict[Future[list[Any]], Task[T]] = {}
        self._executor: ProcessPoolExecutor | None = None
        self._context = multiprocessing.get_context("spawn")
        self._has_begun = self._context.Event()

    @property
    def is_full(self) -> bool:
        """Whether a worker would have to wait for one more task."""
        return len(self.in_flight) >= _IN_FLIGHT * self.workers

    def submit(self, task: Task[T]) -> None:
        """Give a task to the workers; a pool that broke while it was idle is made anew."""
        try:
            self._submit(task)
        except BrokenProcessPool:
            self._forget()
            self._submit(task)

    def _submit(self, task: Task[T]) -> None:
        with _spawning(needs_main=b"__main__" in self.payload):
            if self._executor is None:
                arguments = (self.payload, self._has_begun)
                self._executor = ProcessPoolExecutor(self.workers, self._context, initialise, arguments)
            future = self._executor.submit(run_task, [unit for _, unit in task.units])
        self.in_flight[future] = task

    def completed(self) -> list[tuple[Task[T], list[Any] | BaseException]]:
        """Wait for a task and return all that are completed, with their outcomes, or what kept them from having any."""
        finished, _ = wait(self.in_flight, return_when=FIRST_COMPLETED)
        if any(isinstance(future.exception(), BrokenProcessPool) for future in finished):
            finished, _ = wait(self.in_flight)
            self._forget()
            self._require_begun()
        found = [future for future in self.in_flight if future in finished]
        return [(self.in_flight.pop(future), _outcome(future)) for future in found]

    def _require_begun(self) -> None:
        """Raise `UsageError` where no worker ever came as far as its first unit: the next ones would not, either."""
        if not self._has_begun.is_set():
            raise UsageError(
                "worker processes end before they begin: a script that uses several stands under "
                '`if __name__ == "__main__":`, since each of them reads it first'
            )

    def _forget(self) -> None:
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def end(self) -> None:
        """End all workers, busy or not, and wait until the executor has released everything.

        A command ends its process at once; Python would report what the executor still holds as leaked.
        """
        if self._executor is None:
            return
        # Only Python 3.14 has a public way, `terminate_workers`.
        processes = list((self._executor._processes or {}).values())
        if self.in_flight:
            for process in processes:
                process.terminate()
            for process in processes:
                process.join(GRACE_S)
                process.kill()
        self._executor.shutdown(cancel_futures=True)
        self._executor = None


def _outcome(future: Future[list[Any]]) -> list[Any] | BaseException:
    error = future.exception()
    return future.result() if error is None else error


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide from `multiprocessing` where the main script stands."""
    main = sys.modules["__main__"]
    names = ("__file__", "__spec__")
    hidden: dict[str, Any] = {name: main.__dict__.pop(name) for name in names if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)


@contextmanager
def _pool(payload: bytes, workers: int) -> Iterator[_Pool[Any]]:
    pool = _Pool[Any](payload, workers)
    try:
        yield pool
    finally:
        pool.end()


@contextmanager
def _spawning(*, needs_main: bool) -> Iterator[None]:
    """Let processes that start meanwhile compute in one thread, and hear of no interrupt before they are workers.

    An interrupt that comes meanwhile reaches this process afterwards. The main script, which each new process would
    run through first, is hidden from them unless the function stands in it.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    has_mask = hasattr(signal, "pthread_sigmask")
    if has_mask:
        resource_tracker.ensure_running()  # it would lift the block when it starts
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update(_ONE_THREAD)
    try:
        with nullcontext() if needs_main else _without_main():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if has_mask:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
