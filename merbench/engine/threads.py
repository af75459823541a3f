"""How many threads libraries of numerical code use: one in a worker process, and one for training on few data."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

ONE_THREAD = dict.fromkeys(
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
"""The environment in which such libraries use one thread; they read it when they are loaded."""

ONE_THREAD_UP_TO = 1 << 22
"""The largest number of feature values, samples times dimensions, for which training uses one thread."""


@contextmanager
def suitable_threads(n_values: int) -> Iterator[None]:
    """Run a block on one thread if there are few training data, else on as many as the environment and the user set.

    Threads spend more time waiting for one another than products of small matrices take, on a busy machine much more.
    Results are the same.

    Args:
        n_values: number of feature values of the training data.
    """
    with ExitStack() as stack:
        if n_values <= ONE_THREAD_UP_TO:
            # Torch first: threadpoolctl does not see its linear algebra, and would change the number that it reports.
            if (torch := sys.modules.get("torch")) is not None:
                stack.callback(torch.set_num_threads, torch.get_num_threads())
                torch.set_num_threads(1)
            try:
                from threadpoolctl import threadpool_limits
            except ImportError:  # a baseline that needs no extra uses no library with threads
                pass
            else:
                stack.enter_context(threadpool_limits(1))
        yield
