"""The record of a run of corruption: a line for each sample while it runs, one Parquet file when it ends.

==================  =============================================================================================
manifest.parquet    one row per sample, sorted by id; the header, the inputs of the run, is JSON in the metadata
manifest.journal    during a run: a line of JSON for the header, then one for each sample
==================  =============================================================================================

A run that was interrupted, in any way, is continued from the journal, and ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from merbench.corrupt.clip import ManifestRow
from merbench.errors import IntegrityError, MalformedFile, UsageError
from merbench.files.journal import MOST_LINES, journal_lines, short
from merbench.files.reading import TooLarge, arrow_file, read_parquet
from merbench.files.writing import atomic_path
from merbench.track import Track

MANIFEST, JOURNAL = "manifest.parquet", "manifest.journal"

SCHEMA = "merbench.manifest/1"

_METADATA = b"merbench"

FIRST_COLUMNS = {
    "sample_id": pa.string(),
    "problem": pa.string(),
    "input": pa.string(),
    "input_sha256": pa.string(),
    "input_bytes": pa.int64(),
    "output": pa.string(),
    "output_sha256": pa.string(),
    "output_bytes": pa.int64(),
    "pcm_sha256": pa.string(),
    "planes_sha256": pa.string(),
    "values_sha256": pa.string(),
    "n_frames": pa.int64(),
    "n_samples": pa.int64(),
    "sample_rate_hz": pa.int64(),
    "duration_s": pa.float64(),
    "audio_scale": pa.float64(),
}
"""The columns that every manifest has; those of the steps follow, in the order of the track."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """What was done to every sample."""

    header: Mapping[str, Any]  # its inputs: track, fingerprint, seed, split, digests of noise banks, versions
    rows: Mapping[str, ManifestRow] = field(repr=False)  # by sample id

    def to_table(self) -> pa.Table:
        """Return one row a sample, sorted by id."""
        rows = [self.rows[sample_id] for sample_id in sorted(self.rows, key=lambda text: text.encode())]
        steps = list(dict.fromkeys(key for row in rows for key in row if key not in FIRST_COLUMNS))
        order = {name: place for place, name in enumerate(self.header.get("steps", []))}
        steps.sort(key=lambda key: (order.get(key.rpartition(".")[0], len(order)), key))
        arrays: dict[str, pa.Array] = {
            name: pa.array([row.get(name) for row in rows], kind) for name, kind in FIRST_COLUMNS.items()
        }
        arrays |= {name: _column([row.get(name) for row in rows]) for name in steps}
        return pa.table(arrays)


def _column(values: Sequence[Any]) -> pa.Array:
    """Return sampled or measured values as a column: integers if all are, numbers, texts, or lists of numbers."""
    if any(isinstance(value, float) for value in values):
        return pa.array([float(value) if isinstance(value, int) else value for value in values])
    return pa.array([json.dumps(value, sort_keys=True) if isinstance(value, dict) else value for value in values])


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write `manifest.parquet` into a folder, remove the journal, and return the path."""
    path = folder / MANIFEST
    header = json.dumps(manifest.header, sort_keys=True, ensure_ascii=False)
    table = manifest.to_table().replace_schema_metadata({_METADATA: header.encode()})
    with atomic_path(path) as temporary, arrow_file(temporary, "wb") as file:
        pq.write_table(table, file, compression="zstd")
    (folder / JOURNAL).unlink(missing_ok=True)
    return path


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a Parquet file; raise `UsageError` if it is not one."""
    if not path.is_file():
        raise UsageError(f"{path}: no such manifest")
    try:
        table = read_parquet(path, most_rows=MOST_LINES)
        header = json.loads((table.schema.metadata or {})[_METADATA])
        ids = table["sample_id"]
        kinds = {field.name: field.type for field in table.schema}
        if not isinstance(header, dict) or any(kinds.get(name, kind) != kind for name, kind in FIRST_COLUMNS.items()):
            raise MalformedFile("a header or columns of another kind")
        if ids.null_count:
            raise MalformedFile("a row without its id")
        rows = {row["sample_id"]: {k: v for k, v in row.items() if v is not None} for row in table.to_pylist()}
    except TooLarge as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except (ValueError, KeyError, OverflowError, RecursionError, pa.ArrowException) as error:
        raise UsageError(f"{path}: not a manifest of `merbench corrupt`") from error
    return Manifest(header, rows)


def manifest_columns(path: Path, track: Track, split: str) -> pa.Table:
    """Return `sample_id` and the sampled and measured columns of a manifest, whose names contain a step.

    Raises:
        UsageError: the file is not a manifest.
        IntegrityError: it is of another track, another version of it, or another split.
    """
    manifest = read_manifest(path)
    wanted = {"track": track.key, "fingerprint": track.fingerprint}
    if "split" in manifest.header:
        wanted["split"] = split
    for key, value in wanted.items():
        if manifest.header.get(key) != value:
            raise IntegrityError(f"{path}: the manifest of {key} {short(manifest.header.get(key))}, not of {value}")
    table = manifest.to_table()
    return table.select(["sample_id", *(name for name in table.column_names if "." in name)])


def read_progress(folder: Path) -> Manifest | None:
    """Return what an earlier run left in a folder, finished or not; None if it left nothing.

    A last line that was cut off, when the machine or the process died, is left out.
    """
    finished = read_manifest(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    lines = journal_lines(folder / JOURNAL, _is_row)
    header = next(lines, None)
    if header is None:
        return finished
    if finished is not None and finished.header != header:
        raise IntegrityError(f"{folder / JOURNAL}: has other inputs than {MANIFEST} next to it")
    rows: Mapping[str, ManifestRow] = {} if finished is None else finished.rows
    return Manifest(header, {**rows, **{row["sample_id"]: row for row in lines}})


def _is_row(row: Mapping[str, Any]) -> bool:
    done = isinstance(row.get("output"), str) and all(isinstance(row.get(key), int) for key in _SIZES)
    return isinstance(row.get("sample_id"), str) and (done or isinstance(row.get("problem"), str))


_SIZES = ("input_bytes", "output_bytes")


def problems_of(rows: Iterable[ManifestRow]) -> dict[str, str]:
    """Return the problems of each sample that could not be corrupted, by id."""
    return {row["sample_id"]: row["problem"] for row in rows if row.get("problem")}
