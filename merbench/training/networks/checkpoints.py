"""The state of a training, stored so that it goes on where it was interrupted and ends in the same weights.

Conventions:
    A state is a safetensors file, written by rename, of everything that the next epochs depend on: parameters, those of
    the epochs kept, the optimiser, generators, counters, and the values of the epochs so far. Its metadata has a
    signature of the training; the state of another training, or of another version, is refused. The same state on the
    same device gives the same bytes; no guarantee between devices, or versions of PyTorch.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from merbench.corpus.candidates import ids_digest
from merbench.errors import MalformedFile, UsageError, listed
from merbench.files.tensors import read_tensors, write_tensors
from merbench.training.networks.learner import Learner
from merbench.training.samples import Division, FeatureSet, TrainingSet

SCHEMA = "merbench.training/2"

STATE = "training.safetensors"

SECONDS = 30.0
"""How often a state is written at most; what a process that is killed loses at most, and an epoch."""

_EXAMPLES = 64
"""How many samples of every feature are part of the signature."""

History = list[dict[str, NDArray[np.float64]]]
"""The values of every epoch: by name, `(folds,)`, NaN for folds that were not trained."""


class Checkpoint:
    """Where the state of a training is stored.

    Args:
        folder: of the state.
        signature: what the training depends on; ready for JSON.
    """

    def __init__(self, folder: Path, signature: Mapping[str, Any]) -> None:
        self.path, self.signature = folder / STATE, dict(signature)
        self.written = time.monotonic()

    def read(self, learners: Sequence[Learner]) -> History:
        """Put a stored state into the learners and return the values of its epochs; none without a file.

        Raises:
            UsageError: the file is not a state of this training, or cannot be read.
        """
        if not self.path.exists():
            return []
        remedy = "delete it to train from the beginning"
        try:
            arrays, metadata = read_tensors(self.path)
        except (MalformedFile, OSError) as error:
            raise UsageError(f"{self.path}: not the state of a training: {error}; {remedy}") from error
        if metadata.get("schema") != SCHEMA:
            raise UsageError(f"{self.path}: the state of another version of merbench; {remedy}")
        stored = metadata.get("signature")
        if stored != self.signature:
            known = stored if isinstance(stored, dict) else {}
            names = [name for name in self.signature if known.get(name) != self.signature[name]]
            raise UsageError(f"{self.path}: the state of another training; what differs: {listed(names)}; {remedy}")
        try:
            for n, (learner, counters) in enumerate(zip(learners, metadata["learners"], strict=True)):
                prefix = f"{n}."
                own = {name.removeprefix(prefix): part for name, part in arrays.items() if name.startswith(prefix)}
                learner.load(own, counters)
            names = metadata["history"]
            tables = [arrays[f"history.{name}"] for name in names]
            return [
                dict(zip(names, (table[epoch] for table in tables), strict=True)) for epoch in range(len(tables[0]))
            ]
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise UsageError(f"{self.path}: the state of another network; {remedy}") from error

    def write_if_due(self, learners: Sequence[Learner], history: History) -> None:
        """Store the state after an epoch, unless it was stored a short time ago."""
        if time.monotonic() - self.written >= SECONDS:
            self.write(learners, history)

    def write(self, learners: Sequence[Learner], history: History) -> None:
        """Store the state after an epoch."""
        arrays, counters = dict[str, NDArray[Any]](), list[dict[str, Any]]()
        for n, learner in enumerate(learners):
            own, counted = learner.state()
            arrays |= {f"{n}.{name}": part for name, part in own.items()}
            counters.append(counted)
        names = list(dict.fromkeys(name for epoch in history for name in epoch))
        missing = np.full(len(history[0]["loss"]), np.nan)
        arrays |= {f"history.{name}": np.stack([epoch.get(name, missing) for epoch in history]) for name in names}
        metadata = {"schema": SCHEMA, "signature": self.signature, "learners": counters, "history": names}
        write_tensors(self.path, arrays, metadata)
        self.written = time.monotonic()


def training_signature(train: TrainingSet, divisions: Sequence[Division]) -> dict[str, Any]:
    """Return digests of the samples, references and divisions of a training, and of examples of its features."""
    targets: list[bytes | NDArray[Any]] = []
    for name, values in sorted(train.targets.items()):
        targets += [name.encode(), np.asarray(values)]
    for name, sets in sorted(train.sets.items()):
        targets += [name.encode(), sets]
    return {
        "samples": ids_digest(train.samples.ids),
        "features": features_digest(train.samples),
        "references": _digest(*targets),
        "corruption": _digest(repr(train.corruption).encode()),
        "divisions": _digest(*(part for division in divisions for part in (division.learn, division.validate))),
    }


def features_digest(samples: FeatureSet) -> str:
    """Return a digest of how many rows samples have of every feature, and of these rows of some samples."""
    rows = np.unique(np.linspace(0, len(samples) - 1, min(_EXAMPLES, len(samples))).astype(np.int64))
    features: list[bytes | NDArray[Any]] = []
    for name, sequences in sorted(samples.sequences.items()):
        features += [name.encode(), sequences.lengths, *(sequences.of(row) for row in rows.tolist())]
    return _digest(*features)


def _digest(*parts: bytes | NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()
