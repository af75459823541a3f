"""A corpus goes in, what `merbench corpus info` shows comes out: counts, types and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus.folder import Corpus
from merbench.corpus.tables import ID, SPLIT, type_name

MAX_LABELS = 50
"""A target with more different values than this is told by its range alone, or by their number."""


@dataclass(frozen=True)
class ColumnSummary:
    """A column of the samples: its type, and how many samples it says something of."""

    name: str
    type: str
    n_known: int


@dataclass(frozen=True)
class TargetSummary:
    """A column of the references.

    Attributes:
        name: name of the target.
        type: type of its values.
        held: split -> references held.
        labels: value -> references, most frequent first; empty for numbers, and for very many values.
        range: smallest and largest number; None for labels.
    """

    name: str
    type: str
    held: Mapping[str, int]
    labels: Mapping[str, int]
    range: tuple[float, float] | None


@dataclass(frozen=True)
class FeatureSummary:
    """A feature: how many samples it covers, how many numbers a vector has, whether it holds frames."""

    name: str
    n_samples: int
    width: int
    frames: bool


@dataclass(frozen=True)
class CorpusSummary:
    """What a corpus holds."""

    corpus: Corpus
    splits: Mapping[str, int]
    columns: tuple[ColumnSummary, ...]
    targets: tuple[TargetSummary, ...]
    features: tuple[FeatureSummary, ...]


def summarise(corpus: Corpus) -> CorpusSummary:
    """Return what a corpus holds; raise `IntegrityError` when its tables changed on disk."""
    samples, reference = corpus.samples(), corpus.reference()
    targets: list[TargetSummary] = []
    if reference is not None:
        splits = samples[SPLIT].take(pc.index_in(reference[ID], value_set=samples[ID].combine_chunks()))
        targets = [_target(name, reference[name], splits) for name in reference.column_names if name != ID]
    columns = (name for name in samples.column_names if name not in (ID, SPLIT))
    return CorpusSummary(
        corpus=corpus,
        splits=_counts(samples[SPLIT]),
        columns=tuple(ColumnSummary(name, _type_name(samples[name]), _n_known(samples[name])) for name in columns),
        targets=tuple(targets),
        features=tuple(FeatureSummary(name, *corpus.feature_shape(name)) for name in corpus.features),
    )


def _type_name(column: pa.ChunkedArray) -> str:
    name = type_name(column.type)
    return {"string": "text", "int64": "integers", "double": "numbers", "bool": "true or false"}.get(name, name)


def _n_known(column: pa.ChunkedArray) -> int:
    """Return how many values say something: neither a null nor an empty string."""
    empty = pc.sum(pc.equal(column, "")).as_py() or 0 if column.type == pa.string() else 0
    return len(column) - int(column.null_count) - int(empty)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(Counter(column.to_pylist()).items()))


def _target(name: str, column: pa.ChunkedArray, splits: pa.ChunkedArray) -> TargetSummary:
    held = _counts(splits.filter(column.is_valid()))
    values = column.drop_null()
    is_text = pa.types.is_string(values.type) or pa.types.is_boolean(values.type)
    counts = Counter(map(str, values.to_pylist())) if is_text or pa.types.is_integer(values.type) else Counter()
    labels = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) if len(counts) <= MAX_LABELS else {}
    is_number = pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
    extent = pc.min_max(values).as_py() if is_number and len(values) else None
    span = None if extent is None else (float(extent["min"]), float(extent["max"]))
    return TargetSummary(name, _type_name(values), held, labels, span)
