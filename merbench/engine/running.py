"""Where units of work run: in this process, in local processes, or on an existing Dask cluster.

Conventions:
    On a cluster, merbench must be installed where the workers run, and paths in units must lead to the same files
    there. Its workers decide how many threads they use; the scheduler handles workers that are lost.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import CancelledError
from contextlib import closing
from importlib import import_module
from itertools import count
from typing import Any, TypedDict, TypeVar
from uuid import uuid4

from merbench.engine.local import run_here, run_in_processes
from merbench.engine.tasks import Done, Task, Unit, WorkerDied, run_units, tasks
from merbench.errors import MissingExtra, UsageError, did_you_mean, exception_text, printable

T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"

_TIMEOUT_S = 10
_RETRIES = 2
_IN_FLIGHT = 2
_MIN_IN_FLIGHT = 8


class Execution(TypedDict, total=False):
    """Arguments of `run` that functions pass on: which engine, and how many workers."""

    workers: int
    engine: str


_DASK = re.compile(r"dask://((\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})")


def run(
    function: Callable[[T], R],
    units: Iterable[tuple[str, T]],
    *,
    workers: int = 1,
    engine: str = LOCAL,
    progress: Callable[[int], None] | None = None,
    batch: int = 1,
) -> Generator[Done[R], None, None]:
    """Yield what the function returns for every unit, as it completes; an exception of the function is a result, too.

    Units are taken from the iterable as workers ask for them, so that there may be any number. A worker process that is
    killed loses nothing: its units are run again. A unit that kills its worker three times is `WorkerDied`; on a
    cluster, one that does so as often as the scheduler allows, and then by itself as often again.
    Close the generator (`contextlib.closing`) if it may not be read to its end: that ends all workers.

    Args:
        function: picklable, so of a module's top level, or `functools.partial` of one; it may be run again for the
            same unit, and must not depend on the order of units.
        units: names and arguments of the function; names are for messages and may repeat.
        workers: local processes; 1 does the work in this process. A cluster has its own.
        engine: `local`, or `dask://host:port`, the address of a running scheduler.
        progress: called with the number of units that are done, after each.
        batch: how many units travel together to a worker, for those that take less than some milliseconds.

    Raises:
        UsageError: not an engine, or nothing answers at its address.
        MissingExtra: the engine is a Dask cluster, and Dask is not installed.
        ValueError: less than one worker, or batches of less than one unit.
    """
    if workers < 1 or batch < 1:
        raise ValueError(f"workers = {workers} and batch = {batch} must be at least 1")
    address = require_engine(engine)
    if address is not None:
        results = _run_on_cluster(function, units, address, batch)
    elif workers == 1:
        results = run_here(function, units)
    else:
        results = run_in_processes(function, units, workers, batch)
    return _counted(results, progress)


def is_shared(n_units: int, workers: int, engine: str) -> bool:
    """Return whether other processes do the work: not of a single unit, unless on a cluster."""
    return n_units > 0 and (require_engine(engine) is not None or min(workers, n_units) > 1)


def run_here_or_apart(
    here: Callable[[str], R], apart: Callable[[T], R], units: Mapping[str, T], workers: int, engine: str
) -> Generator[Done[R], None, None]:
    """Yield the results of long units as they complete, also what they raise.

    Other processes call `apart`, as in `run`. Where none do the work, `here` is called with the name of every unit: it
    shows its own progress, and an interrupt ends it at once instead of at its end.
    """
    if is_shared(len(units), workers, engine):
        yield from run(apart, units.items(), workers=min(workers, len(units)), engine=engine)
        return
    for name in units:
        try:
            done = Done(name, here(name))
        except Exception as error:
            done = Done(name, error=error)
        yield done


def require_engine(engine: str) -> str | None:
    """Return the `host:port` of a Dask scheduler, or None for local processes.

    Raises:
        UsageError: the text is not an engine.
    """
    if engine == LOCAL:
        return None
    match = _DASK.fullmatch(engine)
    if match is None or int(match[1].rpartition(":")[2]) not in range(1, 65536):
        allowed = f"allowed: {LOCAL} and dask://host:port"
        raise UsageError(f"'{printable(engine)}' is not an engine{did_you_mean(engine, [LOCAL])}; {allowed}")
    return match[1]


def _counted(
    results: Generator[Done[R], None, None], progress: Callable[[int], None] | None
) -> Generator[Done[R], None, None]:
    with closing(results):
        for n_done, done in enumerate(results, start=1):
            if progress is not None:
                progress(n_done)
            yield done


def _run_on_cluster(
    function: Callable[[T], R], units: Iterable[Unit[T]], address: str, batch: int
) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run on the cluster whose scheduler listens at `address`.

    Dask repeats what was on a worker that died, and gives up on all tasks that were there each time. Those are run
    again one by one, which shows which of them kills its worker.
    When the generator ends, tasks that have not begun are cancelled; the cluster stays as it is.
    """
    distributed = _distributed(address)
    client = _client(distributed, address)
    in_flight: dict[str, tuple[Any, Task[T]]] = {}
    try:
        completed = distributed.as_completed(loop=client.loop, with_results=True, raise_errors=False)
        prefix, numbers = f"merbench-{uuid4().hex}", count()

        def submit(task: Task[T]) -> None:
            key = f"{prefix}-{next(numbers)}"
            future = client.submit(run_units, function, task.arguments, key=key, pure=False, retries=_RETRIES)
            in_flight[key] = future, task
            completed.add(future)

        waiting, suspects = tasks(units, batch), deque[Task[T]]()
        limit = max(_IN_FLIGHT * sum(client.nthreads().values()), _MIN_IN_FLIGHT)
        while True:
            while not suspects and len(in_flight) < limit and (task := next(waiting, None)) is not None:
                submit(task)
            if suspects and not in_flight:
                submit(suspects.popleft())
            if not in_flight:
                return
            future, result = next(completed)
            if isinstance(result, CancelledError):
                raise UsageError(f"dask://{address}: the Dask scheduler went away")
            _, task = in_flight.pop(future.key)
            error = result[1] if future.status == "error" else None
            if error is None:
                yield from task.done(result)
            elif len(task.units) > 1:
                suspects += task.apart(deaths=0)
            elif not isinstance(error, distributed.KilledWorker):
                yield from task.failed(error)
            elif task.deaths:
                yield from task.failed(WorkerDied(task.units[0][0]))
            else:
                suspects += task.apart(deaths=1)
    finally:
        client.cancel([future for future, _ in in_flight.values()])
        client.close()


def _distributed(address: str) -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"dask://{address} (distributed)", "distributed") from error


def _client(distributed: Any, address: str) -> Any:
    try:
        return distributed.Client(f"tcp://{address}", timeout=_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"dask://{address}: no Dask scheduler answers ({exception_text(error)})") from error
