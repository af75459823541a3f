"""The most memory this process has held, for tests that something large was never read."""

from __future__ import annotations

import resource
import sys


def peak_bytes() -> int:
    """Return the peak of the resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
