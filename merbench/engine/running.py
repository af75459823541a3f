"""Where units of work run: in this process, in local processes, or on an existing Dask cluster."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import TypedDict, TypeVar

from merbench.engine.cluster import run_on_cluster
from merbench.engine.local import run_here, run_in_processes
from merbench.engine.tasks import Done
from merbench.errors import UsageError, did_you_mean, printable

T = TypeVar("T")
R = TypeVar("R")

LOCAL = "local"


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
        results = run_on_cluster(function, units, address, batch)
    elif workers == 1:
        results = run_here(function, units)
    else:
        results = run_in_processes(function, units, workers, batch)
    return _counted(results, progress)


def require_engine(engine: str) -> str | None:
    """Return the `host:port` of a Dask scheduler, or None for local processes.

    Raises:
        UsageError: the text is not an engine.
    """
    if engine == LOCAL:
        return None
    match = _DASK.fullmatch(engine)
    if match is None or int(match[1].rpartition(":")[2]) not in range(1, 65536):
        allowed = f"allowed are {LOCAL} and dask://host:port"
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
