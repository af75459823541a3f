"""Where torch computes: by name, on the processor or on CUDA."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from merbench.errors import MissingExtra, UsageError, plural

if TYPE_CHECKING:
    import torch


def require_device(name: str) -> None:
    """Raise `UsageError` unless `name` is `auto`, `cpu`, or the `cuda` or `cuda:1` of a device that exists.

    torch is imported only where CUDA is asked for by name.
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,4}))?", name)
    if match is None:
        raise UsageError(f"'{name}' is not a device; allowed: auto, cpu, cuda, cuda:<number>")
    if not name.startswith("cuda"):
        return
    try:
        import torch
    except ImportError:
        raise MissingExtra(f"device '{name}'", "baselines") from None
    n_devices = torch.cuda.device_count()
    if int(match[1] or 0) >= n_devices:
        raise UsageError(f"device '{name}' does not exist: {plural(n_devices, 'CUDA device')}; use --device cpu")


def chosen_device(name: str) -> torch.device:
    """Return the device of `auto`, `cpu`, `cuda` or `cuda:1`; `auto` is CUDA where there is one."""
    import torch

    require_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Run a block in which CUDA adds in the same order every time, as a CPU does; with a warning where it cannot."""
    if device.type != "cuda":
        yield
        return
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, benchmark = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark


def out_of_memory(error: BaseException) -> bool:
    """Return whether torch or Python raised an error because memory, of a device or of the machine, was used up."""
    text = str(error).lower()
    signs = ("out of memory", "can't allocate memory", "cublas_status_alloc_failed", "cuda_error_out_of_memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(sign in text for sign in signs))
