"""The files that MER 2025 and 2026 released, read as the content of a lexicon.

Conventions:
    A release is a folder of `format.csv` (columns `name`, `format`), `synonym.xlsx` (pairs of columns `word_run1`,
    `synonym_run1`, …) and `wheel1.xlsx` to `wheel5.xlsx` (columns level1, level2, level3; merged cells fill
    downward); a sheet may also be a CSV file of the same columns. Or it is `wheel_mapping.npz` of 2026 with the same
    maps as pickled dictionaries, by itself or in a folder without the sheets. Every cell is trimmed and lower-cased;
    lists in cells are separated by commas. Rows are counted as in the file, the header being row 1.
    Codes of problems: E620 a file, E621 its header, E622 a cell, E623 an empty sector, E624 a wheel, E625 words.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from merbench.errors import (
    InvalidLexicon,
    MalformedFile,
    MissingExtra,
    Problem,
    UsageError,
    brief,
    examples,
    fault,
    listed,
    printable,
)
from merbench.files.npy import UNREADABLE_ARCHIVE
from merbench.files.pickles import read_pickled_npz
from merbench.files.reading import read_bounded
from merbench.lexicon.content import Content, WheelRow, normal

Pairs = list[tuple[str, str]]

WHEELS = tuple(f"wheel{number}" for number in range(1, 6))
SHEETS = {**dict.fromkeys(WHEELS, ".xlsx"), "format": ".csv", "synonym": ".xlsx"}
"""The files of a release without their suffix, and the suffix that each was released with."""

ARCHIVE = "wheel_mapping.npz"
MAPS = ("format_mapping", "raw_mapping", "wheel_map_whole")
LEVELS = ("level1", "level2", "level3")

MOST_BYTES = 64 << 20
"""A released file that would unpack to more than this is refused; the real ones hold some 100 kB."""

MOST_CELLS = 1_000_000
"""How many cells one sheet may have; the real ones have a few thousand."""

_FILES = "format.csv, synonym.xlsx, wheel1.xlsx … wheel5.xlsx"
_NEEDED = f"a folder of {_FILES}, or {ARCHIVE}, is needed"
_RUN = re.compile(r"word_run(\d+)")


def read_release(path: Path) -> tuple[Content, str]:
    """Return the content of a release, and what was read, in words.

    Raises:
        UsageError: there is nothing at the path, or no release.
        InvalidLexicon: the files do not contain what they should; all problems are listed.
        MissingExtra: a spreadsheet cannot be read without openpyxl.
    """
    require_path(path)
    problems: list[Problem] = []
    files = [file for stem in SHEETS if (file := _sheet(path, stem)) is not None]
    if files:
        content, source = _from_sheets(files, problems), f"released files {', '.join(sorted(f.name for f in files))}"
    elif path.is_dir() and not (path / ARCHIVE).is_file():
        raise UsageError(f"{path}: has none of {_FILES}, nor {ARCHIVE}")
    elif path.is_dir() or path.suffix == ".npz":
        archive = path / ARCHIVE if path.is_dir() else path
        content, source = _from_npz(archive, problems), f"released file {printable(archive.name)}"
    else:
        raise UsageError(f"{path}: is not a release; {_NEEDED}")
    problems = problems or content.problems()
    if problems:
        raise InvalidLexicon(str(path), problems)
    return content, source


def require_path(path: Path) -> None:
    """Raise `UsageError` when there is nothing at a path."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; {_NEEDED}")


def _sheet(folder: Path, stem: str) -> Path | None:
    return next((file for suffix in (".xlsx", ".csv") if (file := folder / f"{stem}{suffix}").is_file()), None)


class _Sheet(NamedTuple):
    """The cells of a file as trimmed, lower-cased text; its first row is the header."""

    file: str
    rows: list[list[str]]

    @property
    def header(self) -> list[str]:
        return self.rows[0] if self.rows else []

    def columns(self, names: Sequence[str], problems: list[Problem]) -> Iterator[list[str]]:
        """Yield the cells of some columns in each row below the header; short rows are filled with empty ones."""
        missing = [name for name in names if name not in self.header]
        if missing:
            present = listed([printable(cell) or "an empty cell" for cell in self.header]) or "nothing"
            problems.append(Problem("E621", f"{self.file}: the first row has no {listed(missing)}; it has {present}"))
            return
        indices = [self.header.index(name) for name in names]
        for row in self.rows[1:]:
            yield [row[index] if index < len(row) else "" for index in indices]


def _from_sheets(files: Sequence[Path], problems: list[Problem]) -> Content:
    absent = [f"{stem}{suffix}" for stem, suffix in SHEETS.items() if stem not in {file.stem for file in files}]
    if absent:
        message = f"missing: {', '.join(absent)}; a release has all of them, or {ARCHIVE} instead"
        problems.append(Problem("E620", message, count=len(absent)))
    sheets = {file.stem: sheet for file in files if (sheet := _read_sheet(file, problems)) is not None}
    forms = _linked(sheets["format"], ["name", "format"], problems) if "format" in sheets else []
    synonyms = []
    if "synonym" in sheets:
        runs = [match[1] for cell in sheets["synonym"].header if (match := _RUN.fullmatch(cell))] or ["1"]
        names = [name for run in runs for name in (f"word_run{run}", f"synonym_run{run}")]
        synonyms = _linked(sheets["synonym"], names, problems)
    wheels = {stem: _wheel(sheet, problems) for stem, sheet in sheets.items() if stem in WHEELS}
    return Content.of(forms, synonyms, wheels)


def _linked(sheet: _Sheet, names: Sequence[str], problems: list[Problem]) -> Pairs:
    """Return (item of the list, word) of all pairs of columns, a word and a list; each word is an item of its list."""
    pairs = []
    for cells in sheet.columns(names, problems):
        for word, items in zip(cells[::2], cells[1::2], strict=True):
            pairs += [(item, word) for item in (word, *items.split(","))]
    return pairs


def _wheel(sheet: _Sheet, problems: list[Problem]) -> list[WheelRow]:
    """Return the rows of a wheel, whose merged cells are filled downward."""
    rows: list[WheelRow] = []
    empty: list[tuple[int, str, str]] = []
    last = ("", "")
    for number, (first, second, third) in enumerate(sheet.columns(LEVELS, problems), start=2):
        if not (first or second or third):
            continue
        row = (first, second, third) if first else (last[0], second or last[1], third)
        lacking = next((level for level, word in zip(LEVELS, row, strict=True) if not word), None)
        if lacking is None:
            rows.append(row)
        else:
            empty.append((number, lacking, " / ".join(word or "…" for word in row)))
        last = row[:2]
    problems += examples(
        empty,
        lambda item: Problem("E623", f"{sheet.file}, row {item[0]}: {item[1]} is empty ({item[2]}); a word is needed"),
    )
    if not rows and not empty and set(LEVELS) <= set(sheet.header):
        problems.append(Problem("E624", f"{sheet.file}: no row below the header"))
    return rows


def _read_sheet(file: Path, problems: list[Problem]) -> _Sheet | None:
    """Return the cells of a file; None if it cannot be read. Empty cells of a sheet count towards the limit."""
    rows: list[list[str]] = []
    odd: list[tuple[int, Any]] = []
    n_cells = 0
    try:
        for number, row in enumerate(_xlsx_rows(file) if file.suffix == ".xlsx" else _csv_rows(file), start=1):
            n_cells += len(row) + 1
            if n_cells > MOST_CELLS:
                raise MalformedFile(f"contains more than {MOST_CELLS:,} cells")
            odd += [(number, cell) for cell in row if cell is not None and not isinstance(cell, str)]
            rows.append([normal(cell) if isinstance(cell, str) else "" for cell in row])
    except (*UNREADABLE_ARCHIVE, csv.Error) as error:
        problems.append(Problem("E620", f"{file.name}: cannot be read: {fault(error)}"))
        return None
    problems += examples(
        odd, lambda item: Problem("E622", f"{file.name}, row {item[0]}: {brief(item[1])} is not text; a word is needed")
    )
    return _Sheet(file.name, rows)


def _csv_rows(file: Path) -> Iterator[Sequence[Any]]:
    if file.stat().st_size > MOST_BYTES:
        raise MalformedFile(f"contains more than {MOST_BYTES:,} bytes")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        yield from csv.reader(lines)


def _xlsx_rows(file: Path) -> Iterator[Sequence[Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtra(f"reading {file.name}", "lexicons") from error
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
            raise MalformedFile(f"unpacks to more than {MOST_BYTES:,} bytes")
    data = io.BytesIO(read_bounded(file, MOST_BYTES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions, which are not read
        try:
            yield from load_workbook(data, read_only=True, data_only=True).worksheets[0].iter_rows(values_only=True)
        except Exception as error:  # whatever the parsers below openpyxl raise
            raise MalformedFile("not a spreadsheet") from error


def _from_npz(path: Path, problems: list[Problem]) -> Content:
    members = read_pickled_npz(path, MOST_BYTES)
    absent = [name for name in MAPS if not isinstance(members.get(name), dict)]
    if absent:
        present = listed([printable(name) for name in sorted(members)]) or "nothing"
        problems.append(Problem("E621", f"no dictionary {listed(absent)}; the file contains {present}"))
        return Content.of([], [], {})
    forms, synonyms = (list(_unfolded(name, members[name], problems)) for name in MAPS[:2])
    wheels = members["wheel_map_whole"]
    missing = [name for name in WHEELS if name not in wheels]
    if missing:
        message = f"missing in wheel_map_whole: {', '.join(missing)}; a release has all of them"
        problems.append(Problem("E620", message, count=len(missing)))
    rows = {name: _mapped_wheel(name, wheels[name], problems) for name in WHEELS if name in wheels}
    return Content.of(forms, synonyms, rows)


def _unfolded(name: str, links: Mapping[Any, Any], problems: list[Problem]) -> Iterator[tuple[str, str]]:
    odd = []
    for source, targets in links.items():
        if isinstance(source, str) and isinstance(targets, list) and all(isinstance(item, str) for item in targets):
            yield from ((source, target) for target in targets)
        else:
            odd.append(f"{brief(source)}: {brief(targets)}")
    problems += examples(odd, lambda item: Problem("E622", f"{name}: {item} is not a word and its list"))


def _mapped_wheel(name: str, levels: Any, problems: list[Problem]) -> list[WheelRow]:
    """Return rows that give every word the sectors of two dictionaries, word → sector, one for each level."""
    match levels:
        case {"level1": dict(first), "level2": dict(second)} if _are_words(first) and set(first) == set(second):
            pass
        case _:
            message = f"{name} in wheel_map_whole is not level1 and level2, each a word → sector of the same words"
            problems.append(Problem("E622", message))
            return []
    upper, lower = ({normal(word): normal(sector) for word, sector in level.items()} for level in (first, second))
    sectors = set(lower.values())
    rows = [(upper[word], lower[word], word) for word in upper if word not in upper.values()]
    # The last row wins: a word that names a sector in which it does not count comes after the rows of that sector.
    rows.sort(key=lambda row: row[2] in sectors and row[1] != row[2])
    resulting = Content.of([], [], {name: rows}).sectors(name)
    wrong = sorted(word for word in upper if resulting.get(word) != (upper[word], lower[word]))
    problems += examples(
        wrong, lambda word: Problem("E624", f"{name}: '{printable(word)}' has sectors that no table of rows gives it")
    )
    return rows


def _are_words(level: Mapping[Any, Any]) -> bool:
    return all(isinstance(word, str) and isinstance(sector, str) for word, sector in level.items())
