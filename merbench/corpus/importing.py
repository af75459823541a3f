"""The folder of a public release goes in, a corpus comes out; or every missing file and column in one message.

Conventions:
    A release says of each of its files where it stands, which columns it holds and what becomes of them
    (`merbench.corpus.sheets`). A release may come in more than one layout; the one of which most is there is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from merbench.corpus.declaration import Metadata
from merbench.corpus.feature import Feature
from merbench.corpus.feature_file import read_feature
from merbench.corpus.folder import Corpus, require_free, write_corpus
from merbench.corpus.sheets import ReadSheet, Sheet, contents_of, read_sheet
from merbench.corpus.tables import ID, Contents
from merbench.errors import InvalidCorpus, Problem, UsageError, listed, printable
from merbench.files import sha256_file
from merbench.registry import Registry

Known = Mapping[str, str | int]
"""What a sample's id tells of it: column -> value."""


@dataclass(frozen=True)
class Imported:
    """An imported corpus, and what the user should know of the files it came from."""

    corpus: Corpus
    warnings: tuple[Problem, ...] = ()


class Importer(Protocol):
    """Reads one public release, and says what it expects."""

    def __call__(self, release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
        """Write the corpus of a release into a folder.

        Args:
            release: folder of the released files.
            folder: corpus folder that is written.
            features: folder of released features, one folder each with one `.npy` per sample.
            replace: whether a corpus that stands in `folder` goes.
        """

    @property
    def expects(self) -> str:
        """The files on one line, those that may be missing in brackets."""

    def explain(self) -> str:
        """Return what the release is, who may have it, and every file and column that is read."""


@dataclass(frozen=True)
class Release:
    """A public release: what it is, where it is had, which files it consists of.

    Attributes:
        name: name of the corpus that is made of it.
        title: what the data are.
        source: where they come from, and what should be known of them.
        licence: who may use them, and how.
        obtain: where the files are had or applied for.
        layouts: sheets that belong together, for every form in which the release comes.
        language: language of the transcripts.
        version: version of the corpus; rises when what is made of the same files changes.
        known: what an id tells of its sample; None for an id of another form than `id_form`.
        id_form: form of the ids, where `known` reads them.
    """

    name: str
    title: str
    source: str
    licence: str
    obtain: str
    layouts: tuple[tuple[Sheet, ...], ...] = field(repr=False)
    language: str | None = None
    version: str = "1.0"
    known: Callable[[str], Known | None] | None = None
    id_form: str = ""

    def __call__(self, release: Path, folder: Path, *, features: Path | None = None, replace: bool = False) -> Imported:
        """Write the corpus of the release; see `Importer`.

        Raises:
            UsageError: there is no such folder, or the corpus folder is there already.
            InvalidCorpus: files or columns are missing, or do not hold what they should; all problems are listed.
        """
        require_free(folder, replace=replace)
        if not release.is_dir():
            raise UsageError(f"{release}: there is no such folder; `merbench corpus import {self.name}` tells more")
        problems: list[Problem] = []
        warnings: list[Problem] = []
        sheets = self._sheets(release, problems, warnings)
        contents = contents_of(sheets, problems, warnings)
        if contents is not None and self.known is not None:
            contents = _with_known(contents, self.known, self.id_form, problems)
        if contents is not None and features is not None:
            loaded = _features(features, contents.samples[ID].to_pylist(), problems, warnings)
            contents = _with_features(contents, loaded)
        if contents is None or problems:
            raise InvalidCorpus(f"{release}, release of {self.name}", problems)
        metadata = Metadata(
            name=self.name, version=self.version, source=self.source, licence=self.licence, language=self.language
        )
        corpus = write_corpus(folder, metadata, contents, replace=replace)
        return Imported(corpus, tuple(warnings))

    @property
    def expects(self) -> str:
        """The files on one line, those that may be missing in brackets."""
        return "; or ".join(_files(layout) for layout in self.layouts)

    def explain(self) -> str:
        """Return what the release is, who may have it, and every file and column that is read."""
        lines = [
            f"{self.name}: {self.title}",
            f"source: {self.source}",
            f"licence: {self.licence}",
            f"obtain: {self.obtain}",
            *([f"sample ids: {self.id_form}"] if self.id_form else []),
        ]
        for index, layout in enumerate(self.layouts):
            lines += ["", "or instead" if index else "files"]
            lines += [f"  {sheet.explain()}" for sheet in layout]
        return "\n".join(lines)

    def _sheets(self, release: Path, problems: list[Problem], warnings: list[Problem]) -> list[ReadSheet | None]:
        """Return the sheets of the layout that is there, or of which most files are; None for one that is not read."""
        layout = max(self.layouts, key=lambda layout: _presence(layout, release))
        read: list[ReadSheet | None] = []
        missing = [sheet for sheet in layout if sheet.needed and sheet.path(release) is None]
        problems += [Problem("E601", f"there is no {sheet.explain()}") for sheet in missing]
        for sheet in layout:
            path = sheet.path(release)
            found = None if path is None else read_sheet(sheet, path, problems)
            if path is not None or sheet.needed:
                read.append(found)
            if path is not None and found is not None:
                warnings += _digest_warnings(sheet, path)
            elif path is None and not sheet.needed:
                warnings.append(Problem("W604", f"there is no {' or '.join(sheet.files)}: {sheet.without}"))
        others = [_files(other) for other in self.layouts if other is not layout]
        if missing and others:
            problems.append(Problem("E601", f"instead of these files, others would do: {'; or '.join(others)}"))
        return read


def _files(layout: Sequence[Sheet]) -> str:
    needed = ", ".join(sheet.files[0] for sheet in layout if sheet.needed)
    others = ", ".join(sheet.files[0] for sheet in layout if not sheet.needed)
    return f"{needed} [{others}]" if others else needed


def _presence(layout: Sequence[Sheet], release: Path) -> tuple[bool, int]:
    """Return whether all files are there that a layout needs, and how many of its files are."""
    there = [sheet for sheet in layout if sheet.path(release) is not None]
    return all(sheet in there for sheet in layout if sheet.needed), len(there)


def _with_features(contents: Contents, features: Mapping[str, Feature]) -> Contents:
    return replace(contents, features={**contents.features, **features})


def _with_known(
    contents: Contents, known: Callable[[str], Known | None], id_form: str, problems: list[Problem]
) -> Contents:
    """Return contents with what the ids tell of the samples, but for columns that are there already."""
    samples = contents.samples
    ids = samples[ID].to_pylist()
    told = [known(name) for name in ids]
    odd = [f"'{printable(name)}'" for name, row in zip(ids, told, strict=True) if row is None]
    if odd:
        message = f"sample ids of another form than {id_form} ({len(odd):,} of {len(ids):,}): {listed(odd)}"
        problems.append(Problem("E612", message))
        return contents
    rows = [row for row in told if row is not None]
    for name in rows[0] if rows else ():
        if name not in samples.column_names:
            samples = samples.append_column(name, pa.array([row[name] for row in rows]))
    return replace(contents, samples=samples)


def _digest_warnings(sheet: Sheet, path: Path) -> list[Problem]:
    """Return a warning when a file of a released name is not the released one; it is read all the same."""
    released = sheet.released.get(path.name)
    if released is None:
        return []
    found = sha256_file(path)
    if found == released:
        return []
    digests = f"sha256 {found[:12]}…, released {released[:12]}…"
    return [Problem("W602", f"{path.name}: is not the released file ({digests}); it is read all the same")]


def _features(root: Path, names: Sequence[str], problems: list[Problem], warnings: list[Problem]) -> dict[str, Feature]:
    """Return the features in the folders of `root`; a sample without a file is a warning."""
    folders = sorted(path for path in root.glob("*/") if not path.name.startswith("."))
    if not folders:
        problems.append(Problem("E616", f"{root}: there is no folder of a feature in it, with one .npy per sample"))
    features = {}
    for folder in folders:
        try:
            feature = read_feature(str(folder), wanted=names)
        except UsageError as error:
            problems.append(Problem("E616", f"feature '{folder.name}': {error}"))
            continue
        features[folder.name] = feature
        there = set(feature.ids.to_pylist())
        absent = [name for name in names if name not in there]
        if absent:
            message = f"samples without a file ({len(absent):,} of {len(names):,}): {listed(absent)}"
            warnings.append(Problem("W603", f"feature '{folder.name}': {message}"))
    return features


IMPORTERS: Registry[Importer] = Registry("importer", "merbench.importers")
"""Importers by the name of the corpus they make."""


def add_release(release: Release) -> Release:
    """Register a release under its name and return it."""
    IMPORTERS.add(release.name, release)
    return release
