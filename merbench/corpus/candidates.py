"""A track and the name of a split go in, the samples to be predicted come out, with the references where they are held.

Conventions:
    Candidates are sorted by sample id; every array about them has one item per candidate, in that order.
    A reference is an int32 code of the declared labels, or a finite float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.folder import Corpus
from merbench.corpus.home import open_corpus
from merbench.errors import UsageError, WithheldReference, did_you_mean, listed
from merbench.files import sha256_bytes
from merbench.track import CategoricalTarget, Track


@dataclass(frozen=True, eq=False)
class References:
    """The references of a split: only those rows whose reference is held.

    Attributes:
        index: int64 positions of the scored rows among the candidates, ascending.
        values: one array per target, aligned with `index`.
        digest: SHA-256 over ids and values.
    """

    index: NDArray[np.int64]
    values: dict[str, NDArray[Any]]
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
        if table is None:
            raise withheld
        absent = [name for name in self.track.targets if name not in table.column_names]
        if absent:
            there = [name for name in table.column_names if name != "sample_id"]
            raise UsageError(
                f"corpus '{self.corpus.name}' has no reference column {listed(absent)}; it has {listed(there)}"
                f"{did_you_mean(absent[0], there)}"
            )
        position = pc.index_in(self.ids, value_set=table["sample_id"].combine_chunks())
        rows = table.select(list(self.track.targets)).take(position)
        held = [rows[name].is_valid() for name in self.track.targets]
        complete = np.logical_and.reduce([column.to_numpy() for column in held])
        partial = np.logical_or.reduce([column.to_numpy() for column in held]) & ~complete
        if partial.any():
            ids = self.ids.filter(pa.array(partial)).to_pylist()
            raise UsageError(
                f"{len(ids):,} of {len(self):,} samples of split '{self.split}' hold a reference for some of "
                f"{listed(list(self.track.targets))} and not for all: {listed(ids)}"
            )
        index = np.flatnonzero(complete).astype(np.int64)
        if not len(index):
            raise withheld
        scored = rows.take(pa.array(index))
        values = {name: self._codes_or_numbers(name, scored[name].combine_chunks()) for name in self.track.targets}
        return References(index, values, values_digest(self.ids_digest, {"": index, **values}))

    def _codes_or_numbers(self, name: str, column: pa.Array) -> NDArray[Any]:
        target = self.track.targets[name]
        if isinstance(target, CategoricalTarget):
            labels = [*target.labels, *target.aliases]
            codes = [*range(len(target.labels)), *(target.labels.index(label) for label in target.aliases.values())]
            text = column.cast(pa.string())
            found = pc.index_in(text, value_set=pa.array(labels))
            if found.null_count:
                strange = sorted(set(text.filter(found.is_null()).to_pylist()))
                raise UsageError(
                    f"corpus '{self.corpus.name}': the references of {name} hold {listed(strange)}; "
                    f"{self.track.id} declares {', '.join(target.labels)}"
                )
            return np.asarray(np.asarray(codes, dtype=np.int32)[found.to_numpy()])
        try:
            numbers = np.asarray(column.cast(pa.float64()).to_numpy())
        except pa.ArrowInvalid as error:
            raise UsageError(f"corpus '{self.corpus.name}': the references of {name} are not all numbers") from error
        if not np.isfinite(numbers).all():
            raise UsageError(f"corpus '{self.corpus.name}': the references of {name} are not all finite numbers")
        return numbers


def values_digest(ids_digest: str, values: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 over ids and aligned values, the same on every machine and for every file format."""
    parts = [ids_digest.encode()]
    for name in sorted(values):
        array = np.ascontiguousarray(values[name], dtype=values[name].dtype.newbyteorder("<"))
        parts += [name.encode(), array.tobytes()]
    return sha256_bytes(*parts)


def open_candidates(track: Track, split: str = "test") -> Candidates:
    """Return the candidates of one split of a track.

    Raises:
        UsageError: the track has no such split, or the corpus has no sample of it.
        UnknownName: the corpus is not in the data home.
    """
    if split not in track.splits:
        known = ", ".join(track.splits)
        raise UsageError(f"{track.id} has no split '{split}'; it has {known}{did_you_mean(split, track.splits)}")
    corpus = open_corpus(track.corpus, relative_to=track.folder)
    samples = corpus.samples()
    source = track.splits[split].source
    samples = samples.filter(pc.equal(samples["split"], source)).combine_chunks()
    if not samples.num_rows:
        there = sorted(set(corpus.samples()["split"].unique().to_pylist()))
        raise UsageError(f"corpus '{corpus.name}' has no sample in split '{source}'; it has {', '.join(there)}")
    return Candidates(track, split, corpus, samples["sample_id"].combine_chunks(), samples)
