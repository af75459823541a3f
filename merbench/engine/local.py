"""Units of work in this process, or in local worker processes, any of which may die.

Every worker is an executor of one process that has one task at a time, so that a death is known to be that task's. loky
starts a process without the main script, so it needs no guard, and in an environment of its own.

A worker leaves interrupts to its parent. When it must end (its pipe from the parent closes, or SIGTERM), it leaves its
unit through the unit's own `finally`, so that no half-written file stays. A library that calls back may swallow the
exception that does so; the worker then ends at once where Python notices, and renames no file in any case.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import Pipe, active_children, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from merbench.engine.tasks import Done, Task, Unit, WorkerDied, run_units, tasks
from merbench.engine.threads import ONE_THREAD

T = TypeVar("T")
R = TypeVar("R")

_MAX_DEATHS = 3
_GRACE_S = 5.0
"""How long a worker that must end may take to clean up."""

_ENDED = 143

_ENVIRONMENT = {**ONE_THREAD, "LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
"""A worker that keeps sounds and models in memory does not leak; loky would restart it."""


def run_here(function: Callable[[T], R], units: Iterable[Unit[T]]) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run one after the other in this process.

    An interrupt ends the unit that is under way, and then everything.
    """
    for name, unit in units:
        with interrupted_afterwards():
            try:
                done = Done(name, function(unit))
            except (Exception, SystemExit) as error:
                done = Done(name, error=error)
        yield done


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the end of the block if an interrupt came meanwhile; at a second one at once.

    Libraries that call back, such as FFmpeg for the bytes of a file, take an exception that is raised there for a fault
    of the file.
    """
    before = signal.getsignal(signal.SIGINT)
    is_ours = threading.current_thread() is threading.main_thread() and before is signal.default_int_handler
    if not is_ours:
        yield
        return
    interrupts: list[int] = []

    def note(number: int, _: object) -> None:
        if interrupts:
            raise KeyboardInterrupt
        interrupts.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt


def run_in_processes(
    function: Callable[[T], R], units: Iterable[Unit[T]], workers: int, batch: int
) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run in worker processes, which end when the generator does.

    Each worker computes in one thread. See `merbench.engine.run` for the arguments.
    """
    import cloudpickle
    from loky.process_executor import TerminatedWorkerError

    payload = cloudpickle.dumps(function)  # by value if it is the main script's own
    waiting, again = tasks(units, batch), deque[Task[T]]()
    others = set(threading.enumerate())
    idle = [_Worker(payload) for _ in range(workers)]
    busy: dict[Future[list[Any]], tuple[_Worker, Task[T]]] = {}

    def give_work() -> None:
        while idle and (task := again.popleft() if again else next(waiting, None)) is not None:
            worker = idle.pop()
            busy[worker.submit(task)] = worker, task

    try:
        give_work()
        while busy:
            results: list[Iterator[Done[R]]] = []
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                worker, task = busy.pop(future)
                idle.append(worker)
                error = future.exception()
                if error is None:
                    results.append(task.done(future.result()))
                    continue
                deaths = int(isinstance(error, TerminatedWorkerError))
                if len(task.units) > 1 or 0 < deaths < _MAX_DEATHS - task.deaths:
                    again += task.apart(deaths)
                else:
                    results.append(task.failed(WorkerDied(task.units[0][0]) if deaths else error))
            give_work()
            for result in results:
                yield from result
    finally:
        _end([*idle, *(worker for worker, _ in busy.values())], busy, others)


class _Worker:
    """One process, which is started with its first task, and replaced after it died."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._open()

    def _open(self) -> None:
        from loky import ProcessPoolExecutor

        _ensure_silent_trackers()
        # The parent has the only end to write to: it is closed when the parent ends, in any way.
        reader, self.lifeline = Pipe(duplex=False)
        self.executor = ProcessPoolExecutor(
            1, initializer=_initialise, initargs=(self._payload, reader), env=_ENVIRONMENT
        )

    def submit(self, task: Task[Any]) -> Future[list[Any]]:
        try:
            return self._submitted(task)
        except BrokenProcessPool:
            self.executor.shutdown()
            self._open()
            return self._submitted(task)

    def _submitted(self, task: Task[Any]) -> Future[list[Any]]:
        with _interrupts_wait():
            future: Future[list[Any]] = self.executor.submit(_run_task, task.arguments)
        return future


def _end(workers: Sequence[_Worker], busy: Iterable[Future[Any]], others: Collection[threading.Thread]) -> None:
    """End all workers, busy or not, and wait until their executors have released everything.

    A command ends its process at once, and what is still open would stay until another process removes it.

    Args:
        workers: the workers.
        busy: the tasks that are under way.
        others: the threads that are not of the executors.
    """
    for worker in workers:
        worker.lifeline.close()
    wait(busy, timeout=_GRACE_S + 1)
    for worker in workers:
        worker.executor.shutdown(kill_workers=True)
    for thread in threading.enumerate():
        if thread not in others and thread.name == "QueueFeederThread":  # an executor does not wait for its own
            thread.join(_GRACE_S)
    active_children()  # forgets processes that ended, and their semaphores


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Let processes that start meanwhile get no interrupt before they are workers; this one gets it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _ensure_silent_trackers() -> None:
    """Start what removes the semaphores of a process that was killed; it would report them, long after the command.

    Started with a process, it would also lift the block on interrupts.
    """
    from loky.backend import resource_tracker as of_loky

    option = "ignore:resource_tracker:UserWarning"
    sys.warnoptions.append(option)  # the trackers get the same options
    try:
        resource_tracker.ensure_running()
        of_loky.ensure_running()
    finally:
        sys.warnoptions.remove(option)


class _MustEnd(BaseException):
    pass


_payload = b""
_function: Callable[[Any], Any] | None = None
_is_busy = False
_is_ending = False


def _initialise(payload: bytes, lifeline: Connection) -> None:
    """Make this process a worker.

    Args:
        payload: the pickled function. It is unpickled with the first unit, so that what is wrong with it is that unit's
            error.
        lifeline: a pipe that closes when the worker must end.
    """
    global _payload
    _payload = payload
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _must_end)
    sys.unraisablehook = _end_if_swallowed
    sys.addaudithook(_require_no_end)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def _run_task(units: Sequence[Any]) -> list[Any]:
    """Return what the function of this worker returns for each unit; see `run_units`."""
    global _function, _is_busy
    try:
        _is_busy = True
        if _function is None:
            _function = pickle.loads(_payload)
        return run_units(_function, units)
    finally:
        _is_busy = False
        if _is_ending:
            os._exit(_ENDED)


def _must_end(*_: object) -> None:
    global _is_ending
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _is_ending = True
    if _is_busy:
        raise _MustEnd
    os._exit(_ENDED)


def _end_if_swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    if unraisable.exc_type is _MustEnd:
        os._exit(_ENDED)
    sys.__unraisablehook__(unraisable)


def _require_no_end(event: str, _: object) -> None:
    """Keep a unit from storing what was computed after the exception was swallowed: files appear by their renaming."""
    if _is_ending and event == "os.rename":
        raise _MustEnd


def _end_with(lifeline: Connection) -> None:
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_S)
    os._exit(_ENDED)
