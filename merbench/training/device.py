"""What a baseline is trained on: a device that is there, and one thread of the processor where the work is small."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from merbench.errors import MissingExtra, UsageError, plural

ALLOWED = re.compile(r"auto|cpu|cuda(?::(\d{1,4}))?")


ONE_THREAD_UP_TO = 1 << 22
"""The largest number of feature values, samples times dimensions, that are learned from on one thread."""


@contextmanager
def suitable_threads(n_values: int) -> Iterator[None]:
    """Run a block on one thread where little is learned from, else on as many as the environment and the user set.

    Products of small matrices take less time than it takes threads to wait for one another; on a busy machine, twenty
    times less. Results are the same.

    Args:
        n_values: number of feature values that are learned from.
    """
    with ExitStack() as stack:
        if n_values <= ONE_THREAD_UP_TO:
            try:
                from threadpoolctl import threadpool_limits
            except ImportError:  # a baseline that needs no extra has no library with threads
                pass
            else:
                stack.enter_context(threadpool_limits(1))
            if (torch := sys.modules.get("torch")) is not None:  # its own linear algebra is not seen by threadpoolctl
                stack.callback(torch.set_num_threads, torch.get_num_threads())
                torch.set_num_threads(1)
        yield


def require_device(name: str) -> None:
    """Raise `UsageError` unless `name` is `auto`, `cpu`, or the `cuda` or `cuda:1` of a device that is there.

    Only where CUDA is asked for by name is torch imported.
    """
    found = ALLOWED.fullmatch(name)
    if found is None:
        raise UsageError(f"no device '{name}'; allowed: auto, cpu, cuda, cuda:<number>")
    if not name.startswith("cuda"):
        return
    try:
        import torch
    except ImportError:
        raise MissingExtra(f"device '{name}'", "baselines") from None
    n_devices = torch.cuda.device_count()
    if int(found[1] or 0) >= n_devices:
        raise UsageError(f"device '{name}' is not there: {plural(n_devices, 'CUDA device')}; use --device cpu")
