"""Scenes and vectors become the sample corpus: tables, references, and features damaged as `mer-noise` declares.

Conventions:
    Rows are in the order of sample ids. Features are `(n, d)` int64 in units of 1/1024 until they are written as
    float32, which holds them exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from merbench.corpus import Contents, Corpus, Feature, Metadata, write_corpus
from merbench.corrupt.steps import damage
from merbench.sample.labels import open_sets
from merbench.sample.scenes import EMOTIONS, VOCABULARY, Scenes, scenes, stream
from merbench.sample.vectors import VALUE_UNIT, vectors
from merbench.track import Track, load_track

Integers = NDArray[np.int64]

VERSION = "1.1"
"""Rises whenever a value of the corpus changes."""

NOISY_TRACK = "mer-noise"
"""The track whose corruptions damage the features of its test split: the one place where they are declared."""


@dataclass(frozen=True, eq=False)
class SampleValues:
    """All values of the sample corpus.

    Attributes:
        samples: one row per sample, with what was drawn for it where it is damaged.
        reference: one row per sample whose reference is held; there is no valence in `test_semi`.
        features: vectors by modality.
        undamaged: the same before the damage, which the corpus does not hold.
    """

    samples: pa.Table
    reference: pa.Table
    features: dict[str, Integers]
    undamaged: dict[str, Integers]


def sample_values() -> SampleValues:
    """Return the values of the sample corpus, the same on every machine."""
    said = scenes()
    order, ids = dealt(len(said))
    undamaged = {modality: values[order] for modality, values in vectors(said).items()}
    samples = _samples(said, order, ids)
    features, draws = _damaged(load_track(NOISY_TRACK), ids, said.split[order], undamaged)
    for name, column in draws.items():
        samples = samples.append_column(name, pa.array(column))
    return SampleValues(samples, _reference(said, order, ids), features, undamaged)


def dealt(n: int) -> tuple[NDArray[np.intp], list[str]]:
    """Return the scenes in the order of their ids, and the ids.

    They are dealt at random, so that their order tells nothing of split, dialogue or emotion.
    """
    order = np.argsort(stream("ids").random_raw(n))
    return order, [f"sample_{number:08d}" for number in range(1, n + 1)]


def build_sample(folder: Path) -> Corpus:
    """Write the sample corpus into an empty or missing folder and return it."""
    values = sample_values()
    ids = values.samples["sample_id"].to_pylist()
    metadata = Metadata(
        name="sample", version=VERSION, source="made by merbench", licence="CC0-1.0", language="en", synthetic=True
    )
    features = {name: Feature.from_vectors(ids, value * VALUE_UNIT) for name, value in values.features.items()}
    return write_corpus(folder, metadata, Contents(values.samples, values.reference, features))


def _samples(said: Scenes, order: NDArray[np.intp], ids: list[str]) -> pa.Table:
    ends = np.cumsum(said.n_words)
    words = said.words.tolist()
    transcripts = [
        " ".join(VOCABULARY[word] for word in words[end - count : end])
        for end, count in zip(ends[order].tolist(), said.n_words[order].tolist(), strict=True)
    ]
    return pa.table(
        {
            "sample_id": ids,
            "split": said.split[order].tolist(),
            "speaker": [f"speaker_{number:02d}" for number in said.speaker[order] + 1],
            "dialogue": [f"dialogue_{number:03d}" for number in said.dialogue[order] + 1],
            "position": said.position[order],
            "transcript": transcripts,
        }
    )


def _reference(said: Scenes, order: NDArray[np.intp], ids: list[str]) -> pa.Table:
    without_valence = said.split[order] == "test_semi"
    sets = open_sets(said)
    table = pa.table(
        {
            "sample_id": ids,
            "discrete": [EMOTIONS[code] for code in said.emotion[order]],
            "valence": pa.array(said.valence[order] / 4, mask=without_valence),
            "openset": pa.array([sets[row] for row in order.tolist()], pa.list_(pa.string())),
        }
    )
    return table.filter(pa.array(said.scored[order]))


def _damaged(
    track: Track, ids: list[str], splits: NDArray[np.str_], undamaged: Mapping[str, Integers]
) -> tuple[dict[str, Integers], dict[str, list[Any]]]:
    """Return features with the track's corruptions applied to its test split, and what was drawn for each sample."""
    damaged = {modality: values.copy() for modality, values in undamaged.items()}
    draws: dict[str, list[Any]] = {}
    for row in np.flatnonzero(np.isin(splits, track.splits["test"].source)).tolist():
        signal = {modality: values[row] * VALUE_UNIT for modality, values in undamaged.items()}
        done = damage(signal, track.steps("test", "features"), seed=track.seed, sample_id=ids[row])
        for name, value in done.values.items():
            draws.setdefault(name, [None] * len(ids))[row] = value
        for modality, values in done.signal.items():
            damaged[modality][row] = np.rint(values / VALUE_UNIT)
    return damaged, draws
