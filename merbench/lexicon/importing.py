"""The files that MER 2025 and 2026 released go in, the content of a lexicon comes out.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from merbench.files import UNREADABLE_ARCHIVE, read_bounded, read_pickled_npz
from merbench.lexicon.content import Content, Row, normal

Table = list[list[str]]
Pairs = list[tuple[str, str]]

N_WHEELS = 5
LEVELS = ["level1", "level2", "level3"]
MOST_BYTES = 64 << 20
"""A released file that would unpack to more than this is refused; the real ones hold some 100 kB."""

MOST_CELLS = 1_000_000
"""How many cells one sheet may have; the real ones have some thousand."""

SHEETS = "format.csv, synonym.xlsx, wheel1.xlsx … wheel5.xlsx"
ARCHIVE = "wheel_mapping.npz"
NEEDED = f"a folder of {SHEETS}, or {ARCHIVE}, is needed"

MAPS = ("format_mapping", "raw_mapping", "wheel_map_whole")
_RUN = re.compile(r"word_run(\d+)")


def read_release(path: Path) -> tuple[Content, str]:
    """Return the content of a release, and what was read, in words.

    Raises:
        UsageError: there is nothing at the path, or no release.
        InvalidLexicon: the files do not hold what they should; all problems are listed.
        MissingExtra: a spreadsheet cannot be read without openpyxl.
    """
    problems: list[Problem] = []
    require_there(path)
    if path.is_dir():
        content, read = _from_folder(path, problems)
    elif path.suffix == ".npz":
        content, read = _from_npz(path, problems)
    else:
        raise UsageError(f"{path}: is no release; {NEEDED}")
    if not problems:
        problems = content.problems()
    if problems:
        raise InvalidLexicon(str(path), problems)
    return content, read


def require_there(path: Path) -> None:
    """Raise `UsageError` when there is nothing at a path."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; {NEEDED}")


def _from_folder(folder: Path, problems: list[Problem]) -> tuple[Content, str]:
    stems = [*(f"wheel{number}" for number in range(1, N_WHEELS + 1)), "format", "synonym"]
    found = {stem: file for stem in stems if (file := _sheet(folder, stem)) is not None}
    if not found and (folder / ARCHIVE).is_file():
        return _from_npz(folder / ARCHIVE, problems)
    if not found:
        raise UsageError(f"{folder}: there is none of {SHEETS} in it, nor {ARCHIVE}")
    absent = [f"{stem}.{'csv' if stem == 'format' else 'xlsx'}" for stem in stems if stem not in found]
    if absent:
        message = f"missing: {', '.join(absent)}; a release has all of them, or {ARCHIVE} instead"
        problems.append(Problem("E620", message, count=len(absent)))
    tables = {stem: table for stem, file in found.items() if (table := _read_table(file, problems)) is not None}
    forms = _forms(found["format"].name, tables["format"], problems) if "format" in tables else []
    synonyms = _synonyms(found["synonym"].name, tables["synonym"], problems) if "synonym" in tables else []
    wheels = {
        stem: _wheel(found[stem].name, table, problems) for stem, table in tables.items() if stem.startswith("wheel")
    }
    return Content.of(forms, synonyms, wheels), f"released files {', '.join(sorted(f.name for f in found.values()))}"


def _sheet(folder: Path, stem: str) -> Path | None:
    return next((file for suffix in (".xlsx", ".csv") if (file := folder / f"{stem}{suffix}").is_file()), None)


def _read_table(file: Path, problems: list[Problem]) -> Table | None:
    """Return the cells of a file as trimmed, lower-cased text; None where it cannot be read."""
    try:
        rows = _read_xlsx(file) if file.suffix == ".xlsx" else _read_csv(file)
    except (*UNREADABLE_ARCHIVE, csv.Error) as error:
        problems.append(Problem("E620", f"{file.name}: cannot be read: {fault(error)}"))
        return None
    odd = [
        (number, cell)
        for number, row in enumerate(rows, start=1)
        for cell in row
        if cell is not None and not isinstance(cell, str)
    ]
    problems += examples(
        odd, lambda item: Problem("E622", f"{file.name}, row {item[0]}: {brief(item[1])} is not text; a word is needed")
    )
    return [[normal(cell) if isinstance(cell, str) else "" for cell in row] for row in rows]


def _read_csv(file: Path) -> list[list[Any]]:
    if file.stat().st_size > MOST_BYTES:
        raise MalformedFile(f"holds more than {MOST_BYTES:,} bytes")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return _bounded(csv.reader(lines))


def _bounded(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Return rows; raise `MalformedFile` as soon as rows or cells are too many: empty cells of a sheet count, too."""
    found: list[list[Any]] = []
    n_cells = 0
    for row in rows:
        n_cells += len(row) + 1
        if n_cells > MOST_CELLS:
            raise MalformedFile(f"holds more than {MOST_CELLS:,} cells")
        found.append(list(row))
    return found


def _read_xlsx(file: Path) -> list[list[Any]]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise MissingExtra(f"reading {file.name}", "lexicons") from error
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
            raise MalformedFile(f"unpacks to more than {MOST_BYTES:,} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions, which are not read
        try:
            book = load_workbook(io.BytesIO(read_bounded(file, MOST_BYTES)), read_only=True, data_only=True)
            return _bounded(book.worksheets[0].iter_rows(values_only=True))
        except MalformedFile:
            raise
        except Exception as error:  # whatever the parsers below openpyxl raise
            raise MalformedFile("not a spreadsheet") from error


def _forms(file: str, table: Table, problems: list[Problem]) -> Pairs:
    """Return (form, base) pairs; every base form is a form of itself."""
    columns = _columns(file, table, ["name", "format"], problems)
    if columns is None:
        return []
    pairs = []
    for row in table[1:]:
        base, forms = (_cell(row, column) for column in columns)
        pairs += [(form, base) for form in (base, *forms.split(","))]
    return pairs


def _synonyms(file: str, table: Table, problems: list[Problem]) -> Pairs:
    """Return (synonym, wheel word) pairs of all runs together; every wheel word is its own synonym."""
    header = table[0] if table else []
    runs = [match[1] for cell in header if (match := _RUN.fullmatch(cell))]
    wanted = [name for run in runs or ["1"] for name in (f"word_run{run}", f"synonym_run{run}")]
    columns = _columns(file, table, wanted, problems)
    if columns is None:
        return []
    pairs = []
    for row in table[1:]:
        for word_column, synonym_column in zip(columns[::2], columns[1::2], strict=True):
            word, synonyms = _cell(row, word_column), _cell(row, synonym_column)
            pairs += [(synonym, word) for synonym in (word, *synonyms.split(","))]
    return pairs


def _wheel(file: str, table: Table, problems: list[Problem]) -> list[Row]:
    """Return the rows of a wheel, whose merged cells are filled downward."""
    columns = _columns(file, table, LEVELS, problems)
    if columns is None:
        return []
    rows: list[Row] = []
    empty: list[tuple[int, str, str]] = []
    last = ("", "")
    for number, cells in enumerate(table[1:], start=2):
        one, two, three = (_cell(cells, column) for column in columns)
        if not (one or two or three):
            continue
        row = (one, two, three) if one else (last[0], two or last[1], three)
        lacking = next((level for level, word in zip(LEVELS, row, strict=True) if not word), None)
        if lacking is not None:
            empty.append((number, lacking, " / ".join(word or "…" for word in row)))
        else:
            rows.append(row)
        last = row[:2]
    problems += examples(
        empty, lambda item: Problem("E623", f"{file}, row {item[0]}: {item[1]} is empty ({item[2]}); a word is needed")
    )
    if not rows and not empty:
        problems.append(Problem("E624", f"{file}: there is no row below the header"))
    return rows


def _columns(file: str, table: Table, wanted: Sequence[str], problems: list[Problem]) -> list[int] | None:
    header = table[0] if table else []
    missing = [name for name in wanted if name not in header]
    if not missing:
        return [header.index(name) for name in wanted]
    found = listed([printable(cell) or "an empty cell" for cell in header]) or "nothing"
    problems.append(Problem("E621", f"{file}: the first row has no {listed(missing)}; it holds {found}"))
    return None


def _cell(row: list[str], column: int) -> str:
    return row[column] if column < len(row) else ""


def _from_npz(path: Path, problems: list[Problem]) -> tuple[Content, str]:
    members = read_pickled_npz(path, MOST_BYTES)
    absent = [name for name in MAPS if not isinstance(members.get(name), dict)]
    if absent:
        held = listed([printable(name) for name in sorted(members)]) or "nothing"
        problems.append(Problem("E621", f"there is no dictionary {listed(absent)}; the file holds {held}"))
        return Content.of([], [], {}), ""
    forms, synonyms = (list(_unfolded(name, members[name], problems)) for name in MAPS[:2])
    wheels = members["wheel_map_whole"]
    numbered = [f"wheel{number}" for number in range(1, N_WHEELS + 1)]
    missing = [name for name in numbered if name not in wheels]
    if missing:
        message = f"missing in wheel_map_whole: {', '.join(missing)}; a release has all of them"
        problems.append(Problem("E620", message, count=len(missing)))
    rows = {name: _mapped_wheel(name, wheels[name], problems) for name in numbered if name in wheels}
    return Content.of(forms, synonyms, rows), f"released file {printable(path.name)}"


def _unfolded(name: str, links: Mapping[Any, Any], problems: list[Problem]) -> Iterator[tuple[str, str]]:
    odd = []
    for source, targets in links.items():
        if isinstance(source, str) and isinstance(targets, list) and all(isinstance(item, str) for item in targets):
            yield from ((source, target) for target in targets)
        else:
            odd.append(f"{brief(source)}: {brief(targets)}")
    problems += examples(odd, lambda item: Problem("E622", f"{name}: {item} is not a word and its list"))


def _mapped_wheel(name: str, levels: Any, problems: list[Problem]) -> list[Row]:
    """Return rows that give every word the sectors of two dictionaries, word → sector, one for either level."""
    match levels:
        case {"level1": dict(first), "level2": dict(second)} if _are_words(first) and set(first) == set(second):
            pass
        case _:
            message = f"{name} in wheel_map_whole is not level1 and level2, each a word → sector of the same words"
            problems.append(Problem("E622", message))
            return []
    one, two = ({normal(word): normal(sector) for word, sector in level.items()} for level in (first, second))
    sectors = set(two.values())
    rows = [(one[word], two[word], word) for word in one if word not in one.values()]
    # The last row wins: a word that names a sector in which it does not count comes after the rows of that sector.
    rows.sort(key=lambda row: row[2] in sectors and row[1] != row[2])
    told = Content.of([], [], {name: rows}).sectors(name)
    wrong = sorted(word for word in one if told.get(word) != (one[word], two[word]))
    problems += examples(
        wrong, lambda word: Problem("E624", f"{name}: '{printable(word)}' has sectors that no table of rows gives it")
    )
    return rows


def _are_words(level: Mapping[Any, Any]) -> bool:
    return all(isinstance(word, str) and isinstance(sector, str) for word, sector in level.items())
