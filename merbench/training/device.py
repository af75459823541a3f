"""The name of a device goes in; one that no baseline can train on is an error, whichever baseline is asked."""

from __future__ import annotations

import re

from merbench.errors import MissingExtra, UsageError, plural

ALLOWED = re.compile(r"auto|cpu|cuda(?::(\d{1,4}))?")


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
