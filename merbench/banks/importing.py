"""A folder of sounds is imported as a bank; sounds that cannot be used are named, all of them, and left out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from merbench.banks.bank import Bank
from merbench.banks.folder import BANKS, write_bank
from merbench.banks.sounds import SUFFIXES, Sound, measured
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


class Imported(NamedTuple):
    """An imported bank, why sounds were left out, and what else should be known."""

    bank: Bank
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class Terms(NamedTuple):
    """Version of a bank, where its sounds come from, and who may use them."""

    version: str = "1.0"
    source: str = "not stated"
    licence: str = "not stated"


UNSTATED = Terms()


def import_folder(
    name: str,
    folder: str | Path,
    *,
    index: str | Path | None = None,
    in_place: bool = False,
    terms: Terms = UNSTATED,
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
    sounds = [Sound(file, part=file.rpartition("/")[0].partition("/")[0]) for file in sounds_in(root)]
    warnings: list[Problem] = []
    path = Path(index) if index is not None else root / INDEX
    if index is not None or path.is_file():
        sounds = _indexed(path, root, sounds, warnings)
    imported = store(name, root, sounds, in_place=in_place, terms=terms, replace=replace)
    return imported._replace(warnings=tuple(warnings))


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
    sounds: Sequence[Sound],
    *,
    in_place: bool,
    terms: Terms,
    replace: bool,
    texts: Sequence[str] = (),
) -> Imported:
    """Write a bank of sounds that start from `root`, with the files `texts`; for the rest, see `import_folder`."""
    folder = BANKS.own_folder(name)
    BANKS.require_free(folder, replace=replace)
    if folder.resolve() in (root.resolve(), *root.resolve().parents):
        raise UsageError(f"{root}: is in the folder of the bank that would be written, {folder}; move it elsewhere")
    usable, problems = measured(root, sounds)
    if not usable:
        raise UsageError(*_nothing_left(root, problems))
    with BANKS.writing(folder, replace=replace) as temporary:
        for file in () if in_place else (*(sound.file for sound in usable), *texts):
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / file, temporary / file)
        place = root.resolve() if in_place else temporary
        write_bank(temporary, Bank(name, place, usable, *terms))
    return Imported(BANKS.read(folder), problems)


def _nothing_left(root: Path, problems: Sequence[Problem]) -> list[str]:
    if not problems:
        return [f"{root}: no sound in this folder ({', '.join(sorted(SUFFIXES))})"]
    return problem_lines(f"{root}: no sound in this folder can be used", examples(problems, lambda problem: problem))


def _indexed(path: Path, root: Path, sounds: Sequence[Sound], warnings: list[Problem]) -> list[Sound]:
    """Return the sounds with what an index adds; rows without a sound and sounds without a row are warnings."""
    problems: list[Problem] = []
    table = read_delimited(path, problems)
    if table is None:
        raise UsageError(*problem_lines(str(path), problems))
    columns = {field: _column(table, names) for field, names in _COLUMNS.items()}
    cells = columns.pop("file")
    if cells is None:
        raise UsageError(f"{path}: has no column 'file'{did_you_mean('file', table.header)}")
    known = {sound.file for sound in sounds}
    files = [_file_of(cell.strip(), path.parent, root, known) for cell in cells]
    repeated = sorted(file for file, count in Counter(files).items() if file is not None and count > 1)
    if repeated:
        problems = examples(repeated, lambda file: Problem("E645", f"{printable(file)}: is named by two rows"))
        raise UsageError(*problem_lines(str(path), problems))
    row_of = {file: number for number, file in enumerate(files)}
    missing = [cell for cell, file in zip(cells, files, strict=True) if file is None]
    unnamed = [sound.file for sound in sounds if sound.file not in row_of]
    warnings += examples(missing, lambda cell: Problem("W641", f"{printable(cell)}: no sound of that name"))
    warnings += examples(unnamed, lambda file: Problem("W642", f"{printable(file)}: the index does not name it"))

    def described(sound: Sound) -> Sound:
        row = row_of.get(sound.file)
        given: dict[str, Any] = {
            field: cells[row].strip() for field, cells in columns.items() if cells and row is not None
        }
        return replace(sound, **given)

    return [described(sound) for sound in sounds]


def _column(table: Delimited, names: Sequence[str]) -> list[str] | None:
    return next((table.column(name) for name in names if name in table.header), None)


def _file_of(cell: str, folder: Path, root: Path, known: Collection[str]) -> str | None:
    """Return which sound a cell of an index names: a path from the index's folder, or from that of the sounds."""
    absolute, start = (folder / cell).resolve(), root.resolve()
    if absolute.is_relative_to(start) and (file := absolute.relative_to(start).as_posix()) in known:
        return file
    return cell if cell in known else None
