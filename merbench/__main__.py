"""`merbench` and `python -m merbench`: the command line, interrupted in one line even while it is being loaded."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it; once it is loaded it answers an interrupt itself."""
    try:
        from merbench.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr, flush=True)
        os._exit(130)  # as `merbench.cli` does, and for the same reason


if __name__ == "__main__":
    main()
