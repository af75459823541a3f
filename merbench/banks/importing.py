"""A folder of sounds is imported as a bank; sounds that cannot be used are named, all of them, and left out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merbench.banks.bank import Bank
from merbench.banks.home import BANKS, Known, measured, write_bank
from merbench.banks.sounds import SUFFIXES
from merbench.corpus.delimited import Delimited, read_delimited
from merbench.errors import Problem, UsageError, did_you_mean, examples, printable, problem_lines

INDEX = "index.csv"

_COLUMNS = {
    "file": ("file", "path", "filename"),
    "label": ("class", "klass", "label", "category"),
    "speaker": ("speaker", "speaker_id"),
    "licence": ("licence", "license", "clip_licence", "clip_license"),
}
"""Names of the columns of an index; the first that it has counts."""


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
    """Version of a bank, where its sounds come from, and who may use them."""

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

    A sub-folder is a part of the bank. Every sound is read to its end: one that cannot be read, is cut off, empty or
    silent is left out and named. Hidden files, and files without the suffix of a sound, are ignored.

    Args:
        name: name of the bank.
        folder: the folder.
        index: a CSV with a column `file` (paths from its own folder, or from `folder`) and any of `class`, `speaker`
            and `licence`; by default `index.csv` in the folder, where there is one.
        in_place: leave the sounds where they are, instead of copying them.
        terms: version, source and licence of the bank.
        replace: whether a bank of this name is replaced.

    Raises:
        UsageError: no such folder, no usable sound in it, an index that cannot be read, or a name that is not valid or
            already exists.
    """
    root = require_folder(folder)
    known = {file: Known(part=file.rpartition("/")[0].partition("/")[0]) for file in sounds_in(root)}
    warnings: list[Problem] = []
    path = Path(index) if index is not None else root / INDEX
    if index is not None or path.is_file():
        known = _indexed(path, root, known, warnings)
    imported = store(name, root, known, in_place=in_place, terms=terms or Terms(), replace=replace)
    return Imported(imported.bank, imported.problems, tuple(warnings))


def require_folder(folder: str | Path) -> Path:
    """Return the path of an existing folder."""
    root = Path(folder)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder")
    return root


def sounds_in(root: Path) -> list[str]:
    """Return the paths of the sounds in a folder and below it, sorted, without hidden ones."""
    paths = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    names = (path.relative_to(root) for path in paths)
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def store(
    name: str,
    root: Path,
    known: Mapping[str, Known],
    *,
    in_place: bool,
    terms: Terms,
    replace: bool,
    texts: Sequence[str] = (),
) -> Imported:
    """Write a bank of sounds into the data home, completely or not at all; see `import_folder`.

    Args:
        name: name of the bank.
        root: what the files of the sounds start from.
        known: file -> what is known of it.
        in_place: leave the sounds where they are.
        terms: version, source and licence of the bank.
        replace: whether a bank of this name is replaced.
        texts: further files that are copied with the sounds.
    """
    folder = BANKS.own_folder(name)
    BANKS.require_free(folder, replace=replace)
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise UsageError(f"{root}: is in the folder of the bank that would be written, {folder}; move it elsewhere")
    sounds, problems = measured(root, known)
    if not sounds:
        raise UsageError(*_nothing_left(root, problems))
    with BANKS.writing(folder, replace=replace) as beside:
        for file in () if in_place else (*(sound.file for sound in sounds), *texts):
            (beside / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, beside / file)
        place = root.resolve() if in_place else beside
        write_bank(beside, Bank(name, place, sounds, terms.version, terms.source, terms.licence))
    return Imported(BANKS.read(folder), problems)


def _nothing_left(root: Path, problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return [f"{root}: there is no sound in this folder ({', '.join(sorted(SUFFIXES))})"]
    heading = f"{root}: no sound in this folder can be used"
    return problem_lines(heading, examples(list(problems), lambda problem: problem))


def _indexed(path: Path, root: Path, known: Mapping[str, Known], warnings: list[Problem]) -> dict[str, Known]:
    """Return what is known of the sounds with what an index adds; rows without a sound and vice versa are warnings."""
    table = _index_table(path)
    columns = {field: _column(table, names) for field, names in _COLUMNS.items()}
    files = columns.pop("file")
    if files is None:
        raise UsageError(f"{path}: has no column 'file'{did_you_mean('file', table.header)}")
    rows = [_sound_of(cell.strip(), path.parent, root, known) for cell in files]
    repeated = sorted(file for file, count in Counter(row for row in rows if row is not None).items() if count > 1)
    if repeated:
        problems = examples(repeated, lambda file: Problem("E645", f"{printable(file)}: is named by two rows"))
        raise UsageError(*problem_lines(str(path), problems))
    missing = [cell for cell, row in zip(files, rows, strict=True) if row is None]
    warnings += examples(missing, lambda cell: Problem("W641", f"{printable(cell)}: there is no sound of that name"))
    warnings += examples(
        [file for file in known if file not in set(rows)],
        lambda file: Problem("W642", f"{printable(file)}: the index does not name it"),
    )
    indexed = dict(known)
    for number, row in enumerate(rows):
        if row is not None:
            given = {field: cells[number].strip() for field, cells in columns.items() if cells}
            indexed[row] = replace(known[row], **given)
    return indexed


def _index_table(path: Path) -> Delimited:
    problems: list[Problem] = []
    table = read_delimited(path, problems)
    if table is None:
        raise UsageError(*problem_lines(str(path), problems))
    return table


def _column(table: Delimited, names: Sequence[str]) -> list[str] | None:
    return next((table.column(name) for name in names if name in table.header), None)


def _sound_of(cell: str, folder: Path, root: Path, known: Mapping[str, Known]) -> str | None:
    """Return which sound a cell of an index names: a path from the index's folder, or from that of the sounds."""
    absolute, start = (folder / cell).resolve(), root.resolve()
    if absolute.is_relative_to(start) and (file := absolute.relative_to(start).as_posix()) in known:
        return file
    return cell if cell in known else None
