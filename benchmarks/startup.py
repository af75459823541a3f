"""How long a command takes before it does anything, and where the time of a first `merbench score` goes.

Every measurement starts a fresh interpreter that runs what the installed `merbench` script runs; files lie in the page
cache, and all modules are compiled, as an installer leaves them: the first run, which does not count, compiles them.
The submission has 400 rows, of the track and corpus that `scoring.py` makes.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measuring import machine, race, seconds, table
from benchmarks.scoring import make_inputs

STAGES = {
    "import typer, rich": "import typer, rich",
    "import numpy": "import numpy",
    "import pyarrow": "import pyarrow.compute, pyarrow.csv, pyarrow.parquet",
    "import pydantic": "import pydantic",
    "import merbench": "import merbench.cli, merbench.scoring",
    "track, corpus, submission, score": "report = merbench.scoring.score({track!r}, {submission!r}, intervals=False)",
    "the same again, with 1,000 resamples": "report = merbench.scoring.score({track!r}, {submission!r})",
    "print": "report.to_text()",
}
"""What a first `merbench score` does, in order, and scoring again, when everything is imported and warm."""

ROUNDS = 11


def interpreter(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return run.stdout


def command(*arguments: str) -> str:
    """Return the code of a merbench command."""
    return f"import sys; from merbench.cli import main; main({list(arguments)!r})"


def stage_times(track: str, submission: str) -> dict[str, float]:
    """Return the median seconds of each stage, over fresh interpreters."""
    lines = ["import json, time", "laps = [time.perf_counter()]"]
    for stage in STAGES.values():
        lines += [stage.format(track=track, submission=submission), "laps.append(time.perf_counter())"]
    code = "\n".join([*lines, "print(json.dumps([b - a for a, b in zip(laps, laps[1:])]))"])
    runs = [json.loads(interpreter(code)) for _ in range(ROUNDS)]
    return dict(zip(STAGES, map(statistics.median, zip(*runs, strict=True)), strict=True))


def help_table() -> str:
    """Return the times of `merbench --help` and of importing the two libraries it cannot do without."""
    times = race(
        {
            "an empty interpreter": partial(interpreter, "pass"),
            "import typer, rich": partial(interpreter, "import typer, rich"),
            "merbench --help": partial(interpreter, command("--help")),
        },
        rounds=21,
    )
    peer = times["import typer, rich"]
    return table(["", "median", "of the import"], [(name, seconds(t), f"{t / peer:.2f}×") for name, t in times.items()])


def score_table(track: str, submission: str) -> str:
    """Return the cold time of `merbench score` on 400 rows, and its stages."""
    plain = command("score", track, submission, "--no-intervals")
    times = race(
        {
            "merbench score": partial(interpreter, command("score", track, submission)),
            "merbench score --no-intervals": partial(interpreter, plain),
            "an empty interpreter": partial(interpreter, "pass"),
        },
        rounds=ROUNDS,
    )
    stages = {f"… {name}": time for name, time in stage_times(track, submission).items()}
    return table(["400 rows, cold", "median"], [(name, seconds(t)) for name, t in {**times, **stages}.items()])


def main() -> None:
    """Print both tables."""
    print(machine(["typer", "rich", "numpy", "pyarrow", "pydantic"]), end="\n\n")
    print(help_table(), end="\n\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MERBENCH_HOME"] = folder
        make_inputs(Path(folder), 400)
        print(score_table(str(Path(folder) / "bench"), str(Path(folder) / "submission.csv")))


if __name__ == "__main__":
    main()
