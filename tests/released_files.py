"""Files as releases hold them, made up: tables, and archives of pickled dictionaries."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corpus import IMPORTERS, Imported, Release


def release(name: str) -> Release:
    """Return a release by name."""
    found = IMPORTERS[name]
    assert isinstance(found, Release)
    return found


def write_table(path: Path, header: str, *rows: Sequence[object]) -> Path:
    """Write a CSV; `header` contains the names of its columns with spaces between them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])
    return path


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_archive(path: Path, **members: Any) -> Path:
    """Write an NPZ of pickled dictionaries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: np.array(value, dtype=object) for name, value in members.items()})
    return path


def labelled(values: dict[str, Any], *, filler: Any = -10, key: str = "emo") -> dict[str, dict[str, Any]]:
    """Return the items of a dictionary of labels; the other of emotion and valence is a filler."""
    other = "val" if key == "emo" else "emo"
    return {name: {key: value, other: filler} for name, value in values.items()}


def codes_of(imported: Imported) -> list[str]:
    """Return the codes of the warnings."""
    return [warning.code for warning in imported.warnings]


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def columns(imported: Imported, *names: str) -> list[tuple[Any, ...]]:
    """Return the rows of some columns of samples and references together, null where there is no reference."""
    samples, reference = imported.corpus.samples(), imported.corpus.reference()
    rows = {row["sample_id"]: row for row in samples.to_pylist()}
    for row in reference.to_pylist() if reference is not None else ():
        rows[row["sample_id"]] |= row
    return [tuple(row.get(name) for name in names) for row in rows.values()]
