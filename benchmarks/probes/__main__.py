"""All probes of this folder, one after the other."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

NOT_PROBES = {"__init__", "__main__", "probe"}


def main() -> int:
    """Run every probe; return the worst exit code."""
    names = sorted({path.stem for path in Path(__file__).parent.glob("*.py")} - NOT_PROBES)
    return max(int(import_module(f"benchmarks.probes.{name}").main() or 0) for name in names)


if __name__ == "__main__":
    sys.exit(main())
