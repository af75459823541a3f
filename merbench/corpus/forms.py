"""Files of a release that are no CSV go in, their cells come out as if they stood in one.

Conventions:
    Every function returns a reader: `(path, problems) -> cells`, None when `problems` grew instead. Numbers become the
    shortest text that gives the same number back. Pickled objects are read by the restricted unpickler alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from merbench.corpus.delimited import Delimited
from merbench.corpus.sheets import Reader
from merbench.corpus.tables import SPLIT, Origin
from merbench.errors import MalformedFile, Problem, UsageError, brief, fault, listed, printable
from merbench.files import read_bounded, read_npz, read_pickled_npz

MOST_TEXT_BYTES = 64_000_000
"""How large one text file of a release may be."""


def label_archive(members: Mapping[str, str], emotion: str = "emo", valence: str = "val") -> Reader:
    """Read an NPZ of pickled dictionaries, one per split: sample id -> `{"emo": label or code, "val": number}`.

    Args:
        members: name of a dictionary -> the split it holds.
        emotion: column that the emotions become.
        valence: column that the numbers become.
    """

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        archive = read_pickled_npz(path)
        rows: list[list[str]] = []
        absent = [member for member in members if not isinstance(archive.get(member), dict)]
        if absent:
            message = f"there is no dictionary {listed([repr(name) for name in absent])}"
            problems.append(
                Problem("E610", f"{path.name}: {message}; there are {listed([printable(name) for name in archive])}")
            )
        for member, split in members.items():
            if member not in absent:
                rows += _label_rows(f"{path.name}, {member}", archive[member], split, problems)
        return None if absent else Delimited(Origin(path.name), ("name", SPLIT, emotion, valence), rows)

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
        message = f"items that are not {{'emo': label or code, 'val': number}} ({len(odd):,} of {len(items):,})"
        problems.append(Problem("E614", f"{where}: {message}: {listed(odd)}"))
    return rows


def _label_cells(item: Any) -> tuple[str, str] | None:
    """Return emotion and valence as text; NumPy's numbers and Python's are one to them, truth values are none."""
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
    cells = [[_text(item) for item in column.tolist()] for column in flat.values()]
    return Delimited(Origin(path.name), tuple(flat), list(zip(*cells, strict=True)))


def _text(item: Any) -> str:
    return repr(item) if isinstance(item, float) else str(item)


def recordings(columns: tuple[str, ...], suffix: str = ".jpg") -> Reader:
    """Read a folder with one text file per recording: a header, then a line with the values of every frame.

    Frames are counted from 1; the id of one is `<recording>/<frame, five digits><suffix>`. The header is not looked
    at: where a class is given as one number, released headers name the classes.

    Args:
        columns: what the values of a line are.
        suffix: suffix of the frames' pictures.
    """

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        files = sorted(path.glob("*.txt"))
        if not files:
            problems.append(Problem("E610", f"{path}: there is no .txt file of a recording in this folder"))
        rows: list[list[str]] = []
        for file in files:
            rows += _frame_rows(file, columns, suffix, problems)
        return Delimited(Origin(path.name), ("image", *columns), rows) if files else None

    return read


def _frame_rows(file: Path, columns: tuple[str, ...], suffix: str, problems: list[Problem]) -> list[list[str]]:
    lines = _lines(file)[1:]
    cells = [[cell.strip() for cell in line.split(",")] for line in lines]
    odd = [f"line {number}" for number, row in enumerate(cells, start=2) if len(row) != len(columns)]
    if odd:
        message = f"lines without {listed(columns)} ({len(odd):,} of {len(lines):,}): {listed(odd)}"
        problems.append(Problem("E610", f"{file.name}: {message}"))
        return []
    return [[f"{file.stem}/{i:05d}{suffix}", *row] for i, row in enumerate(cells, start=1)]


def spaced(*columns: str) -> Reader:
    """Read a text file without a header, whose lines hold the cells of some columns with spaces between them."""

    def read(path: Path, problems: list[Problem]) -> Delimited | None:
        rows = [line.split() for line in _lines(path)]
        odd = [f"line {number}" for number, row in enumerate(rows, start=1) if len(row) != len(columns)]
        if odd:
            message = f"lines without {listed(columns)} ({len(odd):,} of {len(rows):,}): {listed(odd)}"
            problems.append(Problem("E610", f"{path.name}: {message}"))
            return None
        return Delimited(Origin(path.name, range(1, len(rows) + 1)), columns, rows)

    return read


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file, without blank ones at its end."""
    try:
        return read_bounded(path, MOST_TEXT_BYTES).decode("utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path.name}: cannot be read: {fault(error)}") from error
