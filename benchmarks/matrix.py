"""`merbench benchmark` of ten systems on four tracks in two processes, against its parts one after another.

Inputs: the tracks of the sample that have vectors, and one of them again under another name; or the tracks that are
named. The systems are those that are named, by default ten of those that are shipped.

Contenders: the command's function in an empty folder, in two processes: planning, their start, scoring, ranking and
writing the report are part of it. The parts: `run_baseline` for every system and track, one after another in this
process, on one thread; nothing else is timed. Cells that cannot be run are part of neither. The parts are timed first,
so that what is read for the first time counts against them; `--rounds 2` times both a second time, the other way
round.

An epoch takes as long as any other, so a few are enough to compare; planning and the start of processes, some seconds,
weigh less the more epochs there are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measuring import machine, seconds, table
from merbench.benchmark import BenchmarkReport, BenchmarkSettings, benchmark
from merbench.benchmark.cells import CellPlan, planned
from merbench.errors import MerbenchError
from merbench.track import Track, load_track
from merbench.training import run_baseline

SYSTEMS = ("lf-dnn", "tfn", "lmf", "attention", "misa", "mmim", "self-mm", "gru", "ef-lstm", "boosting")
OF_SAMPLE = ("mer-multi", "mer-noise", "mer-semi")
WORKERS = 2


def sample_tracks(folder: Path) -> list[Track]:
    """Return three tracks of the sample, and the first of them again as `mer-again`."""
    first = load_track(OF_SAMPLE[0])
    assert first.folder is not None
    copied = shutil.copytree(first.folder, folder / "mer-again")
    path = copied / "track.toml"
    text = path.read_text(encoding="utf-8").replace('id = "mer-multi"', 'id = "mer-again"')
    path.write_text(text, encoding="utf-8")
    return [*map(load_track, OF_SAMPLE), load_track(copied)]


def parts(cells: list[CellPlan], folder: Path) -> dict[str, float]:
    """Run every cell in this process and return how long each took, by its name; those that fail are left out."""
    times = {}
    for number, cell in enumerate(cells):
        start = time.perf_counter()
        try:
            run_baseline(cell.track, cell.loaded.folder, cell.settings, output=folder / f"{number}")
        except MerbenchError as error:
            print(f"{cell.name}: {error}")
            continue
        times[cell.name] = time.perf_counter() - start
    return times


def main() -> None:
    """Print how long the matrix and its parts take, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracks", nargs="*", metavar="TRACK", help="names or folders; by default those of the sample")
    parser.add_argument("--baseline", action="append", help="a system; repeatable")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of every network, without early stopping")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of every cell")
    parser.add_argument("--rounds", type=int, default=1, help="how often both are timed; the least counts")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    systems = arguments.baseline or list(SYSTEMS)
    settings = BenchmarkSettings(
        seeds=range(arguments.seeds), options={"epochs": arguments.epochs, "patience": 0}, device="cpu", workers=WORKERS
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tracks = [load_track(track) for track in arguments.tracks] or sample_tracks(folder)
        cells = [
            cell for cell in planned(tracks, systems, settings, folder / "none", replace=False) if not cell.problem
        ]
        print(f"{len(systems)} systems × {len(tracks)} tracks, {len(cells)} cells can be run, ", end="")
        print(f"{arguments.epochs} epochs, {arguments.seeds} seeds; one thread a process")
        print(machine(["torch", "numpy", "scikit-learn", "scipy"]) + "\n")
        whole, single = list[float](), list[dict[str, float]]()
        for number in range(arguments.rounds):
            for contender in ("parts", "matrix") if number % 2 == 0 else ("matrix", "parts"):
                place = folder / f"{contender}-{number}"
                if contender == "parts":
                    single.append(parts(cells, place))
                    continue
                start = time.perf_counter()
                report = benchmark(tracks, systems, settings, output=place)
                whole.append(time.perf_counter() - start)
    best = min(single, key=lambda times: sum(times.values()))
    print_times(best, min(whole), report)


def print_times(single: dict[str, float], whole: float, report: BenchmarkReport) -> None:
    """Print the table, the slowest cells, and what the report left out."""
    total = sum(single.values())
    rows = [
        (f"merbench benchmark, {WORKERS} processes", seconds(whole), f"{whole / total:.2f}"),
        (f"{len(single)} parts, one after another", seconds(total), "1.00"),
        (f"half of the parts' time (no {WORKERS} processes can be faster)", seconds(total / WORKERS), "0.50"),
    ]
    print(table(("", "time", "parts = 1"), rows))
    slowest = sorted(single.items(), key=lambda item: -item[1])[:3]
    print("\nlongest parts: " + ", ".join(f"{name} {seconds(own)}" for name, own in slowest))
    print(f"values: {sum(cell.mean is not None for cell in report.cells)} of {len(report.cells)} cells")


if __name__ == "__main__":
    main()
