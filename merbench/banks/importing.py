"""A folder of sounds goes in, a bank comes out; sounds that cannot be used are named, all of them, and left out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merbench.banks.bank import Bank
from merbench.banks.home import banks_home, read_bank, require_name
from merbench.banks.measuring import Known, measured
from merbench.banks.sounds import SUFFIXES
from merbench.banks.storing import FILE_NAME, write_bank
from merbench.corpus.delimited import Delimited, read_delimited
from merbench.errors import Problem, UsageError, did_you_mean, examples, printable, problem_lines
from merbench.files import atomic_folder

INDEX = "index.csv"

_COLUMNS = {
    "file": ("file", "path", "filename"),
    "label": ("class", "klass", "label", "category"),
    "speaker": ("speaker", "speaker_id"),
    "licence": ("licence", "license", "clip_licence", "clip_license"),
}
"""Under which names an index tells what; the first that is there counts."""


@dataclass(frozen=True)
class Imported:
    """An imported bank.

    Attributes:
        bank: the bank.
        problems: the sounds that were left out, and why.
        warnings: what else should be known.
    """

    bank: Bank
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What is said of a bank as a whole: its version, where its sounds come from, and who may use them."""

    version: str = "1.0"
    source: str = "not stated"
    licence: str = "not stated"


def import_folder(
    name: str,
    folder: str | Path,
    *,
    index: str | Path | None = None,
    in_place: bool = False,
    terms: Terms | None = None,
    replace: bool = False,
) -> Imported:
    """Store the sounds of a folder, and of its sub-folders, as a bank in the data home.

    A sub-folder of the folder is a part of the bank. Every sound is read to its end: one that cannot be read, is cut
    off, empty or silent is left out and named. Hidden files, and files whose names do not end as those of sounds do,
    are not looked at.

    Args:
        name: name of the bank.
        folder: the folder.
        index: a CSV with a column `file` (paths from its own folder, or from `folder`) and any of `class`, `speaker`
            and `licence`; by default `index.csv` in the folder, where there is one.
        in_place: leave the sounds where they are, instead of copying them.
        terms: what is said of the bank.
        replace: whether a bank of this name goes.

    Raises:
        UsageError: no such folder, no sound in it that can be used, an index that cannot be read, or a name that
            cannot be one or is taken.
    """
    root = require_folder(folder)
    known = {file: Known(part=first_folder(file)) for file in found_sounds(root)}
    warnings: list[Problem] = []
    path = Path(index) if index is not None else root / INDEX
    if index is not None or path.is_file():
        known = _indexed(path, root, known, warnings)
    imported = store(name, root, known, in_place=in_place, terms=terms or Terms(), replace=replace)
    return Imported(imported.bank, imported.problems, tuple(warnings))


def require_folder(folder: str | Path) -> Path:
    """Return the path of a folder that is there."""
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root}: there is no such folder")
    return root


def found_sounds(root: Path) -> list[str]:
    """Return the paths of the sounds in a folder and below it, sorted; what is hidden is left out."""
    found = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = (path.relative_to(root) for path in found)
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def first_folder(file: str) -> str:
    """Return the first folder of a path, empty where it has none."""
    first, separator, _ = file.partition("/")
    return first if separator else ""


def store(
    name: str,
    root: Path,
    known: Mapping[str, Known],
    *,
    in_place: bool,
    terms: Terms,
    replace: bool,
    beside: Sequence[str] = (),
) -> Imported:
    """Write a bank of sounds into the data home, all of it or nothing.

    Args:
        name: name of the bank.
        root: what the files of the sounds start from.
        known: file -> what is known of it.
        in_place: leave the sounds where they are.
        terms: what is said of the bank.
        replace: whether a bank of this name goes.
        beside: further files that are copied with the sounds.
    """
    folder = banks_home() / require_name(name)
    if (folder / FILE_NAME).is_file() and not replace:
        raise UsageError(f"noise bank '{name}' is there already, in {folder}; replace it with --force")
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise UsageError(f"{root}: lies in the folder of the bank that would be written, {folder}; move it elsewhere")
    sounds, problems = measured(root, known)
    if not sounds:
        raise UsageError(*_nothing_left(root, problems))
    with atomic_folder(folder, replace=True) as written:
        if not in_place:
            for file in (*(sound.file for sound in sounds), *beside):
                (written / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(root / file, written / file)
        place = root.resolve() if in_place else written
        write_bank(written, Bank(name, place, sounds, terms.version, terms.source, terms.licence))
    return Imported(read_bank(folder), problems)


def _nothing_left(root: Path, problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return [f"{root}: there is no sound in this folder ({', '.join(sorted(SUFFIXES))})"]
    heading = f"{root}: no sound in this folder can be used"
    return problem_lines(heading, examples(list(problems), lambda problem: problem))


def _indexed(path: Path, root: Path, known: Mapping[str, Known], warnings: list[Problem]) -> dict[str, Known]:
    """Return what is known of the sounds with what an index adds; rows and sounds without the other are warnings."""
    table = _index_table(path)
    columns = {what: _column(table, names) for what, names in _COLUMNS.items()}
    files = columns.pop("file")
    if files is None:
        raise UsageError(f"{path}: has no column 'file'{did_you_mean('file', table.header)}")
    rows = [_place(cell, path.parent, root, known) for cell in files]
    twice = sorted(file for file, count in Counter(row for row in rows if row is not None).items() if count > 1)
    if twice:
        problems = examples(twice, lambda file: Problem("E645", f"{printable(file)}: is given by two rows"))
        raise UsageError(*problem_lines(str(path), problems))
    missing = [cell for cell, row in zip(files, rows, strict=True) if row is None]
    warnings += examples(missing, lambda cell: Problem("W641", f"{printable(cell)}: no sound of that name is there"))
    warnings += examples(
        [file for file in known if file not in set(rows)],
        lambda file: Problem("W642", f"{printable(file)}: the index does not name it"),
    )
    told = dict(known)
    for number, row in enumerate(rows):
        if row is not None:
            told[row] = replace(known[row], **{what: cells[number].strip() for what, cells in columns.items() if cells})
    return told


def _index_table(path: Path) -> Delimited:
    problems: list[Problem] = []
    table = read_delimited(path, problems)
    if table is None:
        raise UsageError(*problem_lines(str(path), problems))
    return table


def _column(table: Delimited, names: Sequence[str]) -> list[str] | None:
    return next((table.column(name) for name in names if name in table.header), None)


def _place(cell: str, beside: Path, root: Path, known: Mapping[str, Known]) -> str | None:
    """Return which sound a cell of an index means: a path from the index, from the folder, or a name alone."""
    absolute = (beside / cell.strip()).resolve()
    if absolute.is_relative_to(root.resolve()):
        from_index = absolute.relative_to(root.resolve()).as_posix()
        if from_index in known:
            return from_index
    return cell.strip() if cell.strip() in known else None
