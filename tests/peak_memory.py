"""The most memory this process has held, for tests that something large was never read."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def peak_bytes() -> int:
    """Return the peak of the resident memory so far."""
    if sys.platform == "linux":
        # What `getrusage` gives begins at the size of the process that started this one.
        (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(kibibytes) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
