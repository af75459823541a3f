"""The manifest of a run: written line by line, read again after any interruption, the same bytes at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merbench.corrupt.manifest import (
    JOURNAL,
    MANIFEST,
    Manifest,
    problems_of,
    read_manifest,
    read_progress,
    write_manifest,
)
from merbench.errors import IntegrityError, OutputError, UsageError
from merbench.files.journal import Journal, require_same_run

HEADER = {"schema": "merbench.manifest/1", "track": "t@1.0", "seed": 7, "steps": ["noise", "blur"]}
ROWS: list[dict[str, Any]] = [
    {"sample_id": "b", "output": "b.mp4", "input_bytes": 1, "output_bytes": 10, "blur.factor": 2, "noise.snr_db": 5},
    {"sample_id": "a", "output": "a.mp4", "input_bytes": 1, "output_bytes": 11, "blur.factor": 1, "noise.snr_db": 7.5},
    {"sample_id": "c", "problem": "no audio stream"},
    {
        "sample_id": "Ä",
        "output": "Ä.mp4",
        "input_bytes": 1,
        "output_bytes": 12,
        "blur.factor": 4,
        "noise.offset_s": [0.5, 1.0],
    },
]


def journal(folder: Path, rows: list[dict[str, Any]]) -> Path:
    with Journal(folder / JOURNAL, HEADER) as file:
        for row in rows:
            file.add(row)
    return folder / JOURNAL


def test_rows_are_sorted_and_columns_are_in_the_order_of_steps(tmp_path: Path) -> None:
    manifest = Manifest(HEADER, {row["sample_id"]: row for row in ROWS})
    table = pq.read_table(write_manifest(tmp_path, manifest))
    assert table["sample_id"].to_pylist() == ["a", "b", "c", "Ä"]
    assert table.column_names[-3:] == ["noise.offset_s", "noise.snr_db", "blur.factor"]
    assert table["noise.snr_db"].to_pylist() == [7.5, 5.0, None, None]
    assert table["blur.factor"].to_pylist() == [1, 2, None, 4]
    assert table["noise.offset_s"].to_pylist() == [None, None, None, [0.5, 1.0]]


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = Manifest(HEADER, {row["sample_id"]: row for row in ROWS})
    again = read_manifest(write_manifest(tmp_path, manifest))
    assert (again.header, again.rows) == (manifest.header, manifest.rows)
    assert problems_of(again.rows.values()) == {"c": "no audio stream"}


@given(st.integers(0, 10_000), st.booleans())
def test_a_journal_cut_anywhere_is_continued_to_the_same_bytes(cut: int, begun: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = journal(folder / "complete", ROWS).read_bytes()
        (folder / "cut").mkdir()
        (folder / "cut" / JOURNAL).write_bytes(full[: cut % (len(full) + 1)])
        progress = read_progress(folder / "cut")
        known = {} if progress is None else progress.rows
        journal(folder / "cut", [row for row in ROWS if row["sample_id"] not in known])
        assert (folder / "cut" / JOURNAL).read_bytes() == full
        assert progress is None or progress.header == HEADER


def test_a_missing_manifest_is_an_error(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    with pytest.raises(UsageError, match=r"manifest\.parquet: no such manifest$"):
        read_manifest(tmp_path / MANIFEST)
    (tmp_path / MANIFEST).write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match=r"not a manifest of `merbench corrupt`$"):
        read_manifest(tmp_path / MANIFEST)


def test_another_track_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"track: t@1\.0, now u@1\.0"):
        require_same_run(tmp_path, HEADER, {**HEADER, "track": "u@1.0"})
    require_same_run(tmp_path, HEADER, dict(HEADER))


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), Journal(tmp_path / "file" / JOURNAL, HEADER):
        pass


def test_a_manifest_with_a_column_of_another_type_is_an_error(tmp_path: Path) -> None:
    table = pa.table({"sample_id": ["a"], "n_frames": [b"\0"]}).replace_schema_metadata({"merbench": "{}"})
    pq.write_table(table, tmp_path / "manifest.parquet")
    with pytest.raises(UsageError, match="not a manifest of `merbench corrupt`"):
        read_manifest(tmp_path / "manifest.parquet")
