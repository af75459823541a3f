"""The tables and features of a corpus: their checks, their plain types, and digests over their values.

Conventions:
    Tables hold columns of strings, lists of strings, booleans, int64 and finite float64, and are sorted by
    `sample_id` (by the bytes of its UTF-8 form). A missing value is a null. A digest covers names, types and
    values: not the order of columns or rows, the file format, or the machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from merbench.corpus.declaration import ID, SPLIT, ExtractionRecord
from merbench.corpus.feature import Feature
from merbench.errors import Problem, counted, did_you_mean, listed, printable

STRINGS = pa.list_(pa.field("element", pa.string()))
"""The type of a column of lists, named as Parquet names it."""

_BLOCK_NUMBERS = 1 << 20

FEATURE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Origin:
    """The file a table came from, for messages, and the line of every row, where it has lines."""

    name: str
    lines: Sequence[int] | None = None

    def example(self, row: int, value: object) -> str:
        """Return one example for a message: the value and its line."""
        shown = f"'{printable(value)}'" if isinstance(value, str) else str(value)
        return f"{shown} (line {self.lines[row]})" if self.lines is not None else shown

    def problem(
        self, code: str, column: str, what: str, cells: Sequence[tuple[int, object]], total: int, remedy: str
    ) -> Problem:
        """Return one problem for all rows of a kind: how many of how many, the first five with lines, the remedy."""
        message = counted(what, [self.example(row, value) for row, value in cells], total)
        return Problem(code, f"{self.name}: {message}{'; ' if remedy else ''}{remedy}", column=column)


@dataclass(frozen=True)
class Contents:
    """What a corpus contains besides its metadata: tables and features, and where they came from."""

    samples: pa.Table
    reference: pa.Table | None = None
    features: Mapping[str, Feature] = field(default_factory=dict)
    extracted: Mapping[str, ExtractionRecord] = field(default_factory=dict)  # feature -> how it was extracted
    samples_origin: Origin = Origin("samples")
    reference_origin: Origin = Origin("reference")

    def problems(self) -> list[Problem]:
        """Return everything that is wrong with tables and features."""
        problems = [*_table_problems(self.samples, self.samples_origin, (ID, SPLIT))]
        ids = self.samples[ID] if self.samples.column_names.count(ID) == 1 else None
        known = None if ids is None else set(ids.to_pylist())
        if not self.samples.num_rows:
            problems.append(Problem("E611", f"{self.samples_origin.name}: no samples"))
        if self.reference is not None:
            problems += _table_problems(self.reference, self.reference_origin, (ID,))
            problems += _reference_problems(self.reference, self.reference_origin, self.samples, known)
        problems += name_problems(list(self.features))
        for name, feature in self.features.items():
            problems += _feature_problems(f"feature '{name}'", feature, known)
        return problems

    def normalised(self) -> Contents:
        """Return the same contents in plain types, sorted, without reference rows that hold nothing."""
        return replace(
            self,
            samples=_normalised(self.samples),
            reference=None if self.reference is None else _with_values(_normalised(self.reference)),
            features={name: self.features[name].sorted() for name in sorted(self.features)},
        )


def _plain_type(column_type: pa.DataType) -> pa.DataType | None:
    """Return the type a column is stored as; None for a type that tables do not contain."""
    types = pa.types
    if types.is_dictionary(column_type):
        return _plain_type(column_type.value_type)
    if types.is_list(column_type) or types.is_large_list(column_type):
        return STRINGS if _plain_type(column_type.value_type) == pa.string() else None
    kinds = {
        pa.string(): (types.is_string, types.is_large_string, types.is_string_view, types.is_null),
        pa.bool_(): (types.is_boolean,),
        pa.int64(): (types.is_integer,),
        pa.float64(): (types.is_floating,),
    }
    return next((plain for plain, tests in kinds.items() if any(fits(column_type) for fits in tests)), None)


def type_name(column_type: pa.DataType) -> str:
    """Return the name of a plain type, as digests write it (what Arrow prints differs between its versions)."""
    names = {pa.string(): "string", pa.bool_(): "bool", pa.int64(): "int64", pa.float64(): "double"}
    return names.get(column_type, "list<string>")


def _normalised(table: pa.Table) -> pa.Table:
    plain = pa.table({name: table[name].cast(_plain_type(table[name].type)) for name in table.column_names})
    return plain.take(pc.sort_indices(plain[ID])).combine_chunks()


def _with_values(table: pa.Table) -> pa.Table:
    """Return the rows with a reference for at least one target."""
    columns = [table[name].is_valid() for name in table.column_names if name != ID]
    return table.filter(reduce(pc.or_, columns)).combine_chunks()


def repeated_columns(where: str, names: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem when several columns have the same name."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        yield Problem("E611", f"{where}: duplicate columns: {listed(repeated)}")


def _table_problems(table: pa.Table, origin: Origin, keys: Sequence[str]) -> Iterator[Problem]:
    names = table.column_names
    if len(set(names)) < len(names):
        yield from repeated_columns(origin.name, names)
        return
    for name in keys:
        if name not in names:
            message = f"no column '{name}'; the columns are {listed(names, 12)}; rename the one that contains it"
            yield Problem("E611", f"{origin.name}: {message}{did_you_mean(name, names)}")
    for name in names:
        yield from _column_problems(table[name], origin, name, is_key=name in keys)


def _column_problems(column: pa.ChunkedArray, origin: Origin, name: str, *, is_key: bool) -> Iterator[Problem]:
    plain = _plain_type(column.type)
    if plain is None or (is_key and plain != pa.string()):
        allowed = "strings" if is_key else "strings, lists of strings, booleans, integers and floats"
        yield Problem("E614", f"{origin.name}: contains {column.type}; allowed: {allowed}", column=name)
    elif is_key:
        yield from _key_problems(column, origin, name)
    elif pa.types.is_uint64(column.type) and (pc.max(column).as_py() or 0) >= 2**63:
        yield Problem("E614", f"{origin.name}: contains an integer of 2^63 or more", column=name)
    elif plain == pa.float64():
        finite = pc.fill_null(pc.is_finite(column), True).to_numpy()
        odd = [(row, column[row].as_py()) for row in np.flatnonzero(~finite).tolist()]
        if odd:
            remedy = "leave missing values empty"
            yield origin.problem("E614", name, "values that are not finite numbers", odd, len(column), remedy)


def _key_problems(column: pa.ChunkedArray, origin: Origin, name: str) -> Iterator[Problem]:
    """Yield the problems of the text that names a sample or a split."""
    cells = list(enumerate(column.to_pylist()))
    filled = [(row, value) for row, value in cells if value]
    counts = Counter(value for _, value in filled) if name == ID else Counter[str]()
    for what, odd, remedy in (
        ("empty values", [cell for cell in cells if not cell[1]], ""),
        (
            "values that cannot be a name",
            [(row, value) for row, value in filled if value != value.strip() or not value.isprintable()],
            "no spaces around it, no line breaks or control characters in it",
        ),
        ("duplicate ids", [(row, value) for row, value in filled if counts[value] > 1], ""),
    ):
        if odd:
            yield origin.problem("E612", name, what, odd, len(cells), remedy)


def _reference_problems(
    reference: pa.Table, origin: Origin, samples: pa.Table, known: set[str] | None
) -> Iterator[Problem]:
    targets = [name for name in reference.column_names if name != ID]
    if not targets:
        yield Problem("E611", f"{origin.name}: no column of a target next to '{ID}'")
    for name in targets:
        if name in samples.column_names:
            message = f"{origin.name}: the column is among the samples too, where everybody reads it"
            yield Problem("E611", f"{message}; keep it in one of them", column=name)
    if known is not None and reference.column_names.count(ID) == 1:
        ids = reference[ID].to_pylist()
        strange = [(row, value) for row, value in enumerate(ids) if value and value not in known]
        if strange:
            yield origin.problem("E615", ID, "references of unknown samples", strange, len(ids), "")


def name_problems(names: Sequence[str]) -> Iterator[Problem]:
    """Yield which names no feature can have, and which differ only in case."""
    for name in names:
        if not FEATURE_NAME.fullmatch(name):
            message = "allowed: up to 100 of A-Z a-z 0-9 . _ -, the first a letter or digit"
            yield Problem("E616", f"feature '{name}': not a name of a feature; {message}")
    folded = Counter(name.casefold() for name in names)
    alike = [name for name in names if folded[name.casefold()] > 1]
    if alike:
        yield Problem("E616", f"names of features that differ only in case: {listed(alike)}")


def _feature_problems(where: str, feature: Feature, known: set[str] | None) -> Iterator[Problem]:
    shape = feature.shape_problem()
    if shape:
        yield Problem("E616", f"{where}: {shape}")
        return
    ids = feature.ids.to_pylist()
    for code, what, odd in (
        ("E612", "duplicate sample ids", [name for name, count in Counter(ids).items() if count > 1]),
        ("E615", "values of unknown samples", [] if known is None else [name for name in ids if name not in known]),
        (
            "E614",
            "samples with values that are not finite",
            feature.ids_of_rows(np.flatnonzero(~np.concatenate([_finite(block) for block in _blocks(feature)]))),
        ),
    ):
        if odd:
            yield Problem(code, f"{where}: {counted(what, odd, len(ids))}")


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
    """Return the SHA-256 over the ids, values and times of a feature that is sorted."""
    header = {"samples": len(feature), "width": feature.width, "frames": feature.offsets is not None}
    if feature.times is not None:
        header["times"] = True
    if feature.is_pictures:
        header["pictures"] = True
    digest = hashlib.sha256(json.dumps(header).encode())
    for part in _value_bytes(feature.ids):
        digest.update(part)
    if feature.offsets is not None:
        digest.update(feature.offsets.astype("<i8").tobytes())
    for block in _blocks(feature):
        digest.update(block.tobytes() if feature.is_pictures else _number_bytes(block, "<f4"))
    if feature.times is not None:
        digest.update(_number_bytes(feature.times, "<f8"))
    return digest.hexdigest()


def _blocks(feature: Feature) -> Iterator[NDArray[Any]]:
    """Yield all values, some rows at a time: what is made of a block is not a second copy of all."""
    step = max(1, _BLOCK_NUMBERS // feature.width)
    for begin in range(0, max(len(feature.values), 1), step):
        yield feature.values[begin : begin + step]


def _finite(block: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(block).all(axis=1))


def _number_bytes(values: NDArray[Any], code: str) -> bytes:
    """Return little-endian bytes; adding zero makes one of the two zeros that are equal and differ in bits."""
    with np.errstate(invalid="ignore"):  # of NaN, which only a corrupted file has
        data: bytes = (values + values.dtype.type(0)).astype(code, copy=False).tobytes()
    return data


def _value_bytes(array: pa.Array) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a column's values: which are valid, then the values, zero for a null."""
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
