"""Which media file belongs to which sample: of a corpus, and of a table that becomes one.

A file belongs to a sample if the corpus lists it, if its path in the folder is the id (with or without a suffix), or
if its bare name is: the first of these that fits a file decides. If none fits, a file belongs to it that differs only
in suffix, as corrupted clips do.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from merbench.corpus.declaration import ID, MEDIA
from merbench.corpus.delimited import Delimited
from merbench.errors import Problem, UsageError, did_you_mean, listed

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_SUFFIXES = frozenset(
    ".3gp .aac .ac3 .aif .aiff .asf .avi .flac .flv .m2ts .m4a .m4v .mkv .mov .mp2 .mp3 .mp4 .mpeg .mpg .mts "
    ".oga .ogg .ogv .opus .ts .vob .wav .webm .wma .wmv".split()
)
"""Files with these are reported if they belong to no sample. Others may be media, too, and are read if they belong."""


@dataclass(frozen=True)
class Clips:
    """Which clip belongs to which sample."""

    paths: Mapping[str, Path] = field(repr=False)  # the clip of every sample that has one
    # sample that several files could belong to -> what is wrong
    several: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    # folder -> its media files that belong to no sample, relative to it
    unused: Mapping[Path, tuple[PurePosixPath, ...]] = field(default_factory=dict)


def find_clips(samples: pa.Table, folders: Sequence[Path]) -> Clips:
    """Return the clip of every sample, from the last folder that has one, so that corrupted clips follow clean ones.

    A later folder with one clip of a sample also settles what is wrong with it in an earlier one. Hidden files and
    folders, and links to folders, are skipped.

    Args:
        samples: with the column `sample_id`, and `media` if the corpus lists the clips; an empty cell lists nothing.
        folders: the folders of clips, each searched with all folders in it.

    Raises:
        UsageError: a folder does not exist.
    """
    ids: list[str] = samples[ID].to_pylist()
    cells: list[object] = samples[MEDIA].to_pylist() if MEDIA in samples.column_names else []
    listed_names = {sample_id: str(cell) for sample_id, cell in zip(ids, cells, strict=False) if cell}
    names = {sample_id: str(PurePosixPath(listed_names.get(sample_id, sample_id))) for sample_id in ids}
    paths: dict[str, Path] = {}
    several: dict[str, str] = {}
    unused: dict[Path, tuple[PurePosixPath, ...]] = {}
    for folder in folders:
        fitting, left = _fitting(folder, names)
        other = _with_other_suffix(names, fitting, left)
        fitting |= other
        used = {path for files in other.values() for path in files}
        unused[folder] = tuple(path for path in left if path not in used)
        for sample_id, files in fitting.items():
            paths.pop(sample_id, None)
            several.pop(sample_id, None)
            if len(files) == 1:
                paths[sample_id] = folder / files[0]
            else:
                examples = listed([str(path) for path in files])
                several[sample_id] = f"{len(files)} files could belong to this sample: {examples}"
    missing = tuple(name for name in ids if name not in paths and name not in several)
    return Clips({name: paths[name] for name in ids if name in paths}, several, missing, unused)


def _fitting(
    folder: Path, names: Mapping[str, str]
) -> tuple[dict[str, Sequence[PurePosixPath]], tuple[PurePosixPath, ...]]:
    """Return the files in a folder that fit each sample, if any do, and the media files that fit none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of media")
    files = sorted(_files(folder))
    keys: list[Callable[[PurePosixPath], str]] = [str, lambda path: str(path.with_suffix("")), lambda path: path.stem]
    lookups = [_indexed(files, key) for key in keys]
    fitting: dict[str, Sequence[PurePosixPath]] = {}
    for sample_id, name in names.items():
        if lookup := next((lookup for lookup in lookups if name in lookup), None):
            fitting[sample_id] = lookup[name]
    used = {path for paths in fitting.values() for path in paths}
    return fitting, tuple(path for path in files if path not in used and path.suffix.lower() in MEDIA_SUFFIXES)


def _with_other_suffix(
    names: Mapping[str, str], fitting: Mapping[str, Sequence[PurePosixPath]], left: Iterable[PurePosixPath]
) -> dict[str, Sequence[PurePosixPath]]:
    """Return, of samples that no file fits, the media files that differ from a name only in suffix."""
    stems = {
        sample_id: str(path.with_suffix(""))
        for sample_id, name in names.items()
        if (path := PurePosixPath(name)).suffix.lower() in MEDIA_SUFFIXES
    }
    counts = Counter(stems.values())
    files = _indexed(left, lambda path: str(path.with_suffix("")))
    return {
        sample_id: files[stem]
        for sample_id, stem in stems.items()
        if sample_id not in fitting and counts[stem] == 1 and stem in files
    }


def _files(folder: Path, below: str = "") -> Iterator[PurePosixPath]:
    try:
        with os.scandir(folder / below) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"{folder / below}: cannot be read: {error.strerror}") from error
    for entry in visible:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, path)
        elif entry.is_file():
            yield PurePosixPath(path)


def _indexed(
    files: Iterable[PurePosixPath], key: Callable[[PurePosixPath], str]
) -> Mapping[str, Sequence[PurePosixPath]]:
    index: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in files:
        index[key(path)].append(path)
    return index


def with_clips(samples: Delimited, folder: Path, column: str | None, problems: list[Problem]) -> Delimited | None:
    """Return a table with a column `media`, the path of each row's file in a folder, in place of the names of files.

    A table without `sample_id` gets that column, too: the name of each row's file without folder and suffix; None if
    it has no column of files, either.

    Args:
        samples: the table.
        folder: of clips, searched with all folders in it.
        column: of the table, with names of files, read as those of a corpus are; None takes `media`, else `sample_id`.
        problems: problems are added here.

    Raises:
        UsageError: the folder does not exist, or cannot be read.
    """
    header, where = list(samples.header), samples.origin.name
    name = column or (MEDIA if MEDIA in header else ID)
    if name not in header:
        wanted = column or MEDIA
        message = (
            f"no column '{wanted}' of file names; the columns are {listed(header, 12)}; name it with --media-column"
        )
        problems.append(Problem("E611", f"{where}: {message}{did_you_mean(wanted, header)}"))
        return samples if ID in header else None
    if name != MEDIA and MEDIA in header:
        message = f"has a column '{MEDIA}', too, which is for the paths of the files in '{name}'; leave it out"
        problems.append(Problem("E611", f"{where}: {message}"))
        return samples if ID in header else None
    paths = _paths(samples, folder, name, problems)
    place = len(header) if name == ID else header.index(name)
    header[place : place + 1] = [MEDIA]
    rows = [[*row[:place], path, *row[place + 1 :]] for row, path in zip(samples.rows, paths, strict=True)]
    if ID not in header:
        header = [ID, *header]
        rows = [[PurePosixPath(path).stem, *row] for row, path in zip(rows, paths, strict=True)]
    return replace(samples, header=tuple(header), rows=rows)


def _paths(samples: Delimited, folder: Path, column: str, problems: list[Problem]) -> list[str]:
    """Return the path of every row's file, or the cell where there is no such file; add all problems."""
    cells = [cell.strip() for cell in samples.column(column)]
    inside = {cell: str(path) for cell in cells if cell and not _leads_out(path := PurePosixPath(cell))}
    fitting, _ = _fitting(folder, inside)
    owners = Counter(fitting[cell][0] for cell in cells if cell in fitting)
    odd: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for row, cell in enumerate(cells):
        paths = fitting.get(cell, ())
        if not cell:
            if ID not in samples.header:
                odd["rows without a file", ""].append((row, cell))
        elif cell not in inside:
            odd["paths that lead out of the folder", f"write the path of each below {folder}"].append((row, cell))
        elif not paths:
            odd["files that do not exist", f"write the path of each below {folder}"].append((row, cell))
        elif len(paths) > 1:
            odd["names that several files have", "write path and suffix"].append((row, cell))
        elif not is_text(paths[0]):
            odd["files whose names are not text in UTF-8", "rename them"].append((row, cell))
        elif owners[paths[0]] > 1:
            odd["files that several rows name", "a clip belongs to one sample"].append((row, cell))
    problems += [
        samples.origin.problem("E613", column, what, rows, len(cells), remedy) for (what, remedy), rows in odd.items()
    ]
    return [str(fitting[cell][0]) if cell in fitting and is_text(fitting[cell][0]) else cell for cell in cells]


def _leads_out(path: PurePosixPath) -> bool:
    return path.is_absolute() or ".." in path.parts


def is_text(path: PurePosixPath) -> bool:
    """Return whether a path is text in UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
