"""Read mutated files of every format, each in a child process that may abort or hang, and list what is found.

    PYTHONPATH=tests python -m fuzzing                       100 inputs of every format
    PYTHONPATH=tests python -m fuzzing --inputs 1000000      so many in all, shared among the formats
    PYTHONPATH=tests python -m fuzzing --only parquet npz --seed 7 --keep findings

An outcome is a value, or a `MerbenchError` whose message is printable and at most 20,000 characters long. Everything
else is a finding: any other exception, an abort, more than 20 s, 400 MB or more for one file. An input is known by its
format, seed and number; `--keep` writes the files. Exit status 1 says that something was found.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from fuzzing.formats import formats
from fuzzing.running import run_apart, work


def main() -> int:
    if sys.argv[1:2] == ["--work"]:
        name, seed, start, stop, folder = sys.argv[2:]
        work(name, int(seed), int(start), int(stop), Path(folder))
        return 0
    parser = argparse.ArgumentParser(
        prog="python -m fuzzing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, help="number of inputs in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first input of every format")
    parser.add_argument("--only", nargs="+", metavar="FORMAT")
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = [name for name in formats(Path(folder)) if given.only is None or name in given.only]
    each = 100 if given.inputs is None else -(-given.inputs // len(names))
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    result: Counter[str] = Counter()
    for name in names:
        outcomes, findings = run_apart(name, given.seed, range(given.start, given.start + each), given.keep)
        print(
            f"{name}: {sum(outcomes.values()):,} inputs: {', '.join(f'{k} {n:,}' for k, n in outcomes.most_common())}",
            flush=True,
        )
        kinds: dict[str, list[int]] = {}
        for finding in findings:
            kinds.setdefault(re.sub(r"\d+", "N", finding.what)[:120], []).append(finding.number)
        for numbers in kinds.values():
            first = next(finding for finding in findings if finding.number == numbers[0])
            print(f"  FOUND {len(numbers):,} (input {numbers[0]}): {first.what}", flush=True)
        result.update({name: len(findings)})
    print(f"{sum(result.values()):,} findings")
    return 1 if sum(result.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
