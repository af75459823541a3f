"""Units of work on an existing Dask cluster, whose scheduler handles workers that are lost.

Conventions:
    merbench must be installed where the workers run, and paths in units must lead to the same files there. Whoever
    started a worker decides how many threads it uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import CancelledError
from importlib import import_module
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from merbench.engine.tasks import Done, Task, Unit, WorkerDied, run_units, tasks
from merbench.errors import MissingExtra, UsageError, exception_text

T = TypeVar("T")
R = TypeVar("R")

_TIMEOUT_S = 10
_RETRIES = 2
_IN_FLIGHT = 2
_MIN_IN_FLIGHT = 8


def run_on_cluster(
    function: Callable[[T], R], units: Iterable[Unit[T]], address: str, batch: int
) -> Generator[Done[R], None, None]:
    """Yield the results of units that are run on the cluster whose scheduler listens at `address`.

    Dask repeats what was on a worker that died, and gives up on all tasks that were there each time. Those are run
    again one by one, which shows which of them kills its worker.
    When the generator ends, tasks that have not begun are cancelled; the cluster stays as it is. See
    `merbench.engine.run` for the arguments and errors.
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
