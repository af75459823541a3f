"""`merbench robustness` of eight systems at eight missing rates in two processes, against its parts one after another.

Inputs: `mer-multi` of the sample, or the track that is named; GCNet's masks at rates 0 to 0.7. The systems are those
that are named, by default eight of those that are shipped and learn from vectors.

Contenders: the command's function in an empty folder, in two processes: checks, their start, differences, pictures and
reports are part of it. The parts: `robustness` for every system, one after another in this process, on one thread. The
parts are timed first, so that what is read for the first time counts against them; `--rounds 2` times both a second
time, the other way round. Both arrive at the same reports, byte by byte, which is checked.

`--weights per-condition` trains a model for each rate, 72 in all.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measuring import machine, seconds, table
from merbench.robustness import Settings, compare_robustness, robustness
from merbench.track import load_track
from merbench.training.declaration import load_baseline
from merbench.training.systems import System, named_system, options_of_systems

SYSTEMS = ("lf-dnn", "tfn", "lmf", "attention", "misa", "mmim", "self-mm", "logistic")
RATES = {"rate": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]}
WORKERS = 2


def parts(track: str, systems: Sequence[System], settings: Settings, folder: Path) -> dict[str, float]:
    """Score every system by itself in this process, and return how long each took."""
    times = {}
    for system in systems:
        start = time.perf_counter()
        robustness(track, system, RATES, settings, output=folder / system.name)
        times[system.name] = time.perf_counter() - start
    return times


def require_equal(single: Path, compared: Path, systems: Sequence[System]) -> None:
    """Raise `RuntimeError` unless each system has the same report as by itself."""
    for system in systems:
        one, other = (folder / system.name / "robustness.json" for folder in (single, compared))
        if one.read_bytes() != other.read_bytes():
            raise RuntimeError(f"{system.name} has another report by itself")


def main() -> None:
    """Print how long the curves and their parts take, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("track", nargs="?", default="mer-multi", help="name or folder")
    parser.add_argument("--baseline", action="append", help="a system; repeatable")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of every network, without early stopping")
    parser.add_argument("--weights", default="shared", choices=["shared", "per-condition", "mixed"])
    parser.add_argument("--rounds", type=int, default=1, help="how often both are timed; the least counts")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    load_track(arguments.track)
    systems = [named_system(name) for name in arguments.baseline or SYSTEMS]
    baselines = [load_baseline(system.baseline) for system in systems]
    options = options_of_systems(systems, baselines, {"epochs": arguments.epochs, "patience": 0})
    systems = [
        System(name=system.name, baseline=system.baseline, options=own)
        for system, own in zip(systems, options, strict=True)
    ]
    print(f"{len(systems)} systems × {len(RATES['rate'])} rates, weights {arguments.weights}, ", end="")
    print(f"{arguments.epochs} epochs; one thread a process")
    print(machine(["torch", "numpy", "scikit-learn", "scipy"]) + "\n")
    whole, single = list[float](), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as name:
        for number in range(arguments.rounds):
            alone, together = Path(name) / f"parts-{number}", Path(name) / f"curves-{number}"
            for contender in ("parts", "curves") if number % 2 == 0 else ("curves", "parts"):
                workers = 1 if contender == "parts" else WORKERS
                settings = Settings(
                    corruption="gcnet_missing", weights=arguments.weights, device="cpu", workers=workers
                )
                if contender == "parts":
                    single.append(parts(arguments.track, systems, settings, alone))
                    continue
                start = time.perf_counter()
                compare_robustness(arguments.track, systems, RATES, settings, output=together)
                whole.append(time.perf_counter() - start)
            require_equal(alone, together, systems)
    print_times(min(single, key=lambda times: sum(times.values())), min(whole))


def print_times(single: dict[str, float], whole: float) -> None:
    """Print the table and the slowest parts."""
    total = sum(single.values())
    rows = [
        (f"all curves, {WORKERS} processes", seconds(whole), f"{whole / total:.2f}"),
        (f"{len(single)} parts, one after another", seconds(total), "1.00"),
        (f"half of the parts' time (no {WORKERS} processes can be faster on them)", seconds(total / WORKERS), "0.50"),
    ]
    print(table(("", "time", "parts = 1"), rows))
    slowest = sorted(single.items(), key=lambda item: -item[1])
    print("\nparts: " + ", ".join(f"{name} {seconds(own)}" for name, own in slowest))


if __name__ == "__main__":
    main()
