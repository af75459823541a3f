"""Readers of released files that are not CSV: their cells, as if they came from one.

Conventions:
    Every function is or returns a `Reader`. Numbers become the shortest text that gives the same number back. Pickled
    objects are read only by the restricted unpickler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corpus.contents import Origin
from merbench.corpus.declaration import SPLIT
from merbench.corpus.delimited import Delimited, Reader
from merbench.errors import MalformedFile, Problem, UsageError, brief, counted, fault, listed, printable
from merbench.files.npy import read_npz
from merbench.files.pickles import read_pickled_npz
from merbench.files.reading import read_bounded

MOST_TEXT_BYTES = 64_000_000
"""How large one text file of a release may be."""


def label_archive(members: Mapping[str, str], emotion: str = "emo", valence: str = "val") -> Reader:
    """Read an NPZ of pickled dictionaries, one per split: sample id -> `{"emo": label or code, "val": number}`.

    Args:
        members: name of a dictionary -> the split it contains.
        emotion: column that the emotions become.
        valence: column that the numbers become.
    """

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        archive = read_pickled_npz(path)
        missing = [member for member in members if not isinstance(archive.get(member), dict)]
        if missing:
            names = listed([printable(name) for name in archive])
            message = f"no dictionary {listed([repr(name) for name in missing])}; the file has {names}"
            problems.append(Problem("E610", f"{path.name}: {message}"))
        rows: list[list[str]] = []
        for member, split in members.items():
            if member not in missing:
                rows += _label_rows(f"{path.name}, {member}", archive[member], split, problems)
        return None if missing else Delimited(Origin(path.name), ("name", SPLIT, emotion, valence), rows)

    return read


def _label_rows(where: str, items: dict[Any, Any], split: str, problems: list[Problem]) -> list[list[str]]:
    rows, odd = [], []
    for name, item in items.items():
        cells = _label_cells(item)
        if cells is None or not isinstance(name, str):
            odd.append(f"{brief(name)}: {brief(item)}")
        else:
            rows.append([name, split, *cells])
    if odd:
        message = counted("items that are not {'emo': label or code, 'val': number}", odd, len(items))
        problems.append(Problem("E614", f"{where}: {message}"))
    return rows


def _label_cells(item: Any) -> tuple[str, str] | None:
    """Return emotion and valence as text; NumPy's numbers are accepted as Python's, truth values are not."""
    match item:
        case {"emo": bool()} | {"val": bool()}:
            return None
        case {"emo": str() | int() | np.integer() as emotion, "val": int() | float() | np.number() as valence}:
            return str(emotion), repr(float(valence))
    return None


def arrays(path: Path, problems: list[Problem]) -> Delimited | None:
    """Read an NPZ of plain arrays: those of one dimension are columns, one item per row."""
    try:
        columns = read_npz(path)
    except MalformedFile as error:
        raise UsageError(f"{path.name}: cannot be read: {error}") from error
    flat = {name: column for name, column in columns.items() if column.ndim == 1}
    lengths = {len(column) for column in columns.values() if column.ndim}
    if not flat or len(lengths) != 1:
        shapes = [f"{printable(name)} {column.shape}" for name, column in columns.items()]
        problems.append(Problem("E610", f"{path.name}: arrays that do not have one row per sample: {listed(shapes)}"))
        return None
    cells = [[repr(item) if isinstance(item, float) else str(item) for item in c.tolist()] for c in flat.values()]
    return Delimited(Origin(path.name), tuple(flat), list(zip(*cells, strict=True)))


def recordings(columns: tuple[str, ...]) -> Reader:
    """Read a folder with one text file per recording: a header, then a line with the values of every frame.

    `columns` are what the values of a line are. Frames are counted from 1; the id of one is
    `<recording>/<frame, five digits>.jpg`. The header is ignored: where a class is given as one number, released
    headers name the classes.
    """

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        files = sorted(path.glob("*.txt"))
        if not files:
            problems.append(Problem("E610", f"{path}: no .txt file of a recording in this folder"))
        rows: list[list[str]] = []
        for file in files:
            frames = [[cell.strip() for cell in line.split(",")] for line in _lines(file)[1:]]
            if _have_columns(file, frames, columns, 2, problems):
                rows += [[f"{file.stem}/{i:05d}.jpg", *row] for i, row in enumerate(frames, start=1)]
        return Delimited(Origin(path.name), ("image", *columns), rows) if files else None

    return read


def spaced(*columns: str) -> Reader:
    """Read a text file without a header, whose lines hold the cells of some columns with spaces between them."""

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        rows = [line.split() for line in _lines(path)]
        if not _have_columns(path, rows, columns, 1, problems):
            return None
        return Delimited(Origin(path.name, range(1, len(rows) + 1)), columns, rows)

    return read


def _have_columns(
    path: Path, rows: Sequence[Sequence[str]], columns: Sequence[str], first_line: int, problems: list[Problem]
) -> bool:
    odd = [f"line {number}" for number, row in enumerate(rows, start=first_line) if len(row) != len(columns)]
    if odd:
        problems.append(Problem("E610", f"{path.name}: {counted(f'lines without {listed(columns)}', odd, len(rows))}"))
    return not odd


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file, without blank ones at its end."""
    try:
        return read_bounded(path, MOST_TEXT_BYTES).decode("utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name}: cannot be read: {fault(error)}") from error
