"""A small release in the layout of MER 2025, written by hand."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from openpyxl import Workbook

FORMAT = [
    ("name", "format"),
    ("glad", "glad,gladly,Gladness"),
    ("low", "low, lowly"),
    ("lowly", "lowly"),
    ("no words", ""),
]
SYNONYM = [
    ("word_run1", "synonym_run1", "word_run2", "synonym_run2"),
    ("Happy", "glad, cheerful", "sad", "low, glad"),
    ("sad", "low", "proud", "no words"),
]
# One wheel with merged cells, two words in two sectors, and blanks around some words.
WHEEL = [
    ("level1", "level2", "level3"),
    (" Joy ", "Happy", "Proud"),
    (None, None, "merry"),
    (None, "content", "calm"),
    ("Gloom", "sad", "blue"),
    (None, "tired", "calm"),
    (None, None, "merry"),
]


def write_xlsx(path: Path, rows: Sequence[Sequence[object]]) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    book.save(path)


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


def write_release(folder: Path) -> Path:
    """Write five wheels, of which the last four are one."""
    folder.mkdir()
    write_csv(folder / "format.csv", FORMAT)
    write_xlsx(folder / "synonym.xlsx", SYNONYM)
    write_xlsx(folder / "wheel1.xlsx", WHEEL)
    other = [("level1", "level2", "level3"), ("up", "happy", "cheerful"), ("down", "sad", "proud")]
    for number in range(2, 6):
        write_xlsx(folder / f"wheel{number}.xlsx", other)
    return folder
