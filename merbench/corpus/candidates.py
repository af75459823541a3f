"""A track and the name of a split go in, the samples to be predicted come out, with the references where they are held.

Conventions:
    Candidates are sorted by sample id; every array about them has one item per candidate, in that order.
    A reference is an int32 code of the declared labels, or a finite float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.folder import Corpus, open_corpus
from merbench.corruptions import Step
from merbench.errors import UsageError, WithheldReference, did_you_mean, listed
from merbench.files import sha256_bytes
from merbench.metrics.lists import Lists, Segments, Values
from merbench.track import Track, load_track


@dataclass(frozen=True, eq=False)
class References:
    """The references of a split: only those rows whose reference is held.

    Attributes:
        index: int64 positions of the scored rows among the candidates, ascending.
        values: one array per target, aligned with `index`.
        held: by target, which of those rows hold a reference of it; a target that is not named is held by all.
        digest: SHA-256 over ids and values.
    """

    index: NDArray[np.int64]
    values: dict[str, Values]
    held: dict[str, NDArray[np.bool_]]
    digest: str

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The samples of one split of a track: what a participant predicts.

    Attributes:
        track: the track.
        split: name of the split in the track.
        corpus: the corpus the track names.
        ids: sorted sample ids.
        samples: what is known of them, one row per id, in the same order.
    """

    track: Track
    split: str
    corpus: Corpus
    ids: pa.StringArray = field(repr=False)
    samples: pa.Table = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def hidden(self) -> bool:
        """Whether which candidates are scored is a secret."""
        return self.track.splits[self.split].hidden

    @cached_property
    def ids_digest(self) -> str:
        """SHA-256 over the candidates' ids."""
        return sha256_bytes("\n".join(self.ids.to_pylist()).encode())

    @cached_property
    def references(self) -> References:
        """The references that are held.

        Raises:
            WithheldReference: none is held for this split.
            UsageError: the references do not fit the track's targets.
        """
        table = self.corpus.reference()
        withheld = WithheldReference(
            f"the references of split '{self.split}' of {self.track.id} are withheld: corpus '{self.corpus.name}' "
            "holds none of them; `merbench validate` checks a file without them"
        )
        columns = {name: target.reference_columns(name) for name, target in self.track.targets.items()}
        if table is None and any(columns.values()):
            raise withheld
        if table is None:
            table = pa.table({"sample_id": self.ids})
        absent = [column for group in columns.values() for column in group if column not in table.column_names]
        if absent:
            there = [name for name in table.column_names if name != "sample_id"]
            raise UsageError(
                f"corpus '{self.corpus.name}' has no reference column {listed(absent)}; it has {listed(there)}"
                f"{did_you_mean(absent[0], there)}"
            )
        position = pc.index_in(self.ids, value_set=table["sample_id"].combine_chunks())
        rows = table.take(position)
        found = {
            name: target.read_references(
                f"corpus '{self.corpus.name}': the references of {name}",
                [rows[column].combine_chunks() for column in columns[name]],
                len(self),
            )
            for name, target in self.track.targets.items()
        }
        index = self._scored({name: column.known for name, column in found.items()})
        if not len(index):
            raise withheld
        values = {name: column.values[index] for name, column in found.items()}
        held = {name: column.known[index] for name, column in found.items() if not column.known[index].all()}
        parts = {f"held {name}": mask.view(np.uint8) for name, mask in held.items()}
        return References(index, values, held, values_digest(self.ids_digest, {"": index, **values, **parts}))

    def _scored(self, held: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
        """Return the rows that count: those that hold every required reference, and some reference at all."""
        required = [mask for name, mask in held.items() if self.track.targets[name].required]
        some = np.logical_or.reduce(list(held.values()))
        complete = np.logical_and.reduce([some, *required])
        partial = np.logical_or.reduce(required) & ~complete if required else ~some & False
        if partial.any():
            ids = self.ids.filter(pa.array(partial)).to_pylist()
            raise UsageError(
                f"{len(ids):,} of {len(self):,} samples of split '{self.split}' hold a reference for some of "
                f"{listed(list(self.track.targets))} and not for all: {listed(ids)}"
            )
        return np.flatnonzero(complete).astype(np.int64)


def with_columns(candidates: Candidates, table: pa.Table) -> Candidates:
    """Return the candidates with what a table with a column `sample_id` says of them as further columns.

    A column that the corpus has already is replaced; a candidate that the table does not name has nothing there.
    """
    rows = table.take(pc.index_in(candidates.ids, value_set=table["sample_id"].combine_chunks()))
    samples = candidates.samples
    for name in table.column_names:
        if name in ("sample_id", "split"):
            continue
        samples = samples.drop_columns([name]) if name in samples.column_names else samples
        samples = samples.append_column(name, rows[name])
    return replace(candidates, samples=samples.combine_chunks())


def candidate_column(candidates: Candidates, column: str, use: str) -> pa.Array:
    """Return what the corpus knows of the candidates, or what the track's damage draws for them.

    Of a name such as `feature_noise.snr_db` the last part will do, where no other column ends in it. `use` says in the
    message what the column was wanted for.
    """
    columns = [name for name in candidates.samples.column_names if name not in ("sample_id", "split")]
    if len(fitting := _fitting(column, columns)) == 1:
        return candidates.samples[fitting[0]].combine_chunks()
    drawn = _drawn_columns(candidates)
    if not fitting and len(matching := _fitting(column, list(drawn))) == 1:
        return _drawn(candidates, *drawn[matching[0]])
    if column.rpartition(".")[2] in _REALISED or column.rpartition(".")[2].startswith("realised_"):
        raise UsageError(
            f"column '{column}' {use} is realised when clips are damaged: name the manifest of `merbench corrupt`, "
            "--manifest FILE"
        )
    columns += [name for name in drawn if name not in columns]
    there = f"it has {listed(columns, 12)}" if columns else "it has none"
    raise UsageError(
        f"corpus '{candidates.corpus.name}' has no column '{column}' {use}; {there}{did_you_mean(column, columns)}"
    )


_REALISED = ("source", "offset_s", "decoded_snr_db", "available")
"""What a manifest tells of a sample that no draw does, beside names that begin with `realised_`."""


def _fitting(column: str, columns: Sequence[str]) -> list[str]:
    return [column] if column in columns else [name for name in columns if name.endswith(f".{column}")]


def _drawn_columns(candidates: Candidates) -> dict[str, tuple[Step, str]]:
    """Return `<step>.<parameter>` -> step and parameter, of all that differs from sample to sample."""
    steps = candidates.track.steps(candidates.split)
    return {f"{step.step_name}.{name}": (step, name) for step in steps for name in step.drawn_names}


def _drawn(candidates: Candidates, step: Step, name: str) -> pa.Array:
    seed, of_sample = candidates.track.seed, step.corruption.scope == "sample"
    ids = candidates.ids.to_pylist()
    if not of_sample:
        return pa.array([step.draws(seed, "")[name]] * len(ids))
    return pa.array([step.draws(seed, sample_id)[name] for sample_id in ids])


def values_digest(ids_digest: str, values: Mapping[str, Values]) -> str:
    """Return the SHA-256 over ids and aligned values, the same on every machine and for every file format."""
    columns: dict[str, NDArray[Any]] = {}
    for name, held in values.items():
        parts = held.columns if isinstance(held, (Lists, Segments)) else {"": held}
        columns |= {f"{name}{'.' if part else ''}{part}": array for part, array in parts.items()}
    pieces = [ids_digest.encode()]
    for name in sorted(columns):
        array = np.ascontiguousarray(columns[name], dtype=columns[name].dtype.newbyteorder("<"))
        pieces += [name.encode(), array.tobytes()]
    return sha256_bytes(*pieces)


def open_candidates(track: str | Path | Track, split: str = "test") -> Candidates:
    """Return the candidates of one split of a track.

    Args:
        track: a name, a folder, or a loaded track.
        split: name of the split in the track.

    Raises:
        UsageError: the track has no such split, or the corpus has no sample of it.
        UnknownName: the corpus is not in the data home.
    """
    if not isinstance(track, Track):
        track = load_track(track)
    if split not in track.splits:
        known = ", ".join(track.splits)
        raise UsageError(f"{track.id} has no split '{split}'; it has {known}{did_you_mean(split, track.splits)}")
    corpus = open_corpus(track.corpus, relative_to=track.folder)
    samples = corpus.samples()
    sources = track.splits[split].source
    samples = samples.filter(pc.is_in(samples["split"], pa.array(sources))).combine_chunks()
    if not samples.num_rows:
        there = sorted(set(corpus.samples()["split"].unique().to_pylist()))
        wanted = " or ".join(f"'{source}'" for source in sources)
        raise UsageError(f"corpus '{corpus.name}' has no sample in split {wanted}; it has {', '.join(there)}")
    return Candidates(track, split, corpus, samples["sample_id"].combine_chunks(), samples)
