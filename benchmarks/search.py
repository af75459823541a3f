"""A search of 30 candidate-epochs: `merbench search` against training its candidates one after another.

Inputs: those of `benchmarks.attention` with 256 numbers a modality, as a corpus on disk; `bm-nas`; two folds, one seed.
A search of two epochs on all samples; on each fold, a search of two epochs and an epoch of what it found, an epoch with
permuted alphas, and one of each of ten random architectures: 2 + 2 · (3 + 1 + 10) = 30.

Contenders: `merbench search` with its journal, states and report, features read and standardised once. The same
searches and trainings one after another, with everything in memory and nothing stored. The same, each with features
read and divided again, as separate commands would. All must give the same values.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import attention
from benchmarks.attention import MODALITIES, training_data
from benchmarks.measuring import machine, race, seconds, table
from benchmarks.tuning import written
from merbench.track import Track
from merbench.training import Setup
from merbench.training.architecture.search import GENOTYPES, JOURNAL, SEARCH, ArchitectureSettings, _Work, search
from merbench.training.selection import cross_fit, validated_value

OPTIONS = {"search_epochs": 2, "epochs": 1, "patience": 0}
SETTINGS = ArchitectureSettings(random=10, runs=1, options=OPTIONS, learning={"folds": 2}, device="cpu")


class Contenders:
    """What takes turns."""

    def __init__(self, track: Track, folder: Path) -> None:
        self.track, self.folder, self.n = track, folder, 0
        self.values: dict[str, dict[str, float]] = {}

    def command(self) -> None:
        """Search as the command does, in a folder of its own."""
        self.n += 1
        self.last = self.folder / str(self.n)
        search(self.track, "bm-nas", SETTINGS, output=self.last)
        rows = [json.loads(line) for line in (self.last / JOURNAL).read_text("utf-8").splitlines()[1:]]
        self.values["command"] = {row["unit"]: row["value"] for row in rows if row["unit"] != SEARCH}

    def in_memory(self) -> None:
        """Search and train the same, one after another."""
        self.values["in memory"] = self._trained(_Work(self.track, "bm-nas", SETTINGS))

    def read_again(self) -> None:
        """The same, each with features read again."""
        self.values["read again"] = self._trained(None)

    def _trained(self, shared: _Work | None) -> dict[str, float]:
        values = {}
        for unit in (SEARCH, *self.values["command"]):
            work = shared or _Work(self.track, "bm-nas", SETTINGS)
            if unit == SEARCH:
                work._baseline(Setup(0, 2, "cpu")).search(work.train)
                continue
            item, fold, seed = unit.replace("-seed-", "-fold-").split("-fold-")
            file = self.last / GENOTYPES / f"{unit if item == 'permuted' else item}.toml"
            options: dict[str, Any] = {**work.options, "genotype": "searched" if item == "found" else str(file)}
            part = work.train.of_division(work.divisions[int(fold) - 1])
            result = cross_fit(partial(work.trainings.loaded.build, options), part, Setup(int(seed), 1, "cpu"))
            values[unit] = validated_value(part, result.out_of_fold)[0]
        return values


def main() -> None:
    """Print the table of times, and whether values are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="rounds that count, after one that does not")
    rounds = parser.parse_args().rounds
    attention.WIDTH = 256
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    print(f"30 candidate-epochs of {attention.N:,} × {len(MODALITIES)} × 256; median of {rounds} rounds; one thread")
    print(machine(["torch", "numpy"]) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        track = written(Path(folder) / "corpus", training_data())
        own = Contenders(track, Path(folder))
        times = race({"command": own.command, "in memory": own.in_memory, "read again": own.read_again}, rounds)
    names = {
        "command": "merbench search",
        "in memory": "its candidates one after another, in memory",
        "read again": "its candidates one after another, features read for each",
    }
    rows = [(what, seconds(times[name]), f"{times['command'] / times[name]:.2f}") for name, what in names.items()]
    print(table(("", "30 candidate-epochs", "search / this"), rows))
    print(f"\nequal values: {own.values['command'] == own.values['in memory'] == own.values['read again']}")


if __name__ == "__main__":
    main()
