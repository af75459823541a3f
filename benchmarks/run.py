"""Every benchmark of this folder is run, one after the other, each in its own interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NOT_BENCHMARKS = {"corruption_floor", "corruption_peer", "corruption_worker", "measuring", "run"}


def main() -> int:
    """Run the benchmarks that are named, or all; return the worst exit code."""
    packages = (path.parent for path in FOLDER.glob("*/__main__.py"))
    known = sorted({path.stem for path in (*FOLDER.glob("*.py"), *packages)} - NOT_BENCHMARKS)
    names = sys.argv[1:] or known
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no benchmark named {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    codes = []
    for name in names:
        print(f"## {name}\n", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        codes.append(subprocess.run(command, cwd=FOLDER.parent, check=False).returncode)
        print(flush=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
