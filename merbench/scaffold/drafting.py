"""A corpus goes in, the splits and targets that a track of its own may declare come out.

Conventions:
    A column's type, and the form of all its cells, tell the kind of target; labels and ranges are those of the training
    split alone, since references of another one must not show in a file that is published.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from merbench.corpus import Corpus
from merbench.errors import UsageError
from merbench.targets.label_set import read_label_lists
from merbench.targets.preference import CHOICES
from merbench.targets.segments import segment_lists

Kind = Literal["categorical", "continuous", "label_set", "preference", "segments"]

MOST_CLASSES = 10
"""A column of whole numbers with at most this many distinct ones may hold classes."""

DURATIONS = ("duration_s", "duration")
"""Columns of samples that are taken for their length in seconds."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """A target to declare.

    Attributes:
        kind: its type.
        labels: its labels, in order; of numbers, what they are called if they stand for classes.
        range: lowest and highest number; None where it holds none.
        duration: of segments, the column that bounds them; empty where there is none.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    range: tuple[int, int] | None = None
    duration: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a track may declare.

    Attributes:
        splits: name of a split → that of the corpus.
        targets: the targets by name.
        indicators: targets that hold nothing but 0 and 1, and may be labels of one target; none or several.
        observed: whether ranges are those of a corpus, which need not hold all that may be predicted.
    """

    splits: Mapping[str, str]
    targets: Mapping[str, Drafted]
    indicators: tuple[str, ...] = ()
    observed: bool = True


EXAMPLE = Draft(
    splits={"train": "train", "test": "test"},
    targets={
        "discrete": Drafted("categorical", labels=("neutral", "angry", "happy", "sad", "worried", "surprise")),
        "valence": Drafted("continuous", range=(-5, 5)),
    },
    observed=False,
)
"""What is drafted without a corpus, to be edited."""


def draft_of(corpus: Corpus) -> Draft:
    """Return what a track on a corpus may declare.

    Raises:
        UsageError: the corpus holds no references.
        IntegrityError: a table changed on disk.
    """
    reference, samples = corpus.reference(), corpus.samples()
    if reference is None:
        raise UsageError(f"corpus '{corpus.name}' holds no references, so its targets are not known")
    shown = reference
    if "train" in samples["split"].to_pylist():
        train = samples["sample_id"].filter(pc.equal(samples["split"], "train"))
        shown = reference.filter(pc.is_in(reference["sample_id"], value_set=train.combine_chunks()))
    duration = next((name for name in DURATIONS if name in samples.column_names), "")
    names = [name for name in reference.column_names if name != "sample_id"]
    targets = {name: _drafted(_held(reference[name]), _held(shown[name]), duration) for name in names}
    indicators = tuple(name for name in names if _is_indicator(_held(reference[name])))
    return Draft(_splits(samples["split"].to_pylist()), targets, indicators if len(indicators) > 1 else ())


def _splits(names: Iterable[str]) -> dict[str, str]:
    known = sorted(set(names))
    splits: dict[str, str] = {name: name for name in ("train", "dev", "test") if name in known}
    splits.setdefault("test", next((name for name in known if name not in splits), known[-1]))
    return splits


def _held(column: pa.ChunkedArray) -> pa.Array:
    return column.drop_null().combine_chunks()


def _drafted(column: pa.Array, shown: pa.Array, duration: str) -> Drafted:
    """Return the target that a column of references may be, by labels and numbers of the part that may be shown."""
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return _number(shown)
    if pa.types.is_boolean(column.type):
        return Drafted("categorical", labels=("false", "true"))
    if _holds_sets(column):
        return Drafted("label_set")
    if len(column) and set(column.to_pylist()) <= set(CHOICES):
        return Drafted("preference")
    if _holds_segments(column):
        return Drafted("segments", labels=_segment_labels(shown), duration=duration)
    labels = sorted(set(shown.to_pylist()))
    return Drafted("categorical", labels=tuple(label for label in labels if label and label == label.strip()))


def _number(shown: pa.Array) -> Drafted:
    bounds = pc.min_max(shown).as_py()
    values = sorted(shown.unique().to_pylist()) if pa.types.is_integer(shown.type) else []
    return Drafted(
        "continuous",
        labels=tuple(map(str, values)) if 2 <= len(values) <= MOST_CLASSES else (),
        range=(math.floor(bounds["min"] or 0), math.ceil(bounds["max"] or 0)),
    )


def _holds_sets(column: pa.Array) -> bool:
    """Return whether all cells are lists, or are written as lists."""
    if pa.types.is_list(column.type):
        return True
    listed = pc.match_substring_regex(column, r"^\s*\[.*\]\s*$")
    return bool(len(column) and pc.all(listed).as_py() and not read_label_lists(column).bad)


def _holds_segments(column: pa.Array) -> bool:
    labels = _segment_labels(column)
    return bool(labels) and not segment_lists(column, labels)[1]


def _segment_labels(column: pa.Array) -> tuple[str, ...]:
    """Return what stands before the two times of every segment; nothing where a piece has no times."""
    pieces = {tuple(piece.rsplit("-", 2)) for cell in column.to_pylist() for piece in cell.split()}
    return tuple(sorted({piece[0] for piece in pieces})) if all(len(piece) == 3 for piece in pieces) else ()


def _is_indicator(column: pa.Array) -> bool:
    return bool(len(column) and pa.types.is_integer(column.type) and set(column.unique().to_pylist()) <= {0, 1})
