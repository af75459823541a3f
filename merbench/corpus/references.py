"""The reference columns of a target go in, its values come out, and which samples hold one.

Conventions:
    Columns are Arrow arrays with one item per candidate; a null, or the mark that a track declares as `invalid`, is no
    reference. Values are those of `merbench.metrics.metric`; what stands where none is held means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.errors import UsageError, listed
from merbench.metrics.lists import Values
from merbench.parsing import BadCell, read_label_lists
from merbench.parsing.ranked import ranked_lists
from merbench.parsing.segments import segment_lists
from merbench.track import (
    CategoricalTarget,
    ContinuousTarget,
    LabelSetTarget,
    MultilabelTarget,
    PreferenceTarget,
    RankedTarget,
    ScoresTarget,
    SegmentsTarget,
    Target,
    TextTarget,
)

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


class ReferenceColumn(NamedTuple):
    """The references of one target.

    Attributes:
        values: one value per candidate.
        held: which candidates hold a reference.
    """

    values: Values
    held: Mask


def reference_columns(name: str, target: Target) -> tuple[str, ...]:
    """Return the columns of a corpus that hold the references of a target."""
    if isinstance(target, TextTarget) and target.reference is not None:
        return (target.reference,)
    if isinstance(target, ContinuousTarget) and not target.reference:
        return ()
    return target.columns(name)


def reference_values(corpus: str, name: str, target: Target, columns: Sequence[pa.Array], n: int) -> ReferenceColumn:
    """Return the references of a target for n candidates; where it has none, zeros that every candidate holds.

    Raises:
        UsageError: a reference is none that the track declares.
    """
    if not columns:
        return ReferenceColumn(np.zeros(n), np.ones(n, dtype=np.bool_))
    where = f"corpus '{corpus}': the references of {name}"
    column = columns[0]
    match target:
        case CategoricalTarget():
            held = _held(column, target.invalid)
            return ReferenceColumn(_codes(where, column, held, target.labels, target.aliases), held)
        case PreferenceTarget():
            held = np.asarray(column.is_valid())
            codes = _codes(where, column, held, ("a1", "a2", "same"), {})
            return ReferenceColumn(codes, held & (codes < len(target.labels)))
        case ScoresTarget():
            held = np.asarray(column.is_valid())
            return ReferenceColumn(
                _codes(where, column, held, (target.negative, target.positive), {}).astype(np.int8), held
            )
        case MultilabelTarget():
            return _indicators(where, target, columns)
        case LabelSetTarget() | TextTarget():
            split = target.split if isinstance(target, LabelSetTarget) else "official"
            sets = read_label_lists(column, split=split)
            return ReferenceColumn(_read(where, column, sets.lists, sets.bad), np.asarray(column.is_valid()))
        case RankedTarget():
            lists, bad = ranked_lists(column, target.labels, target.aliases)
            return ReferenceColumn(_read(where, column, lists, bad), np.asarray(column.is_valid()))
        case SegmentsTarget():
            segments, bad = segment_lists(column, target.labels)
            return ReferenceColumn(_read(where, column, segments, bad), np.asarray(column.is_valid()))
    numbers, held = _numbers(where, target.invalid, column)
    scale = target.reference_scale if isinstance(target, ContinuousTarget) else 1.0
    return ReferenceColumn(numbers * scale, held)


def _held(column: pa.Array, invalid: Sequence[str]) -> Mask:
    marked = pc.is_in(column.cast(pa.string()), value_set=pa.array(invalid, pa.string()))
    return np.asarray(np.asarray(column.is_valid()) & ~np.asarray(marked))


def _codes(
    where: str, column: pa.Array, held: Mask, labels: Sequence[str], aliases: dict[str, str]
) -> NDArray[np.int32]:
    codes = [*range(len(labels)), *(labels.index(label) for label in aliases.values()), -1]
    text = column.cast(pa.string())
    found = np.asarray(pc.fill_null(pc.index_in(text, value_set=pa.array([*labels, *aliases])), len(codes) - 1))
    values: NDArray[np.int32] = np.asarray(codes, dtype=np.int32)[found]
    strange = sorted(set(text.filter(pa.array(held & (values < 0))).to_pylist()))
    if strange:
        raise UsageError(f"{where} hold {listed(strange)}; the track declares {', '.join(labels)}")
    return values


def _numbers(where: str, invalid: float | None, column: pa.Array) -> tuple[Numbers, Mask]:
    try:
        numbers = np.asarray(column.cast(pa.float64()).fill_null(np.nan), dtype=np.float64)
    except pa.ArrowInvalid as error:
        raise UsageError(f"{where} are not all numbers") from error
    held = np.asarray(column.is_valid())
    if invalid is not None:
        held = held & (numbers != invalid)
    if not np.isfinite(numbers[held]).all():
        raise UsageError(f"{where} are not all finite numbers")
    return numbers, held


def _indicators(where: str, target: MultilabelTarget, columns: Sequence[pa.Array]) -> ReferenceColumn:
    """Return 0 and 1 for every label, -1 where it is not known; a sample holds a reference if any label is known."""
    table = np.full((len(columns[0]), len(columns)), -1, dtype=np.int8)
    for place, column in enumerate(columns):
        numbers, known = _numbers(where, target.invalid, column)
        if not np.isin(numbers[known], (0, 1)).all():
            raise UsageError(f"{where} are not all 0 or 1 in column '{target.labels[place]}'")
        table[known, place] = numbers[known]
    return ReferenceColumn(table, np.asarray((table >= 0).any(axis=1)))


def _read(where: str, column: pa.Array, values: Any, bad: Sequence[BadCell]) -> Any:
    messages = [cell.message for cell in bad if column[cell.row].is_valid]
    if messages:
        raise UsageError(f"{where} cannot be read ({len(messages):,} of {len(column):,}): {listed(messages)}")
    return values
