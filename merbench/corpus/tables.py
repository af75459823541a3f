"""Arrow tables and features go in, checked ones of plain types come out, with digests over their values.

Conventions:
    Tables hold columns of strings, lists of strings, booleans, int64 and finite float64, and are sorted by
    `sample_id` (by the bytes of its UTF-8 form). A missing value is a null. A digest covers names, types and
    values: not the order of columns or rows, nor the file format, nor the machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.feature import Feature
from merbench.errors import Problem, did_you_mean, listed, printable

ID = "sample_id"
SPLIT = "split"

STRINGS = pa.list_(pa.field("element", pa.string()))
"""The type of a column of lists, named as Parquet names it."""

FEATURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Origin:
    """Where a table or a feature came from, so that a message can point there.

    Attributes:
        name: the file, or what stands for it.
        lines: line of the file for every row, where it has lines.
    """

    name: str
    lines: Sequence[int] | None = None

    def example(self, row: int, value: object) -> str:
        """Return one example for a message: the value and its line."""
        shown = f"'{printable(value)}'" if isinstance(value, str) else str(value)
        return f"{shown} (line {self.lines[row]})" if self.lines is not None else shown


@dataclass(frozen=True)
class Contents:
    """What a corpus holds beside its metadata: tables and features, and where they came from."""

    samples: pa.Table
    reference: pa.Table | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    samples_origin: Origin = Origin("samples")
    reference_origin: Origin = Origin("reference")

    def problems(self) -> list[Problem]:
        """Return everything that is wrong, of tables and of features."""
        found = [*_table_problems(self.samples, self.samples_origin, (ID, SPLIT))]
        ids = self.samples[ID] if self.samples.column_names.count(ID) == 1 else None
        known = None if ids is None else set(ids.to_pylist())
        if not self.samples.num_rows:
            found.append(Problem("E611", f"{self.samples_origin.name}: there is no sample"))
        if self.reference is not None:
            found += _table_problems(self.reference, self.reference_origin, (ID,))
            found += _reference_problems(self.reference, self.reference_origin, self.samples, known)
        found += name_problems(list(self.features))
        for name, feature in self.features.items():
            found += _feature_problems(f"feature '{name}'", feature, known)
        return found

    def normalised(self) -> Contents:
        """Return the same contents in plain types, sorted, without reference rows that hold nothing."""
        reference = None if self.reference is None else _held(_sorted(_plain(self.reference)))
        return replace(
            self,
            samples=_sorted(_plain(self.samples)),
            reference=reference,
            features={name: self.features[name].sorted() for name in sorted(self.features)},
        )


def _plain_type(column_type: pa.DataType) -> pa.DataType | None:
    """Return the type a column is stored as; None for a type that tables do not hold."""
    types = pa.types
    if types.is_dictionary(column_type):
        return _plain_type(column_type.value_type)
    if types.is_string(column_type) or types.is_large_string(column_type) or types.is_string_view(column_type):
        return pa.string()
    if types.is_null(column_type):
        return pa.string()
    if types.is_boolean(column_type):
        return pa.bool_()
    if types.is_integer(column_type):
        return pa.int64()
    if types.is_floating(column_type):
        return pa.float64()
    if types.is_list(column_type) or types.is_large_list(column_type):
        return STRINGS if _plain_type(column_type.value_type) == pa.string() else None
    return None


def type_name(column_type: pa.DataType) -> str:
    """Return the name of a plain type, as digests write it (what Arrow prints differs between its versions)."""
    names = {pa.string(): "string", pa.bool_(): "bool", pa.int64(): "int64", pa.float64(): "double"}
    return names.get(column_type, "list<string>")


def _plain(table: pa.Table) -> pa.Table:
    columns = {name: table[name].cast(_plain_type(table[name].type)) for name in table.column_names}
    return pa.table(columns)


def _sorted(table: pa.Table) -> pa.Table:
    return table.take(pc.sort_indices(table[ID])).combine_chunks()


def _held(table: pa.Table) -> pa.Table:
    """Return the rows with a reference for at least one target: an empty one says that it is not held."""
    held = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names:
        if name != ID:
            held |= table[name].is_valid().to_numpy()
    return table.filter(pa.array(held)).combine_chunks()


def _table_problems(table: pa.Table, origin: Origin, required: Sequence[str]) -> Iterator[Problem]:
    names = table.column_names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield Problem("E611", f"{origin.name}: columns given twice: {listed(twice)}")
        return
    for name in required:
        if name not in names:
            message = f"there is no column '{name}'; there are {listed(names, 12)}; rename the one that holds it"
            yield Problem("E611", f"{origin.name}: {message}{did_you_mean(name, names)}")
    for name in names:
        yield from _column_problems(table[name], origin, name, is_key=name in required)


def _column_problems(column: pa.ChunkedArray, origin: Origin, name: str, *, is_key: bool) -> Iterator[Problem]:
    plain = _plain_type(column.type)
    if plain is None or (is_key and plain != pa.string()):
        allowed = "strings" if is_key else "strings, lists of strings, booleans, integers and floats"
        yield Problem("E614", f"{origin.name}: holds {column.type}; allowed are {allowed}", column=name)
    elif is_key:
        yield from _key_problems(column, origin, name)
    elif pa.types.is_uint64(column.type) and (pc.max(column).as_py() or 0) >= 2**63:
        yield Problem("E614", f"{origin.name}: holds an integer of 2^63 or more", column=name)
    elif plain == pa.float64():
        finite = pc.fill_null(pc.is_finite(column), True).to_numpy()
        rows = np.flatnonzero(~finite).tolist()
        remedy = "leave empty what is not known"
        yield from _row_problem("E614", origin, name, "values that are not finite numbers", rows, column, remedy)


def _key_problems(column: pa.ChunkedArray, origin: Origin, name: str) -> Iterator[Problem]:
    """Yield what is wrong with the text that names a sample or a split."""
    values = column.to_pylist()
    empty = [row for row, value in enumerate(values) if not value]
    yield from _row_problem("E612", origin, name, "empty values", empty, column)
    unclean = [row for row, value in enumerate(values) if value and (value != value.strip() or not value.isprintable())]
    remedy = "no spaces around it, no line breaks or control characters in it"
    yield from _row_problem("E612", origin, name, "values that cannot be a name", unclean, column, remedy)
    if name == ID:
        counts = Counter(values)
        again = [row for row, value in enumerate(values) if value and counts[value] > 1]
        yield from _row_problem("E612", origin, name, "values given more than once", again, column)


def _row_problem(
    code: str, origin: Origin, column: str, what: str, rows: Sequence[int], values: pa.ChunkedArray, remedy: str = ""
) -> Iterator[Problem]:
    """Yield one problem for all rows of a kind: how many of how many, the first five, what is allowed."""
    if rows:
        examples = listed([origin.example(row, values[row].as_py()) for row in rows])
        message = f"{origin.name}: {what} ({len(rows):,} of {len(values):,}): {examples}"
        yield Problem(code, f"{message}; {remedy}" if remedy else message, column=column)


def _reference_problems(
    reference: pa.Table, origin: Origin, samples: pa.Table, known: set[str] | None
) -> Iterator[Problem]:
    targets = [name for name in reference.column_names if name != ID]
    if not targets:
        yield Problem("E611", f"{origin.name}: there is no column of a target beside '{ID}'")
    for name in targets:
        if name in samples.column_names:
            message = f"{origin.name}: the column is among the samples too, where everybody reads it"
            yield Problem("E611", f"{message}; keep it in one of them", column=name)
    if known is not None and reference.column_names.count(ID) == 1:
        ids = reference[ID]
        strange = [row for row, value in enumerate(ids.to_pylist()) if value and value not in known]
        yield from _row_problem("E615", origin, ID, "references of no sample", strange, ids)


def name_problems(names: Sequence[str]) -> Iterator[Problem]:
    """Yield which names no feature can have, and which differ in case alone."""
    for name in names:
        if not FEATURE_NAME.fullmatch(name):
            message = "allowed are up to 100 of A-Z a-z 0-9 . _ -, the first a letter or digit"
            yield Problem("E616", f"feature '{name}': not a name of a feature; {message}")
    folded = Counter(name.casefold() for name in names)
    alike = [name for name in names if folded[name.casefold()] > 1]
    if alike:
        yield Problem("E616", f"names of features that differ in case alone: {listed(alike)}")


def _feature_problems(where: str, feature: Feature, known: set[str] | None) -> Iterator[Problem]:
    shape = feature.shape_problem()
    if shape:
        yield Problem("E616", f"{where}: {shape}")
        return
    ids, values = feature.ids.to_pylist(), feature.values
    n = len(ids)
    counts = Counter(ids)
    again = [name for name, count in counts.items() if count > 1]
    if again:
        yield Problem("E612", f"{where}: sample ids given more than once ({len(again):,} of {n:,}): {listed(again)}")
    strange = [] if known is None else [name for name in ids if name not in known]
    if strange:
        yield Problem("E615", f"{where}: values of no sample ({len(strange):,} of {n:,}): {listed(strange)}")
    unfit = feature.ids_of_rows(np.flatnonzero(~np.isfinite(values).all(axis=1)))
    if unfit:
        what = f"samples with values that are not finite ({len(unfit):,} of {n:,})"
        yield Problem("E614", f"{where}: {what}: {listed(unfit)}")


def table_digest(table: pa.Table) -> str:
    """Return the SHA-256 over the values of a table that is in plain types and sorted."""
    names = sorted(table.column_names)
    header = {"rows": table.num_rows, "columns": [[name, type_name(table[name].type)] for name in names]}
    digest = hashlib.sha256(json.dumps(header, ensure_ascii=False).encode())
    for name in names:
        for part in _value_bytes(table[name].combine_chunks()):
            digest.update(part)
    return digest.hexdigest()


def feature_digest(feature: Feature) -> str:
    """Return the SHA-256 over the ids and values of a feature that is sorted."""
    header = {"samples": len(feature), "width": feature.width, "frames": feature.offsets is not None}
    digest = hashlib.sha256(json.dumps(header).encode())
    for part in _value_bytes(feature.ids):
        digest.update(part)
    if feature.offsets is not None:
        digest.update(feature.offsets.astype("<i8").tobytes())
    digest.update(_number_bytes(feature.values, "<f4"))
    return digest.hexdigest()


def _number_bytes(values: NDArray[Any], code: str) -> bytes:
    """Return little-endian bytes; adding zero makes one of the two zeros that are equal and differ in bits."""
    data: bytes = (values + values.dtype.type(0)).astype(code, copy=False).tobytes()
    return data


def _value_bytes(array: pa.Array) -> Iterator[bytes | memoryview]:
    """Yield the bytes that stand for a column's values: which are there, then the values, zero for a null."""
    yield array.is_valid().to_numpy(zero_copy_only=False).astype("u1").tobytes()
    if pa.types.is_list(array.type):
        yield pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield from _value_bytes(array.flatten())
    elif pa.types.is_string(array.type):
        filled = pc.fill_null(array, "")
        yield pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield _text_bytes(filled)
    elif pa.types.is_boolean(array.type):
        yield pc.fill_null(array, False).to_numpy(zero_copy_only=False).astype("u1").tobytes()
    else:
        code = "<i8" if pa.types.is_integer(array.type) else "<f8"
        yield _number_bytes(pc.fill_null(array, 0).to_numpy(zero_copy_only=False), code)


def _text_bytes(array: pa.Array) -> memoryview:
    """Return the UTF-8 bytes of all strings of an array without nulls, one after the other."""
    _, offsets, data = array.buffers()
    if data is None or not len(array):
        return memoryview(b"")
    bounds = np.frombuffer(offsets, dtype=np.int32)
    return memoryview(data)[bounds[array.offset] : bounds[array.offset + len(array)]]
