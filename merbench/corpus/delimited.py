"""CSV and TSV files of a corpus: their cells with the line of every row, and columns in Arrow types.

Conventions:
    A column whose cells all are integers of at most 18 digits is int64; all finite or huge decimal numbers,
    float64; anything else is strings, unchanged. A number with leading zeros (`007`) is text, and so are
    `sample_id`, `split`, `media` and transcripts, whatever they hold. An empty cell is a null, except in transcripts,
    where it is an empty transcript. A line is where a row begins, counted from 1, the header's.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from merbench.corpus.contents import Origin, repeated_columns
from merbench.corpus.declaration import ID, MEDIA, SPLIT
from merbench.errors import MalformedFile, Problem, counted, listed
from merbench.files.reading import read_bounded

INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
NUMBER = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
NO_VALUE = frozenset({"nan", "inf", "+inf", "-inf", "infinity", "-infinity"})
"""Cells that cannot be meant as a label."""
NOT_A_NUMBER = NO_VALUE | {"na", "n/a", "null", "none"}

MAX_CELL = 1 << 30

MOST_BYTES, MOST_ROWS, MOST_CELLS = 500_000_000, 10_000_000, 30_000_000
"""How large a table of a corpus may be, in bytes, lines and cells."""


@dataclass(frozen=True)
class Delimited:
    """The cells of a file, unchanged: names of the columns, rows, and the line each row begins at."""

    origin: Origin
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]

    def renamed(self, names: Mapping[str, str]) -> Delimited:
        """Return the same cells with some columns renamed, old name -> new name."""
        return replace(self, header=tuple(names.get(name, name) for name in self.header))

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        index = self.header.index(name)
        return [row[index] for row in self.rows]


Reader = Callable[[Path, list[Problem]], Delimited | None]
"""Reads the cells of a file; None when the problems grew instead."""


def read_delimited(path: Path, problems: list[Problem]) -> Delimited | None:
    """Return the cells of a CSV file (a TSV where the name ends in `.tsv`); None when `problems` grew instead."""
    text = _text(path, problems)
    if text is None:
        return None
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    limit = csv.field_size_limit(MAX_CELL)  # a setting of the whole process: it is restored
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, lines, before = [], [], 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        problems.append(Problem("E610", f"{path.name}, line {before + 1}: not a CSV row: {error}"))
        return None
    finally:
        csv.field_size_limit(limit)
    if not rows:
        problems.append(Problem("E610", f"{path.name}: the file is empty"))
        return None
    header = tuple(name.strip() for name in rows.pop(0))
    shape = list(_shape_problems(path.name, header, rows, lines[1:]))
    problems += shape
    return None if shape else Delimited(Origin(path.name, lines[1:]), header, rows)


def _text(path: Path, problems: list[Problem]) -> str | None:
    try:
        data = read_bounded(path, MOST_BYTES)
        n_lines, n_delimiters = data.count(b"\n"), data.count(b",") + data.count(b"\t")
        if n_lines > MOST_ROWS or n_lines + n_delimiters > MOST_CELLS:
            size = f"{n_lines:,} lines and {n_delimiters:,} delimiters"
            raise MalformedFile(f"has {size}; at most {MOST_ROWS:,} lines, and {MOST_CELLS:,} of both, are allowed")
        return data.decode("utf-8-sig")
    except MalformedFile as error:
        message = f"{path.name}: {error}"
    except UnicodeDecodeError as error:
        place = f"byte {error.object[error.start]:#04x} at {error.start:,}"
        message = f"{path.name}: not UTF-8 text ({place}); save it as CSV UTF-8"
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}"
    problems.append(Problem("E610", message))
    return None


def _shape_problems(
    where: str, header: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]
) -> Iterator[Problem]:
    if len(header) == 1 and ";" in header[0]:
        yield Problem("E610", f"{where}: the columns are separated by ';'; save it with ',' between them")
        return
    if "\0" in "".join(header):
        yield Problem("E610", f"{where}: contains NUL characters; save it as CSV UTF-8")
        return
    empty = [str(index) for index, name in enumerate(header, start=1) if not name]
    if empty:
        yield Problem("E611", f"{where}: columns without a name: column {listed(empty)}")
    yield from repeated_columns(where, [name for name in header if name])
    odd = [f"{len(row)} (line {line})" for row, line in zip(rows, lines, strict=True) if len(row) != len(header)]
    if odd:
        message = counted("rows with another number of cells", odd, len(rows))
        yield Problem("E610", f"{where}: {message}; the header has {len(header)}")


def to_table(
    source: Delimited, columns: Mapping[str, str], problems: list[Problem], *, numbers_or_text: bool = False
) -> pa.Table:
    """Return some columns of a file as a table in the types of the module's conventions.

    Args:
        source: the cells.
        columns: column of the file -> its name in the table.
        problems: problems are added here.
        numbers_or_text: whether a column that mixes numbers with other text is wrong, and not simply text.
    """
    return pa.table({name: _typed(source, column, name, problems, numbers_or_text) for column, name in columns.items()})


def _typed(source: Delimited, column: str, name: str, problems: list[Problem], numbers_or_text: bool) -> pa.Array:
    cells = source.column(column)
    if name in (ID, SPLIT) or name == "transcript" or name.startswith("transcript_"):
        return pa.array(cells, pa.string())
    stripped = [cell.strip() for cell in cells]
    filled = [(row, cell) for row, cell in enumerate(stripped) if cell]
    others = [(row, cell) for row, cell in filled if not NUMBER.fullmatch(cell)]
    no_value = [(row, cell) for row, cell in others if cell.casefold() in NO_VALUE]
    mixed = numbers_or_text or all(cell.casefold() in NOT_A_NUMBER for _, cell in others)
    if others and len(others) < len(filled) and mixed:
        commas = all(DECIMAL_COMMA.fullmatch(cell) for _, cell in others)
        remedy = "write decimals with a point" if commas else "leave missing values empty"
        problems.append(source.origin.problem("E614", name, "text among numbers", others, len(cells), remedy))
    elif numbers_or_text and no_value:
        remedy = "leave missing values empty"
        problems.append(source.origin.problem("E614", name, "NaN or infinity among text", no_value, len(cells), remedy))
    if others or not filled or name == MEDIA:
        return pa.array([cell or None for cell in cells], pa.string())
    if all(INTEGER.fullmatch(cell) for _, cell in filled):
        return pa.array([int(cell) if cell else None for cell in stripped], pa.int64())
    return pa.array([float(cell) if cell else None for cell in stripped], pa.float64())
