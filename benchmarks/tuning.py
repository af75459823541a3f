"""Trials of a search in two processes: against one after another, a DataLoader fold by fold, and a lower bound.

Inputs: those of `benchmarks.attention` with 256 numbers a modality, as a corpus on disk; 24 draws of dropout and
learning rate, all different, for hidden layers of 64 and of 128 units; five folds.

Contenders: `merbench tune` up to its last trial, in two processes: their start, the journal that they share, and
reading the corpus are part of it. The same draws one after another in one process, which has everything in memory: what
the folds in one batched pass give by themselves. The peer is the one of `benchmarks.attention`, for two of the draws,
times 12. Lower bound: the matrix products of all draws' steps and the steps of the optimiser, one process, divided by
two.

An epoch takes as long as any other, so a few are enough to compare; the start of processes, some seconds, weighs less
the more epochs there are.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from benchmarks import attention
from benchmarks.attention import MODALITIES, N_FOLDS, Floor, fold_by_fold, training_data
from benchmarks.measuring import machine, race, seconds, table
from merbench.corpus import Contents, Feature, Metadata, write_corpus
from merbench.track import Track, load_track
from merbench.training import Setup, TrainingSet
from merbench.training.selection import evaluated
from merbench.training.tuning.trials import SearchSettings, Trials, run_trials

N_TRIALS, WIDTH, WIDTHS, N_OF_PEER, N_TEST = 24, 256, (64, 128), 2, 10
SEARCH = {"dropout": {"low": 0.2, "high": 0.5}, "learning_rate": {"low": 1e-4, "high": 1e-3, "log": True}}


def written(folder: Path, train: TrainingSet) -> Track:
    """Write the inputs as a corpus, with some samples to be predicted, and return the track on it."""
    ids = train.samples.ids.to_pylist()
    test = [f"test_{i}" for i in range(N_TEST)]
    labels = train.track.targets["discrete"].classes
    samples = {"sample_id": [*ids, *test], "split": ["train"] * len(ids) + ["test1"] * N_TEST}
    reference = {
        "sample_id": ids,
        "discrete": [labels[code] for code in train.targets["discrete"]],
        "valence": train.targets["valence"].clip(-5, 5),
    }
    features = {
        name: Feature.from_vectors([*ids, *test], [*vectors, *vectors[:N_TEST]])
        for name, vectors in train.features.items()
    }
    metadata = Metadata(name="made-up", version="1.0", source="made up", licence="CC0-1.0")
    write_corpus(folder, metadata, Contents(pa.table(samples), pa.table(reference), features))
    return load_track("mer2023-multi").model_copy(update={"corpus": str(folder)})


class Search:
    """24 draws for hidden layers of one width, with every contender."""

    def __init__(self, track: Track, train: TrainingSet, folder: Path, width: int, epochs: int) -> None:
        self.folder, self.n, self.epochs, self.train = folder, 0, epochs, train
        self.fixed = {"hidden": [width, width], "epochs": epochs, "patience": 0}
        self.fixed = {name: value for name, value in self.fixed.items() if name in attention.OPTIONS}
        self.settings = SearchSettings(trials=N_TRIALS, search=SEARCH, options=self.fixed, device="cpu", workers=2)
        self.track, self.draws, self.values = track, list[dict[str, Any]](), dict[str, list[float]]()
        attention.OPTIONS = {**attention.OPTIONS, **self.fixed}
        self.floor = Floor()

    def two_processes(self) -> None:
        """Train all draws as `merbench tune` does, in a folder of their own."""
        self.n += 1
        trials = Trials.of(self.track, attention.ATTENTION, self.settings, self.folder / str(self.n))
        run_trials(trials, lambda text, done, total: None)
        records = trials.study(0).records()
        self.draws = [dict(record.options) for record in records]
        self.values["two processes"] = [record.result.value[0] for record in records if record.result.value]

    def one_after_another(self) -> None:
        """Train the same draws in this process."""
        self.values["one after another"] = []
        for draw in self.draws:
            options = {**attention.OPTIONS, **draw}
            trial = evaluated(attention.ATTENTION, options, self.train, Setup(0, N_FOLDS, "cpu"))
            self.values["one after another"].append(trial.value[0])

    def peer(self) -> None:
        """Train some of the draws fold by fold."""
        for draw in self.draws[:N_OF_PEER]:
            attention.OPTIONS = {**attention.OPTIONS, **draw}
            fold_by_fold(self.train, self.epochs, 0)

    def bound(self) -> None:
        """Multiply and take the optimiser's steps as one draw does."""
        self.floor.products(self.epochs)
        self.floor.optimise(self.epochs)


def main() -> None:
    """Print the table of times, and how far the values of draws are from each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20, help="epochs of every draw")
    parser.add_argument("--rounds", type=int, default=1, help="rounds that count, after one that does not")
    arguments = parser.parse_args()
    attention.WIDTH = WIDTH
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    print(f"{N_TRIALS} draws of {attention.N:,} × {len(MODALITIES)} × {WIDTH}, {N_FOLDS} folds, ", end="")
    print(f"{arguments.epochs} epochs; median of {arguments.rounds} rounds; one thread a process")
    print(machine(["torch", "numpy", "optuna", "scikit-learn"]) + "\n")
    rows, notes = [], []
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            train = training_data()
            track = written(Path(folder) / "corpus", train)
            search = Search(track, train, Path(folder), width, arguments.epochs)
            times = race(
                {
                    "two processes": search.two_processes,
                    "one after another": search.one_after_another,
                    "peer": search.peer,
                    "bound": search.bound,
                },
                arguments.rounds,
            )
        times["peer"] *= N_TRIALS / N_OF_PEER
        times["bound"] *= N_TRIALS / 2
        for name, what in {
            "two processes": "merbench tune, two processes",
            "one after another": "batched folds, one draw after another",
            "peer": "DataLoader, fold by fold, one draw after another",
            "bound": "lower bound, two processes",
        }.items():
            rows.append((f"h {width}: {what}", seconds(times[name]), f"{times[name] / times['two processes']:.2f}"))
        pairs = zip(search.values["two processes"], search.values["one after another"], strict=True)
        notes.append(f"h {width}: largest difference of a draw's value {max(abs(a - b) for a, b in pairs):.1g}")
    print(table(("", f"{N_TRIALS} draws", "tune = 1"), rows))
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
