"""Reads the features, columns and dialogues of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus import Feature
from merbench.corpus.candidates import Candidates, candidate_column
from merbench.corpus.declaration import SPLIT
from merbench.errors import UsageError, counted, listed
from merbench.resampling import cluster_codes
from merbench.training.samples import FeatureSet
from merbench.training.sequences import Dialogues, Rows, Sequences

SPEAKER, DIALOGUE, RECORDING, POSITION = "speaker", "dialogue", "recording", "position"
"""Corpus columns: who speaks, in which dialogue of utterances or recording of frames, and at which place of it."""

_OF_DIALOGUES = "that a baseline of dialogues reads"


def dialogue_column(candidates: Candidates) -> str:
    """Return the column that names what is read in order: dialogues, or, without any, recordings, such as videos."""
    columns = candidates.samples.column_names
    return RECORDING if RECORDING in columns and DIALOGUE not in columns else DIALOGUE


def column_of(candidates: Candidates, name: str, rows: Rows) -> list[str | None]:
    """Return what the corpus knows of some candidates; an empty list without such a column."""
    if name not in candidates.samples.column_names:
        return []
    values = candidates.samples[name].combine_chunks().take(pa.array(rows)).to_pylist()
    return [None if value is None else str(value) for value in values]


def group_keys(candidates: Candidates, name: str, rows: Rows) -> list[str | None]:
    """Return the groups of some candidates as `column_of` does; dialogues or recordings of two splits are two."""
    values = column_of(candidates, name, rows)
    if name not in (DIALOGUE, RECORDING) or not values:
        return values
    splits = column_of(candidates, SPLIT, rows)
    return [None if value is None else f"{split}={value}" for split, value in zip(splits, values, strict=True)]


def group_codes(candidates: Candidates, name: str, rows: Rows) -> Rows | None:
    """Return the codes of `group_keys`, a sample without a value as a group of its own; None if all are."""
    keys = group_keys(candidates, name, rows)
    if all(key is None for key in keys):
        return None
    return cluster_codes([f"#{i}" if key is None else f"={key}" for i, key in enumerate(keys)])


@dataclass(frozen=True, slots=True)
class Reader:
    """What is read of every sample; see `training_set`."""

    candidates: Candidates
    names: Sequence[str]
    columns: Sequence[str]
    dialogues: bool
    missing: bool
    # features by folder of the corpus and name: labelled and unlabelled samples have rows of the same arrays
    opened: dict[tuple[Path, str], Feature] = field(default_factory=dict)

    def every(self) -> FeatureSet:
        """Return all candidates."""
        return self.samples(np.arange(len(self.candidates), dtype=np.int64))

    def samples(self, rows: Rows) -> FeatureSet:
        """Return some of the candidates."""
        taken = pa.array(rows)
        ids = self.candidates.ids.take(taken)
        columns = {name: candidate_column(self.candidates, name, "that a baseline reads") for name in self.columns}
        features: dict[str, Sequences] = {}
        for name in self.names:
            corpus = self.candidates.corpus
            if (corpus.folder, name) not in self.opened:
                self.opened[corpus.folder, name] = corpus.feature(name)
            feature = self.opened[corpus.folder, name]
            if self.missing:
                stored = pc.fill_null(pc.index_in(ids, value_set=feature.ids), -1).to_numpy().astype(np.int64)
            else:
                stored = feature_rows(self.candidates, name, feature, ids)
            features[name] = sequences(feature).select(stored)
        dialogues = dialogues_of(self.candidates, rows) if self.dialogues else None
        own = {name: column.take(taken) for name, column in columns.items()}
        return FeatureSet(ids, features, own, dialogues, self.candidates.corpus.modalities(self.names))


def dialogues_of(candidates: Candidates, rows: Rows) -> Dialogues:
    """Return the dialogues of some candidates, from the columns `dialogue`, `position` and, if there is one, `speaker`.

    Where there is no column `dialogue`, `recording` takes its place: the frames of a video are in the order of their
    positions, and those that are missing leave no gap. Dialogues of two splits of the corpus are two, even if they have
    the same name. A sample without a dialogue is one of its own.

    Raises:
        UsageError: there is no such column; a position is missing, is not a number, or occurs twice in a dialogue.
    """
    where, ids = f"corpus '{candidates.corpus.name}'", candidates.ids.take(pa.array(rows)).to_pylist()
    own = dialogue_column(candidates)
    for name in (own, POSITION):
        candidate_column(candidates, name, _OF_DIALOGUES)
    places = candidates.samples[POSITION].combine_chunks().take(pa.array(rows))
    if not (pa.types.is_integer(places.type) or pa.types.is_floating(places.type)):
        raise UsageError(f"{where}: column '{POSITION}' contains {places.type}; positions in a {own} are numbers")
    codes = group_codes(candidates, own, rows)
    dialogue = np.arange(len(rows), dtype=np.int64) if codes is None else codes
    without = [name is None for name in column_of(candidates, own, rows)]
    known = places.is_valid().to_numpy(zero_copy_only=False) | np.array(without, dtype=np.bool_)
    position = pc.fill_null(places, 0).to_numpy().astype(np.float64)
    twice = _repeated(dialogue, position) & known
    for what, odd in (
        (f"no position in their {own}", ~known),
        (f"the position of another one in their {own}", twice),
    ):
        if odd.any():
            samples = [ids[row] for row in np.flatnonzero(odd).tolist()]
            raise UsageError(f"{where}: column '{POSITION}': {counted(f'samples with {what}', samples, len(ids))}")
    speakers = cluster_codes([f"={value}" for value in column_of(candidates, SPEAKER, rows) or [""] * len(rows)])
    return Dialogues.of(dialogue, position, speakers)


def _repeated(dialogue: Rows, position: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which samples have the same dialogue and position as another one."""
    pairs = np.stack([dialogue.astype(np.float64), position], axis=1)
    _, place, counts = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(counts[place.reshape(-1)] > 1)


def feature_rows(candidates: Candidates, name: str, feature: Feature, ids: pa.StringArray) -> Rows:
    """Return the rows of samples of a split in a feature; raise `UsageError` when it has no values for some."""
    rows = pc.index_in(ids, value_set=feature.ids)
    if rows.null_count:
        missing, corpus = ids.filter(rows.is_null()).to_pylist(), candidates.corpus
        others = [other for other in corpus.default_features if other != name]
        complete = [other for other in others if pc.all(pc.is_in(ids, value_set=corpus.feature(other).ids)).as_py()]
        remedy = f"; learn from others: {' '.join(f'--feature {other}' for other in complete)}" if complete else ""
        raise UsageError(
            f"corpus '{corpus.name}': feature '{name}' has no values for {len(missing):,} of {len(ids):,} "
            f"samples of split '{candidates.split}': {listed(missing)}{remedy}"
        )
    return np.asarray(rows, dtype=np.int64)


def sequences(feature: Feature) -> Sequences:
    """Return the rows of all samples of a feature."""
    if feature.offsets is None:
        return Sequences.of_vectors(feature.values)
    return Sequences(feature.values, feature.offsets[:-1], np.diff(feature.offsets), feature.times)
