"""Memory of training on a corpus larger than what may be held: 132,171 samples of three features of 1,024 numbers.

Inputs: noise around centres of six classes, 1.6 GB of float32; 171 samples are the test split. The attention baseline
trains all five folds for an epoch, in a process of its own, from `merbench.run_baseline` to the written submission.
Measured: anonymous memory, which cannot be dropped, every 5 ms, beyond what the process has after it trained on 400
such samples; of it, the parameters, their gradients, the moments of the optimiser and the parameters that are kept.
Pages of the mapped files are shown next to it: the operating system drops them when memory is short.
Compared with: the same corpus with features in Parquet, as earlier versions wrote them, which are read into memory.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.measuring import machine, seconds, table

N, N_SMALL, N_TEST, WIDTH, N_FOLDS = 132_171, 400, 171, 1024, 5
MODALITIES = ("audio", "text", "video")
LABELS = ("neutral", "anger", "happiness", "sadness", "worry", "surprise")
MOST = 300_000_000
_COPIES = 5
"""Parameters, gradients, two moments, and the parameters that are kept."""

TRACK = """
id = "large"
version = "1.0"
title = "Large"
corpus = "./corpus"
splits = { train = "train", test = "test" }
targets.emotion = { type = "categorical", labels = LABELS }
metrics = [{ name = "weighted_f1", target = "emotion" }]
ranking = { by = ["weighted_f1"] }
"""


def make(folder: Path, n: int) -> None:
    """Write a track and its corpus of n samples; one feature is in memory at a time."""
    from merbench.corpus import Contents, Feature, Metadata, add_features, write_corpus

    rng = np.random.default_rng(0)
    classes = rng.integers(0, len(LABELS), n)
    ids = [f"sample_{i:08d}" for i in range(n)]
    splits = ["test" if i < N_TEST else "train" for i in range(n)]
    reference = pa.table({"sample_id": ids, "emotion": [LABELS[code] for code in classes]})
    metadata = Metadata(name="large", version="1.0", source="made up", licence="CC0-1.0")
    contents = Contents(pa.table({"sample_id": ids, "split": splits}), reference)
    corpus = write_corpus(folder / "large" / "corpus", metadata, contents)
    for name in MODALITIES:
        values = rng.standard_normal((n, WIDTH), dtype=np.float32)
        values += 0.05 * rng.standard_normal((len(LABELS), WIDTH), dtype=np.float32)[classes]
        corpus = add_features(corpus, {name: Feature(pa.array(ids), values)})
    declaration = TRACK.replace("LABELS", json.dumps(LABELS))
    (folder / "large" / "track.toml").write_text(declaration, encoding="utf-8")


def to_parquet(folder: Path) -> None:
    """Store the features as earlier versions did."""
    import pyarrow.parquet as pq

    from merbench.corpus import CORPORA
    from merbench.files.reading import sha256_file

    path = folder / "large" / "corpus"
    corpus, declared = CORPORA.read(path), (path / "corpus.toml").read_text(encoding="utf-8")
    for name in MODALITIES:
        member = f"features/{name}"
        table = corpus.feature(name).to_table()
        pq.write_table(table, path / f"{member}.parquet", compression="none", row_group_size=8192)
        declared = declared.replace(f"{member}.arrow", f"{member}.parquet")
        declared = declared.replace(
            corpus.declaration.files[f"{member}.arrow"], sha256_file(path / f"{member}.parquet")
        )
    (path / "corpus.toml").write_text(declared, encoding="utf-8")


def memory() -> dict[str, int]:
    """Return the resident bytes of this process, by kind."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return {name: int(kibibytes) * 1024 for name, kibibytes in re.findall(r"(Rss\w+):\s+(\d+) kB", status)}


@contextmanager
def peaks() -> Iterator[dict[str, int]]:
    """Yield the most memory of each kind, which is complete when the block ends."""
    most, done = memory(), threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            for name, n_bytes in memory().items():
                most[name] = max(most[name], n_bytes)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def measure(small: Path, large: Path) -> dict[str, float]:
    """Train on both corpora and return the time and the memory of the second."""
    from merbench.training import RunSettings, run_baseline

    def train(folder: Path) -> Path:
        options = {"epochs": 1}
        run = run_baseline(
            folder / "large",
            "attention",
            RunSettings(seeds=[0], options=options, intervals=False),
            output=folder / "run",
            replace=True,
        )
        return run.folder

    train(small)
    before, start = memory(), time.perf_counter()
    with peaks() as most:
        run = train(large)
    elapsed = time.perf_counter() - start
    models = sum(path.stat().st_size for path in (run / "models").iterdir())
    return {
        "anonymous": most["RssAnon"] - before["RssAnon"],
        "mapped": most["RssFile"] - before["RssFile"],
        "model": _COPIES * models,
        "seconds": elapsed,
    }


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        command, *folders = sys.argv[1:]
        paths = [Path(folder) for folder in folders]
        match command:
            case "make":
                make(paths[0], N_SMALL)
                make(paths[1], N)
            case "parquet":
                to_parquet(paths[0])
            case _:
                print(json.dumps(measure(*paths)))
        return
    with tempfile.TemporaryDirectory() as folder:
        small, large = str(Path(folder, "small")), str(Path(folder, "big"))

        def run(*arguments: str) -> str:
            command = [sys.executable, "-m", "benchmarks.training_memory", *arguments]
            return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

        run("make", small, large)
        results = {"Arrow, mapped into memory": json.loads(run("measure", small, large))}
        run("parquet", large)
        results["Parquet, as earlier versions wrote it"] = json.loads(run("measure", small, large))
    rows = [
        [
            name,
            *(f"{result[key] / 1e6:,.0f} MB" for key in ("anonymous", "model")),
            f"{(result['anonymous'] - result['model']) / 1e6:,.0f} MB",
            f"{result['mapped'] / 1e6:,.0f} MB",
            seconds(result["seconds"]),
        ]
        for name, result in results.items()
    ]
    print(f"{N:,} samples, {len(MODALITIES)} features of {WIDTH:,}, {N_FOLDS} folds, an epoch\n")
    print(table(["features", "anonymous", "of it model", "beyond the model", "pages of files", "time"], rows))
    first = next(iter(results.values()))
    verdict = "holds" if first["anonymous"] - first["model"] <= MOST else "is missed"
    print(f"\nAt most {MOST / 1e6:,.0f} MB beyond the model: {verdict}.\n\n{machine(['numpy', 'pyarrow', 'torch'])}")


if __name__ == "__main__":
    main()
