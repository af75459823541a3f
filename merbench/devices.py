"""Where torch computes: by name, on the processor or on CUDA."""

from __future__ import annotations

import re
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
