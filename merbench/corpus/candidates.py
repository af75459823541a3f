"""The samples of a track's split that are to be predicted, with their references where they are known.

Conventions:
    Candidates are sorted by sample id; every array about them has one item per candidate, in that order.
    A reference is an int32 code of the declared labels, a finite float64, or a row of shares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.declaration import ID, SPLIT
from merbench.corpus.folder import Corpus, open_corpus
from merbench.errors import Problem, UsageError, WithheldReference, did_you_mean, listed
from merbench.files.reading import sha256_bytes
from merbench.metrics.lists import Lists, Segments, Values
from merbench.targets import ReferenceColumn
from merbench.track import Track, load_track

_REALISED = ("source", "offset_s", "decoded_snr_db", "available")
"""What only a manifest states about a sample, besides names that begin with `realised_`."""


_IDS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class References:
    """The references of a split, without candidates that have none."""

    index: NDArray[np.int64]  # positions of the scored rows among the candidates, ascending
    values: dict[str, Values]  # one array per target, aligned with `index`
    # target -> which of those rows have a reference; a target without an entry has all
    known: dict[str, NDArray[np.bool_]]
    digest: str  # SHA-256 over ids and values
    # target -> `(n, K)` votes of annotators for its labels, where the corpus has them; a target may be without
    votes: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()  # references that cannot be used

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The samples of one split of a track: what a participant predicts."""

    track: Track
    split: str  # name of the split in the track
    corpus: Corpus
    ids: pa.StringArray = field(repr=False)  # sorted sample ids
    samples: pa.Table = field(repr=False)  # the columns of the samples, one row per id, in the same order

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def hidden(self) -> bool:
        """Whether it is secret which candidates are scored."""
        declared = self.track.splits.get(self.split)
        return declared is not None and declared.hidden

    @cached_property
    def ids_digest(self) -> str:
        """SHA-256 over the candidates' ids."""
        return ids_digest(self.ids)

    @cached_property
    def references(self) -> References:
        """The known references.

        Raises:
            WithheldReference: none is known for this split.
            UsageError: the references do not fit the track's targets.
        """
        corpus, targets = self.corpus.name, self.track.targets
        table = self.corpus.reference()
        withheld = WithheldReference(
            f"the references of split '{self.split}' of {self.track.id} are withheld: corpus '{corpus}' "
            "has none of them; `merbench validate` checks a file without them"
        )
        columns = {name: target.reference_columns(name) for name, target in targets.items()}
        if table is None:
            if any(columns.values()):
                raise withheld
            table = pa.table({ID: self.ids})
        absent = [column for group in columns.values() for column in group if column not in table.column_names]
        if absent:
            names = [name for name in table.column_names if name != ID]
            hint = f"it has {listed(names)}{did_you_mean(absent[0], names)}"
            raise UsageError(f"corpus '{corpus}' has no reference column {listed(absent)}; {hint}")
        rows = table.take(pc.index_in(self.ids, value_set=table[ID].combine_chunks()))
        read = {
            name: target.read_references(
                f"corpus '{corpus}': the references of {name}",
                [rows[column].combine_chunks() for column in columns[name]],
                len(self),
            )
            for name, target in targets.items()
        }
        index = self._scored({name: column.known for name, column in read.items()})
        warnings = tuple(chain.from_iterable(self._without_votes(name, column) for name, column in read.items()))
        if not len(index):
            raise (
                UsageError(*(f"corpus '{corpus}': {each.column}: {each.message}" for each in warnings))
                if warnings
                else withheld
            )
        values = {name: column.values[index] for name, column in read.items()}
        known = {name: column.known[index] for name, column in read.items() if not column.known[index].all()}
        masks = {f"held {name}": mask.view(np.uint8) for name, mask in known.items()}
        votes = {name: column.votes[index] for name, column in read.items() if column.votes is not None}
        content = {"": index, **values, **masks, **{f"votes {name}": table for name, table in votes.items()}}
        return References(index, values, known, values_digest(self.ids_digest, content), votes, warnings)

    def _without_votes(self, name: str, column: ReferenceColumn) -> Iterator[Problem]:
        if column.without_votes is not None and (n := int(column.without_votes.sum())):
            ids = self.ids.filter(pa.array(column.without_votes)).to_pylist()
            message = f"the votes of {n:,} of {len(self):,} samples sum to 0; they are not scored: {listed(ids)}"
            yield Problem("W721", message, column=name)

    def _scored(self, known: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.int64]:
        """Return the rows that count: those with every required reference, and with any reference."""
        required = [mask for name, mask in known.items() if self.track.targets[name].required]
        complete = np.logical_and.reduce([np.logical_or.reduce(list(known.values())), *required])
        partial = np.logical_or.reduce(required) & ~complete if required else np.zeros_like(complete)
        if partial.any():
            ids = self.ids.filter(pa.array(partial)).to_pylist()
            raise UsageError(
                f"{len(ids):,} of {len(self):,} samples of split '{self.split}' have a reference for some of "
                f"{listed(list(self.track.targets))} and not for all: {listed(ids)}"
            )
        return np.flatnonzero(complete).astype(np.int64)


def with_columns(candidates: Candidates, table: pa.Table) -> Candidates:
    """Return the candidates with the columns of a table, which has a column `sample_id`, among their samples.

    A column of the same name is replaced; a candidate that is not in the table has nulls.
    """
    rows = table.take(pc.index_in(candidates.ids, value_set=table[ID].combine_chunks()))
    samples = candidates.samples
    for name in table.column_names:
        if name not in (ID, SPLIT):
            samples = samples.drop_columns([name]) if name in samples.column_names else samples
            samples = samples.append_column(name, rows[name])
    return replace(candidates, samples=samples.combine_chunks())


def candidate_column(candidates: Candidates, column: str, use: str) -> pa.Array:
    """Return a column of the candidates' samples, or one that is computed of them when it is asked for.

    These are the parameters that the track's corruptions sample, and what merbench says of a corpus that it makes
    itself, such as the captions of the sample corpus.

    Of a name such as `feature_noise.snr_db` the last part is enough, where no other column ends in it. `use` completes
    the message that the column does not exist.
    """
    columns = [name for name in candidates.samples.column_names if name not in (ID, SPLIT)]
    if len(matches := _matching(column, columns)) == 1:
        return candidates.samples[matches[0]].combine_chunks()
    steps = candidates.track.steps(candidates.split)
    sampled = {f"{step.step_name}.{name}": (step, name) for step in steps for name in step.drawn_names}
    if not matches and len(matches := _matching(column, list(sampled))) == 1:
        step, name = sampled[matches[0]]
        ids = candidates.ids.to_pylist()
        keys = ids if step.corruption.scope == "sample" else [""]
        values = [step.draws(candidates.track.seed, key)[name] for key in keys]
        return pa.array(values if len(values) == len(ids) else values * len(ids))
    made = candidates.corpus.made_columns
    if column in made:
        return pa.array(made[column](candidates.ids.to_pylist()))
    last = column.rpartition(".")[2]
    if last in _REALISED or last.startswith("realised_"):
        raise UsageError(
            f"column '{column}' {use} is only known after clips are corrupted: name the manifest of "
            "`merbench corrupt`, --manifest FILE"
        )
    columns += [name for name in (*sampled, *made) if name not in columns]
    hint = f"it has {listed(columns, 12)}" if columns else "it has none"
    raise UsageError(
        f"corpus '{candidates.corpus.name}' has no column '{column}' {use}; {hint}{did_you_mean(column, columns)}"
    )


def _matching(column: str, columns: Sequence[str]) -> list[str]:
    return [column] if column in columns else [name for name in columns if name.endswith(f".{column}")]


def ids_digest(ids: pa.StringArray) -> str:
    """Return the SHA-256 over ids, one a line; some thousands of them at a time are Python's strings."""
    starts = range(0, len(ids), _IDS_AT_ONCE)
    lines = ["\n".join(ids.slice(start, _IDS_AT_ONCE).to_pylist()) for start in starts]
    return sha256_bytes("\n".join(lines).encode())


def values_digest(ids_digest: str, values: Mapping[str, Values]) -> str:
    """Return the SHA-256 over ids and aligned values, the same on every machine and for every file format."""
    columns: dict[str, NDArray[Any]] = {}
    for name, array in values.items():
        parts = array.columns if isinstance(array, (Lists, Segments)) else {"": array}
        columns |= {f"{name}{'.' if part else ''}{part}": numbers for part, numbers in parts.items()}
    pieces = [ids_digest.encode()]
    for name in sorted(columns):
        numbers = np.ascontiguousarray(columns[name], dtype=columns[name].dtype.newbyteorder("<"))
        pieces += [name.encode(), numbers.tobytes()]
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
    candidates = candidates_in(track, split, corpus, track.splits[split].source)
    return _chosen(candidates, track.splits[split].where)


def _chosen(candidates: Candidates, where: Mapping[str, str | int]) -> Candidates:
    """Return the candidates with some values in some columns.

    Raises:
        UsageError: there is no such column, or no such candidate.
    """
    for column, value in where.items():
        texts = candidate_column(candidates, column, f"that split '{candidates.split}' is chosen by").cast(pa.string())
        samples = candidates.samples.filter(pc.equal(texts, str(value))).combine_chunks()
        if not samples.num_rows:
            known = listed(sorted(text for text in texts.unique().to_pylist() if text is not None))
            message = f"no sample of split '{candidates.split}' has '{value}' in column '{column}'; it has {known}"
            raise UsageError(f"corpus '{candidates.corpus.name}': {message}")
        candidates = replace(candidates, ids=samples[ID].combine_chunks(), samples=samples)
    return candidates


def candidates_in(track: Track, split: str, corpus: Corpus, sources: Sequence[str]) -> Candidates:
    """Return the samples of some splits of a corpus as the candidates of a split of a track.

    Raises:
        UsageError: the corpus has no sample of these splits.
    """
    everything = corpus.samples()
    samples = everything.filter(pc.is_in(everything[SPLIT], pa.array(sources))).combine_chunks()
    if not samples.num_rows:
        names = ", ".join(sorted(everything[SPLIT].unique().to_pylist()))
        wanted = " or ".join(f"'{source}'" for source in sources)
        raise UsageError(f"corpus '{corpus.name}' has no sample in split {wanted}; it has {names}")
    return Candidates(track, split, corpus, samples[ID].combine_chunks(), samples)
