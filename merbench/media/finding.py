"""A folder of media and sample ids go in, the file of every sample comes out.

A file belongs to a sample when the corpus lists it, when its path in the folder is the id (with or without a suffix),
or when its name alone is: the first of these that fits some file decides.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from merbench.errors import UsageError, listed

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_COLUMN = "media"
"""The column of a corpus that says where a sample's clip stands in the folder."""

MEDIA_SUFFIXES = frozenset(
    ".3gp .aac .ac3 .aif .aiff .asf .avi .flac .flv .m2ts .m4a .m4v .mkv .mov .mp2 .mp3 .mp4 .mpeg .mpg .mts "
    ".oga .ogg .ogv .opus .ts .vob .wav .webm .wma .wmv".split()
)
"""Files with these are told where they belong to no sample. Others may be media, too, and are read where they do."""


@dataclass(frozen=True)
class MediaFiles:
    """Which file belongs to which sample.

    Attributes:
        folder: the folder that was searched.
        paths: the file of every sample that has one, relative to the folder.
        missing: samples without a file.
        ambiguous: samples that several files could belong to, and these.
        unused: files of media that belong to no sample, relative to the folder.
    """

    folder: Path
    paths: Mapping[str, PurePosixPath] = field(repr=False)
    missing: tuple[str, ...] = ()
    ambiguous: Mapping[str, tuple[PurePosixPath, ...]] = field(default_factory=dict)
    unused: tuple[PurePosixPath, ...] = ()

    @property
    def several(self) -> dict[str, str]:
        """What is wrong with each sample that several files could belong to."""
        return {
            sample_id: f"{len(paths)} files could belong to this sample: {listed([str(path) for path in paths])}"
            for sample_id, paths in self.ambiguous.items()
        }

    def path(self, sample_id: str) -> Path:
        """Return the full path of a sample's file."""
        return self.folder / self.paths[sample_id]

    def of(self, ids: Sequence[str]) -> MediaFiles:
        """Return what is known of some of the samples; files of no sample stay."""
        chosen = set(ids)
        return replace(
            self,
            paths={name: path for name, path in self.paths.items() if name in chosen},
            missing=tuple(name for name in self.missing if name in chosen),
            ambiguous={name: paths for name, paths in self.ambiguous.items() if name in chosen},
        )


@dataclass(frozen=True)
class FoundClips:
    """The clips of samples in several folders.

    Attributes:
        paths: the clip of every sample that has one.
        several: samples that several files could belong to, and what is wrong with them.
        missing: samples without a clip.
    """

    paths: Mapping[str, Path] = field(repr=False)
    several: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def find_clips(samples: pa.Table, folders: Sequence[Path]) -> FoundClips:
    """Return the clip of every sample: that of the last folder which has one, so that damaged clips follow clean ones.

    What is wrong in a folder is settled by a later one that has one clip of the sample.

    Args:
        samples: with the column `sample_id`, and `media` where the corpus says which clips are whose.
        folders: the folders of clips.

    Raises:
        UsageError: there is no such folder.
    """
    ids = samples["sample_id"].to_pylist()
    recorded = listed_media(samples)
    paths: dict[str, Path] = {}
    several: dict[str, str] = {}
    for folder in folders:
        files = find_media(folder, ids, recorded)
        for name in files.paths:
            paths[name] = files.path(name)
            several.pop(name, None)
        for name, problem in files.several.items():
            several[name] = problem
            paths.pop(name, None)
    missing = tuple(name for name in ids if name not in paths and name not in several)
    return FoundClips({name: paths[name] for name in ids if name in paths}, several, missing)


def listed_media(samples: pa.Table) -> dict[str, str]:
    """Return the path of each sample's clip where the corpus says it; an empty cell says nothing."""
    if MEDIA_COLUMN not in samples.column_names:
        return {}
    pairs = zip(samples["sample_id"].to_pylist(), samples[MEDIA_COLUMN].to_pylist(), strict=True)
    return {sample_id: str(path) for sample_id, path in pairs if path is not None and str(path)}


def find_media(folder: Path, ids: Sequence[str], recorded: Mapping[str, str] | None = None) -> MediaFiles:
    """Return the file of every sample; hidden files and folders are not looked at, nor are links to folders.

    Args:
        folder: the folder, searched with all below it.
        ids: sample ids.
        recorded: path of a sample's file in the folder, where the corpus says it: `listed_media`.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder of media")
    files = sorted(_files(folder))
    lookups = [_indexed(files, _path_itself), _indexed(files, _path_without_suffix), _indexed(files, _stem)]
    found = {sample_id: _fitting((recorded or {}).get(sample_id), sample_id, lookups) for sample_id in ids}
    paths = {sample_id: fitting[0] for sample_id, fitting in found.items() if len(fitting) == 1}
    ambiguous = {sample_id: tuple(fitting) for sample_id, fitting in found.items() if len(fitting) > 1}
    taken = {*paths.values(), *(path for fitting in ambiguous.values() for path in fitting)}
    return MediaFiles(
        folder,
        paths,
        tuple(sample_id for sample_id, fitting in found.items() if not fitting),
        ambiguous,
        tuple(path for path in files if path not in taken and path.suffix.lower() in MEDIA_SUFFIXES),
    )


def _files(folder: Path, below: str = "") -> Iterator[PurePosixPath]:
    try:
        with os.scandir(folder / below) as entries:
            there = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"{folder / below}: cannot be read: {error.strerror}") from error
    for entry in there:
        path = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, path)
        elif entry.is_file():
            yield PurePosixPath(path)


Key = Callable[[PurePosixPath], str]
Lookup = Mapping[str, Sequence[PurePosixPath]]


def _path_itself(path: PurePosixPath) -> str:
    return str(path)


def _path_without_suffix(path: PurePosixPath) -> str:
    return str(path.with_suffix(""))


def _stem(path: PurePosixPath) -> str:
    return path.stem


def _indexed(files: Iterable[PurePosixPath], key: Key) -> Lookup:
    found: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in files:
        found[key(path)].append(path)
    return found


def _fitting(recorded: str | None, sample_id: str, lookups: Sequence[Lookup]) -> Sequence[PurePosixPath]:
    names = [sample_id] if recorded is None else [str(PurePosixPath(recorded))]
    return next((lookup[name] for name in names for lookup in lookups if name in lookup), ())
